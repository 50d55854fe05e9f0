"""MLflow as people use it: a server, its page in a browser, and its commands on the registered model."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import servers
from documented import line
from selenium import webdriver

from stages import track
from stages.base import files
from stages.tracking import fill, place
from stages.training import runs
from tracking import sample
from tracking.sample import CASE, SIZES

PATIENCE = 90  # seconds
NAMES = list(sample.VARIANTS)
MODEL = {"whichfix-mnist": f"whichfix-{CASE}"}


def environment() -> dict[str, str]:
    """Return the environment of MLflow's commands: the programs of this Python come first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return sample.environment(PATH=path, MLFLOW_DISABLE_TELEMETRY="true")


def printed(command: list[str], project: Path) -> str:
    """Return what a command prints in the project."""
    ended = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def most_probable(output: str) -> list[int]:
    """Return the most probable label of each image, from what MLflow prints."""
    (found,) = re.findall(r'\{"predictions".*', output)
    probabilities = np.array(json.loads(found)["predictions"])
    assert probabilities.shape[1] == 10
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    labels: list[int] = probabilities.argmax(axis=1).tolist()
    return labels


def recorded(project: Path) -> list[int]:
    """Return what the champion answered on the test split when it was trained."""
    labels: list[int] = runs.read(project / files.run_path(CASE, "fixed", 0)).predicted["test"].tolist()
    return labels


def test_mlflow_predicts_for_the_example_of_the_champion(project: Path, tmp_path: Path) -> None:
    replaced = {**MODEL, "/tmp": str(tmp_path)}
    printed(line("README.md", "mlflow artifacts download", replaced), project)
    answers = most_probable(printed(line("README.md", "mlflow models predict", replaced), project))
    assert answers == recorded(project)[: fill.EXAMPLES]


@pytest.mark.usefixtures("limited")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_mlflow_serves_the_champion(project: Path, tmp_path: Path) -> None:
    body = {"inputs": sample.raw_digits(SIZES["test"]).tolist()}
    (tmp_path / "serving_input_example.json").write_text(json.dumps(body), encoding="utf-8")
    port = str(servers.free_port())
    # The command leaves the server in the background.
    command = line("README.md", "mlflow models serve", {**MODEL, "5001": port}, " wait")
    with servers.server(command, project, env=environment()) as process:
        servers.wait_until(lambda: servers.responds(f"http://127.0.0.1:{port}/ping"), process)
        output = printed(line("README.md", "curl", {"/tmp": str(tmp_path), "5001": port}), project)
    assert most_probable(output) == recorded(project)


@pytest.fixture(scope="module")
def page(project: Path, browser: webdriver.Chrome) -> Iterator[Callable[..., str]]:
    """Yield a function that opens an address of MLflow's page, and returns its text once it has all of `expected`."""
    address = f"http://127.0.0.1:{(port := servers.free_port())}"
    options = f" --port {port} --workers 1"
    command = line("docs/privacy.md", "MLFLOW_DISABLE_TELEMETRY=true mlflow ui", more=options)
    with servers.server(command, project, env=environment()) as process:
        servers.wait_until(lambda: servers.responds(f"{address}/health"), process)

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


def test_at_1440_pixels_a_person_sees_the_names_scores_gains_and_fixes_of_all_runs_but_seeds(
    page: Callable[..., str], browser: webdriver.Chrome
) -> None:
    browser.set_window_size(1440, 900)
    columns = ("test accuracy", "test gain", "fixes")
    page(place.address("1", "scores"), "Scores and gains", *columns, " points", *NAMES)
    cells = """
        const right = document.querySelector(".ag-center-cols-viewport").getBoundingClientRect().right;
        return [".ag-header-cell", "[col-id='attributes.`Run Name`'][role=gridcell]", "[role=gridcell]"].map(name =>
            [...document.querySelectorAll(name)].filter(cell => cell.getBoundingClientRect().left < right - 150)
            .map(cell => cell.innerText.trim().split("\\n").at(-1)));
    """
    headers, names, values = browser.execute_script(cells)
    assert [name for name in headers if name][-len(columns) :] == [*columns]
    assert names == sample.TOP_NAMES
    assert len([value for value in values if re.fullmatch(r"\+\d+\.\d ± \d+\.\d points", value)]) > 2
    assert {"adam", "adam, small_batches"} <= {*values}


def test_the_charts_of_the_page_are_of_the_final_weights_and_by_epoch(
    page: Callable[..., str], browser: webdriver.Chrome
) -> None:
    browser.set_window_size(1440, 2400)  # the page draws the charts that are in sight
    page(
        place.address("1", "curves") + track.CHARTS,
        *("Final weights", "gain", "By epoch", "epoch/accuracy", "epoch/loss", *NAMES),
    )


def test_the_page_of_the_model_is_its_card(page: Callable[..., str]) -> None:
    page(f"{place.HOST}/#/models/whichfix-{CASE}/versions/1", "Known failures", "champion", "SHA-256")
