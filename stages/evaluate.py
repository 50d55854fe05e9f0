"""The runs and baselines of a case -> its result in reports/, and small files for DVC's metrics and plots."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stages.analysis import case as cases
from stages.analysis import scores, searched
from stages.analysis.pictures import pictures
from stages.analysis.results import BaselineResult, CaseResult, Effects, VariantResult
from stages.base import console, files
from stages.config import load
from stages.config.planned import PlannedBaselines, PlannedCase
from stages.config.schema import Baseline
from stages.data import prepared
from stages.diagnosis import asking
from stages.diagnosis.asking import Asking, score_of
from stages.training import runs
from stages.training.runs import Refusal, Run


class RunFiles:
    """The runs of a case that were read: `runs` by folder and seed, and Keras's reason for each folder in `refused`."""

    def __init__(self, case: str) -> None:
        self.case = case
        self.runs: dict[str, dict[int, Run]] = {}
        self.refused: dict[str, str] = {}

    def read(self, folder: str, seed: int) -> dict[str, float] | Refusal:
        """Return the scores of a run.

        Raises
        ------
        UserError
            If its file is missing, damaged, or of another run.
        """
        if seed in self.runs.get(folder, {}):
            return self.runs[folder][seed].scores
        path = files.run_path(self.case, folder, seed)
        run = runs.read_any(path)
        if run.seed != seed:
            raise files.damaged(path, f"a run with seed {run.seed}", f"seed {seed}")
        if isinstance(run, Refusal):
            self.refused[folder] = run.reason
            return run
        self.runs.setdefault(folder, {})[seed] = run
        return run.scores


def read_runs(case: PlannedCase, searches: Sequence[Asking]) -> RunFiles:
    """Return the runs that `case` needs; each of `searches` goes the way again that it went in `train`."""
    found = RunFiles(case.name)
    for point in case.points:
        for seed in case.seeds:
            found.read(point.folder, seed)
    for variant in case.variants:
        for seed in variant.seeds:
            found.read(variant.folder, seed)
    for search in searches:
        while asked := search.ask():
            search.tell(
                {
                    (point, seed): score_of(found.read(configuration.folder, seed), search.split)
                    for point, configuration, seed in asked
                }
            )
    return found


def read_baselines(case: str) -> dict[str, tuple[Baseline, dict[str, Any]]]:
    """Return the settings and the members of the file of each baseline of `case`."""
    found = {}
    for name, baseline in load.read_planned(case, "baselines", PlannedBaselines).baselines.items():
        path = files.BASELINES / case / f"{name}.npz"
        members = files.read_archive(path)
        files.require(path, members, ("result.json",))
        files.require(path, members, (f"predicted_{split}" for split in members["result.json"]["scores"]))
        found[name] = (baseline, members)
    return found


def metrics(result: VariantResult | BaselineResult, score: str) -> dict[str, float | None]:
    """Return the mean scores and gains of a variant or baseline, which `dvc metrics show` prints in one row.

    Losses and other measures are in the result. With them, the row would be wider than a terminal.
    """
    row = {f"{split}_{score}": result.scores[split].mean for split in scores.compared(result.scores)}
    if isinstance(result, VariantResult):
        row |= {"gain" if split == "test" else f"{split}_gain": gain.mean for split, gain in result.gain.items()}
    return row


def effects_table(effects: dict[str, dict[str, Effects]]) -> pd.DataFrame:
    """Return a row per condition, split, fix and effect: its mean and the ends of its interval."""
    rows = [
        {"keras": keras, "split": split, "fix": fix, "effect": effect}
        | estimate.model_dump(include={"mean", "low", "high"})
        for keras, of_keras in effects.items()
        for split, of_split in of_keras.items()
        for fix, of_fix in of_split.fixes.items()
        for effect, estimate in of_fix
        if estimate is not None
    ]
    return pd.DataFrame(rows, columns=["keras", "split", "fix", "effect", "mean", "low", "high"])


def write(result: CaseResult) -> None:
    """Write the result of a case, and its metrics, effects and confusion counts."""
    files.write_json(files.result_path(result.case), result.model_dump(mode="json"))
    files.write_csv(files.EFFECTS / f"{result.case}.csv", effects_table(result.effects))
    everything: list[VariantResult | BaselineResult] = [*result.variants, *result.baselines]
    for measured in everything:
        files.write_json(files.METRICS / result.case / f"{measured.label}.json", metrics(measured, result.score))
        table = scores.confusion_table(np.array(measured.confusion), result.data.axis)
        files.write_csv(files.CONFUSION / result.case / f"{measured.label}.csv", table)


def main(case: str) -> None:
    """Evaluate `case`."""
    planned = load.read_planned(case, "case", PlannedCase)
    data = prepared.read(files.prepared_path(case))
    searches = list(asking.searches(planned.search, planned.variants, data))
    found = read_runs(planned, searches)
    variants = (*planned.variants, *searched.repaired(searches, planned.keras))
    planned = planned.model_copy(update={"variants": variants})
    # In the order of their seeds.
    by_folder = {folder: [run for _, run in sorted(of_folder.items())] for folder, of_folder in found.runs.items()}
    result = cases.case_result(planned, data, by_folder, found.refused, read_baselines(case), searches)
    write(result)

    own = {variant.label: cases.own_runs(variant, by_folder) for variant in planned.variants}
    curves = pd.concat([scores.curves(name, runs_of_variant, result.score) for name, runs_of_variant in own.items()])
    files.write_csv(files.CURVES / f"{case}.csv", curves)
    shown = {
        variant.label: own[variant.label][0]
        for variant in result.variants
        if data.side and variant.name in ("as_posted", result.fixed)
    }
    files.write_archive(files.PICTURES / f"{case}.npz", pictures(shown, data) if shown else {})
    console.wrote(
        files.result_path(case),
        variants=len(result.variants),
        baselines=len(result.baselines),
        points=len(result.points),
        published=len(result.published),
        agreeing=sum(row.agrees for row in result.published),
    )
