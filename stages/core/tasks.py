"""What a worker is given to do: the training of one configuration. It imports no more than that takes."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.core import progress, timings
from stages.core.params import RunConfig
from stages.core.runs import Epoch, Run


def train_seeds(
    config: RunConfig, seeds: Sequence[int], notes: progress.Notes, data: Mapping[str, np.ndarray]
) -> tuple[list[Run], dict[int, float], dict[str, float]]:
    """Train `config` with each of `seeds`, compiled once: the runs, the seconds that each took, and those by phase.

    Every epoch sends a note.
    """
    # Here, as those who give the task need no TensorFlow.
    with timings.phase("import"):
        from stages.core.training import Trainer

    trainer = Trainer(config, data)
    runs, seconds = [], {}
    for seed in seeds:

        def on_epoch(number: int, epoch: Epoch, seed: int = seed) -> None:
            notes.send(f"seed {seed} epoch {number} accuracy {epoch.accuracy:.4f}")

        start = time.perf_counter()
        runs.append(trainer.run(seed, on_epoch))
        seconds[seed] = time.perf_counter() - start
    return runs, seconds, timings.taken()


def train_cell(
    config: RunConfig, seeds: Sequence[int], data: Mapping[str, np.ndarray]
) -> tuple[dict[str, list[Any]], dict[str, float]]:
    """Train `config` with each of `seeds`, compiled once: columns with a row a seed, and the seconds by phase.

    The accuracies are of the final weights, `final_loss` is the running loss of the last epoch.
    """
    with timings.phase("import"):
        from stages.core.training import Trainer

    trainer = Trainer(config, data)
    runs = [trainer.run(seed) for seed in seeds]
    columns: dict[str, list[Any]] = {
        "seed": [run.seed for run in runs],
        "train_accuracy": [run.final["train"].accuracy for run in runs],
        "test_accuracy": [run.final["test"].accuracy for run in runs],
        "final_loss": [run.history[-1].loss for run in runs],
        "diverged": [run.diverged for run in runs],
    }
    return columns, timings.taken()
