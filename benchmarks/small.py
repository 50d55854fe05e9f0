"""Time a small case of a person's own: 600 rows, 20-32-16-3, 200 epochs, 20 points of 5 seeds, from file to result."""

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import common
from stages.base import files
from stages.base.errors import one_line

GOAL, COMPILING_GOAL = 60.0, 1 / 3
CASE = "small"
ROWS, FEATURES, CLASSES, EPOCHS, SEEDS, WORKERS = 600, 20, 3, 200, 5, 2
STAGES = ("plan", "prepare", "train", "baseline", "evaluate")


def content() -> dict[str, Any]:
    """Return a params.yaml with two fixes that combine and four alternatives: 4 x 5 points."""
    fixes: dict[str, Any] = {
        "standardized": {"set": {"inputs": "standardized"}},
        "relu": {"set": {"layers.first.activation": "relu", "layers.second.activation": "relu"}},
        "rate_x10": {"set": {"optimizer": {"name": "sgd", "learning_rate": 0.1}}},
        "adam": {"set": {"optimizer": "adam"}},
        "rmsprop": {"set": {"optimizer": "rmsprop"}},
        "momentum": {"set": {"optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9}}},
    }
    case = {
        "title": "A small case",
        "task": "multiclass",
        "data": {"file": f"data/own/{CASE}.npz", "validation_split": 0.2},
        "judged_by": "validation",
        "as_posted": {
            "layers": {
                "first": {"units": 32, "activation": "sigmoid"},
                "second": {"units": 16, "activation": "sigmoid"},
                "output": {"units": CLASSES, "activation": "softmax"},
            },
            "loss": "sparse_categorical_crossentropy",
            "optimizer": {"name": "sgd", "learning_rate": 0.01},
            "epochs": EPOCHS,
        },
        "fixes": {name: {"why": "To count.", **fix} for name, fix in fixes.items()},
    }
    return {
        "seeds": list(range(SEEDS)),
        "execution": {"backend": "loky", "workers": WORKERS},
        "cases": {CASE: case},
    }


def examples(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy examples around a center per class: float32 [n, `FEATURES`], and their classes, uint8 [n]."""
    random = np.random.default_rng(0)
    y = np.arange(n) % CLASSES
    x = random.normal(0, 1, (CLASSES, FEATURES))[y] + random.normal(0, 2, (n, FEATURES))
    return x.astype(np.float32), y.astype(np.uint8)


def write_data(path: Path) -> None:
    """Write examples of which `ROWS` are in the training split."""
    x, y = examples(round(ROWS / 0.8))
    path.parent.mkdir(parents=True)
    np.savez(path, x=x, y=y)


def compiling(lines: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds of the runs in runs.log beyond the median of their configuration.

    Its program is compiled in one run, or two if both workers need it, of five.
    """
    seconds: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        seconds[line["folder"]].append(line["seconds"])
    return sum(max(0.0, value - median(group)) for group in seconds.values() for value in group)


def measure() -> dict[str, Any]:
    """Return the seconds of each stage, the share of compiling in them, the peak memory and the number of points."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common.copy_stages(folder, content())
        write_data(folder / f"data/own/{CASE}.npz")
        measured = {}
        for stage in STAGES:
            command = [sys.executable, "-m", "stages", stage, *([] if stage == "plan" else [CASE])]
            measured[stage] = common.run(command, folder, common.environment())
        stages = {stage: one.seconds for stage, one in measured.items()}
        lines = [json.loads(line) for line in (folder / "runs.log").read_text(encoding="utf-8").splitlines()]
        return {
            "stages": stages,
            "seconds": sum(stages.values()),
            "compiling": compiling(lines) / WORKERS / sum(stages.values()),
            "peak_bytes": {stage: one.peak_bytes for stage, one in measured.items()},
            "points": len(files.read_json(folder / files.result_path(CASE))["points"]),
            "seeds": SEEDS,
        }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often it is measured")
    records = [measure() for _ in range(parser.parse_args().rounds)]
    points = f"{records[0]['points']} points of {SEEDS} seeds"
    result = {
        "goals": {f"{points}, s": GOAL, "share of compiling": COMPILING_GOAL},
        "figures": {
            f"{points}, s": common.spread([record["seconds"] for record in records]),
            "share of compiling": common.spread([record["compiling"] for record in records]),
        },
        "records": records,
    }
    common.save("small", result)


if __name__ == "__main__":
    with one_line():
        main()
