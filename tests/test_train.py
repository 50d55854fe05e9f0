"""`train` keeps valid run files, trains missing ones, moves renamed ones, and removes or replaces all others."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples
import terminal

from stages import train
from stages.base import errors, files
from stages.base.errors import UserError
from stages.config import load
from stages.config.planned import PlannedRuns
from stages.data import prepared
from stages.training import pool, runs

DATA = samples.dataset(side=None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The run files of the small project, by path."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        samples.write_params(samples.params_content())
        samples.write_data(DATA)
        train.main("small")
        assert len(Path("runs.log").read_text(encoding="utf-8").splitlines()) == 13
    return contents(folder)


@pytest.fixture
def project(trained: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small project after `train`."""
    monkeypatch.chdir(tmp_path)
    samples.write_params(samples.params_content())
    samples.write_data(DATA)
    for path, content in trained.items():
        files.write_bytes(Path(path), content)
    return tmp_path


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no test append to the log of another."""
    yield
    Path("runs.log").unlink(missing_ok=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "runs").rglob("*") if path.is_file()}


def new_runs() -> list[tuple[str, int]]:
    """Return folder and seed of every run in runs.log."""
    log = Path("runs.log")
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines() if log.exists() else [])
    return sorted((line["folder"], line["seed"]) for line in lines if line["case"] == "small" and line["seconds"] >= 0)


def configurations() -> dict[str, Any]:
    planned = load.read_planned("small", "runs", PlannedRuns).runs
    return {configuration.folder: configuration for configuration in planned}


def test_every_run_has_a_file_whose_scores_are_those_of_its_predictions(project: Path) -> None:
    paths = set()
    data = prepared.read(files.prepared_path("small"))
    for folder, configuration in configurations().items():
        for seed in configuration.seeds:
            path = files.run_path("small", folder, seed)
            paths.add(str(path))
            run = runs.read(path)
            assert run.seed == seed
            assert run.facts == runs.facts_of(configuration, seed, data.sha256)
            if configuration.subset is None:
                assert {s: np.mean(run.predicted[s] == data.y[s]) for s in data.y} == run.scores
            assert run.diverged == (folder == "wild")
    assert contents(project).keys() == paths
    assert "runs/small/longer/seed_3.npz" in paths
    assert "runs/small/longer/seed_0.npz" not in paths


def test_valid_run_files_stay_and_nothing_is_trained_anew(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "train_all", None)
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    train.main("small")
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")} == before
    assert new_runs() == []


def test_missing_and_damaged_files_are_trained_to_the_same_bytes_and_strangers_removed(
    project: Path, trained: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    missing, damaged = (files.run_path("small", "as_posted", seed) for seed in (0, 3))
    missing.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-100])
    files.write_bytes(Path("runs/small/gone/seed_0.npz"), trained["runs/small/as_posted/seed_0.npz"][:50])
    files.write_bytes(Path("runs/small/as_posted/notes.txt"), b"")
    Path("runs/small/gone/empty").mkdir()
    train.main("small")
    assert contents(project) == trained
    assert not Path("runs/small/gone").exists()
    assert new_runs() == [("as_posted", 0), ("as_posted", 3)]
    assert f"{damaged} is damaged; its run is trained anew" in capsys.readouterr().out


def test_a_run_that_is_the_same_under_another_name_is_moved(
    project: Path, trained: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "train_all", None)
    content = samples.params_content()
    case = content["cases"]["small"]
    case["variants"] = {"repaired": case["variants"].pop("fixed"), **case["variants"]}
    case["fixes"] = {"soft": case["fixes"].pop("softmax"), **case["fixes"]}
    case["variants"]["repaired"]["fixes"] = ["soft", "adam"]
    samples.write_params(content)
    train.main("small")
    found = contents(project)
    assert "runs/small/fixed/seed_0.npz" not in found
    before = runs.read(Path("runs/small/repaired/seed_0.npz"))
    assert before.facts["fixes"] == ["soft", "adam"]
    assert len(found) == len(trained)
    # Back to the old names, the bytes are the old ones.
    samples.write_params(samples.params_content())
    train.main("small")
    assert contents(project) == trained


def test_an_edit_trains_only_what_it_changes(project: Path, trained: dict[str, bytes]) -> None:
    content = samples.params_content()
    content["cases"]["small"]["variants"]["longer"]["seeds"] = [3, 0]
    content["cases"]["small"]["variants"]["few"]["data"]["first_of_each_class"] = {0: 3, 1: 2}
    samples.write_params(content)
    train.main("small")
    assert new_runs() == [("few", 0), ("few", 3), ("longer", 0)]
    found = contents(project)
    assert all(found[path] == trained[path] for path in trained if "few" not in path)


@pytest.mark.parametrize("ingredient", ["data", "ARITHMETIC"])
def test_all_runs_are_trained_anew_if_the_data_or_the_arithmetic_changes(
    project: Path, ingredient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ingredient == "data":
        samples.write_data(samples.dataset(n_train=71))
    else:
        monkeypatch.setattr(runs, "ARITHMETIC", runs.ARITHMETIC + 1)
    asked: list[pool.Task] = []

    def ask(tasks: list[pool.Task], *rest: Any) -> Iterator[pool.Trained]:
        asked.extend(tasks)
        return iter(())

    monkeypatch.setattr(pool, "train_all", ask)
    train.main("small")
    assert len(asked) == 13
    assert contents(project) == {}


def test_a_run_that_fails_leaves_the_finished_ones_and_the_next_train_goes_on(
    project: Path, trained: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("fixed", "as_posted"):
        files.run_path("small", folder, 0).unlink()

    def fail(tasks: list[pool.Task], *rest: Any) -> Iterator[pool.Trained]:
        yield from pool.train_unit(tasks[:1], prepared.read(files.prepared_path("small")))
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(pool, "train_all", fail)
        with pytest.raises(MemoryError):
            train.main("small")
    assert len(contents(project)) == len(trained) - 1
    train.main("small")
    assert contents(project) == trained
    assert len(new_runs()) == 2


def test_piped_it_says_a_line_per_run_and_nothing_of_tensorflow(project: Path, root: Path) -> None:
    files.run_path("small", "as_posted", 3).unlink()
    point = next(folder for folder in configurations() if folder.startswith("p-"))
    files.run_path("small", point, 3).unlink()
    command = [sys.executable, "-m", "stages", "train", "small"]
    environment = terminal.environment() | {"PYTHONPATH": str(root)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    *lines, last = ended.stdout.splitlines()
    scores = r"accuracy train [01]\.\d{4}, validation [01]\.\d{4}, test [01]\.\d{4}"
    assert all(re.fullmatch(rf"small (as_posted|softmax|adam) seed 3: {scores}", line) for line in lines)
    assert len(lines) == 2
    assert last == "wrote runs/small: 13 runs, 2 trained"


def test_what_is_missing_ends_in_one_line(project: Path) -> None:
    with pytest.raises(UserError, match=r"^configs/smal/runs\.json is missing|^data/prepared/smal\.npz is missing"):
        train.main("smal")
    files.prepared_path("small").unlink()
    with pytest.raises(SystemExit, match=r"^error: data/prepared/small\.npz is missing; "), errors.one_line():
        train.main("small")
