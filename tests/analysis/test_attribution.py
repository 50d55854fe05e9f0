"""Effects of fixes agree with their definitions and with an example worked by hand."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.analysis import attribution
from stages.analysis.results import Effects

# Two fixes that do a little alone and more together; the second seed gains 0.02 more with both.
TWO_FIXES = np.array([[0.10, 0.10], [0.20, 0.20], [0.14, 0.16], [0.90, 0.92]])


@st.composite
def tables(draw: st.DrawFn, min_fixes: int = 1, max_fixes: int = 4) -> np.ndarray:
    """Return scores of all points of a case, [2^k, seeds]."""
    rows, columns = 2 ** draw(st.integers(min_fixes, max_fixes)), draw(st.integers(1, 4))
    values = draw(st.lists(st.floats(0, 1), min_size=rows * columns, max_size=rows * columns))
    return np.reshape(values, (rows, columns))


def effects(fixes: Sequence[str], values: Sequence[Sequence[float]] | np.ndarray) -> Effects:
    """Return the effects of fixes whose sets are all measured."""
    return attribution.effects(fixes, dict(enumerate(values)), rng_seed=0)


def points_of(values: Sequence[Sequence[float]] | np.ndarray) -> attribution.Points:
    return attribution.exact_points(dict(enumerate(values)))


def added(values: np.ndarray, fix: int, others: tuple[int, ...]) -> np.ndarray:
    """Return what a fix adds to a set of other fixes, per seed."""
    row = sum(1 << other for other in others)
    return np.asarray(values[row | 1 << fix] - values[row])


def by_definition(values: np.ndarray, fix: int) -> dict[str, np.ndarray]:
    """Return each effect of a fix, per seed."""
    fixes = range(len(values).bit_length() - 1)
    others = tuple(other for other in fixes if other != fix)
    sets = [chosen for size in range(len(fixes)) for chosen in combinations(others, size)]
    # The Shapley value is what a fix adds on its turn, averaged over all orders of the fixes.
    turns = [order[: order.index(fix)] for order in permutations(fixes)]
    return {
        "alone": added(values, fix, ()),
        "leave_one_out": added(values, fix, others),
        "main_effect": np.mean([added(values, fix, chosen) for chosen in sets], axis=0),
        "shapley": np.mean([added(values, fix, before) for before in turns], axis=0),
    }


def test_effects_of_two_fixes_as_worked_by_hand() -> None:
    found = effects(["a", "b"], TWO_FIXES)
    assert found.as_posted.mean == pytest.approx(0.1)
    assert found.full_gain.mean == pytest.approx(0.81)
    means = {fix: {effect: estimate.mean for effect, estimate in of_fix} for fix, of_fix in found.fixes.items()}
    assert means == {
        "a": pytest.approx({"alone": 0.1, "leave_one_out": 0.76, "main_effect": 0.43, "shapley": 0.43}),
        "b": pytest.approx({"alone": 0.05, "leave_one_out": 0.71, "main_effect": 0.38, "shapley": 0.38}),
    }
    [pair] = found.interactions
    assert pair.fixes == ("a", "b")
    assert pair.mean == pytest.approx(0.66)
    assert found.smallest_sets == (("a", "b"),)
    assert [step.fix for step in found.greedy_path] == ["a", "b"]
    for figure, expected in (("score", [0.2, 0.91]), ("gain", [0.1, 0.81]), ("step", [0.1, 0.71])):
        assert [getattr(step, figure).mean for step in found.greedy_path] == pytest.approx(expected)
    json.dumps(found.model_dump(mode="json"), allow_nan=False)


@given(tables(min_fixes=2))
@settings(max_examples=30)
def test_an_interaction_is_how_much_more_a_fix_adds_with_the_other_on_average(values: np.ndarray) -> None:
    points, k = points_of(values), len(values).bit_length() - 1
    for a, b in permutations(range(k), 2):
        others = [fix for fix in range(k) if fix not in (a, b)]
        sets = [chosen for size in range(len(others) + 1) for chosen in combinations(others, size)]
        surplus = [added(values, a, (*chosen, b)) - added(values, a, chosen) for chosen in sets]
        found = attribution.interaction(points, a, b)
        assert found is not None
        np.testing.assert_allclose(found, np.mean(surplus, axis=0), rtol=0, atol=1e-12)


def test_intervals_are_over_seeds_and_paired() -> None:
    # The seeds differ by much, the gain of the one fix by nothing.
    found = effects(["a"], [[0.0, 0.25, 0.5], [0.5, 0.75, 1.0]])
    for estimate in (found.fixes["a"].shapley, found.full_gain):
        assert estimate is not None
        assert (estimate.mean, estimate.low, estimate.high) == (0.5, 0.5, 0.5)
    assert found.as_posted.low is not None
    assert found.as_posted.low < 0.25


@given(tables())
@settings(max_examples=30)
def test_effects_have_the_values_of_their_definitions(values: np.ndarray) -> None:
    points, k = points_of(values), len(values).bit_length() - 1
    fixes = range(k)
    for fix in fixes:
        for name, expected in by_definition(values, fix).items():
            found = attribution.fix_effect(points, k, fix, name)
            assert found is not None
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    shapley = [attribution.fix_effect(points, k, fix, "shapley") for fix in fixes]
    np.testing.assert_allclose(np.sum(np.array(shapley), axis=0), values[-1] - values[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # Bits: -    a    b   ab    c   ac    bc  abc
        ([0.0, 0.1, 0.2, 0.5, 0.0, 1.0, 0.95, 1.0], [[0, 2], [1, 2]]),
        ([0.0, 0.19, 0.18, 0.2], [[0]]),
        ([0.0, 0.1899, 0.18, 0.2], [[0, 1]]),
        # The gain counts, not the score.
        ([0.5, 0.96, 0.6, 1.0], [[0, 1]]),
        ([0.5, 0.75, 0.5, 0.5], []),
        ([0.5, 0.75, 0.5, 0.25], []),
    ],
)
def test_smallest_sets_are_all_of_the_least_size_with_95_percent_of_the_gain(
    values: list[float], expected: list[list[int]]
) -> None:
    points = points_of([[value] for value in values])
    assert attribution.smallest_sets(points, len(values).bit_length() - 1) == expected


def test_the_greedy_path_climbs_fastest_takes_the_first_of_equal_fixes_and_goes_on_if_the_score_falls() -> None:
    #                                   -     a     b    ab     c    ac    bc   abc
    points = points_of([[0.0], [0.5], [0.1], [0.6], [0.2], [0.9], [0.7], [0.8]])
    assert attribution.greedy_path(points, 3) == [0, 2, 1]
    # The means are equal, though 0.1 + 0.2 is not 0.3 in floats.
    points = points_of([[0.0, 0.0], [0.3, 0.0], [0.1, 0.2], [1.0, 1.0]])
    assert attribution.greedy_path(points, 2) == [0, 1]


@pytest.mark.filterwarnings("error")
def test_one_seed_gives_means_without_intervals_and_no_fix_no_effects() -> None:
    found = effects(["a"], [[0.25], [0.5]])
    assert found.fixes["a"].alone is not None
    assert (found.fixes["a"].alone.mean, found.fixes["a"].alone.low) == (0.25, None)
    found = effects([], [[0.25, 0.5]])
    assert (found.fixes, found.interactions, found.smallest_sets, found.greedy_path) == ({}, (), (), ())
    assert found.full_gain.mean == 0


# a and b are alternatives.
ALTERNATIVES = {0b000: [0.1, 0.1], 0b001: [0.2, 0.2], 0b010: [0.4, 0.4], 0b100: [0.3, 0.3]}
ALTERNATIVES |= {0b101: [0.5, 0.6], 0b110: [0.9, 0.9]}


def test_alternatives_have_what_they_do_alone_and_the_mean_over_the_sets_that_they_can_join() -> None:
    found = attribution.effects(["a", "b", "c"], ALTERNATIVES, 0)
    assert not found.complete
    means = {fix: {effect: each and each.mean for effect, each in of_fix} for fix, of_fix in found.fixes.items()}
    unknown = {"leave_one_out": None, "shapley": None}
    assert means == {
        "a": pytest.approx({"alone": 0.1, "main_effect": (0.1 + 0.25) / 2, **unknown}),
        "b": pytest.approx({"alone": 0.3, "main_effect": (0.3 + 0.6) / 2, **unknown}),
        "c": pytest.approx({"alone": 0.2, "main_effect": (0.2 + 0.35 + 0.5) / 3, **unknown}),
    }
    assert [pair.fixes for pair in found.interactions] == [("a", "c"), ("b", "c")]
    assert [pair.mean for pair in found.interactions] == pytest.approx([0.15, 0.3])
    json.dumps(found.model_dump(mode="json"), allow_nan=False)


def test_the_full_gain_of_alternatives_is_that_of_the_best_set_and_the_path_ends_where_none_can_be_added() -> None:
    found = attribution.effects(["a", "b", "c"], ALTERNATIVES, 0)
    assert found.full_gain.mean == pytest.approx(0.8)
    assert found.smallest_sets == (("b", "c"),)
    assert [step.fix for step in found.greedy_path] == ["b", "c"]
    # The best set need not be where the path ends.
    found = attribution.effects(["a", "b"], {0: [0.1], 1: [0.2], 2: [0.3]}, 0)
    assert found.full_gain.mean == pytest.approx(0.2)
    assert (found.smallest_sets, [step.fix for step in found.greedy_path]) == ((("b",),), ["b"])


def test_a_fix_whose_sets_were_not_trained_has_no_effect() -> None:
    found = attribution.effects(["a", "b"], {0: [0.1, 0.1], 2: [0.4, 0.3]}, 0)
    assert dict(found.fixes["a"]) == dict.fromkeys(("alone", "leave_one_out", "main_effect", "shapley"))
    assert found.fixes["a"].worth.mean is None
    assert found.fixes["b"].worth.mean == pytest.approx(0.25)
    assert found.smallest_sets == (("b",),)


@pytest.mark.parametrize(
    ("values", "message"),
    [({0: [], 1: []}, "one finite score per seed"), ({0: [0.1], 1: [math.nan]}, "one finite"), ({1: [0.5]}, "posted")],
    ids=["no seed", "not finite", "not as posted"],
)
def test_effects_refuse_scores_without_a_finite_one_per_seed_or_without_those_as_posted(
    values: Mapping[int, Sequence[float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        attribution.effects(["a"], values, 0)
