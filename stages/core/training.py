"""The compiled epoch loop: one epoch is one XLA program around ordinary Keras objects.

It learns what `model.fit` learns and reports what `model.fit` reports. Everything that decides a result is computed
inside a compiled function: eager products differ between processors, compiled ones under `runtime.SETTINGS` do not.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from scipy.optimize import minimize

from stages.core import network
from stages.core.backend import compiled, tf
from stages.core.losses import loss_of, targets_of
from stages.core.params import RunConfig, Tnc

SPLITS = ("train", "validation", "test")

# A gradient is a product that sums over the examples of a batch. A long sum is cut where the processor's first-level
# cache is full, and so rounded differently where that is larger; one of this many fits the smallest.
PART = 128


@dataclass(frozen=True)
class Epoch:
    """What `model.fit` prints of an epoch; the validation figures are None where the data has no validation split."""

    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None


@dataclass(frozen=True)
class Evaluation:
    """The outputs of a network on n examples.

    Attributes
    ----------
    loss : float
        Mean loss, penalty included.
    accuracy : float
        Share of examples whose predicted digit is the label.
    predicted : ndarray
        uint8 [n], the digit answered.
    confidence : ndarray
        float [n], the output that the network gives to the digit answered.
    """

    loss: float
    accuracy: float
    predicted: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class Run:
    """One variant or cell trained with one seed.

    Attributes
    ----------
    history : list of Epoch
        One an epoch; with optimizer tnc one a function call.
    final : dict
        Split name -> Evaluation of the final weights.
    weights : dict
        ``<layer>.kernel`` and ``<layer>.bias`` -> array.
    gradient_evaluations : int
        Steps of the optimizer, or function calls.
    """

    seed: int
    history: list[Epoch]
    final: dict[str, Evaluation]
    weights: dict[str, np.ndarray]
    gradient_evaluations: int

    @property
    def diverged(self) -> bool:
        """Whether a loss or a weight was not finite at any time."""
        losses = [epoch.loss for epoch in self.history] + [evaluation.loss for evaluation in self.final.values()]
        finite = all(map(math.isfinite, losses)) and all(np.isfinite(array).all() for array in self.weights.values())
        return not finite


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
        self.labels = {split: data[f"y_{split}"] for split in SPLITS if f"x_{split}" in data}
        self.examples = {split: tf.constant(data[f"x_{split}"]) for split in self.labels}
        self.targets = {split: tf.constant(targets_of(config, labels)) for split, labels in self.labels.items()}
        self.model = network.build_model(config, data["x_train"].shape[1])
        self.loss = loss_of(config)
        # Of each trainer its own, so that what is compiled for it goes when it goes.
        self._compiled_epoch = compiled(self._epoch)
        self._compiled_forward = compiled(self._forward)
        self._compiled_whole_gradient = compiled(self._whole_gradient)
        if not isinstance(config.optimizer, Tnc):
            self.optimizer = network.build_optimizer(config)
            self.optimizer.build(self.model.trainable_variables)
            self._start = [variable.numpy() for variable in self.optimizer.variables]

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
        losses, penalty, predicted, confidence = self._compiled_forward(self.examples[split], self.targets[split])
        return Evaluation(
            # The exact sum has one value, in whatever order a machine adds.
            loss=_mean(losses.numpy()) + float(penalty),
            accuracy=float(np.mean(predicted.numpy() == self.labels[split])),
            predicted=predicted.numpy(),
            confidence=confidence.numpy(),
        )

    def _epochs(self, orders: Iterator[np.ndarray]) -> Iterator[Epoch]:
        for variable, value in zip(self.optimizer.variables, self._start, strict=True):
            variable.assign(value)
        n_examples = len(self.labels["train"])
        for order in islice(orders, self.config.epochs):
            loss, correct = self._compiled_epoch(self.examples["train"], self.targets["train"], tf.constant(order))
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
        # Gathered once: a gather inside the loop costs more than the step.
        examples, targets = tf.gather(examples, order), tf.gather(targets, order)
        loss = tf.constant(0.0, tf.float64)
        correct = tf.constant(0)
        for step in tf.range(n_examples // size):
            batch = (step * size, size)
            step_loss, step_correct = self._step(_rows(examples, *batch), _rows(targets, *batch))
            loss += step_loss
            correct += step_correct
        rest = n_examples % size
        if rest:
            step_loss, step_correct = self._step(examples[-rest:], targets[-rest:])
            loss += step_loss
            correct += step_correct
        return loss, correct

    def _step(self, examples: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One step of the optimizer on a batch: the sum of its losses (float64) and the number of right answers."""
        loss, gradients, correct = self._value_and_gradients(examples, targets)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return tf.cast(loss, tf.float64) * examples.shape[0], correct

    def _value_and_gradients(
        self, examples: tf.Tensor, targets: tf.Tensor
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...], tf.Tensor]:
        """The loss of a batch, penalty included, its gradients, and the number of right answers.

        A large batch is summed part by part (see `PART`), the penalty with the first.
        """
        n_examples = examples.shape[0]
        size = min(PART, n_examples)
        loss, gradients, correct = self._part(examples[:size], targets[:size], n_examples, penalised=True)
        for part in tf.range(1, n_examples // size):
            more = self._part(_rows(examples, part * size, size), _rows(targets, part * size, size), n_examples)
            loss, gradients, correct = _added((loss, gradients, correct), more)
        rest = n_examples % size
        if rest:
            more = self._part(examples[-rest:], targets[-rest:], n_examples)
            loss, gradients, correct = _added((loss, gradients, correct), more)
        return loss, gradients, correct

    def _part(
        self, examples: tf.Tensor, targets: tf.Tensor, n_examples: int, *, penalised: bool = False
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...], tf.Tensor]:
        """What some of the `n_examples` of a batch add to its loss, its gradients and its right answers."""
        with tf.GradientTape() as tape:
            outputs = self.model(tf.cast(examples, self.config.dtype), training=True)
            loss = tf.reduce_sum(self.loss(targets, outputs)) / n_examples
            if penalised:
                loss += self._penalty()
        gradients = tape.gradient(loss, self.model.trainable_variables)
        return loss, tuple(gradients), self._correct(outputs, targets)

    def _penalty(self) -> tf.Tensor:
        return tf.add_n(self.model.losses) if self.model.losses else tf.constant(0.0, self.config.dtype)

    def _forward(self, examples: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Losses [n] and the penalty beside them, digits answered [n], and their outputs [n]."""
        outputs = self.model(tf.cast(examples, self.config.dtype), training=False)
        predicted = self._predicted(outputs)
        if self.config.output_units == 1:
            confidence = tf.where(predicted == 1, outputs[:, 0], 1 - outputs[:, 0])
        else:
            confidence = tf.reduce_max(outputs, axis=-1)
        return self.loss(targets, outputs), self._penalty(), predicted, confidence

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
        assert isinstance(self.config.optimizer, Tnc)
        n_examples = len(self.labels["train"])
        calls: list[Epoch] = []

        def value_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
            self._assign(vector)
            loss, gradient, correct = self._compiled_whole_gradient(self.examples["train"], self.targets["train"])
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
        loss, gradients, correct = self._value_and_gradients(examples, targets)
        return loss, tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], axis=0), correct


def _added(total: Any, more: Any) -> Any:
    """Two nested structures of tensors, added place by place."""
    return tf.nest.map_structure(tf.add, total, more)


def _rows(tensor: tf.Tensor, start: tf.Tensor, size: int) -> tf.Tensor:
    """`size` rows of `tensor` from `start` on; the size is static, as XLA needs."""
    return tf.slice(tensor, [start] + [0] * (tensor.shape.rank - 1), [size, *tensor.shape[1:]])


def _mean(losses: np.ndarray) -> float:
    """The mean of `losses`, exactly rounded; not finite where one is not."""
    if not np.isfinite(losses).all():
        return float(np.sum(losses, dtype=np.float64)) / len(losses)
    return math.fsum(losses.tolist()) / len(losses)
