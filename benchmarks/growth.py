"""Wall time and peak memory of training against seeds, cells and training examples, and a line through each.

`python -m benchmarks.growth`, where `dvc repro` has ended: the real stages, run in a temporary folder on the prepared
data, with short configurations.
"""

import stages  # noqa: F401  # isort: skip  # before NumPy, which reads its settings when it is imported

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from ruamel.yaml import YAML
from scipy.stats import linregress

from benchmarks import common
from stages.core import files, params

SEEDS = (1, 2, 5, 10, 20, 40)
FIXES = (1, 2, 3, 4, 5, 6, 7)
EXAMPLES = (5_000, 10_000, 20_000, 30_000, 40_199)
# Each sets a key of its own of ex4 as posted, so that all combine.
SYNTHETIC: dict[str, dict[str, Any]] = {
    "relu": {"hidden_activation": "relu"},
    "softmax": {"output_activation": "softmax"},
    "small_l2": {"l2": 0.0001},
    "adam": {"optimizer": {"name": "adam", "learning_rate": 0.001}},
    "uniform": {"initializer": {"name": "uniform", "limit": 0.12}},
    "half_scale": {"input_scale": 0.5},
    "batches_of_500": {"batch_size": 500},
}


def fit(sizes: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """The least-squares line through ``values`` [n] at ``sizes`` [n].

    Returns
    -------
    dict
        ``slope`` a unit of size, ``constant`` at size 0, ``r_squared``, and ``largest_deviation``: of a value from the
        line, in the unit of the values.
    """
    line = linregress(sizes, values)
    deviations = np.asarray(values) - (line.slope * np.asarray(sizes) + line.intercept)
    return {
        "slope": float(line.slope),
        "constant": float(line.intercept),
        "r_squared": float(line.rvalue**2),
        "largest_deviation": float(np.abs(deviations).max()),
    }


def content(case: str, seeds: int, as_posted: Mapping[str, Any], fixes: Sequence[str]) -> dict[str, Any]:
    """A params.yaml of `case` alone, with the settings `as_posted` over its own and synthetic `fixes`."""
    whole: dict[str, Any] = YAML(typ="safe", pure=True).load(common.ROOT / "params.yaml")
    block = whole["cases"][case]
    block["as_posted"] |= as_posted
    block["fixes"] = {name: {"why": "To count.", "set": SYNTHETIC[name]} for name in fixes}
    block |= {"baselines": {}, "published": []}
    whole["probe"] |= {"case": case}
    variants = {f"{case}-as_posted": {"case": case, "fixes": []}}
    return whole | {"seeds": list(range(seeds)), "cases": {case: block}, "variants": variants}


def measure(
    stage: str, key: str, settings: Mapping[str, Any], data: Callable[[str], Mapping[str, np.ndarray]]
) -> common.Ran:
    """Run ``python -m stages.<stage> <key>`` for a params.yaml of the content `settings`, on `data` of its case."""
    (case,) = params.Params.model_validate(settings).cases
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(common.ROOT / "stages", folder / "stages", ignore=ignored)
        YAML(typ="safe").dump(dict(settings), folder / "params.yaml")
        common.run([sys.executable, "-m", "stages.plan"], folder, common.environment())
        files.write_npz(folder / f"data/prepared/{case}.npz", data(case))
        return common.run([sys.executable, "-m", f"stages.{stage}", key], folder, common.environment())


def prepared(case: str) -> dict[str, np.ndarray]:
    """The prepared data of `case` in this working copy."""
    return files.read_npz(common.ROOT / f"data/prepared/{case}.npz")


def first(examples: int) -> Callable[[str], dict[str, np.ndarray]]:
    """`prepared` with only the first `examples` of the training split."""

    def cut(case: str) -> dict[str, np.ndarray]:
        whole = prepared(case)
        return whole | {name: whole[name][:examples] for name in ("x_train", "y_train")}

    return cut


def with_seeds(count: int) -> common.Ran:
    """Train `count` seeds of a short configuration of ex4."""
    as_posted = {"batch_size": 32, "epochs": 100}
    return measure("train", "ex4-as_posted", content("ex4", count, as_posted, ()), prepared)


def with_cells(count: int) -> common.Ran:
    """Train `count` cells, a power of two, of a short configuration of ex4, two seeds each."""
    fixes = list(SYNTHETIC)[: count.bit_length() - 1]
    return measure("attribute", "ex4", content("ex4", 2, {"epochs": 5}, fixes), prepared)


def with_examples(count: int) -> common.Ran:
    """Train two seeds of a short configuration of mnist on `count` examples."""
    return measure("train", "mnist-as_posted", content("mnist", 2, {"epochs": 60}, ()), first(count))


def series(measured: Mapping[int, Sequence[common.Ran]]) -> dict[str, Any]:
    """Size -> repeated runs as JSON-ready points, and the line through their medians, of wall time and of memory."""
    seconds = {size: common.spread([ran.seconds for ran in runs]) for size, runs in measured.items()}
    peaks = {size: common.spread([ran.peak_bytes / 2**20 for ran in runs]) for size, runs in measured.items()}
    points = [{"size": size, "seconds": seconds[size], "peak_mib": peaks[size]} for size in measured]
    sizes = list(measured)
    return {
        "points": points,
        "seconds": fit(sizes, [seconds[size]["median"] for size in sizes]),
        "peak_mib": fit(sizes, [peaks[size]["median"] for size in sizes]),
    }


def points_table(unit: str, figures: Mapping[str, Any]) -> Table:
    """The points of one series beside what the line says."""
    table = Table(unit, "wall, s", "on the line", "largest process, MiB", "on the line", title=f"Against {unit}")
    for point in figures["points"]:
        row = [f"{point['size']:,}"]
        for name, decimals in (("seconds", 2), ("peak_mib", 0)):
            line = figures[name]
            expected = line["slope"] * point["size"] + line["constant"]
            row += [f"{point[name]['median']:.{decimals}f}", f"{expected:.{decimals}f}"]
        table.add_row(*row)
    return table


def statement(unit: str, figures: Mapping[str, Any]) -> str:
    """The two lines of one series in words."""
    said = []
    for name, symbol in (("seconds", "s"), ("peak_mib", "MiB")):
        line = figures[name]
        said.append(
            f"{line['slope']:.3g} {symbol} per {unit} + {line['constant']:.3g} {symbol} "
            f"(R² {line['r_squared']:.4f}, largest deviation {line['largest_deviation']:.2g} {symbol})"
        )
    return "; ".join(said)


def main() -> None:
    """Measure the three series, print and fit them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS, help="numbers of seeds; none leaves them out")
    parser.add_argument("--fixes", type=int, nargs="*", default=FIXES, help="numbers of fixes, 1 to 7, of 2^n cells")
    parser.add_argument("--examples", type=int, nargs="*", default=EXAMPLES, help="numbers of training examples")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each point; the line is through medians")
    arguments = parser.parse_args()

    asked: dict[str, tuple[Callable[[int], common.Ran], list[int]]] = {
        "seed": (with_seeds, list(arguments.seeds)),
        "cell": (with_cells, [2**fixes for fixes in arguments.fixes]),
        "training example": (with_examples, list(arguments.examples)),
    }
    console, result = common.console(), {}
    for unit, (measure_size, sizes) in asked.items():
        # A line needs two points.
        if len(sizes) > 1:
            result[unit] = series({size: [measure_size(size) for _ in range(arguments.repeats)] for size in sizes})
            console.print(points_table(unit, result[unit]))
            console.print(statement(unit, result[unit]), highlight=False)
    common.save("growth", {"settings": {"repeats": arguments.repeats}, "series": result})


if __name__ == "__main__":
    main()
