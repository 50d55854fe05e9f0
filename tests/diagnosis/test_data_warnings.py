"""Data that no fix repairs are told with counts and shares, and never with a value of a row."""

from typing import Any

import numpy as np
import pytest

from stages.config.schema import Task
from stages.data.prepared import Facts, Prepared
from stages.diagnosis.data_warnings import hashes, warnings

RANDOM = np.random.default_rng(8)
X = RANDOM.normal(size=(200, 3)).astype(np.float32)
Y = RANDOM.integers(0, 2, 200).astype(np.uint8)


def data(x: np.ndarray = X, y: np.ndarray = Y, task: Task = "binary", **others: Any) -> Prepared:
    splits = {"train": x, **{split: rows for split, (rows, _) in others.items()}}
    targets = {"train": y, **{split: labels for split, (_, labels) in others.items()}}
    return Prepared(splits, targets, Facts(task=task, classes=["a", "b"][: 2 if task == "binary" else 1]))


def test_sound_data_get_no_warning() -> None:
    held = data(validation=(RANDOM.normal(size=(40, 3)).astype(np.float32), Y[:40]))
    assert warnings("binary", held, {"validation": 0.5}, {"validation": 0.9}) == []
    assert warnings("binary", held, None, None) == []


TWICE = np.concatenate([X[:100], X[:100]])
SORTED = np.sort(Y)
WITH_CONSTANTS = X * [1, 0, 1] + [0, 0, 0]


@pytest.mark.parametrize(
    ("held", "kind", "said"),
    [
        (data(TWICE, np.tile(Y[:100], 2)), "duplicate_rows", "100 of 200 training rows (50%)"),
        (data(TWICE, np.concatenate([Y[:100], 1 - Y[:100]])), "contradictory_rows", "200 training rows (100%)"),
        (data(y=SORTED), "sorted_labels", "sorted by class"),
        (data(y=np.sort(X[:, :1].astype(float), axis=0), task="regression"), "sorted_labels", "sorted by target"),
        (data(WITH_CONSTANTS.astype(np.float32)), "constant_columns", "1 column of 3 is constant, 1 of them zero"),
        (data(test=(X[:20], Y[:20])), "test_overlaps_training", "20 of 20 test rows (100%)"),
    ],
)
def test_each_kind_of_unfit_data_is_told(held: Prepared, kind: str, said: str) -> None:
    found = dict(warnings(held.facts.task, held, None, None))
    assert said in found[kind]
    assert not {"duplicate_rows", "sorted_labels", "constant_columns"} & set(found) - {kind, "duplicate_rows"}


def test_targets_that_not_even_a_linear_model_relates_to_the_rows_are_told() -> None:
    held = data(test=(RANDOM.normal(size=(100, 3)).astype(np.float32), Y[:100]))
    assert "labels_at_chance" in dict(warnings("binary", held, {"test": 0.5}, {"test": 0.53}))
    assert "labels_at_chance" not in dict(warnings("binary", held, {"test": 0.5}, {"test": 0.7}))


def test_rows_are_equal_by_value_and_not_by_bits() -> None:
    rows = np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]], np.float32)
    first, second, third = hashes(rows)
    assert first == second != third
