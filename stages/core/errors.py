"""Errors that a user can act on, shown as one line."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from stages.core import scratch, timings

LESS_MEMORY = "lower execution.workers in params.yaml, or end other programs"


class UserError(Exception):
    """What was wrong, where, what was expected and what to do, in one line."""


def run(main: Callable[[], None], *, timed: bool = True) -> None:
    """Run the `main` of a stage, see `one_line`; what it has in temporary files is gone when it ends.

    That of a tool is not `timed`: what it is given is no name.
    """
    timings.started()
    # Where the locale's encoding lacks a letter, a sign stands for it: no stage may end over what it says.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    with one_line(), scratch.folder():
        main()
        if timed:
            timings.write()


@contextmanager
def one_line() -> Iterator[None]:
    """End an error that a user can act on as one line on stderr and exit code 1.

    That is a `UserError`, a file that cannot be read or written, and memory that is not enough.
    """
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except MemoryError as error:
        sys.exit(f"error: not enough memory ({error or 'Python says no more'}); {LESS_MEMORY}")
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"error: {error.filename}: {error.strerror}; mend that, then run `dvc repro` again")


def quiet_interrupt(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error that nothing caught, as Python does, but for Ctrl-C: it is no error, and the exit code tells it."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
