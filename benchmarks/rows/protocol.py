"""The part of a row of `benchmarks.loop` besides training: read the problem, wait for its turn, and time it.

To run a row alone, give it a folder that `python -m benchmarks.loop --keep FOLDER` wrote:
`yes "" | python -m benchmarks.rows.pytorch FOLDER/NETWORK` prints the seconds of each turn, the warm-up first.
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
    """A network of hidden ReLU layers and a softmax output, to be trained by Adam on cross-entropy.

    Attributes
    ----------
    examples : ndarray
        [n, features], uint8 or float32, to be multiplied by `scale`.
    labels : ndarray
        uint8 [n], the places of the classes.
    orders : ndarray
        int32 [turns, epochs per turn, n], the order of the examples in each epoch.
    weights : list of ndarray
        Initial weights, float32: kernel [inputs, outputs] and bias of each layer, the output layer last.
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
        """Return the scaled examples, float32 [n, features]."""
        return self.examples.astype(np.float32) * np.float32(self.scale)

    @property
    def kernels(self) -> Arrays:
        """Return the initial kernels, that of the first layer first."""
        return self.weights[::2]

    @property
    def units(self) -> list[int]:
        """Return the units of each layer, the output layer last."""
        return [kernel.shape[1] for kernel in self.kernels]

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches per epoch; the last batch may be a short one."""
        return -(-len(self.labels) // self.batch_size)

    @property
    def full_batch(self) -> bool:
        """Return whether a step takes all examples, so that their order does not matter."""
        return self.batch_size >= len(self.labels)

    def turns(self) -> Iterator[np.ndarray]:
        """Yield the orders of a turn, int32 [epochs, n], for each line of standard input.

        The body of the loop over the turns is timed. Its seconds go to standard output.
        """
        for orders in self.orders:
            if not sys.stdin.readline():
                raise SystemExit("standard input ended before the last turn")
            start = time.perf_counter()
            yield orders
            print(time.perf_counter() - start, flush=True)


def save(path: Path, problem: Problem) -> None:
    """Write `problem` for the rows to `load`."""
    values: dict[str, Any] = {name: value for name, value in vars(problem).items() if name != "weights"}
    np.savez(path, **values | {f"weights_{index}": array for index, array in enumerate(problem.weights)})


def load(path: Path) -> Problem:
    """Return the problem that `save` wrote."""
    with np.load(path) as archive:
        values: dict[str, Any] = {name: archive[name] for name in archive.files}
    weights = [values.pop(name) for name in sorted(values) if name.startswith("weights_")]
    numbers = {name: value.item() for name, value in values.items() if value.ndim == 0}
    return Problem(weights=weights, **values | numbers)


def main(train: Callable[[Problem], Arrays]) -> None:
    """Run a row: `train` takes all turns of the problem and returns its weights, which are written beside it."""
    parser = argparse.ArgumentParser(description="One row of benchmarks.loop: a turn per line of standard input.")
    parser.add_argument("folder", type=Path, help="has problem.npz, and gets the trained weights")
    folder = parser.parse_args().folder
    weights = train(load(folder / "problem.npz"))
    np.savez(folder / f"{Path(sys.argv[0]).stem}.npz", *weights)
