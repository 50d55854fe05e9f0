"""Recordings as the hook writes them, made by hand."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from stages.base import files
from stages.recording.recorded import Recording, short_floats


def layer(name: str, kind: str, shape: list[int], output: list[int], **settings: Any) -> dict[str, Any]:
    """Return a layer as the hook describes it."""
    return {
        "name": name,
        "class": kind,
        "own": False,
        "line": 12,
        "settings": settings,
        "input_shape": shape,
        "output_shape": output,
        "trainable": True,
    }


def dense(name: str, before: int, units: int, activation: Any = "linear", **settings: Any) -> dict[str, Any]:
    """Return a Dense layer with all settings, as Keras 3 gives them."""
    defaults = {
        "units": units,
        "activation": activation,
        "use_bias": True,
        "kernel_initializer": {"class": "GlorotUniform", "settings": {}},
        "bias_initializer": {"class": "Zeros", "settings": {}},
        "kernel_regularizer": None,
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
    }
    return layer(name, "Dense", [before], [units], **{**defaults, **settings})


ADAM = {
    "learning_rate": 0.0010000000474974513,
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-07,
    "amsgrad": False,
}
CONTENT: dict[str, Any] = {
    "format": 1,
    "versions": {"python": "3.11.9", "keras": "3.15.1", "keras_package": "keras", "numpy": "2.3", "tensorflow": "2.21"},
    "script": {"path": "train.py", "arguments": [], "line": 32, "text": "model.fit(x, y, epochs=3)"},
    "call": {"kind": "fit", "by": None, "number": 1, "count": None, "several": None},
    "layers": [dense("hidden", 4, 8, "relu"), dense("output", 8, 1, "sigmoid")],
    "input_shape": [4],
    "weights": "initializers",
    "optimizer": {"class": "Adam", "own": False, "settings": ADAM, "steps_done": 0},
    "loss": {"name": "binary_crossentropy", "own": False, "settings": {}, "line": None},
    "metrics": ["accuracy"],
    "fit": {
        "batch_size": 16,
        "epochs": 3,
        "initial_epoch": 0,
        "shuffle": True,
        "steps_per_epoch": None,
        "drop_remainder": False,
        "validation": None,
        "validation_split": 0.0,
        "class_weight": None,
        "sample_weight": False,
    },
    "callbacks": [],
    "arrays": {},
    "overridden": [],
    "old_names": [],
    "notes": [],
    "partial": None,
}


def arrays(n_rows: int = 100, features: int = 4) -> dict[str, np.ndarray]:
    """Return inputs and labels of two classes, which a network can learn."""
    x = np.random.default_rng(0).normal(size=(n_rows, features))
    return {"x": x, "y": (x[:, 0] > 0).astype(np.int64)}


def recording(data: dict[str, np.ndarray] | None = None, **changes: Any) -> Recording:
    """Return a recording of a small network, with `changes` of recording.json.

    ``loss``, ``optimizer`` and ``fit`` are merged into what the recording has.
    """
    content = deepcopy(CONTENT)
    for key, value in changes.items():
        content[key] = {**content[key], **value} if key in ("fit", "optimizer", "versions", "script") else value
    found = short_floats(content)
    assert isinstance(found, dict)
    return Recording(found, arrays() if data is None else data)


def write(path: Path, found: Recording) -> Path:
    """Write a recording as the hook does."""
    files.write_archive(path, {"recording.json": found.content, **found.arrays})
    return path
