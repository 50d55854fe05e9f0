"""Numbers that blow up: each is a result, recorded and counted as what it is by every stage and by MLflow."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvc.repo import Repo
from miniature import Miniature, call, run_pipeline, small_content
from mlflow import MlflowClient
from mlflow.entities import Run
from safetensors.numpy import load_file
from samples import ONE_SIGMOID, TNC, config, dataset

from stages import train
from stages.core import evaluation, figures, files
from stages.core.training import Trainer

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:dvc", "ignore:overflow encountered in cast:RuntimeWarning"
)

SEEDS = [0, 1, 2]
# What stands for an infinity in MLflow's stores.
LARGEST = np.finfo(np.float64).max
DEEP = {"hidden_units": [4] * 8, "hidden_activation": "linear", "initializer": {"name": "uniform", "limit": 1e38}}
WHOLE = {"batch_size": None, "epochs": None, "optimizer": {"name": "tnc", "max_function_calls": 3}}
# Of the runs of each variant and of each cell, how many diverge.
DIVERGED = {
    "mnist-as_posted": 3,
    "mnist-steady": 0,
    "mnist-some": 1,
    "ex4-as_posted": 0,
    "ex4-penalty": 3,
    "ex4-rate": 3,
    "ex4-scale": 3,
    "ex4-start": 3,
    "ex4-tnc_penalty": 3,
    "ex4-tnc_deep": 3,
}
CELLS = {
    "mnist": {(): 3, ("softmax_output",): 2, ("steady",): 0, ("softmax_output", "steady"): 0},
    "ex4": {(): 0, ("wild",): 3},
}


def divergent_content(path: Path) -> dict[str, Any]:
    """The params.yaml at `path` in small, with a case that diverges as posted and one that a fix breaks."""
    content = small_content(path) | {"seeds": SEEDS}
    mnist, ex4 = content["cases"]["mnist"], content["cases"]["ex4"]
    mnist["as_posted"] |= {"keras_semantics": "3", "optimizer": {"name": "sgd", "learning_rate": 1e30}}
    mnist["as_posted"] |= {"epochs": 3}
    mnist["fixes"]["steady"] = {
        "why": "It diverges.",
        "set": {"optimizer": {"name": "adam", "learning_rate": 0.001}},
    }
    ex4["fixes"] = {"wild": {"why": "Faster.", "set": {"optimizer": {"name": "sgd", "learning_rate": 1e300}}}}
    fitted = {"input_scale": 1.0, "max_iter": 20}
    ex4["baselines"] = {
        "free": {**fitted, "C": 1e12},
        "bound": {**fitted, "C": 1e-6},
        "free_one_vs_all": {**fitted, "C": 1e12, "one_vs_all": True},
        "huge": {**fitted, "C": 1.0, "input_scale": 1e6},
    }
    both = ["softmax_output", "steady"]
    settings: dict[str, dict[str, Any]] = {
        "penalty": {"l2": 1e300},
        "rate": {"optimizer": {"name": "adam", "learning_rate": 1e38}},
        "scale": {"input_scale": 1e308},
        "start": {"initializer": {"name": "uniform", "limit": 1e38}},
        "tnc_penalty": {"l2": 1e300, **WHOLE},
        "tnc_deep": {**DEEP, **WHOLE, "l2": 0.0, "loss": "summed_binary_crossentropy"},
    }
    content["variants"] = {
        "mnist-as_posted": {"case": "mnist", "fixes": []},
        "mnist-steady": {"case": "mnist", "fixes": both},
        # So large that a step ends in infinity, or just does not: it depends on the seed.
        "mnist-some": {
            "case": "mnist",
            "fixes": both,
            "set": {"initializer": {"name": "uniform", "limit": 1e16}},
        },
        "ex4-as_posted": {"case": "ex4", "fixes": []},
        **{f"ex4-{name}": {"case": "ex4", "fixes": [], "set": changed} for name, changed in settings.items()},
    }
    ex4["published"] = [claim for claim in ex4["published"] if claim["name"] in content["variants"]]
    return content | {"probe": {"case": "mnist", "examples": 4, "zeros": [1, 3]}}


@pytest.fixture(scope="module")
def divergent(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    """The pipeline, run in small on what diverges, `track` with a store of its own included."""
    folder = tmp_path_factory.mktemp("divergent")
    made = run_pipeline(root, folder, divergent_content(root / "params.yaml"))
    shutil.copytree(root / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "dvc.yaml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with Repo.init(no_scm=True) as repo:
            repo.commit(force=True)
        call("track")
    return made


@pytest.fixture(scope="module")
def metrics(divergent: Miniature) -> dict[str, Any]:
    found: dict[str, Any] = files.read_json(divergent.folder / "reports/metrics.json")
    return found


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_every_json_is_strict(divergent: Miniature) -> None:
    paths = [path for path in divergent.folder.rglob("*.json") if ".dvc" not in path.parts]
    assert {"configs", "reports", "attribution", "timings", "mlruns"} <= {
        path.relative_to(divergent.folder).parts[0] for path in paths
    }
    for path in paths:
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_each_run_that_diverged_is_recorded_as_such_and_no_other(divergent: Miniature) -> None:
    counts = {}
    for name in DIVERGED:
        folder = divergent.folder / "runs" / name
        history, final = files.read_csv(folder / "history.csv"), files.read_csv(folder / "final.csv")
        weights = load_file(folder / "weights.safetensors")
        counts[name] = 0
        for seed in SEEDS:
            own = [array for key, array in weights.items() if key.startswith(f"seed_{seed}.")]
            losses = np.r_[history[history["seed"] == seed]["loss"], final[final["seed"] == seed]["loss"]]
            finite = bool(np.isfinite(losses).all() and all(np.isfinite(array).all() for array in own))
            assert set(final[final["seed"] == seed]["diverged"]) == {not finite}
            counts[name] += not finite
        assert final["accuracy"].between(0, 1).all()
    assert counts == DIVERGED


def test_evaluate_counts_them(metrics: dict[str, Any]) -> None:
    for name, count in DIVERGED.items():
        assert metrics[name]["diverged"] == count / len(SEEDS)


def test_a_figure_of_which_one_seed_is_not_finite_has_no_mean_and_says_which_seed(
    divergent: Miniature, metrics: dict[str, Any]
) -> None:
    final = files.read_csv(divergent.folder / "runs/mnist-some/final.csv")
    train_rows = final[final["split"] == "train"]
    figure = metrics["mnist-some"]["train_loss"]
    assert figure["finite"] is False
    assert (figure["mean"], figure["low"], figure["high"]) == (None, None, None)
    diverged = {str(seed) for seed in train_rows["seed"][~np.isfinite(train_rows["loss"])]}
    assert len(diverged) == 1
    assert {seed for seed, value in figure["per_seed"].items() if value is None} == diverged


def test_gains_over_what_diverged_as_posted_are_over_every_seed(metrics: dict[str, Any]) -> None:
    posted = metrics["mnist-as_posted"]["test_accuracy"]["per_seed"]
    for name in ("mnist-steady", "mnist-some"):
        own, gain = metrics[name]["test_accuracy"]["per_seed"], metrics[name]["gain"]
        assert gain["finite"]
        assert gain["per_seed"] == pytest.approx({str(seed): own[str(seed)] - posted[str(seed)] for seed in SEEDS})
        assert gain["mean"] == pytest.approx(np.mean(list(gain["per_seed"].values())))


def test_a_curve_has_a_gap_where_a_seed_is_not_finite(divergent: Miniature) -> None:
    for case in CELLS:
        curves = files.read_csv(divergent.folder / "reports/curves" / f"{case}.csv")
        for name in (name for name in DIVERGED if name.startswith(case)):
            history = files.read_csv(divergent.folder / "runs" / name / "history.csv")
            loss = history.groupby("epoch")["loss"].apply(lambda values: bool(np.isfinite(values).all()))
            shown = curves[(curves["variant"] == name) & (curves["figure"] == "loss")].set_index("epoch")
            for bound in ("mean", "low", "high"):
                assert np.isfinite(shown[bound]).to_dict() == loss.to_dict()


def test_attribute_records_them_by_cell(divergent: Miniature) -> None:
    for case, expected in CELLS.items():
        cells = files.read_csv(divergent.folder / "attribution" / case / "cells.csv")
        fixes = divergent.parameters.cases[case].fixes
        found = {
            tuple(fix for fix in fixes if row[fix]): int(row["diverged"])
            for row in cells.groupby(list(fixes))["diverged"].sum().reset_index().to_dict("records")
        }
        assert found == expected
        assert (np.isfinite(cells["final_loss"]) != cells["diverged"]).all()
        effects = files.read_json(divergent.folder / "attribution" / case / "effects.json")
        means = cells.groupby(list(fixes))["test_accuracy"].mean()
        # All fixes off come first, all on last.
        gain = means.iloc[-1] - means.iloc[0]
        assert effects["test_accuracy"]["full_gain"]["mean"] == pytest.approx(gain)


def test_the_report_says_how_many_diverged(divergent: Miniature) -> None:
    text = (divergent.folder / "reports/index.html").read_text(encoding="utf-8")
    sections = {section.partition('"')[0]: section for section in text.split('<section id="case-')[1:]}
    for case in CELLS:
        table = re.findall(r'<table class="results">.*?</table>', sections[case], re.DOTALL)[0]
        rows = {row.split()[0]: row for row in re.findall(r'<th scope="row">(.*?)</th>', table, re.DOTALL)}
        for name, count in ((name, n) for name, n in DIVERGED.items() if name.startswith(case)):
            said = re.findall(r"(\d+) of (\d+) diverged", rows[name.removeprefix(f"{case}-")])
            assert said == ([(str(count), str(len(SEEDS)))] if count else [])
        cells = re.findall(r'<table class="bars cells".*?</table>', sections[case], re.DOTALL)[0]
        said = re.findall(r"(\d+) of (\d+) diverged", cells)
        assert sorted(said) == sorted((str(n), str(len(SEEDS))) for n in CELLS[case].values() if n)
        assert "those that diverged among them" in sections[case]
    seen = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", text, flags=re.DOTALL)
    assert "not finite" in seen
    assert not re.search(r"\b(nan|inf|None)\b", seen)
    charts = re.findall(r'<script type="application/json" id="charts">(.*?)</script>', text, re.DOTALL)[0]
    assert json.loads(charts, parse_constant=refuse)


def stored(divergent: Miniature) -> dict[tuple[str, str], Run]:
    """Every run that the store holds, by experiment and name."""
    client = MlflowClient(f"sqlite:///{divergent.folder / 'mlflow.db'}")
    experiments = {one.experiment_id: one.name for one in client.search_experiments()}
    found = client.search_runs(list(experiments), max_results=1000)
    return {(experiments[run.info.experiment_id], run.info.run_name): run for run in found}


def test_mlflow_holds_finite_values_and_the_counts(divergent: Miniature, metrics: dict[str, Any]) -> None:
    runs = stored(divergent)
    client = MlflowClient(f"sqlite:///{divergent.folder / 'mlflow.db'}")
    for run in runs.values():
        assert run.info.status == "FINISHED"
        for key in run.data.metrics:
            for point in client.get_metric_history(run.info.run_id, key):
                assert np.isfinite(point.value)
                assert abs(point.value) < LARGEST
    for name, count in DIVERGED.items():
        case, _, short = name.partition("-")
        parent = runs[case, short]
        assert parent.data.metrics["diverged"] == count / len(SEEDS)
        assert ("not_finite" in parent.data.tags) == (count > 0)
        said = f"{count} of 3 runs diverged."
        assert (said in parent.data.tags["mlflow.note.content"]) == (count > 0)
        children = [runs[case, f"seed {seed} of {short}"] for seed in SEEDS]
        assert sum(child.data.metrics["diverged"] for child in children) == count
        for child in children:
            assert ("not_finite" in child.data.tags) == bool(child.data.metrics["diverged"])
        shown = {
            name: figure["mean"]
            for name, figure in metrics[name].items()
            if isinstance(figure, dict) and "mean" in figure
        }
        assert {key: parent.data.metrics.get(key) for key in shown} == shown


def test_mlflow_counts_the_cells(divergent: Miniature) -> None:
    runs = stored(divergent)
    for case, cells in CELLS.items():
        run, count, n = runs[case, "attribution"], sum(cells.values()), len(SEEDS) * len(cells)
        assert run.data.metrics["diverged"] == count / n
        assert f"{count} of {n} runs diverged." in run.data.tags["mlflow.note.content"]


def test_track_run_again_finds_every_run(divergent: Miniature, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(divergent.folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    call("track")
    assert capsys.readouterr().out.startswith("MLflow store is up to date\n")


def test_a_baseline_of_extreme_settings_is_a_result_too(divergent: Miniature, metrics: dict[str, Any]) -> None:
    for name in divergent.parameters.cases["ex4"].baselines:
        entry = metrics[f"ex4-{name}"]
        assert 0 <= entry["test_accuracy"]["mean"] <= 1
        assert entry["test_loss"]["finite"] == (entry["test_loss"]["mean"] is not None)
    # A penalty without measure leaves all ten digits alike.
    assert metrics["ex4-bound"]["test_loss"]["mean"] == pytest.approx(np.log(10))


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"name": "sgd", "learning_rate": 0.1},
    "sgd_1e30": {"name": "sgd", "learning_rate": 1e30},
    "sgd_1e300": {"name": "sgd", "learning_rate": 1e300},
    "adam_1e38": {"name": "adam", "learning_rate": 1e38},
}
EXTREMES: dict[str, dict[str, Any]] = {
    "as_it_is": {},
    "l2_1e300": {"l2": 1e300},
    "l2_1e30": {"l2": 1e30},
    "scale_1e308": {"input_scale": 1e308},
    "scale_1e-308": {"input_scale": 1e-308},
    "start_1e38": {"initializer": {"name": "uniform", "limit": 1e38}},
    "start_1e16": {"initializer": {"name": "uniform", "limit": 1e16}},
}
LOSSES: dict[str, dict[str, Any]] = {
    "one": ONE_SIGMOID,
    "sparse": {},
    "sigmoids": {"output_activation": "sigmoid", "loss": "categorical_crossentropy"},
    "summed": {"output_activation": "sigmoid", "loss": "summed_binary_crossentropy"},
}
KEPT = {name: value for name, value in TNC.items() if name in ("optimizer", "batch_size", "epochs")}
SWEEP: dict[str, dict[str, Any]] = {
    f"{loss}-{semantics}-{optimizer}-{extreme}": {
        **LOSSES[loss],
        "keras_semantics": semantics,
        **(KEPT if optimizer == "tnc" else {"optimizer": OPTIMIZERS[optimizer]}),
        **EXTREMES[extreme],
    }
    for loss in LOSSES
    # The exercise's own cost has one meaning.
    for semantics in (("3",) if loss == "summed" else ("2.2", "3"))
    for optimizer in (*OPTIMIZERS, "tnc")
    for extreme in EXTREMES
}


@pytest.mark.faults
@pytest.mark.parametrize("name", SWEEP)
def test_whatever_is_trained_ends_as_a_result(name: str, tmp_path: Path) -> None:
    data = dataset()
    trainer = Trainer(config(**SWEEP[name]), data)
    runs = [trainer.run(seed) for seed in SEEDS]
    files.write_csv(tmp_path / "history.csv", train.history_table(runs))
    files.write_csv(tmp_path / "final.csv", train.final_table(runs))
    history, final = files.read_csv(tmp_path / "history.csv"), files.read_csv(tmp_path / "final.csv")
    for run in runs:
        losses = history[history["seed"] == run.seed]["loss"], final[final["seed"] == run.seed]["loss"]
        if not np.isfinite(np.concatenate(losses)).all():
            assert run.diverged
        for split, evaluation_of_split in run.final.items():
            assert set(np.unique(evaluation_of_split.predicted)) <= set(range(10))
            assert evaluation_of_split.accuracy == np.mean(evaluation_of_split.predicted == data[f"y_{split}"])
    sizes = {name.removeprefix("y_"): len(array) for name, array in data.items() if name.startswith("y_")}
    counts = np.eye(10, dtype=np.int64)
    entry = evaluation.run_metrics(history, final, final, counts, sizes)
    assert entry["diverged"] == sum(run.diverged for run in runs) / len(runs)
    assert (entry["gain"]["mean"], entry["gain"]["finite"]) == (0, True)
    json.loads(files.json_text(entry), parse_constant=refuse)
    bands = evaluation.curves("variant", history)
    assert figures.png(figures.learning_curves("variant", bands))
