"""The runs and baselines of a case -> its `CaseResult`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.analysis import (
    attribution,
    data_facts,
    intervals,
    published,
    remarks,
    repairs,
    scores,
    searched,
    settings,
)
from stages.analysis.results import (
    BaselineResult,
    CaseResult,
    Effects,
    Figure,
    FixResult,
    PointResult,
    RefusedPoint,
    RepairResult,
    VariantResult,
)
from stages.analysis.symptoms import symptoms_result
from stages.config.planned import PlannedCase, PlannedPoint, PlannedVariant
from stages.config.schema import AS_POSTED, REPAIRED, SCORES, Baseline
from stages.data.prepared import Prepared
from stages.diagnosis.asking import Asking
from stages.training.runs import Run

Runs = Mapping[str, Sequence[Run]]
"""The runs of each folder, in the order of their seeds."""

# Of the bootstrap; the runs have seeds of their own.
RNG_SEED = 0


def own_runs(variant: PlannedVariant, runs: Runs) -> list[Run]:
    """Return the runs of `variant`, in the order of its seeds. Its folder may have further seeds."""
    by_seed = {run.seed: run for run in runs[variant.folder]}
    return [by_seed[seed] for seed in variant.seeds]


def variant_result(
    variant: PlannedVariant, runs: Sequence[Run], as_posted: Sequence[Run], data: Prepared
) -> VariantResult:
    """Return the figures of `variant` over its `runs`; gains are over the runs `as_posted` of the same seeds."""
    splits = list(runs[0].scores)
    if variant.subset:
        data = data.first_of_each_class(variant.subset.first_of_each_class)
    shown = "test" if "test" in splits else "train"
    placed = [scores.places(data.facts, data.y[shown], run.predicted[shown]) for run in runs]
    actual, predicted = map(np.concatenate, zip(*placed, strict=True))
    counts = scores.confusion(actual, predicted, len(scores.axis(data.facts)))
    sampling = {split: scores.sampled(data, split, scores.by_seed(runs, split)) for split in splits}
    return VariantResult(
        name=variant.name,
        label=variant.label,
        keras=variant.network.keras,
        folder=variant.folder,
        fixes=variant.fixes,
        set=variant.set,
        seeds=variant.seeds,
        network=variant.network.brief(),
        subset=variant.subset.first_of_each_class if variant.subset else None,
        answers=scores.answers(runs, shown) if variant.subset else None,
        scores={split: intervals.figure(scores.by_seed(runs, split), sampling[split]) for split in splits},
        losses={split: intervals.figure({run.seed: run.losses[split] for run in runs}) for split in splits},
        measures={
            split: {
                name: intervals.figure({run.seed: run.measures[split][name] for run in runs})
                for name in runs[0].measures[split]
                if all(name in run.measures[split] for run in runs)
            }
            for split in splits
        },
        keras_accuracy={
            split: intervals.figure({run.seed: run.keras_accuracy[split] for run in runs})
            for split in runs[0].keras_accuracy
        },
        symptoms=symptoms_result(runs),
        final_loss=intervals.figure({run.seed: float(run.history[-1, 0]) for run in runs}),
        gain={}
        if variant.subset
        else {
            split: intervals.gain(scores.by_seed(runs, split), scores.by_seed(as_posted, split))
            for split in scores.compared(splits)
        },
        recall=scores.recall(counts, actual),
        confusion=tuple(map(tuple, counts.tolist())),
        diverged=sum(run.diverged for run in runs) / len(runs),
        steps=max(run.steps for run in runs),
    )


def baseline_result(name: str, baseline: Baseline, members: Mapping[str, Any], data: Prepared) -> BaselineResult:
    """Return the figures of a baseline from the `members` of its file."""
    fitted = members["result.json"]
    shown = "test" if "test" in data.y else "train"
    actual, predicted = scores.places(data.facts, data.y[shown], members[f"predicted_{shown}"])
    counts = scores.confusion(actual, predicted, len(scores.axis(data.facts)))

    def figure(value: float | None, sampling: tuple[float, float] | None = None) -> Figure:
        found = intervals.estimate([math.nan if value is None else value])
        return Figure(**found.model_dump(), sampling=sampling)

    return BaselineResult(
        name=name,
        settings=baseline.model_dump(mode="json"),
        scores={
            split: figure(score, scores.sampled(data, split, {0: score})) for split, score in fitted["scores"].items()
        },
        losses={split: figure(loss) for split, loss in fitted["losses"].items()},
        measures={
            split: {name: figure(value) for name, value in named.items()} for split, named in fitted["measures"].items()
        },
        recall=scores.recall(counts, actual),
        confusion=tuple(map(tuple, counts.tolist())),
        n_iter=fitted["n_iter"],
    )


def trained_points(case: PlannedCase, runs: Runs) -> list[PlannedPoint]:
    """Return the points of `case` without those that Keras refuses."""
    return [point for point in case.points if point.folder in runs]


def point_results(case: PlannedCase, runs: Runs) -> tuple[PointResult, ...]:
    """Return every combination of the fixes under each condition, over the seeds of the case."""
    results = []
    for point in trained_points(case, runs):
        own = [run for run in runs[point.folder] if run.seed in case.seeds]
        results.append(
            PointResult(
                fixes=point.fixes,
                keras=point.keras,
                folder=point.folder,
                variants=tuple(
                    variant.name for variant in case.variants if variant.folder == point.folder and not variant.set
                ),
                scores={
                    split: intervals.estimate(scores.by_seed(own, split).values())
                    for split in scores.compared(own[0].scores)
                },
                diverged=sum(run.diverged for run in own),
            )
        )
    return tuple(results)


def effects(case: PlannedCase, runs: Runs, keras: str) -> dict[str, Effects]:
    """Return the effects of the fixes on the score under the condition `keras`, by split."""
    names = [fix.name for fix in case.fixes]
    points = {
        attribution.bitmask(map(names.index, point.fixes)): {run.seed: run for run in runs[point.folder]}
        for point in trained_points(case, runs)
        if point.keras == keras
    }

    return {
        split: attribution.effects(
            names,
            {
                chosen: [repairs.counted(point[seed].scores[split]) for seed in case.seeds]
                for chosen, point in points.items()
            },
            RNG_SEED,
        )
        for split in scores.compared(next(iter(points[0].values())).scores)
    }


def repairs_of(
    case: PlannedCase, runs: Runs, effects: Effects, split: str, keras: str, data: Prepared
) -> tuple[RepairResult, ...]:
    """Return the smallest sets that repair the network, of those that are all trained, the best first."""
    threshold = repairs.threshold_of(effects)
    if threshold is None:
        return ()
    folders = {point.fixes: point.folder for point in trained_points(case, runs) if point.keras == keras}

    def runs_of(fixes: tuple[str, ...]) -> dict[int, Run] | None:
        return {run.seed: run for run in runs[folders[fixes]]} if fixes in folders else None

    found = [repairs.repair(fixes, threshold, runs_of, case.seeds, split, data) for fixes in effects.smallest_sets]
    return tuple(sorted(found, key=lambda repair: -(repair.scores[split].mean or 0.0))[: repairs.MOST])


def fixed_variant(case: PlannedCase) -> str:
    """Return the variant that stands for the repaired network.

    It is the repair of a search, else ``fixed``, else the first of those with most fixes.
    """
    whole = {variant.name: variant for variant in case.variants if not variant.subset}
    named = (name for name in (REPAIRED, "fixed") if name in whole)
    return next(named, max(whole, key=lambda name: (len(whole[name].fixes), not whole[name].set)))


def case_result(
    case: PlannedCase,
    data: Prepared,
    runs: Runs,
    refused: Mapping[str, str],
    baselines: Mapping[str, tuple[Baseline, Mapping[str, Any]]],
    searches: Sequence[Asking] = (),
) -> CaseResult:
    """Return the result of `case`.

    `refused` has Keras's reason for each folder without runs. `baselines` maps a name to the settings and the members
    of its file.
    """
    own: dict[tuple[str, str], list[Run]] = {
        (variant.name, variant.network.keras): own_runs(variant, runs) for variant in case.variants
    }
    # With the seeds that confirm a repair.
    posted_runs = {
        variant.network.keras: runs[variant.folder] for variant in case.variants if variant.name == AS_POSTED
    }
    variants = tuple(
        variant_result(variant, own[variant.name, variant.network.keras], posted_runs[variant.network.keras], data)
        for variant in case.variants
    )
    posted = next(each for each in reversed(variants) if each.name == AS_POSTED)
    split = case.judged_by if case.judged_by in data.y else "train"
    measured: dict[str, dict[str, Effects]] = (
        {} if searches else {keras: effects(case, runs, keras) for keras in case.keras}
    )
    repaired = {
        keras: repairs_of(case, runs, of_keras[split], split, keras, data) for keras, of_keras in measured.items()
    }
    asked = [searched.points(search, runs, refused, case.variants) for search in searches]
    fitted = tuple(baseline_result(name, *baselines[name], data) for name in case.baselines)
    return CaseResult(
        case=case.name,
        title=case.title,
        source=case.source,
        task=case.task,
        judged_by=split,
        keras=case.keras,
        seeds=case.seeds,
        data=data_facts.data_result(data),
        as_posted=case.as_posted.brief(),
        fixes=tuple(
            FixResult(
                name=fix.name,
                why=fix.why,
                source=fix.source,
                changes=settings.changes(case.as_posted.tree(), fix.changed.tree()),
            )
            for fix in case.fixes
        ),
        variants=variants,
        baselines=fitted,
        points=(*point_results(case, runs), *(point for trained, _ in asked for point in trained)),
        refused=(
            *(
                RefusedPoint(fixes=point.fixes, keras=point.keras, reason=refused[point.folder])
                for point in case.points
                if point.folder not in runs
            ),
            *(point for _, not_trained in asked for point in not_trained),
        ),
        effects=measured,
        repairs=repaired | {search.keras: searched.repairs_of(search, runs, data) for search in searches},
        search={search.keras: searched.described(search) for search in searches},
        published=tuple(
            row for one in case.published for row in published.compare(one, variants, fitted, own, SCORES[case.task])
        ),
        fixed=fixed_variant(case),
        misleading=remarks.misleading_numbers(case, data, posted, fitted),
        warnings=remarks.data_warnings(case, data, fitted),
    )
