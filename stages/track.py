"""Results -> MLflow: adds the runs and models that the store lacks, and tags those that are no longer wanted.

DVC cannot see the store, so it runs this stage every time. If neither the results nor the store have changed since the
last time, a stamp beside the store says so, and neither MLflow nor pandas is imported.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.tracking import place
from stages.tracking.place import Place

if TYPE_CHECKING:
    import pandas as pd

    from stages.analysis.results import BaselineResult, CaseResult, Figure, VariantResult

PAGE = "reports/index.html"
VIEWS = Path(__file__).parent / "tracking" / "views"
CHARTS = "&compareRunsMode=CHART"


def results_digest() -> str | None:
    """Return a digest of the results of all cases, or None if a file is missing."""
    digest = hashlib.sha256(os.environ.get("DVC_EXP_NAME", "").encode())
    try:
        listed = Path("configs/cases.json").read_bytes()
        for case in json.loads(listed)["cases"]:
            # A digest of each, so that no two lists of files give the same bytes.
            digest.update(hashlib.sha256(Path(f"reports/results/{case}.json").read_bytes()).digest())
    except (OSError, ValueError, LookupError, TypeError):
        return None
    digest.update(listed)
    return digest.hexdigest()


def pictures(
    result: "CaseResult", measured: "VariantResult | BaselineResult | None", curves: "pd.DataFrame"
) -> dict[str, bytes]:
    """Return the pictures of a variant, of a baseline, or of the case as a whole (None), as bytes by path."""
    from stages.page import figures

    return figures.tracked(result, measured, curves)


def show_places(where: Place, experiments: Mapping[str, str]) -> None:
    """Print where the report is and, for the default store, what to open in MLflow."""
    print(f"report: {PAGE}")
    if where.default:
        print("every run: mlflow ui, then open")
        for case, experiment in experiments.items():
            print(f"  {place.address(experiment, 'scores')}  ({case})")
            print(f"  {place.address(experiment, 'curves')}{CHARTS}  ({case}, learning curves)")


def percent(figure: "Figure | None", sign: str = "") -> str:
    """Return a mean and half its interval, such as ``62.2 ± 9.7``; `sign` is "+" for a gain."""
    if figure is None or figure.mean is None:
        return "–"
    # A t interval is symmetric.
    margin = "" if figure.high is None else f" ± {100 * (figure.high - figure.mean):.1f}"
    return f"{100 * figure.mean:{sign}.1f}{margin}"


def show_scores(results: "Iterable[CaseResult]") -> None:
    """Print the scores and the gain of every variant and baseline."""
    from stages.base import console

    sections: list[list[tuple[str, ...]]] = []
    for result in results:
        rows: list[tuple[str, ...]] = [
            (
                f"{result.case} {variant.name}" + (f" ({variant.diverged:.0%} diverged)" if variant.diverged else ""),
                percent(variant.scores.get("train")),
                percent(variant.scores.get("test")),
                percent(variant.gain.get("test"), "+"),
            )
            for variant in result.variants
        ]
        rows += [
            (
                f"{result.case} {baseline.name}",
                *(percent(baseline.scores.get(split)) for split in ("train", "test")),
                "–",
            )
            for baseline in result.baselines
        ]
        sections.append(rows)
    headers = ("variant or baseline", "training", "test", "gain (test)")
    console.table("Accuracy, %: mean over seeds ± 95% interval", headers, sections)


def update(where: Place, digest: str | None) -> dict[str, str]:
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
    from stages.tracking.content import VIEWS as NAMES

    results = {case: results_file.read(case) for case in load.cases()}
    views: dict[str, Any] = {name: json.loads((VIEWS / f"{name}.json").read_bytes()) for name in NAMES}
    with store.one_line(where), place.turn(where):
        experiments, added = fill.fill(where, results, views, pictures)
        if digest:
            place.write_stamp(where, digest, experiments)
    if added:
        show_scores(results.values())
    return experiments


def main() -> None:
    """Bring the store up to date with the results of DVC."""
    where = place.find()
    digest = results_digest()
    experiments = place.read_stamp(where, digest) if digest else None
    if experiments is None:
        experiments = update(where, digest)
    else:
        print("MLflow store is up to date")
    show_places(where, experiments)
