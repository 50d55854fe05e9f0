"""The types of reports/results/<case>.json, which `evaluate` writes and `report` and `track` read.

Scores, gains and effects are fractions of 1. A mean over seeds that is not finite is None.
"""

from typing import Any

from pydantic import Field, ValidationError

from stages.analysis.estimates import Estimate as Estimate
from stages.analysis.estimates import Figure as Figure
from stages.analysis.estimates import Result
from stages.analysis.repair_results import LayerSymptoms as LayerSymptoms
from stages.analysis.repair_results import Remark as Remark
from stages.analysis.repair_results import RepairResult as RepairResult
from stages.analysis.repair_results import SearchResult as SearchResult
from stages.analysis.repair_results import SearchStep as SearchStep
from stages.analysis.repair_results import Symptoms as Symptoms
from stages.analysis.repair_results import SymptomsResult as SymptomsResult
from stages.base import files
from stages.config.schema import SCORES, Task
from stages.config.strict import damaged


class ArrayDigest(Result):
    """The dtype and shape of an array, and the SHA-256 digest of its elements in C order, little-endian."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str


class DataResult(Result):
    """The prepared data of a case; `arrays` is by name, such as x_train.

    `classes` are the names of the classes, labels or targets, `inputs` those of the inputs where they have any.
    `balance` has the share of each class among the training examples. `axis` names the rows and columns of confusion
    counts: the classes, no and yes for labels, or tenths of the measured values. `members` are the further arrays of
    the prepared file, such as raw_train and sample_weight, `target_shape` is the shape of what that file has as the
    target of an example, and `numbered` says that it has 0, 1, 2, ... for the classes.
    """

    sha256: str
    rows: dict[str, int]
    features: int
    classes: tuple[str, ...]
    inputs: tuple[str, ...] | None
    balance: tuple[float, ...]
    axis: tuple[str, ...]
    pictures: bool
    arrays: dict[str, ArrayDigest]
    members: tuple[str, ...] = ()
    target_shape: tuple[int, ...] = ()
    numbered: bool = True


class FixResult(Result):
    """A fix of the case; `changes` are (key, value as posted, new value), as text, `source` is where it is advised."""

    name: str
    why: str
    source: str | None = None
    changes: tuple[tuple[str, str, str], ...]


class VariantResult(Result):
    """A variant under a condition, over its seeds.

    `label` is its name, with the condition `keras` if the case has several, such as ``fixed@2.2``.
    `network` is its resolved configuration. `scores`, `losses` and `gain` are by split, and of the final weights.
    `measures` has, by split, what stands beside the score, such as the balanced accuracy. `final_loss` is the running
    loss of the last epoch. `recall` is by class, None for a class without examples.
    `keras_accuracy` is, by split, what Keras prints if the network is compiled with ``metrics=["accuracy"]``.
    `diverged` is the share of its runs that diverged, `steps` the number of gradient evaluations of a run.
    For a variant on a subset of the training data, `subset` maps each class to its number of examples and `answers`
    maps a class to the number of seeds that answer it most often; such a variant has no gain and no test split.
    """

    name: str
    label: str
    keras: str
    folder: str
    fixes: tuple[str, ...]
    set: dict[str, Any]
    seeds: tuple[int, ...]
    network: dict[str, Any]
    subset: dict[int, int] | None
    answers: dict[int, int] | None
    scores: dict[str, Figure]
    losses: dict[str, Figure]
    measures: dict[str, dict[str, Figure]]
    keras_accuracy: dict[str, Figure] = Field(default={})
    symptoms: SymptomsResult | None = None
    final_loss: Figure
    gain: dict[str, Figure]
    recall: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]
    diverged: float
    steps: int


class BaselineResult(Result):
    """A model of scikit-learn on the same splits; `settings` are as in params.yaml."""

    name: str
    settings: dict[str, Any]
    scores: dict[str, Figure]
    losses: dict[str, Figure]
    measures: dict[str, dict[str, Figure]]
    recall: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]
    n_iter: int

    @property
    def label(self) -> str:
        """Return the name, because a baseline is the same under every condition."""
        return self.name


class PointResult(Result):
    """A set of fixes under a condition.

    `variants` are the names of the variants that it is, `diverged` counts its runs that diverged. `seeds` are those of
    its runs: those of the case, unless points are searched.
    """

    fixes: tuple[str, ...]
    keras: str
    folder: str
    variants: tuple[str, ...]
    scores: dict[str, Estimate]
    diverged: int
    seeds: tuple[int, ...] = ()


class RefusedPoint(Result):
    """A set of fixes that Keras refuses to train, and its reason."""

    fixes: tuple[str, ...]
    keras: str
    reason: str


class FixEffects(Result):
    """Four ways to say what a fix is worth; see `attribution`. Some are None if not every set was trained."""

    alone: Estimate | None
    leave_one_out: Estimate | None
    main_effect: Estimate | None
    shapley: Estimate | None

    @property
    def worth(self) -> Estimate:
        """Return the Shapley value or, if not every set was trained, the main effect; no mean if there is neither."""
        return self.shapley or self.main_effect or Estimate(mean=None, low=None, high=None)


class Interaction(Estimate):
    """The score that a pair of fixes adds together beyond what they add one by one."""

    fixes: tuple[str, str]


class Step(Result):
    """A step on the greedy path: its fix, the score after it, its gain over as posted and over the step before."""

    fix: str
    score: Estimate
    gain: Estimate
    step: Estimate


class Effects(Result):
    """The contribution of each fix to the score on one split.

    `complete` says that every set of fixes was trained. Otherwise, `full_gain` is that of the best set.
    """

    complete: bool
    as_posted: Estimate
    full_gain: Estimate
    fixes: dict[str, FixEffects]
    interactions: tuple[Interaction, ...]
    smallest_sets: tuple[tuple[str, ...], ...]
    greedy_path: tuple[Step, ...]


class PublishedResult(Result):
    """A published number beside the measured one.

    `of` is a variant or baseline of the case. `keras` is the condition of a variant, None for a baseline.
    """

    claim: str
    source: str
    of: str
    keras: str | None
    figure: str
    published: float
    measured: float | None
    tolerance: float
    agrees: bool


class CaseResult(Result):
    """All numbers of a case. Fixes, variants, baselines and points are in the order of params.yaml.

    `keras` are its conditions. `effects` is by condition and split; it is empty if the points are searched, and then
    `search` says how, by condition. `repairs` are by condition, the best first. `misleading` are numbers that Keras
    prints and that mislead, `warnings` are about data that no fix repairs. `fixed` is the name of the variant that
    stands for the repaired network. Fixes are compared on the split `judged_by`; if the data are too few to be split,
    it is train.
    """

    case: str
    title: str
    source: str | None
    task: Task
    judged_by: str
    keras: tuple[str, ...]
    seeds: tuple[int, ...]
    data: DataResult
    as_posted: dict[str, Any]
    fixes: tuple[FixResult, ...]
    variants: tuple[VariantResult, ...]
    baselines: tuple[BaselineResult, ...]
    points: tuple[PointResult, ...]
    refused: tuple[RefusedPoint, ...]
    effects: dict[str, dict[str, Effects]]
    published: tuple[PublishedResult, ...]
    fixed: str
    repairs: dict[str, tuple[RepairResult, ...]] = Field(default={})
    search: dict[str, SearchResult] = Field(default={})
    misleading: tuple[Remark, ...] = ()
    warnings: tuple[Remark, ...] = ()

    @property
    def score(self) -> str:
        """Return the name of the score: accuracy or r2."""
        return SCORES[self.task]

    def variant(self, name: str, keras: str) -> VariantResult:
        """Return the variant called `name` under the condition `keras`."""
        return next(variant for variant in self.variants if (variant.name, variant.keras) == (name, keras))

    def labelled(self, label: str) -> VariantResult:
        """Return the variant with this label."""
        return next(variant for variant in self.variants if variant.label == label)

    def published_under(self, keras: str) -> list[PublishedResult]:
        """Return the published numbers beside those measured under the condition `keras`, and beside baselines."""
        return [row for row in self.published if row.keras in (keras, None)]

    def points_of(self, keras: str) -> dict[tuple[str, ...], PointResult]:
        """Return the points under the condition `keras`, by their fixes."""
        return {point.fixes: point for point in self.points if point.keras == keras}


def read(case: str) -> CaseResult:
    """Return the result of `case`.

    Raises
    ------
    UserError
        If reports/results/<case>.json is missing or damaged.
    """
    path = files.result_path(case)
    try:
        return CaseResult.model_validate_json(files.read_bytes(path))
    except ValidationError as error:
        raise damaged(path, error, "evaluate") from None
