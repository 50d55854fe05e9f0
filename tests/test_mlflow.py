"""MLflow as people use it: its page in a browser, and its commands on the registered models."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
import servers
from miniature import Miniature, call, locked, raw_digits
from mlflow import MlflowClient
from selenium import webdriver
from selenium.webdriver.common.by import By

from stages.core import files, store, tracking, views

# Seconds.
PATIENCE = 90


@pytest.fixture(scope="module")
def folder(miniature: Miniature, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline in small, tracked."""
    made = locked(miniature, root, tmp_path_factory.mktemp("tracked") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        call("track")
    return made


@pytest.fixture(scope="module")
def client(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder / store.DEFAULT_FILE}")


@pytest.fixture(scope="module")
def page(
    folder: Path, browser: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], str]]:
    """Opens a place of MLflow's page, and gives its text once that has some text in it."""
    spare = tmp_path_factory.mktemp("server")
    browser.set_window_size(1900, 1200)
    with servers.mlflow_server(f"sqlite:///{folder / store.DEFAULT_FILE}", spare, spare) as address:

        def opened(place: str, awaited: str) -> str:
            browser.get("about:blank")
            browser.get(place.replace(tracking.HOST, address))
            deadline = time.monotonic() + PATIENCE
            while awaited not in (text := str(browser.execute_script("return document.body.innerText"))):
                assert time.monotonic() < deadline, text
                time.sleep(0.5)
            return text

        yield opened


def experiment_of(client: MlflowClient, case: str) -> str:
    found = client.get_experiment_by_name(case)
    assert found is not None
    return str(found.experiment_id)


def metrics_of(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = files.read_json(folder / "reports" / "metrics.json")
    return read


def test_the_table_has_the_variants_in_their_order_with_gain_interval_fixes_and_model(
    page: Callable[[str, str], str], client: MlflowClient, folder: Path
) -> None:
    # The interval is the last thing to appear.
    text = page(tracking.address(experiment_of(client, "ex4")), " to ")
    for expected in (
        views.NAMES[tracking.TABLE],
        "gain_interval",
        "test_accuracy",
        "fixes",
        "adam",
        "Dataset",
        "ex4 (",
    ):
        assert expected in text
    variants = [name.removeprefix("ex4-") for name in metrics_of(folder) if name in ("ex4-as_posted", "ex4-fixed")]
    lines = text.splitlines()
    assert [line for line in lines if line in variants] == variants
    gain = metrics_of(folder)["ex4-fixed"]["gain"]
    assert f"{gain['low']:+.4f} to {gain['high']:+.4f}" in lines
    # Seeds are below their variant, out of sight.
    assert not [line for line in lines if line.startswith("seed ")]


def test_the_charts_are_of_the_final_weights_and_by_epoch(
    page: Callable[[str, str], str], client: MlflowClient, browser: webdriver.Chrome
) -> None:
    text = page(tracking.address(experiment_of(client, "ex4"), tracking.CURVES), "By epoch")
    for section, figures in views.CHARTS.items():
        assert section in text
        # The exercise has no validation split; a chart without data is left out.
        assert {figure for figure in figures if "validation" not in figure} <= set(text.split())
    deadline = time.monotonic() + PATIENCE
    while not (bars := browser.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .bars path")):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert bars


def test_a_run_says_what_it_changes_and_where_it_is_from(
    page: Callable[[str, str], str], client: MlflowClient, miniature: Miniature
) -> None:
    experiment = experiment_of(client, "ex4")
    (run,) = client.search_runs([experiment], "attributes.run_name = 'fixed'")
    seed = f"seed {miniature.parameters.seeds[0]} of fixed"
    # Its children are the last thing to appear.
    text = page(f"{tracking.HOST}/#/experiments/{experiment}/runs/{run.info.run_id}", seed)
    assert miniature.parameters.cases["ex4"].fixes["adam"].why in text
    assert "train.py" in text


def test_the_page_of_a_model_is_its_card(page: Callable[[str, str], str], client: MlflowClient) -> None:
    version = client.get_model_version_by_alias("whichfix-ex4", store.ALIAS)
    text = page(f"{tracking.HOST}/#/models/whichfix-ex4/versions/{version.version}", "Known failures")
    assert "champion" in text
    assert "SHA-256" in text


def environment(folder: Path) -> Mapping[str, str]:
    """Of the commands of MLflow: the store is the folder's, and what they run is this Python."""
    here = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**kept, **here, "MLFLOW_TRACKING_URI": f"sqlite:///{folder / store.DEFAULT_FILE}"}


def recorded(folder: Path, client: MlflowClient, case: str) -> tuple[list[int], list[float]]:
    """What the champion of `case` answered on the test split when it was trained, and how sure it was."""
    run = client.get_run(str(client.get_model_version_by_alias(f"whichfix-{case}", store.ALIAS).run_id))
    predictions = files.read_npz(folder / "runs" / run.data.params["variant"] / "predictions.npz")
    return predictions["predicted_test"][0].tolist(), predictions["confidence_test"][0].tolist()


@pytest.mark.parametrize("case", ["mnist", "ex4"])
def test_mlflow_predicts_from_raw_digits_what_the_training_recorded(
    folder: Path, client: MlflowClient, tmp_path: Path, case: str
) -> None:
    (tmp_path / "digits.json").write_text(json.dumps({"inputs": raw_digits()["x_test"].tolist()}), encoding="utf-8")
    command = ["mlflow", "models", "predict", "-m", f"models:/whichfix-{case}@champion", "-i", "digits.json"]
    done = subprocess.run(
        [*command, "-t", "json", "--env-manager", "local", "-o", "answers.json"],
        cwd=tmp_path,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))["predictions"]
    expected, confidence = recorded(folder, client, case)
    assert [answer["digit"] for answer in answers] == expected
    assert np.allclose([answer["confidence"] for answer in answers], confidence, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("limited")
def test_mlflow_serves_the_champion(folder: Path, client: MlflowClient, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{(port := servers.free_port())}"
    command = ["mlflow", "models", "serve", "-m", "models:/whichfix-ex4@champion", "--env-manager", "local"]
    body = json.dumps({"inputs": raw_digits()["x_test"].tolist()}).encode()

    with servers.server([*command, "--port", str(port)], tmp_path, env=environment(folder)) as process:
        servers.wait_until(lambda: servers.responds(f"{address}/ping"), process)
        request = Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=30) as answer:
            found = json.loads(answer.read())["predictions"]
    assert [one["digit"] for one in found] == recorded(folder, client, "ex4")[0]
