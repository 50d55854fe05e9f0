"""Warnings about data that no fix of a network repairs: equal rows, order, overlap, constant columns, chance."""

import hashlib
import math
from collections.abc import Iterator, Mapping

import numpy as np

from stages.config.schema import Task
from stages.data.prepared import Prepared
from stages.diagnosis.facts import in_order
from stages.diagnosis.look import counted, percent

# A smaller share of rows is no reason to worry.
LEAST = 0.01
# Rows that are hashed at a time.
CHUNK = 10_000
HELD_OUT = ("test", "validation", "train")


def warnings(
    task: Task, data: Prepared, floor: Mapping[str, float] | None, linear: Mapping[str, float] | None
) -> list[tuple[str, str]]:
    """Return warnings as kind and sentence.

    `floor` has, by split, the score of always giving the most frequent class or the mean, and `linear` that of a linear
    model.
    """
    hashed = {split: hashes(x) for split, x in data.x.items()}
    return [
        *repeated(data, hashed["train"]),
        *overlapping(hashed),
        *ordered(task, data),
        *constant(data),
        *unrelated(task, data, floor, linear),
    ]


def hashes(x: np.ndarray) -> np.ndarray:
    """Return a hash of each row of `x`, uint64 [n]."""
    found = np.empty(len(x), np.uint64)
    for start in range(0, len(x), CHUNK):
        # Adding zero makes -0 equal to 0.
        rows = np.ascontiguousarray(
            x[start : start + CHUNK].reshape(len(x[start : start + CHUNK]), -1) + x.dtype.type(0)
        )
        for place, row in enumerate(rows):
            found[start + place] = int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little")
    return found


def repeated(data: Prepared, hashed: np.ndarray) -> Iterator[tuple[str, str]]:
    """Yield that training rows occur several times, and that equal rows have different targets."""
    n = len(hashed)
    _, first, inverse = np.unique(hashed, return_index=True, return_inverse=True)
    again = n - len(first)
    if again >= max(1, LEAST * n):
        why = f"{again} of {n} training rows ({percent(again / n)}) have the same inputs as another one"
        yield "duplicate_rows", f"{why}: there is less to learn from than it seems."
    targets = data.y["train"].reshape(n, -1)
    differ = (targets != targets[first[inverse]]).any(axis=1)
    groups = len(np.unique(inverse[differ]))
    rows = int(np.isin(inverse, np.unique(inverse[differ])).sum())
    if groups and rows >= max(2, LEAST * n):
        why = f"{rows} training rows ({percent(rows / n)}) have the same inputs as another one, and other targets"
        yield "contradictory_rows", f"{why}: no network can fit them all."


def overlapping(hashed: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str]]:
    """Yield that rows of another split are training rows."""
    for split, rows in hashed.items():
        if split == "train":
            continue
        shared = int(np.isin(rows, hashed["train"]).sum())
        if shared >= max(1, LEAST * len(rows)):
            why = f"{shared} of {len(rows)} {split} rows ({percent(shared / len(rows))}) are also training rows"
            yield f"{split}_overlaps_training", f"{why}: their score is that of rows that the network has seen."


def ordered(task: Task, data: Prepared) -> Iterator[tuple[str, str]]:
    """Yield that the training rows are sorted by what is predicted."""
    labels = data.y["train"]
    if task in ("binary", "multiclass"):
        if in_order(labels):
            why = "The training rows are sorted by class"
            yield "sorted_labels", f"{why}: a split by position, or training without shuffling, sees few classes."
    elif task == "regression" and len(labels) >= 10 and bool((np.diff(labels[:, 0]) >= 0).all()):
        why = "The training rows are sorted by target"
        yield "sorted_labels", f"{why}: a split by position, or training without shuffling, sees a part of them."


def constant(data: Prepared) -> Iterator[tuple[str, str]]:
    """Yield that inputs are constant. The rim of pictures always is, so that bytes do not count."""
    x = data.x["train"].reshape(len(data.x["train"]), -1)
    if data.side or x.dtype == np.uint8 or len(x) < 2:
        return
    same = x.max(axis=0) == x.min(axis=0)
    empty = int((same & (x[0] == 0)).sum())
    if same.any():
        zeros = f", {empty} of them zero" if empty else ""
        why = (
            f"{counted(int(same.sum()), 'column')} of {x.shape[1]} {'is' if same.sum() == 1 else 'are'} constant{zeros}"
        )
        yield "constant_columns", f"{why}: nothing can be learned from a constant."


def unrelated(
    task: Task, data: Prepared, floor: Mapping[str, float] | None, linear: Mapping[str, float] | None
) -> Iterator[tuple[str, str]]:
    """Yield that a linear model does not find any relation between inputs and targets."""
    if floor is None or linear is None:
        return
    split = next((each for each in HELD_OUT if each in data.y and each in floor and each in linear), None)
    if split is None:
        return
    n = data.y[split].size
    chance = 0.02 if task == "regression" else 2 * math.sqrt(max(floor[split] * (1 - floor[split]), 0.01) / n)
    if linear[split] - floor[split] > chance:
        return
    constant = "the mean" if task == "regression" else "the most frequent class"
    why = f"On the {split} rows, a linear model is no better than always giving {constant}"
    yield "labels_at_chance", f"{why}. If no network is better, look whether the targets belong to their rows."
