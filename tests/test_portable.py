"""The same dvc.lock, results and runs, wherever the repository lies and whatever the user's settings are."""

import os
import sqlite3
import sysconfig
import venv
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from project import OUTS, Project, make, plain_environment, shortest_content, write_mnist

from stages.core.digits import Dataset

# An apostrophe too would be too much for MLflow: its first statement to a new store quotes the path with apostrophes.
ODD = 'a "test" – Prüfung 数 $HOME & co'
# Nobody can write there, root neither.
READ_ONLY = Path("/sys")
# What the store holds but for what differs each time: ids, times, and how long it took.
VALUES = """
    SELECT runs.name, status, metrics.key, value, step, is_nan FROM runs JOIN metrics USING (run_uuid)
    WHERE metrics.key != 'train_seconds' ORDER BY 1, 3, 5
"""
TAGS = "SELECT runs.name, tags.value FROM runs JOIN tags USING (run_uuid) WHERE tags.key = 'whichfix.key' ORDER BY 1, 2"


def reproduced(root: Path, folder: Path, mnist: Path, variables: Mapping[str, str], umask: int) -> tuple[Project, str]:
    """The pipeline, run by DVC in `folder`, all of it added to Git, and what was said on the way."""
    content = shortest_content(root / "params.yaml")
    project = make(folder, mnist, content, {**plain_environment(), **variables}, umask)
    ended = project.run("python", "-m", "dvc", "repro")
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    project.succeed("git", "add", "--all")
    return project, said


@pytest.fixture(scope="module")
def mnist(raw_mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mnist")
    write_mnist(raw_mnist, folder)
    return folder


@pytest.fixture(scope="module")
def plain(root: Path, mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The pipeline as on most machines."""
    variables = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}
    return reproduced(root, tmp_path_factory.mktemp("plain"), mnist, variables, 0o022)[0]


@pytest.fixture(scope="module")
def odd(root: Path, mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """The pipeline where much is odd, and what was said: its own virtual environment lies in the repository too."""
    folder = tmp_path_factory.mktemp("odd") / ODD
    repository, temporary = folder / "repository", folder / "temporary files"
    temporary.mkdir(parents=True)
    venv.create(repository / ".venv", symlinks=True)
    (own,) = (repository / ".venv/lib").glob("python*/site-packages")
    (own / "installed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    with pytest.raises(OSError):
        (READ_ONLY / "home").mkdir()
    homes = {name: str(READ_ONLY) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    variables = {
        "LC_ALL": "C",
        "LANG": "de_DE.ISO-8859-1",
        "TZ": "Pacific/Chatham",
        "PYTHONHASHSEED": "12345",
        "TMPDIR": str(temporary),
        "PATH": f"{repository / '.venv/bin'}{os.pathsep}{os.environ['PATH']}",
        **homes,
    }
    return reproduced(root, repository, mnist, variables, 0o077)


def test_the_lock_is_the_same(plain: Project, odd: tuple[Project, str]) -> None:
    assert (odd[0].folder / "dvc.lock").read_bytes() == (plain.folder / "dvc.lock").read_bytes()


def test_every_out_is_the_same(plain: Project, odd: tuple[Project, str]) -> None:
    expected = plain.contents(*OUTS)
    assert len(expected) > 30
    assert odd[0].contents(*OUTS) == expected


def test_git_records_the_same_files_of_the_same_modes(plain: Project, odd: tuple[Project, str]) -> None:
    assert odd[0].succeed("git", "write-tree") == plain.succeed("git", "write-tree")


def test_mlflow_holds_the_same_runs(plain: Project, odd: tuple[Project, str]) -> None:
    held = []
    for project in (plain, odd[0]):
        with closing(sqlite3.connect(project.folder / "mlflow.db")) as store:
            held.append([store.execute(query).fetchall() for query in (VALUES, TAGS)])
    assert held[0] == held[1]
    values, tags = held[0]
    assert len(values) > 50
    assert {status for _, status, *_ in values} == {"FINISHED"}
    assert len({tag for _, tag in tags}) == len(tags) > 5


def test_track_finds_its_runs_and_their_artifacts_again(odd: tuple[Project, str]) -> None:
    assert odd[0].succeed("python", "-m", "stages.track").startswith("MLflow store is up to date\n")


def test_no_stage_complains(odd: tuple[Project, str]) -> None:
    for complaint in ("Traceback", "Error", "error", "Exception", "UserWarning"):
        assert complaint not in odd[1]


def test_the_odd_settings_were_those_of_what_ran(odd: tuple[Project, str]) -> None:
    asked = "import os, sys, time; print(ascii(sys.prefix)); print(time.timezone, oct(os.umask(0)))"
    prefix, rest = odd[0].succeed("python", "-c", asked).splitlines()
    assert prefix == ascii(str(odd[0].folder / ".venv"))
    assert rest == f"{-(12 * 60 + 45) * 60} 0o77"
