"""What dvc.yaml, requirements.lock and the layout say, against what the code does."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from dvc.repo import Repo
from miniature import Miniature, locked
from ruamel.yaml import YAML

from stages.core import code

# Of DVC's own code, on its own dependency.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc")

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for path in (ROOT / "stages").rglob("*.py") if path.name != "__init__.py")
STAGE_MODULES = [path for path in MODULES if path.parent == ROOT / "stages"]


@pytest.fixture(scope="module")
def repository(miniature: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repo]:
    """A DVC repository in which the pipeline ran, in small, and every result is committed to DVC."""
    folder = locked(miniature, ROOT, tmp_path_factory.mktemp("repository") / "copy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with Repo() as repo:
            yield repo


def stages_of(repo: Repo) -> dict[str, Any]:
    """DVC's stages by name, its templates filled in by DVC itself."""
    return {stage.addressing: stage for stage in repo.index.stages}


def paths(repo: Repo, entries: list[Any]) -> set[str]:
    return {Path(entry.fs_path).relative_to(repo.root_dir).as_posix() for entry in entries if entry.protocol == "local"}


def test_a_stage_depends_on_its_code_by_the_digests_that_plan_writes(repository: Repo) -> None:
    for name, stage in stages_of(repository).items():
        module = re.fullmatch(r"python -m stages\.(\w+)( .*)?", stage.cmd)
        assert module, stage.cmd
        # `plan` cannot depend on what it writes.
        expected = "stages" if name == "plan" else f"configs/code/{module[1]}.json"
        assert any(Path(expected).is_relative_to(path) for path in paths(repository, stage.deps)), name


def test_data_that_a_module_reads_is_declared_by_the_stages_that_run_it(repository: Repo) -> None:
    # A module's digest says nothing of the files beside it.
    beside = [path for path in (ROOT / "stages").rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert {path.parent.name for path in beside} == {"templates"}
    for name, stage in stages_of(repository).items():
        if ROOT / "stages/core/pages.py" in code.closure(ROOT / "stages" / f"{name.split('@')[0]}.py"):
            assert "stages/core/templates" in paths(repository, stage.deps), name


def test_what_a_stage_declares_as_outs_is_what_it_writes(repository: Repo, miniature: Miniature) -> None:
    declared = {name: paths(repository, stage.outs) for name, stage in stages_of(repository).items()}
    # `track` writes to a store that is none of DVC's.
    assert declared.pop("track", set()) == set()
    assert declared.keys() == miniature.written.keys()
    for name, outs in declared.items():
        written = {path for path in miniature.written[name] if not path.startswith("timings/")}
        assert {path for path in written if not any(Path(path).is_relative_to(out) for out in outs)} == set(), name
        assert {out for out in outs if not any(Path(path).is_relative_to(out) for path in written)} == set(), name


def test_what_a_stage_reads_of_the_others_it_declares(repository: Repo) -> None:
    # A stage that is run before what it depends on would read old results.
    outs = {out: name for name, stage in stages_of(repository).items() for out in paths(repository, stage.outs)}
    for name, stage in stages_of(repository).items():
        for path in paths(repository, stage.deps):
            if not Path(path).is_relative_to("stages") and path != "params.yaml":
                assert any(Path(out).is_relative_to(path) or Path(path).is_relative_to(out) for out in outs), (
                    name,
                    path,
                )


def test_track_comes_last(repository: Repo) -> None:
    # A store that fails must not keep a result from being made.
    stages = stages_of(repository)
    before, waiting = set(), {stages["track"]}
    while waiting:
        stage = waiting.pop()
        before.add(stage)
        waiting |= set(repository.index.graph.successors(stage)) - before
    assert before == set(stages.values())


def test_with_nothing_edited_nothing_is_run(repository: Repo) -> None:
    assert {stage.addressing for stage in repository.reproduce(dry=True)} <= {"track"}


def test_after_an_edit_of_one_fix_dvc_retrains_just_what_contains_it(
    repository: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(repository.root_dir, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    yaml = YAML()
    content = yaml.load(folder / "params.yaml")
    content["cases"]["ex4"]["fixes"]["adam"]["set"]["hidden_activation"] = "tanh"
    yaml.dump(content, folder / "params.yaml")
    with Repo(str(folder)) as repo:
        assert {stage.addressing for stage in repo.reproduce("plan")} == {"plan"}
        planned = {stage.addressing for stage in repo.reproduce(dry=True)}
    trained = {name for name in planned if name.startswith(("prepare", "train", "baseline", "probe", "attribute"))}
    assert trained == {"train@ex4-fixed", "attribute@ex4"}


def test_every_stage_has_its_module_and_every_module_its_stage() -> None:
    declared = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    assert {path.stem for path in STAGE_MODULES} - set(code.TOOLS) == set(declared)


@pytest.mark.parametrize("path", STAGE_MODULES, ids=lambda path: path.stem)
def test_a_stage_imports_no_other_stage(path: Path) -> None:
    assert code.closure(path) & set(STAGE_MODULES) == {path}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_module_has_a_test_module(path: Path) -> None:
    mirrored = ROOT / "tests" / path.relative_to(ROOT / "stages").with_name(f"test_{path.name}")
    assert mirrored.is_file()


def test_a_wheel_holds_every_file_of_the_stages_and_no_other(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("stages", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    program = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, "."], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "stages").rglob("*.*")}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
# A requirement and its hashes, which follow on lines that are joined by backslashes.
ENTRIES = [entry for entry in re.sub(r"\\\n\s*", "", LOCK).splitlines() if not entry.startswith("#")]


def test_the_lock_pins_one_version_of_each_package_by_hashes() -> None:
    names = []
    for entry in ENTRIES:
        match = re.fullmatch(r"([\w.-]+)==[\w.!+]+( ; [^#]+?)?(\s*--hash=sha256:[0-9a-f]{64})+\s*", entry)
        assert match, entry
        names.append(canonical(match[1]))
    assert len(names) == len(set(names)) > 50


def test_the_lock_pins_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    # S3's are in a lock of their own, which tests/test_sharing.py compares.
    optional = [name for extra, names in extras.items() if extra != "s3" for name in names]
    wanted = [*project["project"]["dependencies"], *optional, *project["dependency-groups"]["test"]]
    pinned = {canonical(entry.split("==")[0]) for entry in ENTRIES}
    assert {canonical(re.split(r"[\[<>=~!; ]", name)[0]) for name in wanted} <= pinned


def test_the_lock_has_no_address_and_no_option() -> None:
    assert "://" not in LOCK
    assert set(re.findall(r"(?<!\S)--?\w[\w-]*", "\n".join(ENTRIES))) == {"--hash"}
