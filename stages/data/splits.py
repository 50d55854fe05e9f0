"""The rows of a person's own data that are for training, for validation and for the test."""

from collections.abc import Mapping

import numpy as np

from stages.base.errors import UserError
from stages.config.data import OwnData
from stages.data.prepared import SPLITS, Prepared


def rows_of_splits(n_rows: int, data: OwnData) -> dict[str, np.ndarray]:
    """Return the rows of each split, in the order of the file.

    Without `shuffle`, the splits are the first rows, then those of validation, then those of test: as Keras does it,
    the rest after the training rows, whose number is rounded down.
    """
    n_test = n_rows - int(n_rows * (1 - data.test_split))
    n_train = int((n_rows - n_test) * (1 - data.validation_split / (1 - data.test_split)))
    rows = np.random.default_rng(data.seed).permutation(n_rows) if data.shuffle else np.arange(n_rows)
    parts = np.split(rows, [n_train, n_rows - n_test])
    found = {split: np.sort(part) for split, part in zip(SPLITS, parts, strict=True)}
    wanted = {"train", *(split for split in ("validation", "test") if getattr(data, f"{split}_split"))}
    for split in SPLITS:
        if split in wanted and not len(found[split]):
            expected = "smaller fractions of the others" if split == "train" else f"a larger {split}_split"
            raise UserError(f"{data.file}: {n_rows} rows leave none for the split {split}; expected {expected}")
    return {split: found[split] for split in SPLITS if split in wanted}


def cut(data: Prepared, rows: Mapping[str, np.ndarray]) -> Prepared:
    """Return `data`, whose training split has all rows, with the splits that are cut out of it."""
    weight = None if data.sample_weight is None else data.sample_weight[rows["train"]]
    x, y, raw = (
        {
            split: array[split] if split in array and split != "train" else array["train"][rows[split]]
            for split in SPLITS
            if split in rows or split in array
        }
        if array
        else {}
        for array in (data.x, data.y, data.raw)
    )
    return Prepared(x, y, data.facts, data.sha256, raw, weight, data.first_weights)
