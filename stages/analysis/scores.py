"""Numbers from the runs of a variant: confusion counts, recall, learning curves, digests of arrays."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.analysis import intervals
from stages.analysis.results import ArrayDigest
from stages.data.prepared import SPLITS, Facts, Prepared
from stages.data.tables import is_number
from stages.training.runs import Run
from stages.training.runs import figures as figure_names

TENTHS = 10
# How a formula begins in a spreadsheet.
FORMULA = ("=", "+", "-", "@")


def axis(facts: Facts) -> tuple[str, ...]:
    """Return the names of the rows and columns of confusion counts."""
    if facts.task == "regression":
        return tuple(f"tenth {place}" for place in range(1, TENTHS + 1))
    return ("no", "yes") if facts.task == "multilabel" else tuple(facts.classes)


def places(facts: Facts, actual: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the column of each example in the confusion counts, [n] each.

    Values go to the tenth of the measured values in which they lie, so that no value shows. Several labels or targets
    of an example count one by one.
    """
    if facts.task != "regression":
        return actual.ravel(), predicted.ravel()
    actual, predicted = np.broadcast_arrays(actual, np.nan_to_num(predicted))
    rows, columns = [], []
    for target in range(actual.shape[1]):
        edges = np.quantile(actual[:, target], np.arange(1, TENTHS) / TENTHS, method="lower")
        rows.append(np.searchsorted(edges, actual[:, target]))
        columns.append(np.searchsorted(edges, predicted[:, target]))
    return np.concatenate(rows), np.concatenate(columns)


def confusion(
    actual: npt.NDArray[np.integer[Any]], predicted: npt.NDArray[np.integer[Any]], classes: int
) -> npt.NDArray[np.int64]:
    """Return the number of examples by actual class (row) and predicted class (column), [classes, classes].

    An answer that is no class is left out.

    Raises
    ------
    ValueError
        If the shapes of the two differ, or a label is not in 0 ... `classes` - 1.
    """
    if actual.shape != predicted.shape:
        raise ValueError(f"labels of shape {actual.shape} but predictions of shape {predicted.shape}")
    some = predicted < classes
    found = np.ravel_multi_index((actual[some], predicted[some]), (classes, classes))
    return np.bincount(found, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def recall(counts: npt.NDArray[np.int64], actual: npt.NDArray[np.integer[Any]]) -> tuple[float | None, ...]:
    """Return the share of the `actual` examples of each class that is predicted right; None for one without examples.

    An answer that is no class is wrong, though `counts` leave it out.
    """
    examples = np.bincount(actual, minlength=len(counts)).tolist()
    return tuple(int(counts[label, label]) / n if n else None for label, n in enumerate(examples))


def answers(runs: Sequence[Run], split: str) -> dict[int, int]:
    """Return how many of `runs` predict each class most often on `split`; of equal classes the smallest counts."""
    most = [int(np.bincount(run.predicted[split]).argmax()) for run in runs]
    return {label: most.count(label) for label in sorted(set(most))}


def curves(variant: str, runs: Sequence[Run], score: str) -> pd.DataFrame:
    """Return learning curves: per figure and epoch the mean over seeds, and the lowest and highest seed.

    All three are missing if the value of a seed is not finite, because the other seeds alone would be another variant.
    """
    figures = figure_names(score) if "validation" in runs[0].scores else figure_names(score)[:2]
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


def confusion_table(counts: npt.NDArray[np.int64], names: Sequence[str]) -> pd.DataFrame:
    """Return confusion counts as rows of actual class, predicted class and count.

    A spreadsheet would run a name such as ``=cmd|...`` as a formula. After an apostrophe it is text.
    """
    names = [f"'{name}" if name.startswith(FORMULA) and not is_number(name) else name for name in names]
    actual, predicted = (np.array(names)[places.ravel()] for places in np.indices(counts.shape))
    return pd.DataFrame({"actual": actual, "predicted": predicted, "count": counts.ravel()})


def digest(array: np.ndarray) -> ArrayDigest:
    """Return the dtype and shape of `array`, and the SHA-256 digest of its elements in C order, little-endian."""
    elements = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    sha256 = hashlib.sha256(elements.tobytes()).hexdigest()
    return ArrayDigest(dtype=str(array.dtype), shape=array.shape, sha256=sha256)


def sampled(data: Prepared, split: str, per_seed: Mapping[int, float]) -> tuple[float, float] | None:
    """Return how far another sample of examples might move the mean of accuracies; None for other scores."""
    if data.facts.task in ("regression", "multilabel"):
        return None
    return intervals.sampling(per_seed.values(), len(data.y[split]))


def by_seed(runs: Sequence[Run], split: str) -> dict[int, float]:
    """Return the score on `split` by seed."""
    return {run.seed: run.scores[split] for run in runs}


def compared(splits: Collection[str]) -> list[str]:
    """Return the splits on which fixes are compared: all but validation, unless there is no test split."""
    return [split for split in SPLITS if split in splits and (split != "validation" or "test" not in splits)]
