"""When a stage begins and ends: one at a time in a clone, and not without the `dvc` that started it."""

import ctypes
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import quote

# DVC's folder for files that are of this clone alone.
LOCKS = Path(".dvc/tmp")
# DVC gives this variable to the stages that it starts.
BY_DVC = "DVC_STAGE"

PR_SET_PDEATHSIG = 1  # from Linux's prctl.h


def end_with_parent(parent: int, number: signal.Signals) -> None:
    """Let the kernel send the signal `number` to this process when the process `parent`, which started it, ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)  # it ended before the kernel was told


def end_in_order() -> None:
    """End this process on SIGTERM as an error does, so that workers and temporary files go; and end it with DVC."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    if BY_DVC in os.environ:
        end_with_parent(os.getppid(), signal.SIGTERM)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let neither Ctrl-C nor SIGTERM, which can come twice, end the block before it is done."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def turn(command: Sequence[str]) -> Iterator[None]:
    """Wait until no other process runs the stage `command`, a name and perhaps a case, in this clone.

    The operating system takes the lock back from a process that is killed. A folder that cannot be written has no lock:
    the stage itself says so.
    """
    if not os.access(LOCKS, os.W_OK):
        yield
        return
    lock = LOCKS / f"stage-{quote('@'.join(command), safe='@')}.lock"
    with locked(lock, f"the other `python -m stages {' '.join(command)}` in this folder"):
        yield


@contextmanager
def locked(path: Path, holder: str) -> Iterator[None]:
    """Hold the lock `path` within the block. If another process holds it, wait, and say that `holder` has to end."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=1)
    try:
        lock.acquire()
    except Timeout:
        print(f"waiting for {holder} to end", flush=True)
        lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()
