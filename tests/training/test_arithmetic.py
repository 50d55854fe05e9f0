"""A change of the bits of any run must come with a new `ARITHMETIC`, which is part of the key of every run."""

import hashlib
from typing import Any

import numpy as np
import pytest
from samples import ONE_SIGMOID, TNC, as_bytes, dataset, network

from stages.training.runs import ARITHMETIC
from stages.training.trainer import Trainer

TRAININGS: dict[str, dict[str, Any]] = {
    "sgd-25": {"hidden_units": [25], "optimizer": {"name": "sgd", "learning_rate": 0.1}, "l2": 0.001},
    "adam-25": {"hidden_units": [25], "keras": "3"},
    "adam-64": ONE_SIGMOID | {"hidden_units": [64], "hidden_activation": "sigmoid"},
    "tnc-25": TNC | {"hidden_units": [25]},
}

# To raise ARITHMETIC: raise it in stages/training/runs.py, put the new number and the digests below, run `dvc repro`.
STORED = (
    2,
    {
        "sgd-25": "6ff49d24a82c8f81",
        "adam-25": "1e45c62305241b21",
        "adam-64": "4ec4a6e838a2d82f",
        "tnc-25": "e72b8c42e6c2ae26",
    },
)

MESSAGE = (
    "training gives other bits than under ARITHMETIC = {number}; if that is intended, raise ARITHMETIC in "
    "stages/training/runs.py, so that `train` does not keep older runs, and store it here with the digest {digest}"
)


@pytest.mark.parametrize("name", TRAININGS)
def test_the_bits_of_a_run_change_only_with_arithmetic(name: str) -> None:
    # Whole bytes, because the last bit of a random float may depend on the C library.
    data = as_bytes(dataset())
    run = Trainer(network(**{"epochs": 2, "input_scale": 1 / 255} | TRAININGS[name]), data).run(4)
    content = [run.history, *run.weights.values(), np.array(list(run.losses.values()))]
    digest = hashlib.sha256(b"".join(array.tobytes() for array in content)).hexdigest()[:16]
    number, digests = STORED
    assert number == ARITHMETIC, f"ARITHMETIC is {ARITHMETIC}; store it here with the digest {digest} of {name}"
    assert digest == digests[name], MESSAGE.format(number=number, digest=digest)
