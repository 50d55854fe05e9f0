"""The runs and baselines of a case -> its `CaseResult`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.analysis import attribution, intervals, published, scores, settings
from stages.analysis.results import (
    BaselineResult,
    CaseResult,
    DataResult,
    Effects,
    Figure,
    FixResult,
    PointResult,
    VariantResult,
)
from stages.config.planned import PlannedCase, PlannedVariant
from stages.config.schema import Baseline
from stages.data.prepared import Prepared
from stages.training.runs import Run

Runs = Mapping[str, Sequence[Run]]
"""The runs of each folder, in the order of their seeds."""

SPLITS = ("train", "test")
# Of the bootstrap; the runs have seeds of their own.
RNG_SEED = 0


def by_seed(runs: Sequence[Run], split: str) -> dict[int, float]:
    """Return the score on `split` by seed."""
    return {run.seed: run.scores[split] for run in runs}


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
    actual, predicted = np.tile(data.y[shown], len(runs)), np.concatenate([run.predicted[shown] for run in runs])
    counts = scores.confusion(actual, predicted, data.n_classes)
    sampling = {split: intervals.sampling(by_seed(runs, split).values(), len(data.y[split])) for split in splits}
    return VariantResult(
        name=variant.name,
        label=variant.label,
        keras=variant.network.keras,
        folder=variant.folder,
        fixes=variant.fixes,
        set=variant.set,
        seeds=variant.seeds,
        network=variant.network.model_dump(mode="json"),
        subset=variant.subset.first_of_each_class if variant.subset else None,
        answers=scores.answers(runs, shown) if variant.subset else None,
        scores={split: intervals.figure(by_seed(runs, split), sampling[split]) for split in splits},
        losses={split: intervals.figure({run.seed: run.losses[split] for run in runs}) for split in splits},
        final_loss=intervals.figure({run.seed: float(run.history[-1, 0]) for run in runs}),
        gain={}
        if variant.subset
        else {split: intervals.gain(by_seed(runs, split), by_seed(as_posted, split)) for split in SPLITS},
        recall=scores.recall(counts),
        confusion=tuple(map(tuple, counts.tolist())),
        diverged=sum(run.diverged for run in runs) / len(runs),
        steps=max(run.steps for run in runs),
    )


def baseline_result(name: str, baseline: Baseline, members: Mapping[str, Any], data: Prepared) -> BaselineResult:
    """Return the figures of a baseline from the `members` of its file."""
    fitted = members["result.json"]
    counts = scores.confusion(data.y["test"], members["predicted_test"], data.n_classes)

    def figure(value: float, sampling: tuple[float, float] | None = None) -> Figure:
        return Figure(**intervals.estimate([value]).model_dump(), sampling=sampling)

    return BaselineResult(
        name=name,
        settings=baseline.model_dump(mode="json"),
        scores={
            split: figure(score, intervals.sampling([score], len(data.y[split])))
            for split, score in fitted["scores"].items()
        },
        losses={split: figure(loss) for split, loss in fitted["losses"].items()},
        recall=scores.recall(counts),
        confusion=tuple(map(tuple, counts.tolist())),
        n_iter=fitted["n_iter"],
    )


def point_results(case: PlannedCase, runs: Runs) -> tuple[PointResult, ...]:
    """Return every combination of the fixes under each condition, over the seeds of the case."""
    results = []
    for point in case.points:
        own = [run for run in runs[point.folder] if run.seed in case.seeds]
        results.append(
            PointResult(
                fixes=point.fixes,
                keras=point.keras,
                folder=point.folder,
                variants=tuple(
                    variant.name for variant in case.variants if variant.folder == point.folder and not variant.set
                ),
                scores={split: intervals.estimate(by_seed(own, split).values()) for split in SPLITS},
                diverged=sum(run.diverged for run in own),
            )
        )
    return tuple(results)


def effects(case: PlannedCase, runs: Runs, keras: str) -> dict[str, Effects]:
    """Return the effects of the fixes on the score under the condition `keras`, by split."""
    points = [{run.seed: run for run in runs[point.folder]} for point in case.points if point.keras == keras]
    return {
        split: attribution.effects(
            [fix.name for fix in case.fixes],
            [[point[seed].scores[split] for seed in case.seeds] for point in points],
            RNG_SEED,
        )
        for split in SPLITS
    }


def fixed_variant(case: PlannedCase) -> str:
    """Return the variant that stands for the repaired network: ``fixed``, else the first of those with most fixes."""
    whole = {variant.name: variant for variant in case.variants if not variant.subset}
    return "fixed" if "fixed" in whole else max(whole, key=lambda name: (len(whole[name].fixes), not whole[name].set))


def case_result(
    case: PlannedCase,
    data: Prepared,
    runs: Runs,
    baselines: Mapping[str, tuple[Baseline, Mapping[str, Any]]],
) -> CaseResult:
    """Return the result of `case`; `baselines` maps a name to the settings and the members of its file."""
    own: dict[tuple[str, str], list[Run]] = {
        (variant.name, variant.network.keras): own_runs(variant, runs) for variant in case.variants
    }
    variants = tuple(
        variant_result(variant, own[variant.name, variant.network.keras], own["as_posted", variant.network.keras], data)
        for variant in case.variants
    )
    fitted = tuple(baseline_result(name, *baselines[name], data) for name in case.baselines)
    posted = case.as_posted.model_dump(mode="json")
    return CaseResult(
        case=case.name,
        title=case.title,
        source=case.source,
        judged_by=case.judged_by,
        keras=case.keras,
        seeds=case.seeds,
        data=DataResult(
            sha256=data.sha256,
            rows={split: len(labels) for split, labels in data.y.items()},
            features=data.x["train"].shape[1],
            n_classes=data.n_classes,
            arrays={
                f"{kind}_{split}": scores.digest(array)
                for kind, arrays in (("x", data.x), ("y", data.y))
                for split, array in arrays.items()
            },
        ),
        as_posted=posted,
        fixes=tuple(
            FixResult(name=fix.name, why=fix.why, changes=settings.changes(posted, fix.set)) for fix in case.fixes
        ),
        variants=variants,
        baselines=fitted,
        points=point_results(case, runs),
        effects={keras: effects(case, runs, keras) for keras in case.keras},
        published=tuple(row for one in case.published for row in published.compare(one, variants, fitted, own)),
        fixed=fixed_variant(case),
    )
