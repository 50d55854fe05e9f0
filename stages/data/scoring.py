"""Scores of answers: accuracy for classes and labels, R² for values, and what stands beside them."""

import math
from typing import Any

import numpy as np

from stages.config.schema import Task


def measures(task: Task, actual: np.ndarray, predicted: np.ndarray, ranking: np.ndarray | None) -> dict[str, float]:
    """Return the score of answers by its name, first, and what stands beside it.

    `actual` and `predicted` are classes [n], labels [n, labels] or values [n, targets]; `ranking` [n], for a binary
    task, is higher the more likely the second class is.

    - classes: accuracy, and balanced accuracy, the mean of the recall of each class. A binary task also has `auc`, the
      area under the ROC curve, if it has a ranking.
    - labels: accuracy over all labels, and `exact_match`, the share of examples with every label right.
    - values: R², its mean over the targets, and mean absolute and root mean squared error.
    """
    if task == "regression":
        return values(actual, predicted)
    if task == "multilabel":
        right = actual == predicted
        return {"accuracy": float(np.mean(right)), "exact_match": float(np.mean(right.all(axis=1)))}
    right = actual == predicted
    recalls = [float(np.mean(right[actual == label])) for label in np.unique(actual)]
    found = {"accuracy": float(np.mean(right)), "balanced_accuracy": math.fsum(recalls) / len(recalls)}
    if task == "binary" and ranking is not None and len(recalls) == 2:
        found["auc"] = auc(actual == 1, ranking)
    return found


def values(actual: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return R², mean absolute error and root mean squared error of values [n, targets], in float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        errors = predicted.astype(np.float64) - actual
        squares = np.sum(errors**2, axis=0)
        return {
            "r2": r_squared(squares, spread(actual)),
            "mae": float(np.mean(np.abs(errors))),
            "rmse": float(np.sqrt(np.mean(errors**2))),
        }


def spread(actual: np.ndarray) -> np.ndarray:
    """Return the sum of the squared distances from the mean, per target."""
    total: np.ndarray = np.sum((actual - np.mean(actual, axis=0)) ** 2, axis=0)
    return total


def r_squared(squares: np.ndarray, total: np.ndarray) -> float:
    """Return the mean of R² over the targets, from the sums of squared errors and of squared distances.

    As in scikit-learn, a target that is constant gives 1 if it is predicted exactly, and else 0.
    """
    squares, total = np.broadcast_arrays(np.atleast_1d(squares), np.atleast_1d(total))
    each = [1 - square / whole if whole else float(square == 0) for square, whole in zip(squares, total, strict=True)]
    return float(np.mean(each))


def auc(positive: np.ndarray, ranking: np.ndarray) -> float:
    """Return the probability that a positive example ranks above a negative one; a tie counts one half.

    Mann and Whitney's U, divided by the number of pairs. NaN if a ranking is not finite.
    """
    from scipy.stats import rankdata  # imports a quarter of a second, and few cases are binary

    if not np.isfinite(ranking).all():
        return math.nan
    ranks: Any = rankdata(ranking)
    n_positive = int(np.sum(positive))
    u = float(np.sum(ranks[positive])) - n_positive * (n_positive + 1) / 2
    return u / (n_positive * (len(positive) - n_positive))


def keras_accuracy(targets: np.ndarray, outputs: np.ndarray) -> float:
    """Return what Keras 3 prints as accuracy if a network is compiled with ``metrics=["accuracy"]``.

    `targets` [n] or [n, columns] are those of the loss, `outputs` are [n, units]. Keras chooses by their shapes
    (`get_metric` in keras/src/trainers/compile_utils.py): binary accuracy, with the threshold 0.5, for one output;
    otherwise sparse categorical accuracy for one column of targets, and categorical accuracy for several.
    """
    columns = targets.reshape(len(targets), -1)
    if outputs.shape[-1] == 1:
        return float(np.mean((outputs > 0.5) == columns))
    actual = columns[:, 0] if columns.shape[1] == 1 else np.argmax(columns, axis=-1)
    return float(np.mean(np.argmax(outputs, axis=-1) == actual))
