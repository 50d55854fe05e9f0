"""Progress of a stage: a live bar for a person at a terminal, plain lines when piped."""

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar of `total` steps, on a terminal only; the function given moves it on by one, with a note."""
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda note: progress.update(task, advance=1, description=f"{title} {note}")


@dataclass(frozen=True)
class Notes:
    """The way of notes from the processes of a stage to its bar; on another machine they are dropped."""

    path: Path

    def send(self, note: str) -> None:
        """Send one line; it is dropped where nobody reads."""
        try:
            # A line this short is written whole, whoever writes beside.
            handle = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return
        try:
            os.write(handle, f"{note}\n".encode())
        except BlockingIOError:
            pass
        finally:
            os.close(handle)


@contextmanager
def notes(on_note: Callable[[str], None]) -> Iterator[Notes]:
    """Call `on_note` with each line that any process sends, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        channel = Notes(Path(folder) / "notes")
        os.mkfifo(channel.path)
        # Open for writing too, or the first reader would wait, and the last would find the end of the file.
        with os.fdopen(os.open(channel.path, os.O_RDWR), encoding="utf-8") as lines:

            def read() -> None:
                for line in lines:
                    if line == "\n":
                        return
                    on_note(line.rstrip("\n"))

            reader = threading.Thread(target=read)
            reader.start()
            try:
                yield channel
            finally:
                with channel.path.open("w", encoding="utf-8") as end:
                    end.write("\n")
                reader.join()


def say(line: str) -> None:
    """Print one line at once, also when piped."""
    print(line, flush=True)
