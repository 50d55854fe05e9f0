"""A bound on how long `track` waits for an answer of its store."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from stages.base.console import say
from stages.base.errors import UserError

VARIABLE = "WHICHFIX_TRACK_SECONDS"
SECONDS, NOTICE = 60.0, 10.0
# So long after its time is up, a call that does not end is left by ending the process.
GRACE = 5.0


class ExpiredError(BaseException):
    """An answer that has not come in time. No library that retries on errors catches it."""


def seconds() -> float:
    """Return how many seconds to wait for one answer.

    Raises
    ------
    UserError
        If the variable has no number above 0 that a thread can wait.
    """
    given = os.environ.get(VARIABLE, SECONDS)
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not 0 < value <= threading.TIMEOUT_MAX:
        raise UserError(f"{VARIABLE}: {given}; expected a number of seconds above 0, such as 600")
    return value


class Timeout:
    """Raises `ExpiredError` within ``with timeout:`` if the block has not ended in time, and says that it waits.

    A block that waits in a library, where Python cannot raise, ends the process with `message`.
    """

    def __init__(self, label: str, message: str) -> None:
        self.label, self.message, self.seconds = label, message, seconds()
        self._done = threading.Event()
        self._said = False
        signal.signal(signal.SIGUSR1, self._expire)

    def __enter__(self) -> None:
        self._done = threading.Event()
        threading.Thread(target=self._watch, args=(self._done,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def of(self, client: Any) -> Any:
        """Return `client` with calls that are blocks of this timeout."""
        return _Bounded(client, self)

    def _expire(self, number: int, frame: FrameType | None) -> None:
        if not self._done.is_set():
            raise ExpiredError

    def _watch(self, done: threading.Event) -> None:
        notice = min(NOTICE, self.seconds / 2)
        if done.wait(notice):
            return
        if not self._said:
            self._said = True
            say(f"waiting for the MLflow store {self.label}, {self.seconds:g} s at most")
        if done.wait(self.seconds - notice):
            return
        os.kill(os.getpid(), signal.SIGUSR1)
        if not done.wait(GRACE):
            print(f"error: {self.message}", file=sys.stderr, flush=True)
            os._exit(1)


class _Bounded:
    """An object whose methods are called under a timeout."""

    def __init__(self, client: Any, timeout: Timeout) -> None:
        self._client, self._timeout = client, timeout

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*arguments: Any, **settings: Any) -> Any:
            with self._timeout:
                return method(*arguments, **settings)

        return call
