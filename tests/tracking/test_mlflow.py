"""MLflow as people use it: a server, its page in a browser, and its commands on the registered model."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import servers
from mlflow import MlflowClient
from selenium import webdriver

from stages import track
from stages.base import files
from stages.tracking import place
from stages.training import runs
from tracking import sample
from tracking.sample import CASE, N_RUNS, SIZES

PATIENCE = 90  # seconds
NAMES = list(sample.VARIANTS)
MODEL = f"models:/whichfix-{CASE}@champion"


def environment(project: Path) -> dict[str, str]:
    """Return the environment of MLflow's commands: the store is the project's, and Python is this one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    store = f"sqlite:///{project / place.DATABASE}"
    return sample.environment(PATH=path, MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_TRACKING_URI=store)


def recorded(project: Path) -> list[int]:
    """Return what the champion answered on the test split when it was trained."""
    labels: list[int] = runs.read(project / files.run_path(CASE, "fixed", 0)).predicted["test"].tolist()
    return labels


def body() -> str:
    return json.dumps({"inputs": sample.raw_digits(SIZES["test"]).tolist()})


def test_mlflow_predicts_from_raw_digits_what_the_training_recorded(project: Path, tmp_path: Path) -> None:
    (tmp_path / "digits.json").write_text(body(), encoding="utf-8")
    command = ["mlflow", "models", "predict", "-m", MODEL, "-i", "digits.json", "-t", "json", "-o", "answers.json"]
    options = {"cwd": tmp_path, "env": environment(project), "capture_output": True, "text": True}
    done = subprocess.run([*command, "--env-manager", "local"], **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    outputs = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))["predictions"]
    assert np.argmax(outputs, axis=1).tolist() == recorded(project)


@pytest.mark.usefixtures("limited")
def test_mlflow_serves_the_champion(project: Path, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{(port := servers.free_port())}"
    command = ["mlflow", "models", "serve", "-m", MODEL, "--env-manager", "local", "--port", str(port)]
    with servers.server(command, tmp_path, env=environment(project)) as process:
        servers.wait_until(lambda: servers.responds(f"{address}/ping"), process)
        request = Request(f"{address}/invocations", body().encode(), {"Content-Type": "application/json"})
        with urlopen(request, timeout=30) as answer:
            outputs = json.loads(answer.read())["predictions"]
    assert np.argmax(outputs, axis=1).tolist() == recorded(project)


@pytest.mark.usefixtures("limited")
def test_a_server_with_postgresql_takes_the_runs_once_and_keeps_them(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    # Drawing takes long, and the pictures of `template` are real.
    monkeypatch.setattr(track, "pictures", lambda *arguments: {"figures/none.png": b""})
    before = (project / place.DATABASE).read_bytes()
    with (
        servers.postgresql() as database,
        servers.mlflow_server(database, tmp_path / "artifacts", tmp_path) as address,
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        track.main()
        capsys.readouterr()
        track.main()
        assert capsys.readouterr().out.splitlines() == ["MLflow store is up to date", "report: reports/index.html"]
        found = MlflowClient(address).search_runs(["1"])
        assert (len(found), {run.info.status for run in found}) == (N_RUNS, {"FINISHED"})
    # The artifacts went to the server's own folder.
    assert list((tmp_path / "artifacts").rglob("points.json"))
    assert list((tmp_path / "artifacts").rglob("none.png"))
    assert (project / place.DATABASE).read_bytes() == before


@pytest.fixture(scope="module")
def page(
    project: Path, browser: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., str]]:
    """Yield a function that opens an address of MLflow's page, and returns its text once it has all of `expected`."""
    spare = tmp_path_factory.mktemp("server")
    browser.set_window_size(1900, 1200)
    with servers.mlflow_server(f"sqlite:///{project / place.DATABASE}", spare, spare) as address:

        def open_page(place_of_page: str, *expected: str) -> str:
            browser.get("about:blank")
            browser.get(place_of_page.replace(place.HOST, address))
            deadline = time.monotonic() + PATIENCE
            while True:
                text = str(browser.execute_script("return document.body.innerText"))
                missing = [part for part in expected if part not in text]
                if not missing:
                    return text
                assert time.monotonic() < deadline, f"{missing} are missing in: {text}"
                time.sleep(0.5)

        yield open_page


def test_the_table_of_the_page_has_the_variants_in_their_order_with_gain_interval_and_model(
    page: Callable[..., str],
) -> None:
    columns = ("gain_interval", "test_accuracy", "keras", "fixes", "adam", "Dataset")
    # " to " is part of an interval, and a line per variant is in the column of its name.
    text = page(place.address("1", "scores"), "Scores and gains", *columns, " to ", *(f"\n{name}\n" for name in NAMES))
    lines = text.splitlines()
    # The model of a variant has the name of the variant.
    assert list(dict.fromkeys(line for line in lines if line in NAMES)) == NAMES
    # Seeds are below their variant, out of sight.
    assert not [line for line in lines if line.startswith("seed ")]


def test_the_charts_of_the_page_are_of_the_final_weights_and_by_epoch(page: Callable[..., str]) -> None:
    page(
        place.address("1", "curves") + track.CHARTS,
        *("Final weights", "gain", "By epoch", "epoch/accuracy", "epoch/loss", *NAMES),
    )


def test_the_page_of_the_model_is_its_card(page: Callable[..., str]) -> None:
    page(f"{place.HOST}/#/models/whichfix-{CASE}/versions/1", "Known failures", "champion", "SHA-256")
