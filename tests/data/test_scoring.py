"""Scores are those of scikit-learn, whatever the answers are."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from stages.data import scoring

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(1, 60), st.integers(1, 6))
def test_accuracy_and_balanced_accuracy_are_those_of_scikit_learn(seed: int, n: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    actual = random.integers(0, classes, n).astype(np.uint8)
    predicted = random.choice(actual, n)  # scikit-learn warns of a class that only the answers have
    found = scoring.measures("multiclass", actual, predicted, None)
    assert list(found) == ["accuracy", "balanced_accuracy"]
    assert found["accuracy"] == metrics.accuracy_score(actual, predicted)
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(actual, predicted), abs=1e-12)


@given(SEEDS, st.integers(2, 60), st.integers(1, 20))
def test_the_area_under_the_curve_is_that_of_scikit_learn_with_and_without_ties(seed: int, n: int, values: int) -> None:
    random = np.random.default_rng(seed)
    actual = np.concatenate([[0, 1], random.integers(0, 2, n - 2)]).astype(np.uint8)
    ranking = random.integers(0, values, n) / values
    found = scoring.measures("binary", actual, (ranking > 0.5).astype(np.uint8), ranking)
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(actual, ranking), abs=1e-12)


def test_there_is_no_area_without_a_ranking_or_a_second_class_and_none_of_a_network_that_diverged() -> None:
    actual, ranking = np.array([0, 1], np.uint8), np.array([0.2, 0.9])
    assert "auc" not in scoring.measures("binary", actual, actual, None)
    assert "auc" not in scoring.measures("binary", actual[:1], actual[:1], ranking[:1])
    assert math.isnan(scoring.measures("binary", actual, actual, np.array([np.nan, 0.5]))["auc"])


@given(SEEDS, st.integers(1, 40), st.integers(1, 5))
def test_scores_of_labels_are_those_of_scikit_learn(seed: int, n: int, labels: int) -> None:
    random = np.random.default_rng(seed)
    actual, predicted = random.integers(0, 2, (2, n, labels)).astype(np.uint8)
    found = scoring.measures("multilabel", actual, predicted, None)
    assert list(found) == ["accuracy", "exact_match"]
    assert found["accuracy"] == pytest.approx(1 - metrics.hamming_loss(actual, predicted), abs=1e-12)
    assert found["exact_match"] == pytest.approx(metrics.accuracy_score(actual, predicted), abs=1e-12)


VALUES = st.integers(1, 3).flatmap(
    lambda targets: arrays(np.float64, (2, 8, targets), elements=st.floats(-1000, 1000, width=16))
)


@given(VALUES)
def test_scores_of_values_are_those_of_scikit_learn_also_of_a_constant_target(values: np.ndarray) -> None:
    actual, predicted = values
    found = scoring.measures("regression", actual, predicted.astype(np.float32), None)
    assert list(found) == ["r2", "mae", "rmse"]
    assert found["r2"] == pytest.approx(metrics.r2_score(actual, predicted), rel=1e-9, abs=1e-9)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(actual, predicted), rel=1e-9, abs=1e-9)
    squared = metrics.mean_squared_error(actual, predicted)
    assert found["rmse"] == pytest.approx(math.sqrt(squared), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_score_something_that_is_not_finite_and_warn_of_nothing(bad: float) -> None:
    actual = np.array([[1.0], [2.0]])
    with np.errstate(all="raise"):
        found = scoring.measures("regression", actual, np.array([[bad], [1.0]], np.float32), None)
    assert not np.isfinite(list(found.values())).any()
