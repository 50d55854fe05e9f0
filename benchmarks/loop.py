"""Time one epoch of our training loop beside other ways to train the same network, and beside its matrix products.

Run `dvc repro` first, and `pip install torch==2.13.0 jax` for the rows of PyTorch and JAX. Each row is a process that
imports, compiles and warms up once. Then the rows take turns, round after round, so that a machine whose speed drifts
slows all. Every row has one thread, and all rows share one processor. They start from the same weights and see the
examples in the same order, except `model.fit`, which shuffles. A ratio is the time of a row divided by our time in the
same round.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from scipy.special import log_softmax

from benchmarks import common, small
from benchmarks.rows import protocol, whichfix
from stages.base import files
from stages.base.console import say
from stages.base.errors import one_line
from stages.base.processor import SETTINGS
from stages.data import prepared

RESULTS = Path("benchmarks/results/loop.json")
PACKAGES = ("numpy", "tensorflow", "keras", "torch", "jax", "scikit-learn")
LEARNING_RATE = 0.001
# Rows differ by rounding, and `model.fit` also by its order of the examples.
TOLERANCE = 0.02

# One thread for the rows of others, which do not get the processor settings, because those forbid wide instructions.
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
    """A module of `benchmarks.rows` that is timed, and the package that it needs beyond `requirements.lock`."""

    module: str
    label: str
    package: str | None = None
    our_settings: bool = False

    @property
    def missing(self) -> str | None:
        """Return why the row cannot be measured here, or None if it can."""
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
    """A network and its batch size, on the data of a case, or on those of `benchmarks.small`.

    A turn has enough epochs to be much longer than the time that a waiting process needs to wake up.
    """

    case: str
    units: tuple[int, ...]
    batch_size: int
    epochs_per_turn: int


SHAPES = {
    "784-64-10/32": Shape("mnist", (64, 10), 32, 1),
    "784-512-10/32": Shape("mnist", (512, 10), 32, 1),
    "400-25-10/5000": Shape("ex4", (25, 10), 5000, 20),
    "400-25-10/32": Shape("ex4", (25, 10), 32, 20),
    "20-32-16-3/32": Shape(small.CASE, (32, 16, small.CLASSES), 32, small.EPOCHS),
}


@dataclass(frozen=True)
class Running:
    """A row in its own process, which takes one turn at a time."""

    row: Row
    result: Path
    process: subprocess.Popen[bytes]
    messages: IO[bytes]

    def turn(self) -> float:
        """Let the row take its next turn and return its seconds."""
        assert self.process.stdin
        assert self.process.stdout
        with suppress(BrokenPipeError):
            self.process.stdin.write(b"\n")
        seconds = self.process.stdout.readline()
        if not seconds:
            self._fail()
        return float(seconds)

    def weights(self) -> protocol.Arrays:
        """Return the final weights of the row, after its last turn."""
        if self.process.wait():
            self._fail()
        with np.load(self.result) as archive:
            return [archive[name] for name in archive.files]

    def _fail(self) -> NoReturn:
        self.process.wait()
        self.messages.seek(0)
        raise RuntimeError(f"{self.row.label} failed\n{self.messages.read().decode(errors='replace')}")


@contextmanager
def started(row: Row, folder: Path) -> Iterator[Running]:
    """Start `row` on the problem in `folder`, and end it with the block."""
    command = [sys.executable, "-m", f"benchmarks.rows.{row.module}", str(folder.resolve())]
    others = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    environment = others | (SETTINGS if row.our_settings else ONE_THREAD)
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as messages,
        subprocess.Popen(
            command, 0, cwd=common.ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=messages
        ) as process,
    ):
        try:
            yield Running(row, folder / f"{row.module}.npz", process, messages)
        finally:
            process.kill()


@contextmanager
def one_processor() -> Iterator[None]:
    """Keep this process, and the processes that it starts, on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def problem_of(shape: Shape, rounds: int) -> protocol.Problem:
    """Return all training examples of the case, with the weights and orders that a run draws; turn 0 warms up."""
    if shape.case == small.CASE:
        examples, labels = small.examples(small.ROWS)
    else:
        data = prepared.read(files.prepared_path(shape.case))
        splits = [split for split in ("train", "validation") if split in data.x]
        examples, labels = (np.concatenate([arrays[split] for split in splits]) for arrays in (data.x, data.y))
    scale = 1 / 255 if examples.dtype == np.uint8 else 1.0
    turns = 1 + rounds
    epochs = turns * shape.epochs_per_turn
    network = whichfix.network_of(scale, shape.units, shape.batch_size, LEARNING_RATE, epochs)
    weights, orders = whichfix.draws(network, examples.shape[1], len(labels))
    orders = orders.reshape(turns, shape.epochs_per_turn, len(labels))
    return protocol.Problem(examples, labels, orders, weights, scale, shape.batch_size, LEARNING_RATE)


def measure(problem: protocol.Problem, rows: Sequence[Row], folder: Path) -> dict[str, dict[str, Any]]:
    """Time `rows`, ours among them, on `problem`, which stays in `folder`; return figures by module."""
    folder.mkdir(parents=True, exist_ok=True)
    protocol.save(folder / "problem.npz", problem)
    _, *rounds = problem.orders
    seconds: dict[str, list[float]] = {row.module: [] for row in rows}
    learned = {}
    with one_processor(), ExitStack() as stack:
        running = [stack.enter_context(started(row, folder)) for row in rows]
        for process in running:
            process.turn()
        for orders in rounds:
            for process in running:
                seconds[process.row.module].append(process.turn() / len(orders))
                if orders is rounds[-1] and (weights := process.weights()):
                    learned[process.row.module] = outcome(problem, weights)
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
    """Return all figures of `shape`; a row that cannot be measured here has the reason instead."""
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
    """Refuse to compare rows that did not do the same work.

    Raises
    ------
    RuntimeError
        If the training accuracy of a module is not near ours.
    """
    ours = learned[OURS.module]["training_accuracy"]
    for module, figures in learned.items():
        accuracy = figures["training_accuracy"]
        if abs(accuracy - ours) > TOLERANCE:
            raise RuntimeError(f"{module} has a training accuracy of {accuracy:.3f}, {OURS.module} of {ours:.3f}")


def outcome(problem: protocol.Problem, weights: protocol.Arrays) -> dict[str, float]:
    """Return mean cross-entropy and accuracy of a network with `weights` on the training examples."""
    *hidden, kernel, bias = weights
    values = problem.inputs
    for below, offset in zip(hidden[::2], hidden[1::2], strict=True):
        values = np.maximum(values @ below + offset, 0)
    logits = values @ kernel + bias
    losses = -log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(logits)), problem.labels]
    return {
        "training_loss": float(losses.mean()),
        "training_accuracy": float(np.mean(logits.argmax(axis=1) == problem.labels)),
    }


def summary(values: list[float]) -> dict[str, Any]:
    """Return the values of all rounds with their median, lowest and highest."""
    return {"rounds": values, "median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def version(package: str) -> str | None:
    """Return the installed version of `package`, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Measure the shapes, print a line per row, and write all figures to `RESULTS`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="how often each row is timed")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES), help="layers/batch size")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the problems of the rows there")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds is at least 1")
    shapes = {}
    for name in arguments.shapes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (arguments.keep or Path(temporary)) / name.replace("/", "-")
            shapes[name] = result_of(SHAPES[name], arguments.rounds, folder)
        for row in shapes[name]["rows"].values():
            seconds = row.get("seconds_per_epoch")
            figure = f"{seconds['median']:.3g} s per epoch" if seconds else row["not_measured"]
            say(f"{name}, {row['label']}: {figure}")
    packages = {name: version(name) for name in PACKAGES}
    results = {
        "machine": {"processor": common.processor(), "cores": os.cpu_count(), "threads": 1, "packages": packages},
        "optimizer": {"name": "adam", "learning_rate": LEARNING_RATE},
        "rounds": arguments.rounds,
        "shapes": shapes,
    }
    files.write_json(RESULTS, results)


if __name__ == "__main__":
    with one_line():
        main()
