"""Errors that a user can act on, shown as one line."""

import sys
from collections.abc import Callable

from stages.core import timings


class UserError(Exception):
    """What was wrong, where, what was expected and what to do, in one line."""


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main`; end a `UserError` as one line on stderr and exit code 1."""
    timings.started()
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    timings.write()
