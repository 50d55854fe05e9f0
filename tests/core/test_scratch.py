import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from stages.core import scratch

HOLD = "from stages.core import scratch\nwith scratch.folder(): print('held', flush=True); input()"
OFTEN = (
    "import os, tempfile; from stages.core import scratch\n"
    "for _ in range(100):\n"
    "    with scratch.folder(): os.listdir(tempfile.gettempdir())"
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(root))


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_temporary_files_of_a_process_and_of_those_it_starts_are_in_the_folder_and_gone_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    before = tempfile.tempdir
    with scratch.folder():
        (folder,) = names()
        own = Path(tempfile.mkdtemp())
        program = "import tempfile; print(tempfile.mkdtemp())"
        theirs = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        assert {own.parent, Path(theirs).parent} == {tmp_path / folder}
    assert names() == []
    assert (tempfile.tempdir, os.environ["TMPDIR"]) == (before, "/var/tmp")


def test_it_is_gone_after_an_error_too() -> None:
    with pytest.raises(KeyError), scratch.folder():
        raise KeyError
    assert names() == []


def test_the_folder_of_a_killed_process_is_removed_and_that_of_one_that_lives_is_not() -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in "ab"
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
    first = names()
    assert len(first) == 2
    with scratch.folder():
        assert len(names()) == 3
    processes[0].kill()
    processes[0].wait()
    assert names() == first
    with scratch.folder():
        assert len(names()) == 2
    assert len(set(names()) & set(first)) == 1
    processes[1].communicate(b"\n")
    assert names() == []


def test_what_a_process_left_that_was_killed_before_it_had_its_folder_is_removed() -> None:
    Path(f"{scratch.PREFIX}empty").mkdir()
    with scratch.folder():
        assert f"{scratch.PREFIX}empty" not in names()


def test_a_folder_that_no_stage_made_stays() -> None:
    Path(f"{scratch.PREFIX}mine").mkdir()
    Path(f"{scratch.PREFIX}mine", "notes").touch()
    with scratch.folder():
        pass
    assert names() == [f"{scratch.PREFIX}mine"]


def test_processes_that_start_at_once_do_not_take_each_others_folders() -> None:
    processes = [subprocess.Popen([sys.executable, "-c", OFTEN]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert names() == []
