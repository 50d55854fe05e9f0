"""A compiled program that measures the symptoms of a network and leaves no trace in its training."""

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
        outputs = [model.get_layer(layer["name"]).output for layer in (*self.layers, *programs.active)]
        self.reader = keras.Model(model.inputs, [*model.outputs, *outputs])
        places = {id(variable): place for place, variable in enumerate(programs.trained)}
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
        weights = [tf.convert_to_tensor(variable) for variable in programs.trained]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            (outputs, *values), _ = programs.call(self.reader, weights, examples, training=False)
            hidden, active = values[: len(self.layers)], values[len(self.layers) :]
            losses = programs.loss(targets, outputs)
            for weight in sample_weight:
                losses *= weight
            loss = tf.reduce_mean(losses + programs.activity_penalty(active)) + programs.penalty(weights)
        gradients = tape.gradient(loss, weights)
        matrices = [weights, gradients, programs.next_update(weights, gradients)]
        states = [
            [values, *(None if place is None or of is None else of[place] for of in matrices)]
            for values, place in zip(hidden, self.kernels, strict=True)
        ]
        return outputs, programs.answers.read(outputs), states
