"""The compiled epoch loop: one epoch is one XLA program around ordinary Keras objects.

It learns what `model.fit` learns and reports what `model.fit` reports. Everything that decides a result is computed
inside a compiled function: eager products differ between processors, compiled ones under `runtime.SETTINGS` do not.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar, cast

import numpy as np

from stages.core import network, timings
from stages.core.backend import compiled, tf
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
    """Trains one configuration on one dataset, seed after seed; what it compiles, it compiles once.

    Parameters
    ----------
    config : RunConfig
        What to train.
    data : mapping
        ``x_<split>`` [n, features], uint8 or float32, and ``y_<split>`` [n], labels 0-9. ``train`` must be there, other
        splits may.
    """

    def __init__(self, config: RunConfig, data: Mapping[str, np.ndarray]) -> None:
        self.config = config
        self.load(data)
        self.model = network.build_model(config, data["x_train"].shape[1])
        self.loss = loss_of(config)
        self._compiled: set[str] = set()
        # Of each trainer its own, so that what is compiled for it goes when it goes.
        self._compiled_epoch = compiled(self._epoch)
        self._compiled_forward = compiled(self._forward)
        self._compiled_whole_gradient = compiled(self._whole_gradient)
        if not isinstance(config.optimizer, Tnc):
            self.optimizer = network.build_optimizer(config)
            self.optimizer.build(self.model.trainable_variables)
            self._start = [variable.numpy() for variable in self.optimizer.variables]

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

    def run(self, seed: int, on_epoch: Callable[[int, Epoch], None] = lambda number, epoch: None) -> Run:
        """Train from the seed's initial weights; `on_epoch(number, epoch)` is called after each epoch, from 1 on."""
        weights_generator, order_generator = network.streams(seed)
        network.initialize(self.model, self.config, weights_generator)
        orders = network.epoch_orders(len(self.labels["train"]), order_generator)
        epochs = self._tnc_calls() if isinstance(self.config.optimizer, Tnc) else self._epochs(orders)
        history = []
        for epoch in epochs:
            history.append(epoch)
            on_epoch(len(history), epoch)
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
        # Gathered once: a gather inside the loop costs more than the step.
        examples, targets = tf.gather(examples, order), tf.gather(targets, order)
        size = min(self.config.batch_size, n_examples)
        loss, outputs = self._summed(self._step, examples, targets, size, tf.constant(0.0, tf.float64))
        return loss, self._correct(outputs, targets)

    def _step(self, examples: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One step of the optimizer on a batch: the sum of its losses (float64) and its outputs."""
        (loss, gradients), outputs = self._value_and_gradients(examples, targets)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return tf.cast(loss, tf.float64) * examples.shape[0], outputs

    def _value_and_gradients(self, examples: tf.Tensor, targets: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """The loss of a batch, penalty included, beside its gradients, and its outputs.

        A large batch is summed part by part (see `PART`), the penalty with the first.
        """
        n_examples = examples.shape[0]

        def part(examples: tf.Tensor, targets: tf.Tensor, *, penalised: bool = False) -> tuple[Any, tf.Tensor]:
            with tf.GradientTape() as tape:
                outputs = self.model(tf.cast(examples, self.config.dtype), training=True)
                loss = tf.reduce_sum(self.loss(targets, outputs)) / n_examples
                if penalised:
                    loss += self._penalty()
            return (loss, tuple(tape.gradient(loss, self.model.trainable_variables))), outputs

        size = min(PART, n_examples)
        sums, outputs = part(examples[:size], targets[:size], penalised=True)
        if n_examples == size:
            return sums, outputs
        sums, more = self._summed(part, examples[size:], targets[size:], size, sums)
        return sums, tf.concat([outputs, more], axis=0)

    def _summed(
        self,
        body: Callable[[tf.Tensor, tf.Tensor], tuple[Sums, tf.Tensor]],
        examples: tf.Tensor,
        targets: tf.Tensor,
        size: int,
        sums: Sums,
    ) -> tuple[Sums, tf.Tensor]:
        """Call `body` with `size` rows after the other, the last time with the rest of them.

        Returns `sums` and what it gives first added to them, and the outputs, which it gives second, of all rows.
        """
        turns, rest = divmod(examples.shape[0], size)
        pieces = []
        if turns:
            array = tf.TensorArray(self.config.dtype, turns, element_shape=[size, self.config.output_units])

            def turn(number: tf.Tensor, sums: Sums, array: tf.TensorArray) -> tuple[tf.Tensor, Sums, tf.TensorArray]:
                more, outputs = body(_rows(examples, number * size, size), _rows(targets, number * size, size))
                return number + 1, _added(sums, more), array.write(number, outputs)

            # One loop of the program in TensorFlow's form: AutoGraph would take longer to rewrite one of Python's than
            # TensorFlow takes to trace it.
            _, sums, array = tf.while_loop(lambda number, *_: number < turns, turn, (tf.constant(0), sums, array))
            pieces.append(array.concat())
        if rest:
            more, outputs = body(examples[-rest:], targets[-rest:])
            sums = _added(sums, more)
            pieces.append(outputs)
        return sums, tf.concat(pieces, axis=0)

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
        """Number of right answers in a batch, int32."""
        if self.config.output_units == 1:
            labels = targets[:, 0]
        elif targets.shape.rank == 1:
            labels = targets
        else:
            labels = tf.argmax(targets, axis=-1)
        return tf.reduce_sum(tf.cast(self._predicted(outputs) == tf.cast(labels, tf.uint8), tf.int32))

    def _tnc_calls(self) -> Iterator[Epoch]:
        """Minimise the loss of the whole training set by SciPy's TNC; an Epoch a function call.

        SciPy cannot be paused, so the epochs come when it has ended.
        """
        from scipy.optimize import minimize

        assert isinstance(self.config.optimizer, Tnc)
        n_examples = len(self.labels["train"])
        calls: list[Epoch] = []

        def value_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
            self._assign(vector)
            loss, gradient, correct = self._timed("train", self._compiled_whole_gradient, *self._train)
            calls.append(self._report(float(loss), int(correct) / n_examples))
            return float(loss), gradient.numpy()

        start = np.concatenate([variable.numpy().ravel() for variable in self.model.trainable_variables])
        options = {"maxfun": self.config.optimizer.max_function_calls}
        result = minimize(value_and_gradient, start, method="TNC", jac=True, options=options)
        self._assign(result.x)
        yield from calls

    def _assign(self, vector: np.ndarray) -> None:
        """Set the weights from one vector of all of them."""
        start = 0
        for variable in self.model.trainable_variables:
            size = math.prod(variable.shape)
            variable.assign(vector[start : start + size].reshape(variable.shape))
            start += size

    def _whole_gradient(self, examples: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Loss, its gradient as one vector, and the number of right answers, all examples in one batch."""
        (loss, gradients), outputs = self._value_and_gradients(examples, targets)
        gradient = tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], axis=0)
        return loss, gradient, self._correct(outputs, targets)


def _added(totals: Sums, more: Sums) -> Sums:
    """Two nested structures of tensors, added place by place."""
    return cast(Sums, tf.nest.map_structure(tf.add, totals, more))


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
    return math.fsum(losses.tolist()) / len(losses)
