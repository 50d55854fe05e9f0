"""The files that `plan` writes for the stages of a case: its runs and baselines, resolved and validated."""

from typing import Annotated, Any

from pydantic import Field

from stages.config.data import Data, Subset
from stages.config.fixes import Fix
from stages.config.network import Keras, Network, PostedNetwork
from stages.config.schema import Baseline, Published, SplitName, Strict, Task

# JSON has lists only.
Names = Annotated[tuple[str, ...], Field(strict=False)]
Seeds = Annotated[tuple[int, ...], Field(strict=False)]


class PlannedCases(Strict):
    """configs/cases.json: the names of the cases, in the order of params.yaml."""

    cases: Names


class PlannedRecipes(Strict):
    """configs/recipes.json: the recipes that the cases use, sorted."""

    recipes: Names


class Configuration(Strict):
    """Everything that is trained: a network, perhaps on a subset of the data, with its seeds.

    `folder` is the folder of its runs below runs/<case>: the name of the first variant that it is, or else a hash.
    `fixes` are the fixes of the first point that it is, for a reader of the run file.
    """

    folder: str
    fixes: Names
    network: Network
    subset: Subset | None
    seeds: Seeds


class PlannedData(Strict):
    """configs/<case>/data.json."""

    task: Task
    data: Data


class SearchedFix(Strict):
    """A fix with its name."""

    name: str
    fix: Fix


class PlannedSearch(Strict):
    """A search among the combinations of `fixes`, under each condition of `keras`, of at most `points` points.

    The fixes are a list, because JSON sorts the keys of a mapping. `seeds` are those of the case.
    """

    judged_by: SplitName
    keras: tuple[Keras, ...] = Field(strict=False)
    seeds: Seeds
    points: int
    as_posted: PostedNetwork
    fixes: tuple[SearchedFix, ...] = Field(strict=False)


class PlannedRuns(Strict):
    """configs/<case>/runs.json: every run of a case, except those that `search` will ask for."""

    runs: tuple[Configuration, ...] = Field(strict=False)
    search: PlannedSearch | None = None


class PlannedBaselines(Strict):
    """configs/<case>/baselines.json."""

    baselines: dict[str, Baseline]


class PlannedFix(Strict):
    """A fix, with the network as it makes it of the one as posted."""

    name: str
    why: str
    source: str | None = None
    changed: PostedNetwork


class PlannedVariant(Strict):
    """A variant under a condition; `set` holds its further settings, and its runs lie in `folder`.

    `label` is its name, with the condition if the case has several.
    """

    name: str
    label: str
    folder: str
    fixes: Names
    set: dict[str, Any]
    seeds: Seeds
    network: Network
    subset: Subset | None


class PlannedPoint(Strict):
    """A subset of the fixes under a condition; its runs, with the seeds of the case, lie in `folder`."""

    fixes: Names
    keras: Keras
    folder: str


class PlannedCase(Strict):
    """configs/<case>/case.json: what `evaluate` needs to know of a case, in the order of params.yaml.

    `points` has all points under the first condition of `keras`, then under the next; it is empty if they are searched.
    Bit i of the place of a point among those of its condition is set if fix i is among its fixes.
    """

    name: str
    title: str
    source: str | None
    task: Task
    judged_by: SplitName
    keras: tuple[Keras, ...] = Field(strict=False)
    seeds: Seeds
    as_posted: PostedNetwork
    fixes: tuple[PlannedFix, ...] = Field(strict=False)
    variants: tuple[PlannedVariant, ...] = Field(strict=False)
    points: tuple[PlannedPoint, ...] = Field(strict=False)
    baselines: Names
    published: tuple[Published, ...] = Field(strict=False)
    search: PlannedSearch | None = None
