"""`dvc repro --force` proves results: after it, no falsified number is left unnoticed.

The target `report` leaves out `track`, which writes nothing that Git or DVC sees.
"""

from pathlib import Path

import pytest
from project import Project, clone_of, copy_of
from ruamel.yaml import YAML

from stages.base import files

RUN = "runs/ex4/as_posted/seed_0.npz"
RESULT = "reports/results/ex4.json"
METRICS = "metrics/ex4/as_posted.json"


def falsify_run(project: Project) -> None:
    """Raise the score in a run file, and recompute and accept everything that follows from it."""
    path = project.folder / RUN
    members = files.read_archive(path)
    members["run.json"]["scores"]["train"] += 0.25
    path.chmod(0o644)
    files.write_archive(path, members)
    project.dvc("commit", "--force", "train@ex4")
    for stage in ("evaluate@ex4", "report"):
        project.dvc("repro", "--single-item", stage)


def falsify_result(project: Project) -> None:
    """Raise a score in a result file and accept its digest."""
    path = project.folder / RESULT
    result = files.read_json(path)
    result["variants"][1]["scores"]["train"]["mean"] = 0.99
    files.write_json(path, result)
    project.dvc("commit", "--force", "evaluate@ex4")
    project.dvc("repro", "--single-item", "report")


def falsify_digest(project: Project) -> None:
    """Replace the digest of the runs in dvc.lock."""
    path = project.folder / "dvc.lock"
    lock = YAML().load(path)
    (out,) = lock["stages"]["train@ex4"]["outs"]
    path.write_text(path.read_text(encoding="utf-8").replace(out["md5"], f"{'0' * 32}.dir"), encoding="utf-8")


@pytest.fixture(scope="module")
def honest(shortest: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a clone in which everything was trained and `dvc repro --force` ran."""
    project = clone_of(shortest, tmp_path_factory.mktemp("honest") / "project")
    project.dvc("repro", "report")
    project.dvc("repro", "--force", "report")
    return project


def test_what_is_true_stays_as_it_was_committed_and_is_trained_once(honest: Project) -> None:
    assert honest.git_status() == ""
    trained = honest.trained()
    assert len(trained) == len(set(trained)) == len(list(honest.folder.glob("runs/*/*/*.npz")))


def test_in_a_fresh_clone_of_something_false_git_status_is_dirty(shortest: Project, tmp_path: Path) -> None:
    liar = copy_of(shortest, tmp_path / "liar")
    # Each of them changes another file first.
    for falsify, name in ((falsify_run, METRICS), (falsify_result, RESULT), (falsify_digest, "dvc.lock")):
        falsify(liar)
        assert name in liar.git_status()
        liar.commit()
    assert liar.git_status() == ""
    clone = clone_of(liar, tmp_path / "clone")
    clone.run("python", "-m", "dvc", "repro", "report")
    clone.run("python", "-m", "dvc", "repro", "--force", "report")
    for name in (RESULT, METRICS, "dvc.lock"):
        assert name in clone.git_status()
        assert (clone.folder / name).read_bytes() == (shortest.folder / name).read_bytes()
