"""MNIST's container format, the exercise's resize, and the prepared datasets."""

import hashlib
import math
import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Dataset = dict[str, np.ndarray]
"""Arrays by name: ``x_<split>`` [n, features] and ``y_<split>`` uint8 [n] (digits 0 to 9), where a split is train,
validation (absent where the dataset has none) or test."""

ARRAY_OF_FILE = {
    "train-images-idx3-ubyte": "x_train",
    "train-labels-idx1-ubyte": "y_train",
    "t10k-images-idx3-ubyte": "x_test",
    "t10k-labels-idx1-ubyte": "y_test",
}

IDX_UINT8 = b"\x00\x00\x08"


def sha256(content: bytes) -> str:
    """The SHA-256 digest of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def check_digest(name: str, content: bytes, expected: str) -> bytes:
    """`content`, when its SHA-256 is the `expected` one.

    Raises
    ------
    ValueError
        Naming `name`, the digest it has and the digest it should have.
    """
    if (found := sha256(content)) != expected:
        raise ValueError(f"{name} has SHA-256 {found}, expected {expected}")
    return content


def parse_idx(content: bytes) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes.

    The format (http://yann.lecun.com/exdb/mnist): two zero bytes, the type 8, the number of dimensions, each
    dimension as a big-endian 32-bit integer, then the values in C order.

    Raises
    ------
    ValueError
        When `content` is not that.

    Examples
    --------
    >>> parse_idx(b"\\x00\\x00\\x08\\x01" + b"\\x00\\x00\\x00\\x02" + b"\\x07\\xff")
    array([  7, 255], dtype=uint8)
    """
    start = 4 + 4 * int.from_bytes(content[3:4])
    if content[:3] != IDX_UINT8 or not 4 < start <= len(content):
        raise ValueError(f"not an IDX file of unsigned bytes: it starts with {content[:4].hex(' ') or 'nothing'}")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise ValueError(f"an IDX file of shape {shape} has {len(content) - start} values")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """`array` as an IDX file: the inverse of `parse_idx`."""
    header = IDX_UINT8 + struct.pack(f">B{array.ndim}I", array.ndim, *array.shape)
    return header + array.tobytes()


def parse_mnist(files: Mapping[str, bytes], digests: Mapping[str, str]) -> Dataset:
    """The arrays of MNIST's four IDX files, each file checked before it is parsed.

    Parameters
    ----------
    files
        The files' contents, uncompressed, by the names in `ARRAY_OF_FILE`.
    digests
        Their SHA-256 digests by the same names.

    Returns
    -------
    Dataset
        uint8: x_train [60000, 28, 28], y_train [60000], x_test [10000, 28, 28], y_test [10000].

    Raises
    ------
    ValueError
        When a file has another digest.
    """
    return {array: parse_idx(check_digest(name, files[name], digests[name])) for name, array in ARRAY_OF_FILE.items()}


def cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cubic convolution kernel with a = -0.5 at `distance` (pixels); zero from 2 on.

    R. Keys, Cubic convolution interpolation for digital image processing, IEEE Transactions on Acoustics, Speech, and
    Signal Processing 29 (1981), equation 15.
    """
    d = np.abs(distance)
    near = (1.5 * d - 2.5) * d * d + 1.0
    far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def resize_taps(size: int, new_size: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The input pixels that an output pixel is made of, and their weights, along one axis.

    MATLAB's ``imresize(..., 'bicubic')``: where the image shrinks, the kernel is widened by `size` /
    `new_size` against aliasing; the weights of an output pixel are divided by their sum; the border is repeated
    outwards.

    Returns
    -------
    (indices, weights)
        Each of shape [taps, `new_size`]; the weights of each output pixel sum to 1.
    """
    step = size / new_size
    widening = max(step, 1.0)
    centre = (np.arange(new_size) + 0.5) * step - 0.5
    first = np.ceil(centre - 2 * widening)
    position = first + np.arange(math.ceil(4 * widening))[:, np.newaxis]
    weights = cubic((position - centre) / widening)
    return np.clip(position, 0, size - 1).astype(np.intp), weights / sum(weights)


def resize_last_axis(images: NDArray[np.float64], new_size: int) -> NDArray[np.float64]:
    """`images` with its last axis resized as `resize_taps` says."""
    resized = np.zeros((*images.shape[:-1], new_size))
    # One tap after the other: a matrix product would add in an order that depends on the processor.
    for index, weight in zip(*resize_taps(images.shape[-1], new_size), strict=True):
        resized += images[..., index] * weight
    return resized


def resize(images: ArrayLike, side: int) -> NDArray[np.float64]:
    """Resize `images` as MATLAB's ``imresize(image, [side side])``, with the same bits on every processor.

    Parameters
    ----------
    images
        [..., rows, columns].
    side
        Rows and columns of a resized image.

    Returns
    -------
    NDArray[np.float64]
        [..., `side`, `side`], in the unit of `images`; the kernel overshoots, so values can leave the range.
    """
    resized_columns = resize_last_axis(np.asarray(images, np.float64), side)
    return resize_last_axis(resized_columns.swapaxes(-1, -2), side).swapaxes(-1, -2)


def first_of_each_digit(labels: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """Indices of the first `count` examples of digit 0, then of digit 1, and so on to 9, each in order."""
    return np.concatenate([np.flatnonzero(labels == digit)[:count] for digit in range(10)])


def exercise_rows(images: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """`images` uint8 [n, 28, 28] as rows [n, `side`**2]: divided by 255, shrunk, unrolled by columns."""
    resized = resize(images / 255.0, side)
    return resized.swapaxes(1, 2).reshape(len(images), side * side).astype(np.float32)


def mnist(raw: Dataset, validation_split: float) -> Dataset:
    """MNIST as Keras' ``model.fit(validation_split=...)`` splits it: the last training examples validate.

    Parameters
    ----------
    raw
        As from `parse_mnist`.
    validation_split
        The share of the training examples to validate on; the number that remains is rounded down.

    Returns
    -------
    Dataset
        x uint8 [n, 784] of 0 to 255, unrolled row by row.
    """
    x, y = raw["x_train"], raw["y_train"]
    kept = int(len(x) * (1 - validation_split))
    splits = {
        "train": (x[:kept], y[:kept]),
        "validation": (x[kept:], y[kept:]),
        "test": (raw["x_test"], raw["y_test"]),
    }
    prepared: Dataset = {}
    for split, (images, labels) in splits.items():
        prepared[f"x_{split}"] = images.reshape(len(images), -1)
        prepared[f"y_{split}"] = labels
    return prepared


def ex4(raw: Dataset, examples_per_digit: int, side: int) -> Dataset:
    """The course exercise's digits from MNIST, and the MNIST test images shrunk the same way.

    The exercise's ``ex4data1.mat`` holds the first 500 training examples of each digit in MNIST's order,
    digit 0 first (which it labels 10), each shrunk to 20x20 pixels and unrolled column by column.

    Parameters
    ----------
    raw
        As from `parse_mnist`.
    examples_per_digit
        500 in the exercise.
    side
        Rows and columns of a shrunken image, 20 in the exercise.

    Returns
    -------
    Dataset
        x float32 [n, `side`**2], about -0.13 to 1.13; no validation split.
    """
    chosen = first_of_each_digit(raw["y_train"], examples_per_digit)
    return {
        "x_train": exercise_rows(raw["x_train"][chosen], side),
        "y_train": raw["y_train"][chosen],
        "x_test": exercise_rows(raw["x_test"], side),
        "y_test": raw["y_test"],
    }
