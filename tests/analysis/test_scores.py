"""Confusion counts, recall, learning curves, answers and digests are those of the runs."""

import math

import numpy as np
import pytest

from stages.analysis import scores
from stages.training.runs import FIGURES, Run


def run(losses: list[float], predicted: list[int] | None = None, *, validation: float | None = None) -> Run:
    """Return a run with these losses by epoch; its accuracies are 0.51, 0.52 and so on."""
    held = math.nan if validation is None else validation
    history = [(loss, 0.5 + epoch / 100, held, held) for epoch, loss in enumerate(losses, start=1)]
    splits = ["train", "test"] if validation is None else ["train", "validation", "test"]
    return Run(
        seed=0,
        history=np.array(history),
        scores=dict.fromkeys(splits, 0.5),
        losses=dict.fromkeys(splits, 1.0),
        predicted=dict.fromkeys(splits, np.array(predicted or [0], np.uint8)),
        confidence=None,
        weights={},
        steps=1,
    )


def test_confusion_and_recall_are_by_actual_class_and_a_class_without_examples_has_no_recall() -> None:
    counts = scores.confusion(np.array([0, 2, 2, 2], np.uint8), np.array([1, 2, 2, 0], np.uint8), 4)
    assert counts.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    assert scores.recall(counts) == (0.0, None, 2 / 3, None)
    table = scores.confusion_table(np.array([[5, 1], [2, 7]]))
    assert table[["actual", "predicted", "count"]].to_numpy().tolist() == [[0, 0, 5], [0, 1, 1], [1, 0, 2], [1, 1, 7]]


@pytest.mark.parametrize(("actual", "predicted"), [([0, 10], [0, 0]), ([0, 0], [0, -1]), ([0, 1], [0])])
def test_confusion_refuses_labels_that_are_no_classes_or_have_no_predictions(
    actual: list[int], predicted: list[int]
) -> None:
    with pytest.raises(ValueError):
        scores.confusion(np.array(actual), np.array(predicted), 10)


def test_curves_have_the_mean_and_the_extreme_seeds_of_each_epoch_and_validation_only_if_there_is_a_split() -> None:
    bands = scores.curves("v", [run([3.0, 2.0], validation=0.25), run([5.0, 2.5], validation=0.25)])
    assert set(bands["variant"]) == {"v"}
    assert set(bands["figure"]) == set(FIGURES)
    losses = bands[bands["figure"] == "loss"].set_index("epoch")
    assert losses[["mean", "low", "high"]].to_numpy().tolist() == [[4.0, 3.0, 5.0], [2.25, 2.0, 2.5]]
    assert set(scores.curves("v", [run([3.0])])["figure"]) == {"loss", "accuracy"}
    # A split whose figures all diverged is still a split.
    bands = scores.curves("v", [run([3.0], validation=math.nan)])
    assert bands[bands["figure"] == "validation_loss"][["mean", "low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_curves_have_a_gap_where_a_seed_is_not_finite(value: float) -> None:
    bands = scores.curves("v", [run([3.0, 2.0, value]), run([5.0, value, 2.5])])
    first, *others = bands[bands["figure"] == "loss"][["mean", "low", "high"]].to_numpy()
    assert first.tolist() == [4.0, 3.0, 5.0]
    assert np.isnan(others).all()
    accuracy = bands[bands["figure"] == "accuracy"]
    assert np.isfinite(accuracy[["mean", "low", "high"]].to_numpy()).all()


def test_a_digest_tells_arrays_apart_and_ignores_their_layout() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = scores.digest(array)
    assert (found.dtype, found.shape) == ("float32", (2, 3))
    assert found == scores.digest(np.asfortranarray(array))
    assert found.sha256 == scores.digest(array.astype(">f4")).sha256
    assert found.sha256 != scores.digest(array + 1).sha256
