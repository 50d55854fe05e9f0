"""The contribution of each fix to the score, from the scores of all combinations of the fixes."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations

import numpy as np
import numpy.typing as npt

from stages.analysis.intervals import bootstrap, estimate, exact
from stages.analysis.results import Effects, FixEffects, Interaction, Step

SUFFICIENT_SHARE = Fraction(95, 100)

Points = npt.NDArray[np.object_]
"""Scores as exact fractions [2^k, seeds]; bit i of a row's number is set if fix i is on."""

Weight = Callable[[int, int], Fraction]
"""Returns the weight, in an effect, of what a fix adds to a set of `size` of the `others` other fixes."""


def weigh_alone(size: int, others: int) -> Fraction:
    """Return the weight for what the fix adds to as posted."""
    return Fraction(size == 0)


def weigh_leave_one_out(size: int, others: int) -> Fraction:
    """Return the weight for what is lost if only this fix is missing."""
    return Fraction(size == others)


def weigh_main_effect(size: int, others: int) -> Fraction:
    """Return equal weights: the main effect of a 2^k factorial design (Box, Hunter and Hunter 1978)."""
    return Fraction(1, 2**others)


def weigh_shapley(size: int, others: int) -> Fraction:
    """Return the Shapley weight, equal for every order of adding fixes: size! (others - size)! / (others + 1)!."""
    return Fraction(1, (others + 1) * math.comb(others, size))


WEIGHTS: dict[str, Weight] = {
    "alone": weigh_alone,
    "leave_one_out": weigh_leave_one_out,
    "main_effect": weigh_main_effect,
    "shapley": weigh_shapley,
}


def exact_points(values: npt.ArrayLike) -> Points:
    """Return scores [2^k, seeds] as `Points`.

    Raises
    ------
    ValueError
        If the number of rows is no power of two, there is no seed, or a value is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[0].bit_count() != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"scores of shape {array.shape}; expected finite scores [2^k, seeds]")
    points = np.empty(array.shape, dtype=object)
    points[:] = [[exact(value) for value in row] for row in array]
    return points


def count_fixes(points: Points) -> int:
    """Return k of 2^k points."""
    return len(points).bit_length() - 1


def bitmask(fixes: Sequence[int]) -> int:
    """Return the row of the point that has exactly `fixes`."""
    return sum(1 << fix for fix in fixes)


def fix_effect(points: Points, fix: int, weight: Weight) -> list[float]:
    """Return per seed the weighted sum of what fix number `fix` adds to each set of the others."""
    bit, others = 1 << fix, count_fixes(points) - 1
    sets = [row for row in range(len(points)) if not row & bit]
    added = (weight(row.bit_count(), others) * (points[row | bit] - points[row]) for row in sets)
    return [float(effect) for effect in sum(added)]


def interaction(points: Points, first: int, second: int) -> list[float]:
    """Return per seed how much more two fixes add together than one by one, averaged over the sets of the others.

    For a set S it is the second difference v(S, both) - v(S, first) - v(S, second) + v(S).
    """
    a, b = 1 << first, 1 << second
    sets = [row for row in range(len(points)) if not row & (a | b)]
    surplus = (points[row | a | b] - points[row | a] - points[row | b] + points[row] for row in sets)
    return [float(effect / len(sets)) for effect in sum(surplus)]


def smallest_sets(points: Points) -> list[list[int]]:
    """Return all sets of the smallest size that reaches 95% of the gain of all fixes, by mean over seeds.

    The list is empty if all fixes together gain nothing.
    """
    gains = points.sum(axis=1) - points[0].sum()
    if gains[-1] <= 0:
        return []
    rows = [row for row, gain in enumerate(gains) if gain >= SUFFICIENT_SHARE * gains[-1]]
    least = min(row.bit_count() for row in rows)
    return [list(fixes) for fixes in combinations(range(count_fixes(points)), least) if bitmask(fixes) in rows]


def greedy_path(points: Points) -> list[int]:
    """Return the order of the fixes in which each step has the best mean score, the first of equal ones.

    The path goes on to the last fix even if the score falls.
    """
    totals = points.sum(axis=1)
    path: list[int] = []
    remaining = list(range(count_fixes(points)))
    while remaining:
        path.append(max(remaining, key=lambda fix: totals[bitmask([*path, fix])]))
        remaining.remove(path[-1])
    return path


def effects(fixes: Sequence[str], values: npt.ArrayLike, rng_seed: int) -> Effects:
    """Return what each of k fixes contributes to the score.

    Intervals of scores and gains are t intervals, those of effects and interactions are bootstrap intervals.

    Parameters
    ----------
    fixes
        Names of the fixes, in the order of params.yaml.
    values
        Scores [2^k, seeds] as fractions of 1; bit i of a row's number is set if fix i is on.
    rng_seed
        Seed of the bootstrap.

    Raises
    ------
    ValueError
        If `values` has not one row per set of `fixes`, or no seed, or a value that is not finite.
    """
    points = exact_points(values)
    if len(points) != 2 ** len(fixes):
        raise ValueError(f"{len(points)} points; expected {2 ** len(fixes)} for {len(fixes)} fixes")
    path = greedy_path(points)
    rows = [bitmask(path[:steps]) for steps in range(len(path) + 1)]
    return Effects(
        as_posted=estimate(points[0]),
        full_gain=estimate(points[-1] - points[0]),
        fixes={
            name: FixEffects(
                **{effect: bootstrap(fix_effect(points, fix, weight), rng_seed) for effect, weight in WEIGHTS.items()}
            )
            for fix, name in enumerate(fixes)
        },
        interactions=tuple(
            Interaction(**bootstrap(interaction(points, a, b), rng_seed).model_dump(), fixes=(fixes[a], fixes[b]))
            for a, b in combinations(range(len(fixes)), 2)
        ),
        smallest_sets=tuple(tuple(fixes[fix] for fix in chosen) for chosen in smallest_sets(points)),
        greedy_path=tuple(
            Step(
                fix=fixes[fix],
                score=estimate(points[row]),
                gain=estimate(points[row] - points[0]),
                step=estimate(points[row] - points[before]),
            )
            for fix, before, row in zip(path, rows[:-1], rows[1:], strict=True)
        ),
    )
