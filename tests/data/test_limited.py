"""Whatever a source does, its time, memory and disk are limited, and nothing of it is left behind."""

import os
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from stages.data.limited import STANDARD, Limits, collect

LIMITS = replace(STANDARD, seconds=3.0, file_bytes=2**20, memory_bytes=2**29)


def deliver(folder: Path, limits: Limits) -> None:
    (folder / "file").write_bytes(b"content")


def fill_memory(folder: Path, limits: Limits) -> None:
    bytearray(limits.memory_bytes)


def fill_disk(folder: Path, limits: Limits) -> None:
    (folder / "file").write_bytes(bytes(limits.file_bytes + 1))


def hang(folder: Path, limits: Limits) -> None:
    time.sleep(100)


def leave_a_process(folder: Path, limits: Limits) -> None:
    process = subprocess.Popen(["sleep", "100"])
    Path(os.environ["WHICHFIX_TEST_PID"]).write_text(str(process.pid))
    (folder / "file").write_bytes(b"")


def crash(folder: Path, limits: Limits) -> None:
    os.abort()


def lie(folder: Path, limits: Limits) -> None:
    raise RuntimeError("\x1b[31mred\n" + 1000 * "word ")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_the_files_are_those_that_the_way_writes(temporary: Path) -> None:
    assert collect(deliver, ["file"], LIMITS) == {"file": b"content"}
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("way", "problem"),
    [
        (fill_memory, "^MemoryError$"),
        (fill_disk, r"^\[Errno 27\] File too large"),
        (hang, "^not done in 3 s$"),
        (crash, "^ended with code -6$"),
        (lie, r"^\[31mred word (word ?){50,60}\w*$"),
    ],
)
def test_a_way_beyond_its_limits_ends_and_leaves_no_file(way: object, problem: str, temporary: Path) -> None:
    started = time.monotonic()
    with pytest.raises(OSError, match=problem):
        collect(way, ["file"], LIMITS)  # type: ignore[arg-type]
    assert time.monotonic() - started < 20
    assert not list(temporary.iterdir())


def test_a_process_that_a_way_leaves_behind_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"
    monkeypatch.setenv("WHICHFIX_TEST_PID", str(pid))
    collect(leave_a_process, ["file"], LIMITS)
    status = Path("/proc", pid.read_text(), "status")
    time.sleep(0.2)
    assert not status.exists() or "zombie" in status.read_text()
