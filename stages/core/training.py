"""The compiled epoch loop: one epoch is one XLA program around ordinary Keras objects.

It learns what `model.fit` learns and reports what `model.fit` reports. Everything that decides a result is computed
inside a compiled function: eager products differ between processors, compiled ones under `runtime.SETTINGS` do not.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from statistics import mean
from typing import TypeVar, cast

import numpy as np

from stages.core import network, timings
from stages.core.backend import compiled, keras, plain_errors, tf
from stages.core.losses import loss_of, targets_of
from stages.core.params import RunConfig, Tnc
from stages.core.runs import Epoch, Evaluation, Run

Sums = TypeVar("Sums")

SPLITS = ("train", "validation", "test")

# A gradient is a product that sums over the examples of a batch. A long sum is cut where the processor's first-level
# cache is full, and so rounded differently where that is larger; one of this many fits the smallest.
PART = 128

# One program evaluates every split, this many examples at a time at most: a program a split would take as long to
# compile as to use. An example's outputs do not depend on those beside it.
ROWS = 5000


class Trainer:
    """Trains a configuration on a dataset, seed after seed; what it compiles, it compiles once.

    Parameters
    ----------
    config : RunConfig
        What to train; `configure` changes it.
    data : mapping
        ``x_<split>`` [n, features], uint8 or float32, and ``y_<split>`` [n], labels 0-9. ``train`` must be there, other
        splits may.
    """

    @plain_errors
    def __init__(self, config: RunConfig, data: Mapping[str, np.ndarray]) -> None:
        self.config = config
        self.load(data)
        self.model = network.build_model(config, data["x_train"].shape[1])
        self.penalties = {layer.kernel_regularizer for layer in network.dense_layers(self.model)} - {None}
        self.loss = loss_of(config)
        self._compiled: set[str] = set()
        # Of each trainer its own, so that what is compiled for it goes when it goes.
        self._compiled_epoch = compiled(self._epoch)
        self._compiled_forward = compiled(self._forward)
        self._compiled_whole_gradient = compiled(self._whole_gradient)
        if not isinstance(config.optimizer, Tnc):
            self.optimizer = network.build_optimizer(config)
            # The weights while they are trained, each as a vector: an optimizer works through one faster than through
            # the short rows of a matrix.
            self._vectors = [
                keras.Variable(tf.reshape(variable, [-1]), dtype=config.dtype)
                for variable in self.model.trainable_variables
            ]
            self.optimizer.build(self._vectors)
            self._start = [variable.numpy() for variable in self.optimizer.variables]

    @plain_errors
    def configure(self, config: RunConfig) -> None:
        """Train `config` from now on, without compiling anything again.

        Raises
        ------
        ValueError
            When its program is another.
        """
        if config.program != self.config.program:
            raise ValueError(f"{config.program} needs another program than {self.config.program}")
        self.config = config
        if config.shares_penalty:
            for penalty in self.penalties:
                penalty.l2.assign(config.l2)

    @plain_errors
    def load(self, data: Mapping[str, np.ndarray]) -> None:
        """Train on `data` from now on; where it has the shapes of the former, nothing is compiled again."""
        self.labels = {split: data[f"y_{split}"] for split in SPLITS if f"x_{split}" in data}
        targets = {split: targets_of(self.config, labels) for split, labels in self.labels.items()}
        self._train = (tf.constant(data["x_train"]), tf.constant(targets["train"]))
        rows = min(ROWS, max(map(len, self.labels.values())))
        self._chunks = {
            split: list(zip(_chunks(data[f"x_{split}"], rows), _chunks(targets[split], rows), strict=True))
            for split in self.labels
        }

    @plain_errors
    def run(self, seed: int, on_epoch: Callable[[int, Epoch], None] = lambda number, epoch: None) -> Run:
        """Train from the seed's initial weights; `on_epoch(number, epoch)` is called after each epoch, from 1 on."""
        weights_generator, order_generator = network.streams(seed)
        network.initialize(self.model, self.config, weights_generator)
        orders = network.epoch_orders(len(self.labels["train"]), order_generator)
        history: list[Epoch] = []

        def add(epoch: Epoch) -> None:
            history.append(epoch)
            on_epoch(len(history), epoch)

        if isinstance(self.config.optimizer, Tnc):
            self._minimize(self.config.optimizer.max_function_calls, add)
        else:
            for epoch in self._epochs(orders):
                add(epoch)
        return Run(
            seed=seed,
            history=history,
            final={split: self.evaluate(split) for split in self.labels},
            weights=self.weights(),
            gradient_evaluations=len(history) * self.steps_per_epoch,
        )

    @property
    def steps_per_epoch(self) -> int:
        """Gradient evaluations an entry of the history; the last batch of an epoch may be a short one."""
        return math.ceil(len(self.labels["train"]) / self.config.batch_size) if self.config.batch_size else 1

    def weights(self) -> dict[str, np.ndarray]:
        """The weights as they are now."""
        return {
            f"{layer.name}.{name}": getattr(layer, name).numpy()
            for layer in network.dense_layers(self.model)
            for name in ("kernel", "bias")
        }

    def evaluate(self, split: str) -> Evaluation:
        """The outputs of the present weights on `split`."""
        outputs = [self._timed("evaluate", self._compiled_forward, *chunk) for chunk in self._chunks[split]]
        penalty = float(outputs[0][3])
        labels = self.labels[split]
        losses, predicted, confidence = (
            np.concatenate([output[place].numpy() for output in outputs])[: len(labels)] for place in range(3)
        )
        return Evaluation(
            # The exact sum has one value, in whatever order a machine adds.
            loss=_mean(losses) + penalty,
            accuracy=float(np.mean(predicted == labels)),
            predicted=predicted,
            confidence=confidence,
        )

    def _timed(self, phase: timings.Phase, program: Callable[..., Sums], *arguments: tf.Tensor) -> Sums:
        """What `program` gives; its first call counts as compiling, which is most of it."""
        first = phase not in self._compiled
        self._compiled.add(phase)
        with timings.phase("compile" if first else phase):
            return program(*arguments)

    def _epochs(self, orders: Iterator[np.ndarray]) -> Iterator[Epoch]:
        for variable, value in zip(self.optimizer.variables, self._start, strict=True):
            variable.assign(value)
        assert not isinstance(self.config.optimizer, Tnc)
        self.optimizer.learning_rate = self.config.optimizer.learning_rate
        n_examples = len(self.labels["train"])
        for order in islice(orders, self.config.epochs):
            loss, correct = self._timed("train", self._compiled_epoch, *self._train, tf.constant(order))
            yield self._report(float(loss) / n_examples, int(correct) / n_examples)

    def _report(self, loss: float, accuracy: float) -> Epoch:
        if "validation" not in self.labels:
            return Epoch(loss, accuracy, None, None)
        validation = self.evaluate("validation")
        return Epoch(loss, accuracy, validation.loss, validation.accuracy)

    def _epoch(self, examples: tf.Tensor, targets: tf.Tensor, order: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One pass over the examples in `order`: the sum of the losses (float64) and the number of right answers.

        Both are of the weights before each step, as `model.fit` counts.
        """
        n_examples = order.shape[0]
        size = min(self.config.batch_size, n_examples)
        steps, rest = divmod(n_examples, size)
        for vector, variable in zip(self._vectors, self.model.trainable_variables, strict=True):
            vector.assign(tf.reshape(variable, [-1]))

        def step(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            weights = [tf.convert_to_tensor(vector) for vector in self._vectors]
            loss, gradients, correct = self._value_and_gradients(weights, examples, targets, rows)
            self.optimizer.apply(gradients, self._vectors)
            return tf.cast(loss, tf.float64) * rows.shape[0], correct

        sums = tf.constant(0.0, tf.float64), tf.constant(0)
        sums = _summed(lambda number: step(_rows(order, number * size, size)), steps, sums)
        if rest:
            sums = _added(sums, step(order[-rest:]))
        for vector, variable in zip(self._vectors, self.model.trainable_variables, strict=True):
            variable.assign(tf.reshape(vector, variable.shape))
        return sums

    def _value_and_gradients(
        self, weights: Sequence[tf.Tensor], examples: tf.Tensor, targets: tf.Tensor, rows: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
        """Of the batch of `rows`: its loss, penalty included, its gradients, and the number of right answers.

        A large batch is summed part by part (see `PART`), the penalty with the first. `weights` and gradients are
        vectors.
        """
        n_examples = rows.shape[0]
        size = min(PART, n_examples)
        parts, rest = divmod(n_examples, size)

        def part(rows: tf.Tensor, *, penalised: bool = False) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
            labels = tf.gather(targets, rows)
            with tf.GradientTape() as tape:
                tape.watch(weights)
                shaped = [
                    tf.reshape(vector, variable.shape)
                    for vector, variable in zip(weights, self.model.trainable_variables, strict=True)
                ]
                inputs = tf.cast(tf.gather(examples, rows), self.config.dtype)
                outputs, _, penalties = self.model.stateless_call(shaped, [], inputs, training=True, return_losses=True)
                loss = tf.reduce_sum(self.loss(labels, outputs)) / n_examples
                if penalised and penalties:
                    loss += tf.add_n(penalties)
            return loss, tape.gradient(loss, weights), self._correct(outputs, labels)

        sums = part(rows[:size], penalised=True)
        if parts > 1:
            sums = _summed(lambda number: part(_rows(rows, (number + 1) * size, size)), parts - 1, sums)
        return _added(sums, part(rows[-rest:])) if rest else sums

    def _penalty(self) -> tf.Tensor:
        return tf.add_n(self.model.losses) if self.model.losses else tf.constant(0.0, self.config.dtype)

    def _forward(self, examples: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Losses [n], digits answered [n], their outputs [n], and the penalty beside the losses."""
        outputs = self.model(tf.cast(examples, self.config.dtype), training=False)
        predicted = self._predicted(outputs)
        if self.config.output_units == 1:
            confidence = tf.where(predicted == 1, outputs[:, 0], 1 - outputs[:, 0])
        else:
            confidence = tf.reduce_max(outputs, axis=-1)
        return self.loss(targets, outputs), predicted, confidence, self._penalty()

    def _predicted(self, outputs: tf.Tensor) -> tf.Tensor:
        """The digit answered, uint8 [n]: the largest output, or of one unit 0 or 1."""
        if self.config.output_units == 1:
            return tf.cast(outputs[:, 0] > 0.5, tf.uint8)
        return tf.cast(tf.argmax(outputs, axis=-1), tf.uint8)

    def _correct(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Number of right answers, int32."""
        if self.config.output_units == 1:
            labels = targets[:, 0]
        elif targets.shape.rank == 1:
            labels = targets
        else:
            labels = tf.argmax(targets, axis=-1)
        return tf.reduce_sum(tf.cast(self._predicted(outputs) == tf.cast(labels, tf.uint8), tf.int32))

    def _minimize(self, max_function_calls: int, on_call: Callable[[Epoch], None]) -> None:
        """Minimise the loss of the whole training set by SciPy's TNC; each function call gives an Epoch."""
        from scipy.optimize import minimize

        n_examples = len(self.labels["train"])

        def value_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
            self._assign(vector)
            loss, gradient, correct = self._timed(
                "train", self._compiled_whole_gradient, tf.constant(vector, self.config.dtype), *self._train
            )
            on_call(self._report(float(loss), int(correct) / n_examples))
            return float(loss), gradient.numpy()

        start = np.concatenate([variable.numpy().ravel() for variable in self.model.trainable_variables])
        options = {"maxfun": max_function_calls}
        result = minimize(value_and_gradient, start, method="TNC", jac=True, options=options)
        self._assign(result.x)

    def _assign(self, vector: np.ndarray) -> None:
        """Set the weights from one vector of all of them."""
        start = 0
        for variable in self.model.trainable_variables:
            size = math.prod(variable.shape)
            variable.assign(vector[start : start + size].reshape(variable.shape))
            start += size

    def _whole_gradient(
        self, vector: tf.Tensor, examples: tf.Tensor, targets: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Loss of the weights in `vector`, its gradient, and the number of right answers, all examples in one batch."""
        weights = tf.split(vector, [math.prod(variable.shape) for variable in self.model.trainable_variables])
        loss, gradients, correct = self._value_and_gradients(weights, examples, targets, tf.range(examples.shape[0]))
        return loss, tf.concat(gradients, axis=0), correct


def _added(totals: Sums, more: Sums) -> Sums:
    """Two nested structures of tensors, added place by place."""
    return cast(Sums, tf.nest.map_structure(tf.add, totals, more))


def _summed(body: Callable[[tf.Tensor], Sums], turns: int, sums: Sums) -> Sums:
    """`sums` and, one after the other, what `body` gives for 0 to `turns` - 1."""

    def turn(number: tf.Tensor, sums: Sums) -> tuple[tf.Tensor, Sums]:
        return number + 1, _added(sums, body(number))

    # One loop of the program in TensorFlow's form: AutoGraph would take longer to rewrite one of Python's than
    # TensorFlow takes to trace it.
    return cast(Sums, tf.while_loop(lambda number, _: number < turns, turn, (tf.constant(0), sums))[1])


def _chunks(array: np.ndarray, rows: int) -> list[tf.Tensor]:
    """`array` cut into pieces of `rows` rows, the last filled up with zeros."""
    missing = -len(array) % rows
    filled = np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))
    return [tf.constant(filled[start : start + rows]) for start in range(0, len(filled), rows)]


def _rows(tensor: tf.Tensor, start: tf.Tensor, size: int) -> tf.Tensor:
    """`size` rows of `tensor` from `start` on; the size is static, as XLA needs."""
    return tf.slice(tensor, [start] + [0] * (tensor.shape.rank - 1), [size, *tensor.shape[1:]])


def _mean(losses: np.ndarray) -> float:
    """The mean of `losses`, exactly rounded; not finite where one is not."""
    if not np.isfinite(losses).all():
        return float(np.sum(losses, dtype=np.float64)) / len(losses)
    try:
        return math.fsum(losses.tolist()) / len(losses)
    except OverflowError:
        # Where no float holds their sum; slower.
        return float(mean(losses.tolist()))
