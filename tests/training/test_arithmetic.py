"""A change of the bits of any run must come with a new key: `ARITHMETIC` is part of the key of every run."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from samples import ONE_SIGMOID, TNC, as_bytes, dataset, layers, network

from stages.training.runs import ARITHMETIC
from stages.training.trainer import Trainer

TRAININGS: dict[str, dict[str, Any]] = {
    "sgd-25": {"layers": layers(units=25, l2=0.001), "optimizer": {"name": "sgd", "learning_rate": 0.1}},
    "adam-25": {"layers": layers(units=25), "keras": "3"},
    "adam-64": ONE_SIGMOID | {"layers": layers(units=64, outputs=1, output="sigmoid")},
    "dropout": {
        "layers": {
            "hidden": {"units": 25, "kernel_initializer": "he_normal"},
            "norm": {"layer": "BatchNormalization"},
            "act": {"layer": "PReLU"},
            "drop": {"layer": "Dropout", "rate": 0.3},
            "output": {"units": 10, "activation": "softmax"},
        },
        "optimizer": {"name": "rmsprop", "learning_rate": 0.01, "momentum": 0.5},
    },
    "tnc-25": TNC | {"layers": TNC["layers"] | {"hidden": TNC["layers"]["hidden"] | {"units": 25}}},
}

# To raise ARITHMETIC: raise it in stages/training/runs.py, put the new number and the digests below, run `dvc repro`.
# If only networks with some layer, loss or optimizer have changed, add this part to CHANGED there instead.
# Two digests per training: of the history, the weights and the losses, and of the symptoms.
STORED = (
    5,
    {
        "sgd-25": "df471085c7d98180 90498ad38e4f84f7",
        "adam-25": "a3eebdf3b84612b4 4e65e0eb2cc6efbe",
        "adam-64": "94cb077bf01a6049 1d2723151bdfe74c",
        "dropout": "a721f9ca4568bb71 d46cbee1213153d4",
        "tnc-25": "c2f899d575d9afb6 07e35778c49e6058",
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
    run = Trainer(network(**{"epochs": 2, "inputs": {"scale": 1 / 255}} | TRAININGS[name]), data).run(4)
    content = [run.history, *run.weights.values(), np.array(list(run.losses.values()))]
    symptoms = json.dumps([run.symptoms, run.keras_accuracy]).encode()
    parts = (b"".join(array.tobytes() for array in content), symptoms)
    digest = " ".join(hashlib.sha256(part).hexdigest()[:16] for part in parts)
    number, digests = STORED
    assert number == ARITHMETIC, f"ARITHMETIC is {ARITHMETIC}; store it here with the digest {digest} of {name}"
    assert digest == digests[name], MESSAGE.format(number=number, digest=digest)
