"""Small configurations and made-up data, for tests that train."""

from typing import Any

import numpy as np

from stages.core.params import RunConfig

SETTINGS: dict[str, Any] = {
    "input_scale": 1.0,
    "hidden_units": [7],
    "hidden_activation": "relu",
    "output_units": 10,
    "output_activation": "softmax",
    "initializer": {"name": "glorot_uniform"},
    "loss": "sparse_categorical_crossentropy",
    "keras_semantics": "2.2",
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "l2": 0.0,
    "batch_size": 16,
    "epochs": 1,
}
ONE_SIGMOID: dict[str, Any] = {"output_units": 1, "output_activation": "sigmoid", "loss": "binary_crossentropy"}
TNC: dict[str, Any] = {
    "output_activation": "sigmoid",
    "loss": "summed_binary_crossentropy",
    "initializer": {"name": "uniform", "limit": 0.12},
    "optimizer": {"name": "tnc", "max_function_calls": 8},
    "l2": 0.001,
    "batch_size": None,
    "epochs": None,
}


def config(**settings: Any) -> RunConfig:
    """A network with one small hidden layer, trained for one epoch, but for `settings`."""
    return RunConfig.model_validate(SETTINGS | settings)


def dataset(n_train: int = 70, n_features: int = 12, *, validation: bool = True) -> dict[str, np.ndarray]:
    """Noisy examples around one centre a digit, float32 in 0-1; the last batch of 16 of 70 is a short one.

    Two splits have one length, because each length is compiled for.
    """
    random = np.random.default_rng(1)
    centres = random.uniform(0, 1, (10, n_features))
    arrays = {}
    for split, n in {"train": n_train, "validation": 30, "test": 30}.items():
        labels = np.concatenate([np.arange(10), random.integers(0, 10, n - 10)]).astype(np.uint8)
        arrays[f"y_{split}"] = labels
        noisy = centres[labels] + random.normal(0, 0.2, (n, n_features))
        arrays[f"x_{split}"] = np.clip(noisy, 0, 1).astype(np.float32)
    return arrays if validation else {name: array for name, array in arrays.items() if "validation" not in name}
