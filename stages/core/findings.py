"""What a case's cells and effects say about its fixes: the facts that the report's sentences are written from.

Accuracies and effects are fractions of 1; sets of fixes keep the order of params.yaml.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from stages.core import statistics
from stages.core.params import Case, Variant
from stages.core.statistics import Estimate

# Without a necessary fix at least this share of the full gain is lost.
NECESSARY_SHARE = 0.5
# One point of accuracy: an effect smaller than this counts as nothing.
NOTHING = 0.01
ACCURACIES = ("train_accuracy", "test_accuracy")


@dataclass(frozen=True)
class Cell:
    """One subset of the fixes: its accuracies over seeds, how many runs diverged, the variants that it is."""

    fixes: tuple[str, ...]
    accuracy: Mapping[str, Estimate]
    diverged: int
    variants: tuple[str, ...]


Cells = dict[tuple[str, ...], Cell]


@dataclass(frozen=True)
class Findings:
    """What stands out among the effects on one accuracy.

    `necessary` maps a fix to the accuracy of all others without it; `idle` do nothing alone; `harmful` maps a fix to
    its Shapley value where that is a loss; `helping` and `hindering` are the pairs that gain most, and lose most, by
    being together (None where there is none); of the latter, `substitutes` says that each adds accuracy by itself.
    """

    gains: bool
    necessary: dict[str, float]
    idle: list[str]
    harmful: dict[str, float]
    enough: list[list[str]]
    helping: dict[str, Any] | None
    hindering: dict[str, Any] | None
    substitutes: bool


@dataclass(frozen=True)
class Advice:
    """The cells with and without the fix that is missed most.

    `without` holds as posted, the variants that lack it and all others together; `paired` the fix with each one other.
    `advised` is the variant that lacks it and has the most fixes, `completed` the same with it; both None where
    no variant of two or more fixes lacks it. `better` are those of `paired` that have a higher accuracy than `advised`.
    """

    fix: str
    without: list[Cell]
    paired: list[Cell]
    advised: Cell | None
    completed: Cell | None
    better: list[Cell]


def read_cells(table: pd.DataFrame, case: Case, variants: Mapping[str, Variant]) -> Cells:
    """Cells of attribution/<case>/cells.csv; `variants` are those of the case, named as the report names them."""
    cells: Cells = {}
    names = list(case.fixes)
    groups = table.groupby(names) if names else [((), table)]
    for on, rows in groups:
        fixes = tuple(name for name, is_on in zip(names, on, strict=True) if is_on)
        same = [name for name, variant in variants.items() if set(variant.fixes) == set(fixes) and not variant.set]
        accuracy = {figure: statistics.estimate(rows[figure]) for figure in ACCURACIES}
        cells[fixes] = Cell(fixes, accuracy, int(rows["diverged"].sum()), tuple(same))
    return cells


def mean(cell: Cell, figure: str) -> float:
    """Mean accuracy of `cell`; `attribute` refuses any that is not finite."""
    value = cell.accuracy[figure]["mean"]
    assert value is not None
    return value


def find(effects: Mapping[str, Any], cells: Cells, figure: str) -> Findings:
    """What stands out in `effects`, those on accuracy `figure` in attribution/<case>/effects.json."""
    fixes: Mapping[str, Any] = effects["fixes"]
    names = max(cells, key=len)
    full_gain = effects["full_gain"]["mean"]
    ordered = [name for name in names if name in fixes]

    def lost(name: str) -> float:
        return float(fixes[name]["leave_one_out"]["mean"])

    gains = full_gain >= NOTHING
    necessary = [name for name in ordered if gains and lost(name) >= NECESSARY_SHARE * full_gain]
    pairs = sorted(effects["interactions"], key=lambda pair: float(pair["mean"]))
    hindering = pairs[0] if pairs and pairs[0]["mean"] <= -NOTHING else None
    return Findings(
        gains=gains,
        necessary={
            name: mean(cells[tuple(other for other in names if other != name)], figure)
            for name in sorted(necessary, key=lost, reverse=True)
        },
        idle=[name for name in ordered if abs(fixes[name]["alone"]["mean"]) < NOTHING],
        harmful={
            name: float(value["mean"])
            for name in ordered
            if (value := fixes[name]["shapley"])["mean"] <= -NOTHING and (value["high"] is None or value["high"] < 0)
        },
        enough=effects["smallest_sets"],
        helping=pairs[-1] if pairs and pairs[-1]["mean"] >= NOTHING else None,
        hindering=hindering,
        substitutes=bool(hindering and all(fixes[name]["main_effect"]["mean"] > 0 for name in hindering["fixes"])),
    )


def advice(effects: Mapping[str, Any], cells: Cells, figure: str) -> Advice | None:
    """The cells with and without the fix that is missed most; None where fewer than two fixes or no gain leave nothing.

    That is the necessary fix without which the accuracy is least.
    """
    necessary = find(effects, cells, figure).necessary
    names = max(cells, key=len)
    if len(names) < 2 or not necessary:
        return None
    fix = next(iter(necessary))

    def subset(*chosen: str) -> tuple[str, ...]:
        return tuple(name for name in names if name in chosen)

    others = subset(*(name for name in names if name != fix))
    without = [cell for cell in cells.values() if fix not in cell.fixes and (cell.variants or cell.fixes == others)]
    paired = sorted((cells[subset(fix, o)] for o in others), key=lambda cell: mean(cell, figure), reverse=True)
    advised = max((c for c in without if c.variants and len(c.fixes) > 1), key=lambda c: len(c.fixes), default=None)
    return Advice(
        fix=fix,
        without=sorted(without, key=lambda cell: len(cell.fixes)),
        paired=paired,
        advised=advised,
        completed=cells[subset(fix, *advised.fixes)] if advised else None,
        better=[cell for cell in paired if advised and mean(cell, figure) > mean(advised, figure)],
    )


def effects_table(effects: Mapping[str, Any]) -> pd.DataFrame:
    """attribution/<case>/effects.json as a row an accuracy, fix and effect: its mean, and its interval's ends."""
    rows = [
        {"accuracy": accuracy, "fix": fix, "effect": effect, **interval}
        for accuracy, of_accuracy in effects.items()
        for fix, of_fix in of_accuracy["fixes"].items()
        for effect, interval in of_fix.items()
    ]
    return pd.DataFrame(rows, columns=["accuracy", "fix", "effect", "mean", "low", "high"])


def changes(case: Case, settings: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What `settings` change of `case` as posted: (key, old value, new value), nested keys joined by a dot."""
    posted = flat(case.as_posted.model_dump(mode="json"))
    return [(key, posted.get(key, ""), new) for key, new in flat(settings).items() if posted.get(key) != new]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested `values` as dotted key -> text."""
    texts: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            texts |= flat(value, f"{prefix}{key}.")
        else:
            texts[f"{prefix}{key}"] = text(value)
    return texts


def text(value: Any) -> str:
    """A setting for a reader: short numbers, lists without brackets, ``none`` for null."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(text, value)) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)
