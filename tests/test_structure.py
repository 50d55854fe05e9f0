"""The structure of the code: layers of imports, the deps of stages, the size of modules, and what a wheel holds."""

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import grimp
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "stages").rglob("*.py"))
STAGES: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
LONGEST = 300
# Each of these is a single file, because it runs, or is copied, where whichfix is not installed.
ALONE = ("stages/recording/old_names.py", "stages/recording/record.py")
# Their effect on a stage is in the files below configs/, or they change no number.
EFFECT_ELSEWHERE = ("stages/base", "stages/config", "stages/__init__.py")


def test_imports_keep_to_the_layers() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@cache
def import_graph() -> grimp.ImportGraph:
    return grimp.build_graph("stages", exclude_type_checking_imports=True, cache_dir=None)


def path_of(module: str) -> Path:
    """Return the path of a module or package, relative to the root."""
    path = Path(*module.split("."))
    return path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")


def declaration(stage: str) -> dict[str, Any]:
    return STAGES[stage].get("do", STAGES[stage])  # type: ignore[no-any-return]


# `track` always runs, so its code need not be among its deps.
@pytest.mark.parametrize("stage", [stage for stage in STAGES if not declaration(stage).get("always_changed")])
def test_the_deps_of_a_stage_hold_every_module_that_it_imports(stage: str) -> None:
    module = f"stages.{stage}"
    imported = import_graph().find_upstream_modules(module) | {module}
    deps = [str(dep) for dep in declaration(stage)["deps"]]
    missing = []
    for path in sorted(map(path_of, imported)):
        packages = path.name == "__init__.py"  # empty, see below
        if not packages and not any(path.is_relative_to(place) for place in [*deps, *EFFECT_ELSEWHERE]):
            missing.append(str(path))
    assert missing == [], f"dvc.yaml: {stage}: deps lack them"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_no_dep_on_code_that_it_does_not_import(stage: str) -> None:
    imported = {path_of(module) for module in import_graph().find_upstream_modules(f"stages.{stage}")}
    for dep in declaration(stage)["deps"]:
        if dep.startswith("stages/") and dep != f"stages/{stage}.py":
            assert any(path.is_relative_to(dep) for path in imported), dep


def test_the_table_of_edits_names_the_stages_that_depend_on_the_code() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    _, _, table = text.partition("<!-- tests/test_structure.py compares this table with dvc.yaml. -->")
    rows = [row.split(" | ") for row in table.split("\n\n")[1].splitlines()[2:]]
    shown = {path: re.findall(r"`(\w+)`", stages) for paths, stages in rows for path in re.findall("`(.*?)`", paths)}
    del shown["stages/<stage>.py"]
    assert {path for path in shown if not (ROOT / path).exists()} == set()
    assert shown == {path: [stage for stage in STAGES if path in declaration(stage)["deps"]] for path in shown}
    packages = {path.parent.relative_to(ROOT).as_posix() for path in MODULES if path.name == "__init__.py"}
    assert packages - {"stages"} <= shown.keys()


def test_training_depends_on_the_settings_of_the_processor_and_on_the_versions_and_track_runs_last() -> None:
    assert {"stages/base/processor.py", "requirements.lock"} <= set(declaration("train")["deps"])
    # A store that fails keeps no result from being made: the page depends on all results.
    assert "reports/index.html" in declaration("track")["deps"]
    assert "reports/results" in declaration("report")["deps"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_an_init_is_empty(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    if str(path.relative_to(ROOT)) not in ALONE:
        assert len(lines) <= (0 if path.name == "__init__.py" else LONGEST)


def test_a_wheel_holds_every_file_of_the_stages_and_no_other(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("stages", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    program = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, "."], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "stages").rglob("*.*")}
