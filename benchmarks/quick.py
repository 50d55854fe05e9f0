"""A short training in NumPy: the networks of the benchmark's faults, several seeds at once, without compiling.

It starts from the first weights of `stages.training` and sees the examples in its order, so the scores of a seed agree
with those of whichfix up to rounding and the draws of dropout; `python -m benchmarks.search --check` compares them.
A program per configuration takes XLA seconds to compile, and the benchmark trains thousands of configurations.
"""

import inspect
import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

from stages.config.network import Layer, Network
from stages.config.strict import RefusedError
from stages.data import scoring
from stages.data.prepared import Prepared
from stages.training import model as models
from stages.training import orders
from stages.training.answers import Answers, statistics, targets_of
from stages.training.keras import keras, tf

EPSILON = 1e-7
SIGMOID_RANGE = 60.0
PARTS = models.DRAWN
Array = np.ndarray


@lru_cache(maxsize=4096)
def first_weights(name: str, settings: tuple[tuple[str, Any], ...], shape: tuple[int, ...], seed: int) -> Array:
    """Return first weights, as `models.drawn` draws them."""
    kind = getattr(keras.initializers, name.title().replace("_", ""))
    own = {"seed": seed} if "seed" in inspect.signature(kind).parameters else {}
    return np.array(kind(**dict(settings), **own)(shape, dtype="float32"))


def sigmoid(z: Array) -> Array:
    """Return the logistic function of `z`."""
    return 1 / (1 + np.exp(-np.clip(z, -SIGMOID_RANGE, SIGMOID_RANGE)))


def softmax(z: Array) -> Array:
    """Return the softmax over the last axis."""
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# Each activation and, from its output `a` and input `z`, the gradient of the input.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array, Array], Array]]] = {
    "linear": (lambda z: z, lambda g, a, z: g),
    "relu": (lambda z: np.maximum(z, 0), lambda g, a, z: g * (z > 0)),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.2 * z), lambda g, a, z: np.where(z > 0, g, 0.2 * g)),
    "tanh": (np.tanh, lambda g, a, z: g * (1 - a * a)),
    "sigmoid": (sigmoid, lambda g, a, z: g * a * (1 - a)),
    "softmax": (softmax, lambda g, a, z: a * (g - (g * a).sum(axis=-1, keepdims=True))),
}


class Training:
    """A network that is trained with several `seeds` at once.

    Raises
    ------
    RefusedError
        If Keras refuses the network for these data, or this module does not know one of its settings.
    """

    def __init__(self, network: Network, data: Prepared, seeds: tuple[int, ...]) -> None:
        self.network, self.data, self.seeds = network, data, seeds
        self.known = statistics(network, data)
        self.answers = Answers(network, data.facts, self.known)
        self.targets = targets_of(network, data, "train", self.known)
        self.loss = network.loss["name"]
        self.logits = bool(network.loss.get("from_logits"))
        self.layers = [layer for layer in network.layers if layer["layer"] != "Flatten"]
        self._check()
        self._initialize()

    def _check(self) -> None:
        kinds = {layer["layer"] for layer in self.layers}
        if kinds - {"Dense", "Dropout", "BatchNormalization"} or self.layers[-1]["layer"] != "Dense" or self.data.x["train"].ndim != 2:
            raise RefusedError(f"layers {', '.join(sorted(kinds))}", "Dense, Dropout and BatchNormalization, of rows")
        if {layer["activation"] for layer in self.network.dense} - ACTIVATIONS.keys():
            raise RefusedError("another activation", ", ".join(ACTIVATIONS))
        if self.loss not in LOSSES or self.network.optimizer["name"] not in OPTIMIZERS:
            raise RefusedError(f"{self.loss}, {self.network.optimizer['name']}", "another loss or optimizer")
        units, shape = self.network.output_units, self.targets.shape[1:]
        if self.loss == "sparse_categorical_crossentropy":
            if shape not in ((), (1,)) or self.targets.max() >= units:
                raise RefusedError(f"targets {shape} of {units} classes", "whole numbers below the units")
        else:
            if shape == ():
                self.targets = self.targets[:, np.newaxis]
            columns = self.targets.shape[1]
            broadcasts = self.loss.startswith("mean") and (units == 1 or (columns == 1 and shape == (1,)))
            if columns != units and not broadcasts:
                raise RefusedError(f"{columns} columns of targets", f"{units}, as the network has outputs")

    def _initialize(self) -> None:
        """Draw the first weights: all of a seed are one row, of which each layer has its part."""
        width = self.data.x["train"].shape[1]
        shapes: list[tuple[int, str, tuple[int, ...]]] = []
        for place, layer in enumerate(self.layers):
            if layer["layer"] == "Dense":
                shapes.append((place, "kernel", (width, layer["units"])))
                width = layer["units"]
                if layer["use_bias"]:
                    shapes.append((place, "bias", (width,)))
            elif layer["layer"] == "BatchNormalization":
                shapes += [(place, part, (width,)) for part in PARTS["BatchNormalization"]]
        trained = [row for row in shapes if not row[1].startswith("moving")]
        self.size = sum(math.prod(shape) for _, _, shape in trained)
        count = len(self.seeds)
        self.vector = np.zeros((count, self.size), np.float32)
        self.gradient = np.zeros_like(self.vector)
        self.parts: dict[tuple[int, str], Array] = {}
        self.gradients: dict[tuple[int, str], Array] = {}
        start = 0
        for place, part, shape in trained:
            end = start + math.prod(shape)
            self.parts[place, part] = self.vector[:, start:end].reshape(count, *shape)
            self.gradients[place, part] = self.gradient[:, start:end].reshape(count, *shape)
            start = end
        for place, part, shape in shapes:
            if part.startswith("moving"):
                self.parts[place, part] = np.zeros((count, *shape), np.float32)
        streams = [models.streams(seed) for seed in self.seeds]
        for place, layer in enumerate(self.layers):
            for part in PARTS.get(layer["layer"], ()):
                for number, (weights, _, _) in enumerate(streams):
                    seed = int(weights.integers(2**31))
                    if (place, part) in self.parts:
                        how = layer[f"{part}_initializer"]
                        settings = tuple(sorted((key, value) for key, value in how.items() if key != "name"))
                        shape = self.parts[place, part].shape[1:]
                        self.parts[place, part][number] = first_weights(how["name"], settings, shape, seed)
        self.orders = [order for _, order, _ in streams]
        self.random = np.random.default_rng(streams[0][2].integers(2**31))

    def prepared(self, split: str) -> Array:
        """Return the inputs of a split as the first layer gets them, float32 [n, features]."""
        x = self.data.x[split].astype(np.float32)
        if self.network.inputs == "standardized":
            assert self.known.inputs is not None
            mean, variance = self.known.inputs
            return ((x - mean) / np.maximum(np.sqrt(variance), EPSILON)).astype(np.float32)
        if self.network.inputs == "raw":
            return x
        return (x * self.network.inputs.scale + self.network.inputs.offset).astype(np.float32)

    def run(self, allowed: Callable[[], bool] = lambda: True) -> list[float]:
        """Train, and return the score of each seed on the split `split_judged`.

        Raises
        ------
        TimeoutError
            If `allowed` says after an epoch that it takes too long.
        """
        network = self.network
        x, rows = self.prepared("train"), len(self.targets)
        size = min(network.batch_size or rows, rows)
        streams = [orders.epochs(network, rows, order) for order in self.orders]
        step = OPTIMIZERS[network.optimizer["name"]](self)
        stops = Stopping(network, self.vector)
        with np.errstate(all="ignore"):
            for _ in range(network.epochs or 0):
                epoch = np.stack([next(stream).rows for stream in streams])
                total = np.zeros(len(self.seeds))
                for batch in np.split(epoch, range(size, epoch.shape[1], size), axis=1) if size < epoch.shape[1] else [epoch]:
                    loss = self._step(x[batch], self.targets[batch], stops.wanted)
                    total += loss * batch.shape[1]
                    step()
                if stops.after(total / epoch.shape[1]) or not np.isfinite(self.vector[:, 0]).any():
                    break
                if not allowed():
                    raise TimeoutError
            return self.scores(stops.restored())

    def scores(self, vector: Array) -> list[float]:
        """Return the score of each seed on every split's last one: test if there is one."""
        self.vector[...] = vector
        split = list(self.data.x)[-1]
        outputs = self._forward(np.broadcast_to(self.prepared(split), (len(self.seeds), *self.data.x[split].shape)))
        found = []
        for values in outputs:
            predicted = self.answers.read(tf.constant(values)).numpy()
            named = scoring.measures(self.answers.task, self.data.y[split], predicted, None)
            score = next(iter(named.values()))
            found.append(score if math.isfinite(score) else -1.0)
        return found

    def _forward(self, h: Array) -> Array:
        """Return the outputs for examples [seeds, n, features]."""
        for place, layer in enumerate(self.layers):
            if layer["layer"] == "Dense":
                z = h @ self.parts[place, "kernel"]
                if layer["use_bias"]:
                    z += self.parts[place, "bias"][:, np.newaxis]
                h = ACTIVATIONS[layer["activation"]][0](z)
            elif layer["layer"] == "BatchNormalization":
                mean, variance = (self.parts[place, f"moving_{part}"][:, np.newaxis] for part in ("mean", "variance"))
                h = self._normalized(place, (h - mean) / np.sqrt(variance + layer["epsilon"]))
        return h

    def _normalized(self, place: int, h: Array) -> Array:
        return h * self.parts[place, "gamma"][:, np.newaxis] + self.parts[place, "beta"][:, np.newaxis]

    def _step(self, h: Array, targets: Array, losses: bool) -> Array:
        """Compute the gradient of a batch [seeds, n, features] for every weight; return the loss of each seed."""
        kept: list[tuple[Any, ...]] = []
        for place, layer in enumerate(self.layers):
            if layer["layer"] == "Dense":
                z = h @ self.parts[place, "kernel"]
                if layer["use_bias"]:
                    z += self.parts[place, "bias"][:, np.newaxis]
                a = ACTIVATIONS[layer["activation"]][0](z)
                kept.append((h, z, a))
                h = a
            elif layer["layer"] == "Dropout":
                keep = 1 - layer["rate"]
                mask = (self.random.random(h.shape, np.float32) < keep).astype(np.float32) / np.float32(keep or 1)
                kept.append((mask,))
                h = h * mask
            else:
                mean, variance = h.mean(axis=1, keepdims=True), h.var(axis=1, keepdims=True)
                momentum = layer["momentum"]
                for part, value in (("mean", mean), ("variance", variance)):
                    moving = self.parts[place, f"moving_{part}"]
                    moving *= momentum
                    moving += (1 - momentum) * value[:, 0]
                root = np.sqrt(variance + layer["epsilon"])
                unit = (h - mean) / root
                kept.append((unit, root))
                h = self._normalized(place, unit)
        loss, g, at_input = LOSSES[self.loss](self, h, kept[-1][1], targets)
        for place in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[place]
            if layer["layer"] == "Dense":
                before, z, a = kept[place]
                if not at_input:
                    g = ACTIVATIONS[layer["activation"]][1](g, a, z)
                at_input = False
                np.matmul(before.swapaxes(1, 2), g, out=self.gradients[place, "kernel"])
                if layer["use_bias"]:
                    np.sum(g, axis=1, out=self.gradients[place, "bias"])
                if layer.get("l2"):
                    self.gradients[place, "kernel"] += 2 * layer["l2"] * self.parts[place, "kernel"]
                if place:
                    g = g @ self.parts[place, "kernel"].swapaxes(1, 2)
            elif layer["layer"] == "Dropout":
                g = g * kept[place][0]
            else:
                unit, root = kept[place]
                np.sum(g * unit, axis=1, out=self.gradients[place, "gamma"])
                np.sum(g, axis=1, out=self.gradients[place, "beta"])
                g = g * self.parts[place, "gamma"][:, np.newaxis]
                g = (g - g.mean(axis=1, keepdims=True) - unit * (g * unit).mean(axis=1, keepdims=True)) / root
        return loss.mean(axis=(1, 2)) if losses else np.zeros(len(self.seeds))


Loss = tuple[Array, Array, bool]
"""The loss per output, its gradient, and whether it is that of the input of the last activation."""


def _squares(training: Training, outputs: Array, z: Array, targets: Array) -> Loss:
    difference = outputs - targets
    gradient = difference * np.float32(2 / difference.shape[1] / difference.shape[2])
    if gradient.shape != outputs.shape:
        gradient = gradient.sum(axis=2, keepdims=True)
    return difference**2, gradient, False


def _distances(training: Training, outputs: Array, z: Array, targets: Array) -> Loss:
    difference = outputs - targets
    gradient = np.sign(difference) * np.float32(1 / difference.shape[1] / difference.shape[2])
    if gradient.shape != outputs.shape:
        gradient = gradient.sum(axis=2, keepdims=True)
    return np.abs(difference), gradient, False


def _binary(training: Training, outputs: Array, z: Array, targets: Array) -> Loss:
    """Keras goes back to the logits behind a sigmoid, and clips other outputs."""
    scale = np.float32(1 / outputs.shape[1] / outputs.shape[2])
    activation = training.layers[-1]["activation"]
    if training.logits or activation == "sigmoid":
        logits = outputs if training.logits else z
        loss = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
        return loss, (sigmoid(logits) - targets) * scale, not training.logits
    clipped = np.clip(outputs, EPSILON, np.float32(1 - EPSILON))
    loss = -targets * np.log(clipped) - (1 - targets) * np.log(1 - clipped)
    gradient = (clipped - targets) / (clipped * (1 - clipped)) * (clipped == outputs)
    return loss, gradient * scale, False


def _categorical(training: Training, outputs: Array, z: Array, targets: Array) -> Loss:
    scale = np.float32(1 / outputs.shape[1])
    if training.logits or training.layers[-1]["activation"] == "softmax":
        answers = softmax(z) if not training.logits else softmax(outputs)
        total = targets.sum(axis=-1, keepdims=True)
        loss = -targets * np.log(np.maximum(answers, 1e-37))
        return loss, (answers * total - targets) * scale, not training.logits
    total = outputs.sum(axis=-1, keepdims=True)
    shares = outputs / total
    clipped = np.clip(shares, EPSILON, np.float32(1 - EPSILON))
    by_share = -targets / clipped * (clipped == shares)
    gradient = (by_share - (by_share * shares).sum(axis=-1, keepdims=True)) / total
    return -targets * np.log(clipped), gradient * scale, False


def _sparse(training: Training, outputs: Array, z: Array, targets: Array) -> Loss:
    scale = np.float32(1 / outputs.shape[1])
    places = targets.reshape(targets.shape[:2]).astype(int)
    chosen = np.eye(outputs.shape[-1], dtype=np.float32)[places]
    if training.logits or training.layers[-1]["activation"] == "softmax":
        answers = softmax(outputs) if training.logits else outputs
        loss = -chosen * np.log(np.maximum(answers, 1e-37))
        return loss, (answers - chosen) * scale, not training.logits
    clipped = np.clip(outputs, EPSILON, np.float32(1 - EPSILON))
    answers = clipped / clipped.sum(axis=-1, keepdims=True)
    gradient = (answers - chosen) / clipped * (clipped == outputs)
    return -chosen * np.log(answers), gradient * scale, False


LOSSES: dict[str, Callable[[Training, Array, Array, Array], Loss]] = {
    "mean_squared_error": _squares,
    "mean_absolute_error": _distances,
    "binary_crossentropy": _binary,
    "categorical_crossentropy": _categorical,
    "sparse_categorical_crossentropy": _sparse,
}


def _rates(training: Training) -> Iterator[np.float32]:
    rate, decay = training.network.optimizer["learning_rate"], training.network.optimizer["decay"]
    if isinstance(rate, dict):
        raise RefusedError("a schedule", "a rate that is a number")
    step = 0
    while True:
        yield np.float32(rate / (1 + decay * step))
        step += 1


def _clip(training: Training) -> None:
    settings = training.network.optimizer
    if limit := settings.get("clipnorm"):
        for part in training.gradients.values():
            norms = np.sqrt((part**2).sum(axis=tuple(range(1, part.ndim)), keepdims=True))
            part *= np.where(norms > limit, limit / np.maximum(norms, 1e-30), 1).astype(np.float32)
    elif limit := settings.get("clipvalue"):
        np.clip(training.gradient, -limit, limit, out=training.gradient)


def _sgd(training: Training) -> Callable[[], None]:
    settings, g, w = training.network.optimizer, training.gradient, training.vector
    momentum, nesterov = np.float32(settings["momentum"]), settings["nesterov"]
    velocity, rates = np.zeros_like(w), _rates(training)

    def step() -> None:
        nonlocal w
        _clip(training)
        rate = next(rates)
        if not momentum:
            w -= rate * g
            return
        np.multiply(velocity, momentum, out=velocity)
        np.subtract(velocity, rate * g, out=velocity)
        w += momentum * velocity - rate * g if nesterov else velocity

    return step


def _adam(training: Training) -> Callable[[], None]:
    settings, g, w = training.network.optimizer, training.gradient, training.vector
    one, two, epsilon = settings["beta_1"], settings["beta_2"], np.float32(settings["epsilon"])
    first, second, rates = np.zeros_like(w), np.zeros_like(w), _rates(training)
    a, b = np.float32(1 - one), np.float32(1 - two)
    count = 0

    def step() -> None:
        nonlocal w, count, first, second
        _clip(training)
        count += 1
        rate = next(rates) * np.float32(math.sqrt(1 - two**count) / (1 - one**count))
        first += (g - first) * a
        second += (g * g - second) * b
        w -= rate * first / (np.sqrt(second) + epsilon)

    return step


def _rmsprop(training: Training) -> Callable[[], None]:
    settings, g, w = training.network.optimizer, training.gradient, training.vector
    rho, epsilon, momentum = np.float32(settings["rho"]), np.float32(settings["epsilon"]), np.float32(settings["momentum"])
    squares, change, rates = np.zeros_like(w), np.zeros_like(w), _rates(training)

    def step() -> None:
        nonlocal w, squares, change
        _clip(training)
        squares += (g * g - squares) * (1 - rho)
        update = next(rates) * g / np.sqrt(squares + epsilon)
        change = momentum * change + update if momentum else update
        w -= change

    return step


OPTIMIZERS = {"sgd": _sgd, "adam": _adam, "rmsprop": _rmsprop}


class Stopping:
    """Keras's early stopping on the training loss, for each seed."""

    def __init__(self, network: Network, vector: Array) -> None:
        settings = network.early_stopping
        self.wanted = settings is not None
        self.settings = settings or {}
        self.vector = vector
        self.final = np.zeros_like(vector) if self.wanted else vector
        self.best, self.waited = np.full(len(vector), np.inf), np.zeros(len(vector), int)
        self.stopped = np.zeros(len(vector), bool)
        if self.wanted and (self.settings["monitor"] != "loss" or self.settings["restore_best_weights"]):
            raise RefusedError("another early stopping", "one that watches the loss")

    def after(self, losses: Array) -> bool:
        """Take the loss of an epoch per seed; return whether all seeds have stopped."""
        if not self.wanted:
            return False
        better = losses + self.settings["min_delta"] < self.best
        self.best = np.where(better, losses, self.best)
        self.waited = np.where(better, 0, self.waited + 1)
        ending = (self.waited >= self.settings["patience"]) & ~self.stopped
        self.final[ending] = self.vector[ending]
        self.stopped |= ending
        return bool(self.stopped.all())

    def restored(self) -> Array:
        """Return the final weights."""
        return np.where(self.stopped[:, np.newaxis], self.final, self.vector) if self.wanted else self.vector


def cost(network: Network, n_examples: int, n_features: int, seeds: int) -> float:
    """Return an estimate of the seconds that a training of so many seeds takes."""
    size = min(network.batch_size or n_examples, n_examples)
    steps = (network.epochs or 0) * math.ceil(orders.rows_per_epoch(network, n_examples) / size)
    widths = [n_features, *(layer["units"] for layer in network.dense)]
    weights = sum(a * b for a, b in zip(widths, widths[1:], strict=False))
    each = 25e-6 * len(network.layers) + 4e-5 + seeds * weights * (size * 6 / 15e9 + 4e-9)
    return steps * each


__all__ = ["Training", "cost", "islice", "Layer"]
