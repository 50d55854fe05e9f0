"""Where the time of a stage goes: seconds by phase, for the benchmarks.

They are written to timings/, which is no out of any stage: no result may hold a time.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from stages.core import scratch

Phase = Literal["import", "read", "compile", "train", "evaluate", "write"]

_seconds: dict[str, float] = {}
_workers: list[dict[str, float]] = []


@contextmanager
def phase(name: Phase) -> Iterator[None]:
    """Count the time of the block to `name`, in this process."""
    start = time.perf_counter()
    try:
        yield
    finally:
        _seconds[name] = _seconds.get(name, 0.0) + time.perf_counter() - start


def taken() -> dict[str, float]:
    """The seconds by phase since this was last called, for a worker to return beside its result."""
    seconds = dict(_seconds)
    _seconds.clear()
    return seconds


def add_worker(seconds: dict[str, float]) -> None:
    """Keep what a worker's `taken` gave."""
    _workers.append(seconds)


def started() -> None:
    """Count the time from the start of this process until now to the import of its modules."""
    _seconds["import"] = _age()


def _stage() -> str | None:
    """``train@mnist-fixed`` in the process of that stage, None in a process of no stage."""
    specification = getattr(sys.modules["__main__"], "__spec__", None)
    if specification is None or not specification.name.startswith("stages."):
        return None
    # What DVC gives it is its whole name.
    return "@".join([specification.name.removeprefix("stages."), *(name.rpartition("@")[2] for name in sys.argv[1:])])


def write() -> None:
    """Write timings/stages/<stage>.json: ``seconds`` since this process started, its ``phases`` and its ``workers``."""
    name = _stage()
    if name is None:
        return
    path = Path("timings/stages") / f"{name}.json"
    figures = {"seconds": _age(), "phases": _seconds, "workers": _workers}
    scratch.write(path, (json.dumps(figures, indent=2) + "\n").encode())


def _age() -> float:
    """Seconds since this process started, to the hundredth."""
    # The name, in brackets, may hold anything; the start is the 22nd field of the line, in clock ticks after boot.
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
