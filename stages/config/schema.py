"""The schema of params.yaml: its keys, their types and their limits.

The limits are far above real use and protect the machine that runs the stages. `checks` has the rules that relate
several parts of a case to each other.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from stages.config.network import N_CLASSES, Keras, Positive, PostedNetwork
from stages.config.strict import RefusedError, chosen_by, is_printable, matching, quote
from stages.config.strict import Strict as Strict

AS_POSTED = "as_posted"
# A case has 2^MOST_FIXES points at most.
MOST_FIXES = 10
# Readers of CSV take these for a number, a truth value or a missing value, in upper and lower case.
NOT_TEXT = ("false", "inf", "infinity", "n-a", "n_a", "na", "nan", "none", "null", "true")

SplitName = Literal["train", "test"]

HOST = r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
# RFC 3986, without user and password, which do not belong into a file that people share.
WEB_ADDRESS = rf"https?://{HOST}(?:[/?#][A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*)?"
DASK_ADDRESS = rf"(?:tcp|tls|wss?|ucxx?)://{HOST}/?"


def _check_text(value: str) -> str:
    if not all(map(is_printable, value)):
        raise RefusedError(quote(value), "text in one line, without control characters")
    if "${" in value:
        raise RefusedError(quote(value), "text without ${, because DVC replaces what begins with it")
    return value


def _check_name(value: str) -> str:
    if value.lower() in NOT_TEXT:
        raise RefusedError(quote(value), f"another name: readers of CSV do not take {value} for text")
    return value


def _check_distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise RefusedError(quote(values), "a list in which none occurs twice")
    return values


def _number_of_json(key: Any, information: ValidationInfo) -> Any:
    """Return a key of a JSON object, which is text, as the number that it stands for."""
    return int(key) if information.mode == "json" and isinstance(key, str) and key.isdecimal() else key


# MLflow's descriptions are made of these and take 8,000 characters.
Text = Annotated[str, Field(max_length=400), AfterValidator(_check_text)]
WebAddress = Annotated[
    str, Field(max_length=1000), matching(WEB_ADDRESS, "an address that begins with https:// or http://")
]
# Names are parts of paths, of commands in dvc.yaml, and of names in MLflow, which takes 250 characters.
Name = Annotated[
    str,
    matching("[A-Za-z][A-Za-z0-9_-]{0,63}", "a name of at most 64 letters, digits, _ and - that begins with a letter"),
    AfterValidator(_check_name),
]
DataFile = Annotated[
    str,
    Field(max_length=200),
    matching(
        r"data/(?!prepared/)(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*/)*[A-Za-z0-9_-][A-Za-z0-9_.-]*",
        "the path of a file below data/, not in data/prepared, of letters, digits, _, -, . and /",
    ),
]
FixNames = Annotated[tuple[str, ...], Field(max_length=MOST_FIXES, strict=False), AfterValidator(_check_distinct)]
# Keras's seeds have 32 bits.
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1, max_length=400, strict=False), AfterValidator(_check_distinct)]
Class = Annotated[int, Field(ge=0, lt=N_CLASSES), BeforeValidator(_number_of_json)]


class MnistData(Strict):
    """MNIST; the validation split is the last `validation_split` of the training examples, as in Keras."""

    splits: ClassVar = ("train", "validation", "test")

    file: DataFile
    recipe: Literal["mnist"]
    validation_split: Annotated[float, Field(ge=0.001, le=0.999)]  # both parts have examples


class Exercise4Data(Strict):
    """The course's digits, derived from MNIST: the first `examples_per_class`, resized to `side` pixels."""

    splits: ClassVar = ("train", "test")

    file: DataFile
    recipe: Literal["exercise4"]
    examples_per_class: Annotated[int, Field(ge=1, le=5421)]  # MNIST has 5,421 of its rarest digit, 5
    side: Annotated[int, Field(ge=1, le=28)]


Data = Annotated[
    MnistData | Exercise4Data, Field(discriminator="recipe"), chosen_by("recipe", MnistData, Exercise4Data)
]


class Subset(Strict):
    """A part of the training split: the first examples of each named class; maps a class to their number."""

    # The training split of MNIST has 60,000 examples.
    first_of_each_class: Annotated[dict[Class, Annotated[int, Field(ge=1, le=60_000)]], Field(min_length=1)]


class Fix(Strict):
    """A named change to the posted configuration, with its reason."""

    why: Text
    set: dict[str, Any]


class Variant(Strict):
    """A point of a case with a name, perhaps with further settings, on a subset of the data, or with its own seeds.

    It is trained under each condition of the case, or only under `keras`.
    """

    fixes: FixNames = ()
    set: dict[str, Any] = Field(default={})
    data: Subset | None = None
    seeds: Seeds | None = None
    keras: Keras | None = None


class Baseline(Strict):
    """scikit-learn's logistic regression, in its own terms; its inputs are multiplied by `input_scale`."""

    # float32 must hold the scaled pixels and the penalty.
    input_scale: Annotated[float, Field(ge=1e-6, le=1e6)]
    C: Annotated[float, Field(ge=1e-6, le=1e12)]
    max_iter: Positive
    one_vs_all: bool = False


class Published(Strict):
    """A published number, and the measured figure that it is compared with.

    `of` is a variant or baseline of the case. `figure` is a mean over seeds such as test_accuracy; with `from_epoch` it
    is a column of the history, from that epoch on.
    """

    claim: Text
    value: float
    tolerance: Annotated[float, Field(ge=0)]
    source: Text
    of: str
    figure: str
    from_epoch: Positive | None = None


class Case(Strict):
    """One question: its data, the configuration as posted, and the fixes suggested for it.

    `keras` are its conditions, the versions of Keras whose losses it is measured with.
    """

    title: Text
    source: WebAddress
    data: Data
    judged_by: SplitName
    keras: Annotated[tuple[Keras, ...], Field(min_length=1, strict=False), AfterValidator(_check_distinct)] = ("3",)
    as_posted: PostedNetwork
    fixes: Annotated[dict[Name, Fix], Field(max_length=MOST_FIXES)]
    variants: Annotated[dict[Name, Variant], Field(max_length=200)] = Field(default={})
    baselines: Annotated[dict[Name, Baseline], Field(max_length=100)] = Field(default={})
    published: Annotated[tuple[Published, ...], Field(max_length=1000, strict=False)] = ()

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
