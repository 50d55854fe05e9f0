"""The schema of params.yaml: its keys, their types and their limits.

The limits are far above real use and protect the machine that runs the stages. `checks` has the rules that relate
several parts of a case to each other.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from stages.config.data import Data, Seed, Subset, check_distinct
from stages.config.examples import Inputs, Positive, inputs_check
from stages.config.fixes import Fix
from stages.config.network import Keras, PostedNetwork
from stages.config.strict import (
    HOST,
    NAME,
    OR_FRACTION,
    Number,
    RefusedError,
    Text,
    Values,
    WebAddress,
    chosen_by,
    matching,
    quote,
    well_named,
)
from stages.config.strict import Strict as Strict

AS_POSTED = "as_posted"
# The variant that is the first repair of a search.
REPAIRED = "repaired"
MOST_FIXES, MOST_VARIANTS = 60, 200
# Readers of CSV take these for a number, a truth value or a missing value, in upper and lower case.
NOT_TEXT = ("false", "inf", "infinity", "n-a", "n_a", "na", "nan", "none", "null", "true")

SplitName = Literal["train", "validation", "test"]
# What is predicted decides how an answer is read and scored.
Task = Literal["binary", "multiclass", "multilabel", "regression"]
# The score by which fixes are compared. Higher is better.
SCORES: dict[Task, str] = {
    **dict.fromkeys(("binary", "multiclass", "multilabel"), "accuracy"),
    "regression": "r2",
}
FLOOR = "floor"

DASK_ADDRESS = rf"(?:tcp|tls|wss?|ucxx?)://{HOST}/?"


def _check_name(value: str) -> str:
    if not re.fullmatch(NAME, value):
        expected = "a name of at most 64 letters, digits, _ and - that begins with a letter"
        raise RefusedError(quote(value), expected + well_named(value))
    if value.lower() in NOT_TEXT:
        raise RefusedError(quote(value), f"another name: readers of CSV do not take {value} for text")
    return value


# Names are parts of paths, of commands in dvc.yaml, and of names in MLflow, which takes 250 characters.
Name = Annotated[str, AfterValidator(_check_name)]


def _check_keras(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise RefusedError(quote(value), f"a list, such as {quote([str(value)])}")
    return value


FixNames = Annotated[tuple[str, ...], Field(max_length=MOST_FIXES, strict=False), AfterValidator(check_distinct)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1, max_length=400, strict=False), AfterValidator(check_distinct)]


class Variant(Strict):
    """A point of a case with a name, perhaps with further settings, on a subset of the data, or with its own seeds.

    It is trained under each condition of the case, or only under `keras`.
    """

    fixes: FixNames = ()
    set: Values = Field(default={})
    data: Subset | None = None
    seeds: Seeds | None = None
    keras: Keras | None = None


class LogisticRegression(Strict):
    """scikit-learn's logistic regression, in its own terms."""

    model: Literal["LogisticRegression"]
    inputs: Annotated[Inputs, inputs_check()] = "standardized"
    # float32 must hold the penalty.
    C: Annotated[float, Field(ge=1e-6, le=1e12), OR_FRACTION] = 1.0
    max_iter: Positive = 1000
    one_vs_all: bool = False


class Ridge(Strict):
    """scikit-learn's ridge regression, in its own terms."""

    model: Literal["Ridge"]
    inputs: Annotated[Inputs, inputs_check()] = "standardized"
    alpha: Annotated[float, Field(ge=0, le=1e12), OR_FRACTION] = 1.0


class Floor(Strict):
    """The answer that needs no inputs: always the most frequent class, or the mean. Every case has it."""

    model: Literal["Floor"]


Baseline = Annotated[
    LogisticRegression | Ridge | Floor,
    Field(discriminator="model"),
    chosen_by("model", LogisticRegression, Ridge, Floor),
]


class Published(Strict):
    """A published number, and the measured figure that it is compared with.

    `of` is a variant or baseline of the case. `figure` is a mean over seeds such as test_accuracy; with `from_epoch` it
    is a column of the history, from that epoch on.
    """

    claim: Text
    value: Number
    tolerance: Annotated[float, Field(ge=0), OR_FRACTION]
    source: Text
    of: str
    figure: str
    from_epoch: Positive | None = None


class Search(Strict):
    """A search among the combinations of the fixes of a case, which trains at most `points` of them."""

    points: Annotated[int, Field(ge=5, le=400)] = 40


class Case(Strict):
    """One question: its data, the configuration as posted, and the fixes suggested for it.

    `keras` are its conditions, the versions of Keras whose losses it is measured with. Without `search`, all
    combinations of the fixes are trained if they are few, and searched if they are many; false means all.
    """

    title: Text
    source: WebAddress | None = None
    task: Task
    data: Data
    judged_by: SplitName
    keras: Annotated[
        tuple[Keras, ...],
        Field(min_length=1, strict=False),
        BeforeValidator(_check_keras),
        AfterValidator(check_distinct),
    ] = ("3",)
    as_posted: PostedNetwork
    fixes: Annotated[dict[Name, Fix], Field(max_length=MOST_FIXES)]
    search: Search | Literal[False] | None = None
    variants: Annotated[dict[Name, Variant], Field(max_length=MOST_VARIANTS)] = Field(default={})
    baselines: Annotated[dict[Name, Baseline], Field(max_length=100)] | None = None
    published: Annotated[tuple[Published, ...], Field(max_length=1000, strict=False)] = ()

    def all_baselines(self) -> dict[str, LogisticRegression | Ridge | Floor]:
        """Return every baseline by name: those of the case, or else the linear model of its task; the floor last."""
        own = self.baselines
        if own is None and self.task == "regression":
            own = {"ridge": Ridge(model="Ridge")}
        elif own is None:
            own = {"logistic_regression": LogisticRegression(model="LogisticRegression")}
        return {**own, FLOOR: Floor(model="Floor")}

    def all_variants(self) -> dict[str, Variant]:
        """Return every variant by name, as posted first."""
        return {AS_POSTED: Variant(), **self.variants}

    def conditions_of(self, variant: Variant) -> tuple[Keras, ...]:
        """Return the conditions under which `variant` is trained."""
        return (variant.keras,) if variant.keras else self.keras


class Execution(Strict):
    """The place where the runs of a case are trained side by side. No result depends on it.

    `loky` (processes) and `threading` train `workers` runs at a time on this machine. `dask` uses every worker of a
    cluster. The address of its scheduler is `scheduler`, or else Dask's own setting (DASK_SCHEDULER_ADDRESS).
    """

    backend: Literal["loky", "threading", "dask"]
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    scheduler: (
        Annotated[
            str,
            Field(max_length=300),
            matching(DASK_ADDRESS, "the address that `dask scheduler` prints, such as tcp://host:8786"),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _check_backend(self) -> Self:
        if self.backend == "dask":
            if self.workers is not None:
                raise RefusedError(quote(self.workers), "none with backend dask: a cluster has its own", "workers")
        elif self.workers is None:
            raise RefusedError("missing", f"a whole number with backend {self.backend}", "workers")
        elif self.scheduler is not None:
            expected = f"none with backend {self.backend}: only dask has one"
            raise RefusedError(quote(self.scheduler), expected, "scheduler")
        return self


class Params(Strict):
    """The whole of params.yaml."""

    seeds: Seeds
    execution: Execution
    cases: Annotated[dict[Name, Case], Field(min_length=1, max_length=50)]

    def seeds_of(self, variant: Variant) -> tuple[int, ...]:
        """Return the seeds that `variant` is trained with."""
        return variant.seeds or self.seeds
