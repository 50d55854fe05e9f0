"""The runs and models that the MLflow store should hold, their keys, and what a store lacks. Without MLflow.

A key is a digest of the numbers that a run shows, so a result that comes back finds its run again. Titles, reasons,
sources and commits describe a result and are not part of its key.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from stages.analysis.results import CaseResult, VariantResult
from stages.tracking.place import LAYOUT

FIXES = "fixes"

Kind = Literal["variant", "seed", "baseline", "fixes"]


@dataclass(frozen=True)
class ExpectedRun:
    """A run that the store should hold; `name` is that of its variant or baseline."""

    kind: Kind
    case: str
    name: str
    key: str
    seed: int | None = None
    children: tuple["ExpectedRun", ...] = ()


@dataclass(frozen=True)
class ExpectedModel:
    """A model that should be the champion of its case: the weights of the run of `variant` with `seed`."""

    name: str
    variant: ExpectedRun
    seed: int
    key: str


@dataclass(frozen=True)
class StoredRun:
    """A run in the store. `start` is in milliseconds since 1970, `experiment` says if a DVC experiment added it."""

    run_id: str
    key: str
    finished: bool
    start: int
    parent_id: str | None = None
    stale: bool = False
    experiment: bool = False


@dataclass(frozen=True)
class Changes:
    """The changes that bring a store up to date.

    `missing` are runs with all their children, `children` single ones with the id of their parent. `surplus` are ids
    of runs to be deleted, `stale` and `current` of runs that get or lose the tag of stale runs.
    """

    missing: list[ExpectedRun] = field(default_factory=list)
    children: list[tuple[str, ExpectedRun]] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    current: list[str] = field(default_factory=list)


def content_key(*content: Any) -> str:
    """Return the SHA-256 digest of JSON-ready `content`, which does not depend on the order of its keys."""
    return hashlib.sha256(json.dumps([LAYOUT, *content], sort_keys=True).encode()).hexdigest()


def expected_runs(result: CaseResult) -> list[ExpectedRun]:
    """Return the runs of a case: its variants with a child per seed, its baselines, and one for its fixes."""

    def run(kind: Kind, name: str, numbers: Any, seeds: tuple[int, ...] = ()) -> ExpectedRun:
        key = content_key(kind, result.case, name, numbers, result.data.sha256)
        children = tuple(ExpectedRun("seed", result.case, name, content_key("seed", key, seed), seed) for seed in seeds)
        return ExpectedRun(kind, result.case, name, key, children=children)

    variants = [
        run("variant", variant.name, variant.model_dump(mode="json", exclude={"folder"}), variant.seeds)
        for variant in result.variants
    ]
    baselines = [run("baseline", baseline.name, baseline.model_dump(mode="json")) for baseline in result.baselines]
    numbers = result.model_dump(
        mode="json",
        include={
            "judged_by": True,
            "seeds": True,
            "fixes": {"__all__": {"name", "changes"}},
            "points": {"__all__": {"fixes", "scores", "diverged"}},
            "effects": True,
            "published": {"__all__": {"claim", "of", "figure", "published", "measured", "tolerance", "agrees"}},
        },
    )
    return [*variants, *baselines, run("fixes", FIXES, numbers)]


def best_variant(result: CaseResult) -> VariantResult | None:
    """Return the variant with the best mean score on the test split, the first of equals.

    A variant that diverged is not eligible. None is returned if no variant has a score on a test split.
    """
    eligible = [
        (variant.scores["test"].mean, variant)
        for variant in result.variants
        if not variant.diverged and "test" in variant.scores
    ]
    scored = [(mean, variant) for mean, variant in eligible if mean is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def expected_model(result: CaseResult, runs: Iterable[ExpectedRun]) -> ExpectedModel | None:
    """Return the champion of a case: its best variant with the first seed; `runs` are as `expected_runs` returns."""
    best = best_variant(result)
    if best is None:
        return None
    run = next(run for run in runs if run.kind == "variant" and run.name == best.name)
    # Registered models have one namespace per server, so the name says whose it is.
    return ExpectedModel(f"whichfix-{result.case}", run, best.seeds[0], content_key("model", run.key, best.seeds[0]))


def changes(expected: Iterable[ExpectedRun], stored: Iterable[StoredRun]) -> Changes:
    """Return what is missing and what is too much in a store.

    A run counts if it is finished and, for a child, its parent counts. Of several that count the oldest is kept. An
    unfinished run was left by an interrupted track.
    """
    by_key: dict[str, list[StoredRun]] = {}
    for run in sorted(stored, key=lambda run: (run.start, run.run_id)):
        by_key.setdefault(run.key, []).append(run)
    result = Changes()

    def keep(key: str, parent_id: str | None) -> str | None:
        """Return the id of the run to keep, and note what becomes of all runs with `key`."""
        runs = by_key.pop(key, [])
        kept = next((run for run in runs if run.finished and run.parent_id == parent_id), None)
        result.surplus.extend(run.run_id for run in runs if run is not kept)
        if kept and kept.stale:
            result.current.append(kept.run_id)
        return kept.run_id if kept else None

    for wanted in expected:
        run_id = keep(wanted.key, None)
        if run_id is None:
            result.missing.append(wanted)
        for child in wanted.children:
            # Without a parent no child counts; no run has the id "".
            if keep(child.key, run_id or "") is None and run_id:
                result.children.append((run_id, child))
    others = [run for runs in by_key.values() for run in runs]
    result.stale.extend(run.run_id for run in others if not run.stale and not run.experiment)
    return result
