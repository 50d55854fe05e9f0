"""`evaluate` writes the result of a case, and files for DVC's metrics and plots that agree with it, as strict JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples

from stages import baseline, evaluate
from stages.analysis import results
from stages.analysis.results import BaselineResult, VariantResult
from stages.base import files
from stages.base.errors import UserError
from stages.config import load
from stages.config.planned import PlannedRuns
from stages.data import prepared
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
    paths = [path for path in (folder / "reports").rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_the_stage_writes_its_files_the_same_every_time(project: Path) -> None:
    evaluate.main("small")
    first = contents(project)
    names = ("as_posted", "fixed", "longer", "wild", "few", "logistic")
    assert first.keys() == {
        "reports/results/small.json",
        "reports/curves/small.csv",
        "reports/effects/small.csv",
        "reports/pictures/small.npz",
        *(f"reports/metrics/small/{name}.json" for name in names),
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
