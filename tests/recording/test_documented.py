"""docs/your-network.md: its first commands work as they stand there, and print what it shows."""

import re
import shutil
from pathlib import Path

import pytest
from documented import line
from project import Project, make, plain_environment, shortest_content
from ruamel.yaml import YAML

from recording import recordings
from recording.recordings import recording
from stages.recording import block

DOCUMENT = "docs/your-network.md"


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a clone with the examples, in which nothing of MNIST can be fetched."""
    folder = tmp_path_factory.mktemp("documented")
    project = make(folder / "clone", folder / "missing", shortest_content(root / "params.yaml"), plain_environment())
    shutil.copytree(root / "examples", project.folder / "examples")
    project.commit()
    return project


def documented(root: Path) -> list[list[str]]:
    """Return the lines of each of the outputs that the document shows, in order."""
    text = (root / DOCUMENT).read_text(encoding="utf-8")
    blocks = re.findall(r"^```text\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [[each.strip() for each in block.splitlines()] for block in blocks]


def test_the_documented_session_prints_what_the_document_shows(root: Path, project: Project) -> None:
    recorded, suggested, _, compared = documented(root)
    printed = project.succeed(*line("docs/your-network.md", "python -m stages record tumors"))
    lines = [each.strip() for each in printed.splitlines()]
    assert [each for each in recorded if each not in lines] == []
    assert project.git_status() == ""
    path = project.folder / "mine/params.yaml"
    text = path.read_text()
    table = project.succeed(*line("docs/your-network.md", "python -m stages suggest tumors"))
    assert [each for each in suggested if each not in [row.strip() for row in table.splitlines()]] == []
    assert path.read_text() == text
    checked = project.succeed(*line("docs/your-network.md", "python -m stages record --check"))
    assert compared[0] in checked  # the losses of the script are others each time
    assert "check: the curves agree" in checked


def test_the_documented_fixes_are_fixes_of_the_recorded_case(root: Path, project: Project) -> None:
    shown = re.search(r"^```yaml\n( +fixes:\n.*?)^```$", (root / DOCUMENT).read_text(), re.DOTALL | re.MULTILINE)
    assert shown is not None
    path = project.folder / "mine/params.yaml"
    path.write_text(block.with_fixes(path.read_text(), "tumors", YAML(typ="safe").load(shown[1])["fixes"]))
    mine = Project(project.folder / "mine", project.environment)
    assert "wrote configs: 1 cases, 1 variants" in mine.succeed("python", "-m", "stages", "plan")


def test_a_recording_of_a_notebook_is_added(project: Project) -> None:
    recordings.write(project.folder / "my_case.zip", recording(script={"path": None}))
    said = project.succeed(*line("docs/your-network.md", "python -m stages add"))
    assert "The 4-8-1 network of a notebook" in (project.folder / "mine/params.yaml").read_text()
    assert "next: cd mine && dvc repro" in said
