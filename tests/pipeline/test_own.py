"""The two examples of docs/your-network.md: a person's own data, from a CSV file to the report and MLflow."""

import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from documented import line
from mlflow import MlflowClient
from project import Project, make, plain_environment, shortest_content

from stages.base import files

CASES = ("cancer", "diabetes")


@pytest.fixture(scope="module")
def project(mnist: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """Return a project with the two examples, and what `dvc repro` printed."""
    folder = tmp_path_factory.mktemp("own") / "project"
    content = shortest_content(root / "params.yaml") | {"execution": {"backend": "loky", "workers": 2}}
    project = make(folder, mnist, content, plain_environment())
    shutil.copytree(root / "examples", folder / "examples")
    project.commit()
    project.succeed(*line("docs/your-network.md", "python examples/data.py"))
    project.succeed(*line("docs/your-network.md", "cat examples/cancer.yaml"))
    said = project.succeed(*line("docs/your-network.md", "dvc repro prepare@"))
    return project, said + project.succeed(*line("docs/your-network.md", "dvc repro"))


def result(project: Project, case: str) -> dict[str, Any]:
    found: dict[str, Any] = files.read_json(project.folder / f"reports/results/{case}.json")
    return found


def test_the_examples_are_repaired_and_the_report_says_what_stood_still(project: tuple[Project, str]) -> None:
    page = (project[0].folder / "reports/index.html").read_text(encoding="utf-8")
    for case in CASES:
        of_case = result(project[0], case)
        scores = {variant["name"]: variant["scores"]["test"]["mean"] for variant in of_case["variants"]}
        floor = next(each["scores"]["test"]["mean"] for each in of_case["baselines"] if each["name"] == "floor")
        assert scores["as_posted"] < floor + 0.01
        assert scores["fixed"] > floor + 0.2
        assert of_case["title"] in page
    assert page.count("no better than always giving the same answer") >= len(CASES)
    # Adam and ten times the rate are no alternatives; all sixteen combinations are there.
    assert [len(result(project[0], case)["points"]) for case in CASES] == [16, 16]


def without_symptoms(text: str) -> str:
    """Return `text` without symptoms, because the four digits of a norm can be those of a value by chance."""
    return re.sub(r'"(dead|gradient|saturated|spread|target_spread|update)": [-+.\de]+', "", text)


def test_what_was_done_with_the_data_is_said_and_no_value_of_a_row_is_anywhere(project: tuple[Project, str]) -> None:
    folder, said = project[0].folder, project[1]
    assert "sex is text and becomes 2 columns of 0 and 1" in said
    shown = said + "".join(
        without_symptoms(path.read_text(encoding="utf-8", errors="replace"))
        for place in ("reports", "configs")
        for path in (folder / place).rglob("*")
        if path.suffix in (".json", ".csv", ".html")
    )
    cancer = pd.read_csv(folder / "data/own/cancer.csv")
    # Long enough to be in no other number by chance.
    long = [text for text in map(repr, cancer["smoothness error"]) if len(text) >= 8]
    assert len(long) > 50
    assert not [value for value in long if re.search(rf"(?<![\d.]){re.escape(value)}(?!\d)", shown)]


def test_git_sees_neither_the_data_nor_anything_but_results_and_dvc_can_take_the_data(
    project: tuple[Project, str],
) -> None:
    status = project[0].git_status()
    assert "?? data/\n" not in status
    assert "cancer.csv" not in status
    assert "reports/" in status
    project[0].succeed(*line("docs/your-network.md", "dvc add"))
    project[0].succeed("git", "add", "--all")
    added = project[0].succeed("git", "diff", "--cached", "--name-only").splitlines()
    assert "data/own/cancer.csv.dvc" in added
    assert not [path for path in added if path.startswith("data/") and path.endswith(".csv")]


def test_mlflow_has_the_scores_of_each_task_and_a_champion_without_an_example(project: tuple[Project, str]) -> None:
    folder = project[0].folder
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    for case, names in (("cancer", {"test_accuracy", "test_auc"}), ("diabetes", {"test_r2", "test_rmse"})):
        experiment = client.get_experiment_by_name(case)
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], filter_string="attributes.run_name = 'fixed'")
        assert names <= runs[0].data.metrics.keys()
        version = client.get_model_version_by_alias(f"whichfix-{case}", "champion")
        assert int(version.version) == 1
        assert list((folder / "mlruns" / case).rglob("model_card.md"))
        assert not list((folder / "mlruns" / case).rglob("*example*"))


def test_a_second_repro_trains_nothing(project: tuple[Project, str]) -> None:
    before = len(project[0].trained())
    project[0].dvc("repro")
    assert len(project[0].trained()) == before
