import json
import math
from itertools import permutations
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stages.core import statistics
from stages.core.statistics import Cells

accuracies = st.floats(0, 1)
seeds = st.integers(1, 6)


@st.composite
def tables(draw: st.DrawFn, min_fixes: int = 1, max_fixes: int = 4) -> np.ndarray:
    """Accuracies of all cells of a case: [2^k, seeds]."""
    rows, columns = 2 ** draw(st.integers(min_fixes, max_fixes)), draw(seeds)
    values = draw(st.lists(accuracies, min_size=rows * columns, max_size=rows * columns))
    return np.reshape(values, (rows, columns))


def shapley(cells: Cells) -> np.ndarray:
    """Shapley values [fixes, seeds]."""
    fixes = range(statistics.count_fixes(cells))
    return np.array([statistics.fix_effect(cells, fix, statistics.weigh_shapley) for fix in fixes])


def permutation_average(values: np.ndarray) -> np.ndarray:
    """Shapley values by definition: what a fix adds on its turn, averaged over all orders of the fixes."""
    fixes = range(len(values).bit_length() - 1)
    added = np.zeros((len(fixes), values.shape[1]))
    for order in permutations(fixes):
        row = 0
        for fix in order:
            added[fix] += values[row | 1 << fix] - values[row]
            row |= 1 << fix
    return added / math.factorial(len(fixes))


# Two fixes that do a little alone and more together; the second seed gains 0.02 more with b.
TWO_FIXES = np.array([[0.10, 0.10], [0.20, 0.20], [0.14, 0.16], [0.90, 0.92]])


def means(value: Any) -> Any:
    """`value` with each estimate in it reduced to its mean."""
    if isinstance(value, dict):
        return (
            value["mean"]
            if value.keys() <= {"mean", "low", "high", "finite"}
            else {k: means(v) for k, v in value.items()}
        )
    return value


# Estimates


def test_estimate_is_students_t_interval() -> None:
    # mean 3, standard deviation sqrt(2.5), and 2.776445 is the table's t for 95% and 4 degrees of freedom.
    margin = 2.776445105 * math.sqrt(2.5 / 5)
    assert statistics.estimate([1, 2, 3, 4, 5]) == pytest.approx(
        {"mean": 3.0, "low": 3 - margin, "high": 3 + margin, "finite": True}, abs=1e-8
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8).filter(lambda values: np.ptp(values) > 1e-3))
def test_estimate_agrees_with_scipys_interval_of_a_mean(values: list[float]) -> None:
    interval = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    found = statistics.estimate(values)
    assert (found["low"], found["high"]) == pytest.approx(interval, rel=1e-9, abs=1e-9)


def test_t_interval_covers_the_mean_of_normal_samples_at_its_level() -> None:
    samples = np.random.default_rng(0).normal(loc=7.0, size=(1000, 5))
    intervals = [statistics.estimate(sample) for sample in samples.tolist()]
    covered = sum(each["low"] <= 7.0 <= each["high"] for each in intervals)  # type: ignore[operator]
    # 1,000 draws at 95% lie within 950 +- 28 in all but 1 of 20,000 cases; the seed is fixed.
    assert abs(covered - 950) <= 28


def test_one_value_has_a_mean_and_no_interval() -> None:
    assert statistics.estimate([0.3]) == {"mean": 0.3, "low": None, "high": None, "finite": True}


@given(accuracies, st.integers(2, 9))
def test_equal_values_have_exactly_their_value_as_mean_and_interval(value: float, n: int) -> None:
    assert statistics.estimate([value] * n) == {"mean": value, "low": value, "high": value, "finite": True}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.filterwarnings("error")
def test_a_value_that_is_not_finite_leaves_no_mean_and_is_flagged(bad: float) -> None:
    assert statistics.estimate([1.0, bad]) == {"mean": None, "low": None, "high": None, "finite": False}


@pytest.mark.parametrize("values", [[1.7e308, -1.7e308], [1.7e308, 8e307]])
def test_an_interval_that_no_float_holds_is_flagged(values: list[float]) -> None:
    assert statistics.estimate(values) == {"mean": None, "low": None, "high": None, "finite": False}


@given(st.lists(accuracies, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_estimate_does_not_depend_on_the_order_of_seeds(values: list[float], random: Random) -> None:
    shuffled = random.sample(values, len(values))
    assert statistics.estimate(values) == statistics.estimate(shuffled)


def test_no_value_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        statistics.estimate([])


def test_per_seed_names_each_seed_and_is_strict_json() -> None:
    found = statistics.per_seed([0, 7], [1.5, math.inf])
    assert found == {
        "mean": None,
        "low": None,
        "high": None,
        "finite": False,
        "per_seed": {"0": 1.5, "7": None},
    }
    json.dumps(statistics.per_seed([0, 1], np.array([0.5, 0.25], np.float32)), allow_nan=False)


def test_per_seed_refuses_another_number_of_values_than_seeds() -> None:
    with pytest.raises(ValueError, match="shorter"):
        statistics.per_seed([0, 1], [0.5])


def test_gain_is_paired_by_seed_and_uses_only_common_seeds() -> None:
    gain = statistics.paired_gain({2: 0.75, 0: 0.5, 9: 1.0}, {0: 0.25, 1: 0.0, 2: 0.25})
    assert gain["per_seed"] == {"0": 0.25, "2": 0.5}
    assert gain["mean"] == 0.375


def test_gain_of_decimals_is_their_decimal_difference() -> None:
    assert statistics.paired_gain({0: 0.3}, {0: 0.1})["mean"] == 0.2 != 0.3 - 0.1


def test_gain_of_a_run_whose_figure_is_not_finite_is_flagged() -> None:
    gain = statistics.paired_gain({0: 0.5, 1: math.nan}, {0: 0.25, 1: 0.25})
    assert (gain["mean"], gain["finite"], gain["per_seed"]) == (None, False, {"0": 0.25, "1": None})


def test_gain_of_runs_without_a_common_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        statistics.paired_gain({0: 0.5}, {1: 0.5})


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (10, 10), (9720, 10_000), (1, 1)])
def test_wilson_is_wilsons_formula(correct: int, n: int) -> None:
    z, p = stats.norm.ppf(0.975), correct / n
    centre, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = ((centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n))
    assert statistics.wilson(correct, n) == pytest.approx(expected, abs=1e-12)


# Confusion


def test_confusion_counts_actual_by_row_and_predicted_by_column() -> None:
    actual, predicted = np.array([0, 9, 9, 9], np.uint8), np.array([1, 9, 9, 0], np.uint8)
    counts = statistics.confusion(actual, predicted)
    expected = np.zeros((10, 10), int)
    expected[0, 1], expected[9, 9], expected[9, 0] = 1, 2, 1
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize(("actual", "predicted"), [([0, 10], [0, 0]), ([0, 0], [0, -1]), ([0, 1], [0])])
def test_confusion_refuses_what_is_no_pair_of_digits(actual: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError):
        statistics.confusion(np.array(actual), np.array(predicted))


def test_recall_is_the_share_answered_right_and_none_for_an_absent_digit() -> None:
    assert statistics.recall(np.array([[3, 1, 0], [2, 0, 0], [0, 0, 0]])) == [0.75, 0.0, None]


# Bootstrap


def test_bootstrap_agrees_with_every_resample_enumerated() -> None:
    values = [0.1, 0.2, 0.35, 0.6, 0.9]
    resamples = np.stack(np.meshgrid(*[values] * 5), axis=-1).reshape(-1, 5).mean(axis=1)
    found = statistics.bootstrap(values, rng_seed=0)
    expected = np.quantile(resamples, [0.025, 0.975])
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected), abs=0.01)


def test_bootstrap_repeats_itself_and_follows_its_seed() -> None:
    # Twenty values: five have so few resamples that two seeds often agree on the quantiles.
    values = np.random.default_rng(0).normal(size=20).tolist()
    assert statistics.bootstrap(values, 1) == statistics.bootstrap(values, 1) != statistics.bootstrap(values, 2)


@given(accuracies, st.integers(2, 9))
@pytest.mark.filterwarnings("error")
def test_bootstrap_of_equal_values_is_exactly_their_value(value: float, n: int) -> None:
    assert statistics.bootstrap([value] * n, 0) == {"mean": value, "low": value, "high": value}


def test_bootstrap_of_one_value_has_no_interval() -> None:
    assert statistics.bootstrap([0.3], 0) == {"mean": 0.3, "low": None, "high": None}


# Attribution


def test_effects_of_two_fixes_as_worked_by_hand() -> None:
    found = statistics.effects(["a", "b"], TWO_FIXES, rng_seed=0)
    assert found["as_posted"]["mean"] == pytest.approx(0.1)
    assert found["full_gain"]["mean"] == pytest.approx(0.81)
    assert means(found["fixes"]) == {
        "a": pytest.approx({"alone": 0.1, "leave_one_out": 0.76, "main_effect": 0.43, "shapley": 0.43}),
        "b": pytest.approx({"alone": 0.05, "leave_one_out": 0.71, "main_effect": 0.38, "shapley": 0.38}),
    }
    [pair] = found["interactions"]
    assert pair["fixes"] == ["a", "b"]
    assert pair["mean"] == pytest.approx(0.66)
    assert found["smallest_sets"] == [["a", "b"]]
    assert [step["fix"] for step in found["greedy_path"]] == ["a", "b"]
    assert [step["accuracy"]["mean"] for step in found["greedy_path"]] == pytest.approx([0.2, 0.91])
    assert [step["gain"]["mean"] for step in found["greedy_path"]] == pytest.approx([0.1, 0.81])
    assert [step["step"]["mean"] for step in found["greedy_path"]] == pytest.approx([0.1, 0.71])


def test_main_effect_and_shapley_weigh_subsets_differently_from_three_fixes_on() -> None:
    # Only all three together gain, 0.6: a quarter of it is each one's main effect, a third its Shapley value.
    values = np.zeros((8, 1))
    values[7] = 0.6
    found = means(statistics.effects(["a", "b", "c"], values, 0)["fixes"])
    assert found["b"] == pytest.approx({"alone": 0.0, "leave_one_out": 0.6, "main_effect": 0.15, "shapley": 0.2})


def test_interaction_is_the_mean_second_difference_over_the_other_fixes() -> None:
    # v = 0.2 a b + 0.1 a b c: the second difference in a and b is 0.2 without c and 0.3 with it.
    values = np.zeros((8, 1))
    values[0b011], values[0b111] = 0.2, 0.3
    found = statistics.effects(["a", "b", "c"], values, 0)["interactions"]
    assert {tuple(pair["fixes"]): pytest.approx(pair["mean"]) for pair in found} == {
        ("a", "b"): 0.25,
        ("a", "c"): 0.05,
        ("b", "c"): 0.05,
    }


def test_intervals_are_over_seeds_and_paired() -> None:
    # The seeds differ by much, the gain of the one fix by nothing.
    found = statistics.effects(["a"], [[0.0, 0.25, 0.5], [0.5, 0.75, 1.0]], 0)
    assert found["fixes"]["a"]["shapley"] == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert found["full_gain"] == {"mean": 0.5, "low": 0.5, "high": 0.5, "finite": True}
    assert found["as_posted"]["low"] < 0.25 < found["as_posted"]["high"]


@given(tables(max_fixes=5))
def test_shapley_values_sum_to_the_full_gain(values: np.ndarray) -> None:
    total = shapley(statistics.exact_cells(values)).sum(axis=0)
    np.testing.assert_allclose(total, values[-1] - values[0], rtol=0, atol=1e-12)


@given(tables(max_fixes=5))
def test_reported_shapley_means_sum_to_the_reported_full_gain(values: np.ndarray) -> None:
    names = [f"fix_{i}" for i in range(len(values).bit_length() - 1)]
    found = statistics.effects(names, values[:, :1], 0)
    total = math.fsum(fix["shapley"]["mean"] for fix in found["fixes"].values())
    assert total == pytest.approx(found["full_gain"]["mean"], rel=0, abs=1e-12)


@given(tables(min_fixes=2))
def test_symmetric_fixes_have_equal_shapley_values(values: np.ndarray) -> None:
    # The first two fixes are made symmetric: only how many of them are on matters.
    rows = np.arange(len(values))
    cells = statistics.exact_cells(values[np.where(rows & 3 == 2, rows - 1, rows)])
    first, second = shapley(cells)[:2]
    np.testing.assert_array_equal(first, second)


@given(tables(), st.integers(0, 3))
def test_a_fix_that_never_changes_anything_has_no_effect_of_any_kind(values: np.ndarray, fix: int) -> None:
    null = fix % (len(values).bit_length() - 1)
    cells = statistics.exact_cells(values[np.arange(len(values)) & ~(1 << null)])
    for weight in statistics.WEIGHTS.values():
        assert statistics.fix_effect(cells, null, weight) == [0.0] * values.shape[1]
    others = set(range(statistics.count_fixes(cells))) - {null}
    for other in others:
        assert statistics.interaction(cells, null, other) == [0.0] * values.shape[1]


@given(st.data(), st.integers(1, 4), seeds, st.floats(-2, 2), st.floats(-2, 2))
def test_shapley_values_are_linear(data: st.DataObject, fixes: int, columns: int, p: float, q: float) -> None:
    rows = st.lists(accuracies, min_size=columns, max_size=columns)
    u, v = (np.array(data.draw(st.lists(rows, min_size=2**fixes, max_size=2**fixes))) for _ in range(2))
    combined = shapley(statistics.exact_cells(p * u + q * v))
    separate = p * shapley(statistics.exact_cells(u)) + q * shapley(statistics.exact_cells(v))
    np.testing.assert_allclose(combined, separate, rtol=0, atol=1e-12)


@given(tables())
def test_shapley_values_are_the_average_over_all_orders(values: np.ndarray) -> None:
    found = shapley(statistics.exact_cells(values))
    np.testing.assert_allclose(found, permutation_average(values), rtol=0, atol=1e-12)


@given(tables())
def test_weights_of_every_effect_sum_to_one(values: np.ndarray) -> None:
    # Where a fix adds 0.25 to every subset, each effect is 0.25.
    rows = np.arange(len(values))[:, None]
    cells = statistics.exact_cells(np.where(rows & 1, values[rows[:, 0] & ~1] + 0.25, values))
    for weight in statistics.WEIGHTS.values():
        assert statistics.fix_effect(cells, 0, weight) == pytest.approx([0.25] * values.shape[1], abs=1e-12)


def smallest(values: list[float]) -> list[list[int]]:
    return statistics.smallest_sets(statistics.exact_cells([[value] for value in values]))


def test_smallest_sets_are_all_of_the_least_size_in_the_order_of_the_fixes() -> None:
    # Bits:        -    a    b   ab    c   ac   bc  abc
    assert smallest([0.0, 0.1, 0.2, 0.5, 0.0, 1.0, 0.95, 1.0]) == [[0, 2], [1, 2]]


def test_smallest_set_need_reach_only_95_percent() -> None:
    assert smallest([0.0, 0.19, 0.18, 0.2]) == [[0]]
    assert smallest([0.0, 0.1899, 0.18, 0.2]) == [[0, 1]]


def test_smallest_sets_count_the_gain_and_not_the_accuracy() -> None:
    assert smallest([0.5, 0.96, 0.6, 1.0]) == [[0, 1]]


@pytest.mark.parametrize("full", [0.5, 0.25])
def test_no_set_is_smallest_where_all_fixes_together_gain_nothing(full: float) -> None:
    assert smallest([0.5, 0.75, 0.5, full]) == []


def test_greedy_path_climbs_fastest_and_goes_on_where_accuracy_falls() -> None:
    # Bits:                        -     a     b    ab     c    ac    bc   abc
    cells = statistics.exact_cells([[0.0], [0.5], [0.1], [0.6], [0.2], [0.9], [0.7], [0.8]])
    assert statistics.greedy_path(cells) == [0, 2, 1]


def test_greedy_path_takes_the_first_of_equal_fixes() -> None:
    # The means are equal, though 0.1 + 0.2 is not 0.3 in floats.
    assert statistics.greedy_path(statistics.exact_cells([[0.0, 0.0], [0.3, 0.0], [0.1, 0.2], [1.0, 1.0]])) == [
        0,
        1,
    ]


def test_effects_are_json_ready_from_every_kind_of_array() -> None:
    found = statistics.effects(["a", "b"], TWO_FIXES.astype(np.float32), 0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.filterwarnings("error")
def test_effects_of_one_seed_have_means_and_no_intervals() -> None:
    found = statistics.effects(["a"], [[0.25], [0.5]], 0)
    assert found["fixes"]["a"]["alone"] == {"mean": 0.25, "low": None, "high": None}
    assert found["greedy_path"][0]["gain"] == {"mean": 0.25, "low": None, "high": None, "finite": True}


def test_a_case_without_fixes_has_no_effects() -> None:
    found = statistics.effects([], [[0.25, 0.5]], 0)
    assert (found["fixes"], found["interactions"], found["smallest_sets"], found["greedy_path"]) == (
        {},
        [],
        [],
        [],
    )
    assert found["full_gain"]["mean"] == 0


@pytest.mark.parametrize(
    "values",
    [np.zeros((3, 5)), np.zeros((8, 5)), np.zeros((4, 0)), np.zeros(4), np.full((4, 5), math.nan)],
    ids=["no power of two", "another number of fixes", "no seed", "no axis of seeds", "not finite"],
)
def test_effects_refuse_a_table_that_is_not_one_finite_row_per_subset(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        statistics.effects(["a", "b"], values, 0)
