"""`evaluate` writes the result of a case, and files for DVC's metrics and plots that agree with it, as strict JSON."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import own
import pytest
import samples

from stages import baseline, evaluate
from stages.analysis import results
from stages.analysis.results import BaselineResult, VariantResult
from stages.base import files
from stages.base.errors import UserError
from stages.config import load
from stages.config.planned import PlannedCase, PlannedRuns
from stages.data import prepared
from stages.data.prepared import Facts
from stages.training import runs

SIDE = 4


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small project with run files of random numbers and a baseline, before `evaluate`."""
    monkeypatch.chdir(tmp_path)
    samples.write_params(samples.params_content())
    samples.write_data(samples.dataset(n_features=SIDE**2, side=SIDE))
    data = prepared.read(files.prepared_path("small"))
    for each in load.read_planned("small", "runs", PlannedRuns).runs:
        for seed in each.seeds:
            facts = runs.facts_of(each, seed, data.sha256)
            runs.write(files.run_path("small", each.folder, seed), samples.untrained_run(each, seed, data), facts)
    baseline.main("small")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for name in ("metrics", "reports") for path in (folder / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_the_stage_writes_its_files_the_same_every_time(project: Path) -> None:
    evaluate.main("small")
    first = contents(project)
    names = ("as_posted", "fixed", "longer", "wild", "few", "logistic", "floor")
    assert first.keys() == {
        "reports/results/small.json",
        "reports/curves/small.csv",
        "reports/effects/small.csv",
        "reports/pictures/small.npz",
        *(f"metrics/small/{name}.json" for name in names),
        *(f"reports/confusion/small/{name}.csv" for name in names),
    }
    evaluate.main("small")
    assert contents(project) == first
    for path, content in first.items():
        if path.endswith(".json"):
            json.loads(content, parse_constant=refuse)


def test_metrics_confusion_effects_and_curves_are_those_of_the_result(project: Path) -> None:
    evaluate.main("small")
    result = results.read("small")
    everything: list[VariantResult | BaselineResult] = [*result.variants, *result.baselines]
    for measured in everything:
        row: dict[str, Any] = files.read_json(files.METRICS / f"small/{measured.name}.json")
        for split, score in measured.scores.items():
            assert row.get(f"{split}_accuracy") == (None if split == "validation" else score.mean)
        table = files.read_csv(files.CONFUSION / f"small/{measured.name}.csv")
        assert table["count"].to_numpy().reshape(10, 10).tolist() == [list(counts) for counts in measured.confusion]
    assert files.read_json(files.METRICS / "small/fixed.json")["gain"] == result.variant("fixed", "3").gain["test"].mean
    assert "gain" not in files.read_json(files.METRICS / "small/few.json")

    effects: Any = files.read_csv(files.EFFECTS / "small.csv").set_index(["split", "fix", "effect"])
    assert len(effects) == 2 * 2 * 4
    shapley = result.effects["3"]["test"].fixes["adam"].shapley
    assert shapley is not None
    assert effects.loc[("test", "adam", "shapley"), ["mean", "low", "high"]].tolist() == [
        shapley.mean,
        shapley.low,
        shapley.high,
    ]

    curves: Any = files.read_csv(files.CURVES / "small.csv").set_index(["variant", "figure", "epoch"])
    assert set(curves.index.get_level_values("variant")) == {variant.name for variant in result.variants}
    losses = [runs.read(files.run_path("small", "fixed", seed)).history[1, 0] for seed in (0, 3)]
    assert curves.loc[("fixed", "loss", 2)].tolist() == pytest.approx([np.mean(losses), min(losses), max(losses)])
    assert curves.loc[("wild", "loss", 2)].isna().all()


def test_a_run_file_with_another_seed_is_refused_in_one_line_and_nothing_is_written(project: Path) -> None:
    path = files.run_path("small", "fixed", 3)
    path.write_bytes(files.run_path("small", "fixed", 0).read_bytes())
    with pytest.raises(UserError) as caught:
        evaluate.main("small")
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1
    assert contents(project) == {}


def test_a_set_of_fixes_that_keras_refuses_is_listed_with_its_reason_and_has_no_effect(project: Path) -> None:
    point = next(each for each in load.read_planned("small", "case", PlannedCase).points if each.folder[:2] == "p-")
    for seed in (0, 3):
        path = files.run_path("small", point.folder, seed)
        runs.write(path, runs.Refusal(seed, "no such shape"), runs.read(path).facts)
    evaluate.main("small")
    result = results.read("small")
    assert [(each.fixes, each.reason) for each in result.refused] == [(point.fixes, "no such shape")]
    assert point.fixes not in result.points_of("3")
    assert len(result.points) == 3
    (fix,) = point.fixes
    effects = result.effects["3"]["test"].fixes[fix]
    assert effects.alone is None
    assert effects.main_effect is not None


def test_a_regression_has_r2_and_errors_and_confusion_by_tenths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = own.evaluated(own.data(own.PRICE, own.PRICES), {"fast": own.TWO_RATES["fast"]})
    assert (result.score, result.data.inputs, result.data.balance) == ("r2", ("area", "rooms"), ())
    assert [baseline.name for baseline in result.baselines] == ["ridge", "floor"]
    assert result.baselines[1].scores["train"].mean == pytest.approx(0, abs=1e-12)
    row = files.read_json(files.METRICS / "small/as_posted.json")
    assert row.keys() == {"train_r2", "test_r2", "train_gain", "gain"}
    assert result.variant("as_posted", "3").measures["test"].keys() >= {"mae", "rmse"}
    table = files.read_csv(files.CONFUSION / "small/as_posted.csv")
    assert set(table["actual"]) == set(table["predicted"]) == {f"tenth {place}" for place in range(1, 11)}
    assert table["count"].sum() == 2 * 20
    assert set(files.read_csv(files.CURVES / "small.csv")["figure"]) == {"loss", "r2"}


def test_no_value_of_a_row_is_in_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own.evaluated(own.data(own.PRICE, own.PRICES), {"fast": own.TWO_RATES["fast"]})
    everything = b"".join(contents(tmp_path).values()).decode(errors="replace")
    numbers = {float(text) for text in re.findall(r"-?\d+\.\d+", everything)}
    data = prepared.read(files.prepared_path("small"))
    rows = np.concatenate([array.ravel() for arrays in (data.x, data.y) for array in arrays.values()])
    assert not [number for number in numbers if np.isclose(rows, number, rtol=1e-6, atol=0).any()]


def test_labels_are_counted_one_by_one_and_their_balance_is_the_share_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    labels = (np.arange(60)[:, np.newaxis] % [2, 4] == 0).astype(np.uint8)
    facts = Facts(task="multilabel", classes=["red", "round"])
    result = own.evaluated(own.data(facts, labels), {"fast": own.TWO_RATES["fast"]})
    posted = result.variant("as_posted", "3")
    assert (result.score, result.data.axis, result.data.balance) == ("accuracy", ("no", "yes"), (0.5, 0.25))
    assert (posted.scores["test"].mean, posted.measures["test"]["exact_match"].mean) == (0.5, 0.5)
    # Labels of an example depend on each other, so that how far another sample would move the mean is not known.
    assert posted.scores["test"].sampling is None
    assert sum(map(sum, posted.confusion)) == 2 * 20 * 2
    assert result.baselines[-1].losses["test"].mean is None


def test_alternatives_have_no_row_for_effects_that_need_all_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = own.evaluated(own.data(own.PRICE, own.PRICES), own.TWO_RATES)
    assert [point.fixes for point in result.points] == [(), ("fast",), ("faster",)]
    assert not result.effects["3"]["test"].complete
    table = files.read_csv(files.EFFECTS / "small.csv")
    assert sorted(set(table["effect"])) == ["alone", "main_effect"]
    assert len(table) == 2 * 2 * 2


def test_without_a_test_split_everything_is_on_the_splits_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = own.evaluated(
        own.data(own.PRICE, own.PRICES, test=False), {"fast": own.TWO_RATES["fast"]}, judged_by="validation"
    )
    assert (result.judged_by, list(result.effects["3"])) == ("validation", ["train", "validation"])
    row = files.read_json(files.METRICS / "small/as_posted.json")
    assert {name for name in row if "gain" in name} == {"train_gain", "validation_gain"}
    assert sum(map(sum, result.variant("as_posted", "3").confusion)) == 2 * 40


def test_an_r2_below_minus_one_counts_as_minus_one_in_effects_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # The answers that are wrong are wrong by far more than the prices differ.
    result = own.evaluated(own.data(own.PRICE, own.PRICES / 1000), {"fast": own.TWO_RATES["fast"]})
    posted = result.variant("as_posted", "3").scores["test"].mean
    assert posted is not None
    assert posted < -100
    assert result.effects["3"]["test"].as_posted.mean == -1
