"""Sums, slices and means that the compiled programs are made of."""

import math
from collections.abc import Callable, Iterator
from statistics import mean
from typing import TypeVar, cast

import numpy as np

from stages.base.shared import ALIGNMENT
from stages.training.keras import tf, xla

Sums = TypeVar("Sums")


def added(totals: Sums, more: Sums) -> Sums:
    """Return the sum of two nested structures of tensors, place by place."""
    return cast(Sums, tf.nest.map_structure(tf.add, totals, more))


def summed(
    body: Callable[[tf.Tensor], Sums], turns: int, sums: Sums, add: Callable[[Sums, Sums], Sums] = added
) -> Sums:
    """Return `sums` plus `body(0)`, `body(1)` and so on to `body(turns - 1)`, added one after the other by `add`."""

    def turn(number: tf.Tensor, sums: Sums) -> tuple[tf.Tensor, Sums]:
        return number + 1, add(sums, body(number))

    return cast(Sums, tf.while_loop(lambda number, _: number < turns, turn, (tf.constant(0), sums))[1])


def tensor_of(array: np.ndarray) -> tf.Tensor:
    """Return `array` as a tensor. One that is aligned as in `base.shared` and can be written to is not copied."""
    if array.size and array.ctypes.data % ALIGNMENT == 0 and array.flags.writeable and array.flags.c_contiguous:
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.constant(array)


def chunks(array: np.ndarray, rows: int) -> Iterator[tf.Tensor]:
    """Yield `array` cut into pieces of `rows` rows, the last one filled up with zeros."""
    for start in range(0, len(array), rows):
        piece = array[start : start + rows]
        missing = rows - len(piece)
        yield tensor_of(np.pad(piece, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) if missing else piece)


def slice_rows(tensor: tf.Tensor, start: tf.Tensor, size: int) -> tf.Tensor:
    """Return `size` rows of `tensor` from `start` on; the size is static, as XLA needs it."""
    # `tf.slice` would compile a program anew for each value of what `start` is computed from.
    return xla.dynamic_slice(tensor, tf.stack([start] + [0] * (tensor.shape.rank - 1)), [size, *tensor.shape[1:]])


def only(real: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """Return `tensor` [n, ...] with zeros in the rows that are not `real`, bool [n]."""
    return tf.where(tf.reshape(real, [-1] + [1] * (tensor.shape.rank - 1)), tensor, tf.zeros_like(tensor))


def real_mean(tensor: tf.Tensor, real: tf.Tensor | None) -> tf.Tensor:
    """Return the mean of `tensor` [n, ...] over its rows, or over those that are `real`, bool [n]."""
    if real is None:
        return tf.reduce_mean(tensor, axis=0)
    return tf.reduce_sum(only(real, tensor), axis=0) / tf.reduce_sum(tf.cast(real, tensor.dtype))


def exact_mean(losses: np.ndarray) -> float:
    """Return the mean of `losses`, exactly rounded, or a value that is not finite if a loss is not."""
    if not np.isfinite(losses).all():
        return float(np.sum(losses, dtype=np.float64)) / len(losses)
    try:
        return math.fsum(losses.tolist()) / len(losses)
    except OverflowError:
        return float(mean(losses.tolist()))  # slower, but works where no float holds the sum
