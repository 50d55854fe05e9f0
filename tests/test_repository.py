"""The files by which others install, run, cite and reuse the repository agree with each other."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
# One package per entry, with the lines of its hashes.
ENTRIES = [entry for entry in re.sub(r"\\\n\s*", "", LOCK).splitlines() if not entry.startswith("#")]


@pytest.fixture(scope="module")
def commands(root: Path) -> list[str]:
    """Return the README's command for the pipeline and its command for the tests."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    found = [re.findall(rf"^(python3 -m venv .* && {last})$", readme, re.MULTILINE) for last in ("dvc repro", "pytest")]
    assert [len(lines) for lines in found] == [1, 1]
    return [line for lines in found for line in lines]


@pytest.fixture(scope="module")
def workflow(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(root / ".github/workflows/ci.yml")
    return content


@pytest.fixture(scope="module")
def citation(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(root / "CITATION.cff")
    return content


def test_the_workflow_runs_the_readme_then_forces_the_results_then_looks_for_changes(
    workflow: dict[str, Any], commands: list[str]
) -> None:
    lines = [step.get("run", "").strip() for step in workflow["jobs"]["readme"]["steps"]]
    pipeline, tests = (lines.index(command) for command in commands)
    (forced,) = (number for number, line in enumerate(lines) if line.endswith("dvc repro --force"))
    (status,) = (number for number, line in enumerate(lines) if 'test -z "$(git status --porcelain)"' in line)
    assert tests < pipeline < forced < status


def test_the_workflow_runs_on_every_python_that_is_supported(workflow: dict[str, Any]) -> None:
    versions = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["project"]["requires-python"])
    assert versions
    pythons = workflow["jobs"]["readme"]["strategy"]["matrix"]["python"]
    assert pythons == [f"3.{minor}" for minor in range(int(versions[1]), int(versions[2]))]


def test_the_workflow_can_only_read_and_pins_every_action(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"]
        for step in job["steps"]:
            assert "uses" not in step or re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])


def test_the_dev_container_runs_the_commands_of_the_readme(root: Path, commands: list[str]) -> None:
    container = json.loads((root / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert [container["updateContentCommand"], container["postCreateCommand"]] == commands
    # An editor waits for the common beginning of both commands only.
    assert container["onCreateCommand"].endswith(f" && {commands[0].removesuffix(' && dvc repro')}")
    assert container["waitFor"] == "onCreateCommand"
    assert container["forwardPorts"] == [5000]  # MLflow
    oldest = PROJECT["project"]["requires-python"].partition(",")[0].removeprefix(">=")
    assert container["image"].startswith(f"python:{oldest}-")


def test_the_citation_is_of_this_version_license_and_these_questions(citation: dict[str, Any], root: Path) -> None:
    project = PROJECT["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"].startswith(f"{project['name']}: ")
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"] == "MIT"
    cases = YAML(typ="safe").load(root / "params.yaml")["cases"]
    # A user may have added cases.
    sources = {cases[case]["source"] for case in ("ex4", "mnist")}
    assert sources <= {reference.get("url") for reference in citation["references"]}
    (license_file,) = project["license-files"]
    assert (root / license_file).read_text(encoding="utf-8").startswith("MIT License\n")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_pins_one_version_of_each_package_by_hashes() -> None:
    names = []
    for entry in ENTRIES:
        match = re.fullmatch(r"([\w.-]+)==[\w.!+]+( ; [^#]+?)?(\s*--hash=sha256:[0-9a-f]{64})+\s*", entry)
        assert match, entry
        names.append(canonical(match[1]))
    assert len(names) == len(set(names)) > 50
    assert "://" not in LOCK


def test_the_lock_pins_every_direct_dependency() -> None:
    # The packages for S3 have a lock of their own.
    wanted = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["dask"],
        *PROJECT["dependency-groups"]["test"],
    ]
    pinned = {canonical(entry.split("==")[0]) for entry in ENTRIES}
    assert {canonical(re.split(r"[\[<>=~!; ]", name)[0]) for name in wanted} <= pinned
