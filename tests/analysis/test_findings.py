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
    return findings.find(result(scores), "test")


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


def test_necessary_fixes_are_in_the_order_of_what_is_lost_without_them() -> None:
    found = find({"": 0.1, "a": 0.1, "b": 0.4, "ab": 0.9})
    assert list(found.necessary) == ["b", "a"]
    assert found.necessary == pytest.approx({"a": 0.4, "b": 0.1})


@pytest.mark.parametrize(("without", "necessary"), [(0.5, True), (0.51, False)])
def test_a_fix_is_necessary_if_half_of_the_gain_is_lost_without_it(without: float, necessary: bool) -> None:
    scores = {"": 0.125, "a": 0.875, "b": without, "ab": 0.875}
    assert ("a" in find(scores).necessary) == necessary


def test_a_fix_that_lowers_the_score_over_all_orders_is_harmful() -> None:
    found = find({"": 0.1, "a": 0.9, "b": 0.1, "ab": 0.8})
    assert found.harmful == pytest.approx({"b": -0.05})
    assert found.idle == ["b"]


def test_a_loss_whose_interval_reaches_zero_is_not_harmful() -> None:
    original = result({"": 0.1, "a": 0.9, "b": 0.1, "ab": 0.8})
    effects = original.effects["test"]
    b = effects.fixes["b"]
    unsure = b.model_copy(update={"shapley": b.shapley.model_copy(update={"high": 0.01})})
    changed = effects.model_copy(update={"fixes": effects.fixes | {"b": unsure}})
    assert findings.find(original.model_copy(update={"effects": {"test": changed}}), "test").harmful == {}


@pytest.mark.parametrize("scores", [{"": 0.5}, {"": 0.5, "a": 0.5}, {"": 0.5, "a": 0.2, "b": 0.3, "ab": 0.505}])
def test_nothing_is_necessary_if_all_fixes_gain_less_than_a_point(scores: dict[str, float]) -> None:
    found = find(scores)
    assert not found.gains
    assert found.necessary == {}
    assert findings.advice(result(scores), "test") is None


def test_pairs_within_a_point_neither_help_nor_hinder() -> None:
    found = find({"": 0.1, "a": 0.4, "b": 0.3, "ab": 0.605})
    assert (found.helping, found.hindering, found.substitutes) == (None, None, False)


@pytest.mark.parametrize(("alone", "substitutes"), [(0.9, True), (0.12, False)])
def test_fixes_replace_each_other_only_if_each_adds_score(alone: float, substitutes: bool) -> None:
    found = find({"": 0.1, "a": 0.9, "b": alone, "ab": 0.85 if not substitutes else 0.95})
    assert found.hindering is not None
    assert found.substitutes == substitutes


def names(points: Sequence[Any]) -> list[str]:
    return ["".join(point.fixes) for point in points]


def test_the_advice_compares_what_lacks_the_necessary_fix_with_what_has_it() -> None:
    advice = findings.advice(result(STORY, {"comment": "bc"}), "test")
    assert advice is not None
    assert advice.fix == "a"
    assert names(advice.without) == ["", "bc"]
    assert names(advice.paired) == ["ab", "ac"]
    assert advice.advised is not None
    assert advice.completed is not None
    assert (advice.advised.variants, names([advice.completed])) == (("comment",), ["abc"])
    assert names(advice.better) == ["ab", "ac"]


def test_without_a_variant_of_two_fixes_the_advice_compares_all_other_fixes() -> None:
    advice = findings.advice(result(STORY, {"one": "b"}), "test")
    assert advice is not None
    assert names(advice.without) == ["", "b", "bc"]
    assert (advice.advised, advice.completed, advice.better) == (None, None, [])


def test_a_single_fix_has_no_advice() -> None:
    assert findings.advice(result({"": 0.1, "a": 0.9}), "test") is None
