"""A compiled program that measures the symptoms of a network and leaves no trace in its training."""

from typing import Any

import numpy as np

from stages.config.network import Network
from stages.training import symptoms
from stages.training.keras import compiled, keras, tf
from stages.training.programs import Programs
from stages.training.symptoms import NEAR, Range, Sums


class Probe:
    """Measures the network of `programs` on a few of its training examples.

    Gradients and updates are those of the loss with its penalties in inference mode: no dropout, and the moving
    statistics of BatchNormalization. The update is the step that the optimizer would make next.
    """

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        network, model = programs.network, programs.model
        self.layers = symptoms.watched(network)
        outputs = [model.get_layer(layer["name"]).output for layer in self.layers]
        self.reader = keras.Model(model.inputs, [*model.outputs, *outputs])
        self.variables = model.trainable_variables
        places = {id(variable): place for place, variable in enumerate(self.variables)}
        kernels = [getattr(model.get_layer(layer["name"]), "kernel", None) for layer in self.layers]
        self.kernels = [None if kernel is None else places[id(kernel)] for kernel in kernels]
        self.program = compiled(self._measure)

    def measure(self, network: Network, sample: tuple[tf.Tensor, ...]) -> dict[str, Any]:
        """Return the symptoms of the current weights of `network` on `sample`: examples, targets and, maybe, weights.

        `network` runs by the program of this probe.
        """
        outputs, answers, counts, squares = self.program(*sample)
        task = self.programs.answers.task
        layers = []
        for (finite, dead, units, saturated, values), of_kernel in zip(counts.numpy().tolist(), squares, strict=True):
            arrays = [np.zeros(0) if each is None else each.numpy() for each in of_kernel]
            layers.append(Sums(bool(finite), dead, units, saturated, values, *arrays))
        told = None if task == "regression" else answers.numpy()
        return symptoms.of_network(network, layers, outputs.numpy(), sample[1].numpy(), told)

    def _measure(
        self, examples: tf.Tensor, targets: tf.Tensor, *sample_weight: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, list[list[tf.Tensor | None]]]:
        """Return outputs [n, units], answers [n, ...], counts int32 [layers, 5], and the squares of each layer.

        The counts and squares are the first and the last members of `Sums`.
        """
        programs = self.programs
        inputs = tf.cast(examples, programs.network.dtype)
        weights = [tf.reshape(tf.convert_to_tensor(variable), [-1]) for variable in self.variables]
        state = [tf.convert_to_tensor(variable) for variable in self.reader.non_trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            shaped = [
                tf.reshape(vector, variable.shape) for vector, variable in zip(weights, self.variables, strict=True)
            ]
            (outputs, *hidden), _, penalties = self.reader.stateless_call(
                shaped, state, inputs, training=False, return_losses=True
            )
            losses = programs.loss(targets, outputs)
            for weight in sample_weight:
                losses *= weight
            loss = tf.add_n([tf.reduce_mean(losses), *penalties])
        gradients = tape.gradient(loss, weights)
        updates = programs.next_update(weights, gradients)
        counts = tf.stack(
            [
                _counts(tf.reshape(values, [values.shape[0], -1]), symptoms.range_of(layer))
                for layer, values in zip(self.layers, hidden, strict=True)
            ]
        )
        squares = [
            [
                None if each is None or place is None else self._squares(each[place], place)
                for each in (gradients, updates, weights)
            ]
            for place in self.kernels
        ]
        return outputs, programs.answers.read(outputs), counts, squares

    def _squares(self, vector: tf.Tensor, place: int) -> tf.Tensor:
        """Return the squares of a matrix in `vector`, float64, added up by column: a sum in an order of its own."""
        matrix = tf.reshape(vector, self.variables[place].shape)
        return tf.reduce_sum(tf.square(tf.cast(matrix, tf.float64)), axis=0)


def _counts(values: tf.Tensor, where: Range) -> tf.Tensor:
    """Return, int32 [5], whether all `values` [n, units] are finite, and how many units are dead, of how many; and how
    many values are saturated, of how many.
    """
    n, units = values.shape
    dead = saturated = tf.constant(0)
    if where.zero:
        dead = _count(tf.reduce_all(values == 0, axis=0))
    if where.shared:
        saturated = units * _count(tf.reduce_max(values, axis=-1) > 1 - NEAR)
    elif where.ends:
        saturated = _count(tf.reduce_any([tf.abs(values - end) < NEAR for end in where.ends], axis=0))
    finite = tf.cast(tf.reduce_all(tf.math.is_finite(values)), tf.int32)
    return tf.stack([finite, dead, units, saturated, n * units])


def _count(true: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(true, tf.int32))
