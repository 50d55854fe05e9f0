import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.core import progress


def test_no_bar_is_drawn_where_standard_error_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.bar("title", 2) as advance:
        advance("a note")
    assert capfd.readouterr() == ("", "")


def test_on_a_terminal_the_bar_shows_its_title_note_and_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Rich's own way to be told that it writes to a terminal.
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    with progress.bar("mnist-fixed", 2) as advance:
        advance("seed 0 epoch 1")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "mnist-fixed seed 0 epoch 1" in shown.err
    assert "1/2" in shown.err


def test_a_line_is_there_at_once_also_when_piped(root: Path) -> None:
    program = "import os\nfrom stages.core import progress\nprogress.say('a line')\nos._exit(0)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout == "a line\n"


def test_notes_of_any_process_arrive_one_by_one_before_the_block_ends() -> None:
    received: list[str] = []
    program = (
        "import sys; from pathlib import Path; from stages.core.progress import Notes;"
        "[Notes(Path(sys.argv[1])).send(f'{sys.argv[2]} {number}') for number in range(100)]"
    )
    with progress.notes(received.append) as notes:
        processes = [subprocess.Popen([sys.executable, "-c", program, str(notes.path), name]) for name in "ab"]
        assert [process.wait(60) for process in processes] == [0, 0]
        notes.send("last")
    assert sorted(received) == sorted([*(f"{name} {number}" for name in "ab" for number in range(100)), "last"])
    assert [note for note in received if note[0] == "a"] == [f"a {number}" for number in range(100)]
    assert not notes.path.exists()


def test_a_note_that_nobody_reads_is_dropped(tmp_path: Path) -> None:
    progress.Notes(tmp_path / "gone").send("note")
    os.mkfifo(tmp_path / "unread")
    progress.Notes(tmp_path / "unread").send("note")
