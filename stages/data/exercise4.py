"""The recipe `exercise4`: the digits of exercise 4 of Andrew Ng's course, derived from MNIST."""

import math
from collections.abc import Mapping

import numpy as np

from stages.data.mnist import CLASSES
from stages.data.prepared import first_rows


def exercise4(
    raw: Mapping[str, np.ndarray], examples_per_class: int, side: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the exercise's training split, and MNIST's test images resized in the same way.

    The exercise's ``ex4data1.mat`` holds the first 500 training examples of each digit in MNIST's order, digit 0
    first (its label there is 10), each resized to 20x20 pixels and unrolled by columns. `raw` is MNIST as `mnist.parse`
    returns it. By split, examples are float32 [n, `side`**2], about -0.13 to 1.13, and labels uint8 [n].

    Raises
    ------
    UserError
        If MNIST has fewer examples of a digit.
    """
    chosen = np.concatenate([first_rows(raw["y_train"], digit, examples_per_class) for digit in range(len(CLASSES))])
    x = {"train": exercise_rows(raw["x_train"][chosen], side), "test": exercise_rows(raw["x_test"], side)}
    return x, {"train": raw["y_train"][chosen], "test": raw["y_test"]}


def exercise_rows(images: np.ndarray, side: int) -> np.ndarray:
    """Return uint8 `images` [n, 28, 28] as float32 [n, `side`**2]: divided by 255, resized, unrolled by columns."""
    resized = resize(images / 255.0, side)
    return resized.swapaxes(1, 2).reshape(len(images), side * side).astype(np.float32)


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """Resize `images` as older versions of MATLAB do by ``imresize(image, [side side])``, on every processor alike.

    Both the images [..., rows, columns] and the result [..., `side`, `side`] are float64. The kernel overshoots, so
    values can leave the range of `images`.
    """
    resized_columns = resize_last_axis(images, side)
    return resize_last_axis(resized_columns.swapaxes(-1, -2), side).swapaxes(-1, -2)


def resize_last_axis(images: np.ndarray, new_size: int) -> np.ndarray:
    """Return `images` with the last axis resized to `new_size`."""
    resized = np.zeros((*images.shape[:-1], new_size))
    # Add one tap at a time, because a matrix product adds in an order that depends on the processor.
    for index, weight in zip(*resize_taps(images.shape[-1], new_size), strict=True):
        resized += images[..., index] * weight
    return resized


def resize_taps(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the input pixels that make up each output pixel along an axis, and their weights [taps, `new_size`].

    This is ``imresize(..., 'bicubic')`` of older versions of MATLAB. If the image shrinks, the kernel is widened by
    `size` / `new_size` against aliasing. The weights of an output pixel are divided by their sum. Beyond the border,
    the pixel at the border is repeated.
    """
    step = size / new_size
    widening = max(step, 1.0)
    center = (np.arange(new_size) + 0.5) * step - 0.5
    first = np.ceil(center - 2 * widening)
    position = first + np.arange(math.ceil(4 * widening))[:, np.newaxis]
    weights = cubic((position - center) / widening)
    return np.clip(position, 0, size - 1).astype(np.intp), weights / sum(weights)


def cubic(distance: np.ndarray) -> np.ndarray:
    """Return the cubic convolution kernel with a = -0.5 at `distance`, in pixels. It is zero from 2 on.

    R. Keys, Cubic convolution interpolation for digital image processing, IEEE Transactions on Acoustics, Speech, and
    Signal Processing 29 (1981), equation 15.
    """
    d = np.abs(distance)
    near = (1.5 * d - 2.5) * d * d + 1.0
    far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
