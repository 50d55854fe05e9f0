"""The facts of the prepared data of a case that a result holds."""

import math

import numpy as np

from stages.analysis import scores
from stages.analysis.results import DataResult
from stages.data.prepared import Prepared


def balance(data: Prepared) -> tuple[float, ...]:
    """Return the share of each class, or of each label, among the training examples; nothing for values."""
    labels = data.y["train"]
    if data.facts.task == "regression":
        return ()
    counts = labels.sum(axis=0) if labels.ndim > 1 else np.bincount(labels, minlength=data.n_classes)
    return tuple(int(count) / len(labels) for count in counts)


def data_result(data: Prepared) -> DataResult:
    """Return what a result says of the prepared data."""
    facts, given = data.facts, data.given("train")
    places = [float(place) for place in range(data.n_classes)]
    return DataResult(
        sha256=data.sha256,
        rows={split: len(labels) for split, labels in data.y.items()},
        features=math.prod(data.shape),
        classes=tuple(facts.classes),
        inputs=None if facts.features is None else tuple(facts.features),
        balance=balance(data),
        axis=scores.axis(facts),
        pictures=data.side is not None,
        arrays={
            f"{kind}_{split}": scores.digest(array)
            for kind, arrays in (("x", data.x), ("y", data.y))
            for split, array in arrays.items()
        },
        members=(
            *(f"raw_{split}" for split in data.raw),
            *(() if data.sample_weight is None else ("sample_weight",)),
            *(f"weights/{name}" for name in data.first_weights),
        ),
        target_shape=given.shape[1:],
        numbered=facts.values is None or facts.values == places,
    )
