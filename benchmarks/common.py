"""Helpers that the benchmarks share: facts about the machine, fresh clones, and measured commands."""

import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from stages.base import files
from stages.base.console import say
from stages.base.processor import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"
PACKAGES = ("dvc", "joblib", "keras", "mlflow", "numpy", "pandas", "scikit-learn", "scipy", "tensorflow")
DVC = (sys.executable, "-m", "dvc")
# Seconds between two looks at the memory of processes.
LOOKING = 0.2


@dataclass(frozen=True)
class Measured:
    """A command that succeeded.

    Attributes
    ----------
    seconds : float
        Wall time.
    peak_bytes : int
        Largest resident memory of any one of its processes. It is at least the memory of the process that measures,
        because a child starts as a copy of it.
    lines : list
        (seconds since the start, line of output).
    peaks : list
        (seconds since the start, most resident memory in bytes that any process below the command has had by then),
        several times a second.
    """

    seconds: float
    peak_bytes: int
    lines: list[tuple[float, str]]
    peaks: list[tuple[float, int]]


def machine() -> dict[str, Any]:
    """Return the processor model, cores, memory in bytes, and the versions of Python and of the packages."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
    }


def processor() -> str:
    """Return the model of the processor, or its architecture if Linux does not know the model."""
    match = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else platform.machine()


def environment() -> dict[str, str]:
    """Return the environment of a user's shell: without processor settings, and without other stores or caches."""
    dropped = ("MLFLOW_", "DVC_", "GIT_", "PYTHONDONTWRITEBYTECODE")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(dropped) and SETTINGS.get(name) != value
    }
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


@contextmanager
def clone() -> Iterator[tuple[Path, dict[str, str]]]:
    """Make a fresh clone of HEAD in a temporary folder; yield its path and the environment for commands in it.

    DVC has an empty cache there, and no settings of the user.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, own = Path(name) / "clone", Path(name) / "dvc"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        folders = {f"DVC_{kind}_DIR": str(own) for kind in ("GLOBAL_CONFIG", "SYSTEM_CONFIG", "SITE_CACHE")}
        yield folder, environment() | folders


def finished_clone(folder: Path, variables: Mapping[str, str]) -> None:
    """Fill a fresh clone with the results of this working copy, by a copy of its DVC cache.

    Raises
    ------
    FileNotFoundError
        If there is no cache here; run `dvc repro` first.
    """
    shutil.copytree(ROOT / ".dvc/cache/files", folder / ".dvc/cache/files")
    run([*DVC, "checkout"], folder, variables)
    run([*DVC, "repro"], folder, variables)


def copy_stages(folder: Path, params: Mapping[str, Any]) -> None:
    """Copy the code of the stages into `folder`, and write `params` there as params.yaml."""
    shutil.copytree(ROOT / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    write_yaml(folder / files.PARAMS, params)


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Measured:
    """Run `command` in `folder` with the environment `variables`.

    Raises
    ------
    RuntimeError
        If it fails; the message ends with its last lines.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=dict(variables), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    ended, peaks = threading.Event(), list[tuple[float, int]]()

    def look() -> None:
        while not ended.wait(LOOKING):
            with suppress(psutil.NoSuchProcess):
                below = psutil.Process(process.pid).children(recursive=True)
                peaks.append((time.perf_counter() - start, max((peak_bytes(each.pid) for each in below), default=0)))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    with process.stdout:
        lines = [(time.perf_counter() - start, line.rstrip("\n")) for line in process.stdout]
    ended.set()
    looking.join()
    # The usage of a process includes the children that it waited for.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        output = "\n".join(line for _, line in lines[-20:])
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    return Measured(seconds, usage.ru_maxrss * 1024, lines, peaks)


def peak_bytes(pid: int) -> int:
    """Return the most resident memory that a process has had, 0 if it has ended."""
    with suppress(OSError):
        match = re.search(r"^VmHWM:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
        return 1024 * int(match[1]) if match else 0
    return 0


def _stages(measured: Measured) -> dict[str, tuple[float, float]]:
    """Return when each stage of a `dvc repro` began and ended: at "Running stage", and when DVC turned to the next."""
    turns = [(at, line) for at, line in measured.lines if re.match(r"(Running s|S)tage '", line)]
    ends = [at for at, _ in turns[1:]] + [measured.seconds]
    return {
        line.split("'")[1]: (at, end)
        for (at, line), end in zip(turns, ends, strict=True)
        if line.startswith("Running stage")
    }


def stage_seconds(measured: Measured) -> dict[str, float]:
    """Return the seconds per stage of a `dvc repro`."""
    return {stage: end - begin for stage, (begin, end) in _stages(measured).items()}


def stage_peaks(measured: Measured) -> dict[str, int]:
    """Return the peak memory in bytes of the largest process per stage of a `dvc repro`."""
    return {
        stage: max((peak for at, peak in measured.peaks if begin < at < end), default=0)
        for stage, (begin, end) in _stages(measured).items()
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, lowest and highest of `values`, to three decimals."""
    figures = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    return {name: round(value, 3) for name, value in figures.items()}


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file, its keys in order."""
    return YAML().load(path)


def write_yaml(path: Path, content: Any) -> None:
    """Write what `read_yaml` returned."""
    yaml = YAML()
    yaml.width = 1000
    yaml.dump(content, path)


def save(name: str, result: Mapping[str, Any]) -> None:
    """Write benchmarks/results/`name`.json with the facts about the machine, and print its figures."""
    path = RESULTS / f"{name}.json"
    files.write_json(path, {"machine": machine(), **result})
    for title, figures in result.get("figures", {}).items():
        say(f"{title}: {figures['median']:.2f} ({figures['lowest']:.2f} to {figures['highest']:.2f})")
    say(f"wrote {path.relative_to(ROOT)}; `python -m benchmarks.readme` puts it into README.md")
