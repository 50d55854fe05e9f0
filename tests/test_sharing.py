"""Results that one clone pushes to a DVC remote are there in another after `dvc pull`, without training."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import breaking
import pytest
from project import OUTS, Project, make, shortest_content, write_mnist
from servers import Bucket, s3
from test_end_to_end import ran

from stages.core.digits import Dataset

BLOCKED = Path(__file__).parent / "blocked"
PREPARED = "data/prepared/ex4.npz"
# What of the locked environment a remote in S3 changes.
OLDER = {"python-dateutil"}
# For what may open connections in a clone that otherwise cannot.
CONNECTED = {"PYTHONPATH": ""}


@pytest.fixture(scope="module")
def first(root: Path, raw_mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The clone that trains."""
    folder = tmp_path_factory.mktemp("first")
    mnist = write_mnist(raw_mnist, folder / "mnist")
    # Of the processes that import TensorFlow each takes seconds.
    content = shortest_content(root / "params.yaml") | {"execution": {"backend": "threading", "workers": 1}}
    project = make(folder / "repository", mnist, content)
    project.dvc("repro")
    project.commit()
    return project


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with s3(tmp_path_factory.mktemp("s3")) as served:
        yield served


def clone(project: Project, folder: Path) -> Project:
    """A clone that has no MNIST, and can open no connection."""
    variables = {name: value for name, value in project.environment.items() if name != "WHICHFIX_MNIST_DIR"}
    project.succeed("git", "clone", "--quiet", str(project.folder), str(folder))
    connections = str(folder.parent / "connections")
    return Project(folder, {**variables, "PYTHONPATH": str(BLOCKED), "CONNECTIONS": connections})


@dataclass(frozen=True)
class Shared:
    """What was pushed, and a second clone of it after `dvc pull` and `dvc repro`, with what was there in between."""

    first: Project
    second: Project
    pulled: dict[str, bytes]
    said: str


def share(first: Project, second: Path, remote: str, **variables: str) -> Shared:
    """Push to `remote`, and have the results in a second clone; `variables` are those of its `dvc pull`."""
    first.commit()
    first.dvc("push", "--remote", remote)
    copy = clone(first, second)
    ended = copy.run("python", "-m", "dvc", "pull", "--remote", remote, **variables)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    pulled = copy.contents(*OUTS)
    return Shared(first, copy, pulled, copy.dvc("repro"))


@pytest.fixture(scope="module")
def by_folder(first: Project, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folder = tmp_path_factory.mktemp("folder")
    first.dvc("remote", "add", "--default", "folder", str(folder / "remote"))
    return share(first, folder / "second", "folder")


@pytest.fixture(scope="module")
def by_bucket(bucket: Bucket, first: Project, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    first.dvc("remote", "add", "--default", "bucket", f"s3://{bucket.name}/whichfix")
    first.dvc("remote", "modify", "bucket", "endpointurl", bucket.address)
    first.dvc("remote", "modify", "bucket", "verify", "true")
    first.dvc("remote", "modify", "--local", "bucket", "access_key_id", bucket.key)
    first.dvc("remote", "modify", "--local", "bucket", "secret_access_key", bucket.secret)
    second = tmp_path_factory.mktemp("bucket") / "second"
    return share(first, second, "bucket", **CONNECTED, **bucket.environment)


@pytest.fixture(scope="module", params=["by_folder", "by_bucket"])
def shared(request: pytest.FixtureRequest) -> Shared:
    result: Shared = request.getfixturevalue(request.param)
    return result


def test_the_second_clone_has_a_cache_of_its_own(shared: Shared) -> None:
    assert Path(shared.second.dvc("cache", "dir").strip()) == shared.second.folder / ".dvc/cache"


def test_dvc_pull_brings_every_out(shared: Shared) -> None:
    assert {"data/raw/mnist.npz", "runs/ex4-as_posted/weights.safetensors"} <= shared.pulled.keys()
    assert shared.pulled == shared.first.contents(*OUTS)


def test_dvc_repro_then_runs_nothing_but_the_look_at_the_store(shared: Shared) -> None:
    assert ran(shared.said) == {"track"}
    assert shared.second.contents(*OUTS) == shared.pulled
    assert shared.second.succeed("git", "status", "--porcelain") == ""
    assert not Path(shared.second.environment["CONNECTIONS"]).exists()


def test_the_second_clone_shows_the_same_runs_in_mlflow(shared: Shared) -> None:
    runs = breaking.runs_of(shared.second.folder)
    assert len(runs) > 5
    assert runs == breaking.runs_of(shared.first.folder)


def test_no_credentials_are_committed(bucket: Bucket, by_bucket: Shared) -> None:
    first = by_bucket.first
    for path in first.succeed("git", "ls-files").splitlines():
        assert bucket.secret.encode() not in (first.folder / path).read_bytes(), path
    assert bucket.secret in (first.folder / ".dvc/config.local").read_text(encoding="utf-8")


def test_other_credentials_are_refused(bucket: Bucket, by_bucket: Shared, tmp_path: Path) -> None:
    copy = clone(by_bucket.first, tmp_path / "third")
    variables = {**bucket.environment, "AWS_SECRET_ACCESS_KEY": "another"}
    ended = copy.run("python", "-m", "dvc", "pull", "--remote", "bucket", **CONNECTED, **variables)
    assert ended.returncode != 0
    assert not (copy.folder / "runs").exists()


def damage(content: bytes) -> bytes:
    return content[:-1000] + bytes([content[-1000] ^ 1]) + content[-999:]


def refused(shared: Shared, folder: Path, remote: str, **variables: str) -> str:
    """What another clone says that refuses to take `PREPARED` from `remote`."""
    copy = clone(shared.first, folder)
    ended = copy.run("python", "-m", "dvc", "pull", "--remote", remote, **variables)
    assert ended.returncode != 0
    assert not (copy.folder / PREPARED).exists()
    return ended.stdout + ended.stderr


def test_what_is_damaged_in_the_folder_is_refused_by_its_path(by_folder: Shared, tmp_path: Path) -> None:
    remote = Path(by_folder.first.dvc("config", "remote.folder.url").strip())
    content = by_folder.pulled[PREPARED]
    (stored,) = (path for path in remote.rglob("*") if path.is_file() and path.stat().st_size == len(content))
    stored.chmod(0o644)
    stored.write_bytes(damage(content))
    assert PREPARED in refused(by_folder, tmp_path / "third", "folder")


def test_what_is_damaged_in_the_bucket_is_refused_by_its_path(
    bucket: Bucket, by_bucket: Shared, tmp_path: Path
) -> None:
    content = by_bucket.pulled[PREPARED]
    stored = {entry["Key"]: entry["Size"] for entry in bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]}
    (key,) = (key for key, size in stored.items() if size == len(content))
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=damage(content))
    assert PREPARED in refused(by_bucket, tmp_path / "third", "bucket", **CONNECTED, **bucket.environment)


def pins(path: Path) -> dict[str, str]:
    """The version of each package that a lock pins."""
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE))


def test_what_s3_needs_is_beside_the_lock_of_all_else(root: Path) -> None:
    own, locked = pins(root / "requirements-s3.lock"), pins(root / "requirements.lock")
    assert "dvc-s3" in own.keys() - locked.keys()
    assert {name for name in own.keys() & locked.keys() if own[name] != locked[name]} == OLDER
