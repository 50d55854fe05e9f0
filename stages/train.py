"""configs/<variant>.json and its prepared data -> runs/<variant>/: every seed of one variant, trained and evaluated."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save

from stages.core import errors, files, progress
from stages.core.params import Tnc, VariantConfig
from stages.core.training import Epoch, Run, Trainer

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


def main() -> None:
    """Train the variant that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant")
    variant = parser.parse_args().variant
    config = VariantConfig.model_validate(files.read_json(Path("configs") / f"{variant}.json"))
    trainer = Trainer(config.run, files.read_npz(Path("data/prepared") / f"{config.case}.npz"))

    runs, seconds = [], {}
    optimizer = config.run.optimizer
    epochs = optimizer.max_function_calls if isinstance(optimizer, Tnc) else config.run.epochs
    with progress.bar(variant, (epochs or 0) * len(config.seeds)) as advance:
        for seed in config.seeds:

            def on_epoch(number: int, epoch: Epoch, seed: int = seed) -> None:
                advance(f"seed {seed} epoch {number} accuracy {epoch.accuracy:.4f}")

            start = time.perf_counter()
            run = trainer.run(seed, on_epoch)
            seconds[str(seed)] = time.perf_counter() - start
            runs.append(run)
            accuracies = ", ".join(f"{split} {final.accuracy:.4f}" for split, final in run.final.items())
            progress.say(f"{variant} seed {seed}: accuracy {accuracies}{' (diverged)' if run.diverged else ''}")

    folder = Path("runs") / variant
    files.write_csv(folder / "history.csv", history_table(runs))
    files.write_csv(folder / "final.csv", final_table(runs))
    files.write_npz(folder / "predictions.npz", predictions(runs))
    files.write_bytes(folder / "weights.safetensors", save(weights(runs)))
    # No out may hold a time, so this one is no out.
    files.write_json(Path("timings") / f"{variant}.json", seconds)


if __name__ == "__main__":
    errors.run(main)
