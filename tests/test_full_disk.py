"""Writes that fail: a stage ends in one line that names the file and the reason, and what was there stays."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import breaking
import pytest
from breaking import Strike
from miniature import Miniature, raw_digits
from project import Project, write_mnist
from ruamel.yaml import YAML

from stages.core.digits import ARRAY_OF_FILE, idx_bytes, sha256

STAGES = [stage for stage in breaking.STAGES if stage != "track"]
REASONS: dict[breaking.How, int] = {"full": errno.EFBIG, "locked": errno.EACCES}


@pytest.fixture
def project(miniature: Miniature, root: Path, tmp_path: Path) -> Project:
    """A folder in which the pipeline ran, to run its stages in again, one by one."""
    folder = tmp_path / "project"
    shutil.copytree(miniature.folder, folder)
    (folder / "stages").symlink_to(root / "stages")
    digits = raw_digits()
    content: dict[str, Any] = YAML(typ="safe").load(folder / "params.yaml")
    content["sources"]["files"] = {name: sha256(idx_bytes(digits[array])) for name, array in ARRAY_OF_FILE.items()}
    YAML(typ="safe").dump(content, folder / "params.yaml")
    (tmp_path / "tmp").mkdir()
    environment = {"TMPDIR": str(tmp_path / "tmp"), "WHICHFIX_MNIST_DIR": str(write_mnist(digits, tmp_path / "mnist"))}
    return Project(folder, {**os.environ, **environment})


def run(project: Project, stage: str, strike: Strike | None = None) -> subprocess.CompletedProcess[str]:
    """Run `stage` itself, struck."""
    _, environment = breaking.fault(project, stage, strike)
    return project.run(sys.executable, *breaking.command(stage), **environment)


def written(project: Project, stage: str) -> list[Strike]:
    """A strike at the writing of each file of `stage`, which its `target` is, halfway through."""
    log, environment = breaking.fault(project, stage, None)
    ended = project.run(sys.executable, *breaking.command(stage), **environment)
    assert ended.returncode == 0, ended.stderr
    lines = breaking.noted(log)
    targets = {paths[0]: paths[1] for kind, *paths in lines if kind == "rename"}
    opened = [paths[0] for kind, *paths in lines if kind == "open"]
    strikes = []
    for number, path in enumerate(opened):
        if path in targets:
            half = (project.folder / targets[path]).stat().st_size // 2
            strikes.append(Strike("open", number, size=half, target=targets[path]))
    return strikes


def failures(project: Project, stage: str, how: breaking.How, strike: Strike) -> list[str]:
    """What is wrong after `stage` could not write the file of `strike`: a line each."""
    path = project.folder / strike.target
    kept = path.read_bytes()
    path.write_bytes(b"old")
    before = breaking.files_of(project.folder)
    ended = run(project, stage, Strike(strike.kind, strike.before, how, strike.size, strike.target))
    path.parent.chmod(0o755)
    after = breaking.files_of(project.folder)
    old = path.read_bytes()
    path.write_bytes(kept)
    expected = f"error: {strike.target}: cannot be written: {os.strerror(REASONS[how])}; "
    wrong = []
    if ended.returncode != 1 or not ended.stderr.startswith(expected) or len(ended.stderr.splitlines()) != 1:
        wrong.append(f"code {ended.returncode}, {ended.stderr}")
    if old != b"old":
        wrong.append(f"{strike.target} is changed")
    wrong += [f"{name} is changed" for name in sorted(before.keys() | after) if before.get(name) != after.get(name)]
    wrong += [f"{name} is in TMPDIR" for name in Path(project.environment["TMPDIR"]).iterdir()]
    return [f"{stage}, {how}, {strike.target}: {line}" for line in wrong]


@pytest.mark.parametrize(("stage", "how"), [("fetch", "full"), ("plan", "locked"), ("evaluate", "full")])
def test_a_write_that_fails_ends_a_stage_in_one_line_and_leaves_what_was_there(
    project: Project, stage: str, how: breaking.How
) -> None:
    strikes = written(project, stage)
    assert failures(project, stage, how, strikes[len(strikes) // 2]) == []


@pytest.mark.faults
@pytest.mark.parametrize("stage", STAGES)
def test_a_write_that_fails_of_any_file_ends_a_stage_in_one_line_and_leaves_what_was_there(
    project: Project, stage: str
) -> None:
    strikes = written(project, stage)
    assert len(strikes) >= 2
    wrong = [line for strike in strikes for how in REASONS for line in failures(project, stage, how, strike)]
    print(f"{stage}: {len(strikes)} files, each in {len(REASONS)} ways")
    assert wrong == []


@pytest.mark.parametrize("blocked", ["configs/ex4-as_posted.json", "timings/stages/plan.json"])
def test_a_folder_in_the_place_of_a_file_is_named(project: Project, blocked: str) -> None:
    (project.folder / blocked).unlink(missing_ok=True)
    (project.folder / blocked).mkdir(parents=True)
    ended = run(project, "plan")
    expected = f"error: {blocked}: cannot be written: Is a directory; mend that, then run `dvc repro` again\n"
    assert (ended.returncode, ended.stderr) == (1, expected)
    assert not list(project.folder.glob(".stage-tmp-*"))


def test_a_file_in_the_place_of_a_folder_is_named(project: Project) -> None:
    shutil.rmtree(project.folder / "configs")
    (project.folder / "configs").write_text("a file")
    ended = run(project, "plan")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: configs/")
    assert ".json: cannot be written: configs: File exists; " in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def mounted(project: Project, mount: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run `command` in the project where `mount`, commands of the shell, has been done, for it alone."""
    if project.run("unshare", "--mount", "mount", "-t", "tmpfs", "none", "configs").returncode:
        pytest.skip("this user may not mount a file system")
    return project.run("unshare", "--mount", "sh", "-ec", f'{mount}; exec "$@"', "sh", *command)


PLAN = (sys.executable, *breaking.command("plan"))


def test_a_disk_that_is_full_is_the_reason_that_is_told(project: Project) -> None:
    mount = "mount -t tmpfs -o size=24k none tmp; cp params.yaml tmp; ln -s ../stages tmp/stages; cd tmp"
    (project.folder / "tmp").mkdir()
    show = f"{' '.join(PLAN)} || find . -type f"
    ended = mounted(project, mount, "sh", "-c", show)
    assert ended.stderr.startswith("error: configs/")
    assert ": cannot be written: No space left on device; " in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    shown = ended.stdout.split()
    assert "./params.yaml" in shown
    assert all(Path(name).suffix in (".json", ".yaml") for name in shown), shown


def test_a_file_system_that_is_read_only_is_the_reason_that_is_told(project: Project) -> None:
    ended = mounted(
        project, "mount --bind . .; mount -o remount,bind,ro .; cd .", "sh", "-c", 'cd "$PWD" && ' + " ".join(PLAN)
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: configs/")
    assert ": cannot be written: Read-only file system; " in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_results_on_another_disk_than_the_pipeline_are_written_too(project: Project) -> None:
    before = {path.name: path.read_bytes() for path in (project.folder / "configs").glob("*.json")}
    show = f"{' '.join(PLAN)} && tail -n +1 configs/*.json && ls -A configs"
    ended = mounted(project, "mount -t tmpfs none configs", "sh", "-c", show)
    assert ended.returncode == 0, ended.stderr
    for name, content in before.items():
        assert f"==> configs/{name} <==\n{content.decode()}" in ended.stdout
    assert "\n." not in ended.stdout
