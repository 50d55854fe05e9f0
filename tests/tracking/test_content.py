"""The content of runs, without MLflow."""

import json
import math
import re
from pathlib import Path

import made_up
import made_up_search
import pandas as pd
import pytest
from samples import symptoms_at

from stages.analysis import results
from stages.analysis.results import CaseResult, SymptomsResult
from stages.base import files
from stages.page import repairs
from stages.tracking import content, fixes, views
from stages.training import runs
from tracking import sample


@pytest.fixture
def result(template: Path, monkeypatch: pytest.MonkeyPatch) -> CaseResult:
    monkeypatch.chdir(template)
    return results.read(sample.CASE)


def variant(result: CaseResult, name: str) -> content.Content:
    curves = files.read_csv(files.CURVES / f"{sample.CASE}.csv")
    own = curves[curves["variant"] == name]
    return content.variant_content(result, result.variant(name, "3"), own, {0: 1.5, 3: 2.0}, {})


def test_the_curves_of_a_variant_are_the_means_over_its_seeds(result: CaseResult) -> None:
    histories = [runs.read(files.run_path(sample.CASE, "fixed", seed)).history for seed in sample.SEEDS]
    for column, figure in enumerate(runs.figures("accuracy")):
        expected = {epoch + 1: sum(h[epoch, column] for h in histories) / 2 for epoch in range(sample.EPOCHS)}
        found = {step: value for name, value, step in variant(result, "fixed").metrics if name == f"epoch/{figure}"}
        assert found == pytest.approx(expected, rel=1e-5)


def test_values_that_are_not_finite_are_left_out_and_named(result: CaseResult) -> None:
    run = runs.read(files.run_path(sample.CASE, "diverging", 0))
    for shown in (
        variant(result, "diverging"),
        content.seed_content(result, result.variant("diverging", "3"), run, {}),
    ):
        assert all(math.isfinite(value) for _, value, _ in shown.metrics)
        losses = {"final_loss", "train_loss", "validation_loss", "test_loss", "epoch/loss"}
        assert set(shown.tags["not_finite"].split(", ")) == losses
        assert ("diverged", 1.0, 0) in shown.metrics
    assert "not_finite" not in variant(result, "fixed").tags


def test_a_variant_says_what_it_changes(result: CaseResult) -> None:
    text = variant(result, "diverging").tags[content.DESCRIPTION]
    assert "2 of 2 runs diverged" in text
    assert "- **adam**: because of adam" in text
    assert "- `layers.hidden.l2: 9.0`" in text
    assert "[Why does it not learn?](https://example.org/1)" in text
    assert "the first 2 examples of 0, 3 examples of 1." in variant(result, "two_digits").tags[content.DESCRIPTION]
    assert variant(result, "fixed").seconds == 3.5


def test_the_run_of_the_fixes_has_every_effect_point_and_published_number(result: CaseResult) -> None:
    shown = fixes.fixes_content(result, "3", {})
    metrics = {name: value for name, value, _ in shown.metrics}
    for split, effects in result.effects["3"].items():
        for fix, of_fix in effects.fixes.items():
            assert of_fix.shapley is not None
            assert metrics[f"effect/{split}.shapley.{fix}"] == pytest.approx(of_fix.shapley.mean, rel=1e-5)
    assert (metrics["published"], metrics["published_agreeing"]) == (2, 1)
    assert shown.tables["points.json"]["fixes"] == ["as posted", "adam", "small_batches", "adam + small_batches"]
    assert len(shown.tables["effects.json"]["mean"]) == 2 * 2 * 4
    assert pd.DataFrame(shown.tables["published.json"])["agrees"].tolist() == [True, False]
    sets = result.effects["3"]["test"].smallest_sets
    assert (
        f"95% of the full gain on test: {' or '.join(' + '.join(names) for names in sets)}."
        in shown.tags[content.DESCRIPTION]
    )


def test_the_saved_views_show_only_what_the_runs_have(result: CaseResult) -> None:
    tags = views.experiment_tags(result)
    shown = variant(result, "fixed")
    runs_shown = [variant(result, each.name) for each in result.variants] + [fixes.fixes_content(result, "3", {})]
    names = {name for each in runs_shown for name, _, _ in each.metrics}
    there = {"metrics": names, "tags": {*shown.tags, "dvc.experiment"}, "params": {*shown.params}}
    for view in views.views(result):
        state = json.loads(json.loads(tags[f"{views.SAVED}{view}"])["state"])
        columns = [re.fullmatch("(.*)\\.`(.*)`", column) for column in state["selectedColumns"]]
        found = [(column[1], column[2]) for column in columns if column]
        assert all(name in there[kind] for kind, name in found if kind != "attributes")
        assert found[:3] == [("tags", "test accuracy"), ("tags", "test gain"), ("params", "fixes")]
    # The charts are of what the runs have, and all others are folded.
    charts = {chart["metricKey"] for chart in state["compareRunCharts"]}
    assert charts <= names
    folded = {section["name"] for section in state["compareRunSections"] if not section["display"]}
    assert folded - {"Model metrics"} == {name.rpartition("/")[0] for name in names - charts} - {""}
    # MLflow's limit for a tag of an experiment.
    assert max(map(len, tags.values())) <= 5000


def regression() -> CaseResult:
    return made_up.regression([0.25, 0.5], baselines=(made_up.baseline("floor", -0.25),))


def test_the_metrics_and_views_of_a_regression_are_of_r2() -> None:
    case = regression()
    metrics = {name: value for name, value, _ in content.baseline_content(case, case.baselines[0], {}).metrics}
    assert metrics["test_r2"] == -0.25
    fixed = case.variant("fixed", "3")
    shown = content.variant_content(case, fixed, made_up.curves(case), {}, {})
    names = [name for name, _, _ in shown.metrics]
    assert names[:4] == ["gain", "test_r2", "train_gain", "train_r2"]
    assert {"test_mae", "train_rmse", "epoch/r2"} <= {*names}
    texts = views.experiment_tags(case).values()
    assert "test_r2" in "".join(texts)
    assert "accuracy" not in "".join([*texts, *names])
    assert fixes.fixes_content(case, "3", {}).tables["points.json"]["test_r2"] == [0.25, 0.5]


def test_the_run_of_alternatives_has_only_the_effects_that_were_measured() -> None:
    case = made_up.result([0.1, 0.4, 0.2, 0.0], measured=lambda row: row != 3)
    shown = fixes.fixes_content(case, "3", {})
    metrics = {name: value for name, value, _ in shown.metrics}
    assert {name for name in metrics if name.startswith("effect/test.")} == {
        "effect/test.full_gain",
        *(f"effect/test.{effect}.{fix}" for effect in ("alone", "main_effect") for fix in "ab"),
    }
    assert set(shown.tables["effects.json"]["effect"]) == {"alone", "main_effect"}
    assert "3 combinations of 2 fixes" in shown.tags[content.DESCRIPTION]


def test_the_run_of_a_search_has_its_answer_its_points_its_repairs_and_what_each_fix_is_worth() -> None:
    case = made_up_search.searched()
    shown = fixes.fixes_content(case, "3", repairs.tracked(case, "3"))
    assert shown.params["search.points"] == "10"
    assert shown.params["search.trainings"] == "26"
    assert shown.params["repair"] == "softmax_output + scaled_inputs + adam"
    assert [metric for metric in shown.metrics if metric[0] == "search/best"] == [
        ("search/best", 0.112, 1),
        ("search/best", 0.42, 2),
        ("search/best", 0.97, 3),
    ]
    metrics = {name: value for name, value, _ in shown.metrics}
    assert metrics["worth/adam"] == 0.545
    assert metrics["repair/seeds_repaired"] == 0.9
    points = pd.DataFrame(shown.tables["points.json"])
    assert (len(points), points["seeds"][1]) == (len(case.points), "0")
    table = pd.DataFrame(shown.tables["repairs.json"])
    assert table["fixes"].tolist() == [" + ".join(repair.fixes) for repair in case.repairs["3"]]
    assert "adam +0.5450" in table["worth"][0]
    assert shown.tables["remarks.json"]["kind"] == ["accuracy_on_logits", "duplicate_rows"]
    answer = shown.artifacts["answer.txt"].decode().splitlines()
    assert shown.tags[content.DESCRIPTION].startswith(answer[0])
    assert any(line.startswith("  adam: 54.5 points") for line in answer)
    assert '+     keras.layers.Dense(10, activation="softmax"),' in shown.artifacts["repair_diff.txt"].decode()
    compile(shown.artifacts["repaired.py"], "repaired.py", "exec")


def test_the_run_of_a_search_without_a_repair_says_so() -> None:
    case = made_up_search.searched(repairs={"3": ()})
    shown = fixes.fixes_content(case, "3", repairs.tracked(case, "3"))
    assert "Sets that repair the network on test: none." in shown.tags[content.DESCRIPTION]
    assert "repairs.json" not in shown.tables
    assert "repair_diff.txt" not in shown.artifacts


def test_the_symptoms_of_a_variant_are_metrics_by_moment_and_layer_and_what_a_layer_cannot_have_is_left_out() -> None:
    moments = dict.fromkeys(("start", "first_epoch", "end"), symptoms_at(2))
    symptoms = SymptomsResult.model_validate(moments | {"first_not_finite": None})
    case = made_up.result([0.1, 0.4])
    fixed = case.variant("fixed", "3").model_copy(update={"symptoms": symptoms})
    shown = content.variant_content(case, fixed, made_up.curves(case), {}, {})
    found = {name.removeprefix("symptom/"): value for name, value, _ in shown.metrics if name.startswith("symptom/")}
    assert found["start.hidden.dead"] == 0.2
    assert found["end.spread"] == 2.2
    assert len(found) == 3 * (3 + 2 + 4)
    assert "not_finite" not in shown.tags
