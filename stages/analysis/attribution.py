"""The contribution of each fix to the score, from the scores of all combinations of the fixes."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations

import numpy as np
import numpy.typing as npt

from stages.analysis.intervals import bootstrap, estimate, exact
from stages.analysis.results import Effects, Estimate, FixEffects, Interaction, Step

SUFFICIENT_SHARE = Fraction(95, 100)

Points = dict[int, npt.NDArray[np.object_]]
"""Scores as exact fractions [seeds], by set of fixes; bit i of a set is 1 if fix i is on."""

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


def exact_points(values: Mapping[int, Sequence[float]]) -> Points:
    """Return scores by set, one per seed, as `Points`.

    Raises
    ------
    ValueError
        If as posted is missing, there is no seed, or a value is not finite.
    """
    points = {}
    for chosen, scores in values.items():
        if not len(scores) or not all(map(math.isfinite, scores)):
            raise ValueError(f"scores {scores} of set {chosen}; expected one finite score per seed")
        points[chosen] = np.array([exact(score) for score in scores], dtype=object)
    if 0 not in points:
        raise ValueError("no scores as posted")
    return points


def is_complete(points: Points, k: int) -> bool:
    """Return whether every set of `k` fixes was trained: alternatives never are, nor is what Keras refuses."""
    return len(points) == 1 << k


def bitmask(fixes: Iterable[int]) -> int:
    """Return the set that has exactly `fixes`."""
    return sum(1 << fix for fix in fixes)


def fix_effect(points: Points, k: int, fix: int, effect: str) -> list[float] | None:
    """Return per seed the weighted sum of what fix number `fix` adds to each set of the others.

    If not every set was trained, the main effect is the mean over the trained sets to which the fix can be added, and
    the effects that need other sets are None.
    """
    bit, others = 1 << fix, k - 1
    sets = [chosen for chosen in points if not chosen & bit and chosen | bit in points]
    if is_complete(points, k) or (effect == "alone" and bit in points):
        weights = [WEIGHTS[effect](chosen.bit_count(), others) for chosen in sets]
    elif effect == "main_effect" and sets:
        weights = [Fraction(1, len(sets))] * len(sets)
    else:
        return None
    added = (weight * (points[chosen | bit] - points[chosen]) for weight, chosen in zip(weights, sets, strict=True))
    return [float(value) for value in sum(added)]


def interaction(points: Points, first: int, second: int) -> list[float] | None:
    """Return per seed how much more two fixes add together than one by one, averaged over the sets of the others.

    For a set S it is the second difference v(S, both) - v(S, first) - v(S, second) + v(S). Alternatives have none.
    """
    a, b = 1 << first, 1 << second
    sets = [s for s in points if not s & (a | b) and {s | a, s | b, s | a | b} <= points.keys()]
    if not sets:
        return None
    surplus = (points[s | a | b] - points[s | a] - points[s | b] + points[s] for s in sets)
    return [float(effect / len(sets)) for effect in sum(surplus)]


def best_set(points: Points, k: int) -> int:
    """Return all fixes; if not every set was trained, that with the best mean score, the first of equal ones."""
    return 2**k - 1 if is_complete(points, k) else max(points, key=lambda chosen: points[chosen].sum())


def smallest_sets(points: Points, k: int) -> list[list[int]]:
    """Return all sets of the smallest size that reaches 95% of the gain of `best_set`, by mean over seeds.

    The list is empty if that gains nothing.
    """
    gains = {chosen: scores.sum() - points[0].sum() for chosen, scores in points.items()}
    most = gains[best_set(points, k)]
    if most <= 0:
        return []
    rows = {chosen for chosen, gain in gains.items() if gain >= SUFFICIENT_SHARE * most}
    least = min(chosen.bit_count() for chosen in rows)
    return [list(fixes) for fixes in combinations(range(k), least) if bitmask(fixes) in rows]


def greedy_path(points: Points, k: int) -> list[int]:
    """Return the order of the fixes in which each step has the best mean score, the first of equal ones.

    The path goes on, even if the score falls, until no fix is left that can be added.
    """
    path: list[int] = []
    while possible := [fix for fix in range(k) if fix not in path and bitmask([*path, fix]) in points]:
        path.append(max(possible, key=lambda fix: points[bitmask([*path, fix])].sum()))
    return path


def effects(fixes: Sequence[str], values: Mapping[int, Sequence[float]], rng_seed: int) -> Effects:
    """Return what each of k fixes contributes to the score.

    Intervals of scores and gains are t intervals, those of effects and interactions are bootstrap intervals.

    Parameters
    ----------
    fixes
        Names of the fixes, in the order of params.yaml.
    values
        Scores as fractions of 1, one per seed, by set of fixes; bit i of a set is 1 if fix i is on. Sets that were not
        trained are missing.
    rng_seed
        Seed of the bootstrap.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    points, k = exact_points(values), len(fixes)
    path = greedy_path(points, k)
    sets = [bitmask(path[:steps]) for steps in range(len(path) + 1)]

    def spread(per_seed: list[float] | None) -> Estimate | None:
        return None if per_seed is None else bootstrap(per_seed, rng_seed)

    pairs = {(a, b): spread(interaction(points, a, b)) for a, b in combinations(range(k), 2)}
    return Effects(
        complete=is_complete(points, k),
        as_posted=estimate(points[0]),
        full_gain=estimate(points[best_set(points, k)] - points[0]),
        fixes={
            name: FixEffects(**{effect: spread(fix_effect(points, k, fix, effect)) for effect in WEIGHTS})
            for fix, name in enumerate(fixes)
        },
        interactions=tuple(
            Interaction(**surplus.model_dump(), fixes=(fixes[a], fixes[b]))
            for (a, b), surplus in pairs.items()
            if surplus is not None
        ),
        smallest_sets=tuple(tuple(fixes[fix] for fix in chosen) for chosen in smallest_sets(points, k)),
        greedy_path=tuple(
            Step(
                fix=fixes[fix],
                score=estimate(points[chosen]),
                gain=estimate(points[chosen] - points[0]),
                step=estimate(points[chosen] - points[before]),
            )
            for fix, before, chosen in zip(path, sets[:-1], sets[1:], strict=True)
        ),
    )
