"""Experiments of DVC: an edit tried, compared, applied, and seen in MLflow beside what was there."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from project import Project, make, shortest_content, write_mnist

from stages.core import store
from stages.core.digits import Dataset
from stages.core.tracking import PARENT_TAG

VARIANT = "ex4-as_posted"


@pytest.fixture(scope="module")
def project(root: Path, raw_mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The repository after `dvc repro`, an experiment in its workspace, and two that were queued."""
    folder = tmp_path_factory.mktemp("experiments")
    content = shortest_content(root / "params.yaml")
    content["execution"] = {"backend": "threading", "workers": 1}
    content["seeds"] = [0]
    made = make(folder / "repository", write_mnist(raw_mnist, folder / "mnist"), content)
    shutil.copytree(root / ".dvc" / "plots", made.folder / ".dvc" / "plots")
    made.dvc("repro")
    made.commit()
    made.dvc("exp", "run", "--name=three", "--set-param", "cases.ex4.as_posted.epochs=3")
    made.succeed("git", "checkout", "--quiet", ".")
    made.dvc("checkout", "--quiet")
    made.dvc("exp", "run", "--queue", "--set-param", "cases.ex4.as_posted.epochs=4,5")
    made.dvc("exp", "run", "--run-all", "--jobs=1")
    return made


def tracked(project: Project) -> dict[str, Run]:
    """The parent runs of the repository's store, by name."""
    client = MlflowClient(f"sqlite:///{project.folder / store.DEFAULT_FILE}")
    (experiment,) = [one for one in client.search_experiments() if one.name == "ex4"]
    found = client.search_runs([experiment.experiment_id])
    return {run.info.run_name: run for run in found if PARENT_TAG not in run.data.tags}


def shown(project: Project) -> dict[str, dict[str, Any]]:
    """What `dvc exp show` knows of each experiment, by name."""
    (head,) = [one for one in json.loads(project.dvc("exp", "show", "--json")) if one["rev"] != "workspace"]
    experiments = [one["revs"][0] for one in head["experiments"]]
    return {one["name"]: one["data"] for one in experiments}


def epochs(run: Run) -> int:
    return int(run.data.params["epochs"])


def test_each_experiment_is_a_run_beside_the_first_that_says_where_it_is_from(project: Project) -> None:
    runs = tracked(project)
    assert epochs(runs["as_posted"]) == 2
    assert "dvc.experiment" not in runs["as_posted"].data.tags
    of_experiments = {name: run for name, run in runs.items() if name.startswith("as_posted (")}
    assert of_experiments.keys() == {f"as_posted ({name})" for name in shown(project)}
    assert sorted(map(epochs, of_experiments.values())) == [3, 4, 5]
    assert epochs(of_experiments["as_posted (three)"]) == 3
    for name, run in of_experiments.items():
        assert name == f"as_posted ({run.data.tags['dvc.experiment']})"
        assert Path(run.info.artifact_uri).is_relative_to(project.folder / "mlruns")
        assert Path(run.info.artifact_uri, "figures/learning_curves.png").is_file()


def test_an_experiment_registers_no_model(project: Project) -> None:
    client = MlflowClient(f"sqlite:///{project.folder / store.DEFAULT_FILE}")
    (version,) = client.search_model_versions()
    assert version.run_id == tracked(project)["as_posted"].info.run_id


def test_the_experiments_are_shown_with_their_settings_and_accuracies(project: Project, root: Path) -> None:
    (pattern,) = set(re.findall(r"dvc exp show --only-changed --drop '(.+)'", (root / "README.md").read_text("utf-8")))
    table = project.dvc("exp", "show", "--only-changed", "--csv", "--drop", pattern).splitlines()
    header = table[0].split(",")
    assert header[0] == "Experiment"
    assert "cases.ex4.as_posted.epochs" in header
    assert len([name for name in header if "accuracy" in name or "gain" in name]) >= 1
    assert not [name for name in header if name.startswith(("runs", "configs", "attribution"))]
    assert len(header) < 8
    assert len(table) == 1 + 2 + 3
    settings = {name: data["params"]["params.yaml"]["data"] for name, data in shown(project).items()}
    assert sorted(one["cases"]["ex4"]["as_posted"]["epochs"] for one in settings.values()) == [3, 4, 5]


def test_an_experiment_that_is_applied_can_be_compared_and_gives_the_champion(project: Project) -> None:
    before = len(tracked(project))
    project.dvc("exp", "apply", "three")
    try:
        assert "reports/summary/ex4-as_posted.json" in project.dvc("metrics", "diff")
        assert "cases.ex4.as_posted.epochs" in project.dvc("params", "diff")
        project.dvc("plots", "diff", "HEAD")
        page = (project.folder / "dvc_plots" / "index.html").read_text(encoding="utf-8")
        assert '"rev": "workspace"' in page
        assert '"rev": "HEAD"' in page
        assert "reports/curves/ex4.csv" in page
        output = project.dvc("repro")
        assert re.findall(r"Running stage '(.+)'", output) == ["track"]
        runs = tracked(project)
        assert len(runs) == before
        client = MlflowClient(f"sqlite:///{project.folder / store.DEFAULT_FILE}")
        champion = client.get_model_version_by_alias("whichfix-ex4", store.ALIAS)
        assert champion.run_id == runs["as_posted (three)"].info.run_id
    finally:
        project.succeed("git", "checkout", "--quiet", ".")
        project.dvc("checkout", "--quiet")
