"""The committed results are what the project promises: the posts' numbers, and which fixes repair the networks."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stages.core import files

AGREEING = {
    "loss: -55.0284",
    "acc: 0.1141",
    "val_loss: -55.1361",
    "val_acc: 0.1088",
    "the same loss at the 90th epoch",
    "the same accuracy at the 90th epoch",
    "10% on the training set",
    "70 zeros of 100: 70%",
    "90 zeros of 100: 90%",
    "95.3%, give or take 1%",
    "one-vs-all, another optimiser: 96.5%",
}


@pytest.fixture(scope="module")
def metrics(root: Path) -> dict[str, Any]:
    result: dict[str, Any] = files.read_json(root / "reports/metrics.json")
    return result


@pytest.fixture(scope="module")
def references(root: Path) -> pd.DataFrame:
    return files.read_csv(root / "reports/references.csv")


def cells(root: Path, case: str) -> dict[frozenset[str], float]:
    """Mean accuracy of every cell: test accuracy for mnist, training accuracy for ex4."""
    table = files.read_csv(root / "attribution" / case / "cells.csv")
    figure = "test_accuracy" if case == "mnist" else "train_accuracy"
    fixes = list(table.columns[1 : table.columns.get_loc("seed")])
    means = table.groupby(fixes)[figure].mean()
    return {frozenset(fix for fix, on in zip(fixes, key, strict=True) if on): mean for key, mean in means.items()}  # type: ignore[call-overload]


def test_the_published_numbers_that_agree_are_these(references: pd.DataFrame) -> None:
    assert set(references.loc[references["agrees"], "claim"]) == AGREEING


@pytest.mark.parametrize(
    ("name", "figure", "low", "high"),
    [
        ("mnist-fixed", "test_accuracy", 0.970, 1),
        ("ex4-as_posted", "train_accuracy", 0, 0.15),
        ("ex4-comment", "train_accuracy", 0, 0.6),
        ("ex4-fixed", "train_accuracy", 0.99, 1),
        ("ex4-assignment", "train_accuracy", 0.938, 0.968),
    ],
)
def test_a_variant_has_the_accuracy_that_is_promised(
    metrics: dict[str, Any], name: str, figure: str, low: float, high: float
) -> None:
    assert low <= metrics[name][figure]["mean"] <= high


def test_no_run_diverged(metrics: dict[str, Any]) -> None:
    assert {entry.get("diverged", 0) for entry in metrics.values()} == {0}


def test_what_the_readme_says_of_mnist_is_measured(root: Path, metrics: dict[str, Any]) -> None:
    accuracy = cells(root, "mnist")
    softmax, scaled, wider = "softmax_output", "scaled_inputs", "wider_hidden"
    without = [mean for fixes, mean in accuracy.items() if softmax not in fixes]
    assert max(without) < 0.12
    assert accuracy[frozenset({softmax})] < 0.7
    assert metrics["mnist-softmax_output_keras3"]["test_accuracy"]["mean"] > 0.92
    assert 0 < accuracy[frozenset({softmax, scaled, wider})] - accuracy[frozenset({softmax, scaled})] < 0.01
    assert accuracy[frozenset({softmax, wider})] < accuracy[frozenset({softmax})] - 0.2


def test_what_the_readme_says_of_ex4_is_measured(root: Path) -> None:
    accuracy = cells(root, "ex4")
    advice = frozenset({"softmax_output", "relu_hidden", "adam"})
    assert accuracy[advice] < 0.5
    assert max(mean for fixes, mean in accuracy.items() if "scaled_l2" not in fixes) == accuracy[advice]
    assert abs(accuracy[frozenset({"scaled_l2"})] - accuracy[frozenset()]) < 0.01
    for steps in ("mini_batches", "adam"):
        assert accuracy[frozenset({"scaled_l2", steps})] > accuracy[advice]
    assert accuracy[frozenset({"scaled_l2", "mini_batches", "adam"})] > 0.95
