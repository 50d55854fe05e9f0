"""Pictures of what a network saw: examples that it misread, and the weights into its first layer."""

from collections.abc import Mapping

import numpy as np

from stages.data.prepared import Prepared
from stages.training.runs import Run

MOST_MISREAD = 20
MOST_UNITS = 100
# A weight has one of 127 shades on either side of zero. The few largest weights share the strongest shade.
ZERO = 128
STRONGEST_QUANTILE = 0.99


def pictures(runs: Mapping[str, Run], data: Prepared) -> dict[str, np.ndarray]:
    """Return the pictures of one run per variant, each array under ``<variant>.<name>``.

    ``misread`` uint8 [n, side, side]: the test examples that are predicted wrong with the highest confidence, with
    their ``label``, ``answer`` and ``confidence`` [n]. ``units`` uint8 [units, side, side]: the weights into the first
    layer; 128 is zero. ``largest_weight``: a number.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, run in runs.items():
        assert run.confidence is not None
        kernel = run.weights[f"{first_layer(run)}.kernel"]
        rows = misread(data.y["test"], run.predicted["test"], run.confidence)
        arrays[f"{name}.misread"] = data.images(shades(data.x["test"][rows]))
        arrays[f"{name}.label"] = data.y["test"][rows]
        arrays[f"{name}.answer"] = run.predicted["test"][rows]
        arrays[f"{name}.confidence"] = run.confidence[rows]
        arrays[f"{name}.units"] = data.images(unit_shades(kernel, strongest(kernel)))
        arrays[f"{name}.largest_weight"] = np.abs(kernel).max()
    return arrays


def first_layer(run: Run) -> str:
    """Return the name of the first layer that has a kernel."""
    layers = run.facts["network"]["layers"]
    return str(next(layer["name"] for layer in layers if layer.get("layer", "Dense") == "Dense"))


def misread(actual: np.ndarray, predicted: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Return the rows of wrong predictions, the most confident first; of equal ones the first of the data."""
    wrong = np.flatnonzero(actual != predicted)
    order = np.argsort(-np.nan_to_num(confidence[wrong], nan=-1.0), kind="stable")
    rows: np.ndarray = wrong[order][:MOST_MISREAD]
    return rows


def shades(examples: np.ndarray) -> np.ndarray:
    """Return examples as uint8, 0 to 255. Floats are in 0 to 1; what the resize overshot is cut off."""
    if examples.dtype == np.uint8:
        return examples
    rounded: np.ndarray = np.rint(np.clip(examples, 0, 1) * 255).astype(np.uint8)
    return rounded


def strongest(kernel: np.ndarray) -> float:
    """Return the size of weight that the strongest shade stands for, never zero."""
    sizes = np.abs(kernel[np.isfinite(kernel)])
    return float(np.quantile(sizes, STRONGEST_QUANTILE, method="lower")) if sizes.any() else 1.0


def unit_shades(kernel: np.ndarray, limit: float) -> np.ndarray:
    """Return weights [features, units] as uint8 [units, features]: 128 is zero, 1 and 255 are -`limit` and `limit`.

    A weight that is not finite is shown as zero.
    """
    clipped = np.clip(np.nan_to_num(kernel, posinf=0, neginf=0), -limit, limit)
    levels = np.rint(clipped / limit * (ZERO - 1))
    shown: np.ndarray = (levels.T[:MOST_UNITS] + ZERO).astype(np.uint8)
    return shown
