"""A case and some of its fixes -> the network to train; a whole case -> what `plan` writes for its stages."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from stages.base import files
from stages.config import fixes
from stages.config.data import Subset
from stages.config.network import Keras, Network, PostedNetwork, label
from stages.config.planned import (
    Configuration,
    PlannedBaselines,
    PlannedCase,
    PlannedData,
    PlannedFix,
    PlannedPoint,
    PlannedRuns,
    PlannedSearch,
    PlannedVariant,
    SearchedFix,
)
from stages.config.schema import Case, Params, Search
from stages.config.strict import RefusedError, none_of


def under(changed: PostedNetwork, keras: Keras) -> Network:
    """Return a network under the condition `keras`."""
    return Network.model_construct(**dict(changed), keras=keras)


def resolve(case: Case, names: Sequence[str], overrides: Mapping[str, Any]) -> PostedNetwork:
    """Return the network of `case` as posted, with the fixes `names` and then `overrides`.

    Raises
    ------
    RefusedError
        If a fix is unknown, two fixes are alternatives, or the result cannot be trained. Its path is below the case, or
        for an override below the variant that has it.
    """
    for name in names:
        if name not in case.fixes:
            raise none_of(name, case.fixes, "fixes")
    chosen = {name: case.fixes[name] for name in names}
    for pair in fixes.alternatives(case.as_posted, chosen):
        raise RefusedError(
            " and ".join(sorted(pair)), "one of the two: they set the same, so they are alternatives", "fixes"
        )
    return fixes.apply(case.as_posted, chosen, overrides)


def points(case: Case) -> Iterator[tuple[str, ...]]:
    """Yield every set of fixes of `case` that has no alternatives in it, in the order of counting in binary.

    Without alternatives, bit i of the place of a set is set if fix i belongs to it.
    """
    names = tuple(case.fixes)
    excluded = fixes.alternatives(case.as_posted, case.fixes)
    for place in range(2 ** len(names)):
        chosen = tuple(fix for i, fix in enumerate(names) if place >> i & 1)
        if not any(pair <= set(chosen) for pair in excluded):
            yield chosen


# A case with at most so many points measures all of them; they are those of six fixes.
MOST_POINTS = 64
# More fixes than these are always searched.
MOST_MEASURED = 10


def searched(case: Case) -> Search | None:
    """Return how the points of `case` are searched, None if all of them are trained."""
    if case.search is False:
        return None
    if case.search is not None:
        return case.search
    many = len(case.fixes) > MOST_MEASURED or sum(1 for _ in points(case)) > MOST_POINTS
    return Search() if many else None


class Trained(NamedTuple):
    """A variant under a condition, or a point if it has no name.

    `label` is the name that no other variant and condition of the case has.
    """

    name: str | None
    label: str | None
    fixes: tuple[str, ...]
    network: Network
    subset: Subset | None
    seeds: tuple[int, ...]

    @property
    def identity(self) -> tuple[str, str]:
        """Return the canonical JSON of the network and of the subset: equal ones have the same runs."""
        subset = self.subset.model_dump(mode="json") if self.subset else None
        return files.json_text(self.network.brief()), files.json_text(subset)


def everything_trained(case: Case, seeds: tuple[int, ...]) -> list[Trained]:
    """Return every variant of `case`, then every point, under each condition. Points that are searched are left out."""
    variants = [
        Trained(
            name=name,
            label=label(name, keras, case.keras),
            fixes=variant.fixes,
            network=under(resolve(case, variant.fixes, variant.set), keras),
            subset=variant.data,
            seeds=variant.seeds or seeds,
        )
        for name, variant in case.all_variants().items()
        for keras in case.conditions_of(variant)
    ]
    resolved = {} if searched(case) else {chosen: resolve(case, chosen, {}) for chosen in points(case)}
    return variants + [
        Trained(None, None, chosen, under(changed, keras), None, seeds)
        for keras in case.keras
        for chosen, changed in resolved.items()
    ]


def configurations(trained: Sequence[Trained]) -> dict[tuple[str, str], Configuration]:
    """Return what to train, by identity: equal variants and points share one configuration and all their seeds.

    Its folder is the name of the first variant, or else a hash of the network. Its fixes are those of the first point.
    """
    groups: dict[tuple[str, str], list[Trained]] = {}
    for entry in trained:
        groups.setdefault(entry.identity, []).append(entry)
    folders: set[str] = set()
    found = {}
    for identity, group in groups.items():
        first = group[0]
        folder = first.label or _hashed(identity[0], folders)
        folders.add(folder)
        found[identity] = Configuration(
            folder=folder,
            fixes=next((entry.fixes for entry in group if entry.name is None), first.fixes),
            network=first.network,
            subset=first.subset,
            seeds=tuple(dict.fromkeys(seed for entry in group for seed in entry.seeds)),
        )
    return found


def _hashed(text: str, taken: set[str]) -> str:
    """Return a folder named by the SHA-256 of `text`: 8 digits, or more if that folder is taken."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return next(folder for length in range(8, 65) if (folder := f"p-{digest[:length]}") not in taken)


class PlannedFiles(NamedTuple):
    """The files that `plan` writes for a case, by name."""

    data: PlannedData
    runs: PlannedRuns
    case: PlannedCase
    baselines: PlannedBaselines


def plan_case(name: str, case: Case, seeds: tuple[int, ...]) -> PlannedFiles:
    """Return what the stages of `case` need to know; `seeds` are those of params.yaml."""
    trained = everything_trained(case, seeds)
    runs = configurations(trained)
    variants, planned_points = [], []
    for entry in trained:
        folder = runs[entry.identity].folder
        if entry.name is None:
            planned_points.append(PlannedPoint(fixes=entry.fixes, keras=entry.network.keras, folder=folder))
        else:
            further = case.all_variants()[entry.name].set
            variants.append(PlannedVariant(**entry._asdict(), folder=folder, set=further))
    same = ("title", "source", "task", "judged_by", "keras", "as_posted", "published")
    baselines = case.all_baselines()
    how = searched(case)
    search = (
        None
        if how is None
        else PlannedSearch(
            judged_by=case.judged_by,
            keras=case.keras,
            seeds=seeds,
            points=how.points,
            as_posted=case.as_posted,
            fixes=tuple(SearchedFix(name=name, fix=fix) for name, fix in case.fixes.items()),
        )
    )
    return PlannedFiles(
        PlannedData(task=case.task, data=case.data),
        PlannedRuns(runs=tuple(runs.values()), search=search),
        PlannedCase(
            name=name,
            seeds=seeds,
            fixes=tuple(
                PlannedFix(
                    name=name, why=fix.why, source=fix.source, changed=fixes.apply(case.as_posted, {name: fix}, {})
                )
                for name, fix in case.fixes.items()
            ),
            variants=tuple(variants),
            points=tuple(planned_points),
            baselines=tuple(baselines),
            search=search,
            **{key: getattr(case, key) for key in same},
        ),
        PlannedBaselines(baselines=baselines),
    )


def planned(params: Params) -> dict[str, PlannedFiles]:
    """Return what `plan` writes, by case."""
    return {name: plan_case(name, case, params.seeds) for name, case in params.cases.items()}
