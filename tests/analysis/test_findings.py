"""Findings among made-up scores, and the advice that follows from it."""

from collections.abc import Mapping, Sequence
from typing import Any

import made_up
import pytest

from stages.analysis import findings
from stages.analysis.results import CaseResult

# Nothing without a. With it, b or c is enough, and c adds little to b.
STORY = {"": 0.1, "a": 0.1, "b": 0.1, "c": 0.3, "ab": 0.9, "ac": 0.8, "bc": 0.1, "abc": 0.91}


def result(scores: Mapping[str, float], variants: Mapping[str, Sequence[str]] | None = None) -> CaseResult:
    """Return a case with these scores by the letters of the fixes that are on."""
    return made_up.result(made_up.by_names(scores), variants=variants)


def find(scores: Mapping[str, float]) -> findings.Findings:
    return findings.find(result(scores), "3", "test")


def test_what_stands_out_is_found() -> None:
    found = find(STORY)
    assert found.gains
    assert found.necessary == pytest.approx({"a": 0.1})
    # The full gain is 81 points; 95% of it needs two fixes.
    assert found.enough == (("a", "b"),)
    # a and b: 80 points without c, and 91 - 80 - 10 + 30 = 31 points with it.
    assert found.idle == ["a", "b"]
    assert found.harmful == {}
    assert found.helping is not None
    assert found.helping.fixes == ("a", "b")
    assert found.helping.mean == pytest.approx((0.8 + 0.31) / 2)
    assert found.hindering is not None
    assert found.hindering.fixes == ("b", "c")
    assert found.hindering.mean == pytest.approx((-0.2 - 0.69) / 2)
    assert found.substitutes


@pytest.mark.parametrize(("without", "necessary"), [(0.5, {"b": 0.25, "a": 0.5}), (0.51, {"b": 0.25})])
def test_a_fix_is_necessary_if_half_of_the_gain_is_lost_without_it_and_the_greatest_loss_comes_first(
    without: float, necessary: dict[str, float]
) -> None:
    found = find({"": 0.125, "a": 0.25, "b": without, "ab": 0.875}).necessary
    assert list(found.items()) == list(necessary.items())


def test_a_fix_that_surely_lowers_the_score_over_all_orders_is_harmful() -> None:
    original = result({"": 0.1, "a": 0.9, "b": 0.1, "ab": 0.8})
    assert findings.find(original, "3", "test").harmful == pytest.approx({"b": -0.05})
    # If its interval reaches zero, the loss is not sure.
    effects = original.effects["3"]["test"]
    b = effects.fixes["b"]
    assert b.shapley is not None
    unsure = b.model_copy(update={"shapley": b.shapley.model_copy(update={"high": 0.01})})
    changed = effects.model_copy(update={"fixes": effects.fixes | {"b": unsure}})
    assert findings.find(original.model_copy(update={"effects": {"3": {"test": changed}}}), "3", "test").harmful == {}


@pytest.mark.parametrize("scores", [{"": 0.5}, {"": 0.5, "a": 0.5}, {"": 0.5, "a": 0.2, "b": 0.3, "ab": 0.505}])
def test_nothing_is_necessary_if_all_fixes_gain_less_than_a_point(scores: dict[str, float]) -> None:
    found = find(scores)
    assert not found.gains
    assert found.necessary == {}
    assert findings.advice(result(scores), "3", "test") is None


def test_fixes_replace_each_other_only_if_each_adds_score_and_a_point_is_nothing() -> None:
    assert find({"": 0.1, "a": 0.9, "b": 0.9, "ab": 0.95}).substitutes
    found = find({"": 0.1, "a": 0.9, "b": 0.12, "ab": 0.85})
    assert found.hindering is not None
    assert not found.substitutes
    found = find({"": 0.1, "a": 0.4, "b": 0.3, "ab": 0.605})
    assert (found.helping, found.hindering, found.substitutes) == (None, None, False)


def test_the_advice_compares_what_lacks_the_necessary_fix_with_what_has_it() -> None:
    def names(points: Sequence[Any]) -> list[str]:
        return ["".join(point.fixes) for point in points]

    advice = findings.advice(result(STORY, {"comment": "bc"}), "3", "test")
    assert advice is not None
    assert advice.fix == "a"
    assert names(advice.without) == ["", "bc"]
    assert names(advice.paired) == names(advice.better) == ["ab", "ac"]
    assert advice.advised is not None
    assert advice.completed is not None
    assert (advice.advised.variants, names([advice.completed])) == (("comment",), ["abc"])
    # Without a variant of two fixes.
    advice = findings.advice(result(STORY, {"one": "b"}), "3", "test")
    assert advice is not None
    assert names(advice.without) == ["", "b", "bc"]
    assert (advice.advised, advice.completed, advice.better) == (None, None, [])
    assert findings.advice(result({"": 0.1, "a": 0.9}), "3", "test") is None


def test_of_alternatives_no_fix_is_called_necessary_and_a_loss_is_one_of_the_main_effect() -> None:
    # Without ab: a and b are alternatives.
    alternatives = made_up.result([0.5, 0.9, 0.2, 0.0], measured=lambda row: row != 3)
    found = findings.find(alternatives, "3", "test")
    assert found.gains
    assert (found.necessary, found.enough) == ({}, (("a",),))
    assert found.harmful == pytest.approx({"b": -0.3})
    assert (found.helping, found.hindering, found.substitutes) == (None, None, False)
    assert findings.advice(alternatives, "3", "test") is None


def test_a_point_without_a_finite_score_counts_as_the_least() -> None:
    point = result({"": 0.5}).points[0]
    nothing = point.scores["test"].model_copy(update={"mean": None})
    assert findings.mean(point, "test") == 0.5
    assert findings.mean(point.model_copy(update={"scores": {"test": nothing}}), "test") == findings.LEAST
