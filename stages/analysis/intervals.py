"""Means over seeds with their 95% intervals.

Means, spreads and effects are computed in exact rational arithmetic and then rounded, so that neither the order of a
sum nor the processor shows in a result.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from statistics import mean, stdev

import numpy as np
import scipy

from stages.analysis.results import Estimate, Figure

CONFIDENCE = 0.95
RESAMPLES = 9999
NOT_FINITE = Estimate(mean=None, low=None, high=None, finite=False)


def estimate(values: Iterable[float | Fraction]) -> Estimate:
    """Return the mean of `values`, one per seed, with Student's t interval.

    A single value has no interval. If a value is not finite, or the interval is beyond all floats, nothing is.

    Raises
    ------
    statistics.StatisticsError
        If there is no value.
    """
    floats = [float(value) for value in values]
    if not all(map(math.isfinite, floats)):
        return NOT_FINITE
    center, n = mean(floats), len(floats)
    if n == 1:
        return Estimate(mean=center, low=None, high=None)
    try:
        # scipy.special.stdtrit is what scipy.stats.t.ppf calls, without a second of importing scipy.stats.
        quantile = float(scipy.special.stdtrit(n - 1, (1 + CONFIDENCE) / 2))
        margin = quantile * stdev(floats) / math.sqrt(n)
    except OverflowError:
        return NOT_FINITE
    low, high = center - margin, center + margin
    if not math.isfinite(low) or not math.isfinite(high):
        return NOT_FINITE
    return Estimate(mean=center, low=low, high=high)


def figure(values: Mapping[int, float], sampling: tuple[float, float] | None = None) -> Figure:
    """Return `estimate` of {seed: value} together with the value of each seed, None for one that is not finite."""
    per_seed = {seed: float(value) if math.isfinite(value) else None for seed, value in values.items()}
    return Figure(**estimate(values.values()).model_dump(), per_seed=per_seed, sampling=sampling)


def exact(value: float) -> Fraction:
    """Return `value` as the decimal that it prints as: 0.1 is a tenth, so that equal sums are equal."""
    return Fraction(repr(float(value)))


def difference(value: float, other: float) -> float:
    """Return `value` - `other`, computed with their decimals if both are finite: 0.3 - 0.1 is 0.2."""
    if math.isfinite(value) and math.isfinite(other):
        return float(exact(value) - exact(other))
    return value - other


def gain(scores: Mapping[int, float], as_posted: Mapping[int, float]) -> Figure:
    """Return the gain over as posted, paired by the seeds that both {seed: score} have.

    Raises
    ------
    statistics.StatisticsError
        If they have no seed in common.
    """
    seeds = sorted(scores.keys() & as_posted.keys())
    return figure({seed: difference(scores[seed], as_posted[seed]) for seed in seeds})


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Return Wilson's score interval (1927) for the accuracy behind `correct` right answers to `n` >= 1 examples."""
    interval = scipy.stats.binomtest(correct, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def sampling(scores: Iterable[float], n: int) -> tuple[float, float]:
    """Return the Wilson interval for the mean of `scores`, accuracies on `n` examples, in whole answers."""
    correct = [round(score * n) for score in scores]
    return wilson(round(Fraction(sum(correct), len(correct))), n)


def bootstrap(values: Sequence[float], rng_seed: int) -> Estimate:
    """Return the mean of `values`, one per seed, with a percentile bootstrap interval over seeds.

    The same `rng_seed` draws the same seeds for every effect, so that effects stay paired. BCa instead of percentile
    rests on a jackknife, which at five seeds covers no better and is undefined if all values are equal. Both intervals
    are narrow at five seeds: they cover the mean of five normal values in about 84% of samples.
    """
    center = float(mean(values))
    if len(values) == 1:
        return Estimate(mean=center, low=None, high=None)
    # Deviations, because equal values then give exactly their own value at both ends.
    deviations = np.array([value - center for value in values])
    interval = scipy.stats.bootstrap(
        (deviations,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(rng_seed),
    ).confidence_interval
    return Estimate(mean=center, low=center + float(interval.low), high=center + float(interval.high))
