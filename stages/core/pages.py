"""The report's page: results -> one HTML file that loads nothing else."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stages.core import charts, evaluation, findings, images
from stages.core.params import Params, Variant
from stages.core.statistics import CONFIDENCE, SUFFICIENT_SHARE

LABELS = {
    "train_accuracy": "training accuracy",
    "validation_accuracy": "validation accuracy",
    "test_accuracy": "test accuracy",
}
EFFECTS = ("alone", "leave_one_out", "main_effect", "shapley")
# Shades of a confusion matrix, from none to all.
SHADES = 8
# Round steps between the ticks of an axis.
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0)
MOST_TICKS = 6
WORDS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


@dataclass(frozen=True)
class Results:
    """What evaluate and attribute wrote: `curves`, `cells`, `effects` by case, `confusion` by name."""

    metrics: Mapping[str, Any]
    references: pd.DataFrame
    probe: pd.DataFrame
    curves: Mapping[str, pd.DataFrame]
    confusion: Mapping[str, np.ndarray]
    pictures: Mapping[str, np.ndarray]
    digests: Mapping[str, Any]
    cells: Mapping[str, pd.DataFrame]
    effects: Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """A horizontal scale from `low` to `high` with its `ticks`."""

    low: float
    high: float
    step: float

    @property
    def ticks(self) -> list[float]:
        """Round values from end to end."""
        return [self.low + number * self.step for number in range(round((self.high - self.low) / self.step) + 1)]

    def at(self, value: float) -> str:
        """Place of `value` in percent of the axis, within its ends, as CSS takes it."""
        place = 100 * (value - self.low) / (self.high - self.low)
        return f"{min(100.0, max(0.0, place)):.2f}%"

    def wide(self, first: float, second: float) -> str:
        """Distance between two values in percent of the axis."""
        return f"{abs(float(self.at(first)[:-1]) - float(self.at(second)[:-1])):.2f}%"


ACCURACY_AXIS = Axis(0.0, 1.0, 0.25)


def axis_of(values: Iterable[float | None]) -> Axis:
    """The shortest axis of round ticks that holds zero and `values`."""
    held = [value for value in values if value is not None]
    least, most = min([0.0, *held]), max([STEPS[0], *held])
    for step in STEPS:
        # Rounded, so that 0.3 / 0.1 is 3.
        low, high = math.floor(round(least / step, 9)), math.ceil(round(most / step, 9))
        if high - low < MOST_TICKS:
            break
    return Axis(low * step, high * step, step)


def percent(value: float | None, digits: int = 1) -> str:
    """0.1141 -> 11.4%; None stands for a figure that is not finite."""
    if value is None or not math.isfinite(value):
        return "not finite"
    return f"{100 * value:.{digits}f}%".replace("-", "−")


def points(value: float | None) -> str:
    """0.1141 -> +11.4, -0.0001 -> 0.0: percentage points with their sign."""
    if value is None:
        return "not finite"
    rounded = f"{100 * value:+.1f}"
    return "0.0" if float(rounded) == 0 else rounded.replace("-", "−")


def number(value: float | None, digits: int = 4) -> str:
    """Four decimals, as losses are printed; large numbers with a power of ten."""
    if value is None or not math.isfinite(value):
        return "not finite"
    return (f"{value:.{digits}f}" if abs(value) < 1e5 else f"{value:.2e}").replace("-", "−")


def spelled(count: int) -> str:
    """A count at the beginning of a sentence: Two, 11."""
    return WORDS[count] if count < len(WORDS) else str(count)


def short(variant: str) -> str:
    """A variant's or baseline's name within its case: ``ex4-comment`` -> ``comment``."""
    return variant.partition("-")[2]


def code(names: Sequence[str], last: str = "and") -> Markup:
    """Names as code, joined as in a sentence: ``a``, ``b`` and ``c``."""
    marked = [Markup("<code>{}</code>").format(name) for name in names]
    if len(marked) < 2:
        return Markup("").join(marked)
    return Markup("{} {} {}").format(Markup(", ").join(marked[:-1]), last, marked[-1])


def shade(share: float) -> int:
    """Shade 0 ... `SHADES` of a share: 0 for none."""
    return math.ceil(share * SHADES)


def bounds(estimates: Iterable[Mapping[str, Any]]) -> list[float | None]:
    """The means of `estimates` and both ends of their intervals."""
    return [estimate[key] for estimate in estimates for key in ("mean", "low", "high")]


def attribution(figure: str, effects: Mapping[str, Any], cells: findings.Cells) -> dict[str, Any]:
    """The effects on one accuracy, as the page shows them."""
    fixes = [name for name in max(cells, key=len) if name in effects["fixes"]]
    by_value = sorted(fixes, key=lambda name: -effects["fixes"][name]["shapley"]["mean"])
    pairs = sorted(effects["interactions"], key=lambda pair: -pair["mean"])
    steps = []
    before = effects["as_posted"]["mean"]
    for step in effects["greedy_path"]:
        steps.append({**step, "before": before})
        before = step["accuracy"]["mean"]
    return {
        "figure": figure,
        "label": LABELS[figure],
        "start": effects["as_posted"],
        "end": effects["greedy_path"][-1]["accuracy"] if steps else effects["as_posted"],
        "gain": effects["full_gain"],
        "steps": steps,
        "fixes": [{"name": name, **effects["fixes"][name]} for name in by_value],
        "fix_axis": axis_of(bounds(effects["fixes"][name]["shapley"] for name in fixes)),
        "pairs": pairs,
        "pair_axis": axis_of(bounds(pairs)),
        "findings": findings.find(effects, cells, figure),
    }


def describe(variant: Variant) -> list[str]:
    """The further settings of `variant`, beside its fixes."""
    return [f"{key} = {value}" for key, value in findings.flat(variant.set).items()]


def result_rows(parameters: Params, case: str, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every variant and then every baseline of `case` with its entry in reports/metrics.json."""
    rows: list[dict[str, Any]] = []
    for name, variant in parameters.variants.items():
        if variant.case == case:
            seeds = len(parameters.seeds_of(name))
            detail = {"fixes": list(variant.fixes), "set": describe(variant), "seeds": seeds, "baseline": False}
            diverged = round(metrics[name]["diverged"] * seeds)
            rows.append({"name": name, **detail, "diverged": diverged, "metrics": metrics[name]})
    for model, baseline in parameters.cases[case].baselines.items():
        name = f"{case}-{model}"
        settings = [f"{key} = {value}" for key, value in findings.flat(baseline.model_dump()).items()]
        detail = {"fixes": [], "set": settings, "seeds": 0, "baseline": True, "diverged": 0}
        rows.append({"name": name, **detail, "metrics": metrics[name]})
    return rows


def curve_charts(parameters: Params, case: str, curves: pd.DataFrame) -> list[dict[str, Any]]:
    """Per variant of `case` its two charts, and their values at a few epochs for those who read a table."""
    shown = []
    for name, variant in parameters.variants.items():
        if variant.case != case:
            continue
        rows = curves[curves["variant"] == name]
        unit = "epoch" if parameters.run_of(name).epochs else "function call"
        last = int(rows["epoch"].max())
        epochs = sorted({max(1, round(last * share)) for share in (0, 0.1, 0.5, 1)})
        at = {(row.figure, row.epoch): row for row in rows.itertuples()}
        present = [figure for figure in evaluation.FIGURES if (figure, last) in at]
        shown.append(
            {
                "name": name,
                "fixes": list(variant.fixes),
                "set": describe(variant),
                "unit": unit,
                "charts": {
                    f"curve-{name}-{figure}": charts.learning_curve(rows, figure, unit)
                    for figure in ("accuracy", "loss")
                    if charts.splits_of(rows, figure)
                },
                "epochs": epochs,
                "values": [(figure, [at.get((figure, epoch)) for epoch in epochs]) for figure in present],
            }
        )
    return shown


def network_view(name: str, results: Results) -> dict[str, Any]:
    """The answers and the first layer of one variant."""
    pictures, counts = results.pictures, results.confusion[name]
    rows = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    misread = zip(*(pictures[f"{name}.{part}"] for part in ("misread", "label", "answer", "confidence")), strict=True)
    units = pictures[f"{name}.units"]
    return {
        "name": name,
        "accuracy": results.metrics[name]["test_accuracy"],
        "confusion": [
            [(int(count), float(share)) for count, share in zip(*row, strict=True)]
            for row in zip(counts, counts / rows, strict=True)
        ],
        "misread": [
            (images.data_uri(image, images.ink()), int(label), int(answer), float(confidence))
            for image, label, answer, confidence in misread
        ],
        "units": len(units),
        "side": units.shape[-1],
        "weights": images.data_uri(images.tiled(units), images.diverging()),
        "largest_weight": float(pictures[f"{name}.largest_weight"]),
    }


def probe_view(case: str, probe: pd.DataFrame) -> dict[str, Any] | None:
    """The two-digit probe of `case`; None where it is another's."""
    rows = probe[probe["case"] == case].to_dict("records")
    for row in rows:
        row["posted"] = row["zeros"] / row["examples"]
        row["majority"] = max(row["posted"], 1 - row["posted"])
    near = {key: sum(abs(row["mean"] - row[key]) < findings.NOTHING for row in rows) for key in ("posted", "majority")}
    return {"rows": rows, "near": near} if rows else None


def case_view(parameters: Params, name: str, results: Results) -> dict[str, Any]:
    """All that the page shows of one case."""
    case = parameters.cases[name]
    variants = {short(variant): point for variant, point in parameters.variants.items() if point.case == name}
    cells = findings.read_cells(results.cells[name], case, variants)
    effects = results.effects[name]
    figures = (case.judged_by, *(figure for figure in findings.ACCURACIES if figure != case.judged_by))
    networks = dict.fromkeys((f"{name}-as_posted", evaluation.fixed_variant(parameters, name)))
    references = results.references[results.references["case"] == name]
    return {
        "name": name,
        "title": case.title,
        "source": case.source,
        "figure": case.judged_by,
        "seeds": parameters.seeds,
        "fixes": [
            {"name": fix, "why": content.why, "changes": findings.changes(case, content.set)}
            for fix, content in case.fixes.items()
        ],
        "posted": findings.flat(case.as_posted.model_dump(mode="json")),
        "attributions": [attribution(figure, effects[figure], cells) for figure in figures],
        "advice": findings.advice(effects[case.judged_by], cells, case.judged_by),
        "cells": sorted(cells.values(), key=lambda cell: -findings.mean(cell, case.judged_by)),
        "results": result_rows(parameters, name, results.metrics),
        "curves": curve_charts(parameters, name, results.curves[name]),
        "networks": [network_view(network, results) for network in networks],
        "references": references.to_dict("records"),
        "probe": probe_view(name, results.probe),
        "digests": results.digests[name],
    }


def environment() -> Environment:
    """The templates beside this module; whatever they are given is escaped."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "percent": percent,
        "points": points,
        "number": number,
        "code": code,
        "short": short,
        "shade": shade,
        "spelled": spelled,
    }
    return templates


def page(parameters: Params, results: Results, get_runtime: Callable[[], str]) -> str:
    """The page as HTML; `get_runtime`, called when all else is made, gives the JavaScript that draws the charts.

    Raises
    ------
    ValueError
        When the JavaScript would end the script element that holds it.
    """
    cases = [case_view(parameters, name, results) for name in parameters.cases]
    specs = {key: spec for case in cases for curve in case["curves"] for key, spec in curve["charts"].items()}
    template = environment().get_template("report.html")
    runtime = get_runtime()
    if "</script" in runtime.lower() or "<!--" in runtime:
        raise ValueError("the charts' runtime cannot stand inside a script element")
    return (
        template.render(
            cases=cases,
            seeds=parameters.seeds,
            sources=parameters.sources,
            specs=specs,
            runtime=Markup(runtime),
            labels=LABELS,
            accuracy_axis=ACCURACY_AXIS,
            confidence=percent(CONFIDENCE, 0),
            sufficient=percent(float(SUFFICIENT_SHARE), 0),
            nothing=f"{100 * findings.NOTHING:g}",
        )
        + "\n"
    )
