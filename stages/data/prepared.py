"""The prepared data of a case: examples and what is to be predicted, by split, and what both are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from stages.base import files
from stages.base.errors import UserError
from stages.config.schema import Task
from stages.config.strict import damaged

Order = Literal["rows", "columns"]
SPLITS = ("train", "validation", "test")


class Image(BaseModel, extra="forbid", strict=True):
    """The form of an example that is a picture: a square, unrolled by rows or by columns."""

    side: int = Field(gt=0)
    order: Order


class Facts(BaseModel, extra="forbid", strict=True):
    """The member facts.json of data/prepared/<case>.npz.

    `classes` are the names of the classes, of the labels of a multilabel task, or of the targets of a regression.
    `values` are what the file has for each class, None if it has texts or a column per class. `features` are the names
    of the inputs, None if they have none. `hidden` says that names are numbers, because the person wants them hidden.
    """

    task: Task
    classes: list[str] = Field(min_length=1)
    values: list[float] | None = None
    features: list[str] | None = None
    image: Image | None = None
    hidden: bool = False


@dataclass(frozen=True)
class Prepared:
    """Data that networks and baselines are trained and scored on.

    `x` has per split [n, ...], uint8 or float32. `y` has per split what answers are compared with: the index of the
    class [n] (uint8, or int32 for more than 256 classes), 0 or 1 per label, uint8 [n, labels], or the targets, float64
    [n, targets]. `raw` has per split what the file has for it, float32, where that is something else. The splits are
    train, and perhaps validation and test, in this order. `sample_weight` is float32 [n] for the training split or
    None, `first_weights` are weights to begin with, by ``<layer>.<name>``. `sha256` is the digest of the file that the
    data were read from.
    """

    x: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    facts: Facts
    sha256: str = ""
    raw: dict[str, np.ndarray] = field(default_factory=dict)
    sample_weight: np.ndarray | None = None
    first_weights: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def n_classes(self) -> int:
        """Return the number of classes, labels or targets."""
        return len(self.facts.classes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of an example."""
        return self.x["train"].shape[1:]

    @property
    def side(self) -> int | None:
        """Return the side of a picture in pixels, None if the examples are not pictures."""
        return self.facts.image.side if self.facts.image else None

    def given(self, split: str) -> np.ndarray:
        """Return what the file has for the examples of `split`: values of classes, a column per class, or targets."""
        if split in self.raw:
            return self.raw[split]
        labels = self.y[split]
        is_class = self.facts.task in ("binary", "multiclass") and self.facts.values is not None
        return np.array(self.facts.values)[labels] if is_class else labels

    def first_of_each_class(self, counts: Mapping[int, int]) -> "Prepared":
        """Return the first `counts[label]` training examples of each class named, class by class, and no other split.

        Raises
        ------
        UserError
            If the training split has fewer examples of a class.
        """
        chosen = np.concatenate([first_rows(self.y["train"], label, count) for label, count in sorted(counts.items())])
        x, y, raw = ({"train": part["train"][chosen]} if part else {} for part in (self.x, self.y, self.raw))
        weight = None if self.sample_weight is None else self.sample_weight[chosen]
        return replace(self, x=x, y=y, raw=raw, sample_weight=weight)

    def images(self, rows: np.ndarray) -> np.ndarray:
        """Return `rows` [n, features] as pictures [n, side, side] of the same dtype."""
        assert self.facts.image is not None, "the examples are not pictures"
        squares = rows.reshape(len(rows), self.facts.image.side, self.facts.image.side)
        return squares if self.facts.image.order == "rows" else squares.swapaxes(1, 2)


def first_rows(labels: np.ndarray, label: int, count: int) -> np.ndarray:
    """Return the indices of the first `count` examples of class `label`, in the order of the data.

    Raises
    ------
    UserError
        If there are fewer.
    """
    rows = np.flatnonzero(labels == label)
    if len(rows) < count:
        expected = f"expected at least {count}, as params.yaml says; lower that number"
        raise UserError(f"class {label} has {len(rows)} training examples; {expected}")
    return rows[:count]


def members(data: Prepared) -> dict[str, Any]:
    """Return the members of the archive of prepared data: facts.json and the arrays, such as x_train and y_train."""
    found: dict[str, Any] = {"facts.json": data.facts.model_dump(mode="json")}
    for kind, arrays in (("x", data.x), ("y", data.y), ("raw", data.raw)):
        found |= {f"{kind}_{split}": array for split, array in arrays.items()}
    if data.sample_weight is not None:
        found["sample_weight"] = data.sample_weight
    return found | {f"weights/{name}": array for name, array in data.first_weights.items()}


def write(path: Path, data: Prepared) -> None:
    """Write prepared data as the archive of its `members`."""
    files.write_archive(path, members(data))


def read(path: Path) -> Prepared:
    """Return the data that `write` wrote.

    Raises
    ------
    UserError
        If the file is missing, damaged, or holds anything else.
    """
    arrays = files.read_archive(path)
    try:
        facts = Facts.model_validate(arrays.pop("facts.json", {}))
    except ValidationError as error:
        raise damaged(path, error, "prepare", "facts.json") from None
    first_weights = {
        name.removeprefix("weights/"): arrays.pop(name) for name in list(arrays) if name.startswith("weights/")
    }
    sample_weight = arrays.pop("sample_weight", None)
    raw = {split: arrays.pop(f"raw_{split}") for split in SPLITS if f"raw_{split}" in arrays}
    x, y = by_split(path, arrays)
    for split, labels in y.items():
        check_labels(path, split, labels, facts)
    if any(examples.dtype not in (np.uint8, np.float32) for examples in x.values()):
        raise files.damaged(path, _described(x), "uint8 or float32")
    features = x["train"].shape[1:]
    if facts.image and features != (facts.image.side**2,):
        side = facts.image.side
        raise files.damaged(path, f"{features[0]} features", f"{side**2}, pictures of {side}x{side}")
    lengths = [(raw, y), ({} if sample_weight is None else {"train": sample_weight}, y)]
    if any(len(array) != len(other[split]) for arrays, other in lengths for split, array in arrays.items()):
        raise files.damaged(path, "arrays of different lengths", "one row per example")
    return Prepared(x, y, facts, files.sha256(path), raw, sample_weight, first_weights)


def by_split(path: Path, arrays: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the examples and the labels in `arrays` by split, checked against each other; `path` is for messages.

    Raises
    ------
    UserError
        If a split has no examples, examples of another shape than the training split's, values that are not finite, or
        labels of another number.
    """
    splits = [split for split in SPLITS if split == "train" or f"x_{split}" in arrays]
    if arrays.keys() != {f"{kind}_{split}" for kind in "xy" for split in splits}:
        expected = "x_<split> and y_<split> of train, and perhaps of validation and test"
        raise files.damaged(path, f"arrays {', '.join(sorted(arrays)) or 'none'}", expected)
    x = {split: arrays[f"x_{split}"] for split in splits}
    y = {split: arrays[f"y_{split}"] for split in splits}
    if any(array.ndim < 2 or array.shape[1:] != x["train"].shape[1:] or not array.size for array in x.values()):
        raise files.damaged(path, _described(x), "examples of one shape in every split")
    for split, labels in y.items():
        if labels.ndim < 1 or len(labels) != len(x[split]):
            raise files.damaged(path, f"y_{split} of shape {list(labels.shape)}", f"{len(x[split])} rows")
        if not np.isfinite(x[split]).all():
            raise files.damaged(path, f"x_{split} has values that are not finite", "finite values")
    return x, y


def check_labels(path: Path, split: str, labels: np.ndarray, facts: Facts) -> None:
    """Refuse labels that are not what `facts` say.

    Raises
    ------
    UserError
        If their dtype, shape or values are others.
    """
    n = len(facts.classes)
    if facts.task in ("binary", "multiclass"):
        right = labels.dtype in (np.uint8, np.int32) and labels.ndim == 1 and 0 <= labels.min() <= labels.max() < n
        expected = f"uint8 [{len(labels)}], classes 0 to {n - 1}"
    elif facts.task == "multilabel":
        right = labels.dtype == np.uint8 and labels.shape[1:] == (n,) and labels.max() <= 1
        expected = f"uint8 [{len(labels)}, {n}], each 0 or 1"
    else:
        right = labels.dtype == np.float64 and labels.shape[1:] == (n,) and bool(np.isfinite(labels).all())
        expected = f"float64 [{len(labels)}, {n}], finite"
    if not right:
        found = f"y_{split} is {labels.dtype} {list(labels.shape)}, at most {labels.max(initial=0)}"
        raise files.damaged(path, found, expected)


def _described(arrays: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"x_{split} is {array.dtype} {list(array.shape)}" for split, array in arrays.items())


def digits(side: int, order: Order, classes: Sequence[str]) -> Facts:
    """Return the facts of pictures of digits."""
    return Facts(
        task="multiclass",
        classes=list(classes),
        values=[float(place) for place in range(len(classes))],
        image=Image(side=side, order=order),
    )
