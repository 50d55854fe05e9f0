"""evaluate's and attribute's files -> reports/: the page, the README's figure, and the effects as plot data."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core import bars, errors, files, params, progress
from stages.core.errors import LESS_MEMORY, UserError

if TYPE_CHECKING:
    from stages.core import pages

REPORTS = Path("reports")
PAGE = REPORTS / "index.html"
ATTRIBUTION = Path("attribution")
# Prints what of Vega the page uses; where nobody reads it any more, it ends without a word.
BUNDLE = """
import signal
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
import vl_convert
print(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"), end="")
"""


def read_results(cases: Iterable[str]) -> "pages.Results":
    """The results of `cases`."""
    from stages.core import pages

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


@contextmanager
def bundling() -> Iterator[Callable[[], str]]:
    """Make the charts' JavaScript in a process beside this one, until the block ends: it takes as long as all the rest.

    Gives a function that waits for it; it raises a `UserError` where that process was killed or failed.
    """
    # In a group of its own: Ctrl-C is for the stage to tell.
    command = [sys.executable, "-X", "utf8", "-c", BUNDLE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", process_group=0) as process:

        def bundled() -> str:
            script, _ = process.communicate()
            if process.returncode:
                raise UserError(f"the process that bundles the charts' JavaScript ended early; {LESS_MEMORY}")
            return script

        try:
            yield bundled
        finally:
            process.kill()


def main() -> None:
    """Write the report."""
    parameters = params.load()
    with bundling() as bundled, bars.bar("report", 2) as bar:
        # Here, as their imports take half as long as the bundle.
        from stages.core import findings, pages, readme_figure

        results = read_results(parameters.cases)
        files.write_text(PAGE, pages.page(parameters, results, bundled))
        bar.advance()
        panels = [
            readme_figure.Panel(case.title, pages.LABELS[case.judged_by], results.effects[name][case.judged_by])
            for name, case in parameters.cases.items()
        ]
        files.write_bytes(REPORTS / "figure.svg", readme_figure.svg(panels))
        bar.advance()
    for name, effects in results.effects.items():
        files.write_csv(REPORTS / "effects" / f"{name}.csv", findings.effects_table(effects))
    progress.wrote(PAGE)


if __name__ == "__main__":
    errors.run(main)
