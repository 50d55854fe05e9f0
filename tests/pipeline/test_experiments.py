"""Experiments of DVC: an edit is tried, compared, applied, and seen in MLflow beside what was there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from project import Project, copy_of

from pipeline.test_end_to_end import ran

CASE, NAMED = "ex4", "three"


@pytest.fixture(scope="module")
def project(shortest: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project after an experiment in its workspace and one from the queue."""
    project = copy_of(shortest, tmp_path_factory.mktemp("experiments") / "project")
    project.dvc("repro")  # makes the MLflow store anew, because the project was copied
    project.dvc("exp", "run", f"--name={NAMED}", "--set-param", "cases.ex4.as_posted.epochs=3")
    project.succeed("git", "checkout", "--quiet", ".")
    project.dvc("checkout", "--quiet")
    project.dvc("exp", "run", "--queue", "--set-param", "cases.ex4.as_posted.epochs=4")
    project.dvc("exp", "run", "--run-all", "--jobs=1")
    return project


def client_of(project: Project) -> MlflowClient:
    return MlflowClient(f"sqlite:///{project.folder / 'mlflow.db'}")


def tracked(project: Project) -> dict[str, Run]:
    """Return the runs of variants in the store of the repository, by name."""
    client = client_of(project)
    (experiment,) = [entry for entry in client.search_experiments() if entry.name == CASE]
    found = client.search_runs([experiment.experiment_id])
    return {run.info.run_name: run for run in found if "mlflow.parentRunId" not in run.data.tags}


def shown(project: Project) -> dict[str, dict[str, Any]]:
    """Return what `dvc exp show` knows of each experiment, by name."""
    (head,) = [entry for entry in json.loads(project.dvc("exp", "show", "--json")) if entry["rev"] != "workspace"]
    revisions = [entry["revs"][0] for entry in head["experiments"]]
    return {revision["name"]: revision["data"] for revision in revisions}


def test_each_experiment_is_a_run_of_its_own_with_its_name(project: Project) -> None:
    runs = tracked(project)
    assert runs["as_posted"].data.params["epochs"] == "2"
    epochs = {name: run.data.params["epochs"] for name, run in runs.items() if name.startswith("as_posted (")}
    assert epochs.keys() == {f"as_posted ({name})" for name in shown(project)}
    assert sorted(epochs.values()) == ["3", "4"]
    assert epochs[f"as_posted ({NAMED})"] == "3"
    for run in runs.values():
        assert run.info.artifact_uri.startswith((project.folder / "mlruns").as_uri())


def test_an_experiment_registers_no_model(project: Project) -> None:
    experiments = {run.info.run_id for name, run in tracked(project).items() if "(" in name}
    versions = client_of(project).search_model_versions()
    assert versions
    assert not {version.run_id for version in versions} & experiments


def test_dvc_exp_show_has_the_settings_and_scores_that_differ(project: Project, root: Path) -> None:
    (pattern,) = set(
        re.findall(r"dvc exp show --only-changed --drop '(.+)'", (root / "docs/sharing.md").read_text("utf-8"))
    )
    table = project.dvc("exp", "show", "--only-changed", "--csv", "--drop", pattern).splitlines()
    header = table[0].split(",")
    assert header[0] == "Experiment"
    assert "cases.ex4.as_posted.epochs" in header
    assert [name for name in header if "score" in name or "accuracy" in name or "gain" in name]
    assert not [name for name in header if name.startswith(("runs", "configs", "stages"))]
    assert len(table) == 1 + 2 + 2


def test_an_applied_experiment_can_be_compared_and_gives_the_champion(project: Project) -> None:
    before = len(tracked(project))
    project.dvc("exp", "apply", NAMED)
    try:
        assert "reports/metrics/ex4/as_posted.json" in project.dvc("metrics", "diff")
        assert "cases.ex4.as_posted.epochs" in project.dvc("params", "diff")
        project.dvc("plots", "diff", "HEAD")
        page = (project.folder / "dvc_plots/index.html").read_text(encoding="utf-8")
        assert '"rev": "workspace"' in page
        assert '"rev": "HEAD"' in page
        assert ran(project.dvc("repro")) == {"track"}
        runs = tracked(project)
        assert len(runs) == before
        champion = client_of(project).get_model_version_by_alias(f"whichfix-{CASE}", "champion")
        assert champion.run_id in {run.info.run_id for name, run in runs.items() if name.endswith(f"({NAMED})")}
    finally:
        project.succeed("git", "checkout", "--quiet", ".")
        project.dvc("checkout", "--quiet")
