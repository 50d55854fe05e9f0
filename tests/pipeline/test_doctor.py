"""`doctor` finds what stops DVC or would bring damaged files back, and each command that it prints mends."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from documented import line
from project import OUTS, Project, copy_in_cache, copy_of, flip

from stages import doctor


@pytest.fixture(scope="module")
def project(shortest: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a copy of the finished project, whose store was found and mended."""
    project = copy_of(shortest, tmp_path_factory.mktemp("doctor") / "a project")
    (command,) = examined(project)
    assert command == "mv mlflow.db mlflow.db.moved"
    mended(project, [command])
    return project


def files_of(project: Project) -> list[tuple[Path, int]]:
    """Return every file with its time, without those that Python compiles."""
    paths = (path for path in project.folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return sorted((path, path.stat().st_mtime_ns) for path in paths)


def examined(project: Project) -> list[str]:
    """Return the commands that `doctor` prints, and check that it changes nothing."""
    before = files_of(project)
    ended = project.run(*line("docs/reliability.md", "python -m stages doctor"))
    assert files_of(project) == before
    assert ended.stderr == ""
    *found, last = ended.stdout.splitlines()
    if not found:
        assert (ended.returncode, last) == (0, "nothing to mend")
        return []
    assert (ended.returncode, last) == (1, "then run: dvc repro")
    return [re.fullmatch(r"\S.*?: .*; run: (.*)", line)[1] for line in found]  # type: ignore[index]


def mended(project: Project, commands: list[str]) -> None:
    """Run `commands`, then DVC, and check that nothing is left to mend."""
    for command in commands:
        project.succeed("bash", "-euc", command)
    project.dvc("repro")
    assert examined(project) == []


def emptied(content: bytes) -> bytes:
    return b""


def cut(content: bytes) -> bytes:
    return content[: content.index(b"\n", 100) - 9]


@pytest.mark.tried("broken files for doctor")
@pytest.mark.parametrize(("damage", "by_git"), [(emptied, True), (cut, False)], ids=["with Git", "without Git"])
def test_files_that_a_killed_dvc_left_half_written_are_mended_and_no_run_is_trained(
    shortest: Project, project: Project, damage: Callable[[bytes], bytes], by_git: bool
) -> None:
    before = project.trained()
    lock = project.folder / "dvc.lock"
    lock.write_bytes(damage(lock.read_bytes()))
    (project.folder / ".dvc/tmp/rwlock").write_bytes(b"" if damage is emptied else b'{"write": {"/')
    assert project.run("python", "-m", "dvc", "repro").returncode != 0
    git, hidden = project.folder / ".git", project.folder.parent / "git"
    if not by_git:
        git.rename(hidden)
        project.dvc("config", "--local", "core.no_scm", "true")
    try:
        mended(project, examined(project))
    finally:
        if not by_git:
            hidden.rename(git)
            (project.folder / ".dvc/config.local").unlink()
    assert project.trained() == before
    assert project.contents(*OUTS) == shortest.contents(*OUTS)
    assert project.git_status() == ""


@pytest.mark.tried("broken files for doctor")
def test_damaged_files_and_copies_are_mended_and_only_a_lost_run_is_trained(
    shortest: Project, project: Project
) -> None:
    before = len(project.trained())
    lost = project.folder / "runs/ex4/as_posted/seed_0.npz"
    for name in ("data/prepared/ex4.npz", "runs/ex4/as_posted/seed_0.npz", "reports/pictures/ex4.npz"):
        flip(copy_in_cache(project, name))
    lost.unlink()
    for name in ("reports/pictures/ex4.npz", "reports/curves/ex4.csv", "reports/results/ex4.json"):
        flip(project.folder / name)
    (metrics, *_) = sorted(project.folder.glob("metrics/ex4/*"))
    flip(metrics)
    copies = project.folder.glob(".dvc/cache/files/md5/*/*.dir")
    flip(next(copy for copy in copies if b"cases.json" in copy.read_bytes()))
    commands = examined(project)
    assert len(commands) == 7
    mended(project, commands)
    assert project.contents(*OUTS) == shortest.contents(*OUTS)
    assert project.trained()[before:] == [("ex4", "as_posted", 0)]


@pytest.mark.tried("broken files for doctor")
@pytest.mark.parametrize("damage", ["copy", "file", "both"])
def test_no_copy_of_own_data_is_deleted(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(["dvc", "init", "--quiet", "--no-scm"], check=True)
    project, file = Project(tmp_path, os.environ), tmp_path / "data/own/my data.csv"
    file.parent.mkdir(parents=True)
    file.write_text("area,price\n1,2\n", encoding="utf-8")
    original = file.read_bytes()
    subprocess.run(["dvc", "add", "--quiet", file], check=True)
    copy = copy_in_cache(project, "data/own/my data.csv")
    for path in {"copy": [copy], "file": [file], "both": [copy, file]}[damage]:
        flip(path)
    doctor.digest.cache_clear()
    with pytest.raises(SystemExit):
        doctor.main()
    said = capsys.readouterr().out
    command = said.splitlines()[0].partition("; run: ")[2]
    if "put a good copy of yours in its place, then" in said:
        file.write_bytes(original)
    subprocess.run(["bash", "-euc", command], check=True)
    assert file.read_bytes() == copy.read_bytes() == original
    assert len(file.with_name("my data.csv.damaged").read_bytes()) == len(original)
    doctor.digest.cache_clear()
    doctor.main()
    assert capsys.readouterr().out == "nothing to mend\n"
