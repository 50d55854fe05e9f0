"""tests/counts.json is written by a whole and green run of the tests alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOOKS = """
import pytest
from counts import Counts

def pytest_collection_modifyitems(items):
    for item in items:
        if mark := item.get_closest_marker("tried"):
            item.user_properties.append(("tried", mark.args[0]))

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Counts())
"""
TESTS = """
import os, pytest

@pytest.mark.tried("kills")
@pytest.mark.parametrize("n", range(3))
def test_kill(n):
    if n == 1:
        exec(os.environ.get("DO", ""))

@pytest.mark.tried("files")
def test_files(record_property):
    record_property("faults", 7)
"""
SETTINGS = """
[tool.pytest.ini_options]
testpaths = ["tests"]
markers = ["tried(kind): a fault"]
addopts = "-p no:cacheprovider {options}"
"""


def counts_after(
    root: Path, folder: Path, *arguments: str, options: str = "", where: str = ".", more: str = "", **variables: str
) -> str | None:
    """Return the text of counts.json after `pytest` in a small project, or None if the file was not written."""
    tests = folder / "tests"
    tests.mkdir()
    (folder / "pyproject.toml").write_text(SETTINGS.format(options=options))
    (tests / "counts.py").write_bytes((root / "tests/counts.py").read_bytes())
    for name, text in (("conftest.py", HOOKS), ("test_tried.py", TESTS), ("test_more.py", more)):
        (tests / name).write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    # Most of the time would go into loading plugins that these tests do not need.
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-m", "pytest", *arguments]
    subprocess.run(command, cwd=folder / where, env=environment | variables, capture_output=True, check=False)
    written = tests / "counts.json"
    return written.read_text() if written.exists() else None


@pytest.mark.parametrize("options", ["", "-p xdist --numprocesses 2"], ids=["one process", "two processes"])
def test_a_whole_run_counts_each_fault_once(root: Path, tmp_path: Path, options: str) -> None:
    assert counts_after(root, tmp_path, options=options) == '{\n  "files": 7,\n  "kills": 3\n}\n'


@pytest.mark.parametrize(
    "how",
    [
        {"DO": "raise KeyboardInterrupt"},
        {"DO": "pytest.skip()"},
        {"DO": "os._exit(1)", "options": "-p xdist --numprocesses 2"},
        {"PYTEST_ADDOPTS": "-k test_files"},
        {"more": "import no_such_module", "options": "--continue-on-collection-errors"},
        {"where": "tests"},
    ],
    ids=str,
)
def test_a_run_that_left_something_out_writes_nothing(root: Path, tmp_path: Path, how: dict[str, str]) -> None:
    assert counts_after(root, tmp_path, **how) is None


def test_a_selection_writes_nothing(root: Path, tmp_path: Path) -> None:
    assert counts_after(root, tmp_path, "tests/test_tried.py") is None
