"""What every row of `benchmarks.loop` does beside its training: read the problem, wait for its turn, time it.

A row is a process of its own that imports nothing of the pipeline but what it measures. To run one alone, give it a
folder that `python -m benchmarks.loop --keep FOLDER` made: `yes "" | python -m benchmarks.rows.pytorch FOLDER/NETWORK`
prints the seconds of each turn, the first of which is the warm-up.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Problem:
    """A network with one hidden layer of ReLU and a softmax output, to be trained by Adam on cross-entropy.

    Attributes
    ----------
    examples : ndarray
        [n, features], uint8 or float32, to be multiplied by `scale`.
    labels : ndarray
        uint8 [n], 0-9.
    orders : ndarray
        int32 [turns, epochs a turn, n], the order of the examples in each epoch.
    weights : list of ndarray
        What to start from, float32: kernel [inputs, outputs] and bias of the hidden layer, then of the output.
    """

    examples: np.ndarray
    labels: np.ndarray
    orders: np.ndarray
    weights: Arrays
    scale: float
    batch_size: int
    learning_rate: float

    @property
    def inputs(self) -> np.ndarray:
        """The examples scaled, float32 [n, features]."""
        return self.examples.astype(np.float32) * np.float32(self.scale)

    @property
    def steps_per_epoch(self) -> int:
        """Batches an epoch; the last may be a short one."""
        return -(-len(self.labels) // self.batch_size)

    @property
    def full_batch(self) -> bool:
        """Whether a step takes all examples, so that their order changes nothing and nobody would make it."""
        return self.batch_size >= len(self.labels)

    def turns(self) -> Iterator[np.ndarray]:
        """The orders of a turn, int32 [epochs, n], for each line of standard input.

        What is timed is the body of the loop over them; its seconds go to standard output.
        """
        for orders in self.orders:
            if not sys.stdin.readline():
                raise SystemExit("nobody asks for the turns that remain")
            start = time.perf_counter()
            yield orders
            print(time.perf_counter() - start, flush=True)


def save(path: Path, problem: Problem) -> None:
    """Write `problem` for the rows to `load`."""
    values: dict[str, Any] = {name: value for name, value in vars(problem).items() if name != "weights"}
    np.savez(path, **values | {f"weights_{index}": array for index, array in enumerate(problem.weights)})


def load(path: Path) -> Problem:
    """The problem that `save` wrote."""
    with np.load(path) as archive:
        values: dict[str, Any] = {name: archive[name] for name in archive.files}
    weights = [values.pop(f"weights_{index}") for index in range(4)]
    numbers = {name: value.item() for name, value in values.items() if value.ndim == 0}
    return Problem(weights=weights, **values | numbers)


def main(train: Callable[[Problem], Arrays]) -> None:
    """Run a row: `train` takes all turns of the problem, and the weights that it returns are left beside it."""
    parser = argparse.ArgumentParser(description="One row of benchmarks.loop: a turn for each line of input.")
    parser.add_argument("folder", type=Path, help="holds problem.npz, and gets the weights trained")
    folder = parser.parse_args().folder
    weights = train(load(folder / "problem.npz"))
    np.savez(folder / f"{Path(sys.argv[0]).stem}.npz", *weights)
