"""Stages killed: `dvc repro` alone brings back all that was there, and nothing else stays."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import breaking
import pytest
from breaking import STAGES, Strike
from miniature import Miniature
from project import Project
from ruamel.yaml import YAML

from stages.core import files

# A moment of each stage, and two of those that write most.
SAMPLE = [
    ("track", Strike("commit", 20)),
    ("track", Strike("open", 3, "cut")),
    ("report", Strike("rename", 0)),
    ("evaluate", Strike("open", 5, "cut", 20)),
    ("attribute@ex4", Strike("renamed", 0)),
    ("probe", Strike("open", 2, "cut", 20)),
    ("baseline@ex4", Strike("rename", 1)),
    ("train@ex4-as_posted", Strike("renamed", 1)),
    ("prepare@ex4", Strike("open", 1, "cut", 1000)),
    ("fetch", Strike("rename", 0)),
    ("plan", Strike("open", 8, "cut", 20)),
    ("plan", Strike("rename", 4)),
]


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return breaking.small_project(root, tmp_path_factory.mktemp("kills"))


@pytest.fixture(scope="module")
def whole(project: Project) -> dict[str, Any]:
    """What is there when no stage was killed."""
    state = breaking.state(project)
    assert state["git"] == ""
    assert state["temporary files"] == []
    return state


def unmake(project: Project, stage: str) -> None:
    """Remove what DVC itself does not before it runs `stage`: the stage would change nothing else."""
    if stage == "plan":
        shutil.rmtree(project.folder / "configs")
    elif stage == "track":
        # As its page does.
        with closing(sqlite3.connect(project.folder / "mlflow.db")) as database, database:
            database.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE status = 'FINISHED'")


def remove_store(project: Project) -> None:
    """Remove MLflow's store, so that `track` has to make it."""
    for path in project.folder.glob("mlflow.db*"):
        path.unlink()
    shutil.rmtree(project.folder / "mlruns", ignore_errors=True)


def forget(project: Project, stage: str) -> None:
    """Remove the results of `stage` from DVC's cache: it would take them from there in place of running the stage."""
    cache = project.folder / ".dvc" / "cache"
    shutil.rmtree(cache / "runs", ignore_errors=True)
    for out in YAML(typ="safe").load(project.folder / "dvc.lock")["stages"][stage].get("outs", ()):
        (cache / "files" / "md5" / out["md5"][:2] / out["md5"][2:]).unlink(missing_ok=True)


def test_dvc_repro_alone_mends_what_stages_leave_that_were_killed(project: Project, whole: dict[str, Any]) -> None:
    for stage, strike in SAMPLE:
        unmake(project, stage)
        breaking.repro(project, stage, strike)
        forget(project, stage)
    assert list(project.folder.glob(".stage-tmp-*")), "no stage was killed with a temporary file"
    project.dvc("repro")
    assert breaking.differences(whole, breaking.state(project)) == []


@pytest.mark.faults
@pytest.mark.parametrize("stage", STAGES)
def test_dvc_repro_alone_mends_what_a_stage_leaves_that_was_killed_at_any_moment(
    project: Project, whole: dict[str, Any], stage: str, tmp_path: Path, counted: Callable[[str, int], None]
) -> None:
    unmake(project, stage)
    strikes = breaking.moments(project, breaking.repro(project, stage))
    assert len(strikes) >= 10
    assert {strike.kind for strike in strikes} >= {"start", "open", "rename", "renamed"}
    counted(f"kills of {stage}", len(strikes))
    wrong = not_mended(project, whole, stage, strikes, unmake, tmp_path)
    assert not wrong, "\n".join(wrong)


@pytest.mark.faults
def test_dvc_repro_alone_mends_what_track_leaves_that_was_killed_while_it_made_the_store(
    project: Project, whole: dict[str, Any], tmp_path: Path, counted: Callable[[str, int], None]
) -> None:
    def remove(project: Project, stage: str) -> None:
        remove_store(project)

    remove_store(project)
    noted = breaking.moments(project, breaking.repro(project, "track"))
    strikes = [strike for strike in noted if strike.kind in ("commit", "rename", "renamed")]
    counted("kills of track while it makes the store", len(strikes))
    wrong = not_mended(project, whole, "track", strikes, remove, tmp_path)
    assert not wrong, "\n".join(wrong)


def not_mended(
    project: Project,
    whole: dict[str, Any],
    stage: str,
    strikes: Sequence[Strike],
    unmake: Callable[[Project, str], None],
    spare: Path,
) -> list[str]:
    """What `dvc repro` leaves otherwise than it was in `whole`, where `stage` was struck: a line a strike."""
    print(f"{stage}: killed at {len(strikes)} moments")
    project.dvc("repro")
    backup = spare / "backup"
    shutil.copytree(project.folder, backup, symlinks=True)
    lines = []
    for number, strike in enumerate(strikes):
        unmake(project, stage)
        breaking.repro(project, stage, strike)
        # One of three is restored from DVC's cache.
        if number % 3:
            forget(project, stage)
        again = project.run(sys.executable, "-m", "dvc", "repro")
        wrong = [again.stdout + again.stderr] if again.returncode else []
        if wrong := wrong + breaking.differences(whole, breaking.state(project)):
            lines.append(f"{strike}: {'; '.join(wrong)}")
            shutil.rmtree(project.folder)
            shutil.copytree(backup, project.folder, symlinks=True)
    return lines


@contextmanager
def training(miniature: Miniature, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The stage `train` of a variant that would take hours, once both of its workers train."""
    shutil.copytree(miniature.folder, folder, dirs_exist_ok=True)
    (folder / "stages").symlink_to(Path(__file__).parents[1] / "stages")
    content = YAML(typ="safe").load(folder / "params.yaml")
    content["execution"] = {"backend": "loky", "workers": 2}
    YAML(typ="safe").dump(content, folder / "params.yaml")
    config = files.read_json(folder / "configs/ex4-fixed.json")
    config["run"]["epochs"] = 1_000_000
    files.write_json(folder / "configs/ex4-fixed.json", config)
    command = [sys.executable, "-m", "stages.train", "ex4-fixed"]
    environment = os.environ | {"PROJECT": str(folder)}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as stage:
        try:
            deadline = time.monotonic() + 120
            while sum(map(trains, breaking.processes_of(folder))) < 2:
                assert stage.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield stage
        finally:
            for process in breaking.processes_of(folder):
                os.kill(process, signal.SIGKILL)


def trains(process: int) -> bool:
    """Whether a process has taken more time than TensorFlow's import takes, and has imported it."""
    try:
        if "tensorflow" not in Path(f"/proc/{process}/maps").read_text(encoding="utf-8"):
            return False
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return False
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") > 8


def shared_memory(process: int) -> list[str]:
    """What joblib has in shared memory for a process."""
    return [path.name for path in Path("/dev/shm").iterdir() if re.search(rf"[-_]{process}[-_]", path.name)]


@pytest.mark.usefixtures("limited")
def test_the_workers_of_a_stage_that_is_killed_end_with_it_and_leave_nothing(
    miniature: Miniature, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    with training(miniature, folder) as stage:
        stage.kill()
        stage.wait()
        assert breaking.ended(folder, 5)
        assert shared_memory(stage.pid) == []
    assert list(folder.glob(".stage-tmp-*"))
    subprocess.run([sys.executable, "-m", "stages.plan"], cwd=folder, check=True)
    assert not list(folder.glob(".stage-tmp-*"))


@pytest.mark.usefixtures("limited")
def test_ctrl_c_ends_a_stage_and_its_workers_without_a_traceback(miniature: Miniature, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with training(miniature, folder) as stage:
        os.killpg(stage.pid, signal.SIGINT)
        _, said = stage.communicate(timeout=20)
        assert breaking.ended(folder, 5)
    # The shell calls this 130.
    assert stage.returncode == -signal.SIGINT
    assert said == ""
    assert not list(folder.glob(".stage-tmp-*"))


@pytest.mark.usefixtures("limited")
def test_a_worker_that_is_killed_ends_the_stage_in_one_line(miniature: Miniature, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with training(miniature, folder) as stage:
        os.kill(next(filter(trains, breaking.processes_of(folder))), signal.SIGKILL)
        _, said = stage.communicate(timeout=20)
        assert breaking.ended(folder, 5)
    assert stage.returncode == 1
    expected = "a worker was killed, most likely for want of memory; lower execution.workers in params.yaml"
    assert said == f"error: {expected}, or end other programs\n"
