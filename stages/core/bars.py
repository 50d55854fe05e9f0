"""Live bars for a person at a terminal; where nobody watches, nothing."""

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

# Often enough to look alive; what draws takes time from what trains.
REDRAWS_A_SECOND = 5
# The time left is told from the speed of so many seconds: an epoch or a cell may take many.
SPEED_SECONDS = 300.0


def watched(console: Console) -> bool:
    """Whether a person sees what `console` prints, at a terminal that can redraw a line.

    Rich would take FORCE_COLOR for a terminal. CI may have one, and keeps as a log what is drawn on it.
    """
    return console.file.isatty() and console.is_interactive and not os.environ.get("CI")


@contextmanager
def _live(*parts: Progress) -> Iterator[None]:
    """Draw `parts` below each other until the block ends, then wipe them: for a person, and else nothing.

    What is printed meanwhile appears above them.
    """
    console = Console(file=sys.stderr)
    if not watched(console):
        yield
        return
    with Live(
        Group(*parts),
        console=console,
        refresh_per_second=REDRAWS_A_SECOND,
        transient=True,
        # Else what is on its way to a file would be shown here instead.
        redirect_stdout=sys.stdout.isatty(),
    ):
        yield


class Bar:
    """A title, a bar of `total` steps, how many are done, and the time left. Until the first it just moves."""

    def __init__(self, title: str, total: int) -> None:
        self.title = title
        self.total = total
        self.drawn = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None, table_column=Column(min_width=4, max_width=40)),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            speed_estimate_period=SPEED_SECONDS,
        )
        self._task = self.drawn.add_task(title, total=total, start=False)
        self._completed = 0

    def to(self, completed: int, note: str = "") -> None:
        """Move on to `completed` steps; `note` is shown beside the title."""
        self._completed = completed
        if not self.drawn.tasks[0].started:
            self.drawn.start_task(self._task)
        self.drawn.update(self._task, completed=completed, description=f"{self.title} {note}".rstrip())

    def advance(self, note: str = "") -> None:
        """Move on by one step."""
        self.to(self._completed + 1, note)


@contextmanager
def bar(title: str, total: int) -> Iterator[Bar]:
    """Show a bar of `total` steps until the block ends."""
    shown = Bar(title, total)
    with _live(shown.drawn):
        yield shown


class SeedBars:
    """A bar of all epochs of all `seeds`, and below it a line for each seed that is being trained.

    What is told may be told twice, out of order or not at all: the bar shows the farthest of each seed.
    """

    def __init__(self, title: str, seeds: Sequence[int], epochs: int, unit: str = "epoch") -> None:
        self.bar = Bar(title, len(seeds) * epochs)
        self.lines = Progress(
            TextColumn("  seed {task.description}"),
            TextColumn(unit + " {task.completed:.0f}/{task.total:.0f}"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("accuracy {task.fields[accuracy]:.4f}"),
        )
        self._epochs = epochs
        self._done = dict.fromkeys(seeds, 0)
        self._tasks = {
            seed: self.lines.add_task(str(seed), total=epochs, visible=False, loss="", accuracy=0.0) for seed in seeds
        }

    def epoch(self, seed: int, number: int, loss: float, accuracy: float) -> None:
        """Show where `seed` is."""
        if self._done[seed] < self._epochs:
            text = loss_text(loss)
            self.lines.update(self._tasks[seed], completed=number, visible=True, loss=text, accuracy=accuracy)
            self._move(seed, number)

    def ended(self, seed: int) -> None:
        """Take the line of `seed` away."""
        self.lines.update(self._tasks[seed], visible=False)
        self._move(seed, self._epochs)

    def _move(self, seed: int, number: int) -> None:
        # SciPy may end before its limit of function calls, or a few after it.
        self._done[seed] = min(self._epochs, max(number, self._done[seed]))
        self.bar.to(sum(self._done.values()))


@contextmanager
def seed_bars(title: str, seeds: Sequence[int], epochs: int, unit: str = "epoch") -> Iterator[SeedBars]:
    """Show how the training of `seeds`, `epochs` each, goes on until the block ends."""
    shown = SeedBars(title, seeds, epochs, unit)
    with _live(shown.bar.drawn, shown.lines):
        yield shown


def loss_text(loss: float) -> str:
    """Four decimals, large numbers with a power of ten, and what is not finite by its name."""
    if not math.isfinite(loss):
        return f"{loss} (diverged)"
    return f"{loss:.4f}" if abs(loss) < 1e5 else f"{loss:.2e}"
