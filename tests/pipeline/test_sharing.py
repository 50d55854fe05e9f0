"""Results that one clone pushes to a DVC remote are there in another clone after `dvc pull`, without training."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from documented import line
from project import OUTS, Project, copy_of
from servers import Bucket, s3

from pipeline.test_end_to_end import ran
from pipeline.test_kills import store

BLOCKED = Path(__file__).parents[1] / "blocked"
PREPARED = "data/prepared/ex4.npz"
# The packages of requirements.lock whose version a remote in S3 changes.
OLDER = {"python-dateutil"}
# For a command that may open connections in a clone that otherwise cannot.
CONNECTED = {"PYTHONPATH": ""}


def pushing(shortest: Project, folder: Path) -> Project:
    """Return a project whose results can be pushed, and whose commits go to a repository in `folder`."""
    project = copy_of(shortest, folder / "project")
    project.succeed("git", "init", "--quiet", "--bare", str(folder / "origin"))
    project.succeed("git", "remote", "add", "origin", str(folder / "origin"))
    project.succeed("git", "push", "--quiet", "--set-upstream", "origin", "HEAD")
    for name in ("name", "email"):
        project.succeed("git", "config", f"user.{name}", "a")
    return project


def clone(project: Project, folder: Path) -> Project:
    """Return a clone in the new `folder` that has no MNIST and can open no connection."""
    variables = {name: value for name, value in project.environment.items() if name != "WHICHFIX_MNIST_DIR"}
    variables |= {"PYTHONPATH": str(BLOCKED), "CONNECTIONS": str(folder / "connections")}
    folder.mkdir()
    origin = project.succeed("git", "remote", "get-url", "origin").strip()
    Project(folder, variables).succeed(*line("docs/sharing.md", "git clone", {"ADDRESS": origin}))
    return Project(folder / "whichfix", variables)


@dataclass(frozen=True)
class Shared:
    """The first project, a second clone after `dvc pull` and `dvc repro`, and what came between."""

    first: Project
    second: Project
    pulled: dict[str, bytes]
    said: str


def share(first: Project, folder: Path, **variables: str) -> Shared:
    """Push to the remote and pull into a clone in `folder`; `variables` are the environment of `dvc pull`."""
    first.succeed(*line("docs/sharing.md", 'git commit --message "Add'))
    first.succeed(*line("docs/sharing.md", "dvc push"))
    second = clone(first, folder)
    second.succeed(*line("docs/sharing.md", "dvc pull"), **variables)
    pulled = second.contents(*OUTS)
    return Shared(first, second, pulled, second.succeed(*line("docs/sharing.md", "dvc repro")))


@pytest.fixture(scope="module")
def by_folder(shortest: Project, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folder = tmp_path_factory.mktemp("folder")
    first = pushing(shortest, folder)
    remote = {"/mnt/shared/whichfix": str(folder / "remote")}
    first.succeed(*line("docs/sharing.md", "dvc remote add --default shared /", remote))
    return share(first, folder / "second")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with s3(tmp_path_factory.mktemp("s3")) as served:
        yield served


@pytest.fixture(scope="module")
def by_bucket(bucket: Bucket, shortest: Project, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folder = tmp_path_factory.mktemp("bucket")
    first = pushing(shortest, folder)
    for command in (
        line("docs/sharing.md", "dvc remote add --default shared s3:", {"BUCKET": bucket.name}),
        line("docs/sharing.md", "dvc remote modify shared endpointurl", {"https://s3.example.org": bucket.address}),
        line("docs/sharing.md", "dvc remote modify shared verify"),
        line("docs/sharing.md", "dvc remote modify --local shared access_key_id", {"KEY": bucket.key}),
        line("docs/sharing.md", "dvc remote modify --local shared secret_access_key", {"SECRET": bucket.secret}),
    ):
        first.succeed(*command)
    return share(first, folder / "second", **CONNECTED, **bucket.environment)


@pytest.fixture(params=["by_folder", "by_bucket"])
def shared_results(request: pytest.FixtureRequest) -> Shared:
    results: Shared = request.getfixturevalue(request.param)
    return results


def test_dvc_pull_brings_every_out_and_dvc_repro_then_trains_nothing(shared_results: Shared) -> None:
    second = shared_results.second
    assert Path(second.dvc("cache", "dir").strip()) == second.folder / ".dvc/cache"
    assert {"data/raw/mnist.npz", "runs/ex4/as_posted/seed_0.npz"} <= shared_results.pulled.keys()
    assert shared_results.pulled == shared_results.first.contents(*OUTS)
    assert ran(shared_results.said) == {"track"}
    assert second.trained() == []
    assert second.contents(*OUTS) == shared_results.pulled
    assert second.git_status() == ""
    assert not Path(second.environment["CONNECTIONS"]).exists()
    # MLflow shows the same runs.
    assert len(store(second)[0]) > 5
    assert store(second) == store(shared_results.first)


def test_no_credentials_are_committed_and_others_are_refused(bucket: Bucket, by_bucket: Shared, tmp_path: Path) -> None:
    first = by_bucket.first
    for path in first.succeed("git", "ls-files").splitlines():
        assert bucket.secret.encode() not in (first.folder / path).read_bytes(), path
    assert bucket.secret in (first.folder / ".dvc/config.local").read_text(encoding="utf-8")
    third = clone(first, tmp_path / "third")
    variables = {**bucket.environment, **CONNECTED, "AWS_SECRET_ACCESS_KEY": "another"}
    assert third.run("python", "-m", "dvc", "pull", **variables).returncode != 0
    assert not (third.folder / "runs").exists()


def test_what_is_damaged_in_the_remote_is_refused_by_its_path(by_folder: Shared, tmp_path: Path) -> None:
    remote = Path(by_folder.first.dvc("config", "remote.shared.url").strip())
    content = by_folder.pulled[PREPARED]
    (stored,) = (path for path in remote.rglob("*") if path.is_file() and path.stat().st_size == len(content))
    stored.chmod(0o644)
    stored.write_bytes(content[:-1000] + bytes([content[-1000] ^ 1]) + content[-999:])
    third = clone(by_folder.first, tmp_path / "third")
    ended = third.run("python", "-m", "dvc", "pull")
    assert ended.returncode != 0
    assert PREPARED in ended.stdout + ended.stderr
    assert not (third.folder / PREPARED).exists()


def test_the_lock_for_s3_agrees_with_the_lock_of_all_else(root: Path) -> None:
    own, locked = (
        dict(re.findall(r"^([\w.-]+)==([\w.]+)", (root / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("requirements-s3.lock", "requirements.lock")
    )
    assert "dvc-s3" in own.keys() - locked.keys()
    assert {name for name in own.keys() & locked.keys() if own[name] != locked[name]} == OLDER
