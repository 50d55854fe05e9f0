"""The course exercise's own figures, from its own weights on the derived data."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.special import expit

from stages.core import digits
from stages.core.digits import Dataset

VARIABLE = "WHICHFIX_EX4_WEIGHTS"


@pytest.fixture(scope="module")
def weights(root: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    path = Path(os.environ.get(VARIABLE) or root.parent / "shared" / "data" / "ex4weights.mat")
    if not path.is_file():
        pytest.skip(f"the exercise's ex4weights.mat is not ours to distribute; {VARIABLE} can name a copy")
    content = loadmat(path)
    return content["Theta1"], content["Theta2"]


@pytest.fixture(scope="module")
def dataset(raw_mnist: Dataset) -> Dataset:
    return digits.ex4(raw_mnist, 500, 20)


def outputs(x: NDArray[np.float32], weights: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
    """The network's ten outputs, in the exercise's order: digits 1 to 9, then 0."""
    activation = x.astype(np.float64)
    for theta in weights:
        activation = expit(theta[:, 0] + activation @ theta[:, 1:].T)
    return activation


@pytest.mark.parametrize(("penalty", "published"), [(0, 0.287629), (1, 0.383770)])
def test_the_cost_is_the_one_on_the_exercise_sheet(
    dataset: Dataset, weights: tuple[NDArray[np.float64], NDArray[np.float64]], penalty: float, published: float
) -> None:
    p = outputs(dataset["x_train"], weights)
    wanted = np.arange(1, 11) % 10 == dataset["y_train"][:, np.newaxis]
    squares = sum(float(np.sum(theta[:, 1:] ** 2)) for theta in weights)
    cost = -np.sum(np.log(np.where(wanted, p, 1 - p))) / len(p) + penalty / (2 * len(p)) * squares
    assert round(float(cost), 6) == published


def test_the_training_accuracy_is_the_one_on_the_exercise_sheet(
    dataset: Dataset, weights: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> None:
    answers = (np.argmax(outputs(dataset["x_train"], weights), axis=1) + 1) % 10
    assert np.mean(answers == dataset["y_train"]) == pytest.approx(0.9752, abs=1e-12)
