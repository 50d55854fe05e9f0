"""Losses as Keras 2.2 and as Keras 3 compute them.

The versions differ at probabilities near 0 and 1: Keras 2.2 (2018) clips them, so that the gradient is zero there.
Keras 3 goes back to the logits behind a sigmoid or softmax and needs no clipping. A loss with settings of its own, such
as label smoothing, is computed as by Keras 3.
"""

from collections.abc import Callable

from stages.config.names import OWN_LOSS
from stages.config.network import Network
from stages.training.keras import keras, tf
from stages.training.roots import inverse_root

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
    if targets.shape.rank == 1:
        targets = targets[:, tf.newaxis]
    outputs = _clip(outputs)
    # Keras 2.2 broadcasts targets of another shape as NumPy does.
    targets = tf.broadcast_to(targets, outputs.shape) if targets.shape != outputs.shape else targets
    logits = tf.math.log(outputs / (1 - outputs))
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits), axis=-1)


def categorical_crossentropy_2_2(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy [n] of one-hot targets [n, classes] and positive outputs [n, classes].

    Keras 2.2.4 divides the outputs by their sum, clips them and takes the logarithm, so sigmoid outputs give another
    loss, with other gradients, than softmax outputs.
    """
    if targets.shape.rank != 2:
        raise ValueError(f"categorical_crossentropy needs one-hot targets, got targets of shape {targets.shape[1:]}")
    outputs = _clip(outputs / tf.reduce_sum(outputs, axis=-1, keepdims=True))
    return -tf.reduce_sum(targets * tf.math.log(outputs), axis=-1)


def sparse_categorical_crossentropy_2_2(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy [n] of integer targets [n] or [n, 1] and probabilities [n, classes].

    Keras 2.2.4 takes the logarithms of the clipped outputs for logits.
    """
    labels = tf.cast(targets if targets.shape.rank == 1 else targets[:, 0], tf.int32)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=tf.math.log(_clip(outputs)))


def summed_binary_crossentropy(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return the exercise's cost [n]: binary cross-entropy of one-hot targets [n, classes], summed over classes."""
    return tf.cast(tf.shape(outputs)[-1], outputs.dtype) * keras.losses.binary_crossentropy(targets, outputs)


def cosine_similarity(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return minus the cosine [n] of the angle between targets and outputs [n, units], as Keras does.

    Keras's own function takes reciprocal square roots, whose last bit depends on the processor.
    """
    if targets.shape.rank == 1 and outputs.shape[-1] == 1:
        targets = targets[:, tf.newaxis]
    targets, outputs = (
        vectors * tf.minimum(inverse_root(tf.reduce_sum(vectors**2, axis=-1, keepdims=True)), 1 / EPSILON)
        for vectors in (targets, outputs)
    )
    return -tf.reduce_sum(targets * outputs, axis=-1)


LOSSES_2_2: dict[str, Loss] = {
    "binary_crossentropy": binary_crossentropy_2_2,
    "categorical_crossentropy": categorical_crossentropy_2_2,
    "sparse_categorical_crossentropy": sparse_categorical_crossentropy_2_2,
}


def loss_of(network: Network) -> Loss:
    """Return the loss of `network`, from targets and outputs to one number per example [n].

    Raises
    ------
    ValueError
        If Keras refuses a setting.
    """
    settings = {key: value for key, value in network.loss.items() if key != "name"}
    name = network.loss["name"]
    if name == OWN_LOSS:
        return summed_binary_crossentropy
    if name == "cosine_similarity":
        return cosine_similarity
    kind = getattr(keras.losses, class_name(name))
    loss = kind(**settings)
    if network.keras == "2.2" and name in LOSSES_2_2 and loss.get_config() == kind().get_config():
        return LOSSES_2_2[name]
    call: Loss = loss.call
    return call


def class_name(function: str) -> str:
    """Return the name of the class of a loss: ``MeanSquaredError`` for ``mean_squared_error``."""
    return "KLDivergence" if function == "kl_divergence" else function.title().replace("_", "")
