"""Numbers from the runs of a variant: confusion counts, recall, learning curves, digests of arrays."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.analysis.results import ArrayDigest
from stages.training.runs import FIGURES, Run


def confusion(
    actual: npt.NDArray[np.integer[Any]], predicted: npt.NDArray[np.integer[Any]], classes: int
) -> npt.NDArray[np.int64]:
    """Return the number of examples by actual class (row) and predicted class (column), [classes, classes].

    Raises
    ------
    ValueError
        If the shapes of the two differ, or a label is not in 0 ... `classes` - 1.
    """
    if actual.shape != predicted.shape:
        raise ValueError(f"labels of shape {actual.shape} but predictions of shape {predicted.shape}")
    places = np.ravel_multi_index((actual, predicted), (classes, classes))
    return np.bincount(places, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def recall(counts: npt.NDArray[np.int64]) -> tuple[float | None, ...]:
    """Return the share of the examples of each class that is predicted right; None for a class without examples."""
    return tuple(int(row[label]) / int(row.sum()) if row.any() else None for label, row in enumerate(counts))


def answers(runs: Sequence[Run], split: str) -> dict[int, int]:
    """Return how many of `runs` predict each class most often on `split`; of equal classes the smallest counts."""
    most = [int(np.bincount(run.predicted[split]).argmax()) for run in runs]
    return {label: most.count(label) for label in sorted(set(most))}


def curves(variant: str, runs: Sequence[Run]) -> pd.DataFrame:
    """Return learning curves: per figure and epoch the mean over seeds, and the lowest and highest seed.

    All three are missing if the value of a seed is not finite, because the other seeds alone would be another variant.
    """
    figures = FIGURES if "validation" in runs[0].scores else FIGURES[:2]
    tables = [pd.DataFrame(run.history[:, : len(figures)], columns=list(figures)) for run in runs]
    long = (
        pd.concat([table.assign(epoch=range(1, len(table) + 1)) for table in tables])
        .melt("epoch", figures, var_name="figure")
        .assign(finite=lambda rows: np.isfinite(rows["value"]))
    )
    groups = long.groupby(["figure", "epoch"])
    bands = groups["value"].agg(["mean", "min", "max"]).where(groups["finite"].all()).reset_index()
    bands.insert(0, "variant", variant)
    return bands.rename(columns={"min": "low", "max": "high"})


def confusion_table(counts: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return confusion counts as rows of actual class, predicted class and count."""
    actual, predicted = np.indices(counts.shape)
    return pd.DataFrame({"actual": actual.ravel(), "predicted": predicted.ravel(), "count": counts.ravel()})


def digest(array: np.ndarray) -> ArrayDigest:
    """Return the dtype and shape of `array`, and the SHA-256 digest of its elements in C order, little-endian."""
    elements = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    sha256 = hashlib.sha256(elements.tobytes()).hexdigest()
    return ArrayDigest(dtype=str(array.dtype), shape=array.shape, sha256=sha256)
