"""The two examples of docs/your-network.md: a person's own data, from a CSV file to the report and MLflow."""

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from documented import line
from mlflow import MlflowClient
from project import Project, copy_of, make, plain_environment, shortest_content

from stages.base import files

CASES = ("cancer", "diabetes")
# Values in cells, by case and column, which occur nowhere else; cancer hides its names.
PLANTED: dict[str, dict[str, tuple[int, float | str]]] = {
    "cancer": {"mean area": (5, 867.5309), "malignant": (0, "Winterbottom")},
    "diabetes": {"bmi": (7, 42.424242), "progression": (9, 314.15927), "sex": (11, "Zanzibar")},
}
HIDDEN = ("smoothness error", "worst concavity")
# Git ignores these, and no stage reads their content out. Runs and baselines have what is answered, not what is asked.
WITH_VALUES = ("data/own/", "data/prepared/", ".dvc/cache/")


@pytest.fixture(scope="module")
def project(mnist: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """Return a project with the two examples, and what `dvc repro` printed."""
    folder = tmp_path_factory.mktemp("own") / "project"
    content = shortest_content(root / "params.yaml") | {"execution": {"backend": "loky", "workers": 2}}
    project = make(folder, mnist, content, plain_environment())
    shutil.copytree(root / "examples", folder / "examples")
    project.commit()
    project.succeed(*line("docs/your-network.md", "python examples/data.py"))
    for case, cells in PLANTED.items():
        path = project.folder / f"data/own/{case}.csv"
        table = pd.read_csv(path)
        # Every second value of a column of text, and of the classes, is the planted one.
        table = table.astype({"malignant": str}) if case == "cancer" else table
        for column, (row, value) in cells.items():
            rows = table[column] == table[column][row] if isinstance(value, str) else [row]
            table.loc[rows, column] = value
        table.to_csv(path, index=False)
    project.succeed(*line("docs/your-network.md", "cat examples/cancer.yaml"))
    params = project.folder / "params.yaml"
    text = params.read_text(encoding="utf-8")
    params.write_text(text.replace("target: malignant,", "target: malignant, names: hide,"), encoding="utf-8")
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


def is_in(content: bytes, value: float | str, *, arrays: bool) -> bool:
    """Return whether `content` has `value` as text or as a number of a database or, with `arrays`, of an array."""
    if isinstance(value, str):
        return value.encode() in content
    # Four bytes may occur by chance in what differs from time to time.
    numbers = [np.array(value, dtype).tobytes() for dtype in ("<f8", ">f8", *(["<f4"] if arrays else []))]
    return any(form in content for form in (str(value).encode(), *numbers))


def unpacked(content: bytes) -> bytes:
    """Return `content`, and what is in it if it is an archive."""
    if not content.startswith(b"PK"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return content + b"".join(packed.read(name) for name in packed.namelist())


def holders(project: Project, said: str) -> dict[str, list[str]]:
    """Return for each planted value and each hidden name where it is: files, what was said, and objects of Git."""
    places = {
        str(path.relative_to(project.folder)): unpacked(path.read_bytes())
        for path in project.folder.rglob("*")
        if path.is_file() and not path.is_symlink() and ".git" not in path.relative_to(project.folder).parts
    }
    objects = project.run("sh", "-c", "git cat-file --batch-all-objects --batch > ../objects")
    assert objects.returncode == 0
    places |= {"Git": (project.folder.parent / "objects").read_bytes(), "said": said.encode()}
    values = [value for cells in PLANTED.values() for _, value in cells.values()]
    return {
        str(value): [
            place
            for place, content in places.items()
            if is_in(content, value, arrays=place.startswith((*WITH_VALUES, "runs/", "baselines/", "mlruns/")))
        ]
        for value in (*values, *HIDDEN)
    }


@pytest.mark.tried("planted values of own data")
def test_what_was_done_with_the_data_is_said_and_no_value_of_a_row_is_anywhere(
    project: tuple[Project, str], tmp_path: Path
) -> None:
    copy, said = copy_of(project[0], tmp_path / "project"), project[1]
    assert "column sex is text and becomes 2 columns of 0 and 1" in said
    for case in CASES:
        said += copy.succeed("python", "-m", "stages", "answer", case)
        said += copy.succeed("python", "-m", "stages", "answer", case, "--script")
        said += copy.succeed("python", "-m", "stages", "suggest", case)
    copy.succeed("git", "add", "--all")  # Git has everything then that a person would commit
    for value, places in holders(copy, said).items():
        assert any(place.startswith("data/own/") for place in places), value
        assert not [place for place in places if not place.startswith(WITH_VALUES)], value


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
