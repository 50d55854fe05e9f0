"""What leaves this machine: nothing, but by `fetch` and by `track` to a server that the user names."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from dvc.config import Config
from miniature import Miniature
from project import Project, make, plain_environment, shortest_content, write_mnist

from stages.core.digits import Dataset

BLOCKED = Path(__file__).parent / "blocked"
# Whatever an element of HTML or SVG may load by.
LOADING = {"action", "background", "cite", "data", "formaction", "href", "poster", "src", "srcset", "xlink:href"}
CONNECT = "import socket; socket.create_connection(('127.0.0.1', 9), timeout=1)"
IN_WORKERS = """
import socket
from joblib import Parallel, delayed
Parallel(2, backend="loky")(delayed(socket.create_connection)(("127.0.0.1", 9), 1) for _ in range(2))
"""


@pytest.fixture(scope="module")
def project(root: Path, raw_mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The pipeline, run by DVC where no connection can be opened: MNIST is in a folder, MLflow's store in a file."""
    folder = tmp_path_factory.mktemp("blocked")
    write_mnist(raw_mnist, folder / "mnist")
    variables = {"PYTHONPATH": str(BLOCKED), "CONNECTIONS": str(folder / "connections")}
    content = shortest_content(root / "params.yaml")
    made = make(folder / "repository", folder / "mnist", content, plain_environment() | variables)
    made.dvc("repro")
    return made


def connections(project: Project) -> str:
    """What was noted since this was asked last."""
    notes = Path(project.environment["CONNECTIONS"])
    text = notes.read_text(encoding="utf-8") if notes.exists() else ""
    notes.unlink(missing_ok=True)
    return text


def test_neither_a_stage_nor_dvc_opens_a_connection(project: Project) -> None:
    assert connections(project) == ""
    assert (project.folder / "mlflow.db").is_file()
    assert (project.folder / "reports/index.html").is_file()


@pytest.mark.parametrize("program", [CONNECT, IN_WORKERS])
def test_a_connection_that_is_opened_is_seen(project: Project, program: str) -> None:
    assert project.run("python", "-c", program).returncode != 0
    assert ": socket." in connections(project)


def test_track_connects_to_the_server_that_the_user_names(project: Project) -> None:
    variables = {**project.environment, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    ended = Project(project.folder, variables).run("python", "-m", "stages.track")
    assert ended.stderr.startswith("error: the MLflow store http://127.0.0.1:9 ")
    noted = connections(project).splitlines()
    assert noted
    assert all("stages.track" in line and "'127.0.0.1'" in line for line in noted)


def test_dvc_sends_no_analytics_and_asks_for_no_updates(root: Path) -> None:
    # DVC refuses a file with an option that it does not know.
    settings = Config(root / ".dvc", validate=True).load_one("repo")["core"]
    assert settings["analytics"] == "false"
    assert settings["check_update"] == "false"


class Loads(HTMLParser):
    """Every address that a page, its style sheets or its pictures would load from; links to follow are none."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.styles: list[str] = []
        self.element = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.element = tag
        for name, value in attrs:
            if name in LOADING and tag != "a":
                self.addresses.append(value or "")
            if name == "style":
                self.styles.append(value or "")
            assert name != "http-equiv"

    def handle_data(self, data: str) -> None:
        if self.element == "style":
            self.styles.append(data)


@pytest.mark.parametrize("made", ["committed", "miniature"])
def test_what_report_writes_loads_nothing(root: Path, miniature: Miniature, made: str) -> None:
    reports = (root if made == "committed" else miniature.folder) / "reports"
    for path in (reports / "index.html", reports / "figure.svg"):
        page = Loads(path.read_text(encoding="utf-8"))
        assert [address for address in page.addresses if not address.startswith(("data:", "#"))] == []
        for style in page.styles:
            assert "@import" not in style
            assert all(address.startswith("#") for address in re.findall(r"url\(['\"]?([^)]*)", style))
