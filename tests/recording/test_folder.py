"""The folder of own cases is made on first use, and the pipeline runs in it without a trace in the clone."""

import os
from pathlib import Path

import numpy as np
import pytest
from documented import line
from project import Project, make, plain_environment, shortest_content

from recording import recordings
from recording.recordings import recording
from stages import add
from stages.base import files
from stages.base.errors import UserError
from stages.recording import folder as folders


def content(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder of own cases, without DVC's notes about the machine."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".dvc/tmp" not in str(path))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a folder of own cases with the case `first`."""
    path = recordings.write(tmp_path / "first.zip", recording())
    add.main("first", str(path), "--folder", str(tmp_path / "own"), "--no-suggestions")
    return tmp_path / "own"


def test_the_pipeline_measures_a_case_in_mine_and_git_sees_nothing(root: Path, tmp_path: Path) -> None:
    settings = shortest_content(root / "params.yaml") | {"seeds": [0]}
    # Nothing of MNIST can be fetched.
    project = make(tmp_path / "clone", tmp_path / "missing", settings, plain_environment())
    path = recordings.write(tmp_path / "a.zip", recording())
    said = project.succeed("python", "-m", "stages", "add", "--no-suggestions", "my_case", str(path))
    assert said.rstrip().endswith("next: cd mine && dvc repro")
    project.succeed(*line("docs/your-network.md", "cd mine"))
    mine = Project(project.folder / "mine", project.environment)
    assert (mine.folder / "reports/index.html").is_file()
    assert (mine.folder / "mlflow.db").is_file()
    result = files.read_json(mine.folder / "reports/results/my_case.json")
    assert [variant["name"] for variant in result["variants"]] == ["as_posted"]
    assert project.git_status() == ""
    assert "mine" not in project.dvc("status")
    assert "up to date" in mine.dvc("status", "data/own/my_case.npz.dvc")


def test_a_folder_anywhere_has_links_to_the_clone(own: Path) -> None:
    for name in ("dvc.yaml", "stages", "requirements.lock", ".dvc/plots"):
        assert (own / name).readlink() == folders.CLONE / name
    assert (own / "data/own/first.npz.dvc").is_file()
    assert "wrote configs" in Project(own, plain_environment()).succeed("python", "-m", "stages", "plan")
    project = Project(own, plain_environment())
    project.succeed("git", "init", "--quiet")
    seen = project.succeed("git", "status", "--porcelain", "--untracked-files=all")
    assert "?? data/own/first.npz.dvc\n" in seen
    assert "first.npz\n" not in seen


def test_a_second_case_leaves_everything_of_the_first_as_it_is(own: Path, tmp_path: Path) -> None:
    (own / "params.yaml").write_bytes((own / "params.yaml").read_bytes().replace(b"\n", b"  # mine\n", 1))
    before = content(own)
    path = recordings.write(tmp_path / "second.zip", recording())
    add.main("second", str(path), "--folder", str(own), "--no-suggestions")
    after = content(own)
    assert after.pop("params.yaml").startswith(before.pop("params.yaml"))
    assert before.items() <= after.items()
    assert {name for name in after.keys() - before.keys() if not name.startswith(".dvc/")} == {
        "data/own/second.npz",
        "data/own/second.npz.dvc",
    }


def test_a_case_is_replaced_with_its_data_only_if_asked_for(own: Path, tmp_path: Path) -> None:
    data = recordings.arrays()
    path = recordings.write(tmp_path / "again.zip", recording({**data, "x": data["x"] + 1}, fit={"epochs": 7}))
    before = content(own)
    with pytest.raises(UserError, match=r"cases\.first exists; expected another name, or --replace"):
        add.main("first", str(path), "--folder", str(own), "--no-suggestions")
    assert content(own) == before
    add.main("first", str(path), "--folder", str(own), "--replace", "--no-suggestions")
    np.testing.assert_array_equal(np.load(own / "data/own/first.npz")["x"], data["x"] + 1)
    assert b"epochs: 7" in (own / "params.yaml").read_bytes()
    assert content(own)["data/own/first.npz.dvc"] != before["data/own/first.npz.dvc"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_at_any_point_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, exists: bool
) -> None:
    own: Path = request.getfixturevalue("own") if exists else tmp_path / "own"
    before, around = content(own), sorted(tmp_path.iterdir())
    path = recordings.write(tmp_path / "bad.zip", recording())

    def fail(*_: object) -> None:
        raise UserError("dvc add failed")

    for name in ("dvc", "add"):
        with monkeypatch.context() as patch:
            patch.setattr(folders, name, fail)
            with pytest.raises(UserError, match="dvc add failed"):
                add.main("first", str(path), "--folder", str(own), "--replace", "--no-suggestions")
        assert content(own) == before
        assert sorted(tmp_path.iterdir()) == sorted({*around, path})
    one_class = recordings.write(path, recording({**recordings.arrays(), "y": np.zeros(100, int)}))
    with pytest.raises(UserError, match="the training examples are of one class"):
        add.main("second", str(one_class), "--folder", str(own), "--no-suggestions")
    assert content(own) == before


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    path = recordings.write(tmp_path / "a.zip", recording())
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    with pytest.raises(UserError, match=r"has no params\.yaml; expected a folder of own cases"):
        add.main("a", str(path), "--folder", str(tmp_path / "other"), "--no-suggestions")
    with pytest.raises(UserError, match="is missing; expected the folder in which"):
        add.main("a", str(path), "--folder", str(tmp_path / "no/own"), "--no-suggestions")


def test_a_file_that_is_no_recording_is_refused_in_one_line(tmp_path: Path) -> None:
    files.write_archive(tmp_path / "x.zip", {"x": np.zeros(3)})
    (tmp_path / "text.zip").write_text("no archive")
    recordings.write(tmp_path / "new.zip", recording(format=2))
    os.truncate(recordings.write(tmp_path / "cut.zip", recording()), 1000)
    for name in ("missing.zip", "x.zip", "text.zip", "new.zip", "cut.zip"):
        with pytest.raises(UserError) as caught:
            add.main("a", str(tmp_path / name), "--folder", str(tmp_path / "own"), "--no-suggestions")
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "dvc repro" not in str(caught.value)
    assert not (tmp_path / "own").exists()
