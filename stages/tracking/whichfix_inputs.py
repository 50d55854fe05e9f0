"""Loads a model for MLflow's `pyfunc` and checks its inputs before it answers.

Each model has a copy of this file, which runs without whichfix. MLflow casts the numbers of a JSON request to the dtype
of the signature, so only numbers that were not cast, as floats, can be checked here.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import Model


def problem(values: np.ndarray, trained: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the inputs `values` [n, ...], None if nothing is.

    `trained` are "kind", "low" and "high" of the inputs in training: "numbers", whole numbers as "bytes", or "pixels".
    """
    if not np.isfinite(values).all():
        return "the inputs have numbers that are missing or not finite; expected finite numbers"
    if trained["kind"] == "numbers":
        return None
    expected = "expected whole numbers from 0 to 255, as in training"
    if (values != np.floor(values)).any() or values.min(initial=0) < 0 or values.max(initial=0) > 255:
        return f"the inputs have fractions or numbers beyond 0 to 255; {expected}; multiply inputs from 0 to 1 by 255"
    most = values.reshape(len(values), -1).max(axis=1, initial=0)
    if trained["kind"] == "pixels" and ((most > 0) & (most <= 1)).any():
        return f"an example has no pixel above 1; {expected}; multiply inputs from 0 to 1 by 255"
    return None


class CheckedModel:
    """A Keras model that refuses inputs of another kind than those of its training."""

    def __init__(self, model: Any, trained: Mapping[str, Any]) -> None:
        self.model, self.trained = model, trained

    def predict(self, data: np.ndarray) -> np.ndarray:
        """Return the outputs [n, units] of the inputs `data` [n, ...].

        Raises
        ------
        MlflowException
            If `problem` finds one.
        """
        if found := problem(data, self.trained):
            raise MlflowException.invalid_parameter_value(found)
        low, high = self.trained["low"], self.trained["high"]
        if data.size and (data.min() < low or data.max() > high):
            warnings.warn(f"some inputs are beyond those of the training, {low:g} to {high:g}", stacklevel=2)
        outputs: np.ndarray = self.model.predict(data, verbose=0)
        return outputs


def _load_pyfunc(path: str) -> CheckedModel:
    """Return the model in the folder of `path`; MLflow calls this."""
    folder = next(each for each in (Path(path), Path(path).parent) if (each / "MLmodel").is_file())
    return CheckedModel(mlflow.keras.load_model(str(folder)), (Model.load(str(folder)).metadata or {})["inputs"])
