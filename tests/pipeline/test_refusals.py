"""Files that are damaged or cannot be written end a stage in one line that names the file and the reason."""

import errno
import importlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from documented import line
from project import OUTS, Project, copy_in_cache, copy_of, flip

from stages.base import files
from stages.base.errors import UserError

pytestmark = pytest.mark.tried("damaged files, full disks")

FAULTS = Path(__file__).parents[1] / "faults"
Damage = Callable[[bytes], bytes]


def flipped(content: bytes) -> bytes:
    """Flip one bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Damage] = {"emptied": lambda content: b"", "cut": lambda content: content[: len(content) // 2]}
TEXT = DAMAGES | {
    "not text": lambda content: content[:20] + b"\xff\x00" + content[22:],
    "other JSON": lambda content: b"[1]\n",
}
ARCHIVE = DAMAGES | {
    "cut by a byte": lambda content: content[:-1],
    "a bit flipped": flipped,
    "another archive": lambda content: files.archive_bytes({"a": [1]}),
}
READ = {
    "prepare ex4": ["configs/ex4/data.json", "data/raw/mnist.npz"],
    "train ex4": ["configs/ex4/runs.json", "data/prepared/ex4.npz"],
    "baseline ex4": ["configs/ex4/baselines.json", "data/prepared/ex4.npz"],
    "evaluate ex4": [
        "configs/ex4/case.json",
        "runs/ex4/as_posted/seed_0.npz",
        "baselines/ex4/logistic_regression.npz",
        "data/prepared/ex4.npz",
    ],
    "report": ["configs/cases.json", "reports/results/ex4.json", "reports/pictures/ex4.npz"],
    "track": ["configs/cases.json", "reports/results/ex4.json"],
}


@pytest.fixture(scope="module")
def folder(shortest: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(shortest, tmp_path_factory.mktemp("damaged") / "project").folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(folder)
    yield folder
    status = subprocess.run(["git", "status", "--porcelain"], check=True, capture_output=True, text=True)
    assert status.stdout == "", "a stage that refused its input has written something"


@pytest.mark.parametrize(("stage", "name"), [(stage, name) for stage, names in READ.items() for name in names])
def test_a_damaged_file_is_refused_by_its_path(
    here: Path, stage: str, name: str, record_property: Callable[[str, int], None]
) -> None:
    path = Path(name)
    record_property("faults", len(ARCHIVE if path.suffix == ".npz" else TEXT))
    content = path.read_bytes()
    module, *arguments = stage.split()
    path.chmod(0o644)
    try:
        for kind, damage in (ARCHIVE if path.suffix == ".npz" else TEXT).items():
            path.write_bytes(damage(content))
            with pytest.raises(UserError) as caught:
                importlib.import_module(f"stages.{module}").main(*arguments)
            message = str(caught.value)
            assert message.startswith(f"{path}: "), (kind, message)
            assert "\n" not in message
            assert "dvc repro" in message, (kind, message)
    finally:
        path.write_bytes(content)


def test_a_missing_file_is_refused_by_its_path_in_one_line(here: Path) -> None:
    path = Path("runs/ex4/as_posted/seed_1.npz")
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(UserError) as caught:
        importlib.import_module("stages.evaluate").main("ex4")
    path.write_bytes(content)
    assert str(caught.value) == f"{path} is missing; run `dvc repro`, which makes it"


def test_dvc_repro_trains_a_damaged_run_again_and_replaces_its_damaged_copy(shortest: Project, tmp_path: Path) -> None:
    project, name = copy_of(shortest, tmp_path / "project"), "runs/ex4/as_posted/seed_0.npz"
    path, copy = project.folder / name, copy_in_cache(shortest, name).relative_to(shortest.folder)
    content = path.read_bytes()
    flip(project.folder / copy)
    path.write_bytes(content[:-9])
    before = len(project.trained())
    assert f"{name} is damaged" in project.dvc("repro", "train@ex4")
    assert path.read_bytes() == (project.folder / copy).read_bytes() == content
    assert project.trained()[before:] == [("ex4", "as_posted", 0)]


@pytest.mark.parametrize(
    ("name", "made_by", "read_by"),
    [("data/prepared/ex4.npz", "prepare", "train"), ("baselines/ex4/logistic_regression.npz", "baseline", "evaluate")],
)
def test_the_command_of_the_message_mends_a_file_whose_copy_is_damaged(
    project: Project, name: str, made_by: str, read_by: str
) -> None:
    path, copy = project.folder / name, copy_in_cache(project, name)
    content = path.read_bytes()
    flip(copy)
    path.unlink()
    project.dvc("repro", f"{made_by}@ex4")
    assert path.read_bytes() != content
    ended = project.stage(read_by, "ex4")
    (command,) = re.findall(r"; its copy in DVC's cache is damaged, too; run `(.*)`\n", ended.stderr)
    project.succeed("bash", "-euc", command)
    assert path.read_bytes() == copy.read_bytes() == content


@pytest.fixture
def project(shortest: Project, tmp_path: Path) -> Project:
    return copy_of(shortest, tmp_path / "project")


@pytest.mark.parametrize("stage", ["fetch", "train ex4", "evaluate ex4", "report"])
def test_a_disk_that_gets_full_is_told_in_one_line(project: Project, stage: str) -> None:
    if stage == "train ex4":
        (project.folder / "runs/ex4/as_posted/seed_0.npz").unlink()
    log = project.folder.parent / "moments"
    fault = {"command": ["-m", "stages", *stage.split()], "log": str(log), "moment": 0, "how": "full", "below": OUTS}
    ended = project.stage(*stage.split(), FAULT=json.dumps(fault), PYTHONPATH=str(FAULTS))
    assert ended.returncode == 1, ended.stdout + ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    path = line.removeprefix("error: ").partition(": ")[0]
    assert path.startswith(OUTS), line
    assert f": {os.strerror(errno.EFBIG)}; " in line


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        ("mount --bind . .; mount -o remount,bind,ro .", "Read-only file system"),
        ("mount -t tmpfs -o size=8k none configs", "No space left on device"),
    ],
)
def test_a_folder_without_room_or_leave_to_write_is_told_in_one_line(project: Project, mount: str, reason: str) -> None:
    if project.run("unshare", "--mount", "mount", "-t", "tmpfs", "none", "configs").returncode:
        pytest.skip("this user may not mount a file system")
    # For this process alone.
    ended = project.run("unshare", "--mount", "sh", "-ec", f'{mount}; cd "$PWD"; exec python -m stages plan')
    assert ended.returncode == 1, ended.stdout + ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: configs/")
    assert f": {reason}; " in line


def test_a_folder_in_the_place_of_a_file_and_the_other_way_round_are_told_in_one_line(project: Project) -> None:
    (project.folder / "configs/ex4/case.json").unlink()
    (project.folder / "configs/ex4/case.json").mkdir()
    ended = project.run(*line("docs/editing.md", "python -m stages plan"))
    assert ended.returncode == 1
    assert ended.stderr == "error: configs/ex4/case.json: Is a directory; mend that, then run `dvc repro` again\n"
    shutil.rmtree(project.folder / "configs")
    (project.folder / "configs").write_text("a file", encoding="utf-8")
    ended = project.stage("plan")
    assert ended.returncode == 1
    assert re.fullmatch(r"error: configs\S*: (File exists|Not a directory); .*\n", ended.stderr)
    (project.folder / "configs").unlink()  # mended, as the message asks
    project.dvc("repro")
    assert project.git_status() == ""
