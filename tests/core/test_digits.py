import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from stages.core import digits
from stages.core.digits import Dataset

# Entries of the exercise's first row, as public course notebooks print them.
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


@st.composite
def square_images(draw: st.DrawFn, count: int = 1) -> list[NDArray[np.float64]]:
    side = draw(sides)
    return [draw(arrays(np.float64, (side, side), elements=pixels)) for _ in range(count)]


def resized_by_definition(image: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """The resize as a matrix an axis, filled weight by weight from the kernel's definition."""
    step = len(image) / side
    widening = max(step, 1)
    matrix = np.zeros((side, len(image)))
    for row in range(side):
        centre = (row + 0.5) * step - 0.5
        for position in range(-3 * len(image) - 9, 4 * len(image) + 9):
            d = abs(position - centre) / widening
            weight = 0.0
            if d <= 1:
                weight = 1.5 * d**3 - 2.5 * d**2 + 1
            elif d <= 2:
                weight = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
            matrix[row, min(max(position, 0), len(image) - 1)] += weight
        matrix[row] /= matrix[row].sum()
    return matrix @ image @ matrix.T


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)))
def test_an_idx_file_parses_to_the_array_it_was_written_from(array: NDArray[np.uint8]) -> None:
    parsed = digits.parse_idx(digits.idx_bytes(array))
    assert parsed.shape == array.shape
    assert np.array_equal(parsed, array)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "starts with nothing"),
        (b"\x00\x00\x08", "starts with 00 00 08"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00\x00\x00\x00", "starts with 00 00 0d 01"),
        (b"\x00\x00\x08\x02\x00\x00\x00\x01", "starts with 00 00 08 02"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x02\x07", r"shape \(2,\) has 1 values"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x01\x07\x07", r"shape \(1,\) has 2 values"),
    ],
    ids=["empty", "no dimensions", "another type", "half a header", "too short", "too long"],
)
def test_what_is_not_an_idx_file_of_bytes_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        digits.parse_idx(content)


def test_a_file_with_another_digest_is_refused_before_it_is_parsed() -> None:
    contents = dict.fromkeys(digits.ARRAY_OF_FILE, b"not even IDX")
    digests = dict.fromkeys(digits.ARRAY_OF_FILE, "0" * 64)
    with pytest.raises(ValueError, match=f"train-images-idx3-ubyte has SHA-256 [0-9a-f]{{64}}, expected {'0' * 64}"):
        digits.parse_mnist(contents, digests)


@given(st.integers(1, 60), st.integers(1, 60))
def test_the_weights_of_every_output_pixel_sum_to_one(size: int, new_size: int) -> None:
    indices, weights = digits.resize_taps(size, new_size)
    assert indices.shape == weights.shape
    assert indices.min() >= 0
    assert indices.max() < size
    np.testing.assert_allclose(weights.sum(axis=0), np.ones(new_size), rtol=0, atol=1e-14)


@given(square_images(), sides)
def test_the_resize_is_the_one_its_definition_gives(images: list[NDArray[np.float64]], side: int) -> None:
    image = images[0]
    np.testing.assert_allclose(digits.resize(image, side), resized_by_definition(image, side), rtol=0, atol=1e-12)


@given(sides, sides, pixels)
def test_a_constant_image_stays_constant(side: int, new_side: int, value: float) -> None:
    resized = digits.resize(np.full((side, side), value), new_side)
    np.testing.assert_allclose(resized, np.full((new_side, new_side), value), rtol=0, atol=1e-13)


@given(square_images(count=2), sides, pixels, pixels)
def test_the_resize_is_linear(images: list[NDArray[np.float64]], side: int, a: float, b: float) -> None:
    first, second = images
    combined = digits.resize(a * first + b * second, side)
    np.testing.assert_allclose(
        combined, a * digits.resize(first, side) + b * digits.resize(second, side), rtol=0, atol=1e-12
    )


@given(square_images(), sides)
def test_the_resize_commutes_with_transposing_and_flipping(images: list[NDArray[np.float64]], side: int) -> None:
    image, resized = images[0], digits.resize(images[0], side)
    np.testing.assert_allclose(digits.resize(image.T, side), resized.T, rtol=0, atol=1e-12)
    np.testing.assert_allclose(digits.resize(image[::-1], side), resized[::-1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(digits.resize(image[:, ::-1], side), resized[:, ::-1], rtol=0, atol=1e-12)


@given(square_images())
def test_a_resize_to_the_same_size_changes_nothing(images: list[NDArray[np.float64]]) -> None:
    assert np.array_equal(digits.resize(images[0], len(images[0])), images[0])


@given(square_images(count=3), sides)
def test_an_image_gets_the_same_bits_alone_as_among_others(images: list[NDArray[np.float64]], side: int) -> None:
    together = digits.resize(np.stack(images), side)
    for image, resized in zip(images, together, strict=True):
        assert digits.resize(image, side).tobytes() == resized.tobytes()


def test_the_first_examples_of_each_digit_come_in_order_of_digit_then_of_mnist() -> None:
    labels = np.array([9, 1, 0, 2, 3, 4, 5, 6, 7, 8, 0, 1, 1, 0, 2, 3, 4, 5, 6, 7, 8, 9], np.uint8)
    chosen = digits.first_of_each_digit(labels, 2)
    assert labels[chosen].tolist() == np.repeat(np.arange(10), 2).tolist()
    assert chosen[:4].tolist() == [2, 10, 1, 11]


def test_mnist_is_split_as_keras_splits_it(raw_mnist: Dataset) -> None:
    prepared = digits.mnist(raw_mnist, 0.33)
    shapes = {name: (array.dtype.name, array.shape) for name, array in prepared.items()}
    assert shapes == {
        "x_train": ("uint8", (40199, 784)),
        "y_train": ("uint8", (40199,)),
        "x_validation": ("uint8", (19801, 784)),
        "y_validation": ("uint8", (19801,)),
        "x_test": ("uint8", (10000, 784)),
        "y_test": ("uint8", (10000,)),
    }
    # The post's accuracies of a network that answers 1: the share of ones.
    assert round(float(np.mean(prepared["y_train"] == 1)), 4) == 0.1141
    assert round(float(np.mean(prepared["y_validation"] == 1)), 4) == 0.1088


def test_mnist_keeps_every_pixel_row_by_row(raw_mnist: Dataset) -> None:
    prepared = digits.mnist(raw_mnist, 0.33)
    joined = np.concatenate([prepared["x_train"], prepared["x_validation"]])
    assert joined.tobytes() == raw_mnist["x_train"].tobytes()
    assert prepared["x_test"].tobytes() == raw_mnist["x_test"].tobytes()
    assert np.array_equal(np.concatenate([prepared["y_train"], prepared["y_validation"]]), raw_mnist["y_train"])


def test_the_first_row_is_the_one_printed_in_public_notebooks(raw_mnist: Dataset) -> None:
    first_zero = raw_mnist["x_train"][np.argmax(raw_mnist["y_train"] == 0)]
    row = digits.resize(first_zero / 255, 20).ravel(order="F")
    assert not row[:67].any()
    for index, printed in PRINTED.items():
        assert row[index] == pytest.approx(printed, rel=0, abs=5e-9)


@pytest.fixture(scope="module")
def ex4(raw_mnist: Dataset) -> Dataset:
    return digits.ex4(raw_mnist, 500, 20)


def test_ex4_has_the_exercises_shape_and_order(ex4: Dataset) -> None:
    shapes = {name: (array.dtype.name, array.shape) for name, array in ex4.items()}
    assert shapes == {
        "x_train": ("float32", (5000, 400)),
        "y_train": ("uint8", (5000,)),
        "x_test": ("float32", (10000, 400)),
        "y_test": ("uint8", (10000,)),
    }
    assert ex4["y_train"].tolist() == np.repeat(np.arange(10), 500).tolist()


def test_ex4_starts_with_the_printed_row(ex4: Dataset) -> None:
    row = ex4["x_train"][0]
    assert {index: float(row[index]) for index in PRINTED} == pytest.approx(PRINTED, rel=1e-7)


def test_ex4_has_the_exercises_range(ex4: Dataset) -> None:
    assert round(float(ex4["x_train"].min()), 5) == -0.13196
    assert round(float(ex4["x_train"].max()), 5) == 1.12769


@pytest.mark.parametrize(
    ("array", "digest"),
    [
        ("x_train", "ca1851603879757de4f53fb6cdcba2333f4411b115d7c4c078196a88ada85d78"),
        ("x_test", "773a2bc19ccdbd78a5f835bca72ec32916f971298b4f614e02038c85478ccb21"),
    ],
)
def test_ex4_has_the_same_bits_on_every_machine(ex4: Dataset, array: str, digest: str) -> None:
    assert hashlib.sha256(ex4[array].tobytes()).hexdigest() == digest
