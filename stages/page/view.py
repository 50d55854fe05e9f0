"""Results -> the report, one HTML file that loads nothing else."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stages.analysis import findings, settings
from stages.analysis.attribution import SUFFICIENT_SHARE
from stages.analysis.intervals import CONFIDENCE
from stages.analysis.results import CaseResult, Estimate, VariantResult
from stages.config.network import WHEN
from stages.data.mnist import DIGESTS
from stages.page import charts, images
from stages.training.runs import FIGURES

LABELS = {"train": "training accuracy", "validation": "validation accuracy", "test": "test accuracy"}
# Shades of a confusion matrix, from none to all.
SHADES = 8
# Round steps between the ticks of an axis.
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0)
MOST_TICKS = 6
WORDS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


@dataclass(frozen=True)
class Axis:
    """A horizontal scale from `low` to `high` with a tick every `step`."""

    low: float
    high: float
    step: float

    @property
    def ticks(self) -> list[float]:
        """Return the round values from end to end."""
        return [self.low + number * self.step for number in range(round((self.high - self.low) / self.step) + 1)]

    def at(self, value: float) -> str:
        """Return the place of `value` in percent of the axis, within its ends, as CSS takes it."""
        place = 100 * (value - self.low) / (self.high - self.low)
        return f"{min(100.0, max(0.0, place)):.2f}%"

    def wide(self, first: float, second: float) -> str:
        """Return the distance between two values in percent of the axis."""
        return f"{abs(float(self.at(first)[:-1]) - float(self.at(second)[:-1])):.2f}%"


SCORE_AXIS = Axis(0.0, 1.0, 0.25)


def axis_of(estimates: Iterable[Estimate]) -> Axis:
    """Return the shortest axis of round ticks that holds zero and all `estimates` with their intervals."""
    values = [value for e in estimates for value in (e.mean, e.low, e.high) if value is not None]
    least, most = min([0.0, *values]), max([STEPS[0], *values])
    for step in STEPS:
        # Rounded, so that 0.3 / 0.1 is 3.
        low, high = math.floor(round(least / step, 9)), math.ceil(round(most / step, 9))
        if high - low < MOST_TICKS:
            break
    return Axis(low * step, high * step, step)


def typeset(value: float | None, form: str) -> str:
    """Return `value` in a format of Python with a minus sign; None stands for a value that is not finite."""
    return "not finite" if value is None or not math.isfinite(value) else f"{value:{form}}".replace("-", "−")


def percent(value: float | None, digits: int = 1) -> str:
    """Return 0.1141 as 11.4%."""
    return typeset(value, f".{digits}%")


def points(value: float | None) -> str:
    """Return percentage points with their sign: 0.1141 as +11.4, -0.0001 as 0.0."""
    text = typeset(None if value is None else 100 * value, "+.1f")
    return "0.0" if text in ("+0.0", "−0.0") else text


def number(value: float | None, digits: int = 4) -> str:
    """Return four decimals, as losses are printed; large numbers with a power of ten."""
    return typeset(value, f".{digits}f" if abs(value or 0) < 1e5 else ".2e")


def spelled(count: int) -> str:
    """Return a count for the beginning of a sentence: Two, 11."""
    return WORDS[count] if count < len(WORDS) else str(count)


def code(names: Sequence[str], last: str = "and") -> Markup:
    """Return names as code, joined as in a sentence: ``a``, ``b`` and ``c``."""
    marked = [Markup("<code>{}</code>").format(name) for name in names]
    if len(marked) < 2:
        return Markup("").join(marked)
    return Markup("{} {} {}").format(Markup(", ").join(marked[:-1]), last, marked[-1])


def shade(share: float) -> int:
    """Return the shade 0 ... `SHADES` of a share; 0 stands for none."""
    return math.ceil(share * SHADES)


def attribution(result: CaseResult, keras: str, split: str) -> dict[str, Any]:
    """Return what the page shows of the effects on the score on `split` under the condition `keras`."""
    effects = result.effects[keras][split]
    by_value = sorted(effects.fixes, key=lambda name: -(effects.fixes[name].shapley.mean or 0))
    before = [effects.as_posted, *(step.score for step in effects.greedy_path)]
    return {
        "keras": f"Keras {keras}",
        "split": split,
        "label": LABELS[split],
        "start": effects.as_posted,
        "end": before[-1],
        "gain": effects.full_gain,
        "steps": list(zip(before, effects.greedy_path, strict=False)),
        "fixes": [{"name": name, **dict(effects.fixes[name])} for name in by_value],
        "fix_axis": axis_of(fix.shapley for fix in effects.fixes.values()),
        "pairs": sorted(effects.interactions, key=lambda pair: -(pair.mean or 0)),
        "pair_axis": axis_of(effects.interactions),
        "findings": findings.find(result, keras, split),
    }


def assignments(changes: Mapping[str, Any]) -> list[str]:
    """Return settings as ``key = value``."""
    return [f"{key} = {value}" for key, value in settings.flat(changes).items()]


def described(variant: VariantResult) -> list[str]:
    """Return the further settings of `variant`, beside its fixes."""
    texts = assignments(variant.set)
    if variant.subset:
        texts.append("on " + " and ".join(f"{n} examples of {label}" for label, n in variant.subset.items()))
    return texts


def rows_of(result: CaseResult) -> list[dict[str, Any]]:
    """Return every variant on all of the data, then every baseline, for the table of all results."""
    rows: list[dict[str, Any]] = [
        {
            "result": variant,
            "baseline": False,
            "fixes": variant.fixes,
            "set": described(variant),
            "seeds": len(variant.seeds),
            "diverged": round(variant.diverged * len(variant.seeds)),
            "gain": {} if variant.name == "as_posted" else variant.gain,
        }
        for variant in result.variants
        if not variant.subset
    ]
    none: dict[str, Any] = {"baseline": True, "fixes": (), "seeds": 0, "diverged": 0, "gain": {}}
    return rows + [{"result": each, "set": assignments(each.settings), **none} for each in result.baselines]


def curve_charts(result: CaseResult, curves: pd.DataFrame) -> list[dict[str, Any]]:
    """Return per variant its two charts, and their values at a few epochs for readers of a table."""
    shown = []
    for variant in result.variants:
        if variant.subset:
            continue
        rows = curves[curves["variant"] == variant.label]
        unit = "function call" if variant.network["epochs"] is None else "epoch"
        last = int(rows["epoch"].max())
        epochs = sorted({max(1, round(last * share)) for share in (0, 0.1, 0.5, 1)})
        at = {(row.figure, row.epoch): row for row in rows.itertuples()}
        shown.append(
            {
                "name": variant.label,
                "fixes": variant.fixes,
                "set": described(variant),
                "unit": unit,
                "charts": {
                    f"curve-{result.case}-{variant.label}-{figure}": charts.learning_curve(rows, figure, unit)
                    for figure in ("accuracy", "loss")
                    if charts.splits_of(rows, figure)
                },
                "epochs": epochs,
                "values": [
                    (figure, [at.get((figure, epoch)) for epoch in epochs])
                    for figure in FIGURES
                    if (figure, last) in at
                ],
            }
        )
    return shown


def network_view(variant: VariantResult, pictures: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the answers and the first layer of one variant."""
    name, counts = variant.label, np.array(variant.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    misread = zip(*(pictures[f"{name}.{part}"] for part in ("misread", "label", "answer", "confidence")), strict=True)
    units = pictures[f"{name}.units"]
    return {
        "name": name,
        "accuracy": variant.scores["test"],
        "confusion": [
            [(int(count), float(share)) for count, share in zip(*row, strict=True)]
            for row in zip(counts, shares, strict=True)
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


def condition_view(result: CaseResult, keras: str) -> dict[str, Any]:
    """Return what the page shows of a case under the condition `keras`."""
    splits = (result.judged_by, *(split for split in ("train", "test") if split != result.judged_by))
    return {
        "keras": keras,
        "when": WHEN[keras],
        "attributions": [attribution(result, keras, split) for split in splits],
        "advice": findings.advice(result, keras, result.judged_by),
        "points": sorted(result.points_of(keras).values(), key=lambda point: -findings.mean(point, result.judged_by)),
    }


def case_view(result: CaseResult, curves: pd.DataFrame, pictures: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return all that the page shows of a case."""
    return {
        "result": result,
        "name": result.case,
        "split": result.judged_by,
        "posted": settings.flat(result.as_posted),
        "conditions": [condition_view(result, keras) for keras in result.keras],
        "rows": rows_of(result),
        "curves": curve_charts(result, curves),
        "networks": [
            network_view(result.variant(name, keras), pictures)
            for name in dict.fromkeys(("as_posted", result.fixed))
            for keras in result.keras
        ],
        "subsets": [variant for variant in result.variants if variant.subset],
    }


def page(
    results: Sequence[CaseResult],
    curves: Mapping[str, pd.DataFrame],
    pictures: Mapping[str, Mapping[str, np.ndarray]],
    get_runtime: Callable[[], str],
) -> str:
    """Return the page as HTML. Curves and pictures are by case.

    `get_runtime` is called when everything else is ready; it returns the JavaScript that draws the charts.

    Raises
    ------
    ValueError
        If the JavaScript would end the script element that holds it.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (percent, points, number, code, shade, spelled):
        environment.filters[function.__name__] = function
    cases = [case_view(result, curves[result.case], pictures[result.case]) for result in results]
    runtime = get_runtime()
    if "</script" in runtime.lower() or "<!--" in runtime:
        raise ValueError("the runtime of the charts cannot stand inside a script element")
    html = environment.get_template("report.html").render(
        cases=cases,
        seeds=results[0].seeds if results else (),
        mnist=DIGESTS,
        specs={key: spec for case in cases for curve in case["curves"] for key, spec in curve["charts"].items()},
        runtime=Markup(runtime),
        labels=LABELS,
        score_axis=SCORE_AXIS,
        confidence=percent(CONFIDENCE, 0),
        sufficient=percent(float(SUFFICIENT_SHARE), 0),
        nothing=f"{100 * findings.NOTHING:g}",
    )
    return html + "\n"
