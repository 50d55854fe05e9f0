"""evaluate's and attribute's files -> reports/: the page, the README's figure, and the effects as plot data."""

from collections.abc import Iterable
from pathlib import Path

import vl_convert

from stages.core import bars, errors, files, findings, pages, params, progress, readme_figure

REPORTS = Path("reports")
PAGE = REPORTS / "index.html"
ATTRIBUTION = Path("attribution")
# What of Vega the page uses.
RUNTIME = "window.vegaEmbed = vegaEmbed;"


def read_results(cases: Iterable[str]) -> pages.Results:
    """The results of `cases`."""
    cases = list(cases)
    metrics = files.read_json(REPORTS / "metrics.json")
    counts = {name: files.read_csv(REPORTS / "confusion" / f"{name}.csv") for name in metrics}
    return pages.Results(
        metrics=metrics,
        references=files.read_csv(REPORTS / "references.csv"),
        probe=files.read_csv(REPORTS / "probe.csv"),
        curves={case: files.read_csv(REPORTS / "curves" / f"{case}.csv") for case in cases},
        confusion={name: rows.pivot_table("count", "actual", "predicted").to_numpy() for name, rows in counts.items()},
        pictures=files.read_npz(REPORTS / "pictures.npz"),
        digests=files.read_json(REPORTS / "digests.json"),
        cells={case: files.read_csv(ATTRIBUTION / case / "cells.csv") for case in cases},
        effects={case: files.read_json(ATTRIBUTION / case / "effects.json") for case in cases},
    )


def main() -> None:
    """Write the report."""
    parameters = params.load()
    results = read_results(parameters.cases)
    panels = [
        readme_figure.Panel(case.title, pages.LABELS[case.judged_by], results.effects[name][case.judged_by])
        for name, case in parameters.cases.items()
    ]
    with bars.bar("report", 2) as bar:
        files.write_text(PAGE, pages.page(parameters, results, vl_convert.javascript_bundle(RUNTIME)))
        bar.advance()
        files.write_bytes(REPORTS / "figure.svg", readme_figure.svg(panels))
        bar.advance()
    for name, effects in results.effects.items():
        files.write_csv(REPORTS / "effects" / f"{name}.csv", findings.effects_table(effects))
    progress.wrote(PAGE)


if __name__ == "__main__":
    errors.run(main)
