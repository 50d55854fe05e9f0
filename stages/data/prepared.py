"""The prepared data of a case: examples and labels by split, the number of classes, and the shape of a picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from stages.base import files
from stages.base.errors import UserError
from stages.config.strict import damaged

Order = Literal["rows", "columns"]
SPLITS = ("train", "validation", "test")


class Image(BaseModel, extra="forbid", strict=True):
    """The form of an example that is a picture: a square, unrolled by rows or by columns."""

    side: int = Field(gt=0)
    order: Order


class Facts(BaseModel, extra="forbid", strict=True):
    """The member facts.json of data/prepared/<case>.npz. Labels are uint8, hence the limit of the classes."""

    n_classes: int = Field(ge=2, le=256)
    image: Image | None


@dataclass(frozen=True)
class Prepared:
    """Data that networks and baselines are trained and scored on.

    `x` has per split [n, features], uint8 or float32; `y` has per split uint8 [n], classes from 0. The splits are
    train, validation (may be missing) and test, in this order. `side` is None if the examples are not pictures.
    `sha256` is the digest of the file that the data were read from.
    """

    x: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    n_classes: int
    side: int | None
    order: Order
    sha256: str

    def first_of_each_class(self, counts: Mapping[int, int]) -> "Prepared":
        """Return the first `counts[label]` training examples of each class named, class by class, and no other split.

        Raises
        ------
        UserError
            If the training split has fewer examples of a class.
        """
        x, y = self.x["train"], self.y["train"]
        chosen = np.concatenate([first_rows(y, label, count) for label, count in sorted(counts.items())])
        return Prepared({"train": x[chosen]}, {"train": y[chosen]}, self.n_classes, self.side, self.order, self.sha256)

    def images(self, rows: np.ndarray) -> np.ndarray:
        """Return `rows` [n, features] as pictures [n, side, side] of the same dtype."""
        assert self.side is not None, "the examples are not pictures"
        squares = rows.reshape(len(rows), self.side, self.side)
        return squares if self.order == "rows" else squares.swapaxes(1, 2)


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


def write(
    path: Path,
    x: Mapping[str, np.ndarray],
    y: Mapping[str, np.ndarray],
    n_classes: int,
    side: int | None,
    order: Order,
) -> None:
    """Write prepared data: arrays x_<split> and y_<split>, and facts.json. `Prepared` has their shapes."""
    facts = Facts(n_classes=n_classes, image=Image(side=side, order=order) if side else None)
    arrays = {f"{kind}_{split}": array for kind, splits in (("x", x), ("y", y)) for split, array in splits.items()}
    files.write_archive(path, {"facts.json": facts.model_dump(mode="json"), **arrays})


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
    x, y = by_split(path, arrays, facts.n_classes)
    side = facts.image.side if facts.image else None
    order: Order = facts.image.order if facts.image else "rows"
    if any(examples.dtype not in (np.uint8, np.float32) or examples.ndim != 2 for examples in x.values()):
        raise files.damaged(path, _described(x), "uint8 or float32 [n, features]")
    features = x["train"].shape[1]
    if side and features != side**2:
        raise files.damaged(path, f"{features} features", f"{side**2}, pictures of {side}x{side}")
    return Prepared(x, y, facts.n_classes, side, order, files.sha256(path))


def by_split(
    path: Path, arrays: Mapping[str, Any], n_classes: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the examples and the labels in `arrays` by split, checked against each other; `path` is for messages.

    Raises
    ------
    UserError
        If a split has no examples, examples of another shape than the training split's, values that are not finite,
        labels of another number or dtype, or a class beyond `n_classes`.
    """
    splits = [split for split in SPLITS if split != "validation" or f"x_{split}" in arrays]
    if arrays.keys() != {f"{kind}_{split}" for kind in "xy" for split in splits}:
        expected = "x_<split> and y_<split> of train, test and perhaps validation"
        raise files.damaged(path, f"arrays {', '.join(sorted(arrays)) or 'none'}", expected)
    x = {split: arrays[f"x_{split}"] for split in splits}
    y = {split: arrays[f"y_{split}"] for split in splits}
    if any(array.ndim < 2 or array.shape[1:] != x["train"].shape[1:] or not array.size for array in x.values()):
        raise files.damaged(path, _described(x), "examples of one shape in every split")
    for split, labels in y.items():
        if labels.dtype != np.uint8 or labels.shape != x[split].shape[:1] or labels.max() >= n_classes:
            found = f"y_{split} is {labels.dtype} {list(labels.shape)}, at most {labels.max(initial=0)}"
            raise files.damaged(path, found, f"uint8 [{len(x[split])}], classes 0 to {n_classes - 1}")
        if not np.isfinite(x[split]).all():
            raise files.damaged(path, f"x_{split} has values that are not finite", "finite values")
    return x, y


def _described(arrays: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"x_{split} is {array.dtype} {list(array.shape)}" for split, array in arrays.items())
