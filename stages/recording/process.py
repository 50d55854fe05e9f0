"""The child process that runs a person's script with the hook, under limits of time and memory."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from stages.base.errors import UserError
from stages.base.processor import SETTINGS
from stages.config.strict import printable, shorten

CHILD = Path(__file__).resolve().with_name("child.py")
LAST_LINES, LAST_BYTES = 12, 20_000
LOOK_EVERY = 0.1  # seconds
MOST_BYTES = 2_000_000_000
MOST_PRINTED = 100_000_000  # bytes
LEAST_FREE = 200_000_000  # bytes of the disk that a recording may not take

PR_SET_CHILD_SUBREAPER = 36  # from Linux's prctl.h


class Limits(NamedTuple):
    """The limits of a script: minutes, and bytes of memory of all its processes."""

    minutes: float
    memory: float


class Ended(NamedTuple):
    """How the child ended: its report, its exit code, and the limit that ended it, if one did."""

    report: dict[str, Any]
    code: int
    limit: str | None


def all_memory() -> float:
    """Return four fifths of the memory of this machine, in bytes."""
    return 0.8 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def run(python: str, job: Mapping[str, Any], folder: Path, limits: Limits) -> Ended:
    """Run the script of `job` in the current folder, with the job, the report and the log in `folder`.

    Nothing of the script runs on when this function returns.

    Raises
    ------
    UserError
        If `python` cannot be run.
    """
    path, report = folder / "job.json", folder / "report.json"
    path.write_text(json.dumps({**job, "report": str(report), "max_bytes": MOST_BYTES}), encoding="utf-8")
    # The settings are those of whichfix: the script gets the threads and the processor that it has without them.
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    # A process of the script whose parent has ended becomes a child of this one.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    others = descendants(os.getpid())
    with (folder / "log.txt").open("wb") as log:
        try:
            process = subprocess.Popen(
                [python, str(CHILD), str(path)],
                env={**environment, "MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "2"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise UserError(f"{python}: {error.strerror}; expected a Python with Keras, see --python") from None
        # By default SIGTERM ends this process alone, and the script would run on.
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            limit = watch(process, limits, folder)
        finally:
            signal.signal(signal.SIGTERM, before)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            while left := descendants(os.getpid()) - others:
                for number in left:
                    with suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
                for number in left:
                    with suppress(ChildProcessError):
                        os.waitpid(number, 0)
    found: dict[str, Any] = {}
    with suppress(FileNotFoundError, ValueError):
        found = json.loads(report.read_bytes())
    return Ended(found, process.returncode, limit)


def watch(process: "subprocess.Popen[bytes]", limits: Limits, folder: Path) -> str | None:
    """Wait for the end of `process`; return the limit that it exceeds, in words, as soon as it does."""
    end = time.monotonic() + 60 * limits.minutes
    while process.poll() is None:
        if time.monotonic() > end:
            return f"not done after {limits.minutes:g} minutes; a longer time is --timeout MINUTES"
        if (used := resident(process.pid)) > limits.memory:
            return f"took {used / 1e9:.1f} GB of memory; a higher limit is --memory GB"
        if (folder / "log.txt").stat().st_size > MOST_PRINTED:
            return f"printed more than {MOST_PRINTED / 1e6:.0f} MB and has not trained; let it print less"
        if shutil.disk_usage(folder).free < LEAST_FREE:
            return f"the disk of {folder.parent} is nearly full; free {LEAST_FREE / 1e6:.0f} MB, or set TMPDIR"
        time.sleep(LOOK_EVERY)
    return None


def descendants(number: int) -> set[int]:
    """Return the processes that the process `number` and those below it have started and that have not ended."""
    found = set()
    for path in Path(f"/proc/{number}/task").glob("*/children"):
        with suppress(OSError):
            found |= set(map(int, path.read_text(encoding="utf-8").split()))
    return found.union(*map(descendants, found))


def resident(group: int) -> int:
    """Return the bytes of memory that the processes of a group hold; 0 on systems without /proc."""
    pages = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            # Fields 5 and 24 of proc(5); the first one here is field 3.
            pages += int(fields[21]) if int(fields[2]) == group else 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def error_of(script: str, ended: Ended) -> UserError | None:
    """Return the error for a script that was not recorded, in one line; None if it was recorded."""
    report = ended.report
    if ended.limit:
        return UserError(f"{script}: {ended.limit}")
    if report.get("recorded"):
        return None
    line = report.get("line") or report.get("input") or report.get("by_hand")
    place = f"{script}: line {line}: " if line else f"{script}: "
    if "refused" in report:
        reason = report["refused"]
        text = f"{script}: {reason}" if str(reason).startswith("line ") else f"{place}{reason}"
    elif "failed" in report:
        called = f" (called from line {report['called_from']})" if report.get("called_from") else ""
        failed = str(report["failed"])
        where = f"{report['file']}: line {line}: " if report.get("file") else place
        where = f"{script}: " if failed.startswith("line ") else where
        text = f"{where}{failed}{called}; expected a script that runs until it trains"
        if "FileNotFoundError" in str(report["failed"]):
            text += f"; it ran in {Path.cwd()}: start the command where you start the script"
    elif "input" in report:
        text = f"{place}the script waits for input(); give what it asks for as arguments, or write it into the script"
    elif report.get("trainings"):
        text = f"{script}: the script trains {report['trainings']} times; expected --fit of at most that"
    elif report.get("by_hand"):
        text = f"{place}the training is written by hand (GradientTape); expected Model.fit or train_on_batch"
    elif "ended" in report:
        calls = ", ".join(
            f"{name} {'once' if count == 1 else f'{count} times'}" for name, count in (report["ended"] or {}).items()
        )
        text = f"{script}: the script ended without training"
        text += f"; it called {calls}" if calls else ""
        text += "; expected a call of Model.fit or train_on_batch"
    else:
        killed = ", perhaps for lack of memory" if ended.code == -signal.SIGKILL else ""
        text = f"{script}: Python ended with code {ended.code} before the script trained{killed}; see the lines above"
    return UserError(printable(shorten(text, 900)))


def last_lines(log: Path) -> Sequence[str]:
    """Return the last lines that the script printed, without what moves the cursor."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LAST_BYTES))
        text = file.read().decode(errors="replace")
    rows = (line.rpartition("\r")[2] if not line.endswith("\r") else line.strip("\r") for line in text.split("\n"))
    # A traceback of Python marks columns in lines of ^ and ~, which say nothing without the indentation.
    return [shorten(printable(row), 200) for row in rows if row.strip(" ^~")][-LAST_LINES:]
