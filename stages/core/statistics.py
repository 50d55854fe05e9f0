"""Intervals, gains, confusion counts, and what each fix of a case contributes.

Means, spreads and effects are computed in exact rational arithmetic and then rounded, so neither the order of
a sum nor the processor shows in a result; the quantiles and the bootstrap are SciPy's. Intervals are at 95%.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from statistics import mean, stdev
from typing import Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt
import scipy

CONFIDENCE = 0.95
SUFFICIENT_SHARE = Fraction(95, 100)
RESAMPLES = 9999


class Interval(TypedDict):
    """A mean over seeds and its interval; `low` and `high` are None where a single seed gives no spread."""

    mean: float
    low: float | None
    high: float | None


class Estimate(TypedDict):
    """A mean over seeds, JSON-ready; `mean`, `low` and `high` are None where `finite` is false."""

    mean: float | None
    low: float | None
    high: float | None
    finite: bool
    per_seed: NotRequired[dict[str, float | None]]


def estimate(values: Iterable[float]) -> Estimate:
    """Mean of `values`, one a seed, with Student's t interval.

    One value has no interval; a value that is not finite leaves no mean either, nor does an interval beyond all floats.

    Raises
    ------
    statistics.StatisticsError
        When there is no value.
    """
    values = [float(value) for value in values]
    not_finite: Estimate = {"mean": None, "low": None, "high": None, "finite": False}
    if not all(map(math.isfinite, values)):
        return not_finite
    centre, n = mean(values), len(values)
    if n == 1:
        return {"mean": centre, "low": None, "high": None, "finite": True}
    try:
        # What scipy.stats.t.ppf gives, without the second that it takes to import scipy.stats.
        quantile = float(scipy.special.stdtrit(n - 1, (1 + CONFIDENCE) / 2))
        margin = quantile * stdev(values) / math.sqrt(n)
    except OverflowError:
        return not_finite
    low, high = centre - margin, centre + margin
    if not math.isfinite(low) or not math.isfinite(high):
        return not_finite
    return {"mean": centre, "low": low, "high": high, "finite": True}


def per_seed(seeds: Iterable[int], values: Iterable[float]) -> Estimate:
    """`estimate` of `values` together with each of them under its seed, None for one that is not finite."""
    named = {str(seed): float(value) for seed, value in zip(seeds, values, strict=True)}
    each = {seed: value if math.isfinite(value) else None for seed, value in named.items()}
    return {**estimate(named.values()), "per_seed": each}


def exact(value: float) -> Fraction:
    """`value` as the decimal that it prints as: an accuracy of 0.1 is a tenth, so that equal sums are equal."""
    return Fraction(repr(float(value)))


def difference(value: float, other: float) -> float:
    """`value` - `other`, by their decimals where both are finite: 0.3 - 0.1 is 0.2."""
    if math.isfinite(value) and math.isfinite(other):
        return float(exact(value) - exact(other))
    return value - other


def paired_gain(variant: Mapping[int, float], as_posted: Mapping[int, float]) -> Estimate:
    """Gain of `variant` over `as_posted`, both {seed: accuracy}: the differences at the seeds that both have.

    Raises
    ------
    statistics.StatisticsError
        When they have no seed in common.
    """
    seeds = sorted(variant.keys() & as_posted.keys())
    return per_seed(seeds, [difference(variant[seed], as_posted[seed]) for seed in seeds])


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Wilson's score interval (1927) for the accuracy behind `correct` right answers in `n` >= 1 examples."""
    interval = scipy.stats.binomtest(correct, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def confusion(
    actual: npt.NDArray[np.integer[Any]], predicted: npt.NDArray[np.integer[Any]], classes: int = 10
) -> npt.NDArray[np.int64]:
    """Count the examples of each actual digit (row) by predicted digit (column): [classes, classes].

    Raises
    ------
    ValueError
        When the two differ in shape, or a label is not in 0 ... `classes` - 1.
    """
    if actual.shape != predicted.shape:
        raise ValueError(f"labels of shape {actual.shape} but predictions of shape {predicted.shape}")
    cells = np.ravel_multi_index((actual, predicted), (classes, classes))
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def recall(counts: npt.NDArray[np.int64]) -> list[float | None]:
    """Share of each digit's examples answered right, from `confusion` counts; None for a digit with none."""
    return [int(row[digit]) / int(row.sum()) if row.any() else None for digit, row in enumerate(counts)]


def bootstrap(values: Sequence[float], rng_seed: int) -> Interval:
    """Mean of `values`, one a seed, with a percentile bootstrap interval over seeds.

    The same `rng_seed` draws the same seeds for every effect, so effects stay paired.

    Percentile and not BCa: at five seeds BCa's corrections rest on a jackknife of five values and on ties, it
    is undefined where all values are equal, and it covers no better. Either is narrow then: it covers the
    mean of five normal values in about 84% of samples, and never leaves the range of what was seen.
    """
    centre = float(mean(values))
    if len(values) == 1:
        return {"mean": centre, "low": None, "high": None}
    # Deviations, because equal values then give exactly their own value at both ends.
    deviations = np.array([value - centre for value in values])
    interval = scipy.stats.bootstrap(
        (deviations,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(rng_seed),
    ).confidence_interval
    return {"mean": centre, "low": centre + float(interval.low), "high": centre + float(interval.high)}


Cells = npt.NDArray[np.object_]
"""Accuracies as exact fractions [2^k, seeds]; bit i of a row's number is set where fix i is on."""

Weight = Callable[[int, int], Fraction]
"""What a fix adds to a subset of `size` of the `others` other fixes has this weight in its effect."""


def weigh_alone(size: int, others: int) -> Fraction:
    """All on the empty subset: what the fix adds to as posted."""
    return Fraction(size == 0)


def weigh_leave_one_out(size: int, others: int) -> Fraction:
    """All on the full subset: what is lost where only this fix is missing."""
    return Fraction(size == others)


def weigh_main_effect(size: int, others: int) -> Fraction:
    """Every subset alike: the main effect of a 2^k factorial design (Box, Hunter and Hunter 1978)."""
    return Fraction(1, 2**others)


def weigh_shapley(size: int, others: int) -> Fraction:
    """Every order of adding the fixes alike: size! (others - size)! / (others + 1)! (Shapley 1953)."""
    return Fraction(1, (others + 1) * math.comb(others, size))


WEIGHTS: dict[str, Weight] = {
    "alone": weigh_alone,
    "leave_one_out": weigh_leave_one_out,
    "main_effect": weigh_main_effect,
    "shapley": weigh_shapley,
}


def exact_cells(values: npt.ArrayLike) -> Cells:
    """`values` [2^k, seeds] as `Cells`.

    Raises
    ------
    ValueError
        When the first length is no power of two, there is no seed, or a value is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[0].bit_count() != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"finite accuracies [2^k cells, seeds] expected, got shape {array.shape}")
    cells = np.empty(array.shape, dtype=object)
    cells[:] = [[exact(value) for value in row] for row in array]
    return cells


def count_fixes(cells: Cells) -> int:
    """Return k of 2^k cells."""
    return len(cells).bit_length() - 1


def bitmask(fixes: Sequence[int]) -> int:
    """Row of the cell in which just `fixes` are on."""
    return sum(1 << fix for fix in fixes)


def fix_effect(cells: Cells, fix: int, weight: Weight) -> list[float]:
    """Weighted sum, per seed, of what fix number `fix` adds to each subset of the others."""
    bit, others = 1 << fix, count_fixes(cells) - 1
    subsets = [row for row in range(len(cells)) if not row & bit]
    added = (weight(row.bit_count(), others) * (cells[row | bit] - cells[row]) for row in subsets)
    return [float(effect) for effect in sum(added)]


def interaction(cells: Cells, first: int, second: int) -> list[float]:
    """How much more two fixes add together than one by one, per seed: mean over the subsets of the others.

    For a subset S it is the second difference v(S, both) - v(S, first) - v(S, second) + v(S).
    """
    a, b = 1 << first, 1 << second
    subsets = [row for row in range(len(cells)) if not row & (a | b)]
    surplus = (cells[row | a | b] - cells[row | a] - cells[row | b] + cells[row] for row in subsets)
    return [float(effect / len(subsets)) for effect in sum(surplus)]


def smallest_sets(cells: Cells) -> list[list[int]]:
    """All sets of fixes of the least size that reaches 95% of the gain of all fixes, by mean over seeds.

    Empty where all fixes together gain nothing: there is then nothing to reach.
    """
    gains = cells.sum(axis=1) - cells[0].sum()
    if gains[-1] <= 0:
        return []
    rows = [row for row, gain in enumerate(gains) if gain >= SUFFICIENT_SHARE * gains[-1]]
    least = min(row.bit_count() for row in rows)
    return [list(fixes) for fixes in combinations(range(count_fixes(cells)), least) if bitmask(fixes) in rows]


def greedy_path(cells: Cells) -> list[int]:
    """Order of the fixes in which each step has the best mean accuracy; of equals the first is taken.

    It goes on to the last fix, also where the accuracy falls.
    """
    totals = cells.sum(axis=1)
    path: list[int] = []
    left = list(range(count_fixes(cells)))
    while left:
        path.append(max(left, key=lambda fix: totals[bitmask([*path, fix])]))
        left.remove(path[-1])
    return path


def effects(fixes: Sequence[str], values: npt.ArrayLike, rng_seed: int) -> dict[str, Any]:
    """Measure what each of k fixes contributes, from the accuracy of all cells.

    Parameters
    ----------
    fixes
        Names of the fixes, in the order of params.yaml.
    values
        Accuracies [2^k, seeds] as fractions of 1; bit i of a row's number is set where fix i is on.
    rng_seed
        Seed of the bootstrap.

    Returns
    -------
    dict
        JSON-ready. With t intervals: `as_posted`, `full_gain`, and along `greedy_path` at each `fix` its
        `accuracy`, its `gain` over as posted and its `step` over the one before. With bootstrap intervals:
        `fixes` ({name: {alone, leave_one_out, main_effect, shapley}}) and `interactions`, one a pair.
        `smallest_sets` holds lists of names.

    Raises
    ------
    ValueError
        When `values` has no row for each subset of `fixes`, no seed, or a value that is not finite.
    """
    cells = exact_cells(values)
    if len(cells) != 2 ** len(fixes):
        raise ValueError(f"{2 ** len(fixes)} cells expected for {len(fixes)} fixes, got {len(cells)}")
    path = greedy_path(cells)
    rows = [bitmask(path[:steps]) for steps in range(len(path) + 1)]
    return {
        "as_posted": estimate(cells[0]),
        "full_gain": estimate(cells[-1] - cells[0]),
        "fixes": {
            name: {effect: bootstrap(fix_effect(cells, fix, weight), rng_seed) for effect, weight in WEIGHTS.items()}
            for fix, name in enumerate(fixes)
        },
        "interactions": [
            {"fixes": [fixes[a], fixes[b]], **bootstrap(interaction(cells, a, b), rng_seed)}
            for a, b in combinations(range(len(fixes)), 2)
        ],
        "smallest_sets": [[fixes[fix] for fix in chosen] for chosen in smallest_sets(cells)],
        "greedy_path": [
            {
                "fix": fixes[fix],
                "accuracy": estimate(cells[row]),
                "gain": estimate(cells[row] - cells[0]),
                "step": estimate(cells[row] - cells[before]),
            }
            for fix, before, row in zip(path, rows[:-1], rows[1:], strict=True)
        ],
    }
