"""A person's stuck network: record it, let fixes be suggested, search them, and read the answer in lines of Keras."""

import json
from pathlib import Path
from typing import Any

import pytest
from documented import line
from mlflow import MlflowClient
from project import Project, make, plain_environment, shortest_content

# Four rows that one linear layer cannot tell apart: every training takes a fraction of a second.
SCRIPT = """\
import keras
import numpy as np

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 8, dtype="float32") * 1000
y = np.array([0, 1, 1, 0] * 8)
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
loss = keras.losses.BinaryCrossentropy(from_logits=True)
model.compile(loss=loss, optimizer="sgd", metrics=["accuracy"])
model.fit(X, y, epochs=30, verbose=0)
"""


def settings(mine: Project, workers: int) -> None:
    """Make the search short, with so many workers."""
    content = mine.read_params()
    content["seeds"] = [0, 1]
    content["execution"] = {"backend": "loky", "workers": workers}
    content["cases"]["stuck"]["search"] = {"points": 9}
    mine.write_params(content)


@pytest.fixture(scope="module")
def mine(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """Return a folder of own cases after `record` and `dvc repro`, and what the two printed."""
    folder = tmp_path_factory.mktemp("searched")
    clone = make(folder / "clone", folder / "missing", shortest_content(root / "params.yaml"), plain_environment())
    (clone.folder / "train.py").write_text(SCRIPT, encoding="utf-8")
    clone.commit()
    said = clone.succeed(*line("README.md", "python -m stages record", {"my_case": "stuck"}))
    assert "fixes" in said
    mine = Project(clone.folder / "mine", clone.environment)
    settings(mine, workers=2)
    return mine, said + mine.dvc("repro")


def result(mine: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((mine.folder / "reports/results/stuck.json").read_text(encoding="utf-8"))
    return found


def test_the_suggested_fixes_are_searched_and_one_of_the_repairs_holds_on_fresh_seeds(
    mine: tuple[Project, str],
) -> None:
    found = result(mine[0])
    search = found["search"]["3"]
    assert 0 < search["points"] <= 9
    assert found["effects"] == {}
    repairs = found["repairs"]["3"]
    assert 1 <= len(repairs) <= 5
    for repair in repairs:
        assert len(repair["seeds"]) == 10
        assert not set(repair["seeds"]) & {0, 1}
    assert repairs[0]["scores"]["train"]["mean"] > found["variants"][0]["scores"]["train"]["mean"] + 0.2
    # Each fix of the first repair has its worth.
    assert set(repairs[0]["worth"]) == set(repairs[0]["fixes"])
    assert {remark["kind"] for remark in found["misleading"]} >= {"no_better_than_the_floor"}
    assert {remark["kind"] for remark in found["warnings"]} >= {"duplicate_rows"}, found["warnings"]


def test_the_answer_at_the_terminal_and_on_the_page_has_the_lines_to_change(mine: tuple[Project, str]) -> None:
    clone = Project(mine[0].folder.parent, mine[0].environment)
    script = clone.succeed(
        *line("docs/your-network.md", "python -m stages answer my_case --script", {"my_case": "stuck"})
    )
    assert "model.fit(" in script
    answer = clone.succeed(*line("README.md", "python -m stages answer my_case", {"my_case": "stuck"}))
    assert answer == clone.succeed(
        *line("docs/your-network.md", "python -m stages answer my_case", {"my_case": "stuck"})
    )
    page = (mine[0].folder / "reports/index.html").read_text(encoding="utf-8").replace("<wbr>", "")
    repair = result(mine[0])["repairs"]["3"][0]
    for name in repair["fixes"]:
        assert name in answer
        assert name in page
    assert [row for row in answer.splitlines() if row.startswith("+")]
    assert [row for row in answer.splitlines() if row.startswith("-")]


def test_mlflow_has_the_search_and_the_repaired_network(mine: tuple[Project, str]) -> None:
    client = MlflowClient(f"sqlite:///{mine[0].folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("stuck")
    assert experiment is not None
    names = {run.info.run_name for run in client.search_runs([experiment.experiment_id])}
    assert {"as_posted", "case table", "repaired"} <= names


def test_the_search_goes_on_after_a_kill_and_gives_the_same_bytes_with_one_worker(mine: tuple[Project, str]) -> None:
    project = mine[0]
    outs = ("runs", "reports/results")
    before = project.contents(*outs)
    n_runs = sum(path.startswith("runs/") for path in before)
    # A killed `train` leaves some files, and perhaps one that nobody asks for.
    for number, path in enumerate(sorted((project.folder / "runs").rglob("*.npz"))):
        if number % 3:
            path.unlink()
    (project.folder / "runs/stuck/p-0000").mkdir()
    (project.folder / "runs/stuck/p-0000/seed_0.npz").write_bytes(b"")
    trained = len(project.trained())
    settings(project, workers=1)
    project.dvc("repro")
    assert project.contents(*outs) == before
    assert 0 < len(project.trained()) - trained < n_runs
    again = project.dvc("repro")
    assert "train@stuck' didn't change" in again
