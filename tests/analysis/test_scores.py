"""Confusion counts, recall, learning curves, answers and digests are those of the runs."""

import math

import numpy as np
import pytest

from stages.analysis import scores
from stages.data.prepared import Facts
from stages.training.runs import Run, figures


def run(losses: list[float], predicted: list[int] | None = None, *, validation: float | None = None) -> Run:
    """Return a run with these losses by epoch; its accuracies are 0.51, 0.52 and so on."""
    held = math.nan if validation is None else validation
    history = [(loss, 0.5 + epoch / 100, held, held) for epoch, loss in enumerate(losses, start=1)]
    splits = ["train", "test"] if validation is None else ["train", "validation", "test"]
    return Run(
        seed=0,
        history=np.array(history),
        scores=dict.fromkeys(splits, 0.5),
        measures={},
        losses=dict.fromkeys(splits, 1.0),
        predicted=dict.fromkeys(splits, np.array(predicted or [0], np.uint8)),
        confidence=None,
        weights={},
        steps=1,
    )


def test_confusion_and_recall_are_by_actual_class_and_a_class_without_examples_has_no_recall() -> None:
    actual = np.array([0, 2, 2, 2], np.uint8)
    counts = scores.confusion(actual, np.array([1, 2, 2, 0], np.uint8), 4)
    assert counts.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    assert scores.recall(counts, actual) == (0.0, None, 2 / 3, None)
    table = scores.confusion_table(np.array([[5, 1], [2, 7]]), ("no", "yes"))
    assert table[["actual", "predicted", "count"]].to_numpy().tolist() == [
        ["no", "no", 5],
        ["no", "yes", 1],
        ["yes", "no", 2],
        ["yes", "yes", 7],
    ]


def test_a_class_that_a_spreadsheet_would_run_is_text_in_the_table_of_confusion() -> None:
    names = ("=cmd|x", "@SUM(A1)", "+b", "-1", "a=b")
    table = scores.confusion_table(np.eye(5, dtype=np.int64), names)
    assert table["actual"].unique().tolist() == ["'=cmd|x", "'@SUM(A1)", "'+b", "-1", "a=b"]


def test_an_answer_that_is_no_class_is_in_no_column_and_is_wrong() -> None:
    actual = np.array([0, 0, 1], np.uint8)
    counts = scores.confusion(actual, np.array([0, 2, 1], np.uint8), 2)
    assert counts.tolist() == [[1, 0], [0, 1]]
    assert scores.recall(counts, actual) == (0.5, 1.0)


def test_values_are_counted_by_tenths_of_the_measured_ones_and_no_value_shows() -> None:
    facts = Facts(task="regression", classes=["price"])
    actual = np.arange(1000.0, 1100.0)[:, np.newaxis]
    predicted = actual.astype(np.float32)
    predicted[:4, 0] = (-1e30, np.inf, np.nan, 1049.0)
    rows, columns = scores.places(facts, actual, predicted)
    assert np.bincount(rows).tolist() == [10] * 10
    assert columns[:4].tolist() == [0, 9, 0, 4]
    assert (columns[4:] == rows[4:]).all()
    assert scores.axis(facts) == tuple(f"tenth {place}" for place in range(1, 11))
    counts = scores.confusion(rows, columns, 10)
    assert counts.sum() == 100
    assert scores.recall(counts, rows)[0] == 0.8


def test_several_targets_or_labels_of_an_example_count_one_by_one() -> None:
    values = np.array([[1.0, 500.0], [2.0, 400.0], [3.0, 300.0]])
    rows, columns = scores.places(Facts(task="regression", classes=["a", "b"]), values, values.astype(np.float32))
    assert (rows == columns).all()
    assert len(rows) == 6
    facts = Facts(task="multilabel", classes=["red", "round"])
    labels, answers = np.array([[0, 1], [1, 1]], np.uint8), np.array([[0, 0], [1, 1]], np.uint8)
    counts = scores.confusion(*scores.places(facts, labels, answers), len(scores.axis(facts)))
    assert (scores.axis(facts), counts.tolist()) == (("no", "yes"), [[1, 0], [1, 2]])


@pytest.mark.parametrize(("actual", "predicted"), [([0, 10], [0, 0]), ([0, 0], [0, -1]), ([0, 1], [0])])
def test_confusion_refuses_labels_that_are_no_classes_or_have_no_predictions(
    actual: list[int], predicted: list[int]
) -> None:
    with pytest.raises(ValueError):
        scores.confusion(np.array(actual), np.array(predicted), 10)


def test_curves_have_the_mean_and_the_extreme_seeds_of_each_epoch_and_validation_only_if_there_is_a_split() -> None:
    bands = scores.curves("v", [run([3.0, 2.0], validation=0.25), run([5.0, 2.5], validation=0.25)], "accuracy")
    assert set(bands["variant"]) == {"v"}
    assert set(bands["figure"]) == set(figures("accuracy"))
    losses = bands[bands["figure"] == "loss"].set_index("epoch")
    assert losses[["mean", "low", "high"]].to_numpy().tolist() == [[4.0, 3.0, 5.0], [2.25, 2.0, 2.5]]
    assert set(scores.curves("v", [run([3.0])], "r2")["figure"]) == {"loss", "r2"}
    # A split whose figures all diverged is still a split.
    bands = scores.curves("v", [run([3.0], validation=math.nan)], "accuracy")
    assert bands[bands["figure"] == "validation_loss"][["mean", "low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_curves_have_a_gap_where_a_seed_is_not_finite(value: float) -> None:
    bands = scores.curves("v", [run([3.0, 2.0, value]), run([5.0, value, 2.5])], "accuracy")
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
