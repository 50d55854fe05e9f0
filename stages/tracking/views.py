"""The experiment of a case in MLflow's page: its description and its saved views. Without MLflow.

Without a view the table shows no score, and the charts show every metric. MLflow's page is 1,440 pixels wide on most
laptops, and its assistant takes 370 of them.
"""

import json
from collections.abc import Sequence
from typing import Any

from stages.analysis.results import CaseResult
from stages.tracking.content import DESCRIPTION, STALE, gain_name, score_tags
from stages.training.runs import figures

SAVED = "mlflow.sharedViewState."
CURRENT = f"tags.{STALE} IS NULL"
EARLIER = f'tags.{STALE} = "yes"'
# Column -> width in pixels. The time of creation keeps only its icon, because MLflow cannot hide it.
FIXED = {"attributes.`Run Name`": 248, "runDateAndNestInfo": 48}
SCORE, GAIN, FIXES, NUMBER, MODEL = 115, 145, 217, 110, 150


def numbers(result: CaseResult) -> list[str]:
    """Return the metrics of the final weights that are shown, those of the split by which the case is judged first."""
    splits = dict.fromkeys([result.judged_by, *(split for split in ("test", "train") if split in result.data.rows)])
    return [name for split in splits for name in (f"{split}_{result.score}", gain_name(split))]


def table(result: CaseResult) -> dict[str, Any]:
    """Return the columns of the table: score, gain and fixes first, then the same as numbers, to sort by."""
    score, gain = score_tags(result)
    widths = {
        **FIXED,
        f"tags.`{score}`": SCORE,
        f"tags.`{gain}`": GAIN,
        "params.`fixes`": FIXES,
        **{f"metrics.`{name}`": NUMBER for name in numbers(result)},
        "tags.`dvc.experiment`": MODEL,
        "attributes.`Models`": MODEL,
    }
    selected = [column for column in widths if column not in FIXED]
    return {"selectedColumns": selected, "columnOrder": [*widths], "columnWidths": widths, "searchFilter": CURRENT}


def charts(result: CaseResult) -> dict[str, Any]:
    """Return the charts: scores and gains of the final weights, then learning curves. Other metrics are folded."""
    loss, score, *validation = figures(result.score)
    curves = [score, loss] if "validation" not in result.data.rows else [score, validation[1], loss, validation[0]]
    first = variant.symptoms if (variant := next(iter(result.variants), None)) else None
    repaired = any(result.repairs.values())
    folded = {
        "Model metrics": True,
        "interval": True,
        "recall": any(variant.recall for variant in result.variants),
        "symptom": first is not None,
        "answers": any(variant.answers for variant in result.variants),
        "repair": repaired,
        "worth": repaired,
        "effect": any(result.effects.values()),
        "search": bool(result.search),
    }
    sections = {"Final weights": True, "By epoch": True} | {name: False for name, there in folded.items() if there}
    return {
        "compareRunCharts": [
            *(_chart("BAR", name, "Final weights") for name in numbers(result)),
            *(_chart("LINE", f"epoch/{name}", "By epoch") | {"xAxisKey": "step"} for name in curves),
        ],
        "compareRunSections": [
            {"uuid": name, "name": name, "display": display, "columns": 2, "isReordered": False}
            for name, display in sections.items()
        ],
        "isAccordionReordered": True,
        "runsHiddenMode": "FIRST_20_RUNS",
    }


def _chart(kind: str, metric: str, section: str) -> dict[str, Any]:
    """Return a chart of one metric."""
    return {
        "uuid": metric,
        "type": kind,
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": 20,
    }


def views(result: CaseResult) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the saved views of a case: key -> name and state."""
    return {
        "scores": ("Scores and gains", table(result)),
        "curves": ("Learning curves", table(result) | charts(result)),
    }


def experiment_tags(result: CaseResult) -> dict[str, str]:
    """Return the tags of the experiment of a case: its description, and its saved views by key."""
    saved = views(result)
    # Without the kind the page asks what kind of experiment this is.
    tags = {DESCRIPTION: _description(result, [name for name, _ in saved.values()])}
    tags["mlflow.experimentKind"] = "custom_model_development"
    for key, (name, state) in saved.items():
        text = json.dumps(state, separators=(",", ":"))
        tags[f"{SAVED}{key}"] = json.dumps({"name": name, "createdAt": 0, "state": text}, separators=(",", ":"))
    return tags


def _description(result: CaseResult, names: Sequence[str]) -> str:
    """Return what a reader of the page needs to know, in Markdown. MLflow folds all but its first line."""
    link = f" ([the question]({result.source}))" if result.source else ""
    return "\n".join(
        [
            f"Click *Views* to see scores: {result.title}{link}.",
            "",
            f"- The button *Views* has {' and '.join(names)}.",
            "- A run is a variant: means over its seeds, which are its child runs.",
            "- `case table` has the answer, all combinations of the fixes and their effects. "
            "A `baseline` is a model without a network.",
            '- `tags.fix.<fix> = "yes"` finds the runs with a fix.',
            f"- The views leave out the runs of earlier results. `{EARLIER}` finds them.",
        ]
    )
