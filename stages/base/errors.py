"""Errors that a user can act on, printed as one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

LESS_MEMORY = "lower execution.workers in params.yaml, or end other programs"


class UserError(Exception):
    """An error that says in one line what was wrong, where, what was expected, and what to do."""


@contextmanager
def one_line() -> Iterator[None]:
    """End the process with one line on stderr and exit code 1 if the block raises an error that a user can act on.

    These are `UserError`, a file that cannot be read or written, and too little memory. Ctrl-C ends without a word.
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
    except KeyboardInterrupt:
        sys.exit(130)
