"""Errors that a user can act on, printed as one line."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What the loader of Linux says of a library for which there is no memory.
NO_MEMORY = ("cannot allocate", "failed to map", "cannot map")
LESS_MEMORY = "lower execution.workers in params.yaml, or end other programs"


class UserError(Exception):
    """An error that says in one line what was wrong, where, what was expected, and what to do."""


@contextmanager
def one_line() -> Iterator[None]:
    """End the process with one line on stderr and exit code 1 if the block raises an error that a user can act on.

    These are `UserError`, a file that cannot be read or written, a package that cannot be imported, and too little
    memory. Ctrl-C, and a reader of the output that has gone, end the process without a word.
    """
    try:
        yield
        print(end="", flush=True)  # here, because at the exit of Python nobody catches an error
    except UserError as error:
        sys.exit(f"error: {error}")
    except MemoryError as error:
        sys.exit(f"error: not enough memory ({str(error) or 'Python says no more'}); {LESS_MEMORY}")
    except ImportError as error:
        reason = " ".join(str(error).split())
        if any(sign in reason.lower() for sign in NO_MEMORY):
            sys.exit(f"error: not enough memory ({reason}); {LESS_MEMORY}")
        sys.exit(f"error: {reason}; install the packages of requirements.lock, as README.md says")
    except OSError as error:
        if of_output(error):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try again at its exit
            if isinstance(error, BrokenPipeError):
                sys.exit(128 + signal.SIGPIPE)
            error.filename = "standard output"
        if error.filename is None:
            raise
        sys.exit(f"error: {error.filename}: {error.strerror}; mend that, then run `dvc repro` again")
    except KeyboardInterrupt:
        sys.exit(130)


def of_output(error: Exception) -> bool:
    """Return whether `error` is that of standard output, which takes no more."""
    # The other ends of other pipes are those of libraries, which have errors of their own.
    if isinstance(error, BrokenPipeError):
        return True
    try:
        print(end="", flush=True)
    except OSError:
        return True
    return False
