"""Wall time and peak memory of `train` for more seeds, points and rows, with a line through each, and for more workers.

Run `dvc repro` first. Each measurement runs the real stage in a temporary folder, with a short configuration, on the
prepared data of this working copy or on made-up rows. The workers are processes of a Dask cluster on this machine.
"""

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client
from pydantic import TypeAdapter
from scipy.stats import linregress

from benchmarks import common, small
from stages.base import files, processor
from stages.base.console import say
from stages.base.errors import one_line
from stages.config.planned import PlannedRuns
from stages.data import prepared
from stages.data.prepared import Facts, Prepared
from stages.training.pool import Task, units

SIZES = {
    "seed": (1, 2, 5, 10, 20, 40),
    "point": (2, 4, 8, 16, 32, 64),
    "row": (100_000, 250_000, 500_000, 750_000, 1_000_000),
}
WORKERS = (1, 2, 4, 8)
# Seconds in which the workers of a cluster must have started.
STARTING = 120
FEATURES = 100
# Each fix sets a key of its own, so that all of them combine.
FIXES: dict[str, dict[str, Any]] = {
    "relu": {"layers.hidden.activation": "relu"},
    "softmax": {"layers.output.activation": "softmax"},
    "small_l2": {"layers.*.l2": 0.0001},
    "adam": {"optimizer": {"name": "adam", "learning_rate": 0.001}},
    "uniform": {"layers.*.kernel_initializer": {"name": "random_uniform", "minval": -0.12, "maxval": 0.12}},
    "batches_of_500": {"batch_size": 500},
}


def fit(sizes: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """Fit a least-squares line through ``values`` [n] at ``sizes`` [n].

    Returns
    -------
    dict
        ``slope``, ``constant``, ``r_squared``, and ``largest_deviation`` of a value from the line.
    """
    line = linregress(sizes, values)
    deviations = np.asarray(values) - (line.slope * np.asarray(sizes) + line.intercept)
    return {
        "slope": float(line.slope),
        "constant": float(line.intercept),
        "r_squared": float(line.rvalue**2),
        "largest_deviation": float(np.abs(deviations).max()),
    }


def content(case: str, seeds: int, as_posted: Mapping[str, Any], n_fixes: int) -> dict[str, Any]:
    """Return a params.yaml that has only `case`, with the settings `as_posted` and the first `n_fixes` of `FIXES`."""
    params: dict[str, Any] = common.read_yaml(common.ROOT / files.PARAMS)
    block = params["cases"][case]
    block["as_posted"] |= as_posted
    block["fixes"] = {name: {"why": "To count.", "set": FIXES[name]} for name in list(FIXES)[:n_fixes]}
    block |= {"keras": ["3"], "variants": {}, "baselines": {}, "published": []}
    params |= {"seeds": list(range(seeds)), "cases": {case: block}}
    return params


def prepare(folder: Path, params: Mapping[str, Any], data: Prepared) -> str:
    """Make `folder` ready for `train` of the only case of `params`, and return its name."""
    (case,) = params["cases"]
    common.copy_stages(folder, params)
    own = folder / params["cases"][case]["data"]["file"]
    own.parent.mkdir(parents=True)
    own.touch()
    common.run([sys.executable, "-m", "stages", "plan"], folder, common.environment())
    prepared.write(folder / files.prepared_path(case), data)
    return str(case)


def measure(params: Mapping[str, Any], data: Prepared) -> common.Measured:
    """Run `train` for a params.yaml with one case."""
    with tempfile.TemporaryDirectory() as name:
        case = prepare(Path(name), params, data)
        return common.run([sys.executable, "-m", "stages", "train", case], Path(name), common.environment())


def ex4() -> Prepared:
    """Return the prepared data of ex4."""
    return prepared.read(common.ROOT / files.prepared_path("ex4"))


def with_seeds(count: int) -> common.Measured:
    """Train `count` seeds of ex4 as posted, with batches of 32."""
    return measure(content("ex4", count, {"batch_size": 32}, 0), ex4())


def with_points(count: int) -> common.Measured:
    """Train `count` points of ex4, a power of two, for five epochs and two seeds each."""
    return measure(content("ex4", 2, {"epochs": 5}, count.bit_length() - 1), ex4())


def made_up(count: int) -> tuple[dict[str, Any], Prepared]:
    """Return a params.yaml for two seeds of a small network for two epochs, and `count` rows of 100 features."""
    random = np.random.default_rng(0)
    y = np.arange(count, dtype=np.uint8) % small.CLASSES
    centers = random.normal(size=(small.CLASSES, FEATURES)).astype(np.float32)
    x = centers[y] + random.standard_normal((count, FEATURES), np.float32)
    classes = [str(number) for number in range(small.CLASSES)]
    facts = Facts(task="multiclass", classes=classes, values=list(map(float, classes)))
    params = small.content()
    case = params["cases"][small.CASE]
    case |= {"fixes": {}, "data": {"file": f"data/own/{small.CASE}.npz"}, "judged_by": "train"}
    case["as_posted"] |= {"epochs": 2, "batch_size": 256}
    return params | {"seeds": [0, 1]}, Prepared({"train": x}, {"train": y}, facts)


def with_rows(count: int) -> common.Measured:
    """Train on `count` made-up rows."""
    return measure(*made_up(count))


MEASURES: dict[str, Callable[[int], common.Measured]] = {"seed": with_seeds, "point": with_points, "row": with_rows}


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[str]:
    """Start a Dask scheduler and its workers in `folder`, and give the address of the scheduler."""
    environment, file = common.environment() | processor.SETTINGS, folder / "scheduler.json"
    local = ["--host", "127.0.0.1", "--no-dashboard"]
    with ExitStack() as stack:

        def start(*command: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *command, *local],
                cwd=folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        scheduler = start("scheduler", "--port", "0", "--scheduler-file", str(file))
        while not file.is_file():
            if scheduler.poll() is not None:
                raise RuntimeError(f"the Dask scheduler ended with {scheduler.returncode}")
            time.sleep(0.1)
        address = str(files.read_json(file)["address"])
        start("worker", address, "--nworkers", str(workers), "--nthreads", "1", "--memory-limit", "0")
        with Client(address) as client:
            client.wait_for_workers(workers, timeout=STARTING)
        yield address


def train_on(address: str, folder: Path, params: Mapping[str, Any]) -> common.Measured:
    """Run `train` for the only case of `params` on the cluster at `address`."""
    common.write_yaml(folder / files.PARAMS, {**params, "execution": {"backend": "dask", "scheduler": address}})
    return common.run([sys.executable, "-m", "stages", "train", *params["cases"]], folder, common.environment())


def peak_on_cluster(count: int) -> int:
    """Return the peak memory in bytes of the largest of two Dask workers that train on `count` made-up rows."""
    params, data = made_up(count)
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), params, data)
        with cluster(Path(name), 2) as address:
            train_on(address, Path(name), params)
            with Client(address) as client:
                return max(map(common.peak_bytes, client.run(os.getpid).values()))


def with_workers(workers: int) -> dict[str, Any]:
    """Train 32 points of ex4 with two seeds each on a Dask cluster; return its seconds, tasks and bytes."""
    data, params = ex4(), content("ex4", 2, {"epochs": 20}, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = prepare(folder, params, data)
        with cluster(folder, workers) as address:
            measured = train_on(address, folder, params)
        sizes = [path.stat().st_size for path in (folder / "runs" / case).rglob("*.npz")]
        planned = load_runs(folder / "configs" / case / "runs.json")
    tasks = [Task(configuration, seed) for configuration in planned.runs for seed in configuration.seeds]
    return {
        "workers": workers,
        "seconds": measured.seconds,
        "runs": len(sizes),
        "tasks": 1 + 2 * len(units(tasks, data, workers)),
        "bytes_per_run": sum(sizes) / len(sizes),
        "data_bytes": len(pickle.dumps(data)),
    }


def load_runs(path: Path) -> PlannedRuns:
    """Return the runs of a case that `plan` wrote."""
    return TypeAdapter(PlannedRuns).validate_python(files.read_json(path))


def series(measured: Mapping[int, Sequence[common.Measured]]) -> dict[str, Any]:
    """Return the points of a series by size, and the lines through their medians of wall time and of memory."""
    seconds = {size: common.spread([one.seconds for one in repeats]) for size, repeats in measured.items()}
    peaks = {size: common.spread([one.peak_bytes / 2**20 for one in repeats]) for size, repeats in measured.items()}
    sizes = list(measured)
    return {
        "points": [{"size": size, "seconds": seconds[size], "peak_mib": peaks[size]} for size in sizes],
        "seconds": fit(sizes, [seconds[size]["median"] for size in sizes]),
        "peak_mib": fit(sizes, [peaks[size]["median"] for size in sizes]),
    }


def main() -> None:
    """Measure the three series and fit their lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    choices = [*SIZES, "worker"]
    parser.add_argument("--series", nargs="+", choices=choices, default=choices, help="which series to measure")
    parser.add_argument("--repeats", type=int, default=1, help="measurements per size; the line is through medians")
    arguments = parser.parse_args()

    result = {}
    for unit in [unit for unit in arguments.series if unit != "worker"]:
        measured = {size: [MEASURES[unit](size) for _ in range(arguments.repeats)] for size in SIZES[unit]}
        result[unit] = series(measured)
        line = result[unit]["seconds"]
        say(f"{line['slope']:.3g} s per {unit} + {line['constant']:.3g} s (R² {line['r_squared']:.4f})")
    workers = [with_workers(count) for count in WORKERS] if "worker" in arguments.series else []
    few, many = SIZES["row"][0], SIZES["row"][-1]
    grown = peak_on_cluster(many) - peak_on_cluster(few) if workers else None
    common.save(
        "growth",
        {
            "settings": {"repeats": arguments.repeats},
            "series": result,
            "workers": workers,
            "cluster_bytes_per_row": grown and grown / (many - few),
            "data_bytes_per_row": FEATURES * np.dtype(np.float32).itemsize,
        },
    )


if __name__ == "__main__":
    with one_line():
        main()
