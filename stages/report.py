"""The results of all cases -> reports/index.html, the page, and reports/figure.svg, the figure of the README."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stages.base import console, files
from stages.base.errors import LESS_MEMORY, UserError

if TYPE_CHECKING:
    from stages.analysis.results import CaseResult

# Print the parts of Vega that the page uses. End without a word if nobody reads them any more.
BUNDLE = """
import signal
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
import vl_convert
print(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"), end="")
"""


@contextmanager
def bundling() -> Iterator[Callable[[], str]]:
    """Bundle the JavaScript of the charts in another process, because that takes as long as everything else.

    Give a function that waits for the bundle; it raises a `UserError` if that process fails.
    """
    # In a process group of its own, so that Ctrl-C reaches this process alone.
    command = [sys.executable, "-E", "-X", "utf8", "-c", BUNDLE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", process_group=0) as process:

        def bundle() -> str:
            script, _ = process.communicate()
            if process.returncode:
                raise UserError(f"the process that bundles the JavaScript of the charts ended early; {LESS_MEMORY}")
            return script

        try:
            yield bundle
        finally:
            process.kill()


def read_pictures(result: "CaseResult") -> dict[str, Any]:
    """Return the pictures of the network as posted and of the fixed one, under each condition."""
    path = files.PICTURES / f"{result.case}.npz"
    pictures = files.read_archive(path)
    parts = ("misread", "label", "answer", "confidence", "units", "largest_weight")
    files.require(
        path,
        pictures,
        (
            f"{variant.label}.{part}"
            for variant in result.variants
            if result.data.pictures and variant.name in ("as_posted", result.fixed)
            for part in parts
        ),
    )
    return pictures


def main() -> None:
    """Write the page and the figure."""
    with bundling() as bundle:
        # Imported while the other process works, because these imports take half as long as its bundle.
        from stages.analysis import results as result_files
        from stages.config import load
        from stages.page import figures, view

        results = [result_files.read(case) for case in load.cases()]
        curves = {result.case: files.read_csv(files.CURVES / f"{result.case}.csv") for result in results}
        pictures = {result.case: read_pictures(result) for result in results}
        files.replace_bytes(files.PAGE, view.page(results, curves, pictures, bundle).encode())
        files.write_bytes(files.FIGURE, figures.waterfall(results))
    console.wrote(files.PAGE, cases=len(results))
