"""The runs and models that the MLflow store should hold, their keys, and what a store lacks. Without MLflow.

A key is a digest of the numbers that a run shows, so a result that comes back finds its run again. Titles, reasons,
sources and commits describe a result and are not part of its key.
"""

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from stages.analysis.results import CaseResult, VariantResult
from stages.config.network import label
from stages.tracking.place import LAYOUT

Kind = Literal["variant", "seed", "baseline", "case table"]


@dataclass(frozen=True)
class ExpectedRun:
    """A run that the store should hold.

    `name` is the label of its variant, the name of its baseline, or that of the case table with its condition.
    `parent` is the key of its parent, and `keras` the condition of a case table.
    """

    kind: Kind
    case: str
    name: str
    key: str
    seed: int | None = None
    parent: str | None = None
    keras: str = ""

    def title(self, experiment: str | None = None) -> str:
        """Return the name of the run in MLflow, which says what it is; `experiment` is that of DVC."""
        name = f"baseline: {self.name}" if self.kind == "baseline" else self.name
        name = f"{name} ({experiment})" if experiment else name
        return name if self.seed is None else f"seed {self.seed} of {name}"


@dataclass(frozen=True)
class StoredRun:
    """A run in the store. `start` is in milliseconds since 1970, `experiment` says if a DVC experiment added it."""

    run_id: str
    key: str
    name: str
    finished: bool
    start: int
    parent_id: str | None = None
    stale: bool = False
    experiment: bool = False


@dataclass(frozen=True)
class Changes:
    """The changes that bring a store up to date.

    `missing` are runs to be added, parents before their children. `surplus` are ids of runs to be deleted. `stale` and
    `current` map ids of runs that become stale, or are no longer, to their names. `ids` maps the keys of the runs that
    stay to their ids.
    """

    missing: list[ExpectedRun]
    surplus: list[str]
    stale: dict[str, str]
    current: dict[str, str]
    ids: dict[str, str]


def content_key(*content: Any) -> str:
    """Return the SHA-256 digest of JSON-ready `content`, which does not depend on the order of its keys."""
    return hashlib.sha256(json.dumps([LAYOUT, *content], sort_keys=True).encode()).hexdigest()


def expected_runs(result: CaseResult) -> list[ExpectedRun]:
    """Return the runs of a case: its tables by condition, its variants, each before its seeds, and its baselines.

    MLflow's page lists 100 runs at first, with seeds. The tables have the answer, so they come first.
    """
    case, data = result.case, result.data.sha256
    runs = []
    for keras in result.keras:
        name = label("case table", keras, result.keras)
        shown = [
            result.judged_by,
            result.seeds,
            [(fix.name, fix.changes) for fix in result.fixes],
            [
                point.model_dump(mode="json", include={"fixes", "scores", "diverged", "seeds"})
                for point in result.points_of(keras).values()
            ],
            {split: effects.model_dump(mode="json") for split, effects in result.effects.get(keras, {}).items()},
            [repair.model_dump(mode="json") for repair in result.repairs.get(keras, ())],
            keras in result.search and result.search[keras].model_dump(mode="json"),
            [remark.model_dump() for remark in (*result.misleading, *result.warnings)],
            [row.model_dump(mode="json", exclude={"source"}) for row in result.published_under(keras)],
        ]
        runs.append(ExpectedRun("case table", case, name, content_key(name, case, shown, data), keras=keras))
    for variant in result.variants:
        numbers = variant.model_dump(mode="json", exclude={"folder"})
        key = content_key("variant", case, variant.label, numbers, data, result.judged_by)
        runs.append(ExpectedRun("variant", case, variant.label, key))
        runs += [
            ExpectedRun("seed", case, variant.label, content_key("seed", key, seed), seed, key)
            for seed in variant.seeds
        ]
    for baseline in result.baselines:
        key = content_key("baseline", case, baseline.name, baseline.model_dump(mode="json"), data, result.judged_by)
        runs.append(ExpectedRun("baseline", case, baseline.name, key))
    return runs


def best_split(result: CaseResult) -> str:
    """Return the split on which the champion of a case is chosen."""
    return "test" if "test" in result.data.rows else result.judged_by


def best_run(result: CaseResult, runs: Iterable[ExpectedRun]) -> ExpectedRun | None:
    """Return the run whose weights should be the champion of a case: a seed of the best variant.

    The best variant has the best mean score on the test split or, without one, on the split by which the case is
    judged. A variant that diverged, or that is of a part of the data, is not eligible. Of equals the first wins. None
    is returned if no variant is eligible. `runs` are those of `expected_runs`.
    """
    split = best_split(result)
    scores = {
        variant.label: figure.mean
        for variant in result.variants
        if not variant.diverged and not variant.subset and (figure := variant.scores[split]).mean is not None
    }
    if not scores:
        return None
    best = result.labelled(max(scores, key=lambda name: scores[name]))
    wanted = ("seed", result.case, best.label, first_seed(result, best))
    return next(run for run in runs if (run.kind, run.case, run.name, run.seed) == wanted)


def first_seed(result: CaseResult, variant: VariantResult) -> int:
    """Return the first seed of `variant` that reaches the threshold of the repair that it is, else its first seed."""
    repairs = result.repairs.get(variant.keras, ()) if not variant.set else ()
    threshold = next((repair.threshold for repair in repairs if repair.fixes == variant.fixes), None)
    scores = variant.scores[result.judged_by].per_seed
    reached = {seed: score for seed, score in scores.items() if score is not None}
    repairing = (seed for seed in variant.seeds if threshold is not None and reached.get(seed, -math.inf) >= threshold)
    return next(repairing, variant.seeds[0])


def changes(expected: Iterable[ExpectedRun], stored: Iterable[StoredRun]) -> Changes:
    """Return what is missing and what is too much in a store; in `expected` parents come before their children.

    A run counts if it is finished and, for a child, its parent counts. If several count, the oldest is kept. An
    unfinished run was left by an interrupted track.
    """
    by_key: dict[str, list[StoredRun]] = {}
    for run in sorted(stored, key=lambda run: (run.start, run.run_id)):
        by_key.setdefault(run.key, []).append(run)
    missing, surplus, current, ids = [], [], dict[str, str](), dict[str, str]()
    for wanted in expected:
        runs = by_key.pop(wanted.key, [])
        # No run has the id "".
        parent_id = None if wanted.parent is None else ids.get(wanted.parent, "")
        kept = next((run for run in runs if run.finished and run.parent_id == parent_id), None)
        surplus += [run.run_id for run in runs if run is not kept]
        if kept is None:
            missing.append(wanted)
            continue
        ids[wanted.key] = kept.run_id
        if kept.stale:
            current[kept.run_id] = kept.name
    others = [run for runs in by_key.values() for run in runs]
    stale = {run.run_id: run.name for run in others if not run.stale and not run.experiment}
    return Changes(missing, surplus, stale, current, ids)
