"""Results -> MLflow: adds the runs and models that the store lacks, and tags those that are no longer wanted.

DVC cannot see the store, so it runs this stage every time. If neither the results nor the store have changed since the
last time, a stamp beside the store says so, and neither MLflow nor pandas is imported.
"""

import atexit
import gc
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from stages.tracking import place
from stages.tracking.place import Place

if TYPE_CHECKING:
    import pandas as pd

    from stages.analysis.results import BaselineResult, CaseResult, VariantResult

PAGE = "reports/index.html"
CHARTS = "&compareRunsMode=CHART"


def pictures(
    result: "CaseResult", measured: "VariantResult | BaselineResult | str", curves: "pd.DataFrame"
) -> dict[str, bytes]:
    """Return the pictures of a variant or of a baseline, or those of the case under a condition with its answer.

    They are bytes by path.
    """
    from stages.page import figures, repairs  # figures imports Matplotlib, which takes 0.3 s

    answer = repairs.tracked(result, measured) if isinstance(measured, str) and measured in result.repairs else {}
    return figures.tracked(result, measured, curves) | answer


def show_places(where: Place, experiments: Mapping[str, str]) -> None:
    """Print where the report is and, for the default store, what to open in MLflow."""
    print(f"report: {PAGE}")
    if where.default:
        print("every run: mlflow ui, then open")
        for case, experiment in experiments.items():
            print(f"  {place.address(experiment, 'scores')}  ({case})")
            print(f"  {place.address(experiment, 'curves')}{CHARTS}  ({case}, learning curves)")


def show_scores(results: "Iterable[CaseResult]") -> None:
    """Print the scores of every variant and baseline, and the gain of every variant."""
    from stages.base import console
    from stages.tracking.content import interval

    sections = []
    for result in results:
        measured: list[VariantResult | BaselineResult] = [*result.variants, *result.baselines]
        gains = {variant.label: variant.gain.get("test") for variant in result.variants}
        diverged = {
            variant.label: f" ({variant.diverged:.0%} diverged)" for variant in result.variants if variant.diverged
        }
        sections.append(
            [
                (
                    f"{result.case} {each.label}{diverged.get(each.label, '')}",
                    *(interval(each.scores.get(split)) for split in ("train", "test")),
                    interval(gains.get(each.label), "+"),
                )
                for each in measured
            ]
        )
    headers = ("variant or baseline", "training", "test", "gain (test)")
    console.table("Accuracy, %: mean over seeds ± 95% interval", headers, sections)


def update(where: Place, digest: str) -> dict[str, str]:
    """Bring the store up to date, show the scores if a run was added, and return the ids of the experiments by case.

    `digest` is that of the results, for the stamp.

    Raises
    ------
    UserError
        If the results are missing, or if the store cannot be reached or refuses.
    """
    from stages.analysis import results as results_file
    from stages.config import load
    from stages.tracking import fill, store

    # MLflow is 300,000 objects that stay. To look for cycles among them takes 1 s during the imports, and 1 s at exit.
    gc.set_threshold(200_000)
    atexit.register(gc.freeze)
    results = {case: results_file.read(case) for case in load.cases()}
    with store.one_line(where), place.turn(where):
        experiments, added = fill.fill(where, results, pictures)
        place.write_stamp(where, digest, experiments)
    if added:
        show_scores(results.values())
    return experiments


def main() -> None:
    """Bring the store up to date with the results of DVC."""
    where = place.find()
    digest = place.results_digest()
    experiments = place.read_stamp(where, digest)
    if experiments is None:
        experiments = update(where, digest)
    else:
        print("MLflow store is up to date")
    show_places(where, experiments)
