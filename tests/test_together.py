"""Two `dvc repro` at once in one repository: DVC lets one of them wait or end, and nothing is wrong afterwards."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import breaking
import pytest
from project import OUTS, Project

# What DVC says where another process has a lock, on its repository or on a path.
BUSY = ("Unable to acquire lock", "is busy")


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return breaking.small_project(root, tmp_path_factory.mktemp("together"))


@pytest.mark.parametrize("delay", [0, pytest.param(4, marks=pytest.mark.faults)])
def test_two_at_once_leave_what_one_alone_does(project: Project, delay: float) -> None:
    whole = breaking.state(project)
    for name in (*OUTS, ".dvc/cache", ".dvc/tmp", "mlruns"):
        shutil.rmtree(project.folder / name, ignore_errors=True)
    (project.folder / "mlflow.db").unlink()

    both: list[subprocess.Popen[str]] = []
    for _ in range(2):
        time.sleep(delay if both else 0)
        both.append(
            subprocess.Popen(
                [sys.executable, "-m", "dvc", "repro"],
                cwd=project.folder,
                env=project.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    for process in both:
        said = process.communicate()[0]
        assert "Traceback" not in said
        assert process.returncode == 0 or any(reason in said for reason in BUSY), said

    project.dvc("repro")
    assert breaking.differences(whole, breaking.state(project)) == []
