"""The compiled epoch loop: an epoch is one XLA program around ordinary Keras objects.

It learns what `model.fit` learns and reports what `model.fit` reports. Everything that decides a result is computed
inside a compiled function, because eager products differ between processors and compiled ones do not, under the
settings in base/processor.py.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from stages.config.network import Network, Tnc
from stages.data.prepared import Prepared
from stages.training import model as models
from stages.training.keras import compiled, keras, plain_errors, tf
from stages.training.losses import loss_of, targets_of
from stages.training.products import Dense
from stages.training.runs import Run
from stages.training.tensors import added, chunks, exact_mean, slice_rows, summed

Row = tuple[float, float, float, float]

# One program evaluates every split, at most this many examples at a time: a program per split would take as long to
# compile as to run. The outputs for an example do not depend on the examples beside it.
ROWS = 5000


class Trainer:
    """Trains a network on data, seed after seed, and compiles its programs only once.

    Parameters
    ----------
    network : Network
        What to train; `configure` changes it.
    data : Prepared
        The split ``train`` must be there, other splits may be.
    """

    @plain_errors
    def __init__(self, network: Network, data: Prepared) -> None:
        self.network = network
        self.load(data)
        self.model = models.build_model(network, data.x["train"].shape[1], Dense)
        self.penalties = {layer.kernel_regularizer for layer in models.dense_layers(self.model)} - {None}
        self.loss = loss_of(network)
        # Compile per trainer, not per module, so that the programs are freed with the trainer.
        self._compiled_epoch = compiled(self._epoch)
        self._compiled_forward = compiled(self._forward)
        self._compiled_whole_gradient = compiled(self._whole_gradient)
        if not isinstance(network.optimizer, Tnc):
            self.optimizer = models.build_optimizer(network)
            # While they are trained, the weights are vectors: an optimizer works through a vector faster than through
            # the short rows of a matrix.
            self._vectors = [
                keras.Variable(tf.reshape(variable, [-1]), dtype=network.dtype)
                for variable in self.model.trainable_variables
            ]
            self.optimizer.build(self._vectors)
            self._start = [variable.numpy() for variable in self.optimizer.variables]

    @plain_errors
    def configure(self, network: Network) -> None:
        """Train `network` from now on, without compiling anything again.

        Raises
        ------
        ValueError
            If `network` needs another program.
        """
        if network.program != self.network.program:
            raise ValueError(f"{network.program} needs another program than {self.network.program}")
        self.network = network
        if network.shares_penalty:
            for penalty in self.penalties:
                penalty.l2.assign(network.l2)

    @plain_errors
    def load(self, data: Prepared) -> None:
        """Train on `data` from now on. Nothing is compiled again if `data` has the shapes of the data before it."""
        self.labels = data.y
        targets = {split: targets_of(self.network, labels) for split, labels in self.labels.items()}
        self._train = (tf.constant(data.x["train"]), tf.constant(targets["train"]))
        rows = min(ROWS, max(map(len, self.labels.values())))
        self._chunks = {
            split: list(zip(chunks(data.x[split], rows), chunks(targets[split], rows), strict=True))
            for split in self.labels
        }

    @plain_errors
    def run(self, seed: int, on_epoch: Callable[[int], None] = lambda epoch: None) -> Run:
        """Train from the initial weights of `seed`; `on_epoch(number)` is called after each epoch, from 1 on."""
        weights_generator, order_generator = models.streams(seed)
        models.initialize(self.model, self.network, weights_generator)
        orders = models.epoch_orders(len(self.labels["train"]), order_generator)
        history: list[Row] = []

        def add(row: Row) -> None:
            history.append(row)
            on_epoch(len(history))

        if isinstance(self.network.optimizer, Tnc):
            self._minimize(self.network.optimizer.max_function_calls, add)
        else:
            for row in self._epochs(orders):
                add(row)
        evaluations = {split: self._evaluate(split) for split in self.labels}
        return Run(
            seed=seed,
            history=np.array(history),
            scores={split: score for split, (_, score, _, _) in evaluations.items()},
            losses={split: loss for split, (loss, _, _, _) in evaluations.items()},
            predicted={split: predicted for split, (_, _, predicted, _) in evaluations.items()},
            confidence=evaluations["test"][3] if "test" in evaluations else None,
            weights=self.weights(),
            steps=len(history) * self.steps_per_epoch,
        )

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of gradient evaluations per row of the history; the last batch may be a short one."""
        return math.ceil(len(self.labels["train"]) / self.network.batch_size) if self.network.batch_size else 1

    def weights(self) -> dict[str, np.ndarray]:
        """Return the current weights, by ``<layer>.kernel`` and ``<layer>.bias``."""
        return {
            f"{layer.name}.{name}": getattr(layer, name).numpy()
            for layer in models.dense_layers(self.model)
            for name in ("kernel", "bias")
        }

    def _evaluate(self, split: str) -> tuple[float, float, np.ndarray, np.ndarray]:
        """Return loss, accuracy, predicted classes [n] and confidences [n] of the current weights on `split`."""
        outputs = [self._compiled_forward(*chunk) for chunk in self._chunks[split]]
        penalty = float(outputs[0][3])
        labels = self.labels[split]
        losses, predicted, confidence = (
            np.concatenate([output[place].numpy() for output in outputs])[: len(labels)] for place in range(3)
        )
        # The exact sum has one value, in whatever order a machine adds.
        return exact_mean(losses) + penalty, float(np.mean(predicted == labels)), predicted, confidence

    def _epochs(self, orders: Iterator[np.ndarray]) -> Iterator[Row]:
        for variable, value in zip(self.optimizer.variables, self._start, strict=True):
            variable.assign(value)
        assert not isinstance(self.network.optimizer, Tnc)
        self.optimizer.learning_rate = self.network.optimizer.learning_rate
        n_examples = len(self.labels["train"])
        for order in islice(orders, self.network.epochs):
            loss, correct = self._compiled_epoch(*self._train, tf.constant(order))
            yield self._row(float(loss) / n_examples, int(correct) / n_examples)

    def _row(self, loss: float, accuracy: float) -> Row:
        if "validation" not in self.labels:
            return loss, accuracy, math.nan, math.nan
        return loss, accuracy, *self._evaluate("validation")[:2]

    def _epoch(self, examples: tf.Tensor, targets: tf.Tensor, order: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Pass over the examples in `order`; return the sum of the losses (float64) and the number of right answers.

        Both are of the weights before each step, as `model.fit` counts.
        """
        n_examples = order.shape[0]
        size = min(self.network.batch_size, n_examples)
        steps, rest = divmod(n_examples, size)
        for vector, variable in zip(self._vectors, self.model.trainable_variables, strict=True):
            vector.assign(tf.reshape(variable, [-1]))

        def step(examples: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            weights = [tf.convert_to_tensor(vector) for vector in self._vectors]
            loss, gradients, correct = self._value_and_gradients(weights, examples, targets)
            self.optimizer.apply(gradients, self._vectors)
            return tf.cast(loss, tf.float64) * examples.shape[0], correct

        def gathered(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return step(tf.gather(examples, rows), tf.gather(targets, rows))

        if size == n_examples:
            sums = step(examples, targets)  # the order of a full batch is of no use
        else:
            sums = tf.constant(0.0, tf.float64), tf.constant(0)
            sums = summed(lambda number: gathered(slice_rows(order, number * size, size)), steps, sums)
            if rest:
                sums = added(sums, gathered(order[-rest:]))
        for vector, variable in zip(self._vectors, self.model.trainable_variables, strict=True):
            variable.assign(tf.reshape(vector, variable.shape))
        return sums

    def _value_and_gradients(
        self, weights: Sequence[tf.Tensor], examples: tf.Tensor, targets: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
        """Return loss with penalty, gradients, and number of right answers for a batch.

        `weights` and gradients are vectors.
        """
        with tf.GradientTape() as tape:
            tape.watch(weights)
            shaped = [
                tf.reshape(vector, variable.shape)
                for vector, variable in zip(weights, self.model.trainable_variables, strict=True)
            ]
            inputs = tf.cast(examples, self.network.dtype)
            outputs, _, penalties = self.model.stateless_call(shaped, [], inputs, training=True, return_losses=True)
            loss = tf.add_n([tf.reduce_mean(self.loss(targets, outputs)), *penalties])
        return loss, tape.gradient(loss, weights), self._correct(outputs, targets)

    def _forward(self, examples: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return losses [n], predicted classes [n], the outputs for these classes [n], and the penalty."""
        outputs = self.model(tf.cast(examples, self.network.dtype), training=False)
        predicted = self._predicted(outputs)
        if self.network.output_units == 1:
            confidence = tf.where(predicted == 1, outputs[:, 0], 1 - outputs[:, 0])
        else:
            confidence = tf.reduce_max(outputs, axis=-1)
        penalty = tf.add_n(self.model.losses) if self.model.losses else tf.constant(0.0, self.network.dtype)
        return self.loss(targets, outputs), predicted, confidence, penalty

    def _predicted(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return the predicted class, uint8 [n]: that of the largest output, or 0 or 1 for a single output."""
        if self.network.output_units == 1:
            return tf.cast(outputs[:, 0] > 0.5, tf.uint8)
        return tf.cast(tf.argmax(outputs, axis=-1), tf.uint8)

    def _correct(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Return the number of right answers, int32."""
        if self.network.output_units == 1:
            labels = targets[:, 0]
        elif targets.shape.rank == 1:
            labels = targets
        else:
            labels = tf.argmax(targets, axis=-1)
        return tf.reduce_sum(tf.cast(self._predicted(outputs) == tf.cast(labels, tf.uint8), tf.int32))

    def _minimize(self, max_function_calls: int, on_call: Callable[[Row], None]) -> None:
        """Minimize the loss of the whole training set by SciPy's TNC; each function call gives a row."""
        from scipy.optimize import minimize  # takes a quarter of a second, and only TNC needs it

        n_examples = len(self.labels["train"])

        def value_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
            self._assign(vector)
            loss, gradient, correct = self._compiled_whole_gradient(
                tf.constant(vector, self.network.dtype), *self._train
            )
            on_call(self._row(float(loss), int(correct) / n_examples))
            return float(loss), gradient.numpy()

        start = np.concatenate([variable.numpy().ravel() for variable in self.model.trainable_variables])
        options = {"maxfun": max_function_calls}
        result = minimize(value_and_gradient, start, method="TNC", jac=True, options=options)
        self._assign(result.x)

    def _assign(self, vector: np.ndarray) -> None:
        """Set all weights from one vector."""
        start = 0
        for variable in self.model.trainable_variables:
            size = math.prod(variable.shape)
            variable.assign(vector[start : start + size].reshape(variable.shape))
            start += size

    def _whole_gradient(
        self, vector: tf.Tensor, examples: tf.Tensor, targets: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return loss, gradient, and number of right answers of the weights in `vector`, all examples in one batch."""
        weights = tf.split(vector, [math.prod(variable.shape) for variable in self.model.trainable_variables])
        loss, gradients, correct = self._value_and_gradients(weights, examples, targets)
        return loss, tf.concat(gradients, axis=0), correct
