"""MLflow's store as a projection of DVC's results, on a small made-up project."""

import copy
import ctypes
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from hashlib import md5
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import servers
import sqlalchemy
from miniature import call, raw_digits, refused, small_content
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from ruamel.yaml import YAML

from stages.core import evaluation, figures, files, locked, params, results_table, statistics, store, tracking
from stages.core.inputs import RAW
from stages.core.tracking import KEY_TAG, PARENT_TAG

EPOCHS = 3
SIZES = {"train": 40, "validation": 20, "test": 20}
TOP_RUNS = {"as_posted", "fixed", "diverged", "logistic_regression", "probe", "attribution", "references"}
UP_TO_DATE = ["MLflow store is up to date", "report: reports/index.html"]
N_RUNS = len(TOP_RUNS) + 5  # and a child for each of two seeds, or of the one of `fixed`


def history(seeds: tuple[int, ...], random: np.random.Generator, *, diverged: bool) -> pd.DataFrame:
    index = [(seed, epoch) for seed in seeds for epoch in range(1, EPOCHS + 1)]
    table = pd.DataFrame(index, columns=["seed", "epoch"])
    for figure in evaluation.FIGURES:
        table[figure] = random.uniform(0.1, 0.9, len(table))
    if diverged:
        table.loc[table["epoch"] == EPOCHS, "loss"] = [np.inf] + [np.nan] * (len(seeds) - 1)
    return table


def final(seeds: tuple[int, ...], random: np.random.Generator, *, diverged: bool) -> pd.DataFrame:
    rows = [
        (seed, split, np.nan if diverged else random.uniform(), random.integers(n) / n, diverged, 30)
        for seed in seeds
        for split, n in SIZES.items()
    ]
    return pd.DataFrame(rows, columns=["seed", "split", "loss", "accuracy", "diverged", "gradient_evaluations"])


def weights(config: params.VariantConfig, random: np.random.Generator) -> dict[str, np.ndarray]:
    sizes = [28 * 28, *config.run.hidden_units, config.run.output_units]
    names = [*(f"hidden_{index}" for index in range(len(sizes) - 2)), "output"]
    return {
        f"seed_{seed}.{name}.{part}": random.normal(size=shape).astype(np.float32)
        for seed in config.seeds
        for name, rows, columns in zip(names, sizes, sizes[1:], strict=False)
        for part, shape in (("kernel", (rows, columns)), ("bias", (columns,)))
    }


def write_results(parameters: params.Params) -> None:
    """Results of every stage in the current folder, made up, in the forms of the real ones."""
    random = np.random.default_rng(0)
    arrays = {
        f"{kind}_{split}": np.zeros((n, 4)[: 1 + (kind == "x")], np.uint8)
        for kind in "xy"
        for split, n in SIZES.items()
    }
    files.write_npz(Path("data/prepared/mnist.npz"), arrays)
    files.write_npz(RAW, raw_digits())
    files.write_json(
        Path("reports/digests.json"), {"mnist": {name: evaluation.digest(array) for name, array in arrays.items()}}
    )
    lock: dict[str, Any] = {
        "probe": [],
        "attribute@mnist": [Path("attribution/mnist")],
        "baseline@mnist": [Path("baselines/mnist")],
        "evaluate": [],
    }
    metrics: dict[str, Any] = {}
    bands = []
    counts = random.integers(1, 9, (10, 10))
    for name, config in params.variant_configs(parameters).items():
        files.write_json(Path(f"configs/{name}.json"), config.model_dump(mode="json"))
        diverged = name == "mnist-diverged"
        epochs = history(config.seeds, random, diverged=diverged)
        finals = final(config.seeds, random, diverged=diverged)
        files.write_csv(Path(f"runs/{name}/history.csv"), epochs)
        files.write_csv(Path(f"runs/{name}/final.csv"), finals)
        files.write_safetensors(Path(f"runs/{name}/weights.safetensors"), weights(config, random))
        as_posted = files.read_csv(Path("runs/mnist-as_posted/final.csv"))
        metrics[name] = evaluation.run_metrics(epochs, finals, as_posted, counts, SIZES)
        bands.append(evaluation.curves(name, epochs))
        files.write_csv(Path(f"reports/confusion/{name}.csv"), evaluation.confusion_table(counts))
        files.write_json(Path(f"timings/{name}.json"), {str(seed): 1.5 for seed in config.seeds})
        lock[f"train@{name}"] = [Path(f"runs/{name}")]
    rows = pd.DataFrame({"split": list(SIZES), "loss": 0.5, "accuracy": 0.5, "n_iter": 9})
    metrics["mnist-logistic_regression"] = evaluation.baseline_metrics(rows, counts, SIZES)
    files.write_csv(Path("reports/confusion/mnist-logistic_regression.csv"), evaluation.confusion_table(counts))
    files.write_csv(Path("reports/curves/mnist.csv"), pd.concat(bands))
    files.write_json(Path("reports/metrics.json"), metrics)
    claims = {"case": "mnist", "claim": ["a, b", "c"], "published": 0.5, "measured": 0.25, "agrees": [True, False]}
    files.write_csv(Path("reports/references.csv"), pd.DataFrame(claims))
    probe = {
        "zeros": [1, 1, 3, 3],
        "examples": 4,
        "seed": [0, 3, 0, 3],
        "accuracy": [0.5, 1, 1, 1],
        "share_answered": 1.0,
    }
    files.write_csv(Path("probe/probe.csv"), pd.DataFrame(probe))
    cells = params.cell_configs(parameters)["mnist"].cells
    accuracy = random.uniform(size=(len(cells), 2))
    effects = statistics.effects(list(parameters.cases["mnist"].fixes), accuracy, 0)
    files.write_json(
        Path("attribution/mnist/effects.json"), dict.fromkeys(("train_accuracy", "test_accuracy"), effects)
    )
    files.write_csv(
        Path("attribution/mnist/cells.csv"),
        pd.DataFrame({"case": "mnist", "test_accuracy": accuracy[:, 0], "diverged": False}),
    )
    write_lock(lock)


def write_lock(outs: dict[str, list[Path]]) -> None:
    """A dvc.lock with digests of what is there."""

    def entry(path: Path) -> dict[str, str]:
        content = path.read_bytes() if path.is_file() else locked.listing(path)
        suffix = "" if path.is_file() else locked.FOLDER_SUFFIX
        return {"path": str(path), "md5": md5(content, usedforsecurity=False).hexdigest() + suffix}

    data = [entry(Path("data/prepared/mnist.npz"))]
    stages = {name: {"deps": data, "outs": [entry(path) for path in paths]} for name, paths in outs.items()}
    YAML(typ="safe").dump({"schema": "2.0", "stages": stages}, Path("dvc.lock"))


@pytest.fixture(scope="module")
def template(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results in it, and a store that holds them."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        content = small_content(root / "params.yaml")
        del content["cases"]["ex4"]
        content["cases"]["mnist"]["published"] = []
        content["variants"] = {name: value for name, value in content["variants"].items() if value["case"] == "mnist"}
        content["probe"]["case"] = "mnist"
        YAML(typ="safe").dump(content, folder / "params.yaml")
        write_results(params.load())
        call("track")
    return folder


@pytest.fixture
def tracked(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the current folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # Drawing takes most of the time; the figures of `template` are real.
    monkeypatch.setattr(figures, "png", lambda figure: b"")
    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    return folder


def client() -> MlflowClient:
    return MlflowClient(store.tracking_uri())


def runs() -> dict[str, Run]:
    """Every run of the store that is not deleted, by id."""
    experiments = client().search_experiments()
    return {run.info.run_id: run for run in client().search_runs([e.experiment_id for e in experiments])}


def named(name: str) -> Run:
    """The one run of that name."""
    (run,) = (run for run in runs().values() if run.info.run_name == name)
    return run


def shown() -> dict[str, Any]:
    """All that the store shows of each run."""
    return {run_id: run.to_dictionary() for run_id, run in runs().items()}


def complete() -> bool:
    """Whether every wanted run is there once, finished, under a parent that is there."""
    held = runs()
    names = sorted(run.info.run_name for run in held.values() if PARENT_TAG not in run.data.tags)
    parents = {run.data.tags.get(PARENT_TAG, run_id) for run_id, run in held.items()}
    finished = all(run.info.status == "FINISHED" for run in held.values())
    keys = {run.data.tags[KEY_TAG] for run in held.values()}
    return names == sorted(TOP_RUNS) and parents <= held.keys() and finished and len(keys) == len(held) == N_RUNS


def emptied(file: str) -> str:
    """The address of a copy of the store without its runs: MLflow takes longer to make a new one."""
    shutil.copy("mlflow.db", file)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE runs SET lifecycle_stage = 'deleted'")
    return f"sqlite:///{Path(file).absolute()}"


def edit_metrics(figure: str, value: float) -> None:
    """Another result for `mnist-fixed`."""
    path = Path("reports/metrics.json")
    metrics = files.read_json(path)
    metrics["mnist-fixed"][figure]["mean"] = value
    files.write_json(path, metrics)


def test_a_fresh_store_holds_a_run_for_every_result(tracked: Path) -> None:
    assert complete()
    children: dict[str, list[str]] = {name: [] for name in TOP_RUNS}
    held = runs()
    for run in held.values():
        if parent := run.data.tags.get(PARENT_TAG):
            children[held[parent].info.run_name].append(run.data.params["seed"])
    assert {name: sorted(seeds) for name, seeds in children.items() if seeds} == {
        "as_posted": ["0", "3"],
        "fixed": ["3"],
        "diverged": ["0", "3"],
    }


def test_tracking_again_and_again_changes_nothing(tracked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = shown()
    for _ in range(2):
        call("track")
        assert capsys.readouterr().out.splitlines()[:2] == UP_TO_DATE
    assert shown() == before


def test_a_store_that_only_mlflow_can_read_is_left_alone_too(
    tracked: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shown()
    monkeypatch.setattr(store, "look", lambda uri: None)
    call("track")
    assert capsys.readouterr().out.splitlines()[:2] == UP_TO_DATE
    assert shown() == before


def test_nothing_to_do_is_found_without_importing_what_is_slow(tracked: Path, root: Path) -> None:
    slow = {"mlflow", "pandas", "numpy", "matplotlib", "rich", "pydantic", "sqlalchemy"}
    program = f"import sys; from stages import track; track.main(); print(sorted({slow} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    *said, imported = done.stdout.splitlines()
    assert said == [*UP_TO_DATE, "every run: mlflow ui, then open", f"  {tracking.address('1')}  (mnist)"]
    assert imported == "[]"


def test_a_deleted_store_is_built_anew_without_a_word_of_mlflow(tracked: Path, root: Path) -> None:
    before = store.look(store.tracking_uri())
    shutil.rmtree("mlruns")
    Path("mlflow.db").unlink()
    # In a process of its own: in this one MLflow is still connected to the deleted file.
    done = subprocess.run(
        [sys.executable, "-m", "stages.track"],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, model, *table, report, command, address = done.stdout.splitlines()
    assert first == "MLflow: 7 runs and 5 child runs added"
    assert re.fullmatch(
        r"MLflow: model whichfix-mnist, version 1, is the champion: mnist-(as_posted|fixed) with seed [03]", model
    )
    assert report == "report: reports/index.html"
    assert [command, address] == ["every run: mlflow ui, then open", f"  {tracking.address('1')}  (mnist)"]
    assert len([line for line in table if re.match(r" +mnist-\w+", line)]) == len(
        files.read_json(Path("reports/metrics.json"))
    )
    assert done.stderr == ""
    after = store.look(store.tracking_uri())
    assert before is not None
    assert after is not None
    assert {(run.key, run.finished) for run in after.runs} == {(run.key, True) for run in before.runs}
    assert after.champions == before.champions != {}
    assert all(store.artifacts_exist(run) for run in after.runs if run.parent_id is None)


@pytest.mark.parametrize("added", [0, 2, 9])
def test_a_track_that_was_killed_is_made_good_by_the_next(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], added: int
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", emptied("killed.db"))
    real, calls = store.Store.add, 0

    @contextmanager
    def killed(*arguments: Any) -> Iterator[str]:
        nonlocal calls
        calls += 1
        with real(*arguments) as run_id:
            if calls > added:
                raise KeyboardInterrupt
            yield run_id

    with monkeypatch.context() as patch:
        patch.setattr(store.Store, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            call("track")
    assert not complete()
    finished = [run for run in runs().values() if run.info.status == "FINISHED" and PARENT_TAG not in run.data.tags]
    capsys.readouterr()
    call("track")
    assert complete()
    with closing(sqlite3.connect("killed.db")) as database:
        assert not database.execute("SELECT run_uuid FROM runs WHERE status = 'RUNNING'").fetchall()
    assert "left unfinished by an earlier track removed" in capsys.readouterr().out
    assert {run.info.run_id for run in finished} <= runs().keys()


def test_a_changed_result_adds_its_runs_and_leaves_the_earlier_ones(
    tracked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = shown()
    edit_metrics("gain", 0.125)
    call("track")
    assert "1 run and 1 child run added" in capsys.readouterr().out
    after = shown()
    assert {run_id: after[run_id] for run_id in before} == before
    added = [after[run_id] for run_id in after.keys() - before.keys()]
    assert sorted(run["info"]["run_name"] for run in added) == ["fixed", "seed 3 of fixed"]
    assert 0.125 in [run["data"]["metrics"]["gain"] for run in added]


def test_the_table_of_results_is_shown_once_where_something_is_added(
    tracked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call("track")
    assert results_table.TITLE not in capsys.readouterr().out
    edit_metrics("gain", 0.125)
    call("track")
    assert capsys.readouterr().out.count(results_table.TITLE) == 1


def test_a_store_that_fails_does_not_take_the_table_away(
    tracked: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    refused("track")
    said = capsys.readouterr().out
    assert results_table.TITLE in said
    assert "mnist-fixed" in said


def test_results_that_come_back_are_found_again(tracked: Path) -> None:
    gain = files.read_json(Path("reports/metrics.json"))["mnist-fixed"]["gain"]["mean"]
    edit_metrics("gain", 0.125)
    call("track")
    before = shown()
    edit_metrics("gain", gain)
    call("track")
    assert shown() == before


def test_a_deleted_child_comes_back_under_its_parent_alone(tracked: Path) -> None:
    before = runs().keys()
    parent, child = named("fixed").info.run_id, named("seed 3 of fixed").info.run_id
    client().delete_run(child)
    call("track")
    assert complete()
    assert named("seed 3 of fixed").data.tags[PARENT_TAG] == parent
    assert before - runs().keys() == {child}


def champion() -> ModelVersion:
    """The one champion."""
    return client().get_model_version_by_alias("whichfix-mnist", store.ALIAS)


def test_the_best_variant_is_the_champion_and_takes_raw_digits(tracked: Path) -> None:
    metrics = files.read_json(Path("reports/metrics.json"))
    rivals = {name: metrics[name]["test_accuracy"]["mean"] for name in ("mnist-as_posted", "mnist-fixed")}
    best = max(rivals, key=lambda name: rivals[name])
    version = champion()
    assert version.name == "whichfix-mnist"
    assert version.run_id == named(best.removeprefix("mnist-")).info.run_id
    assert str(version.description).startswith(f"# {best}, seed ")
    (logged,) = client().search_logged_models([named("fixed").info.experiment_id])
    model = mlflow.pyfunc.load_model(logged.artifact_location)
    example = model.input_example
    assert (example == raw_digits()["x_test"][: len(example)]).all()
    answers = model.predict(example)
    assert set(answers["digit"]) <= set(range(10))
    assert answers["confidence"].between(0, 1).all()
    with pytest.raises(MlflowException, match="shape"):
        model.predict(example[:, :20])


def test_a_served_model_carries_pinned_requirements_its_card_and_no_pickle(tracked: Path) -> None:
    (model,) = client().search_logged_models([named("fixed").info.experiment_id])
    folder = Path(model.artifact_location)
    pinned = (folder / "requirements.txt").read_text(encoding="utf-8").split()
    assert pinned == [f"{name}=={metadata.version(name)}" for name in store.SERVED_BY]
    assert (folder / "model_card.md").read_text(encoding="utf-8") == champion().description
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle")]
    # By itself: the project's own modules are not there.
    code = (folder / "classifier.py").read_text(encoding="utf-8")
    assert "import stages" not in code
    assert "from stages" not in code


def test_registering_again_makes_no_new_version(tracked: Path) -> None:
    before = champion()
    client().delete_registered_model_alias(before.name, store.ALIAS)
    call("track")
    assert champion().version == before.version
    assert len(client().search_model_versions()) == 1


def test_another_champion_is_another_version_and_the_earlier_comes_back(tracked: Path) -> None:
    before, other = champion(), "as_posted" if "mnist-fixed" in str(champion().description) else "fixed"
    path = Path("reports/metrics.json")
    metrics = files.read_json(path)
    better = copy.deepcopy(metrics)
    better[f"mnist-{other}"]["test_accuracy"]["mean"] = 2.0
    for content, version in ((better, 2), (metrics, before.version), (better, 2)):
        files.write_json(path, content)
        call("track")
        assert str(champion().version) == str(version)


def test_a_champion_whose_run_is_deleted_is_registered_anew(tracked: Path) -> None:
    before = champion()
    client().delete_run(str(before.run_id))
    call("track")
    assert complete()
    after = champion()
    assert after.run_id in runs()
    assert str(after.version) == "2"
    assert after.tags[KEY_TAG] == before.tags[KEY_TAG]


def test_a_champion_whose_run_or_model_is_gone_for_good_is_registered_anew(tracked: Path) -> None:
    before = champion()
    with closing(sqlite3.connect("mlflow.db")) as database, database:
        # As `mlflow gc` does.
        database.execute("DELETE FROM runs WHERE run_uuid = ?", (before.run_id,))
    call("track")
    assert complete()
    assert str(champion().version) == "2"
    client().delete_logged_model(str(champion().source).removeprefix(store.MODELS))
    call("track")
    assert str(champion().version) == "3"
    call("track")
    assert len(client().search_model_versions()) == 3


@pytest.mark.parametrize("moment", ["finalize_logged_model", "create_model_version", "set_registered_model_alias"])
def test_a_registration_that_was_killed_is_made_good_by_the_next(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", emptied("killed.db"))

    def killed(*arguments: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, moment, killed)
        with pytest.raises(KeyboardInterrupt):
            call("track")
    call("track")
    assert complete()
    assert champion().run_id in runs()
    experiment = named("fixed").info.experiment_id
    own = [model for model in client().search_logged_models([experiment]) if model.source_run_id in runs()]
    assert [model.status for model in own] == ["READY"]


def test_an_experiment_of_dvc_adds_its_runs_under_its_name_and_leaves_the_champion(
    tracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = champion()
    edit_metrics("test_accuracy", 2.0)
    monkeypatch.setenv("DVC_EXP_NAME", "hasty-gnu")
    call("track")
    assert champion().version == before.version
    assert len(client().search_model_versions()) == 1
    run = named("fixed (hasty-gnu)")
    assert run.data.tags["dvc.experiment"] == "hasty-gnu"
    assert named("seed 3 of fixed (hasty-gnu)").data.tags[PARENT_TAG] == run.info.run_id


def test_an_experiment_that_runs_in_a_copy_adds_to_the_store_of_the_repository(
    tracked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "copy"
    shutil.copytree(tracked, here, ignore=shutil.ignore_patterns("mlflow.db", "mlruns"))
    monkeypatch.chdir(here)
    monkeypatch.setenv("DVC_ROOT", str(tracked))
    edit_metrics("gain", 0.125)
    call("track")
    assert named_latest("fixed").data.metrics["gain"] == 0.125
    assert not Path(named_latest("fixed").info.artifact_uri).is_relative_to(here)
    assert not (here / "mlflow.db").exists()
    assert not (here / "mlruns").exists()


def test_every_fix_is_a_tag_to_filter_by(tracked: Path) -> None:
    experiment = named("fixed").info.experiment_id
    for answer, expected in (("yes", {"fixed", "seed 3 of fixed"}), ("no", {"as_posted", "diverged"})):
        found = client().search_runs([experiment], f'tags.fix.softmax_output = "{answer}"')
        assert expected <= {run.info.run_name for run in found}
        assert {run.data.params["fixes"] for run in found} == {"softmax_output" if answer == "yes" else "none"}


def test_a_deleted_experiment_comes_back(tracked: Path) -> None:
    experiment = client().get_experiment_by_name("mnist")
    assert experiment is not None
    client().delete_experiment(experiment.experiment_id)
    call("track")
    assert complete()


def test_texts_of_params_yaml_are_no_results(tracked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = YAML(typ="safe").load(Path("params.yaml"))
    content["cases"]["mnist"]["title"] = "Another"
    YAML(typ="safe").dump(content, Path("params.yaml"))
    call("track")
    assert capsys.readouterr().out.splitlines()[:2] == UP_TO_DATE


def test_the_address_of_the_environment_is_the_one_used(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Path("mlflow.db").read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", emptied("other.db"))
    call("track")
    assert complete()
    assert Path("mlflow.db").read_bytes() == before


@pytest.mark.usefixtures("limited")
def test_a_server_with_postgresql_takes_the_runs_and_holds_them_unchanged(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    artifacts = tmp_path / "artifacts"
    with (
        servers.postgresql() as database,
        servers.mlflow_server(database, artifacts, tmp_path) as address,
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        call("track")
        assert complete()
        before = shown()
        capsys.readouterr()
        call("track")
        assert capsys.readouterr().out.splitlines()[:2] == UP_TO_DATE
        assert shown() == before
        with sqlalchemy.create_engine(database).connect() as connection:
            assert connection.execute(sqlalchemy.text("SELECT count(*) FROM runs")).scalar() == N_RUNS
    # The server's own folder has them, not this project's.
    assert len(list(artifacts.rglob("confusion.png"))) > 0
    assert not Path("mlartifacts").exists()


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_at_once_add_every_run_once_while_mlflow_ui_reads(
    tracked: Path, root: Path, tmp_path: Path, kind: str
) -> None:
    environment = os.environ | {"PYTHONPATH": str(root)}
    with ExitStack() as stack:
        shared = stack.enter_context(servers.postgresql()) if kind == "postgresql" else emptied("shared.db")
        environment["MLFLOW_TRACKING_URI"] = shared
        ui = MlflowClient(stack.enter_context(servers.mlflow_server(shared, tmp_path / "artifacts", tmp_path)))
        command = [sys.executable, "-m", "stages.track"]
        both = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(2)
        ]
        reads = 0
        while any(process.poll() is None for process in both):
            ui.search_runs([experiment.experiment_id for experiment in ui.search_experiments()])
            reads += 1
        said = sorted(process.communicate()[0].splitlines() for process in both)
        assert [lines[0] for lines in said] == ["MLflow store is up to date", "MLflow: 7 runs and 5 child runs added"]
        assert reads > 5
        with sqlalchemy.create_engine(shared).connect() as connection:
            query = "SELECT status, count(*) FROM runs WHERE lifecycle_stage = 'active' GROUP BY status"
            assert connection.execute(sqlalchemy.text(query)).fetchall() == [("FINISHED", N_RUNS)]
            query = "SELECT count(DISTINCT value) FROM tags JOIN runs USING (run_uuid) WHERE key = :key"
            held = sqlalchemy.text(f"{query} AND lifecycle_stage = 'active'")
            assert connection.execute(held, {"key": KEY_TAG}).scalar() == N_RUNS


def test_a_store_that_is_half_made_is_made_whole(tmp_path: Path) -> None:
    for name in (".mlflow.db.partial", ".mlflow.db.partial-journal"):
        (tmp_path / name).write_bytes(b"half")
    store.Store(f"sqlite:///{tmp_path / 'mlflow.db'}").open("mnist", {})
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_store_of_a_newer_mlflow_is_refused_and_left_as_it_is(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", emptied("newer.db"))
    with closing(sqlite3.connect("newer.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'newer'")
    before = Path("newer.db").read_bytes()
    message = refused("track")
    assert "(found version newer, but expected" in message
    assert message.endswith("the results are complete without it; once it is mended, `dvc repro track` fills it")
    assert Path("newer.db").read_bytes() == before


def test_a_store_that_is_read_only_is_refused_in_one_line_that_names_it(tracked: Path, root: Path) -> None:
    address = emptied("fixed.db")
    Path("fixed.db").chmod(0o444)
    Path.cwd().chmod(0o555)

    def obeying() -> None:
        # Without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH even root obeys the modes of files; 24 is PR_CAPBSET_DROP.
        for capability in (1, 2):
            ctypes.CDLL(None).prctl(24, capability)

    environment = os.environ | {"PYTHONPATH": str(root), "MLFLOW_TRACKING_URI": address}
    done = subprocess.run(
        [sys.executable, "-m", "stages.track"], env=environment, preexec_fn=obeying, capture_output=True, text=True
    )
    Path.cwd().chmod(0o755)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: the MLflow store {address} (MLFLOW_TRACKING_URI): ")
    assert "attempt to write a readonly database" in done.stderr
    assert done.stderr.endswith("once it is mended, `dvc repro track` fills it\n")
    assert done.stderr.count("\n") == 1


def test_a_bare_mlflow_ui_shows_the_default_store(tracked: Path) -> None:
    assert mlflow.get_tracking_uri() == store.tracking_uri()


def test_an_unreachable_server_ends_in_one_line_without_the_password(
    tracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    message = refused("track")
    assert message.startswith("the MLflow store http://127.0.0.1:9 (MLFLOW_TRACKING_URI): ")
    assert "secret" not in message


def test_a_store_of_no_known_kind_ends_in_one_line(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://at-all")
    assert "nowhere" in refused("track")


@pytest.mark.parametrize("path", ["dvc.lock", "reports/metrics.json", "reports/references.csv"])
def test_missing_results_end_in_one_line_that_names_them(tracked: Path, path: str) -> None:
    Path(path).unlink()
    assert path in refused("track")


def test_artifacts_that_are_gone_are_told(tracked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_metrics("gain", 0.125)
    call("track")
    shutil.rmtree(Path(named_latest("fixed").info.artifact_uri))
    capsys.readouterr()
    call("track")
    assert "the artifacts of 1 run are gone" in capsys.readouterr().out


def named_latest(name: str) -> Run:
    """The newest run of that name."""
    return max((run for run in runs().values() if run.info.run_name == name), key=lambda run: run.info.start_time)


def test_a_run_shows_its_configuration_result_and_provenance(tracked: Path) -> None:
    run, child = named("fixed"), named("seed 3 of fixed")
    entry = files.read_json(Path("reports/metrics.json"))["mnist-fixed"]
    settings = files.read_json(Path("configs/mnist-fixed.json"))["run"]
    lock = YAML(typ="safe").load(Path("dvc.lock"))["stages"]["train@mnist-fixed"]
    for shown_run in (run, child):
        assert shown_run.data.params["fixes"] == "softmax_output"
        assert shown_run.data.params["optimizer.learning_rate"] == json.dumps(settings["optimizer"]["learning_rate"])
        assert json.loads(shown_run.data.params["hidden_units"]) == settings["hidden_units"]
        tags = shown_run.data.tags
        assert tags["dvc.stage"] == "train@mnist-fixed"
        assert json.loads(tags["dvc.outs"]) == {out["path"]: out["md5"] for out in lock["outs"]}
        assert tags["version.mlflow"] == mlflow.__version__
        assert tags["post"] == "https://datascience.stackexchange.com/questions/38604"
        assert shown_run.inputs is not None
        (dataset,) = shown_run.inputs.dataset_inputs
        assert (dataset.dataset.name, dataset.dataset.digest) == ("mnist", lock["deps"][0]["md5"])
    for figure in ("gain", "test_accuracy", "train_accuracy", "final_loss"):
        assert run.data.metrics[figure] == entry[figure]["mean"]
        assert child.data.metrics[figure] == entry[figure]["per_seed"]["3"]
    assert run.data.metrics["recall/7"] == entry["recall"]["7"]
    assert run.data.metrics["train_seconds"] == 1.5
    assert run.info.end_time - run.info.start_time == 1500


def test_intervals_are_shown_beside_their_mean(tracked: Path) -> None:
    entry = files.read_json(Path("reports/metrics.json"))["mnist-as_posted"]["test_accuracy"]
    metrics = named("as_posted").data.metrics
    assert metrics["interval/test_accuracy_low"] == entry["low"]
    assert metrics["interval/test_accuracy_high"] == entry["high"]
    assert metrics["interval/test_accuracy_sampling_low"] == entry["sampling"]["low"]
    # A single seed has no interval.
    assert "interval/test_accuracy_low" not in named("fixed").data.metrics


@pytest.mark.parametrize("figure", evaluation.FIGURES)
def test_curves_are_those_of_the_history(tracked: Path, figure: str) -> None:
    table = files.read_csv(Path("runs/mnist-as_posted/history.csv"))
    expected = table.pivot_table(figure, "epoch", "seed")
    for seed in (0, 3):
        points = client().get_metric_history(named(f"seed {seed} of as_posted").info.run_id, f"epoch/{figure}")
        assert {point.step: point.value for point in points} == expected[seed].to_dict()
    points = client().get_metric_history(named("as_posted").info.run_id, f"epoch/{figure}")
    assert {point.step: point.value for point in points} == pytest.approx(expected.mean(axis=1).to_dict())


def test_values_that_are_not_finite_are_left_out_and_named(tracked: Path) -> None:
    run, child = named("diverged"), named("seed 0 of diverged")
    for shown_run in (run, child):
        assert np.isfinite(list(shown_run.data.metrics.values())).all()
        assert not {"final_loss", "test_loss"} & shown_run.data.metrics.keys()
        lost = shown_run.data.tags["not_finite"].split(", ")
        assert {"final_loss", "test_loss", "train_loss", "validation_loss", "epoch/loss"} == set(lost)
        assert shown_run.data.metrics["diverged"] == 1
    assert len(client().get_metric_history(child.info.run_id, "epoch/loss")) == EPOCHS - 1
    assert "not_finite" not in named("as_posted").data.tags


def test_figures_and_the_configuration_are_artifacts_of_a_variant(tracked: Path) -> None:
    folder = Path(named("fixed").info.artifact_uri)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {"configs/mnist-fixed.json", "figures/confusion.png", "figures/learning_curves.png"}
    assert (folder / "configs/mnist-fixed.json").read_bytes() == Path("configs/mnist-fixed.json").read_bytes()
    assert (folder / "figures/confusion.png").read_bytes().startswith(b"\x89PNG")


def test_tables_are_shown_whole(tracked: Path) -> None:
    for name, path in (("references", "reports/references.csv"), ("probe", "probe/probe.csv")):
        artifact = json.loads(Path(named(name).info.artifact_uri, f"{name}.json").read_text(encoding="utf-8"))
        table = files.read_csv(Path(path))
        assert pd.DataFrame(artifact["data"], columns=artifact["columns"]).to_dict() == table.to_dict()
    assert named("references").data.metrics == {"published": 2, "published_agreeing": 1}
    points = client().get_metric_history(named("probe").info.run_id, "zeros/accuracy")
    assert {point.step: point.value for point in points} == {1: 0.75, 3: 1.0}


def test_the_attribution_shows_effects_cells_and_figures(tracked: Path) -> None:
    run = named("attribution")
    effects = files.read_json(Path("attribution/mnist/effects.json"))["test_accuracy"]
    for fix, of_fix in effects["fixes"].items():
        for effect, interval in of_fix.items():
            assert run.data.metrics[f"test_accuracy.{effect}/{fix}"] == interval["mean"]
    folder = Path(run.info.artifact_uri)
    artifact = json.loads((folder / "attribution/cells.json").read_text(encoding="utf-8"))
    shown = pd.DataFrame(artifact["data"], columns=artifact["columns"])
    # MLflow writes ten decimals.
    pd.testing.assert_frame_equal(shown, files.read_csv(Path("attribution/mnist/cells.csv")), rtol=0, atol=1e-10)
    assert {path.name for path in (folder / "figures").iterdir()} == {"greedy_path.svg", "shapley.png"}


def test_the_commit_is_named_where_there_is_one(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "mlflow.source.git.commit" not in named("fixed").data.tags
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *command], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    edit_metrics("gain", 0.125)
    call("track")
    assert named_latest("fixed").data.tags["mlflow.source.git.commit"] == commit


def test_runs_are_listed_in_the_order_of_params_yaml(tracked: Path) -> None:
    newest_first = sorted(runs().values(), key=lambda run: -run.info.start_time)
    names = [run.info.run_name for run in newest_first if PARENT_TAG not in run.data.tags]
    variants = [name.removeprefix("mnist-") for name in params.load().variants]
    assert names[:4] == [*variants, "logistic_regression"]
    seeds = [run.info.run_name for run in newest_first if run.info.run_name.endswith("of as_posted")]
    assert seeds == ["seed 0 of as_posted", "seed 3 of as_posted"]
