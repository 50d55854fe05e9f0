"""Fixtures of the tests of `track`: a small project with results, and its store."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from stages import track
from tracking import sample

VARIABLES = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A project with results and a store that holds them; to be read, not changed. All test processes share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "template" / "project"
    with FileLock(f"{folder.parent}.lock"), pytest.MonkeyPatch.context() as patch:
        if not folder.exists():
            folder.mkdir(parents=True)
            patch.chdir(folder)
            for name in VARIABLES:
                patch.delenv(name, raising=False)
            sample.write_project()
            track.main()
    return folder


def copy_of(template: Path, folder: Path) -> Path:
    """Copy the project to `folder`, and let its store take this for the place where it was made."""
    shutil.copytree(template, folder)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
        ):
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            database.execute(change, (template.as_uri(), folder.as_uri()))
    return folder


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project that the tests of a module share."""
    return copy_of(template, tmp_path_factory.mktemp("tracked") / "project")


@pytest.fixture
def tracked(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project for one test, which is the current folder."""
    folder = copy_of(template, tmp_path / "project")
    monkeypatch.chdir(folder)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    # Drawing takes most of the time; the pictures of `template` are real.
    monkeypatch.setattr(track, "pictures", lambda *arguments: {"none.png": b""})
    return folder
