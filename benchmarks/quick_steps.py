"""The optimizers and the early stopping of `quick`, as Keras 3 has them."""

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from stages.config.network import Network
from stages.config.strict import RefusedError

Array = np.ndarray


class Trained(Protocol):
    """The values that an optimizer changes: the weights of each seed in a row, their gradient, and its parts."""

    network: Network
    vector: Array
    gradient: Array
    gradients: dict[tuple[int, str], Array]


def _rates(training: Trained) -> Iterator[np.float32]:
    rate, decay = training.network.optimizer["learning_rate"], training.network.optimizer["decay"]
    if isinstance(rate, dict):
        raise RefusedError("a schedule", "a rate that is a number")
    step = 0
    while True:
        yield np.float32(rate / (1 + decay * step))
        step += 1


def _clip(training: Trained) -> None:
    settings = training.network.optimizer
    if limit := settings.get("clipnorm"):
        for part in training.gradients.values():
            norms = np.sqrt((part**2).sum(axis=tuple(range(1, part.ndim)), keepdims=True))
            part *= np.where(norms > limit, limit / np.maximum(norms, 1e-30), 1).astype(np.float32)
    elif limit := settings.get("clipvalue"):
        np.clip(training.gradient, -limit, limit, out=training.gradient)


def _sgd(training: Trained) -> Callable[[], None]:
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


def _adam(training: Trained) -> Callable[[], None]:
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


def _rmsprop(training: Trained) -> Callable[[], None]:
    settings, g, w = training.network.optimizer, training.gradient, training.vector
    rho, epsilon, momentum = (
        np.float32(settings["rho"]),
        np.float32(settings["epsilon"]),
        np.float32(settings["momentum"]),
    )
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
