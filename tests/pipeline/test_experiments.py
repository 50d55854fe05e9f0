"""Experiments of DVC: an edit is tried, compared, applied, and seen in MLflow beside what was there."""

import json
from pathlib import Path
from typing import Any

import pytest
from documented import line
from mlflow import MlflowClient
from mlflow.entities import Run
from project import Project, clone_of, copy_of

from pipeline.test_end_to_end import ran

CASE = "ex4"


@pytest.fixture(scope="module")
def project(shortest: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project after an experiment with a new variant and two from the queue. Its branch is `main`."""
    project = copy_of(shortest, tmp_path_factory.mktemp("experiments") / "project")
    project.dvc("repro")  # makes the MLflow store anew, because the project was copied
    project.succeed("git", "branch", "--move", "main")
    said = project.succeed(*line("docs/sharing.md", "dvc exp run --temp"))
    assert "wrote runs/ex4: 9 runs, 2 trained" in said
    said = project.succeed(*line("docs/sharing.md", "dvc exp run --queue"))
    # Not the runs whose optimizer a fix or a variant sets.
    assert said.count("wrote runs/ex4: 7 runs, 3 trained") == 2
    assert project.git_status() == ""
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


@pytest.fixture(scope="module")
def faster(project: Project) -> str:
    """Return the name that DVC gave to the experiment with the highest learning rate."""
    params = {name: data["params"]["params.yaml"]["data"] for name, data in shown(project).items()}
    (name,) = [
        name
        for name, content in params.items()
        if content["cases"][CASE]["as_posted"]["optimizer"]["learning_rate"] == 1
    ]
    return name


def test_each_experiment_is_a_run_of_its_own_with_its_name(project: Project, faster: str) -> None:
    runs = tracked(project)
    params = {name: run.data.params for name, run in runs.items() if name.startswith(("as_posted", "longer"))}
    settings = {name: (of_run["epochs"], of_run["optimizer.learning_rate"]) for name, of_run in params.items()}
    assert settings.pop("as_posted") == ("2", "0.01")
    assert settings.pop("longer (longer)") == ("200", "0.01")
    assert settings.keys() == {f"as_posted ({name})" for name in shown(project).keys() - {"longer"}}
    assert settings.pop(f"as_posted ({faster})") == ("2", "1")
    assert list(settings.values()) == [("2", "0.1")]
    for run in runs.values():
        assert run.info.artifact_uri.startswith((project.folder / "mlruns").as_uri())


def test_an_experiment_registers_no_model(project: Project) -> None:
    experiments = {run.info.run_id for name, run in tracked(project).items() if "(" in name}
    versions = client_of(project).search_model_versions()
    assert versions
    assert not {version.run_id for version in versions} & experiments


def test_dvc_exp_show_has_the_scores_that_differ_and_two_variants_fit_120_columns(project: Project) -> None:
    table = project.succeed(*line("docs/sharing.md", "dvc exp show", more=" --no-pager"), COLUMNS="120").splitlines()
    names = [f"metrics/ex4/{name}.json:test_accuracy" for name in ("as_posted", "longer")]
    assert next(row.split() for row in table if "Experiment" in row) == ["Experiment", *names]
    assert len(table) == 3 + 1 + 2 + 3
    for row in project.dvc("metrics", "show").splitlines():
        assert len(row) <= 120


def test_an_applied_experiment_can_be_compared_and_gives_the_champion(project: Project, faster: str) -> None:
    before = len(tracked(project))
    project.succeed(*line("docs/sharing.md", "dvc exp apply", {"NAME": faster}))
    try:
        assert "metrics/ex4/as_posted.json" in project.succeed(*line("README.md", "dvc metrics diff"))
        assert "cases.ex4.as_posted.optimizer.learning_rate" in project.succeed(*line("README.md", "dvc params diff"))
        project.succeed(*line("README.md", "dvc plots diff"))
        page = (project.folder / "dvc_plots/index.html").read_text(encoding="utf-8")
        assert '"rev": "workspace"' in page
        assert '"rev": "main"' in page
        assert ran(project.dvc("repro")) == {"track"}
        runs = tracked(project)
        assert len(runs) == before
        champion = client_of(project).get_model_version_by_alias(f"whichfix-{CASE}", "champion")
        assert champion.run_id in {run.info.run_id for name, run in runs.items() if name.endswith(f"({faster})")}
    finally:
        project.succeed(*line("docs/sharing.md", "git stash push"))


def test_an_experiment_that_is_pushed_can_be_applied_in_another_clone(
    project: Project, faster: str, tmp_path: Path
) -> None:
    origin = Project(tmp_path / "origin", project.environment)
    project.succeed("git", "clone", "--quiet", "--bare", ".", str(origin.folder))
    project.succeed("git", "remote", "add", "origin", str(origin.folder))
    other = clone_of(origin, tmp_path / "other")
    for each in (project, other):
        each.succeed(*line("docs/sharing.md", "dvc remote add --local", {"...": str(tmp_path / "remote")}))
    project.succeed(*line("docs/sharing.md", "dvc exp push", {"NAME": faster}))
    other.succeed(*line("docs/sharing.md", "dvc exp pull", {"NAME": faster}))
    other.succeed(*line("docs/sharing.md", "dvc exp apply", {"NAME": faster}))
    assert other.read_params()["cases"][CASE]["as_posted"]["optimizer"]["learning_rate"] == 1
    assert "up to date" in other.dvc("status", "report")
