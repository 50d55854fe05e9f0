"""Output for a person while a stage runs: lines, and a progress bar at a terminal."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

# Characters, if the output has no width.
WIDTH = 100


def say(line: str) -> None:
    """Print `line` at once."""
    print(line, flush=True)


def wrote(path: Path, **counts: int) -> None:
    """Say that a stage wrote `path`, and how many of what it holds."""
    details = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
    say(f"wrote {path}" + (f": {details}" if details else ""))


def table(title: str, headers: Sequence[str], sections: Iterable[Sequence[Sequence[str]]]) -> None:
    """Print rows in sections with a line between them. Names are folded if the terminal is narrow; figures are not."""
    grid = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    grid.add_column(headers[0], overflow="fold")
    for header in headers[1:]:
        grid.add_column(header, no_wrap=True)
    for rows in sections:
        grid.add_section()
        for row in rows:
            grid.add_row(*map(Text, row))
    _print(grid)


def pairs(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Print names with what they are. Long texts are folded."""
    grid = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE, show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row))
    _print(grid)


def texts(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of texts, each of which is folded in its column; the first column keeps its names whole."""
    grid = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for place, header in enumerate(headers):
        grid.add_column(header, overflow="fold", no_wrap=not place)
    for row in rows:
        grid.add_row(*map(Text, row))
    _print(grid)


def text(paragraph: str) -> None:
    """Print a paragraph, folded between words."""
    _print(Text(paragraph))


def changes(lines: Iterable[str]) -> None:
    """Print lines of code, which are never folded; at a terminal, lines with ``-`` are red and with ``+`` green."""
    for line in lines:
        style = {"-": "red", "+": "green"}.get(line[:1], "")
        _print(Text(line, style), fold=False)


def _print(content: Table | Text, *, fold: bool = True) -> None:
    """Print a table or a text as wide as the terminal, or as `WIDTH` into a file."""
    console = Console()
    if not console.file.isatty():
        console = Console(force_terminal=False, width=WIDTH)
    console.print(content, soft_wrap=not fold)


class Bar:
    """A bar that moves one step at a time."""

    def __init__(self, progress: Progress | None, title: str, total: int) -> None:
        self._progress = progress
        if progress:
            self._task = progress.add_task(title, total=total)

    def advance(self, steps: int = 1) -> None:
        """Move the bar on."""
        if self._progress:
            self._progress.advance(self._task, steps)


@contextmanager
def bar(title: str, total: int) -> Iterator[Bar]:
    """Show a bar of `total` steps at a terminal until the block ends; in pipes and in CI show nothing."""
    console = Console(file=sys.stderr)
    # Rich takes FORCE_COLOR for a terminal, and CI may set it.
    if not (console.file.isatty() and console.is_interactive) or os.environ.get("CI"):
        yield Bar(None, title, total)
        return
    columns: tuple[Any, ...] = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    # A run may take longer than the 30 s over which Rich estimates the speed by default.
    with Progress(
        *columns,
        console=console,
        transient=True,
        speed_estimate_period=300,
        # Otherwise lines on their way to a file would appear here.
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        yield Bar(progress, title, total)
