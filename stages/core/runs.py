"""What a training gives; without TensorFlow, so that a process that trains nothing can read it."""

import math
from dataclasses import dataclass

import numpy as np


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
        losses = [loss for epoch in self.history for loss in (epoch.loss, epoch.validation_loss) if loss is not None]
        losses += [evaluation.loss for evaluation in self.final.values()]
        finite = all(map(math.isfinite, losses)) and all(np.isfinite(array).all() for array in self.weights.values())
        return not finite

    @property
    def summary(self) -> str:
        """The accuracies of the final weights, for a person."""
        accuracies = ", ".join(f"{split} {final.accuracy:.4f}" for split, final in self.final.items())
        return f"accuracy {accuracies}{' (diverged)' if self.diverged else ''}"
