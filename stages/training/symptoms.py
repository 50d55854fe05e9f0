"""Symptoms of a network at one moment of its training, made of what `probe` reads. Without TensorFlow.

They are measured in inference mode on at most `EXAMPLES` training examples, and rounded to four significant digits.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from stages.config.network import Layer, Network

EXAMPLES = 1000
# An output counts as saturated if it is nearer than this to an end of its range: in a layer, and in the network's own
# outputs, where such a value is a firm answer.
NEAR, NEAREST = 0.01, 0.001
DIGITS = 4

# Activations that are exactly zero for a whole range of inputs.
ZERO = {"relu", "relu6", "hard_shrink", "hard_silu", "hard_swish", "soft_shrink", "sparse_plus"}
# The ends of the range of an activation, where it is flat. Those of SELU are from `keras.activations.selu`.
ENDS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "sparse_sigmoid"), (0.0, 1.0)),
    **dict.fromkeys(("tanh", "hard_tanh", "softsign"), (-1.0, 1.0)),
    **dict.fromkeys(("elu", "celu"), (-1.0,)),
    "selu": (-1.7580993408473766,),
    "relu6": (6.0,),
}
# Activations whose outputs for an example add up to 1. They are flat where one output is 1 and all others are 0.
SHARED = {"softmax", "sparsemax"}
WITH_ACTIVATION = ("Dense", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax")
# In inference, these layers change nothing but the shape.
PASSING = ("Dropout", "Flatten")


class Range(NamedTuple):
    """The place where an activation is flat: at zero, near the `ends` of its range, or with one output taking all."""

    zero: bool = False
    ends: tuple[float, ...] = ()
    shared: bool = False

    @property
    def flat(self) -> bool:
        """Return whether values can be saturated."""
        return bool(self.ends) or self.shared


class LayerState(NamedTuple):
    """The outputs [n, ..., units] of a layer, and its kernel, the kernel's gradient and its next update.

    The last three are None without a kernel, and the update is None without an optimizer of Keras.
    """

    outputs: np.ndarray
    kernel: np.ndarray | None
    gradient: np.ndarray | None
    update: np.ndarray | None


def rows(n_examples: int) -> np.ndarray:
    """Return the numbers of the examples that are looked at: evenly spaced, so that sorted data are seen whole."""
    n = min(n_examples, EXAMPLES)
    return np.arange(n) * n_examples // n


def watched(network: Network) -> list[Layer]:
    """Return the layers that can have symptoms: those with a kernel or an activation."""
    return [layer for layer in network.layers if layer["layer"] in WITH_ACTIVATION]


def range_of(layer: Layer) -> Range:
    """Return where the activation of `layer` is flat."""
    match layer["layer"]:
        case "Dense" | "Activation":
            name = layer["activation"]
            return Range(name in ZERO, ENDS.get(name, ()), name in SHARED)
        case "ReLU" | "LeakyReLU":
            most = layer.get("max_value")
            return Range(layer["negative_slope"] == 0, () if most is None else (most,))
        case "ELU":
            return Range(ends=(-layer["alpha"],))
        case "Softmax":
            return Range(shared=True)
    return Range()


def output_range(network: Network) -> Range:
    """Return where the activation of the outputs is flat."""
    for layer in reversed(network.layers):
        linear = layer["layer"] == "Activation" and layer["activation"] == "linear"
        if layer["layer"] not in PASSING and not linear:
            return range_of(layer)
    return Range()


def share(true: np.ndarray, outputs: np.ndarray) -> float:
    """Return the share of `true` that is true, NaN if one of `outputs` is not finite."""
    return float(np.mean(true)) if np.isfinite(outputs).all() else math.nan


def saturated(outputs: np.ndarray, where: Range, near: float) -> float | None:
    """Return the share of `outputs` [n, units] that are saturated, NaN if one is not finite, None if none can be.

    That is, nearer than `near` to an end. Outputs that add up to 1 are saturated in the examples in which one of them
    is.
    """
    if not where.flat:
        return None
    with np.errstate(invalid="ignore"):
        if where.shared:
            return share(np.max(outputs, axis=-1) > 1 - near, outputs)
        return share(np.any([np.abs(outputs - end) < near for end in where.ends], axis=0), outputs)


def spread(values: np.ndarray) -> float:
    """Return the standard deviation of `values` [n] or [n, columns]: the root of the mean variance of the columns."""
    columns = values.astype(np.float64).reshape(len(values), -1)
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(np.mean(np.var(columns, axis=0))))


def most_frequent(answers: np.ndarray) -> float:
    """Return the share of the most frequent answer among `answers` [n] or [n, labels]."""
    counts = np.unique(answers, axis=0, return_counts=True)[1]
    return float(np.max(counts)) / len(answers)


def norm(matrix: np.ndarray | None) -> float | None:
    """Return the root of the sum of the squares of `matrix` [n, units], None without one."""
    if matrix is None:
        return None
    # NumPy adds up columns row by row, in the same order on every processor; its norm is that of a BLAS.
    return math.sqrt(math.fsum(np.sum(np.square(matrix, dtype=np.float64), axis=0)))


def of_layer(layer: Layer, state: LayerState) -> dict[str, Any]:
    """Return the symptoms of a layer, as `results.LayerSymptoms` has them."""
    where, values = range_of(layer), state.outputs.reshape(len(state.outputs), -1)
    kernel, gradient, update = map(norm, state[1:])
    return {
        "name": layer["name"],
        "dead": rounded(share(np.all(values == 0, axis=0), values)) if where.zero else None,
        "saturated": rounded(saturated(values, where, NEAR)),
        "gradient": rounded(gradient),
        "update": rounded(update / kernel if update is not None and kernel else None),
    }


def of_network(
    network: Network, layers: Iterable[LayerState], outputs: np.ndarray, targets: np.ndarray, answers: np.ndarray | None
) -> dict[str, Any]:
    """Return symptoms, as `results.Symptoms` has them, in strict JSON: a value that is not finite is None.

    `layers` are in the order of `watched`. `outputs` [n, units] and `targets` [n, ...] are those that the loss
    compares, `answers` are None for a regression.
    """
    return {
        "layers": [of_layer(layer, state) for layer, state in zip(watched(network), layers, strict=True)],
        "saturated": rounded(saturated(outputs, output_range(network), NEAREST)),
        "spread": rounded(spread(outputs)),
        "target_spread": rounded(spread(targets)),
        "most_frequent": None if answers is None else rounded(most_frequent(answers)),
    }


def of_run(moments: Mapping[str, Mapping[str, Any]], finite_steps: Sequence[int], steps: int) -> dict[str, Any]:
    """Return the symptoms of a run, as `results.SymptomsResult` has them.

    `moments` are start, end and, unless the network has no epochs, first_epoch. `finite_steps` counts, per epoch of
    `steps` steps, those before the first one whose loss is not finite.
    """
    first = next(
        (epoch * steps + count + 1 for epoch, count in enumerate(finite_steps) if count < steps),
        None,
    )
    found = {moment: moments.get(moment) for moment in ("start", "first_epoch", "end")}
    return {**found, "first_not_finite": first}


def rounded(value: float | None) -> float | None:
    """Return `value` with `DIGITS` significant digits, None if it is not finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")
