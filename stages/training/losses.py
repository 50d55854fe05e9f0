"""Losses as Keras 2.2 and as Keras 3 compute them.

Each takes targets and outputs of a batch and returns one loss per example. The versions differ at probabilities near
0 and 1: Keras 2.2 (2018) clips them, so that the gradient is zero there. Keras 3 goes back to the logits behind a
sigmoid or softmax and needs no clipping.
"""

from collections.abc import Callable

import numpy as np

from stages.config.network import Network
from stages.training.keras import keras, tf

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# `keras.backend.epsilon()` in both versions.
EPSILON = 1e-7


def _clip(outputs: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(outputs, EPSILON, 1 - EPSILON)


def binary_crossentropy_2_2(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return the binary cross-entropy [n] of probabilities [n, units], averaged over the units.

    Keras 2.2.4, `keras/backend/tensorflow_backend.py`, clips, goes back to the logit, and takes TensorFlow's loss of
    the logit. In float32 an output of 1 is clipped to 1 - 2**-23, so its loss is 15.942385 x (1 - target).
    """
    outputs = _clip(outputs)
    logits = tf.math.log(outputs / (1 - outputs))
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits), axis=-1)


def categorical_crossentropy_2_2(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy [n] of one-hot targets [n, classes] and positive outputs [n, classes].

    Keras 2.2.4 divides the outputs by their sum, clips them and takes the logarithm, so sigmoid outputs give another
    loss, with other gradients, than softmax outputs.
    """
    outputs = _clip(outputs / tf.reduce_sum(outputs, axis=-1, keepdims=True))
    return -tf.reduce_sum(targets * tf.math.log(outputs), axis=-1)


def sparse_categorical_crossentropy_2_2(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy [n] of integer targets [n] and probabilities [n, classes].

    Keras 2.2.4 takes the logarithms of the clipped outputs for logits.
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=tf.math.log(_clip(outputs)))


def summed_binary_crossentropy(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return the exercise's cost [n]: binary cross-entropy of one-hot targets [n, classes], summed over classes."""
    return tf.cast(tf.shape(outputs)[-1], outputs.dtype) * keras.losses.binary_crossentropy(targets, outputs)


LOSSES: dict[tuple[str, str], Loss] = {
    ("binary_crossentropy", "2.2"): binary_crossentropy_2_2,
    ("categorical_crossentropy", "2.2"): categorical_crossentropy_2_2,
    ("sparse_categorical_crossentropy", "2.2"): sparse_categorical_crossentropy_2_2,
    ("binary_crossentropy", "3"): keras.losses.binary_crossentropy,
    ("categorical_crossentropy", "3"): keras.losses.categorical_crossentropy,
    ("sparse_categorical_crossentropy", "3"): keras.losses.sparse_categorical_crossentropy,
    # The exercise is not Keras's: it has one meaning, computed from the logits.
    ("summed_binary_crossentropy", "2.2"): summed_binary_crossentropy,
    ("summed_binary_crossentropy", "3"): summed_binary_crossentropy,
}


def loss_of(network: Network) -> Loss:
    """Return the loss that `network` names, as its version of Keras computes it."""
    return LOSSES[network.loss, network.keras]


def targets_of(network: Network, labels: np.ndarray) -> np.ndarray:
    """Return what the loss compares the outputs with, made of integer `labels` [n].

    One output unit: the labels as floats [n, 1], as posted. A sparse loss: int32 [n]. Every other loss: one-hot floats
    [n, output_units]. Floats have the dtype of the network.
    """
    if network.output_units == 1:
        return labels[:, None].astype(network.dtype)
    if network.loss == "sparse_categorical_crossentropy":
        return labels.astype(np.int32)
    one_hot: np.ndarray = np.eye(network.output_units, dtype=network.dtype)[labels]
    return one_hot
