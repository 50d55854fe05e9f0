"""Wall time and peak memory of `train` for more seeds, points and training examples, with a line through each.

Run `dvc repro` first. Each measurement runs the real stage in a temporary folder, on the prepared data of this working
copy, with a short configuration.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import linregress

from benchmarks import common
from stages.base import files
from stages.base.console import say
from stages.base.errors import one_line
from stages.data import prepared

SIZES = {
    "seed": (1, 2, 5, 10, 20, 40),
    "point": (2, 4, 8, 16, 32, 64),
    "training example": (5_000, 10_000, 20_000, 30_000, 40_199),
}
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


def measure(params: Mapping[str, Any], examples: int | None = None) -> common.Measured:
    """Run `train` for a params.yaml with one case, on all or on the first `examples` training examples."""
    (case,) = params["cases"]
    data = prepared.read(common.ROOT / files.prepared_path(case))
    x, y = dict(data.x), dict(data.y)
    x["train"], y["train"] = x["train"][:examples], y["train"][:examples]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(common.ROOT / "stages", folder / "stages", ignore=ignored)
        common.write_yaml(folder / files.PARAMS, params)
        common.run([sys.executable, "-m", "stages", "plan"], folder, common.environment())
        prepared.write(folder / files.prepared_path(case), replace(data, x=x, y=y))
        return common.run([sys.executable, "-m", "stages", "train", case], folder, common.environment())


def with_seeds(count: int) -> common.Measured:
    """Train `count` seeds of ex4 as posted, with batches of 32."""
    return measure(content("ex4", count, {"batch_size": 32}, 0))


def with_points(count: int) -> common.Measured:
    """Train `count` points of ex4, a power of two, for five epochs and two seeds each."""
    return measure(content("ex4", 2, {"epochs": 5}, count.bit_length() - 1))


def with_examples(count: int) -> common.Measured:
    """Train two seeds of mnist as posted on `count` examples for 60 epochs."""
    return measure(content("mnist", 2, {"epochs": 60}, 0), count)


MEASURES: dict[str, Callable[[int], common.Measured]] = {
    "seed": with_seeds,
    "point": with_points,
    "training example": with_examples,
}


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
    parser.add_argument("--series", nargs="+", choices=SIZES, default=list(SIZES), help="which series to measure")
    parser.add_argument("--repeats", type=int, default=1, help="measurements per size; the line is through medians")
    arguments = parser.parse_args()

    result = {}
    for unit in arguments.series:
        measured = {size: [MEASURES[unit](size) for _ in range(arguments.repeats)] for size in SIZES[unit]}
        result[unit] = series(measured)
        line = result[unit]["seconds"]
        say(f"{line['slope']:.3g} s per {unit} + {line['constant']:.3g} s (R² {line['r_squared']:.4f})")
    common.save("growth", {"settings": {"repeats": arguments.repeats}, "series": result})


if __name__ == "__main__":
    with one_line():
        main()
