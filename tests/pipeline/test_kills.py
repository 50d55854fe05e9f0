"""A stage that is killed at any moment is mended by `dvc repro` alone, and completed runs are not trained again."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import servers
from project import N_RUNS, OUTS, Project, copy_of

pytestmark = pytest.mark.tried("killed stages")

FAULTS = Path(__file__).parents[1] / "faults"
# From the last to the first, so that each stage still has its deps when the stages before it are killed. With each, one
# of its last moments.
STAGES = {
    "track": 60,
    "report": 4,
    "evaluate@ex4": 27,
    "train@ex4": 22,
    "baseline@ex4": 4,
    "prepare@ex4": 1,
    "fetch": 5,
    "plan": 9,
}
# Where a stage may leave nothing.
IGNORED = (".git", ".dvc/cache", ".dvc/tmp", "mlflow.db", "mlruns", "runs.log", ".mlflow")
# What DVC says if another process holds the lock of its repository or of a path.
BUSY = ("Unable to acquire lock", "is busy")


RUNS = """
    SELECT runs.name, status, experiments.name FROM runs JOIN experiments USING (experiment_id)
    WHERE runs.lifecycle_stage = 'active' ORDER BY 1, 2, 3
"""
METRICS = """
    SELECT runs.name, metrics.key, value, step, is_nan FROM runs JOIN metrics USING (run_uuid)
    WHERE runs.lifecycle_stage = 'active' AND metrics.key NOT LIKE '%seconds%' ORDER BY 1, 2, 4, 3
"""
CHAMPIONS = "SELECT name, alias FROM registered_model_aliases ORDER BY 1, 2"


def store(project: Project) -> list[list[Any]]:
    """Return what MLflow shows, without identifiers and times."""
    with closing(sqlite3.connect(project.folder / "mlflow.db")) as database:
        return [database.execute(query).fetchall() for query in (RUNS, METRICS, CHAMPIONS)]


def state(project: Project) -> dict[str, Any]:
    """Return everything that `dvc repro` must bring back, inside the repository.

    A killed process leaves its folder in TMPDIR, which the system empties.
    """
    paths = (path.relative_to(project.folder).as_posix() for path in project.folder.rglob("*"))
    return {
        "files": sorted(path for path in paths if not path.startswith(IGNORED) and "__pycache__" not in path),
        "contents": project.contents(*OUTS),
        "dvc.lock": (project.folder / "dvc.lock").read_bytes(),
        "git": project.git_status(),
        "store": store(project),
    }


@pytest.fixture(scope="module")
def project(shortest: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a copy of the finished project that has a folder of its own for temporary files."""
    folder = tmp_path_factory.mktemp("kills")
    project = copy_of(shortest, folder / "project")
    (folder / "tmp").mkdir()
    variables = {"TMPDIR": str(folder / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    project = Project(project.folder, {**project.environment, **variables})
    project.dvc("repro")  # makes the MLflow store anew, whose artifacts have moved
    return project


@pytest.fixture(scope="module")
def whole(project: Project) -> dict[str, Any]:
    """Return the state of the project when nothing was killed."""
    found = state(project)
    assert found["git"] == ""
    return found


def undo(project: Project, stage: str) -> None:
    """Remove what DVC does not remove before it runs `stage`, because the stage would otherwise change nothing."""
    if stage.startswith("train"):
        shutil.rmtree(project.folder / "runs")
    elif stage == "plan":
        shutil.rmtree(project.folder / "configs")
    elif stage == "track":
        shutil.rmtree(project.folder / "mlruns")
        for path in project.folder.glob("mlflow.db*"):
            path.unlink()


def run_stage(project: Project, stage: str, **fault: Any) -> int:
    """Run `stage` from nothing by DVC, break it as `fault` says, and return the number of moments before that."""
    undo(project, stage)
    log = project.folder.parent / "moments"
    log.unlink(missing_ok=True)
    command = ["-m", "stages", *stage.split("@")]
    variables = {"FAULT": json.dumps({"command": command, "log": str(log), **fault}), "PYTHONPATH": str(FAULTS)}
    ended = project.run("python", "-m", "dvc", "repro", "--force", "--single-item", stage, **variables)
    moments = log.read_text(encoding="utf-8").splitlines()
    assert ("struck" in moments) == bool(fault), ended.stdout + ended.stderr
    assert (ended.returncode != 0) == bool(fault), ended.stdout + ended.stderr
    return len(moments)


@pytest.mark.parametrize("how", ["cut", "kill"])
def test_dvc_repro_alone_mends_what_killed_stages_leave(
    project: Project, whole: dict[str, Any], how: str, record_property: Callable[[str, int], None]
) -> None:
    record_property("faults", len(STAGES))
    for stage, last in STAGES.items():
        # In the middle of the first file, or just before the last one.
        run_stage(project, stage, moment=0 if how == "cut" else last, how=how)
    project.dvc("repro")
    assert state(project) == whole


@pytest.mark.faults
@pytest.mark.parametrize("stage", STAGES)
def test_dvc_repro_alone_mends_a_stage_that_is_killed_at_any_moment(
    project: Project, whole: dict[str, Any], stage: str
) -> None:
    last = run_stage(project, stage) - 1
    project.dvc("repro")
    for moment in sorted({round(place * last / 7) for place in range(8)}):
        for how in ("kill", "cut"):
            run_stage(project, stage, moment=moment, how=how)
            project.dvc("repro")
            assert state(project) == whole, (stage, moment, how)


def test_completed_runs_are_not_trained_again(project: Project, whole: dict[str, Any]) -> None:
    before = len(project.trained())
    # While the first run of the third folder is written, after two runs of each folder before it.
    run_stage(project, "train@ex4", below=["runs/ex4/p-"], moment=1, how="cut")
    completed = project.trained()[before:]
    assert len(completed) == 4
    project.dvc("repro")
    again = project.trained()[before + 4 :]
    assert len(again) == N_RUNS["ex4"] - 4
    assert not set(completed) & set(again)
    assert state(project) == whole


def test_two_at_once_leave_what_one_alone_leaves(project: Project, whole: dict[str, Any]) -> None:
    for stage in STAGES:
        undo(project, stage)
    for name in OUTS:
        shutil.rmtree(project.folder / name, ignore_errors=True)
    command = [sys.executable, "-m", "dvc", "repro"]
    options: dict[str, Any] = {"cwd": project.folder, "env": project.environment, "text": True}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options) for _ in range(2)]
    for process in both:
        said = process.communicate()[0]
        assert "Traceback" not in said
        assert process.returncode == 0 or any(reason in said for reason in BUSY), said
    project.dvc("repro")
    assert state(project) == whole


def processes_of(folder: Path) -> list[int]:
    """Return the processes that work in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or belongs to somebody else
            ended = "(zombie)" in process.joinpath("status").read_text()
            if process.joinpath("cwd").readlink() == folder and not ended:
                found.append(int(process.name))
    return found


def trains(process: int) -> bool:
    """Return whether a process has imported TensorFlow and then computed for some seconds."""
    try:
        if "tensorflow" not in Path(f"/proc/{process}/maps").read_text(encoding="utf-8"):
            return False
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return False
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") > 8


STAGE = ("stages", "train", "ex4")
BY_DVC = ("dvc", "repro", "--single-item", "train@ex4")


@contextmanager
def training(shortest: Project, folder: Path, module: tuple[str, ...] = STAGE) -> Iterator[subprocess.Popen[str]]:
    """Start a stage `train` that would take hours, and wait until both of its workers train.

    After the block, the stage and its workers must be gone.
    """
    project = copy_of(shortest, folder)
    content = project.read_params()
    content["execution"] = {"backend": "loky", "workers": 2}
    content["cases"]["ex4"]["as_posted"] |= {"epochs": 1_000_000, "batch_size": 100}
    project.write_params(content)
    assert project.stage("plan").returncode == 0
    command = [sys.executable, "-m", *module]
    # Not every shell hands its process over to its last command.
    environment = {**project.environment, "SHELL": "/bin/sh"}
    options: dict[str, Any] = {"cwd": folder, "env": environment, "text": True, "start_new_session": True}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as stage:
        try:
            servers.wait_until(lambda: sum(map(trains, processes_of(folder))) >= 2, stage)
            yield stage
            servers.wait_until(lambda: not processes_of(folder), seconds=5)
        finally:
            for process in processes_of(folder):
                os.kill(process, signal.SIGKILL)


@pytest.mark.usefixtures("limited")
def test_the_workers_of_a_stage_that_is_killed_end_with_it(shortest: Project, tmp_path: Path) -> None:
    with training(shortest, tmp_path / "project") as stage:
        stage.kill()
        stage.wait()
    # joblib's files in shared memory have the number of the process in their names.
    assert not [path for path in Path("/dev/shm").iterdir() if re.search(rf"[-_]{stage.pid}[-_]", path.name)]


@pytest.mark.usefixtures("limited")
def test_ctrl_c_ends_a_stage_and_its_workers_without_a_traceback(shortest: Project, tmp_path: Path) -> None:
    with training(shortest, tmp_path / "project") as stage:
        os.killpg(stage.pid, signal.SIGINT)
        _, said = stage.communicate(timeout=20)
    assert stage.returncode in (130, -signal.SIGINT)
    assert said == ""


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to dvc alone", "to all"])
def test_sigterm_ends_dvc_with_its_stage_and_the_workers(
    shortest: Project, tmp_path: Path, send: Callable[[int, int], None]
) -> None:
    with training(shortest, tmp_path / "project", BY_DVC) as dvc:
        send(dvc.pid, signal.SIGTERM)
        said = "".join(dvc.communicate(timeout=20))
    assert dvc.returncode == -signal.SIGTERM
    assert not re.search("Traceback|[Ww]arn|leaked", said)


@pytest.mark.usefixtures("limited")
def test_a_worker_that_is_killed_ends_the_stage_in_one_line(shortest: Project, tmp_path: Path) -> None:
    with training(shortest, tmp_path / "project") as stage:
        os.kill(next(filter(trains, processes_of(tmp_path / "project"))), signal.SIGKILL)
        _, said = stage.communicate(timeout=20)
    assert stage.returncode == 1
    assert re.fullmatch(r"error: a worker was killed, probably for lack of memory; .*execution\.workers.*\n", said)
