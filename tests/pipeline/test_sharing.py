"""Results that one clone pushes to a DVC remote are there in another clone after `dvc pull`, without training."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
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


@pytest.fixture(scope="module")
def first(shortest: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return the project that pushes."""
    return copy_of(shortest, tmp_path_factory.mktemp("first") / "project")


def clone(project: Project, folder: Path) -> Project:
    """Return a clone that has no MNIST and can open no connection."""
    variables = {name: value for name, value in project.environment.items() if name != "WHICHFIX_MNIST_DIR"}
    project.succeed("git", "clone", "--quiet", str(project.folder), str(folder))
    return Project(folder, {**variables, "PYTHONPATH": str(BLOCKED), "CONNECTIONS": f"{folder}.connections"})


@dataclass(frozen=True)
class Shared:
    """The first project, a second clone after `dvc pull` and `dvc repro`, and what came between."""

    first: Project
    second: Project
    pulled: dict[str, bytes]
    said: str


def share(first: Project, folder: Path, remote: str, **variables: str) -> Shared:
    """Push to `remote` and pull into a clone in `folder`; `variables` are the environment of `dvc pull`."""
    first.commit()
    first.dvc("push", "--remote", remote)
    second = clone(first, folder)
    second.dvc("pull", "--remote", remote, **variables)
    pulled = second.contents(*OUTS)
    return Shared(first, second, pulled, second.dvc("repro"))


@pytest.fixture(scope="module")
def by_folder(first: Project, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folder = tmp_path_factory.mktemp("folder")
    first.dvc("remote", "add", "--default", "folder", str(folder / "remote"))
    return share(first, folder / "second", "folder")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with s3(tmp_path_factory.mktemp("s3")) as served:
        yield served


@pytest.fixture(scope="module")
def by_bucket(bucket: Bucket, first: Project, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    first.dvc("remote", "add", "--default", "--force", "bucket", f"s3://{bucket.name}/whichfix")
    first.dvc("remote", "modify", "bucket", "endpointurl", bucket.address)
    first.dvc("remote", "modify", "bucket", "verify", "true")
    first.dvc("remote", "modify", "--local", "bucket", "access_key_id", bucket.key)
    first.dvc("remote", "modify", "--local", "bucket", "secret_access_key", bucket.secret)
    second = tmp_path_factory.mktemp("bucket") / "second"
    return share(first, second, "bucket", **CONNECTED, **bucket.environment)


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
    assert third.run("python", "-m", "dvc", "pull", "--remote", "bucket", **variables).returncode != 0
    assert not (third.folder / "runs").exists()


def test_what_is_damaged_in_the_remote_is_refused_by_its_path(by_folder: Shared, tmp_path: Path) -> None:
    remote = Path(by_folder.first.dvc("config", "remote.folder.url").strip())
    content = by_folder.pulled[PREPARED]
    (stored,) = (path for path in remote.rglob("*") if path.is_file() and path.stat().st_size == len(content))
    stored.chmod(0o644)
    stored.write_bytes(content[:-1000] + bytes([content[-1000] ^ 1]) + content[-999:])
    third = clone(by_folder.first, tmp_path / "third")
    ended = third.run("python", "-m", "dvc", "pull", "--remote", "folder")
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
