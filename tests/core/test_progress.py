import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.core import progress


def test_a_line_is_there_at_once_also_when_piped(root: Path) -> None:
    program = "import os\nfrom stages.core import progress\nprogress.say('a line')\nos._exit(0)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout == "a line\n"


def test_notes_of_any_process_arrive_one_by_one_before_the_block_ends() -> None:
    received: list[tuple[str, int]] = []
    program = (
        "import sys; from pathlib import Path; from stages.core.progress import Notes;"
        "[Notes(Path(sys.argv[1])).send(sys.argv[2], number) for number in range(100)]"
    )
    with progress.notes(lambda *values: received.append(values)) as notes:
        processes = [subprocess.Popen([sys.executable, "-c", program, str(notes.path), name]) for name in "ab"]
        assert [process.wait(60) for process in processes] == [0, 0]
        notes.send("last", 0)
    assert sorted(received) == [*((name, number) for name in "ab" for number in range(100)), ("last", 0)]
    assert [number for name, number in received if name == "a"] == list(range(100))
    assert not notes.path.exists()


def test_a_note_keeps_its_values_also_those_that_are_no_numbers() -> None:
    received: list[tuple[object, ...]] = []
    with progress.notes(lambda *values: received.append(values)) as notes:
        notes.send("epoch", 3, 0.1, float("nan"), float("-inf"), "ein Fehler ± 1\n")
    assert [str(value) for value in received[0]] == ["epoch", "3", "0.1", "nan", "-inf", "ein Fehler ± 1\n"]


def test_a_note_that_nobody_reads_is_dropped(tmp_path: Path) -> None:
    progress.Notes(tmp_path / "gone").send("note")
    os.mkfifo(tmp_path / "unread")
    progress.Notes(tmp_path / "unread").send("note")
    progress.NOBODY.send("note")


def test_the_last_line_of_a_stage_says_what_it_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    progress.wrote(Path("runs/a"), seeds=5, test_examples=10000)
    progress.wrote(Path("reports/index.html"))
    assert capsys.readouterr().out == "wrote runs/a (seeds: 5, test examples: 10,000)\nwrote reports/index.html\n"
