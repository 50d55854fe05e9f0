"""configs/<variant>.json and its prepared data -> runs/<variant>/: every seed of one variant, trained and evaluated."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.core import bars, errors, execution, files, inputs, params, progress, tasks, timings
from stages.core.runs import Run

HISTORY_COLUMNS = ["seed", "epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"]


def history_table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row an epoch and seed, with what `model.fit` would print."""
    rows = [
        (run.seed, number, epoch.loss, epoch.accuracy, epoch.validation_loss, epoch.validation_accuracy)
        for run in runs
        for number, epoch in enumerate(run.history, start=1)
    ]
    return pd.DataFrame(rows, columns=HISTORY_COLUMNS)


def final_table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a split and seed, with the figures of the final weights."""
    rows = [
        (run.seed, split, evaluation.loss, evaluation.accuracy, run.diverged, run.gradient_evaluations)
        for run in runs
        for split, evaluation in run.final.items()
    ]
    return pd.DataFrame(rows, columns=["seed", "split", "loss", "accuracy", "diverged", "gradient_evaluations"])


def predictions(runs: Sequence[Run]) -> dict[str, np.ndarray]:
    """``predicted_<split>`` uint8 [seeds, n], and ``confidence_test`` float [seeds, n]."""
    arrays = {f"predicted_{split}": np.stack([run.final[split].predicted for run in runs]) for split in runs[0].final}
    return arrays | {"confidence_test": np.stack([run.final["test"].confidence for run in runs])}


def weights(runs: Sequence[Run]) -> dict[str, np.ndarray]:
    """``seed_<seed>.<layer>.kernel`` and ``.bias`` -> array."""
    return {f"seed_{run.seed}.{name}": array for run in runs for name, array in run.weights.items()}


def shares(seeds: Sequence[int], workers: int) -> list[Sequence[int]]:
    """`seeds` dealt to as many as `workers`, evenly."""
    return [seeds[first::workers] for first in range(min(workers, len(seeds)))]


def main() -> None:
    """Train the variant that the command line names, its seeds side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", type=params.key_of)
    variant = parser.parse_args().variant
    settings = params.load().execution
    config = inputs.read_variant(variant)
    data = inputs.read_prepared(config.case, config.dataset)

    optimizer = config.run.optimizer
    if isinstance(optimizer, params.Tnc):
        epochs, unit = optimizer.max_function_calls, "call"
    else:
        epochs, unit = config.run.epochs or 0, "epoch"
    training = dict.fromkeys(config.seeds, True)
    dealt = shares(config.seeds, settings.workers or len(config.seeds))
    with bars.seed_bars(variant, config.seeds, epochs, unit) as shown:

        def on_ended(seed: int, summary: str) -> None:
            if training.pop(seed, False):
                shown.ended(seed)
                progress.say(f"{variant} seed {seed}: {summary}")

        def on_note(event: str, *values: Any) -> None:
            on_ended(*values) if event == "ended" else shown.epoch(*values)

        def on_result(place: int, result: tuple[list[Run], Any, Any]) -> None:
            # Of other machines no note comes.
            for run in result[0]:
                on_ended(run.seed, run.summary)

        with progress.notes(on_note) as notes:
            given = [partial(tasks.train_seeds, config.run, seeds, notes) for seeds in dealt]
            trained = execution.run(given, data, settings, on_result)
    for _, _, phases in trained:
        timings.add_worker(phases)
    runs = sorted((run for share, _, _ in trained for run in share), key=lambda run: config.seeds.index(run.seed))

    folder = Path("runs") / variant
    files.write_csv(folder / "history.csv", history_table(runs))
    files.write_csv(folder / "final.csv", final_table(runs))
    files.write_npz(folder / "predictions.npz", predictions(runs))
    files.write_safetensors(folder / "weights.safetensors", weights(runs))
    # No out may hold a time, so this one is no out.
    seconds = {str(seed): value for _, share, _ in trained for seed, value in share.items()}
    files.write_json(Path("timings") / f"{variant}.json", seconds)
    progress.wrote(folder, seeds=len(runs))


if __name__ == "__main__":
    errors.run(main)
