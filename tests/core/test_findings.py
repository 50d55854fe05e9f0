from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages.core import findings, params, statistics
from stages.core.findings import Cells

FIGURE = "test_accuracy"


def table(fixes: list[str], values: np.ndarray) -> pd.DataFrame:
    """cells.csv of accuracies [2^k, seeds], training a tenth above test."""
    rows = [
        ["x", *(bool(row >> bit & 1) for bit in range(len(fixes))), seed, value + 0.1, value, 1.0, False]
        for row, seeds in enumerate(values)
        for seed, value in enumerate(seeds)
    ]
    return pd.DataFrame(
        rows, columns=["case", *fixes, "seed", "train_accuracy", "test_accuracy", "final_loss", "diverged"]
    )


def case_of(settings: params.Params, fixes: list[str]) -> params.Case:
    """ex4 with `fixes` that all do the same."""
    block = settings.cases["ex4"].model_dump(mode="json")
    block |= {"fixes": {fix: {"why": "so", "set": {"l2": 0.5}} for fix in fixes}, "published": []}
    return params.Case.model_validate(block)


def measured(
    settings: params.Params, accuracies: dict[str, float], variants: dict[str, list[str]] | None = None
) -> tuple[dict[str, Any], Cells]:
    """Effects and cells from accuracies by the initials of the fixes that are on: ``{"": 0.1, "a": 0.2}``."""
    fixes = sorted({fix for on in accuracies for fix in on})
    values = np.zeros((2 ** len(fixes), 2))
    for row in range(len(values)):
        on = "".join(fix for bit, fix in enumerate(fixes) if row >> bit & 1)
        # Two seeds, a hair apart.
        values[row] = np.round([accuracies[on] - 0.001, accuracies[on] + 0.001], 4)
    named = {name: params.Variant(case="ex4", fixes=tuple(on)) for name, on in (variants or {}).items()}
    cells = findings.read_cells(table(fixes, values), case_of(settings, fixes), named)
    return statistics.effects(fixes, values, 0), cells


# Nothing without a; then b or c is enough, and c adds little to b.
STORY = {"": 0.1, "a": 0.1, "b": 0.1, "c": 0.3, "ab": 0.9, "ac": 0.8, "bc": 0.1, "abc": 0.91}


def test_a_cell_has_the_accuracies_of_its_runs_and_the_variants_that_are_it(settings: params.Params) -> None:
    _, cells = measured(settings, STORY, {"plain": [], "both": ["b", "a"]})
    assert len(cells) == 8
    assert findings.mean(cells["a", "b"], FIGURE) == pytest.approx(0.9)
    assert findings.mean(cells["a", "b"], "train_accuracy") == pytest.approx(1.0)
    assert {fixes: cell.variants for fixes, cell in cells.items() if cell.variants} == {
        (): ("plain",),
        ("a", "b"): ("both",),
    }


def test_a_variant_with_further_settings_is_no_cell(settings: params.Params) -> None:
    longer = params.Variant(case="ex4", fixes=("a",), set={"epochs": 9})
    cells = findings.read_cells(table(["a"], np.ones((2, 1))), case_of(settings, ["a"]), {"longer": longer})
    assert not any(cell.variants for cell in cells.values())


def test_the_runs_of_a_cell_that_diverged_are_counted(settings: params.Params) -> None:
    runs = table(["a"], np.ones((2, 3)))
    runs.loc[runs["a"] & (runs["seed"] > 0), "diverged"] = True
    cells = findings.read_cells(runs, case_of(settings, ["a"]), {})
    assert {fixes: cell.diverged for fixes, cell in cells.items()} == {(): 0, ("a",): 2}


def test_what_stands_out_is_found(settings: params.Params) -> None:
    effects, cells = measured(settings, STORY)
    found = findings.find(effects, cells, FIGURE)
    assert found.gains
    assert found.necessary == pytest.approx({"a": 0.1})
    assert found.idle == ["a", "b"]
    assert found.harmful == {}
    assert found.enough == [["a", "b"]]
    assert found.helping is not None
    assert found.helping["fixes"] == ["a", "b"]
    assert found.hindering is not None
    assert found.hindering["fixes"] == ["b", "c"]
    assert found.substitutes


def test_necessary_fixes_are_ordered_by_what_is_lost_without_them(settings: params.Params) -> None:
    effects, cells = measured(settings, {"": 0.1, "a": 0.3, "b": 0.1, "ab": 0.9})
    assert list(findings.find(effects, cells, FIGURE).necessary) == ["a", "b"]


def test_a_fix_that_costs_accuracy_is_no_substitute_but_harmful(settings: params.Params) -> None:
    effects, cells = measured(settings, {"": 0.1, "a": 0.8, "b": 0.1, "ab": 0.5})
    found = findings.find(effects, cells, FIGURE)
    assert found.harmful == pytest.approx({"b": -0.15})
    assert found.helping is None
    assert found.hindering is not None
    assert not found.substitutes


@pytest.mark.parametrize("last", [0.1, 0.104, 0.05])
def test_without_a_gain_no_fix_is_necessary(settings: params.Params, last: float) -> None:
    effects, cells = measured(settings, {"": 0.1, "a": 0.2, "b": 0.1, "ab": last})
    found = findings.find(effects, cells, FIGURE)
    assert not found.gains
    assert not found.necessary
    assert findings.advice(effects, cells, FIGURE) is None


def test_advice_that_lacks_the_necessary_fix_is_set_against_it_with_any_one_other(settings: params.Params) -> None:
    effects, cells = measured(settings, STORY, {"as_posted": [], "comment": ["b", "c"], "one": ["c"]})
    advice = findings.advice(effects, cells, FIGURE)
    assert advice is not None
    assert advice.fix == "a"
    assert [cell.fixes for cell in advice.without] == [(), ("c",), ("b", "c")]
    assert [cell.fixes for cell in advice.paired] == [("a", "b"), ("a", "c")]
    assert advice.advised is cells["b", "c"]
    assert advice.completed is cells["a", "b", "c"]
    assert advice.better == advice.paired


def test_where_no_variant_lacks_the_necessary_fix_there_is_no_advice_to_judge(settings: params.Params) -> None:
    effects, cells = measured(settings, STORY, {"as_posted": [], "fixed": ["a", "b", "c"]})
    advice = findings.advice(effects, cells, FIGURE)
    assert advice is not None
    assert (advice.advised, advice.completed, advice.better) == (None, None, [])
    assert [cell.fixes for cell in advice.without] == [(), ("b", "c")]


def test_the_table_of_effects_has_a_row_an_accuracy_fix_and_effect(settings: params.Params) -> None:
    effects, _ = measured(settings, STORY)
    rows = findings.effects_table({"train_accuracy": effects, "test_accuracy": effects})
    assert len(rows) == 2 * 3 * 4
    chosen = rows[(rows["fix"] == "c") & (rows["effect"] == "alone") & (rows["accuracy"] == FIGURE)]
    assert chosen["mean"].tolist() == pytest.approx([0.2])
    assert findings.effects_table({"test_accuracy": {"fixes": {}}}).columns.tolist() == rows.columns.tolist()


def test_what_a_fix_changes_is_shown_with_what_was_there(settings: params.Params) -> None:
    case = settings.cases["ex4"]
    assert findings.changes(case, case.fixes["adam"].set) == [
        ("optimizer.name", "sgd", "adam"),
        ("optimizer.learning_rate", "0.01", "0.001"),
    ]
    assert findings.changes(case, {"batch_size": None, "hidden_units": [5, 6], "epochs": 100}) == [
        ("batch_size", "5000", "none"),
        ("hidden_units", "25", "5, 6"),
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (1e-4, "0.0001"), (None, "none"), ([], "none"), ("2.2", "2.2"), (True, "True")]
)
def test_a_setting_is_shown_shortly(value: Any, text: str) -> None:
    assert findings.text(value) == text


def test_every_subset_is_a_cell_once(settings: params.Params) -> None:
    _, cells = measured(settings, STORY)
    subsets = [tuple(fix for fix, on in zip("abc", chosen, strict=True) if on) for chosen in product([0, 1], repeat=3)]
    assert sorted(cells) == sorted(subsets)
