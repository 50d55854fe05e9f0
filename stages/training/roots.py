"""Everything of Keras that divides by a square root, in a form that all processors round alike.

XLA compiles 1 / sqrt(x), and x / sqrt(y) too, with an instruction that estimates a reciprocal root (vrsqrtps). The
estimate is not the same on all kinds of processors, and neither is the last bit of what XLA makes of it. Square roots
and divisions are exactly rounded everywhere, and XLA leaves a division by a root that is `kept` as it is.
"""

from collections.abc import Callable

from stages.training.keras import kept, keras, tf
from stages.training.tensors import real_mean


@tf.custom_gradient  # type: ignore[untyped-decorator]
def inverse_root(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return 1 / sqrt(x), with its gradient."""
    inverse = 1.0 / kept(tf.sqrt(x))
    return inverse, lambda upstream: upstream * -0.5 * inverse * inverse * inverse


class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """The layer of Keras, by way of `inverse_root`. In training it learns from the examples `real`; None is all."""

    real: tf.Tensor | None = None

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: None = None) -> tf.Tensor:
        """Return the outputs [n, ..., features] of `inputs` [n, ..., features]; in training, learn their statistics."""
        mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        if training:
            moving = mean, variance
            if self.real is None:
                mean, variance = tf.nn.moments(inputs, list(range(inputs.shape.rank - 1)))
            else:
                mean = self._mean(inputs)
                variance = self._mean((inputs - mean) ** 2)
            self.moving_mean.assign(moving[0] * self.momentum + mean * (1 - self.momentum))
            self.moving_variance.assign(moving[1] * self.momentum + variance * (1 - self.momentum))
        factor = inverse_root(variance + self.epsilon)
        if self.scale:
            factor *= tf.convert_to_tensor(self.gamma)
        shift = tf.convert_to_tensor(self.beta) - mean * factor if self.center else -mean * factor
        return inputs * factor + shift

    def _mean(self, values: tf.Tensor) -> tf.Tensor:
        """Return the mean [features] of the real examples of `values` [n, ..., features]."""
        mean = real_mean(values, self.real)
        return tf.reduce_mean(mean, axis=list(range(mean.shape.rank - 1)))


class RMSprop(keras.optimizers.RMSprop):  # type: ignore[misc]
    """The optimizer of Keras, with an exact division by the root."""

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Change `variable` by one step."""
        place = self._get_variable_index(variable)
        velocity = self._velocities[place]
        self.assign(velocity, self.rho * velocity + (1 - self.rho) * tf.square(gradient))
        denominator = velocity + self.epsilon
        if self.centered:
            average = self._average_gradients[place]
            self.assign(average, self.rho * average + (1 - self.rho) * gradient)
            denominator = velocity - tf.square(average) + self.epsilon
        change = learning_rate * gradient / kept(tf.sqrt(denominator))
        if self.momentum > 0:
            momentum = self._momentums[place]
            self.assign(momentum, self.momentum * momentum + change)
            change = momentum
        self.assign_sub(variable, change)


class Adagrad(keras.optimizers.Adagrad):  # type: ignore[misc]
    """The optimizer of Keras, with an exact division by the root."""

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Change `variable` by one step."""
        accumulator = self._accumulators[self._get_variable_index(variable)]
        self.assign_add(accumulator, tf.square(gradient))
        self.assign_sub(variable, learning_rate * gradient / kept(tf.sqrt(accumulator + self.epsilon)))


class Adadelta(keras.optimizers.Adadelta):  # type: ignore[misc]
    """The optimizer of Keras, with an exact division by the root."""

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Change `variable` by one step."""
        place = self._get_variable_index(variable)
        squares, changes = self._accumulated_grads[place], self._accumulated_delta_vars[place]
        self.assign(squares, self.rho * squares + (1 - self.rho) * tf.square(gradient))
        change = -(tf.sqrt(changes + self.epsilon) * gradient / kept(tf.sqrt(squares + self.epsilon)))
        self.assign(changes, self.rho * changes + (1 - self.rho) * tf.square(change))
        self.assign_add(variable, learning_rate * change)


OPTIMIZERS = {"adadelta": Adadelta, "adagrad": Adagrad, "rmsprop": RMSprop}
