"""Nothing leaves the machine, except by `fetch` and by `track` to a server that the user names."""

import re
import socket
from html.parser import HTMLParser
from pathlib import Path

from dvc.config import Config
from project import Project, copy_of

BLOCKED = Path(__file__).parents[1] / "blocked"
# Attributes of HTML and SVG from which a browser loads something.
LOADING = {"action", "background", "cite", "data", "formaction", "href", "poster", "src", "srcset", "xlink:href"}
IN_WORKERS = """
import socket
from joblib import Parallel, delayed
Parallel(2, backend="loky")(delayed(socket.create_connection)(("127.0.0.1", 9), 1) for _ in range(2))
"""


def test_neither_a_stage_nor_dvc_opens_a_connection(shortest: Project, connections: Path) -> None:
    assert not connections.exists(), connections.read_text(encoding="utf-8")
    assert shortest.environment["PYTHONPATH"] == str(BLOCKED)
    assert (shortest.folder / "mlflow.db").is_file()
    assert (shortest.folder / "reports/index.html").is_file()


def test_a_connection_would_be_seen(shortest: Project, tmp_path: Path) -> None:
    assert shortest.run("python", "-c", IN_WORKERS, CONNECTIONS=str(tmp_path / "notes")).returncode != 0
    assert ": socket." in (tmp_path / "notes").read_text(encoding="utf-8")


def test_track_connects_to_the_server_that_the_user_names_and_to_no_other(shortest: Project, tmp_path: Path) -> None:
    project = copy_of(shortest, tmp_path / "project")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    notes = tmp_path / "notes"
    variables = {"PYTHONPATH": str(BLOCKED), "CONNECTIONS": str(notes), "MLFLOW_TRACKING_URI": address}
    ended = project.stage("track", **variables, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert address in line
    assert set(re.findall(r"'([\w.]+)', \d+", notes.read_text(encoding="utf-8"))) == {"127.0.0.1"}


def test_dvc_sends_no_analytics_and_asks_for_no_updates(root: Path) -> None:
    # DVC refuses a file with an option that it does not know.
    settings = Config(root / ".dvc", validate=True).load_one("repo")["core"]
    assert settings["analytics"] == "false"
    assert settings["check_update"] == "false"


class Loads(HTMLParser):
    """The addresses from which a page, its style sheets or its pictures would load. Links are no such addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.element = ""
        self.feed(text)

    def add_style(self, style: str) -> None:
        assert "@import" not in style
        self.addresses += re.findall(r"url\(['\"]?([^)]*)", style)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.element = tag
        for name, value in attrs:
            if name in LOADING and tag != "a":
                self.addresses.append(value or "")
            if name == "style":
                self.add_style(value or "")
            assert name != "http-equiv"

    def handle_data(self, data: str) -> None:
        if self.element == "style":
            self.add_style(data)


def test_the_report_loads_nothing(short: Project) -> None:
    for name in ("index.html", "figure.svg"):
        page = Loads((short.folder / "reports" / name).read_text(encoding="utf-8"))
        assert [address for address in page.addresses if not address.startswith(("data:", "#"))] == []
