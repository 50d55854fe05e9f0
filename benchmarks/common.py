"""What the benchmarks share: facts of the machine, fresh clones, and commands whose time and memory are measured."""

import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console

from stages.core import files
from stages.core.runtime import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"
PACKAGES = ("dvc", "joblib", "keras", "mlflow", "numpy", "pandas", "scikit-learn", "scipy", "tensorflow")
DVC = (sys.executable, "-m", "dvc")


@dataclass(frozen=True)
class Ran:
    """A command that ended well.

    Attributes
    ----------
    seconds : float
        Wall time.
    peak_bytes : int
        Largest resident memory of any one of its processes, or of this one when it started them: Linux hands that on.
    lines : list
        Seconds since the start, and a line that it printed.
    """

    seconds: float
    peak_bytes: int
    lines: list[tuple[float, str]]


def machine() -> dict[str, Any]:
    """Processor model, cores, memory in bytes and the versions of Python and of the packages that compute."""
    return {
        "processor": processor(),
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
    }


def processor() -> str:
    """The model of the processor, or where Linux does not tell it, its architecture."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else platform.machine()


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def environment() -> dict[str, str]:
    """The environment as a user has it: this process's without what would reach other stores or caches.

    What importing `stages` set goes too; it would bind a plain script to one thread.
    """
    dropped = ("MLFLOW_", "DVC_", "GIT_", "PYTHONDONTWRITEBYTECODE")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(dropped) and SETTINGS.get(name) != value
    }
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


@contextmanager
def clone() -> Iterator[tuple[Path, dict[str, str]]]:
    """A fresh clone of this repository's HEAD in a temporary folder, and the environment for commands in it.

    Its DVC has an empty cache, no configuration of the user, and no files beside the clone but its own.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, own = Path(name) / "clone", Path(name) / "dvc"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        # Else a process that looks for a newer DVC runs beside what is measured.
        (folder / ".dvc/config.local").write_text("[core]\n    check_update = false\n", encoding="utf-8")
        folders = {f"DVC_{kind}_DIR": str(own) for kind in ("GLOBAL_CONFIG", "SYSTEM_CONFIG", "SITE_CACHE")}
        yield folder, environment() | folders


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Ran:
    """Run `command` in `folder` under the environment `variables`.

    Raises
    ------
    RuntimeError
        When it fails: the end of what it printed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=dict(variables), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        lines = [(time.perf_counter() - start, line.rstrip("\n")) for line in process.stdout]
    # Its memory counts the processes that it waited for too.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = "\n".join(line for _, line in lines[-20:])
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    return Ran(seconds, usage.ru_maxrss * 1024, lines)


def stage_seconds(ran: Ran) -> dict[str, float]:
    """Stage -> seconds from where `dvc repro` says that it runs it until it turns to the next."""
    turns = [(at, line) for at, line in ran.lines if re.match(r"(Running s|S)tage '", line)]
    ends = [at for at, _ in turns[1:]] + [ran.seconds]
    return {
        line.split("'")[1]: end - at
        for (at, line), end in zip(turns, ends, strict=True)
        if line.startswith("Running stage")
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest of `values`, to three decimals."""
    figures = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    return {name: round(value, 3) for name, value in figures.items()}


def shown(figures: Mapping[str, float], decimals: int = 1) -> list[str]:
    """The cells of a table for a `spread`."""
    return [f"{figures[name]:.{decimals}f}" for name in ("median", "lowest", "highest")]


def verdict(value: float, goal: float, *, at_least: bool = False) -> str:
    """Whether `value` meets `goal`, a bound from above unless `at_least`."""
    return "met" if (value >= goal if at_least else value <= goal) else "missed"


def save(name: str, result: Mapping[str, Any]) -> None:
    """Write benchmarks/results/`name`.json, the facts of the machine included."""
    path = RESULTS / f"{name}.json"
    files.write_json(path, {"machine": machine(), **result})
    console().print(f"written: {path.relative_to(ROOT)}")


def console() -> Console:
    """For tables as wide as they are, also into a pipe."""
    return Console(width=None if sys.stdout.isatty() else 120)


def finished_clone(folder: Path, variables: Mapping[str, str]) -> Ran:
    """Bring a fresh clone to where `dvc repro` has ended, by this working copy's DVC cache.

    Without its run cache, so that no result of an edit made here before comes from it.

    Raises
    ------
    FileNotFoundError
        When there is no cache here: run `dvc repro` first.
    """
    shutil.copytree(ROOT / ".dvc/cache/files", folder / ".dvc/cache/files")
    return run([*DVC, "repro"], folder, variables)
