import re
import subprocess
import sys
from pathlib import Path

import pytest
import terminal

# What is there when the block ends is drawn once more before it is wiped.
EPOCHS = """
import time
from stages.core import bars, progress
with bars.seed_bars("mnist-fixed", (0, 3), 10) as shown:
    shown.epoch(0, 1, 0.5, 0.25)
    time.sleep(0.05)
    shown.epoch(3, 7, 0.12345, 0.9876)
    progress.say("a line")
"""
LOSS = """
from stages.core import bars
with bars.seed_bars("mnist-fixed", (0,), 10) as shown:
    shown.epoch(0, 1, {loss}, 0.1)
"""


def at_terminal(root: Path, program: str, columns: int = 80, **variables: str) -> str:
    return terminal.shown([sys.executable, "-c", program], root, terminal.environment(**variables), columns)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_person_sees_each_seed_with_epoch_loss_and_accuracy_and_the_time_left(root: Path, columns: int) -> None:
    lines = terminal.plain(at_terminal(root, EPOCHS, columns)).replace("\r", "\n").splitlines()
    assert any(re.search(r"^mnist-fixed .* 8/20 \d:\d\d:\d\d left", line) for line in lines)
    assert "  seed 0 epoch 1/10 loss 0.5000 accuracy 0.2500" in [line.rstrip() for line in lines]
    assert "  seed 3 epoch 7/10 loss 0.1235 accuracy 0.9876" in [line.rstrip() for line in lines]
    assert "a line" in [line.rstrip() for line in lines]
    assert max(map(len, lines)) <= columns


def test_when_the_block_ends_all_is_wiped_and_the_cursor_is_back(root: Path) -> None:
    end = at_terminal(root, EPOCHS).rpartition("accuracy")[2]
    # The three lines of the bars.
    assert end.count("\x1b[2K") == 3
    assert end.index("\x1b[?25h") < end.index("\x1b[2K")


@pytest.mark.parametrize("loss", ["nan", "inf", "-inf"])
def test_a_diverged_loss_is_shown_as_such(root: Path, loss: str) -> None:
    shown = terminal.plain(at_terminal(root, LOSS.format(loss=f"float('{loss}')")))
    assert f"loss {loss} (diverged)" in shown


@pytest.mark.parametrize(("loss", "expected"), [(-55.02841, "-55.0284"), (1.5e30, "1.50e+30")])
def test_a_loss_is_short_however_large(root: Path, loss: float, expected: str) -> None:
    assert f"loss {expected} accuracy" in terminal.plain(at_terminal(root, LOSS.format(loss=loss)))


def test_colours_are_there_and_no_color_takes_them_away(root: Path) -> None:
    assert terminal.COLOUR.search(at_terminal(root, EPOCHS))
    shown = at_terminal(root, EPOCHS, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)
    assert not re.search(r"\x1b\[[0-9;]*9[0-9]", shown)
    assert "8/20" in shown


@pytest.mark.parametrize("variables", [{"CI": "true"}, {"TERM": "dumb"}], ids=str)
def test_where_nobody_watches_only_the_lines_are_printed(root: Path, variables: dict[str, str]) -> None:
    # The terminal itself makes \r\n of \n.
    shown = terminal.shown([sys.executable, "-c", EPOCHS], root, terminal.environment(**variables))
    assert shown == "a line\r\n"


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1"}], ids=str)
def test_into_pipes_only_the_lines_are_printed(root: Path, variables: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EPOCHS],
        cwd=root,
        env=terminal.environment(**variables),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("a line\n", "")


def test_lines_go_to_the_file_that_they_were_sent_to_also_beside_a_bar(root: Path, tmp_path: Path) -> None:
    command = ["sh", "-c", '"$0" -c "$1" > "$2"', sys.executable, EPOCHS, str(tmp_path / "log")]
    shown = terminal.shown(command, root, terminal.environment())
    assert "8/20" in shown
    assert "a line" not in shown
    assert (tmp_path / "log").read_text() == "a line\n"


def test_where_the_encoding_lacks_the_bars_letters_they_are_drawn_without(root: Path) -> None:
    shown = at_terminal(root, EPOCHS, PYTHONIOENCODING="ascii")
    assert shown.isascii()
    assert "8/20" in shown


def test_a_seed_that_ended_counts_whole_and_later_notes_of_it_are_ignored(root: Path) -> None:
    # SciPy may need less calls than it may make, or a few more.
    program = """
from stages.core import bars
with bars.seed_bars("ex4-assignment", (0, 1), 10, "call") as shown:
    shown.epoch(0, 4, 0.5, 0.25)
    shown.ended(0)
    shown.epoch(0, 5, 0.5, 0.25)
    shown.epoch(1, 9, 0.5, 0.25)
    shown.epoch(1, 8, 0.5, 0.25)
    shown.epoch(1, 12, 0.5, 0.25)
"""
    last = terminal.plain(at_terminal(root, program)).rpartition("ex4-assignment")[2]
    assert "20/20" in last
    assert "seed 0" not in last
    assert "seed 1 call 12/10" in last


def test_a_bar_shows_its_title_note_and_count(root: Path) -> None:
    program = """
from stages.core import bars
with bars.bar("MLflow", 12) as bar:
    bar.advance("mnist-[bold]fixed")
    bar.advance("mnist-[bold]fixed")
"""
    assert re.search(r"MLflow mnist-\[bold\]fixed .* 2/12", terminal.plain(at_terminal(root, program)))
