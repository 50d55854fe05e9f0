"""Losses as Keras 2.2 and as Keras 3 compute them.

Each takes targets and outputs of a batch and returns one loss an example. They differ in what they do with a
probability near 0 or 1: Keras 2.2 (2018) clips it, so its gradient is zero there; Keras 3 goes back to the logits
behind a sigmoid or softmax and needs no clipping.
"""

from collections.abc import Callable

import numpy as np

from stages.core.backend import keras, tf
from stages.core.params import N_CLASSES, RunConfig

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# `keras.backend.epsilon()` in both versions.
EPSILON = 1e-7


def _clip(outputs: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(outputs, EPSILON, 1 - EPSILON)


def binary_crossentropy_2_2(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Binary cross-entropy [n] of probabilities [n, units], mean over the units.

    Keras 2.2.4, `keras/backend/tensorflow_backend.py`: clip, back to the logit, and TensorFlow's loss of that logit.
    In float32 an output of 1 clips to 1 - 2**-23, so its loss is 15.942385 x (1 - target).
    """
    outputs = _clip(outputs)
    logits = tf.math.log(outputs / (1 - outputs))
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits), axis=-1)


def categorical_crossentropy_2_2(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Cross-entropy [n] of one-hot targets [n, classes] and outputs [n, classes] of any positive sum.

    Keras 2.2.4: the outputs are divided by their sum, clipped and logged, so sigmoid outputs give another loss, with
    other gradients, than softmax outputs.
    """
    outputs = _clip(outputs / tf.reduce_sum(outputs, axis=-1, keepdims=True))
    return -tf.reduce_sum(targets * tf.math.log(outputs), axis=-1)


def sparse_categorical_crossentropy_2_2(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Cross-entropy [n] of integer targets [n] and probabilities [n, classes].

    Keras 2.2.4: the logarithms of the clipped outputs are taken for logits.
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=tf.math.log(_clip(outputs)))


def summed_binary_crossentropy(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """The exercise's cost [n]: binary cross-entropy of one-hot targets [n, classes], summed over the classes."""
    return tf.cast(tf.shape(outputs)[-1], outputs.dtype) * keras.losses.binary_crossentropy(targets, outputs)


LOSSES: dict[tuple[str, str], Loss] = {
    ("binary_crossentropy", "2.2"): binary_crossentropy_2_2,
    ("categorical_crossentropy", "2.2"): categorical_crossentropy_2_2,
    ("sparse_categorical_crossentropy", "2.2"): sparse_categorical_crossentropy_2_2,
    ("binary_crossentropy", "3"): keras.losses.binary_crossentropy,
    ("categorical_crossentropy", "3"): keras.losses.categorical_crossentropy,
    ("sparse_categorical_crossentropy", "3"): keras.losses.sparse_categorical_crossentropy,
    # The exercise is not Keras's: one meaning, computed from the logits.
    ("summed_binary_crossentropy", "2.2"): summed_binary_crossentropy,
    ("summed_binary_crossentropy", "3"): summed_binary_crossentropy,
}


def loss_of(config: RunConfig) -> Loss:
    """The loss that `config` names, under the semantics that it names."""
    return LOSSES[config.loss, config.keras_semantics]


def targets_of(config: RunConfig, labels: np.ndarray) -> np.ndarray:
    """What the loss compares the outputs with, made of the labels [n].

    Returns
    -------
    ndarray
        One unit: float [n, 1], the labels themselves, as posted. Sparse loss: int32 [n]. Else float [n, 10],
        one-hot. Floats are of `config.dtype`.
    """
    if config.output_units == 1:
        return labels[:, None].astype(config.dtype)
    if config.loss == "sparse_categorical_crossentropy":
        return labels.astype(np.int32)
    one_hot: np.ndarray = np.eye(N_CLASSES, dtype=config.dtype)[labels]
    return one_hot
