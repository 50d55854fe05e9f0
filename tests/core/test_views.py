"""What MLflow's page is told to show; tests/test_mlflow.py looks at the page."""

import json

from stages.core import tracking, views
from stages.core.params import Params


def test_an_experiment_has_its_question_and_its_views(settings: Params) -> None:
    tags = views.experiment_tags(settings.cases["mnist"])
    assert settings.cases["mnist"].source in tags["mlflow.note.content"]
    for view, name in views.NAMES.items():
        held = json.loads(tags[f"mlflow.sharedViewState.{view}"])
        assert held["name"] == name
        state = json.loads(held["state"])
        assert state["columnWidths"].keys() == set(state["selectedColumns"])
        assert view in tracking.address("7", view)


def test_every_chart_is_in_a_section() -> None:
    state = views.charts()
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {card["metricSectionId"] for card in state["compareRunCharts"]} == sections
    figures = [card["metricKey"] for card in state["compareRunCharts"]]
    assert len(figures) == len(set(figures)) > 4
