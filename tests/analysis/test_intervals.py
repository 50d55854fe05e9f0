"""Means, t intervals, Wilson intervals, paired gains and bootstrap intervals agree with SciPy and with hand numbers."""

import json
import math
from random import Random
from statistics import StatisticsError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stages.analysis import intervals
from stages.analysis.results import Estimate

accuracies = st.floats(0, 1)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8).filter(lambda values: np.ptp(values) > 1e-3))
def test_the_interval_of_a_mean_is_that_of_scipy_stats(values: list[float]) -> None:
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    found = intervals.estimate(values)
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_single_value_has_no_interval_and_no_value_is_refused() -> None:
    alone = Estimate(mean=0.3, low=None, high=None)
    assert intervals.estimate([0.3]) == intervals.bootstrap([0.3], 0) == alone
    with pytest.raises(StatisticsError):
        intervals.estimate([])
    with pytest.raises(StatisticsError):
        intervals.gain({0: 0.5}, {1: 0.5})


@given(accuracies, st.integers(2, 9))
@pytest.mark.filterwarnings("error")
def test_equal_values_have_exactly_their_value_as_mean_and_interval(value: float, n: int) -> None:
    assert intervals.estimate([value] * n) == Estimate(mean=value, low=value, high=value)
    assert intervals.bootstrap([value] * n, 0) == Estimate(mean=value, low=value, high=value)


@pytest.mark.parametrize(
    "values",
    [[1.0, math.nan], [1.0, math.inf], [-math.inf, 1.0], [1.7e308, -1.7e308], [1.7e308, 8e307]],
)
@pytest.mark.filterwarnings("error")
def test_values_without_a_finite_interval_have_no_mean_and_say_so(values: list[float]) -> None:
    assert intervals.estimate(values) == Estimate(mean=None, low=None, high=None, finite=False)


@given(st.lists(accuracies, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_an_estimate_does_not_depend_on_the_order_of_the_seeds(values: list[float], random: Random) -> None:
    assert intervals.estimate(values) == intervals.estimate(random.sample(values, len(values)))


def test_a_figure_has_the_value_of_each_seed_as_strict_json() -> None:
    found = intervals.figure({0: 1.5, 7: math.inf}, sampling=(0.25, 0.75))
    assert found.per_seed == {0: 1.5, 7: None}
    assert (found.mean, found.finite, found.sampling) == (None, False, (0.25, 0.75))
    json.dumps(found.model_dump(mode="json"), allow_nan=False)
    assert intervals.figure({0: float(np.float32(0.5))}).per_seed == {0: 0.5}


def test_a_gain_is_the_decimal_difference_of_the_seeds_that_both_have_and_says_if_one_is_not_finite() -> None:
    gain = intervals.gain({2: 0.75, 0: 0.5, 9: 1.0}, {0: 0.25, 1: 0.0, 2: 0.25})
    assert (gain.per_seed, gain.mean) == ({0: 0.25, 2: 0.5}, 0.375)
    assert intervals.gain({0: 0.3}, {0: 0.1}).mean == 0.2 != 0.3 - 0.1
    gain = intervals.gain({0: 0.5, 1: math.nan}, {0: 0.25, 1: 0.25})
    assert (gain.mean, gain.finite, gain.per_seed) == (None, False, {0: 0.25, 1: None})


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (10, 10), (9720, 10_000), (1, 1)])
def test_wilsons_interval_is_his_formula(correct: int, n: int) -> None:
    z, p = stats.norm.ppf(0.975), correct / n
    center, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = ((center - half) / (1 + z**2 / n), (center + half) / (1 + z**2 / n))
    assert intervals.wilson(correct, n) == pytest.approx(expected, abs=1e-12)


def test_the_sampling_interval_is_that_of_the_mean_score_in_whole_answers() -> None:
    assert intervals.sampling([0.5, 0.6], 20) == intervals.wilson(11, 20)
    # 8629.5 right answers: a sum of floats would fall on either side, depending on the version of Python.
    assert intervals.sampling([0.8387, 0.9682, 0.8382, 0.8067], 10_000) == intervals.wilson(8630, 10_000)


def test_the_bootstrap_agrees_with_the_enumeration_of_every_resample_and_follows_its_seed() -> None:
    values = [0.1, 0.2, 0.35, 0.6, 0.9]
    resamples = np.stack(np.meshgrid(*[values] * 5), axis=-1).reshape(-1, 5).mean(axis=1)
    found = intervals.bootstrap(values, rng_seed=0)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(resamples, [0.025, 0.975])), abs=0.01)
    # Twenty values: five have so few resamples that two seeds often agree on the quantiles.
    values = np.random.default_rng(0).normal(size=20).tolist()
    assert intervals.bootstrap(values, 1) == intervals.bootstrap(values, 1) != intervals.bootstrap(values, 2)
