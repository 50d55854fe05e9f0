"""Accuracy and gain of every variant and baseline, in percent as the README has them, as a table for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from stages.core import bars
from stages.core.params import Params

TITLE = "Accuracy, %: mean over seeds ± 95% interval"
HEADERS = ("variant or baseline", "training", "test", "gain (test)")
# Characters, where no terminal has a width.
WIDTH = 100


@dataclass(frozen=True)
class Row:
    """What the table shows of a variant or baseline; `begins` a case."""

    name: str
    train: str
    test: str
    gain: str
    begins: bool


def percent(figure: Mapping[str, Any] | None, sign: str = "") -> str:
    """A mean and its margin, such as ``62.2 ± 9.7``; the mean alone where there is one run.

    `sign` is that of Python's formats, ``+`` for a gain.
    """
    if figure is None or figure["mean"] is None:
        return "–"
    # The t interval is symmetric.
    margin = "" if figure["low"] is None else f" ± {100 * (figure['high'] - figure['mean']):.1f}"
    mean = f"{100 * figure['mean']:{sign}.1f}"
    # Zero has no sign.
    return f"{mean if float(mean) else '0.0'}{margin}"


def rows(parameters: Params, metrics: Mapping[str, Any]) -> list[Row]:
    """The variants and then the baselines of each case, as params.yaml lists them, from reports/metrics.json."""
    found = []
    for case_name, case in parameters.cases.items():
        names = [name for name, variant in parameters.variants.items() if variant.case == case_name]
        names += [f"{case_name}-{model}" for model in case.baselines]
        # params.yaml may have been edited since.
        names = [name for name in names if name in metrics]
        for name in names:
            entry = metrics[name]
            share = entry.get("diverged")
            shown = f"{name} ({share:.0%} diverged)" if share else name
            figures = (percent(entry["train_accuracy"]), percent(entry["test_accuracy"]))
            found.append(Row(shown, *figures, percent(entry.get("gain"), "+"), begins=name == names[0]))
    return found


def aligned(texts: Sequence[str]) -> list[str]:
    """`texts` with their means flush right, so that the margins begin below each other."""
    means = [text.split(" ")[0] for text in texts]
    widest = max(map(len, means), default=0)
    return [" " * (widest - len(mean)) + text for mean, text in zip(means, texts, strict=True)]


def table(found: Sequence[Row], ascii_only: bool = False) -> Table:
    """The table of `found`; where it has too little room, names are folded and figures stay whole."""

    def text(shown: str) -> str:
        return shown.replace("±", "+/-").replace("–", "-") if ascii_only else shown

    made = Table(title=text(TITLE), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    made.add_column(HEADERS[0], overflow="fold")
    for header in HEADERS[1:]:
        made.add_column(header)
    figures = zip(*(aligned([getattr(row, name) for row in found]) for name in ("train", "test", "gain")), strict=True)
    for row, cells in zip(found, figures, strict=True):
        if row.begins:
            made.add_section()
        made.add_row(row.name, *map(text, cells))
    return made


def show(parameters: Params, metrics: Mapping[str, Any]) -> None:
    """Print the table to standard output."""
    console = Console()
    if not bars.watched(console):
        console = Console(force_terminal=False, width=WIDTH)
    console.print(table(rows(parameters, metrics), console.options.ascii_only))
