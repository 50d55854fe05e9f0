"""Prepared data -> probe/probe.csv: the exercise's question on subsets of two digits, for every seed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from stages.core import bars, errors, files, inputs, params, progress, timings

PROBE = Path("probe/probe.csv")
COLUMNS = ["zeros", "examples", "seed", "accuracy", "majority_digit", "answered_digit", "share_answered"]


def subset(data: Mapping[str, np.ndarray], zeros: int, examples: int) -> dict[str, np.ndarray]:
    """The first `zeros` training images of zero and the first ``examples - zeros`` of one, as a training split.

    Raises
    ------
    UserError
        When the training split has not that many.
    """
    rows = []
    for digit, count in ((0, zeros), (1, examples - zeros)):
        found = np.flatnonzero(data["y_train"] == digit)[:count]
        if len(found) < count:
            raise errors.UserError(
                f"params.yaml: probe: {count} images of {digit}; the training split has {len(found)}"
            )
        rows.append(found)
    chosen = np.concatenate(rows)
    return {"x_train": data["x_train"][chosen], "y_train": data["y_train"][chosen]}


def answer(predicted: np.ndarray) -> tuple[int, float]:
    """The digit answered most (the smallest of equals) and the share of examples that it is answered for."""
    counts = np.bincount(predicted)
    return int(counts.argmax()), float(counts.max() / len(predicted))


def main() -> None:
    """Train the case as posted on every subset with every seed."""
    # Here, where what TensorFlow has in temporary files when it is imported is in the stage's own folder.
    with timings.phase("import"):
        from stages.core.training import Trainer

    probe = params.load().probe
    config = inputs.read_variant(f"{probe.case}-as_posted")
    data = inputs.read_prepared(config.case, config.dataset)

    rows = []
    subsets = {zeros: subset(data, zeros, probe.examples) for zeros in probe.zeros}
    trainer = Trainer(config.run, subsets[probe.zeros[0]])
    with bars.bar("probe, subsets x seeds", len(subsets) * len(config.seeds)) as bar:
        for zeros, examples in subsets.items():
            trainer.load(examples)
            for seed in config.seeds:
                final = trainer.run(seed).final["train"]
                digit, share = answer(final.predicted)
                majority = 0 if 2 * zeros >= probe.examples else 1
                rows.append((zeros, probe.examples, seed, final.accuracy, majority, digit, share))
                bar.advance()
            accuracies = ", ".join(f"{row[3]:.2f}" for row in rows[-len(config.seeds) :])
            progress.say(f"{zeros} zeros of {probe.examples}: accuracy {accuracies}")
    files.write_csv(PROBE, pd.DataFrame(rows, columns=COLUMNS))
    progress.wrote(PROBE, subsets=len(subsets), seeds=len(config.seeds))


if __name__ == "__main__":
    errors.run(main)
