"""Time an epoch of the pipeline's training loop beside what a user would run instead, and beside its matrix products.

`python -m benchmarks.loop`, at the root, after `dvc repro`; `pip install torch==2.13.0 jax` for the rows that need
them. Each row is a process of its own that imports, compiles and warms up once; then one after the other, round after
round, trains for a turn while the rest wait, so that a machine whose speed drifts slows all. All have one thread and
share one processor; they start from the same weights and, but for `model.fit`, which shuffles, see the examples in the
same order. A ratio is a row's seconds over ours in the same round.
"""

import stages  # noqa: F401  # isort: skip  # before NumPy, which reads its settings when it is imported

import argparse
import importlib.metadata
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.special import log_softmax

from benchmarks import common
from benchmarks.rows import protocol, whichfix
from stages.core import errors, files, progress, runtime

RESULTS = Path("benchmarks/results/loop.json")
PACKAGES = ("numpy", "tensorflow", "keras", "torch", "jax", "scikit-learn")
LEARNING_RATE = 0.001
# Between the training accuracies of two rows, which differ by their roundings, and `model.fit` by its orders.
TOLERANCE = 0.02

# What the rows of others read in place of the pipeline's settings, which would keep wider instructions from them.
ONE_THREAD = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
    "KERAS_BACKEND": "tensorflow",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
}


@dataclass(frozen=True)
class Row:
    """What is timed: a module of `benchmarks.rows`, and the package it needs that the pipeline does not."""

    module: str
    label: str
    package: str | None = None
    our_settings: bool = False

    @property
    def missing(self) -> str | None:
        """Why it cannot be measured here, if it cannot."""
        if self.package is None or importlib.util.find_spec(self.package):
            return None
        return f"{self.package} is not installed: pip install torch==2.13.0 jax"


OURS = Row("whichfix", "whichfix", our_settings=True)
ROWS = (
    OURS,
    Row("model_fit", "model.fit"),
    Row("model_fit_compiled", "model.fit, compiled"),
    Row("pytorch", "PyTorch", "torch"),
    Row("scikit_learn", "MLPClassifier"),
    Row("jax_scan", "JAX", "jax"),
    Row("products_xla", "products alone, XLA", our_settings=True),
    Row("products_numpy", "products alone, NumPy"),
)


@dataclass(frozen=True)
class Shape:
    """A network and its batches; a turn has so many epochs that it outlasts by far what a process needs to wake up."""

    dataset: str
    hidden_units: int
    batch_size: int
    epochs_per_turn: int


SHAPES = {
    "784-64-10/32": Shape("mnist", 64, 32, 1),
    "784-512-10/32": Shape("mnist", 512, 32, 1),
    "400-25-10/5000": Shape("ex4", 25, 5000, 20),
    "400-25-10/32": Shape("ex4", 25, 32, 20),
}


@dataclass(frozen=True)
class Running:
    """A row in its own process, which takes one turn at a time."""

    row: Row
    result: Path
    process: subprocess.Popen[bytes]
    notes: IO[bytes]

    def turn(self) -> float:
        """Let it take its next turn, of so many seconds."""
        assert self.process.stdin
        assert self.process.stdout
        with suppress(BrokenPipeError):
            self.process.stdin.write(b"\n")
        seconds = self.process.stdout.readline()
        if not seconds:
            self._fail()
        return float(seconds)

    def weights(self) -> protocol.Arrays:
        """What it ends with, once all turns are taken."""
        if self.process.wait():
            self._fail()
        with np.load(self.result) as archive:
            return [archive[name] for name in archive.files]

    def _fail(self) -> NoReturn:
        self.process.wait()
        self.notes.seek(0)
        raise RuntimeError(f"{self.row.label} failed\n{self.notes.read().decode(errors='replace')}")


@contextmanager
def started(row: Row, folder: Path) -> Iterator[Running]:
    """Run `row` on the problem in `folder`."""
    command = [sys.executable, "-m", f"benchmarks.rows.{row.module}", str(folder.resolve())]
    others = {name: value for name, value in os.environ.items() if name not in runtime.SETTINGS}
    environment = others | (runtime.SETTINGS if row.our_settings else ONE_THREAD)
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as notes,
        subprocess.Popen(
            command, 0, cwd=common.ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=notes
        ) as process,
    ):
        try:
            yield Running(row, folder / f"{row.module}.npz", process, notes)
        finally:
            process.kill()


@contextmanager
def one_processor() -> Iterator[None]:
    """Keep this process, and those that it starts, on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def problem_of(shape: Shape, rounds: int) -> protocol.Problem:
    """All training examples of the dataset, and what the pipeline draws for them; the first turn is to warm up."""
    data = files.read_npz(Path("data/prepared") / f"{shape.dataset}.npz")
    splits = [split for split in ("train", "validation") if f"x_{split}" in data]
    examples, labels = (np.concatenate([data[f"{name}_{split}"] for split in splits]) for name in "xy")
    scale = 1 / 255 if examples.dtype == np.uint8 else 1.0
    turns = 1 + rounds
    config = whichfix.config(scale, shape.hidden_units, shape.batch_size, LEARNING_RATE, turns * shape.epochs_per_turn)
    weights, orders = whichfix.draws(config, examples.shape[1], len(labels))
    orders = orders.reshape(turns, shape.epochs_per_turn, len(labels))
    return protocol.Problem(examples, labels, orders, weights, scale, shape.batch_size, LEARNING_RATE)


def measure(problem: protocol.Problem, rows: Sequence[Row], folder: Path) -> dict[str, dict[str, Any]]:
    """Time `rows`, ours among them, on `problem`, which is left in `folder`; what came out, by module."""
    folder.mkdir(parents=True, exist_ok=True)
    protocol.save(folder / "problem.npz", problem)
    _, *rounds = problem.orders
    seconds: dict[str, list[float]] = {row.module: [] for row in rows}
    learned = {}
    with one_processor(), ExitStack() as stack:
        running = [stack.enter_context(started(row, folder)) for row in rows]
        for one in running:
            one.turn()
        for orders in rounds:
            for one in running:
                seconds[one.row.module].append(one.turn() / len(orders))
                if orders is rounds[-1] and (weights := one.weights()):
                    learned[one.row.module] = outcome(problem, weights)
    check_same_learning(learned)
    return {
        module: {
            "seconds_per_epoch": summary(times),
            "times_ours": summary([time / ours for time, ours in zip(times, seconds[OURS.module], strict=True)]),
            **learned.get(module, {}),
        }
        for module, times in seconds.items()
    }


def result_of(shape: Shape, rounds: int, folder: Path) -> dict[str, Any]:
    """All figures of `shape`; a row that cannot be measured here has the reason in their place."""
    problem = problem_of(shape, rounds)
    figures = measure(problem, [row for row in ROWS if not row.missing], folder)
    return {
        "examples": len(problem.labels),
        "steps_per_epoch": problem.steps_per_epoch,
        "epochs_per_turn": shape.epochs_per_turn,
        "rows": {
            row.module: {"label": row.label, **figures.get(row.module, {"not_measured": row.missing})} for row in ROWS
        },
    }


def check_same_learning(learned: dict[str, dict[str, float]]) -> None:
    """Refuse to compare what is not the same work.

    Raises
    ------
    RuntimeError
        When the training accuracy of a module is not near ours.
    """
    ours = learned[OURS.module]["training_accuracy"]
    for module, figures in learned.items():
        accuracy = figures["training_accuracy"]
        if abs(accuracy - ours) > TOLERANCE:
            raise RuntimeError(f"{module} has a training accuracy of {accuracy:.3f}, {OURS.module} of {ours:.3f}")


def outcome(problem: protocol.Problem, weights: protocol.Arrays) -> dict[str, float]:
    """Mean cross-entropy and share of right answers of a network with `weights` on the training examples."""
    kernel, bias, output_kernel, output_bias = weights
    logits = np.maximum(problem.inputs @ kernel + bias, 0) @ output_kernel + output_bias
    losses = -log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(logits)), problem.labels]
    return {
        "training_loss": float(losses.mean()),
        "training_accuracy": float(np.mean(logits.argmax(axis=1) == problem.labels)),
    }


def summary(values: list[float]) -> dict[str, Any]:
    """The values of all rounds, their median and their spread."""
    return {"rounds": values, "median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    packages = {name: version(name) for name in PACKAGES}
    return {"processor": common.processor(), "cores": os.cpu_count(), "threads": 1, "packages": packages}


def version(package: str) -> str | None:
    """The version of `package` that is installed, if it is."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def table(name: str, result: dict[str, Any]) -> Table:
    """The figures of a shape as they are printed: medians, and in brackets the lowest and the highest."""
    layers, _, batch_size = name.partition("/")
    title = f"{layers}, {result['examples']:,} examples in batches of {batch_size}"
    shown = Table("", "seconds an epoch", "times ours", "accuracy", title=title)
    for row in result["rows"].values():
        if "not_measured" in row:
            shown.add_row(row["label"], f"not measured: {row['not_measured']}")
        else:
            accuracy = f"{row['training_accuracy']:.4f}" if "training_accuracy" in row else ""
            shown.add_row(row["label"], spread(row["seconds_per_epoch"]), spread(row["times_ours"]), accuracy)
    return shown


def spread(figures: dict[str, Any]) -> str:
    """What `summary` made, to three digits."""
    return f"{figures['median']:#.3g} ({figures['lowest']:#.3g}-{figures['highest']:#.3g})"


def main() -> None:
    """Measure the shapes asked for, print a table of each, and write all figures to `RESULTS`."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="how often each row is timed")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES), help="layers/batch size")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave there what the rows are given")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds is at least 1")
    shapes = {}
    for name in arguments.shapes:
        progress.say(f"{name}: {arguments.rounds} rounds")
        with tempfile.TemporaryDirectory() as temporary:
            folder = (arguments.keep or Path(temporary)) / name.replace("/", "-")
            shapes[name] = result_of(SHAPES[name], arguments.rounds, folder)
        Console().print(table(name, shapes[name]))
    optimizer = {"name": "adam", "learning_rate": LEARNING_RATE}
    results = {"machine": machine(), "optimizer": optimizer, "rounds": arguments.rounds, "shapes": shapes}
    files.write_json(RESULTS, results)


if __name__ == "__main__":
    errors.run(main)
