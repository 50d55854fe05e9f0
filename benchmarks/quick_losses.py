"""The activations and losses of `quick`, with their gradients, as Keras 3 computes them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

EPSILON = 1e-7
Array = np.ndarray


def sigmoid(z: Array) -> Array:
    """Return the logistic function of `z`."""
    found: Array = 1 / (1 + np.exp(-z))
    return found


def softmax(z: Array) -> Array:
    """Return the softmax over the last axis."""
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    found: Array = powers / powers.sum(axis=-1, keepdims=True)
    return found


# Each activation and, from its output `a` and input `z`, the gradient of the input.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array, Array], Array]]] = {
    "linear": (lambda z: z, lambda g, a, z: g),
    "relu": (lambda z: np.maximum(z, 0), lambda g, a, z: g * (z > 0)),
    "leaky_relu": (
        lambda z: np.maximum(z, np.float32(0.2) * z),
        lambda g, a, z: np.where(z > 0, g, np.float32(0.2) * g),
    ),
    "tanh": (np.tanh, lambda g, a, z: g * (1 - a * a)),
    "sigmoid": (sigmoid, lambda g, a, z: g * a * (1 - a)),
    "softmax": (softmax, lambda g, a, z: a * (g - (g * a).sum(axis=-1, keepdims=True))),
}


class Output(NamedTuple):
    """The last activation, whether its outputs are logits, and whether the value of the loss is wanted."""

    activation: str
    logits: bool
    losses: bool


Loss = tuple[Array, Array, bool]
"""The loss per output, its gradient, and whether it is that of the input of the last activation."""


def _squares(output: Output, outputs: Array, z: Array, targets: Array) -> Loss:
    difference = outputs - targets
    gradient = difference * np.float32(2 / difference.shape[1] / difference.shape[2])
    if gradient.shape != outputs.shape:
        gradient = gradient.sum(axis=2, keepdims=True)
    return difference**2, gradient, False


def _distances(output: Output, outputs: Array, z: Array, targets: Array) -> Loss:
    difference = outputs - targets
    gradient = np.sign(difference) * np.float32(1 / difference.shape[1] / difference.shape[2])
    if gradient.shape != outputs.shape:
        gradient = gradient.sum(axis=2, keepdims=True)
    return np.abs(difference), gradient, False


def _binary(output: Output, outputs: Array, z: Array, targets: Array) -> Loss:
    """Keras goes back to the logits behind a sigmoid, and clips other outputs."""
    scale = np.float32(1 / outputs.shape[1] / outputs.shape[2])
    activation = output.activation
    if output.logits or activation == "sigmoid":
        logits = outputs if output.logits else z
        answers = sigmoid(outputs) if output.logits else outputs
        loss = outputs
        if output.losses:
            loss = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
        return loss, (answers - targets) * scale, not output.logits
    clipped = np.clip(outputs, EPSILON, np.float32(1 - EPSILON))
    loss = -targets * np.log(clipped) - (1 - targets) * np.log(1 - clipped)
    gradient = (clipped - targets) / (clipped * (1 - clipped)) * (clipped == outputs)
    return loss, gradient * scale, False


def _categorical(output: Output, outputs: Array, z: Array, targets: Array) -> Loss:
    scale = np.float32(1 / outputs.shape[1])
    if output.logits or output.activation == "softmax":
        answers = softmax(outputs) if output.logits else outputs
        total = targets.sum(axis=-1, keepdims=True)
        loss = -targets * np.log(np.maximum(answers, 1e-37))
        return loss, (answers * total - targets) * scale, not output.logits
    total = outputs.sum(axis=-1, keepdims=True)
    shares = outputs / total
    clipped = np.clip(shares, EPSILON, np.float32(1 - EPSILON))
    by_share = -targets / clipped * (clipped == shares)
    gradient = (by_share - (by_share * shares).sum(axis=-1, keepdims=True)) / total
    return -targets * np.log(clipped), gradient * scale, False


def _sparse(output: Output, outputs: Array, z: Array, targets: Array) -> Loss:
    scale = np.float32(1 / outputs.shape[1])
    places = targets.reshape(targets.shape[:2]).astype(int)
    chosen = np.eye(outputs.shape[-1], dtype=np.float32)[places]
    if output.logits or output.activation == "softmax":
        answers = softmax(outputs) if output.logits else outputs
        loss = -chosen * np.log(np.maximum(answers, 1e-37))
        return loss, (answers - chosen) * scale, not output.logits
    clipped = np.clip(outputs, EPSILON, np.float32(1 - EPSILON))
    answers = clipped / clipped.sum(axis=-1, keepdims=True)
    gradient = (answers - chosen) / clipped * (clipped == outputs)
    return -chosen * np.log(answers), gradient * scale, False


LOSSES: dict[str, Callable[[Output, Array, Array, Array], Loss]] = {
    "mean_squared_error": _squares,
    "mean_absolute_error": _distances,
    "binary_crossentropy": _binary,
    "categorical_crossentropy": _categorical,
    "sparse_categorical_crossentropy": _sparse,
}
