"""The model that MLflow serves: raw digits -> what they show. MLflow keeps a copy of this file and runs it by itself.

So it imports no other module of the project, nor TensorFlow: a network is a few products. Beside it lie its arrays and
its settings, as `champion.package` makes them.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from safetensors import numpy as safetensors
from scipy import special

Function = Callable[[np.ndarray], np.ndarray]

ACTIVATIONS: dict[str, Function] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "softmax": partial(special.softmax, axis=-1),
}


def outputs(images: np.ndarray, arrays: dict[str, np.ndarray], activations: list[str]) -> np.ndarray:
    """The network's outputs [n, units] for raw digits, uint8 [n, 28, 28], black 0 and white 255.

    Parameters
    ----------
    images
        The digits.
    arrays
        ``input`` [784, features] is what prepares an image that is unrolled row by row, resizing and scaling in one;
        where it is one number, it scales. ``<layer>.kernel`` and ``<layer>.bias``, layers numbered from 0 on.
    activations
        Of each layer.
    """
    pixels = images.reshape(len(images), -1).astype(np.float32)
    first = arrays["input"]
    values: np.ndarray = pixels @ first if first.ndim else pixels * first
    for layer, activation in enumerate(activations):
        values = ACTIVATIONS[activation](values @ arrays[f"{layer}.kernel"] + arrays[f"{layer}.bias"])
    return values


def answers(values: np.ndarray) -> pd.DataFrame:
    """The ``digit`` that each row of outputs answers, and its ``confidence``: the output that says so.

    Of a single output: 1 above a half, else 0, and its distance from the other.
    """
    if values.shape[1] == 1:
        values = np.column_stack([1 - values[:, 0], values[:, 0]])
    return pd.DataFrame({"digit": values.argmax(axis=1), "confidence": values.max(axis=1).astype(np.float64)})


class DigitClassifier(PythonModel):
    """A trained network that takes digits as MNIST has them."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the arrays and the settings."""
        self.arrays = safetensors.load_file(context.artifacts["arrays"])
        self.activations = json.loads(Path(context.artifacts["settings"]).read_text(encoding="utf-8"))["activations"]

    def predict(
        self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """See `outputs` and `answers`."""
        return answers(outputs(model_input, self.arrays, self.activations))


mlflow.models.set_model(DigitClassifier())
