"""A short training in NumPy: the networks of the benchmark's faults, several seeds at once, without compiling.

It starts from the first weights of `stages.training` and sees the examples in its order, so the scores of a seed agree
with those of whichfix up to rounding, the draws of dropout, and the draws of normal initializers, which whichfix
compiles. `python -m benchmarks.search --phases check` compares the two.
A program per configuration takes XLA seconds to compile, and the benchmark trains thousands of configurations.
"""

import inspect
import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.quick_losses import ACTIVATIONS, EPSILON, LOSSES, Output
from benchmarks.quick_steps import OPTIMIZERS, Stopping
from stages.config.network import Network
from stages.config.strict import RefusedError
from stages.data import scoring
from stages.data.prepared import Prepared
from stages.training import model as models
from stages.training import orders
from stages.training.answers import Answers, statistics, targets_of
from stages.training.keras import keras, tf

PARTS = models.DRAWN
Array = np.ndarray


@lru_cache(maxsize=4096)
def first_weights(name: str, settings: tuple[tuple[str, Any], ...], shape: tuple[int, ...], seed: int) -> Array:
    """Return first weights, as `models.drawn` draws them."""
    kind = getattr(keras.initializers, name.title().replace("_", ""))
    own = {"seed": seed} if "seed" in inspect.signature(kind).parameters else {}
    return np.array(kind(**dict(settings), **own)(shape, dtype="float32"))


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
        self.layers = [layer for layer in network.layers if layer["layer"] != "Flatten"]
        self._check()
        self._initialize()
        self.has_statistics = any(layer["layer"] == "BatchNormalization" for layer in self.layers)
        self.stopping = Stopping(network, self.vector)
        self.output = Output(self.layers[-1]["activation"], bool(network.loss.get("from_logits")), self.stopping.wanted)

    def _check(self) -> None:
        kinds = {layer["layer"] for layer in self.layers}
        if (
            kinds - {"Dense", "Dropout", "BatchNormalization"}
            or self.layers[-1]["layer"] != "Dense"
            or self.data.x["train"].ndim != 2
        ):
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
            x = (x - mean) / np.maximum(np.sqrt(variance), EPSILON)
            standardized: Array = x.astype(np.float32)
            return standardized
        if self.network.inputs == "raw":
            return x
        return (x * self.network.inputs.scale + self.network.inputs.offset).astype(np.float32)

    def run(self, allowed: Callable[[], bool] = lambda: True) -> list[float]:
        """Train, and return the score of each seed, as `scores` does.

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
        # The order of a full batch is of no use.
        whole = size == rows == orders.rows_per_epoch(network, rows)
        full = [(np.stack([x] * len(self.seeds)), self.targets)] if whole else None
        with np.errstate(all="ignore"):
            for _ in range(network.epochs or 0):
                before = self.vector.copy()
                losses: Any = 0.0
                for inputs, targets in full or self._batches(streams, x, size):
                    losses += self._step(inputs, targets) * inputs.shape[1]
                    step()
                if self.stopping.after(losses / rows) or not np.isfinite(self.vector[:, 0]).any():
                    break
                # Without a gradient, the weights stay as they are.
                still = not self.stopping.wanted and not self.has_statistics and np.array_equal(before, self.vector)
                if still:
                    break
                if not allowed():
                    raise TimeoutError
            return self.scores(self.stopping.restored())

    def _batches(self, streams: list[Iterator[orders.Epoch]], x: Array, size: int) -> Iterator[tuple[Array, Array]]:
        """Yield the batches of the next epoch, each with its own examples per seed."""
        epoch = np.stack([next(stream).rows for stream in streams])
        for start in range(0, epoch.shape[1], size):
            batch = epoch[:, start : start + size]
            yield x[batch], self.targets[batch]

    def scores(self, vector: Array) -> list[float]:
        """Return the score of each seed on the test split, or without one on the training split."""
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
        scaled: Array = h * self.parts[place, "gamma"][:, np.newaxis] + self.parts[place, "beta"][:, np.newaxis]
        return scaled

    def _step(self, h: Array, targets: Array) -> Any:
        """Compute the gradient for a batch [seeds, n, features]; return the loss of each seed, if it is wanted."""
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
        loss, g, at_input = LOSSES[self.loss](self.output, h, kept[-1][1], targets)
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
        return loss.mean(axis=(1, 2)) if self.stopping.wanted else 0.0


def cost(network: Network, n_examples: int, n_features: int, seeds: int) -> float:
    """Return an estimate of the seconds that a training of so many seeds takes."""
    size = min(network.batch_size or n_examples, n_examples)
    steps = (network.epochs or 0) * math.ceil(orders.rows_per_epoch(network, n_examples) / size)
    widths = [n_features, *(layer["units"] for layer in network.dense)]
    weights: int = sum(a * b for a, b in pairwise(widths))
    each = 25e-6 * len(network.layers) + 4e-5 + seeds * weights * (size * 6 / 15e9 + 4e-9)
    return float(steps * each)
