"""The group of fixes that is dropped next when a set that repairs is made smaller."""

from collections.abc import Iterable, Mapping

import numpy as np

from stages.diagnosis.space import Point

# With more fixes, the least likely ones are dropped without asking which groups are consistent with what is known.
MOST_UNKNOWN = 16


def group_to_drop(point: Point, failed: Iterable[Point], likely: Mapping[str, float]) -> Point:
    """Return the fixes of `point` to drop together, so that the rest repairs with a chance near one half.

    `point` repairs, and the points `failed` do not. The model is that adding fixes never harms, so that each of them
    lacks a needed fix of `point`, and that a fix is needed with its chance in `likely`, independently of the others,
    unless `failed` says more. The group has the fixes that are least likely to be needed. It is empty if every
    fix of `point` is known to be needed.
    """
    clauses = {point - other for other in failed}
    needed = frozenset().union(*(clause for clause in clauses if len(clause) == 1))
    unknown = sorted(point - needed, key=lambda fix: (likely[fix], fix))
    if len(unknown) > MOST_UNKNOWN:
        return frozenset(unknown[:-MOST_UNKNOWN])
    bits = {fix: 1 << place for place, fix in enumerate(unknown)}
    masks = np.arange(1 << len(unknown))
    weights = np.ones(len(masks))
    for fix, bit in bits.items():
        weights *= np.where(masks & bit, likely[fix], 1 - likely[fix])
    for clause in clauses:
        if clause and not clause & needed:
            weights *= (masks & sum(bits[fix] for fix in clause)) != 0
    total = weights.sum()
    if not unknown or not total:
        return frozenset(unknown[:1])
    unknown.sort(key=lambda fix: (float(weights[(masks & bits[fix]) != 0].sum()), likely[fix], fix))
    chances, group = [], 0
    for fix in unknown:
        group |= bits[fix]
        chances.append(float(weights[(masks & group) == 0].sum() / total))
    size = min(range(len(unknown)), key=lambda place: abs(chances[place] - 0.5)) + 1
    return frozenset(unknown[:size])
