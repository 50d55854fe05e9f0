"""Print hashes of what this processor computes, as JSON: `python -m tests.bits MNIST.npz`, from the repository's root.

Short forms of all that the pipeline computes: both datasets, a training with every optimizer and loss that a variant
uses, and logistic regression. `test_processors.py` compares them between processors.
"""

import stages  # noqa: F401  # isort: skip  # before NumPy, which reads its settings when it is imported

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from stages import baseline, prepare
from stages.core import files, params
from stages.core.digits import Dataset
from stages.core.training import Trainer

# 20 batches of 32 and a short one.
FEW = 647


def digest(*arrays: np.ndarray) -> str:
    """SHA-256 of the bytes of `arrays`."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def shortened(config: params.RunConfig) -> params.RunConfig:
    """`config` with just enough steps to spread a difference over all weights."""
    if isinstance(config.optimizer, params.Tnc):
        return config.model_copy(update={"optimizer": params.Tnc(name="tnc", max_function_calls=5)})
    return config.model_copy(update={"epochs": 2})


def few(array: np.ndarray) -> np.ndarray:
    """A few examples from all over a split, since those of ex4 are ordered by digit."""
    return array[:: len(array) // FEW][:FEW]


def small(data: Dataset) -> Dataset:
    """A few examples of each split; of ex4, whose full batch is a long sum, the whole training split."""
    return {name: array if len(array) == 5000 else few(array) for name, array in data.items()}


def main() -> None:
    """Compute and print."""
    settings = params.load()
    raw = files.read_npz(Path(sys.argv[1]))
    hashes: dict[str, str] = {}
    prepared = {case: prepare.prepare(raw, settings.cases[case].dataset, settings.datasets) for case in settings.cases}
    for case, data in prepared.items():
        for name, array in data.items():
            hashes[f"prepare {case} {name}"] = digest(array)
    seen = set()
    for name, config in params.variant_configs(settings).items():
        short = shortened(config.run)
        kind = (short.loss, short.keras_semantics, short.optimizer.name, short.l2 > 0)
        if kind in seen:
            continue
        seen.add(kind)
        run = Trainer(short, small(prepared[config.case])).run(config.seeds[0])
        figures = np.array([(epoch.loss, epoch.accuracy) for epoch in run.history])
        hashes[f"train {name}"] = digest(figures, *run.weights.values(), run.final["test"].confidence)
    for case, data in prepared.items():
        for name, fitted in settings.cases[case].baselines.items():
            short_fit = fitted.model_copy(update={"max_iter": 30})
            result = baseline.fit(short_fit, {key: few(array) for key, array in data.items()})
            hashes[f"baseline {case}-{name}"] = digest(np.array(list(result.loss.values())), *result.predicted.values())
    print(json.dumps(hashes, indent=2))


if __name__ == "__main__":
    main()
