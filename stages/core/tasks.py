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

    Notes: ``epoch`` with seed, number, loss and accuracy, and ``ended`` with seed and summary.
    """
    # Here, as those who give the task need no TensorFlow.
    with timings.phase("import"):
        from stages.core.training import Trainer

    trainer = Trainer(config, data)
    runs, seconds = [], {}
    for seed in seeds:

        def on_epoch(number: int, epoch: Epoch, seed: int = seed) -> None:
            notes.send("epoch", seed, number, epoch.loss, epoch.accuracy)

        start = time.perf_counter()
        runs.append(trainer.run(seed, on_epoch))
        seconds[seed] = time.perf_counter() - start
        notes.send("ended", seed, runs[-1].summary)
    return runs, seconds, timings.taken()


def train_cells(
    configs: Mapping[int, RunConfig], seeds: Sequence[int], notes: progress.Notes, data: Mapping[str, np.ndarray]
) -> tuple[dict[int, dict[str, list[Any]]], dict[str, float]]:
    """Train cells that share a program, by their places, with each of `seeds`; it is compiled once.

    Of each cell columns with a row a seed, and the seconds by phase. The accuracies are of the final weights,
    `final_loss` is the running loss of the last epoch. Every run that ends sends a note: the place of its cell, and how
    many of that cell's runs have ended.
    """
    with timings.phase("import"):
        from stages.core.training import Trainer

    trainer = Trainer(next(iter(configs.values())), data)
    cells = {}
    for place, config in configs.items():
        trainer.configure(config)
        runs = []
        for seed in seeds:
            runs.append(trainer.run(seed))
            notes.send(place, len(runs))
        cells[place] = _columns(runs)
    return cells, timings.taken()


def _columns(runs: Sequence[Run]) -> dict[str, list[Any]]:
    return {
        "seed": [run.seed for run in runs],
        "train_accuracy": [run.final["train"].accuracy for run in runs],
        "test_accuracy": [run.final["test"].accuracy for run in runs],
        "final_loss": [run.history[-1].loss for run in runs],
        "diverged": [run.diverged for run in runs],
    }
