"""`train` keeps valid run files, trains missing ones, moves renamed ones, and removes or replaces all others."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import samples

from stages import train
from stages.base import files
from stages.base.errors import UserError
from stages.config import load
from stages.config.planned import PlannedRuns
from stages.config.schema import Execution
from stages.data import prepared
from stages.data.prepared import Prepared
from stages.training import pool, runs


def train_all(tasks: Sequence[pool.Task], data: Prepared) -> Iterator[pool.Trained]:
    """Yield runs of random numbers that follow from the task, because no test here is about training."""
    for task in tasks:
        yield pool.Trained(task, samples.untrained_run(task.configuration, task.seed, data), 0.5)


def replaced(patch: pytest.MonkeyPatch, train_all: Callable[..., Iterator[pool.Trained]]) -> None:
    """Let the pool train by `train_all`."""

    @contextmanager
    def opened(data: Prepared, execution: Execution) -> Iterator[Callable[..., Iterator[pool.Trained]]]:
        yield lambda tasks: train_all(tasks, data)

    patch.setattr(pool, "opened", opened)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the small project after `train`, without the log of its runs."""
    monkeypatch.chdir(tmp_path)
    replaced(monkeypatch, train_all)
    samples.write_params(samples.params_content())
    samples.write_data(samples.dataset())
    train.main("small")
    assert len(new_runs()) == 13
    Path("runs.log").unlink()
    return tmp_path


@pytest.fixture
def trained(project: Path) -> dict[str, bytes]:
    """Return the run files of the small project, by path."""
    return contents(project)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "runs").rglob("*") if path.is_file()}


def new_runs() -> list[tuple[str, int]]:
    """Return folder and seed of every run in runs.log."""
    log = Path("runs.log")
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines() if log.exists() else [])
    return sorted((line["folder"], line["seed"]) for line in lines if line["case"] == "small" and line["seconds"] >= 0)


def test_every_run_has_a_file_that_says_what_it_is_of(trained: dict[str, bytes]) -> None:
    paths = set()
    data = prepared.read(files.prepared_path("small"))
    for configuration in load.read_planned("small", "runs", PlannedRuns).runs:
        for seed in configuration.seeds:
            path = files.run_path("small", configuration.folder, seed)
            paths.add(str(path))
            run = runs.read(path)
            assert run.seed == seed
            assert run.facts == runs.facts_of(configuration, seed, data.sha256)
            assert run.diverged == (configuration.folder == "wild")
    assert trained.keys() == paths
    assert "runs/small/longer/seed_3.npz" in paths
    assert "runs/small/longer/seed_0.npz" not in paths


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
    replaced(monkeypatch, lambda *_: pytest.fail("trained"))
    content = samples.params_content()
    case = content["cases"]["small"]
    case["fixes"] = {"soft": case["fixes"]["softmax"], "fast": case["fixes"]["adam"]}
    case["variants"]["mended"] = case["variants"].pop("fixed") | {"fixes": ["soft", "fast"]}
    case["variants"]["longer"]["fixes"] = ["fast"]
    samples.write_params(content)
    train.main("small")
    assert len(contents(project)) == len(trained)
    assert not Path("runs/small/fixed").exists()
    for name, fixes in {"mended/seed_0": ["soft", "fast"], "longer/seed_3": ["fast"]}.items():
        assert runs.read(Path(f"runs/small/{name}.npz")).facts["fixes"] == fixes
    # Back to the old names, the bytes are the old ones.
    samples.write_params(samples.params_content())
    train.main("small")
    assert contents(project) == trained


@pytest.mark.parametrize("ingredient", ["data", "ARITHMETIC"])
def test_all_runs_are_trained_anew_if_the_data_or_the_arithmetic_changes(
    project: Path, ingredient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ingredient == "data":
        samples.write_data(samples.dataset(n_train=71))
    else:
        monkeypatch.setattr(runs, "ARITHMETIC", runs.ARITHMETIC + 1)
    before = contents(project)
    train.main("small")
    assert len(new_runs()) == 13
    after = contents(project)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())


def test_a_run_that_fails_leaves_the_finished_ones_and_the_next_train_goes_on(
    project: Path, trained: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("fixed", "as_posted"):
        files.run_path("small", folder, 0).unlink()

    def fail(tasks: Sequence[pool.Task], *rest: Any) -> Iterator[pool.Trained]:
        yield from train_all(tasks[:1], *rest)
        raise MemoryError

    with monkeypatch.context() as patch:
        replaced(patch, fail)
        with pytest.raises(MemoryError):
            train.main("small")
    assert len(contents(project)) == len(trained) - 1
    train.main("small")
    assert contents(project) == trained
    assert len(new_runs()) == 2


def test_a_set_of_fixes_that_keras_refuses_is_a_result_and_a_variant_ends_train_when_all_others_are_trained(
    project: Path, trained: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = next(path.split("/")[2] for path in trained if "/p-" in path)
    for folder in (hashed, "fixed"):
        files.run_path("small", folder, 0).unlink()
    refusing = {hashed, "fixed"}

    def refuse(tasks: Sequence[pool.Task], *rest: Any) -> Iterator[pool.Trained]:
        for each in train_all(tasks, *rest):
            refused = each.task.configuration.folder in refusing
            yield replace(each, run=runs.Refusal(0, "no such shape")) if refused else each

    replaced(monkeypatch, refuse)
    for _ in range(2):
        with pytest.raises(UserError, match=r"^fixed: Keras refuses it: no such shape; change it in params\.yaml$"):
            train.main("small")
    refusal = runs.read_any(files.run_path("small", hashed, 0))
    assert isinstance(refusal, runs.Refusal)
    assert refusal.reason == "no such shape"
    assert new_runs() == [("fixed", 0), ("fixed", 0), (hashed, 0)]
    refusing.remove("fixed")
    train.main("small")
    assert len(contents(project)) == len(trained)
