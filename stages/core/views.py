"""What MLflow's page shows of an experiment: its question, and saved views of its runs.

Without a view the page shows no metric. A view is a tag of the experiment; it is opened by its address, or by Views at
the top of the page.
"""

import json
from typing import Any

from stages.core.params import Case
from stages.core.tracking import CURVES, TABLE

NAMES = {TABLE: "Accuracy and gain", CURVES: "Learning curves"}

# Columns and their widths in pixels, in their order.
COLUMNS = {
    "metrics.`gain`": 80,
    "tags.`gain_interval`": 150,
    "metrics.`test_accuracy`": 110,
    "metrics.`train_accuracy`": 110,
    "params.`fixes`": 220,
    "tags.`dvc.experiment`": 120,
    "attributes.`Models`": 150,
    "attributes.`Dataset`": 150,
}

# Charts by section: the figure, and whether it is a curve.
CHARTS = {
    "Final weights": {"test_accuracy": False, "gain": False, "train_accuracy": False},
    "By epoch": {"epoch/accuracy": True, "epoch/loss": True, "epoch/validation_accuracy": True},
}


def table() -> dict[str, Any]:
    """The state of the page with `COLUMNS`, as it saves it."""
    return {"selectedColumns": list(COLUMNS), "columnOrder": list(COLUMNS), "columnWidths": COLUMNS}


def charts() -> dict[str, Any]:
    """The state of the page with `CHARTS`, as it saves it."""
    sections = [
        {"uuid": name, "name": name, "display": True, "isReordered": False, "deleted": False, "isGenerated": False}
        for name in CHARTS
    ]
    cards = [
        {
            "uuid": figure,
            "type": "LINE" if curve else "BAR",
            "metricKey": figure,
            "selectedMetricKeys": [figure],
            "metricSectionId": section,
            "displayName": figure,
            "deleted": False,
            "isGenerated": False,
            "runsCountToCompare": 20,
            **({"xAxisKey": "step", "useGlobalXaxisKey": False} if curve else {}),
        }
        for section, figures in CHARTS.items()
        for figure, curve in figures.items()
    ]
    return {
        **table(),
        "compareRunCharts": cards,
        "compareRunSections": sections,
        # Or the page would put its own order in its place.
        "isAccordionReordered": True,
        "runsHiddenMode": "FIRST_20_RUNS",
    }


def experiment_tags(case: Case) -> dict[str, str]:
    """The tags of the experiment of `case`: its question, and its views."""
    states = {TABLE: table(), CURVES: charts()}
    return {
        "mlflow.note.content": (
            f"{case.title} ([the question]({case.source})). A run is a variant, its child runs are the seeds. "
            f"Views, above, has '{NAMES[TABLE]}' and '{NAMES[CURVES]}'; "
            '`tags.fix.<fix> = "yes"` finds the runs of a fix.'
        ),
        # Without it the page asks what kind of experiment this is.
        "mlflow.experimentKind": "custom_model_development",
        "title": case.title,
        "source": case.source,
        **{
            f"mlflow.sharedViewState.{view}": json.dumps(
                {"name": NAMES[view], "createdAt": 0, "state": json.dumps(state)}
            )
            for view, state in states.items()
        },
    }
