"""Results -> the report, one HTML file that loads nothing else."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
from stages.config.schema import FLOOR
from stages.data.mnist import DIGESTS
from stages.page import charts, images, repairs
from stages.page.answer_view import answer_view, score_text, today_first
from stages.page.numbers import SCORE_AXIS, axis_of, code, number, percent, points, shade, spelled, wrapped
from stages.page.symptoms import magnitude, share
from stages.page.words import SPLITS, label, split_word
from stages.training.runs import figures

# Ways to say what a fix is worth, as columns of a table.
WAYS = {"alone": "alone", "leave_one_out": "lost without it", "main_effect": "main effect", "shapley": "Shapley"}


NOTHING_ALONE = (
    "A fix does nothing alone if, added to the network as posted, it changes the score by less than "
    f"{100 * findings.NOTHING:g} point."
)


def attribution(result: CaseResult, keras: str, split: str) -> dict[str, Any]:
    """Return what the page shows of the effects on the score on `split` under the condition `keras`."""
    effects = result.effects[keras][split]
    worth = {name: fix.worth for name, fix in effects.fixes.items()}
    by_value = sorted(worth, key=lambda name: -(worth[name].mean or 0))
    ways = [way for way in WAYS if any(getattr(fix, way) for fix in effects.fixes.values())]
    before = [effects.as_posted, *(step.score for step in effects.greedy_path)]
    points = result.points_of(keras)
    # All fixes or, if not every set was trained, the best one.
    every = tuple(fix.name for fix in result.fixes)
    best = points[every] if effects.complete else max(points.values(), key=lambda point: findings.mean(point, split))
    return {
        "keras": f"Keras {keras}",
        "split": split,
        "label": label(result, split),
        "text": partial(score_text, result),
        "complete": effects.complete,
        "refused": any(point.keras == keras for point in result.refused),
        "ways": {way: WAYS[way] for way in ways},
        "start": effects.as_posted,
        # Scores as they are; in effects, an R² far below zero counts as a bound.
        "posted": points[()].scores[split],
        "end": best.scores[split],
        "best": best.fixes,
        "gain": effects.full_gain,
        "steps": list(zip(before, effects.greedy_path, strict=False)),
        "fixes": [{"name": name, "worth": worth[name], **dict(effects.fixes[name])} for name in by_value],
        "fix_axis": axis_of(worth.values()),
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
                    for figure in (result.score, "loss")
                    if charts.splits_of(rows, figure)
                },
                "epochs": epochs,
                "values": [
                    (figure, [at.get((figure, epoch)) for epoch in epochs])
                    for figure in figures(result.score)
                    if (figure, last) in at
                ],
            }
        )
    return shown


def network_view(result: CaseResult, variant: VariantResult, pictures: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the answers of one variant and, if the examples are pictures, what it misreads and its first layer."""
    name, counts = variant.label, np.array(variant.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    split = "test" if "test" in variant.scores else "train"
    answers = {
        "name": name,
        "label": label(result, split),
        "score": variant.scores[split],
        "measures": {key: figure for key, figure in variant.measures[split].items() if key != result.score},
        "confusion": [
            [(int(count), float(share)) for count, share in zip(*row, strict=True)]
            for row in zip(counts, shares, strict=True)
        ],
        "misread": [],
    }
    if not result.data.pictures:
        return answers
    misread = zip(*(pictures[f"{name}.{part}"] for part in ("misread", "label", "answer", "confidence")), strict=True)
    units = pictures[f"{name}.units"]
    return answers | {
        "misread": [
            (images.data_uri(image, images.ink()), int(label), int(answer), float(confidence))
            for image, label, answer, confidence in misread
        ],
        "units": len(units),
        "side": units.shape[-1],
        "weights": images.data_uri(images.tiled(units), images.diverging()),
        "largest_weight": float(pictures[f"{name}.largest_weight"]),
    }


def condition_view(result: CaseResult, keras: str, shown: str) -> dict[str, Any]:
    """Return what the page shows of a case under the condition `keras`; its card shows the score on `shown`."""
    points = sorted(result.points_of(keras).values(), key=lambda point: -findings.mean(point, result.judged_by))
    splits = (result.judged_by, *(split for split in points[0].scores if split != result.judged_by))
    # A search has no effects.
    measured = keras in result.effects
    return {
        "keras": keras,
        "when": WHEN[keras],
        "floor": floor(result, keras),
        "card": answer_view(result, keras, shown),
        "judged": judged_sentence(result, keras) if shown != result.judged_by else "",
        "answer": repairs.condition_answer(result, keras),
        "attributions": [attribution(result, keras, split) for split in splits] if measured else [],
        "advice": findings.advice(result, keras, result.judged_by) if measured else None,
        "refused": [point for point in result.refused if point.keras == keras],
        "splits": splits,
        "points": points,
        "intervals": any(point.scores[result.judged_by].low is not None for point in points),
    }


def shown_split(results: Sequence[CaseResult]) -> str:
    """Return the split whose score all cards show, because all cases have it: test if they do."""
    return next(split for split in reversed(SPLITS) if all(split in result.data.rows for result in results))


def judged_sentence(result: CaseResult, keras: str) -> str:
    """Return the score by which the fixes of the case are compared, before and after the repair."""
    answer = answer_view(result, keras)
    before, after = (score_text(result, each.mean) if each else "" for each in (answer.before, answer.after))
    goes = f"goes from {before} to {after}" if answer.fixes else f"is {before}"
    return f"The {answer.label}, by which the fixes are compared, {goes}."


def floor(result: CaseResult, keras: str) -> Estimate | None:
    """Return the score of the answer that needs no inputs, if the network as posted is not better under `keras`."""
    without = next((baseline.scores[result.judged_by] for baseline in result.baselines if baseline.name == FLOOR), None)
    posted = result.variant("as_posted", keras).scores[result.judged_by]
    if without is None or without.mean is None:
        return None
    return without if posted.mean is None or posted.mean < without.mean + findings.NOTHING else None


def case_view(
    result: CaseResult, curves: pd.DataFrame, pictures: Mapping[str, np.ndarray], shown: str
) -> dict[str, Any]:
    """Return all that the page shows of a case; its card shows the score on the split `shown`."""
    return {
        "result": result,
        "name": result.case,
        "split": result.judged_by,
        "text": partial(score_text, result),
        "posted": settings.flat(result.as_posted),
        "searched": bool(result.search),
        "repaired": any(result.repairs.values()),
        "printed": repairs.printed(result),
        "conditions": [condition_view(result, keras, shown) for keras in today_first(result.keras)],
        "axis": result.data.axis,
        "gains": list(result.variant("as_posted", result.keras[0]).gain),
        "rows": rows_of(result),
        "curves": curve_charts(result, curves),
        "networks": [
            network_view(result, result.variant(name, keras), pictures)
            for name in dict.fromkeys(("as_posted", result.fixed))
            for keras in result.keras
        ],
        "labels": {split: label(result, split) for split in result.data.rows},
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
    for function in (percent, points, number, code, shade, share, magnitude, spelled, split_word, wrapped):
        environment.filters[function.__name__] = function
    shown = shown_split(results) if results else ""
    cases = [case_view(result, curves[result.case], pictures[result.case], shown) for result in results]
    runtime = get_runtime()
    if "</script" in runtime.lower() or "<!--" in runtime:
        raise ValueError("the runtime of the charts cannot stand inside a script element")
    html = environment.get_template("report.html").render(
        cases=cases,
        shown_keras={keras for result in results for keras in result.keras},
        seeds=results[0].seeds if results else (),
        mnist=DIGESTS if any(result.data.pictures for result in results) else {},
        specs={key: spec for case in cases for curve in case["curves"] for key, spec in curve["charts"].items()},
        runtime=Markup(runtime),
        score_axis=SCORE_AXIS,
        confidence=percent(CONFIDENCE, 0),
        sufficient=percent(float(SUFFICIENT_SHARE), 0),
        necessary=percent(findings.NECESSARY_SHARE, 0),
        nothing=f"{100 * findings.NOTHING:g}",
        nothing_alone=NOTHING_ALONE,
    )
    return html + "\n"
