"""The look at an SQLite store, which knows MLflow's tables without MLflow."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from stages.core import store
from stages.core.errors import UserError
from stages.core.run_content import Content
from stages.core.tracking import KEY_TAG, PARENT_TAG, StoredRun


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


def test_it_sees_the_runs_with_a_key_that_are_not_deleted(uri: str) -> None:
    client = MlflowClient(uri)
    experiment, deleted = (client.create_experiment(name, artifact_location="/nowhere") for name in ("a", "b"))

    def run(where: str, key: str | None, parent: str | None = None) -> str:
        tags = {KEY_TAG: key, PARENT_TAG: parent}
        kept = {name: value for name, value in tags.items() if value is not None}
        return str(client.create_run(where, tags=kept).info.run_id)

    half, whole, gone = (run(experiment, key) for key in ("half", "whole", "gone"))
    child = run(experiment, "child", whole)
    run(experiment, None)
    run(deleted, "of a deleted experiment")
    for finished in (whole, child, gone):
        client.set_terminated(finished)
    client.delete_run(gone)
    client.delete_experiment(deleted)
    seen = store.look(uri)
    assert seen is not None
    assert {run.run_id: run for run in seen.runs} == {
        run_id: StoredRun(run_id, key, finished, parent, f"/nowhere/{run_id}/artifacts")
        for run_id, key, finished, parent in (
            (half, "half", False, None),
            (whole, "whole", True, None),
            (child, "child", True, whole),
        )
    }


def test_the_client_sees_the_same_runs(uri: str) -> None:
    target = store.Store(uri)
    target.open("mnist", {})
    for key in ("one", "two"):
        run_id = target.client.create_run(target.experiments["mnist"], tags={KEY_TAG: key}).info.run_id
        target.client.set_terminated(run_id)
    looked = store.look(uri)
    assert looked is not None
    own = {run.run_id: (run.key, run.finished, run.parent_id) for run in target.runs()}
    assert len(own) == 2
    assert own.items() <= {run.run_id: (run.key, run.finished, run.parent_id) for run in looked.runs}.items()


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "postgresql://a@b/c", "file:///tmp", "sqlite:///missing.db"])
def test_other_and_missing_stores_are_left_to_mlflow(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert store.look(uri) is None
    assert not list(tmp_path.iterdir())


def test_a_database_that_is_no_store_is_left_to_mlflow(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as database, database:
        database.execute("CREATE TABLE runs (id)")
    (tmp_path / "text.db").write_text("no database")
    for name in ("other.db", "text.db"):
        assert store.look(f"sqlite:///{tmp_path / name}") is None


def test_the_address_is_that_of_the_environment_else_mlflow_db_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("MLFLOW_TRACKING_URI")
        else:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", unset)
        assert store.tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    assert store.tracking_uri() == "http://server"


@pytest.mark.parametrize(
    ("address", "exist"),
    [("{}", True), ("file://{}", True), ("{}/missing", False), ("mlflow-artifacts:/1/2", True), ("s3://a/b", True)],
)
def test_artifacts_are_missed_where_they_would_be_on_this_machine(address: str, exist: bool, tmp_path: Path) -> None:
    assert store.artifacts_exist(StoredRun("id", "key", True, None, address.format(tmp_path))) == exist


def test_a_store_without_champion_is_told_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = store.Store("http://me:secret@mlflow.example:5000")
    monkeypatch.setattr(opened, "_champion", lambda name: None)
    with pytest.raises(
        UserError, match=r"^the MLflow store http://mlflow\.example:5000 has no champion of whichfix-ex4;"
    ):
        opened.champion("whichfix-ex4", tmp_path)


def test_metrics_are_sent_in_parts_that_mlflow_takes(uri: str) -> None:
    target = store.Store(uri)
    target.open("long", {})
    points = [("epoch/loss", float(step), step) for step in range(2 * store.METRICS_A_BATCH + 1)]
    with target.add("long", "a run", Content({}, points), {}, None, 1000) as run_id:
        assert target.client.get_run(run_id).info.status == "RUNNING"
    assert target.client.get_run(run_id).info.status == "FINISHED"
    assert len(target.client.get_metric_history(run_id, "epoch/loss")) == len(points)
