"""The first layer of a network: what it does with raw inputs, as numbers that can change after it is compiled."""

import numpy as np

from stages.config.examples import Rescale
from stages.config.network import Network
from stages.training.keras import keras, tf

# Keras's Normalization divides by at least this much.
EPSILON = 1e-7


class Inputs(keras.layers.Layer):  # type: ignore[misc]
    """Takes raw inputs x [n, *shape] to (x - shift) * factor + offset, three numbers per input."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the numbers."""
        self.numbers = [
            self.add_weight(shape=shape[1:], initializer=initializer, trainable=False, name=name)
            for name, initializer in (("shift", "zeros"), ("factor", "ones"), ("offset", "zeros"))
        ]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the prepared inputs."""
        shift, factor, offset = map(tf.convert_to_tensor, self.numbers)
        return (inputs - shift) * factor + offset

    def set(self, network: Network, statistics: tuple[np.ndarray, np.ndarray] | None) -> None:
        """Prepare inputs as `network` says; `statistics` are mean and variance [*shape] for standardized ones."""
        values: tuple[np.ndarray | float, ...] = 0.0, 1.0, 0.0
        if isinstance(network.inputs, Rescale):
            values = 0.0, network.inputs.scale, network.inputs.offset
        elif statistics is not None:
            mean, variance = statistics
            values = mean, 1 / np.maximum(np.sqrt(variance), EPSILON), 0.0
        for number, value in zip(self.numbers, values, strict=True):
            number.assign(np.broadcast_to(value, number.shape))
