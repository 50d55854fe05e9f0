"""Targets for the loss, made of the data; and answers, read from the outputs of a network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.config.examples import Scale
from stages.config.network import Network
from stages.data import scoring
from stages.data.prepared import Facts, Prepared
from stages.training.keras import tf
from stages.training.tensors import only

# The outputs of these losses are compared with zero: they are logits, or signs.
SIGNED = ("hinge", "squared_hinge", "categorical_hinge")


@dataclass(frozen=True)
class Statistics:
    """Mean and variance of the inputs, and mean and standard deviation of the targets, of a training split, float64."""

    inputs: tuple[np.ndarray, np.ndarray] | None
    targets: tuple[np.ndarray, np.ndarray] | None


def statistics(network: Network, data: Prepared) -> Statistics:
    """Return what `network` needs to know of the training split of `data`; a constant column has deviation 1."""
    inputs = targets = None
    if network.inputs == "standardized":
        x = data.x["train"].astype(np.float64)
        inputs = np.mean(x, axis=0), np.var(x, axis=0)
    if network.targets == "standardized":
        given = data.given("train").astype(np.float64)
        deviation = np.std(given, axis=0)
        targets = np.mean(given, axis=0), np.where(deviation > 0, deviation, 1.0)
    return Statistics(inputs, targets)


def targets_of(network: Network, data: Prepared, split: str, known: Statistics) -> np.ndarray:
    """Return what the loss compares the outputs with for the examples of `split`, in the dtype of the network.

    `raw` targets are as in the file; `integer` are the indices of the classes [n]; `one_hot` have a column per class;
    `standardized` and scaled ones are of values.

    Raises
    ------
    ValueError
        If the task has no such targets.
    """
    given, how = data.given(split), network.targets
    classes = data.facts.task in ("binary", "multiclass")
    if how in ("integer", "one_hot") and not classes:
        raise ValueError(f"targets {how} with task {data.facts.task}; expected raw, standardized or a scale")
    if how == "integer":
        given = data.y[split]
    elif how == "one_hot":
        one_hot: np.ndarray = np.eye(data.n_classes, dtype=network.dtype)[data.y[split]]
        return one_hot
    elif how == "standardized":
        assert known.targets is not None
        given = (given - known.targets[0]) / known.targets[1]
    elif isinstance(how, Scale):
        given = given * how.scale
    return given.astype(network.dtype)


class Answers:
    """Reads the outputs of a network as answers, and counts what is right.

    - Several outputs for a class: the place of the largest one. With raw targets that are numbers, output i stands for
      the number i, as Keras takes it; a place that is no class is an answer that is never right.
    - A single output for a class: the class whose value is nearest; for logits and hinge losses, the sign decides.
    - Labels: outputs above one half, or above zero for logits.
    - Values: the outputs, in the units of the file.
    """

    def __init__(self, network: Network, facts: Facts, known: Statistics) -> None:
        self.task, self.units = facts.task, network.output_units
        self.n_classes = len(facts.classes)
        self.signed = bool(network.loss.get("from_logits")) or network.loss["name"] in SIGNED
        numbers = network.targets == "raw" and facts.values is not None
        self.values: Sequence[float] = list(facts.values or ()) if numbers else list(range(self.n_classes))
        if isinstance(network.targets, Scale):
            self.shift, self.factor = np.zeros(()), np.array(1 / network.targets.scale)
        elif known.targets is not None:
            self.shift, self.factor = known.targets
        else:
            self.shift, self.factor = np.zeros(()), np.ones(())

    @property
    def dtype(self) -> tf.DType:
        """Return the dtype of answers."""
        if self.task == "regression":
            return tf.float32
        return tf.uint8 if self.n_classes < 256 else tf.int32

    def read(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return answers: classes [n], labels [n, labels] or values [n, targets], of outputs [n, units]."""
        if self.task == "regression":
            values = tf.cast(outputs, tf.float64)
            if self.factor.ndim or self.factor != 1 or self.shift.any():
                values = values * self.factor + self.shift
            return tf.cast(values, tf.float32)
        if self.task == "multilabel":
            labels = tf.cast(outputs > (0.0 if self.signed else 0.5), self.dtype)
            return tf.broadcast_to(labels, [outputs.shape[0], self.n_classes])
        if self.units > 1:
            # The number of classes stands for none of them.
            places = [self.values.index(i) if i in self.values else self.n_classes for i in range(self.units)]
            return tf.cast(tf.gather(places, tf.argmax(outputs, axis=-1)), self.dtype)
        single = outputs[:, 0]
        if self.signed:
            high, low = (int(choose(self.values)) for choose in (np.argmax, np.argmin))
            return tf.cast(tf.where(single > 0, high, low), self.dtype)
        distances = tf.abs(single[:, tf.newaxis] - tf.constant(self.values, outputs.dtype))
        return tf.cast(tf.argmin(distances, axis=-1), self.dtype)

    def tally(self, answers: tf.Tensor, actual: tf.Tensor, counted: tf.Tensor | None = None) -> tf.Tensor:
        """Return what `score` needs to know of a batch, float64 [k]; tallies of batches can be added.

        If `counted`, bool [n], is given, only these examples count.
        """
        if self.task == "regression":
            each = (tf.cast(answers, tf.float64) - tf.cast(actual, tf.float64)) ** 2
        else:
            each = tf.cast(answers == tf.cast(actual, self.dtype), tf.int32)
        if counted is not None:
            each = only(counted, each)
        total = tf.reduce_sum(each, axis=0 if self.task == "regression" else None)
        return tf.cast(tf.reshape(total, [self.width]), tf.float64)

    @property
    def width(self) -> int:
        """Return the length of a tally."""
        return max(self.units, self.n_classes) if self.task == "regression" else 1

    def whole(self, actual: np.ndarray) -> np.ndarray | int:
        """Return what `score` divides by: how many classes or labels there are, or the spread of the values."""
        return scoring.spread(actual) if self.task == "regression" else actual.size

    def score(self, tally: Sequence[float], whole: np.ndarray | int) -> float:
        """Return the score of all examples from the sum of their tallies."""
        return tally[0] / whole if isinstance(whole, int) else scoring.r_squared(np.array(tally), whole)

    def ranking(self, outputs: np.ndarray) -> np.ndarray | None:
        """Return, for a binary task, what is higher the more likely the second class is: the last output [n]."""
        return outputs[:, min(self.units, 2) - 1] if self.task == "binary" else None

    def confidence(self, outputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Return the output for the class that is answered, [n]."""
        single = np.where(answers == 1, outputs[:, 0], 1 - outputs[:, 0])
        found: np.ndarray = np.max(outputs, axis=-1) if self.units > 1 else single
        return found
