"""The configuration of a network and its training: as it stands under `as_posted` in params.yaml, and resolved."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from stages.config.strict import RefusedError, Strict, chosen_by, quote

N_CLASSES = 10
MOST_FEATURES = 784
# Training holds the weights about six times: with gradients, moments and copies, 1.2 GB in float32.
MOST_WEIGHTS = 50_000_000

Positive = Annotated[int, Field(ge=1, le=1_000_000)]


class GlorotUniform(Strict):
    """Kernels uniform within ±sqrt(6 / (fan_in + fan_out)), Keras's default."""

    name: Literal["glorot_uniform"]


class Uniform(Strict):
    """Kernels and biases uniform within ±limit, as in the course's exercise."""

    name: Literal["uniform"]
    limit: Annotated[float, Field(gt=0, le=1e38)]  # float32 must hold 2 * limit


class Sgd(Strict):
    """Stochastic gradient descent without momentum."""

    name: Literal["sgd"]
    learning_rate: Annotated[float, Field(gt=0)]


class Adam(Strict):
    """Adam with Keras's default moments."""

    name: Literal["adam"]
    learning_rate: Annotated[float, Field(gt=0)]


class Tnc(Strict):
    """SciPy's truncated Newton method on the whole training split."""

    name: Literal["tnc"]
    max_function_calls: Positive


def _check_output_units(units: int) -> int:
    if units not in (1, N_CLASSES):
        raise RefusedError(quote(units), f"1 or {N_CLASSES}")
    return units


def _check_weights(hidden_units: tuple[int, ...]) -> tuple[int, ...]:
    weights = sum(inputs * outputs for inputs, outputs in pairwise((MOST_FEATURES, *hidden_units, N_CLASSES)))
    if weights > MOST_WEIGHTS:
        problem = f"{quote(hidden_units)} with {weights} weights"
        raise RefusedError(problem, f"units with at most {MOST_WEIGHTS} weights")
    return hidden_units


HiddenUnits = Annotated[
    tuple[Annotated[int, Field(ge=1, le=16_384)], ...],
    Field(max_length=32, strict=False),
    AfterValidator(_check_weights),
]


# Whose losses: Keras 2.2 is of 2018, and Keras 3 is today's.
Keras = Literal["2.2", "3"]
# The conditions in words.
WHEN: dict[str, str] = {"2.2": "in 2018", "3": "today"}


def label(name: str, keras: str, conditions: Sequence[str]) -> str:
    """Return `name` under the condition `keras`, such as ``fixed@2.2``; `name` alone if there is one condition."""
    return name if len(conditions) == 1 else f"{name}@{keras}"


class PostedNetwork(Strict):
    """Everything that decides a run, except its seed, its data and the version of Keras.

    The inputs are multiplied by `input_scale`. The L2 penalty is `l2` times the sum of the squared kernels, added to
    the mean loss. `batch_size` and `epochs` are null for TNC, which counts function calls.
    """

    input_scale: Annotated[float, Field(gt=0)]
    hidden_units: HiddenUnits
    hidden_activation: Literal["linear", "relu", "sigmoid", "tanh"]
    output_units: Annotated[int, AfterValidator(_check_output_units)]
    output_activation: Literal["sigmoid", "softmax"]
    initializer: Annotated[
        GlorotUniform | Uniform, Field(discriminator="name"), chosen_by("name", GlorotUniform, Uniform)
    ]
    loss: Literal[
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
        "summed_binary_crossentropy",
    ]
    optimizer: Annotated[Sgd | Adam | Tnc, Field(discriminator="name"), chosen_by("name", Sgd, Adam, Tnc)]
    l2: Annotated[float, Field(ge=0)]
    batch_size: Positive | None
    epochs: Positive | None

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if (self.output_units == 1) != (self.loss == "binary_crossentropy"):
            problem = f"loss {self.loss} with output_units {self.output_units}"
            raise RefusedError(problem, f"binary_crossentropy with 1 output unit, every other loss with {N_CLASSES}")
        if self.output_activation == "softmax" and self.loss.endswith("binary_crossentropy"):
            raise RefusedError(f"output_activation softmax with loss {self.loss}", "output_activation sigmoid")
        for key in ("batch_size", "epochs"):
            if (getattr(self, key) is None) != (self.optimizer.name == "tnc"):
                raise RefusedError(
                    f"{key} {quote(getattr(self, key))} with optimizer {self.optimizer.name}",
                    f"{key} null with optimizer tnc, which counts function calls, and at least 1 with every other",
                )
        return self


class Network(PostedNetwork):
    """Everything that decides a run, except its seed and its data. Losses are those of the version `keras`."""

    keras: Keras

    @property
    def dtype(self) -> Literal["float32", "float64"]:
        """Return the dtype of the computation.

        TNC estimates curvature from differences of gradients, which rounding to float32 would drown.
        """
        return "float64" if self.optimizer.name == "tnc" else "float32"

    @property
    def shares_penalty(self) -> bool:
        """Return whether the L2 factor is an input of the program rather than a constant.

        In float64 the two round differently, and a factor of zero leaves the penalty out.
        """
        return self.dtype == "float32" and self.l2 > 0

    @property
    def program(self) -> str:
        """Return the settings that are compiled into the training program, as JSON.

        Runs with equal settings share one program. The learning rate is an input of it; the number of epochs decides
        how often it is called, and the initializer its first weights.
        """
        compiled = self.model_dump(exclude={"epochs", "initializer", "optimizer"})
        l2 = "given" if self.shares_penalty else self.l2
        return json.dumps({**compiled, "l2": l2, "optimizer": self.optimizer.name})
