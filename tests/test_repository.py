"""The files by which others run, cite and reuse the repository: they say what it is, and run what the README says."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML


@pytest.fixture(scope="module")
def commands(root: Path) -> list[str]:
    """The README's two: the pipeline's, and the tests'."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    found = [re.findall(rf"^(python3 -m venv .* && {last})$", readme, re.MULTILINE) for last in ("dvc repro", "pytest")]
    assert [len(lines) for lines in found] == [1, 1]
    return [line for lines in found for line in lines]


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    result: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return result


@pytest.fixture(scope="module")
def workflow(root: Path) -> dict[str, Any]:
    result: dict[str, Any] = YAML(typ="safe").load(root / ".github/workflows/ci.yml")
    return result


@pytest.fixture(scope="module")
def citation(root: Path) -> dict[str, Any]:
    result: dict[str, Any] = YAML(typ="safe").load(root / "CITATION.cff")
    return result


def test_the_workflow_runs_the_commands_of_the_readme_and_then_looks_for_changes(
    workflow: dict[str, Any], commands: list[str]
) -> None:
    lines = [step.get("run", "").strip() for step in workflow["jobs"]["readme"]["steps"]]
    pipeline, tests = (lines.index(command) for command in commands)
    (status,) = (number for number, line in enumerate(lines) if 'test -z "$(git status --porcelain)"' in line)
    assert tests < status
    assert pipeline < status


def test_the_workflow_runs_on_every_python_that_is_supported(workflow: dict[str, Any], project: dict[str, Any]) -> None:
    pythons = workflow["jobs"]["readme"]["strategy"]["matrix"]["python"]
    first, end = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups()  # type: ignore[union-attr]
    assert pythons == [f"3.{minor}" for minor in range(int(first), int(end))]


def test_the_workflow_may_only_read_and_runs_no_action_by_a_name_that_can_move(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"]
        for step in job["steps"]:
            assert "uses" not in step or re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])


def test_the_dev_container_runs_the_commands_of_the_readme(
    root: Path, commands: list[str], project: dict[str, Any]
) -> None:
    container = json.loads((root / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert [container["updateContentCommand"], container["postCreateCommand"]] == commands
    # What both begin with, so that an editor need not wait for the rest.
    assert container["onCreateCommand"].endswith(f" && {commands[0].removesuffix(' && dvc repro')}")
    assert container["waitFor"] == "onCreateCommand"
    # MLflow's.
    assert container["forwardPorts"] == [5000]
    assert container["image"].startswith(f"python:{project['requires-python'].partition(',')[0].removeprefix('>=')}-")


def test_the_citation_is_of_this_version_and_licence(citation: dict[str, Any], project: dict[str, Any]) -> None:
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"].startswith(f"{project['name']}: ")
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"] == "MIT"


# A case of one's own may be there too.
@pytest.mark.parametrize("case", ["ex4", "mnist"])
def test_the_citation_refers_to_the_source_of_every_case(citation: dict[str, Any], root: Path, case: str) -> None:
    cases = YAML(typ="safe").load(root / "params.yaml")["cases"]
    assert cases[case]["source"] in {one.get("url") for one in citation["references"]}


def test_the_licence_is_where_the_package_says(root: Path, project: dict[str, Any]) -> None:
    (name,) = project["license-files"]
    assert (root / name).read_text(encoding="utf-8").startswith("MIT License\n")


@pytest.mark.parametrize("page", ["README.md", *sorted(path.name for path in Path(__file__).parents[1].glob("docs/*"))])
def test_every_link_of_a_page_to_a_file_leads_to_one(root: Path, page: str) -> None:
    path = next(path for path in (root / page, root / "docs" / page) if path.is_file())
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
