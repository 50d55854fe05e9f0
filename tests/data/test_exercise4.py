"""The derived data are those of the course's exercise 4: its printed values, and its costs from its own weights."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import loadmat
from scipy.special import expit

from stages.base.errors import UserError
from stages.data import exercise4

VARIABLE = "WHICHFIX_EX4_WEIGHTS"
# Values of the exercise's first example, as public notebooks of the course print them.
PRINTED = {
    67: 8.56059680e-06,
    88: -1.40444581e-02,
    108: 8.15651552e-02,
    128: 6.42031710e-01,
    131: 5.43122379e-01,
    187: 7.57137601e-01,
    190: -3.18688725e-03,
    232: -2.76068376e-02,
    290: 7.20020340e-01,
    353: 4.89176960e-05,
}

sides = st.integers(1, 30)
pixels = st.floats(-2, 2, width=32)
Weights = tuple[np.ndarray, np.ndarray]


@st.composite
def squares(draw: st.DrawFn, count: int = 1) -> list[np.ndarray]:
    side = draw(sides)
    return [draw(arrays(np.float64, (side, side), elements=pixels)) for _ in range(count)]


def resized_by_definition(image: np.ndarray, side: int) -> np.ndarray:
    """Resize by one matrix per axis, filled weight by weight from the definition of the kernel."""
    step = len(image) / side
    widening = max(step, 1)
    matrix = np.zeros((side, len(image)))
    for row in range(side):
        center = (row + 0.5) * step - 0.5
        for position in range(-3 * len(image) - 9, 4 * len(image) + 9):
            d = abs(position - center) / widening
            weight = 0.0
            if d <= 1:
                weight = 1.5 * d**3 - 2.5 * d**2 + 1
            elif d <= 2:
                weight = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
            matrix[row, min(max(position, 0), len(image) - 1)] += weight
        matrix[row] /= matrix[row].sum()
    return np.asarray(matrix @ image @ matrix.T)


@given(squares(), sides)
def test_the_resize_follows_its_definition(images: list[np.ndarray], side: int) -> None:
    resized = exercise4.resize(images[0], side)
    np.testing.assert_allclose(resized, resized_by_definition(images[0], side), rtol=0, atol=1e-12)


@given(squares(), sides)
def test_the_resize_commutes_with_transposing_and_flipping(images: list[np.ndarray], side: int) -> None:
    image, resized = images[0], exercise4.resize(images[0], side)
    for turned, expected in ((image.T, resized.T), (image[::-1], resized[::-1]), (image[:, ::-1], resized[:, ::-1])):
        np.testing.assert_allclose(exercise4.resize(turned, side), expected, rtol=0, atol=1e-12)


@given(squares(count=3), sides)
def test_an_image_has_the_same_bits_alone_and_among_others(images: list[np.ndarray], side: int) -> None:
    together = exercise4.resize(np.stack(images), side)
    for image, resized in zip(images, together, strict=True):
        assert exercise4.resize(image, side).tobytes() == resized.tobytes()


@given(squares())
def test_a_resize_to_the_same_size_changes_nothing(images: list[np.ndarray]) -> None:
    assert np.array_equal(exercise4.resize(images[0], len(images[0])), images[0])


@pytest.fixture(scope="module")
def training(raw_mnist: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The examples and the labels of the training split."""
    x, y = exercise4.exercise4(raw_mnist, 500, 20)
    return x["train"], y["train"]


def test_the_examples_are_those_of_the_exercise(training: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = training
    assert y.tolist() == np.repeat(np.arange(10), 500).tolist()
    assert not x[0][:67].any()
    assert {index: float(x[0][index]) for index in PRINTED} == pytest.approx(PRINTED, rel=1e-7)
    assert (round(float(x.min()), 5), round(float(x.max()), 5)) == (-0.13196, 1.12769)


def test_more_examples_than_mnist_has_are_refused(raw_mnist: dict[str, np.ndarray]) -> None:
    with pytest.raises(UserError, match=r"^class 5 has 5421 training examples; expected at least 5422"):
        exercise4.exercise4(raw_mnist, 5422, 20)


@pytest.fixture(scope="module")
def weights(root: Path) -> Weights:
    path = Path(os.environ.get(VARIABLE) or root.parent / "shared" / "data" / "ex4weights.mat")
    if not path.is_file():
        pytest.skip(f"we may not distribute the exercise's ex4weights.mat; set {VARIABLE} to the path of a copy")
    content = loadmat(path)
    return content["Theta1"], content["Theta2"]


def outputs(x: np.ndarray, weights: Weights) -> np.ndarray:
    """Return the network's outputs [n, 10] in the exercise's order: digits 1 to 9, then 0."""
    activation = x.astype(np.float64)
    for theta in weights:
        activation = expit(theta[:, 0] + activation @ theta[:, 1:].T)
    return activation


def test_the_costs_and_the_training_accuracy_are_the_printed_ones(
    training: tuple[np.ndarray, np.ndarray], weights: Weights
) -> None:
    x, y = training
    p = outputs(x, weights)
    wanted = np.arange(1, 11) % 10 == y[:, np.newaxis]
    squared = sum(float(np.sum(theta[:, 1:] ** 2)) for theta in weights)
    cost = -np.sum(np.log(np.where(wanted, p, 1 - p))) / len(p)
    assert round(float(cost), 6) == 0.287629
    assert round(float(cost + squared / (2 * len(p))), 6) == 0.383770
    assert np.mean((np.argmax(p, axis=1) + 1) % 10 == y) == pytest.approx(0.9752, abs=1e-12)
