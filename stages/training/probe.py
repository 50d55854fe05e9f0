"""A compiled program that measures the symptoms of a network and leaves no trace in its training."""

from collections.abc import Sequence
from typing import Any

from stages.config.network import Network
from stages.training import symptoms
from stages.training.keras import compiled, keras, tf
from stages.training.programs import Programs
from stages.training.symptoms import LayerState


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
        outputs, answers, states = self.program(*sample)
        layers = [LayerState._make(None if each is None else each.numpy() for each in state) for state in states]
        told = None if self.programs.answers.task == "regression" else answers.numpy()
        return symptoms.of_network(network, layers, outputs.numpy(), sample[1].numpy(), told)

    def _measure(
        self, examples: tf.Tensor, targets: tf.Tensor, *sample_weight: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[list[tf.Tensor | None]]]:
        """Return outputs [n, units], answers [n, ...], and what a `LayerState` has of each layer."""
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
        states = [
            [values, *(self._matrix(vectors, place) for vectors in (weights, gradients, updates))]
            for values, place in zip(hidden, self.kernels, strict=True)
        ]
        return outputs, programs.answers.read(outputs), states

    def _matrix(self, vectors: Sequence[tf.Tensor] | None, place: int | None) -> tf.Tensor | None:
        """Return the vector of the kernel at `place` as a matrix, None if there is none."""
        if vectors is None or place is None:
            return None
        return tf.reshape(vectors[place], self.variables[place].shape)
