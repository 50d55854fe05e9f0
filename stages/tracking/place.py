"""The place of the MLflow store, the lock of its writer, and the stamp that says it is up to date. Without MLflow."""

import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from stages.base.errors import UserError
from stages.base.lifetime import locked

# Part of every key and of the stamp. Raise this number if the content of runs changes, so that all are made anew.
LAYOUT = 7

VARIABLE = "MLFLOW_TRACKING_URI"
DATABASE = "mlflow.db"
ARTIFACTS = "mlruns"
LOCK = ".mlflow.lock"
STAMP = ".mlflow.stamp.json"
SQLITE = "sqlite:///"
# The address of `mlflow ui`.
HOST = "http://127.0.0.1:5000"


@dataclass(frozen=True)
class Place:
    """The URI of a store, and the file of its database if that is SQLite. `default` is false if the user named it."""

    uri: str
    database: Path | None
    default: bool

    @property
    def label(self) -> str:
        """The URI without user and password, for messages."""
        host = urlsplit(self.uri).netloc
        return self.uri.replace(host, host.rpartition("@")[2], 1) if host else self.uri

    def without_password(self, text: str) -> str:
        """Return `text` without the user and the password of the URI."""
        text, password = text.replace(self.uri, self.label), urlsplit(self.uri).password
        return text.replace(password, "***") if password else text

    def artifacts(self, case: str) -> Path | None:
        """Return the folder for the artifacts of `case`: beside an SQLite database, None if a server decides."""
        return self.database.parent / ARTIFACTS / case if self.database else None


def aside(database: Path = Path(DATABASE)) -> str:
    """Return the command that moves a database out of the way, so that `track` makes another one."""
    name = shlex.quote(str(database))
    return f"mv {name} {name}.moved"


def find() -> Place:
    """Return the store that MLFLOW_TRACKING_URI names, else mlflow.db in the repository.

    A queued experiment runs in a copy of the repository that is deleted later; DVC_ROOT names the original.

    Raises
    ------
    UserError
        If the variable has no URI, or the path of the repository has characters that MLflow cannot handle.
    """
    if uri := os.environ.get(VARIABLE):
        try:
            urlsplit(uri)
        except ValueError:  # without its text, which may quote a password
            raise UserError(f"{VARIABLE}: not a URI; expected one such as {HOST}") from None
        file = uri.removeprefix(SQLITE).partition("?")[0] if uri.startswith(SQLITE) else None
        return Place(uri, Path(file).absolute() if file else None, default=False)
    database = Path(os.environ.get("DVC_ROOT") or ".").resolve() / DATABASE
    path = str(database)
    if quote(path) != path:
        # MLflow reads such a path as a URL and would make a database elsewhere. A relative path avoids that.
        path = os.path.relpath(database, Path.cwd().resolve())
        if quote(path) != path:
            raise UserError(f"{database}: MLflow cannot handle this path; set {VARIABLE}, or move the repository")
    return Place(SQLITE + path, database, default=True)


@contextmanager
def turn(place: Place) -> Iterator[None]:
    """Keep every other `track` on this machine from a local store until the block ends."""
    if place.database is None:
        yield
        return
    with locked(place.database.with_name(LOCK), f"another `track`, which writes to {place.label},"):
        yield


def results_digest() -> str:
    """Return a digest of the results of all cases and of the name of the DVC experiment that is running."""
    digest = hashlib.sha256(os.environ.get("DVC_EXP_NAME", "").encode())
    for path in (Path("configs/cases.json"), *sorted(Path("reports/results").glob("*.json"))):
        # A digest per file, so that no two lists of files give the same bytes.
        digest.update(hashlib.sha256(path.read_bytes() if path.is_file() else b"").digest())
    return digest.hexdigest()


def _state(place: Place, results: str) -> dict[str, Any] | None:
    """Return what a stamp compares, None without a local store; `results` is as `results_digest` returns."""
    if place.database is None or not place.database.is_file():
        return None
    status = place.database.stat()
    found = {"path": str(place.database), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    return {"layout": LAYOUT, "results": results, **found}


def read_stamp(place: Place, results: str) -> dict[str, str] | None:
    """Return the ids of the experiments by case, or None if the results or the store differ from the stamp."""
    state = _state(place, results)
    if state and place.database:
        # A stamp that is missing or damaged counts as another one.
        with suppress(OSError, ValueError, LookupError, AttributeError, TypeError):
            stamp = json.loads(place.database.with_name(STAMP).read_bytes())
            experiments: dict[str, str] = stamp.pop("experiments")
            if stamp == state and all(folder.is_dir() for folder in map(place.artifacts, experiments) if folder):
                return experiments
    return None


def write_stamp(place: Place, results: str, experiments: dict[str, str]) -> None:
    """Note that the store holds these results."""
    state = _state(place, results)
    if state and place.database:
        place.database.with_name(STAMP).write_text(json.dumps({**state, "experiments": experiments}), encoding="utf-8")


def address(experiment_id: str, view: str) -> str:
    """Return the address at which `mlflow ui` shows a view of an experiment.

    Without the type of workflow MLflow opens its page for generative models.
    """
    return f"{HOST}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={view}"
