"""What a stage says: plain lines, and notes that its processes send to it. It imports little, as workers import it."""

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Notes:
    """The way of notes from the processes of a stage to its bar; on another machine they are dropped."""

    path: Path

    def send(self, *values: Any) -> None:
        """Send a few values that JSON has; they are dropped where nobody reads."""
        try:
            # A line this short is written whole, whoever writes beside.
            handle = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return
        try:
            os.write(handle, f"{json.dumps(values)}\n".encode())
        except BlockingIOError:
            pass
        finally:
            os.close(handle)


NOBODY = Notes(Path(os.devnull))


@contextmanager
def notes(on_note: Callable[..., None]) -> Iterator[Notes]:
    """Call `on_note` with the values that any process sends, as they come, until the block ends.

    What `on_note` raises is raised when the block has ended; no later note is told.
    """
    raised: list[Exception] = []
    with tempfile.TemporaryDirectory() as folder:
        channel = Notes(Path(folder) / "notes")
        os.mkfifo(channel.path)
        # Open for writing too, or the first reader would wait, and the last would find the end of the file.
        with os.fdopen(os.open(channel.path, os.O_RDWR), encoding="utf-8") as lines:

            def read() -> None:
                for line in lines:
                    if line == "\n":
                        return
                    # Notes are read all the same, or the processes would find no room for theirs.
                    if not raised:
                        try:
                            on_note(*json.loads(line))
                        except Exception as error:
                            raised.append(error)

            reader = threading.Thread(target=read)
            reader.start()
            try:
                yield channel
            finally:
                with channel.path.open("w", encoding="utf-8") as end:
                    end.write("\n")
                reader.join()
    if raised:
        raise raised[0]


def say(line: str) -> None:
    """Print one line at once, also when piped."""
    print(line, flush=True)


def wrote(path: Path, **counts: int) -> None:
    """Say what a stage has made, as its last line: ``wrote runs/mnist-fixed (seeds: 5)``."""
    counted = ", ".join(f"{name.replace('_', ' ')}: {count:,}" for name, count in counts.items())
    say(f"wrote {path}" + (f" ({counted})" if counted else ""))
