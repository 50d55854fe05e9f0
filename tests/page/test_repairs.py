"""The page of a case with repairs, searched or not: the answer, the search behind it, and symptoms."""

import html
import re

import made_up
import made_up_search
import pytest

from page.reading import Page, page_of, plain, rows_of
from stages.analysis.path import path_to_repair
from stages.analysis.results import CaseResult, Remark
from stages.page import symptoms


def card(result: CaseResult) -> str:
    """Return the card of a case as a reader sees it."""
    return plain(page_of(result).split("</article>")[0].rpartition("<article")[2])


def plain_code(text: str) -> str:
    """Return lines of code as a reader copies them."""
    return html.unescape(text.replace("<wbr>", ""))


@pytest.mark.parametrize("keras", [("3",), ("2.2", "3")])
@pytest.mark.parametrize("repaired", [True, False])
def test_a_searched_case_gives_a_sound_page_with_and_without_a_repair(keras: tuple[str, ...], repaired: bool) -> None:
    result = made_up_search.searched(keras)
    if not repaired:
        as_posted = tuple(variant for variant in result.variants if variant.name == "as_posted")
        result = result.model_copy(
            update={"repairs": dict.fromkeys(keras, ()), "variants": as_posted, "fixed": "as_posted"}
        )
    text = page_of(result)
    page = Page(text)
    assert page.open == []
    ids = list(page.values("id"))
    assert len(ids) == len(set(ids))
    assert {name for value in page.values("aria-labelledby") for name in value.split()} <= set(ids)
    assert text.count("<table") == text.count("<caption")
    assert not re.search(r"\b(nan|inf|None|Undefined)\b", " ".join(page.text))
    assert ('class="diff"' in text) == repaired


def test_the_card_says_what_repairs_the_network_in_how_many_seeds_and_what_each_fix_is_worth() -> None:
    result = made_up_search.searched()
    text = page_of(result)
    shown = card(result)
    assert "11.2%test accuracy as posted→96.5%test accuracy repaired" in shown
    assert "Three changes repair the network: the test accuracy goes from 11.2% to 96.5%." in shown
    repaired = "In 9 of 10 fresh seeds, the test accuracy reaches 92.7%. No change can be left out."
    assert f"Repair with Keras 3: softmax_output, scaled_inputs and adam. {repaired}" in plain(text)
    assert rows_of(text, "bars") == [
        ["softmax_output", "", "+85.5+84.5 to +86.5"],
        ["adam", "", "+54.5+53.5 to +55.5"],
        ["scaled_inputs", "", "+41.5+40.5 to +42.5"],
    ]
    assert "12% of the training rows are there twice." in shown
    assert "https://example.org/softmax" in Page(text).values("href")


def test_the_lines_to_change_are_marked_as_taken_out_and_put_in() -> None:
    text = page_of(made_up_search.searched())
    lines = text.partition('<pre class="diff"')[2].partition("</pre>")[0]
    changed = {
        mark: [plain_code(line) for line in re.findall(f"<{mark}>(.*?)</{mark}>", lines)] for mark in ("del", "ins")
    }
    assert '-     keras.layers.Dense(1, activation="sigmoid"),' in changed["del"]
    assert '+     keras.layers.Dense(10, activation="softmax"),' in changed["ins"]
    assert any("Rescaling" in line for line in changed["ins"])
    script = plain_code(text.partition('<pre class="script"><code>')[2].partition("</code>")[0])
    compile(script, "repaired.py", "exec")


def test_the_search_names_equivalents_what_does_nothing_what_hurts_and_every_trained_point() -> None:
    result = made_up_search.searched()
    text = page_of(result)
    words = plain(text.split("<main>")[1])
    assert "Equivalent with Keras 3: adam or higher_rate." in words
    assert "Nothing alone with Keras 3: wider_hidden. A fix does nothing alone if, added to the network" in words
    assert "Costs score with Keras 3: smaller_batches. A fix costs score if adding it to the best set" in words
    assert "Not tried with Keras 3: more_epochs" in words
    assert "in 26 trainings" in words
    tables = re.findall(r'<table class="bars wide with".*?</table>', text, re.DOTALL)
    repairs, path, steps = (rows_of(table, "bars wide with") for table in tables)
    assert [row[0] for row in repairs] == [
        "softmax_output, scaled_inputs and adam",
        "softmax_output, scaled_inputs and higher_rate",
    ]
    assert [row[0] for row in path] == ["as posted", "+ softmax_output and adam", "+ scaled_inputs"]
    assert [row[0] for row in steps] == [
        "1: as posted",
        "2: + softmax_output and scaled_inputs",
        "3: + adam, relu_hidden, more_epochs and wider_hidden",
    ]
    assert len(rows_of(text, "bars cells")) == len(result.points)
    for absent in ("Shapley", "Four ways", "every combination", "Interactions"):
        assert absent not in words


def test_the_path_adds_as_few_fixes_as_the_trained_points_allow() -> None:
    steps = path_to_repair(made_up_search.searched(), "3")
    assert [step.added for step in steps] == [(), ("softmax_output", "adam"), ("scaled_inputs",)]
    assert [step.score.mean for step in steps] == pytest.approx([0.112, 0.55, 0.9655])
    none = made_up_search.searched(repairs={"3": ()})
    assert path_to_repair(none, "3")[-1].score.mean == 0.97


def test_a_symptom_that_the_repair_takes_away_is_said_and_another_is_not() -> None:
    before, after = made_up_search.symptoms(1.0, 0.95), made_up_search.symptoms(0.3, 0.95)
    said = symptoms.evidence(before, after)
    assert (
        "As posted, after the first epoch, 100% of the outputs are saturated; repaired, 30% of the outputs are"
        in said[0]
    )
    assert not any("dead" in sentence for sentence in said)
    assert "95% of the units of hidden are dead." in " ".join(symptoms.evidence(before, None))
    diverged = made_up_search.symptoms(0.0, 0.0, first_not_finite=7)
    assert symptoms.evidence(diverged, after)[0] == "As posted, the loss is not finite from step 7 on."
    table = rows_of(page_of(made_up_search.searched()), "symptoms")
    assert ["hidden", "95%", "–", "0.031", "0.0015"] in table


def test_a_number_that_misleads_stands_beside_the_score_and_its_text_is_escaped() -> None:
    remark = Remark(kind="accuracy_on_logits", text="<b>0.5</b> & logits")
    text = page_of(made_up_search.searched(misleading=(remark,)))
    assert rows_of(text, "printed") == [["as_posted", "50.0%", "11.2%"]]
    assert "<b>0.5</b> & logits" not in text
    assert "<b>0.5</b> & logits" in html.unescape(text)


def test_a_full_factorial_with_repairs_has_the_answer_in_code_beside_its_effects() -> None:
    repairs = {"3": made_up_search.searched().repairs["3"][:1]}
    searched = made_up_search.searched()
    full = made_up.result([0.1, 0.2, 0.3, 0.9], as_posted=searched.as_posted)
    names = repairs["3"][0].fixes[:2]
    fixes = tuple(fix.model_copy(update={"name": name}) for fix, name in zip(full.fixes, "ab", strict=True))
    repair = repairs["3"][0].model_copy(
        update={
            "fixes": ("a", "b"),
            "worth": dict(zip("ab", [repairs["3"][0].worth[name] for name in names], strict=True)),
        }
    )
    text = page_of(full.model_copy(update={"fixes": fixes, "repairs": {"3": (repair,)}}))
    assert 'class="diff"' in text
    assert "What each fix is worth, in several ways" in text
    assert "In 9 of 10 seeds" in plain(text)
