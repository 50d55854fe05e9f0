"""The HTML of the page: sound, escaped, and with the numbers and sentences of the results."""

import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import made_up
import numpy as np
import pytest

from page.reading import Page, page_of, plain, rows_of
from stages.analysis import attribution
from stages.analysis.results import BaselineResult, CaseResult, Estimate, RefusedPoint, VariantResult
from stages.base import files
from stages.page import numbers, view

MARKUP = "<script>alert('&')</script>"


@pytest.mark.parametrize("finite", [True, False])
@pytest.mark.parametrize("n_seeds", [1, 2])
@pytest.mark.parametrize(("n_fixes", "keras"), [(0, "3"), (1, "3"), (2, "2.2 3"), (3, "3 2.2"), (5, "2.2")])
def test_any_number_of_fixes_one_seed_two_conditions_and_diverged_runs_give_a_sound_page(
    n_fixes: int, keras: str, n_seeds: int, finite: bool
) -> None:
    scores = np.random.default_rng(n_fixes).uniform(0, 1, 2**n_fixes)
    page = Page(page_of(made_up.result(scores, n_seeds, finite=finite, keras=keras.split()), finite=finite))
    assert page.open == []
    ids = list(page.values("id"))
    assert len(ids) == len(set(ids))
    assert {name.removeprefix("#") for name in page.values("href") if name.startswith("#")} <= set(ids)
    assert {name for value in page.values("aria-labelledby") for name in value.split()} <= set(ids)
    assert all(tag != "img" or attributes.get("alt") for tag, attributes in page.elements)
    text = re.sub(r"\s+", " ", " ".join(page.text))
    assert not re.search(r"\b(nan|inf|None|Undefined)\b", text)
    assert ("not finite" in text) == (not finite)
    assert ("diverged" in text) == (not finite)
    assert ("interval" in text.split("All results")[0]) == (n_seeds > 1)


def test_equal_results_give_equal_bytes() -> None:
    assert page_of(made_up.result([0.1, 0.9])) == page_of(made_up.result([0.1, 0.9]))


def test_headings_are_nested_and_every_table_has_a_caption_and_scoped_headers() -> None:
    text = page_of(made_up.result([0.1, 0.2, 0.3, 0.9]))
    elements = Page(text).elements
    levels = [int(tag[1]) for tag, _ in elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))
    assert text.count("<table") == text.count("<caption") > 8
    assert all("scope" in attributes for tag, attributes in elements if tag == "th")


def test_all_text_from_params_is_escaped() -> None:
    result = made_up.result([0.1, 0.1, 0.2, 0.9])
    source = "https://x/?a=1&copy=\"onclick='b"
    content = result.model_copy(update={"title": MARKUP, "source": source}).model_dump_json()
    # Names, reasons, settings and published claims, wherever the result has them.
    for old in ('"a"', '"short"', "because of b", "10%", "the post", "l2"):
        content = content.replace(old, f'"{MARKUP}"' if old[0] == '"' else MARKUP)
    text = page_of(CaseResult.model_validate_json(content))
    assert MARKUP not in text.rpartition("</main>")[0]
    assert MARKUP not in text.rpartition("</main>")[2]
    page = Page(text)
    assert [tag for tag, _ in page.elements].count("script") == 3
    assert " ".join(page.text).count(MARKUP) > 20
    assert source in list(page.values("href"))
    assert not list(page.values("onclick"))


@pytest.mark.parametrize("runtime", ["let a = '</script>';", "let a = '</SCRIPT ';", "<!-- a"])
def test_javascript_that_would_end_its_script_element_is_refused(runtime: str) -> None:
    with pytest.raises(ValueError, match="script element"):
        page_of(made_up.result([0.1]), runtime=runtime)


def test_the_page_loads_nothing() -> None:
    text = page_of(made_up.result([0.1, 0.9]))
    page = Page(text)
    assert all(address.startswith("data:") for address in page.values("src"))
    links = [(tag, attrs["href"]) for tag, attrs in page.elements if not (attrs.get("href") or "#").startswith("#")]
    assert links == [("link", "data:,"), ("a", made_up.SOURCE)]
    assert not re.search(r"@import|url\(", text)


def test_the_tables_show_the_figures_of_the_result() -> None:
    result = made_up.result(
        [0.1, 0.4, 0.25, 0.9], baselines=(made_up.baseline("logistic", 0.8), made_up.baseline("floor", 0.05))
    )
    text = page_of(result)
    cells = {
        (attributes["data-name"], attributes.get("data-split"), attributes.get("data-gain")): attributes["data-value"]
        for _, attributes in Page(text).elements
        if "data-name" in attributes
    }
    measured: list[VariantResult | BaselineResult] = [*result.variants, *result.baselines]
    expected: dict[Any, float | None] = {
        (f"made-up.{one.label}", split, None): one.scores[split].mean for one in measured for split in one.scores
    }
    for variant in result.variants[1:]:
        expected |= {(f"made-up.{variant.name}", None, split): gain.mean for split, gain in variant.gain.items()}
    assert cells == {key: str(mean) for key, mean in expected.items()}
    # Dots, bar, test, training, variants; best first.
    assert [row[:2] + row[3:5] for row in rows_of(text, "bars cells")] == [
        ["on", "on", "90.0%", "90.0%"],
        ["on", "off", "40.0%", "40.0%"],
        ["off", "on", "25.0%", "25.0%"],
        ["off", "off", "10.0%", "10.0%"],
    ]
    assert [row[-1] for row in rows_of(text, "bars cells")] == ["fixed", "", "", "as_posted"]
    # Each of four effects, from their definitions: a adds 30 points alone and 65 after b.
    assert rows_of(text, "ways")[0] == [
        "a",
        "+30.0+30.0 to +30.0",
        "+65.0+65.0 to +65.0",
        "+47.5+47.5 to +47.5",
        "+47.5+47.5 to +47.5",
    ]
    assert rows_of(text, "references")[0][1:4] == ["0.1000", "0.2000", "✗ no ±0.05"]


def test_the_subsets_table_has_only_variants_on_a_subset() -> None:
    result = made_up.result([0.1, 0.9])
    part = page_of(result).split("On a part of the data")[1]
    assert rows_of(part, "bars wide subsets") == [
        ["few", "30 of 0, 70 of 1", "", "70.0%70.0% to 70.0%", "70%", "1: 2"],
    ]
    without = result.model_copy(update={"variants": result.variants[:-1]})
    assert "On a part of the data" not in page_of(without)


def facts(result: CaseResult) -> str:
    """Return the facts of a case under its first condition as a reader sees them."""
    return plain(page_of(result).split('<ul class="facts">')[1].split("</ul>")[0])


@pytest.mark.parametrize("n_seeds", [1, 2])
@pytest.mark.parametrize(
    ("scores", "sentence", "said"),
    [
        ([0.123], "No fix is suggested; as posted, the test accuracy is 12.3%.", ""),
        (
            [0.1, 0.9],
            "One change repairs the network: the test accuracy goes from 12.3% to 90.0%.",
            "The fix with Keras 3: a raises the test accuracy from 10.0% to 90.0%.",
        ),
        (
            [0.3, 0.2],
            "No tried combination of the fixes repairs the network; its test accuracy stays at 12.3%.",
            "The fix with Keras 3: it does not raise the test accuracy, which is 30.0% as posted and 20.0% "
            "with the fix.",
        ),
        (
            [0.3, 0.2, 0.2, 0.3],
            "No tried combination of the fixes repairs the network; its test accuracy stays at 12.3%.",
            "All fixes with Keras 3: together, they do not raise the test accuracy, which is 30.0% as posted and 30.0% "
            "with them.",
        ),
        (
            [0.1, 0.9, 0.9, 0.9],
            "One change repairs the network: the test accuracy goes from 12.3% to 90.0%.",
            "All fixes with Keras 3: together, they raise the test accuracy from 10.0% to 90.0%. Enough with Keras 3: "
            "a or b.",
        ),
        (
            [0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9],
            "Two changes repair the network: the test accuracy goes from 12.3% to 90.0%.",
            "Enough with Keras 3: a and c, or b and c.",
        ),
        (
            [0.9 if row.bit_count() > 1 else 0.1 for row in range(32)],
            "Two changes repair the network: the test accuracy goes from 12.3% to 90.0%.",
            "Enough with Keras 3: Two fixes, in 10 ways.",
        ),
    ],
)
def test_the_sentences_say_what_the_numbers_say(scores: list[float], sentence: str, said: str, n_seeds: int) -> None:
    result = made_up.result(scores, n_seeds)
    assert sentence in card(result)
    assert said in facts(result)


def test_every_condition_has_its_answer_its_facts_and_its_points_today_first() -> None:
    result = made_up.result([0.1, 0.2, 0.1, 0.9], keras=("2.2", "3"))
    text = page_of(result)
    today, then = card(result).split("In 2018, with Keras 2.2: 12.3% →becomes 90.0%")
    assert "answered today, with Keras 3" in today
    assert "Two changes repair the network today: the test accuracy goes from 12.3% to 90.0%." in today
    assert "Two changes repair the network in 2018: the test accuracy goes from 12.3% to 90.0%." in then
    for keras in ("2.2", "3"):
        assert text.count(f"Enough with Keras {keras}:") == 1
    assert text.count('<table class="bars cells"') == 2


def test_all_cards_show_the_score_on_the_same_split() -> None:
    by_training = made_up.result([0.1, 0.9], case="other", judged_by="train")
    cards = [plain(each) for each in page_of(made_up.result([0.1, 0.9]), by_training).split("</article>")[:2]]
    for each in cards:
        assert "12.3%test accuracy as posted→90.0%test accuracy repaired" in each
    judged = "The training accuracy, by which the fixes are compared, goes from 12.3% to 90.0%."
    assert [judged in each for each in cards] == [False, True]
    untested = by_training.model_copy(update={"data": made_up.data(rows={"train": 50})})
    assert view.shown_split((by_training, untested)) == "train"


def test_a_claim_is_undecided_if_the_interval_does_not_tell() -> None:
    scores = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.9, 0.9]])
    effects = attribution.effects("ab", dict(enumerate(scores.tolist())), 0)
    result = made_up.result([0.1, 0.5, 0.9, 0.9], effects={"3": {"train": effects, "test": effects}})
    undecided = "the intervals do not tell whether a changes the score by less than 1 point alone."
    assert f"Undecided with Keras 3: {undecided}" in facts(result)


def card(result: CaseResult) -> str:
    """Return the card of a case as a reader sees it."""
    return plain(page_of(result).split("</article>")[0].rpartition("<article")[2])


NO_BETTER = "the network is no better than always giving the same answer"


@pytest.mark.parametrize(("floor", "said"), [(0.05, False), (0.112, False), (0.114, True), (0.2, True), (None, False)])
def test_a_network_as_posted_that_is_no_better_than_always_giving_the_same_answer_is_called_so(
    floor: float | None, said: bool
) -> None:
    # As posted it reaches 12.3%, and less than a point counts as nothing.
    baselines = (made_up.baseline("logistic", 0.8), *(() if floor is None else (made_up.baseline("floor", floor),)))
    text = facts(made_up.result([0.123, 0.9], baselines=baselines))
    assert (NO_BETTER in text) == said
    if said:
        assert f"{NO_BETTER} ({numbers.percent(floor)})." in text


def test_a_network_as_posted_is_compared_with_the_floor_under_each_condition() -> None:
    result = made_up.result([0.1, 0.9], keras=("2.2", "3"), baselines=(made_up.baseline("floor", 0.1),))
    better = made_up.variant("as_posted", (), result.seeds, 0.5, "as_posted@3")
    old = result.variant("as_posted", "2.2")
    mixed = tuple({"as_posted@2.2": old, "as_posted@3": better}.get(each.label, each) for each in result.variants)
    worse = old.model_copy(update={"scores": made_up.variant("a", (), (0,), 0.1).scores})
    mixed = tuple(worse if each is old else each for each in mixed)
    assert f"As posted with Keras 2.2: {NO_BETTER}" in plain(page_of(result.model_copy(update={"variants": mixed})))
    assert NO_BETTER not in facts(result.model_copy(update={"variants": mixed}))


def test_of_alternatives_the_page_names_the_best_set_and_says_what_was_not_measured() -> None:
    # a and b are alternatives, so that ab and abc are missing. c helps b most.
    scores = made_up.by_names({"": 0.1, "a": 0.4, "b": 0.2, "ab": 0.0, "c": 0.1, "ac": 0.5, "bc": 0.9, "abc": 0.0})
    result = made_up.result(scores, measured=lambda row: row & 3 != 3)
    text = page_of(result)
    assert (
        "The best set with Keras 3: b and c raise the test accuracy from 10.0% to 90.0%. Some of the fixes are "
        "alternatives, which are never combined. Enough with Keras 3: b and c."
    ) in facts(result)
    assert "Nothing alone with Keras 3: c." in facts(result)
    for false in ("all 3 fixes", "all fixes", "Necessary", "Shapley", "Four ways"):
        assert false not in plain(text.split("<main>")[1])
    assert [row[0] for row in rows_of(text, "bars wide")] == ["as posted", "+ a", "+ c"]
    assert rows_of(text, "ways")[0] == ["b", "+10.0+10.0 to +10.0", "+45.0+45.0 to +45.0"]
    assert len(rows_of(text, "bars cells")) == 6


def test_what_keras_refuses_is_named_with_its_reason_and_a_fix_without_a_trained_set_has_no_worth() -> None:
    refused = tuple(RefusedPoint(fixes=fixes, keras="3", reason="no <such> shape") for fixes in (("a",), ("a", "b")))
    result = made_up.result([0.1, 0.0, 0.9, 0.0], measured=lambda row: not row & 1, refused=refused)
    text = page_of(result)
    assert "Keras refuses to train 2 further combinations: a: no <such> shapea and b: no <such> shape" in plain(text)
    assert "Keras refuses some sets of the fixes." in facts(result)
    assert rows_of(text, "ways") == [["b", "+80.0+80.0 to +80.0", "+80.0+80.0 to +80.0"], ["a", "none", "none"]]


def test_all_fixes_are_told_from_the_best_set_in_any_order_of_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(made_up, "FIXES", "ba")
    result = made_up.result([0.1, 0.2, 0.9, 0.8])
    # The keys of a mapping are sorted in the file of a result.
    read = CaseResult.model_validate_json(files.json_text(result.model_dump(mode="json")))
    assert "together, they raise the test accuracy from 10.0% to 80.0%." in facts(read)


def test_alternatives_none_of_which_helps_are_said_to_gain_nothing() -> None:
    assert (
        "The best set with Keras 3: no set of the 2 fixes raises the test accuracy, which is 30.0% as posted and 30.0% "
        "with the best set."
    ) in facts(made_up.result([0.3, 0.1, 0.2, 0.0], measured=lambda row: row != 3))


def test_a_regression_has_r2_its_errors_and_tenths_instead_of_classes() -> None:
    result = made_up.regression([-3.0, 0.5], n_seeds=1)
    text = page_of(result)
    page = Page(text)
    assert page.open == []
    words = plain(text.split("<main>")[1])
    assert "raises the test R² from −3.000 to 0.500" in words
    assert "mae 12.500, rmse 20.250" in words
    assert "A row is a tenth of the measured values, from low to high" in words
    assert "In what fixes are worth, an R² below −100%, or none, counts as −100%." in words
    assert rows_of(text, "confusion")[0][0] == "tenth 1"
    assert "accuracy" not in words
    assert not re.search(r"\b(nan|inf|None|Undefined)\b", words)


def test_an_r2_far_below_zero_is_shown_as_it_is_though_it_counts_as_a_bound_in_effects() -> None:
    result = made_up.regression([-3.0, 0.5], n_seeds=1)
    bounded = attribution.effects(["a"], {0: [-1.0], 1: [0.5]}, 0)
    text = page_of(result.model_copy(update={"effects": {"3": {"train": bounded, "test": bounded}}}))
    assert "raises the test R² from −3.000 to 0.500" in plain(text)


def test_labels_are_counted_as_no_and_yes() -> None:
    labels = made_up.data(classes=("red", "round"), axis=("no", "yes"), balance=(0.5, 0.25), pictures=False)
    original = made_up.result([0.1, 0.9])
    counts = {"confusion": ((30, 10), (5, 15)), "recall": (0.75, 0.75)}
    variants = tuple(each.model_copy(update=counts) for each in original.variants if not each.subset)
    text = page_of(original.model_copy(update={"task": "multilabel", "data": labels, "variants": variants}))
    assert rows_of(text, "confusion") == [["no", "75", "25"], ["yes", "25", "75"]]
    assert "A row is a label" in plain(text)


def test_without_a_test_split_the_gains_are_on_the_splits_that_there_are() -> None:
    def without_test(figures: Any) -> Any:
        return {"train": figures["train"], "validation": figures["train"]}

    original = made_up.result([0.1, 0.9])
    variants = tuple(
        each.model_copy(update={name: without_test(getattr(each, name)) for name in ("scores", "gain", "measures")})
        for each in original.variants
        if not each.subset
    )
    effects = {"3": without_test(original.effects["3"])}
    points = tuple(each.model_copy(update={"scores": without_test(each.scores)}) for each in original.points)
    changed = {
        "judged_by": "validation",
        "repairs": {"3": ()},
        "data": made_up.data(rows={"train": 50, "validation": 20}, pictures=False),
    }
    text = page_of(original.model_copy(update={**changed, "variants": variants, "effects": effects, "points": points}))
    assert "gain (validation)" in text
    assert "gain (test)" not in text
    assert 'data-gain="validation"' in text


def test_the_list_names_what_stands_out_and_says_beside_its_first_use_what_a_word_means() -> None:
    scores = {"": 0.1, "a": 0.1, "b": 0.1, "c": 0.05, "ab": 0.9, "ac": 0.1, "bc": 0.1, "abc": 0.8}
    result = made_up.result(made_up.by_names(scores), keras=("2.2", "3"))
    said = facts(result)
    meanings = (
        "Fixes are enough if they reach 95% of the gain of all fixes, and no smaller set does.",
        "A fix is necessary if at least 50% of the gain of all fixes is lost without it.",
        "A fix does nothing alone if, added to the network as posted, it changes the score by less than 1 point.",
        "A fix costs score if it lowers the score by at least 1 point, averaged over all orders of adding the fixes.",
    )
    enough, necessary, nothing_alone, costs = meanings
    assert f"Enough with Keras 3: a and b. In 2 of 2 seeds, the test accuracy reaches 76.5%. {enough}" in said
    assert (
        "Necessary with Keras 3: a. Without it, all other fixes together reach 10.0%. With it, they reach 80.0%. "
        f"{necessary} Necessary with Keras 3: b." in said
    )
    assert f"Nothing alone with Keras 3: a and b. {nothing_alone}" in said
    assert "Work together with Keras 3: together, a and b add 72.5 points more than one by one." in said
    assert f"Costs score with Keras 3: c, −5.0 points. {costs}" in said
    text = plain(page_of(result))
    assert "Enough with Keras 2.2: a and b." in text
    assert [text.count(meaning) for meaning in meanings] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        (numbers.percent, {0.1141: "11.4%", 1: "100.0%", -0.05: "−5.0%", -9e9: "below −1000%", None: "not finite"}),
        (numbers.points, {0.1: "+10.0", -0.1: "−10.0", -0.0004: "0.0", 0.0: "0.0", None: "not finite"}),
        (numbers.number, {-55.02837: "−55.0284", -6.8e8: "−6.80e+08", 1e300: "1.00e+300", math.nan: "not finite"}),
    ],
)
def test_shares_gains_and_losses_are_shown_as_a_reader_expects_them(
    form: Callable[[float | None], str], texts: dict[float | None, str]
) -> None:
    assert {value: form(value) for value in texts} == texts


@pytest.mark.parametrize(
    "values", [[], [0.0], [0.3, None], [-0.17, 0.52], [-0.001, 0.002], [-1.0, 1.0], [0.95], [-0.3, -0.1]]
)
def test_an_axis_holds_zero_and_every_value_between_few_round_ticks(values: list[float | None]) -> None:
    axis = numbers.axis_of(Estimate(mean=value, low=None, high=None) for value in values)
    finite = [0.0, *(value for value in values if value is not None)]
    assert axis.low <= min(finite)
    assert axis.high >= max(finite)
    assert 2 <= len(axis.ticks) <= numbers.MOST_TICKS
    assert axis.ticks[0] == axis.low
    assert axis.ticks[-1] == pytest.approx(axis.high)
    assert (axis.at(-9.0), axis.at(9.0)) == ("0.00%", "100.00%")


def luminance(color: str) -> float:
    """Return the relative luminance of ``#rrggbb`` (WCAG 2)."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(scheme: str) -> None:
    css = page_of(made_up.result([0.1]))
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part)) for part in css.split("@media screen")[:2])
    colors = light if scheme == "light" else light | dark
    pairs = [(text, behind) for text in ("ink", "muted") for behind in ("page", "surface", "soft")]
    pairs += [("ink", "added"), ("ink", "removed")]
    pairs += [(text, "page") for text in ("link", "green", "orange", "blue")] + [("blue", "surface")]
    pairs += [("on-low", f"q{shade}") for shade in (1, 2, 3, 4)] + [("on-high", f"q{shade}") for shade in (5, 6, 7, 8)]
    for text, behind in pairs:
        brighter, darker = sorted((luminance(colors[text]), luminance(colors[behind])), reverse=True)
        assert (brighter + 0.05) / (darker + 0.05) >= 4.5, (text, behind)
