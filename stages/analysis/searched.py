"""A search and its runs -> the trained points, the repairs, and how the search went."""

from collections.abc import Mapping, Sequence

from stages.analysis import intervals, repairs, scores
from stages.analysis.results import PointResult, RefusedPoint, RepairResult, SearchResult, SearchStep
from stages.config.network import label
from stages.config.planned import PlannedVariant
from stages.config.schema import REPAIRED
from stages.data.prepared import Prepared
from stages.diagnosis.asking import Asking
from stages.diagnosis.space import Point
from stages.training.runs import Run

Runs = Mapping[str, Sequence[Run]]


def runs_of(search: Asking, point: Point, runs: Runs) -> dict[int, Run]:
    """Return the runs of a point by seed; none if it was not trained, or Keras refused it."""
    return {run.seed: run for run in runs.get(search.configuration(point, ()).folder, ())}


def points(
    search: Asking, runs: Runs, refused: Mapping[str, str], variants: Sequence[PlannedVariant]
) -> tuple[list[PointResult], list[RefusedPoint]]:
    """Return the points that the search compared, in order, over its seeds; and those that Keras refuses."""
    trained, not_trained = [], []
    for point in sorted(search.asked, key=search.fixes):
        if (folder := search.configuration(point, ()).folder) in refused:
            not_trained.append(RefusedPoint(fixes=search.fixes(point), keras=search.keras, reason=refused[folder]))
    for point in search.found().points:
        fixes, folder = search.fixes(point), search.configuration(point, ()).folder
        own = [run for seed, run in runs_of(search, point, runs).items() if seed in search.search.scores.seeds]
        trained.append(
            PointResult(
                fixes=fixes,
                keras=search.keras,
                folder=folder,
                variants=tuple(entry.name for entry in variants if entry.folder == folder and not entry.set),
                scores={
                    on: intervals.estimate(scores.by_seed(own, on).values()) for on in scores.compared(own[0].scores)
                },
                diverged=sum(run.diverged for run in own),
                seeds=tuple(run.seed for run in own),
            )
        )
    return trained, not_trained


def repairs_of(search: Asking, runs: Runs, data: Prepared) -> tuple[RepairResult, ...]:
    """Return the repairs that the search found, over the seeds that confirm them, the best first."""
    found = search.found()
    return tuple(
        repairs.repair(
            search.fixes(point),
            found.threshold,
            lambda fixes: runs_of(search, frozenset(fixes), runs),
            search.search.fresh,
            search.split,
            data,
        )
        for point in found.repairs
    )


def described(search: Asking) -> SearchResult:
    """Return how the search went."""
    found = search.found()
    return SearchResult(
        points=len(found.points),
        trainings=found.trainings,
        error_rate=found.error_rate,
        path=tuple(
            SearchStep(fixes=search.fixes(step.point), place=step.place, score=step.score) for step in found.path
        ),
        minimal=found.minimal,
        equivalents=found.equivalents,
        idle=found.idle,
        harmful=found.harmful,
        untried=found.untried,
    )


def repaired(searches: Sequence[Asking], conditions: Sequence[str]) -> list[PlannedVariant]:
    """Return a variant per search that has a repair: the first repair, over the seeds that confirm it."""
    firsts = [(search, search.found().repairs[0]) for search in searches if search.found().repairs]
    return [
        PlannedVariant(
            name=REPAIRED,
            label=label(REPAIRED, search.keras, conditions),
            folder=search.configuration(point, ()).folder,
            fixes=search.fixes(point),
            set={},
            seeds=search.search.fresh,
            network=search.network(point),
            subset=None,
        )
        for search, point in firsts
        if point
    ]
