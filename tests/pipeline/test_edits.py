"""After an edit `dvc repro` trains the runs that the edit touches, and no others."""

import re
import shutil
from pathlib import Path

import pytest
from documented import line
from project import OUTS, Project, copy_of

from pipeline.test_end_to_end import ran


@pytest.fixture
def project(shortest: Project, tmp_path: Path) -> Project:
    return copy_of(shortest, tmp_path / "project")


def newly_trained(project: Project, target: str = "report") -> tuple[list[tuple[str, int]], str]:
    """Run `dvc repro`; return folder and seed of the runs that it trained, and what it printed.

    The target `report` leaves out `track`, which takes seconds to fill a store.
    """
    before = len(project.trained())
    times = {path: path.stat().st_mtime_ns for path in project.folder.glob("runs/*/*/*")}
    output = project.dvc("repro", target)
    trained = [(folder, seed) for _, folder, seed in project.trained()[before:]]
    for path, time in times.items():
        if path.exists() and (path.parent.name, int(path.stem.removeprefix("seed_"))) not in trained:
            assert path.stat().st_mtime_ns == time, f"{path} was written again"
    return sorted(trained), output


def point(project: Project) -> str:
    """Return the folder of the point with the one fix, which is no variant."""
    (folder,) = (path.name for path in project.folder.glob("runs/ex4/p-*"))
    return folder


def test_with_nothing_edited_only_track_looks_at_its_store(project: Project) -> None:
    project.dvc("repro", "track")  # makes the MLflow store anew, because the project was copied
    trained, output = newly_trained(project, "track")
    assert (trained, ran(output)) == ([], {"track"})
    assert "up to date" in output
    assert project.git_status() == ""


def test_stages_of_a_case_that_is_gone_are_named_with_the_command_that_removes_them(project: Project) -> None:
    # A ZIP of the project has no git.
    shutil.rmtree(project.folder / ".git")
    project.succeed("git", "init", "--quiet")
    path = project.folder / "dvc.lock"
    lock = path.read_text(encoding="utf-8")
    path.write_text(lock.replace("  train@ex4:\n", "  train@gone:\n    cmd: none\n  train@ex4:\n"), encoding="utf-8")
    project.write_params(project.read_params() | {"execution": {"backend": "loky", "workers": 1}})
    command = line("docs/sharing.md", "dvc repro && rm")
    assert f"dvc.lock: still has train@gone; to remove them, run: {command[-1]}\n" in project.dvc("repro", "plan")
    project.succeed(*command)
    first_names, names = (re.findall(r"^  \S+:$", text, re.M) for text in (lock, path.read_text(encoding="utf-8")))
    assert names == first_names


def test_what_decides_no_result_trains_nothing(project: Project) -> None:
    project.write_params(project.read_params() | {"execution": {"backend": "loky", "workers": 1}})
    path = project.folder / "params.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text("# A comment.\n" + text.replace("0.001", "1e-3"), encoding="utf-8")
    assert "1e-3" in path.read_text(encoding="utf-8")
    trained, output = newly_trained(project)
    assert (trained, ran(output)) == ([], {"plan"})
    content = project.read_params()
    content["cases"]["ex4"]["title"] = "Another title"
    project.write_params(content)
    trained, output = newly_trained(project)
    assert (trained, ran(output)) == ([], {"plan", "evaluate@ex4", "report"})
    assert "Another title" in (project.folder / "reports/index.html").read_text(encoding="utf-8")


def test_an_edit_of_a_fix_trains_the_runs_that_contain_it(project: Project) -> None:
    before = point(project)
    content = project.read_params()
    content["cases"]["ex4"]["fixes"]["adam"]["set"]["optimizer"]["learning_rate"] = 0.002
    project.write_params(content)
    said = " ".join(project.succeed(*line("docs/editing.md", "python -m stages preview")).split())
    assert re.search(r" ex4 2 5 2 about \d+ \w+ ex4 trains, with seeds 0, 1: adam ", said)
    trained, _ = newly_trained(project, "train@ex4")
    assert trained == [(point(project), 0), (point(project), 1)]
    assert before != point(project)


def test_a_new_seed_trains_itself_and_an_old_one_is_removed(project: Project) -> None:
    project.write_params(project.read_params() | {"seeds": [1, 2]})
    trained, _ = newly_trained(project, "train@ex4")
    assert trained == [(folder, 2) for folder in ("as_posted", "diverged", point(project))]
    assert {path.name for path in (project.folder / "runs/ex4/as_posted").iterdir()} == {"seed_1.npz", "seed_2.npz"}


def test_a_new_name_trains_nothing_and_an_old_name_leaves_nothing(project: Project) -> None:
    content = project.read_params()
    variants = content["cases"]["ex4"]["variants"]
    variants["lr-0_01"] = {"fixes": ["adam"]}
    del variants["diverged"]
    project.write_params(content)
    assert newly_trained(project)[0] == []
    assert {path.name for path in (project.folder / "runs/ex4").iterdir()} == {"as_posted", "lr-0_01", "zeros_10"}
    outs = project.contents(*OUTS)
    assert not [path for path in outs if "diverged" in path]
    assert "metrics/ex4/lr-0_01.json" in outs


def test_an_edit_is_taken_back_brought_again_committed_and_merged_by_the_documented_commands(project: Project) -> None:
    for name in ("name", "email"):
        project.succeed("git", "config", f"user.{name}", "a")
    project.succeed("git", "branch", "--move", "main")
    project.succeed("git", "switch", "--quiet", "--create", "theirs")
    before, content = project.contents(*OUTS), project.read_params()
    content["cases"]["ex4"]["variants"]["longer"] = {"set": {"epochs": 3}}
    project.write_params(content)
    longer, _ = newly_trained(project)
    assert longer == [("longer", 0), ("longer", 1)]
    edited = project.contents(*OUTS)

    project.succeed(*line("docs/sharing.md", "git stash push"))
    assert (project.git_status(), project.contents(*OUTS)) == ("", before)
    assert "longer" not in project.dvc("metrics", "show")
    project.succeed(*line("docs/sharing.md", "git stash pop"))
    assert project.contents(*OUTS) == edited
    assert ran(newly_trained(project)[1]) == set()

    project.succeed(*line("docs/sharing.md", "git add params.yaml dvc.lock metrics reports"))
    assert not [path for path in project.succeed("git", "diff", "--staged", "--name-only").split() if ".csv" in path]
    project.succeed(*line("docs/sharing.md", 'git commit --message "Train longer"'))
    assert project.git_status() == ""
    project.succeed(*line("docs/sharing.md", "git switch", {"BRANCH": "main"}))
    assert project.contents(*OUTS) == before
    content = project.read_params()
    content["cases"]["ex4"]["title"] = "Another title"
    project.write_params(content)
    assert newly_trained(project)[0] == []
    project.succeed("git", "commit", "--quiet", "--all", "--message=Another title")

    merge = project.run(*line("docs/sharing.md", "git merge", {"BRANCH": "theirs"}))
    conflicts = project.succeed("git", "diff", "--name-only", "--diff-filter=U").split()
    assert merge.returncode == 1
    assert conflicts == ["dvc.lock", "reports/index.html", "reports/results/ex4.json"]
    assert not [path for path in conflicts if b"<<<<<<<" in (project.folder / path).read_bytes()]
    assert newly_trained(project)[0] == longer
    project.succeed(*line("docs/sharing.md", "git add params.yaml dvc.lock metrics reports && git commit"))
    assert project.git_status() == ""
    assert "metrics/ex4/longer.json" in project.contents("metrics")
    assert "Another title" in (project.folder / "reports/results/ex4.json").read_text(encoding="utf-8")

    project.succeed("git", "switch", "--quiet", "theirs")
    project.succeed(*line("docs/sharing.md", "git revert"), GIT_EDITOR="true")
    assert project.contents(*OUTS) == before
    assert (ran(newly_trained(project)[1]), project.git_status()) == (set(), "")
