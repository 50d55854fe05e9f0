"""A case and some of its fixes -> the network to train; a whole case -> what `plan` writes for its stages."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from stages.base import files
from stages.config.network import Keras, Network, PostedNetwork, label
from stages.config.planned import (
    Configuration,
    PlannedBaselines,
    PlannedCase,
    PlannedFix,
    PlannedPoint,
    PlannedRuns,
    PlannedVariant,
)
from stages.config.schema import Case, Exercise4Data, MnistData, Params, Subset
from stages.config.strict import RefusedError, first_refusal, quote


def resolve(case: Case, fixes: Sequence[str], overrides: Mapping[str, Any], keras: Keras) -> Network:
    """Return the network of `case` as posted under the condition `keras`, with `fixes` applied and then `overrides`.

    Raises
    ------
    RefusedError
        If a fix is unknown, two fixes set one key to different values, or the result cannot be trained. Its path is
        below the case, or for an override below the variant that has it.
    """
    values = case.as_posted.model_dump()
    # Where params.yaml has each value, so that a refusal can say which line to edit.
    places: dict[str, tuple[str, ...]] = {key: ("as_posted", key) for key in values}
    for name in fixes:
        if name not in case.fixes:
            raise RefusedError(quote(name), f"one of: {', '.join(case.fixes)}", "fixes")
        for key, value in case.fixes[name].set.items():
            place = ("fixes", name, "set", key)
            kind, other, *_ = places.get(key, place)
            if kind == "fixes" and values.get(key, value) != value:
                expected = f"{quote(values[key])}, as fix {other} sets it: fixes combine in any order"
                raise RefusedError(quote(value), expected, *place)
            values[key], places[key] = value, place
    for key, value in overrides.items():
        values[key], places[key] = value, ("set", key)
    try:
        PostedNetwork.model_validate(values)
    except ValidationError as error:
        refusal = first_refusal(error, values)
        if refusal.path:
            key, *rest = refusal.path
            raise RefusedError(refusal.problem, refusal.expected, *places.get(key, (key,)), *rest) from error
        # The values are fine one by one, but not together.
        if overrides:
            raise refusal.below("set") from error
        if len(fixes) == 1:
            raise refusal.below("fixes", fixes[0], "set") from error
        problem = f"{' and '.join(fixes)} together: {refusal.problem}"
        raise RefusedError(problem, refusal.expected, "fixes") from error
    return Network.model_validate({**values, "keras": keras})


def points(case: Case) -> Iterator[tuple[str, ...]]:
    """Yield every set of fixes of `case`; bit i of its place is set if fix i belongs to it."""
    fixes = tuple(case.fixes)
    for place in range(2 ** len(fixes)):
        yield tuple(fix for i, fix in enumerate(fixes) if place >> i & 1)


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
        return files.json_text(self.network.model_dump(mode="json")), files.json_text(subset)


def everything_trained(case: Case, seeds: tuple[int, ...]) -> list[Trained]:
    """Return every variant of `case`, then every point, under each condition."""
    variants = [
        Trained(
            name=name,
            label=label(name, keras, case.keras),
            fixes=variant.fixes,
            network=resolve(case, variant.fixes, variant.set, keras),
            subset=variant.data,
            seeds=variant.seeds or seeds,
        )
        for name, variant in case.all_variants().items()
        for keras in case.conditions_of(variant)
    ]
    return variants + [
        Trained(None, None, fixes, resolve(case, fixes, {}, keras), None, seeds)
        for keras in case.keras
        for fixes in points(case)
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

    data: MnistData | Exercise4Data
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
    same = ("title", "source", "judged_by", "keras", "as_posted", "published")
    return PlannedFiles(
        case.data,
        PlannedRuns(runs=tuple(runs.values())),
        PlannedCase(
            name=name,
            seeds=seeds,
            fixes=tuple(PlannedFix(name=fix, why=value.why, set=value.set) for fix, value in case.fixes.items()),
            variants=tuple(variants),
            points=tuple(planned_points),
            baselines=tuple(case.baselines),
            **{key: getattr(case, key) for key in same},
        ),
        PlannedBaselines(baselines=case.baselines),
    )


def planned(params: Params) -> dict[str, PlannedFiles]:
    """Return what `plan` writes, by case."""
    return {name: plan_case(name, case, params.seeds) for name, case in params.cases.items()}
