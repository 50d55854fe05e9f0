"""The MLflow store: a look at it that needs no MLflow where it is SQLite, and the writing of whole runs and models."""

import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from stages.core.errors import UserError
from stages.core.tracking import KEY_TAG, PARENT_TAG, Held, ModelSpec, StoredRun

if TYPE_CHECKING:
    from stages.core.champion import Champion
    from stages.core.run_content import Content

DEFAULT_FILE = "mlflow.db"
ALIAS = "champion"
# Before the id of a model, the source of its version.
MODELS = "models:/"
# The folder of artifacts beside an SQLite file; MLflow's own default is called so too.
ARTIFACTS = "mlruns"
# The code of a model, and what it imports.
CLASSIFIER = Path(__file__).with_name("classifier.py")
SERVED_BY = ("mlflow", "numpy", "pandas", "safetensors", "scipy")
# MLflow's limit for one request.
METRICS_A_BATCH = 1000
# What `track` asks PostgreSQL to lock: any number that nothing else asks for.
ADVISORY_LOCK = 0x77686963
REMEDY = "the results are complete without it; once it is mended, `dvc repro track` fills it"

ENVIRONMENT = {
    # What fails is said in one line, without MLflow's own pages of it.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow's own 7 retries take minutes to tell that a server is not there.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}

STORED_RUNS = """
    SELECT runs.run_uuid, key.value, runs.status = 'FINISHED', parent.value, runs.artifact_uri
    FROM runs
    JOIN experiments ON experiments.experiment_id = runs.experiment_id AND experiments.lifecycle_stage = 'active'
    JOIN tags AS key ON key.run_uuid = runs.run_uuid AND key.key = ?
    LEFT JOIN tags AS parent ON parent.run_uuid = runs.run_uuid AND parent.key = ?
    WHERE runs.lifecycle_stage = 'active'
"""

# A champion whose run or model is deleted is none.
CHAMPIONS = f"""
    SELECT versions.name, tags.value
    FROM model_versions AS versions
    JOIN registered_model_aliases AS aliases USING (name, version)
    JOIN model_version_tags AS tags ON tags.name = versions.name AND tags.version = versions.version AND tags.key = ?
    JOIN runs ON runs.run_uuid = versions.run_id AND runs.lifecycle_stage = 'active'
    JOIN logged_models AS models ON versions.source = '{MODELS}' || models.model_id
    WHERE aliases.alias = ? AND models.lifecycle_stage = 'active'
"""

EXPERIMENTS = "SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active'"


def tracking_uri() -> str:
    """Where the store is: MLFLOW_TRACKING_URI, else mlflow.db in the repository.

    A queued experiment runs in a copy of the repository, which is deleted when it ends; DVC_ROOT names the original.
    """
    repository = Path(os.environ.get("DVC_ROOT") or Path.cwd())
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{repository / DEFAULT_FILE}"


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None where `uri` is of another."""
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None


def look(uri: str) -> Held | None:
    """What an SQLite store holds of this project, read without MLflow; None where only MLflow can tell."""
    file = sqlite_file(uri)
    if file is None or not file.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(STORED_RUNS, (KEY_TAG, PARENT_TAG)).fetchall()
            champions = dict(database.execute(CHAMPIONS, (KEY_TAG, ALIAS)).fetchall())
            experiments = {name: str(number) for name, number in database.execute(EXPERIMENTS).fetchall()}
    except sqlite3.Error:
        return None
    runs = [StoredRun(run_id, key, bool(done), parent, artifacts) for run_id, key, done, parent, artifacts in rows]
    return Held(runs, champions, experiments)


def artifacts_exist(run: StoredRun) -> bool:
    """Whether the folder of a run's artifacts is there, as far as this machine can tell."""
    parts = urlsplit(run.artifacts or "")
    return parts.scheme not in ("", "file") or Path(unquote(parts.path)).is_dir()


@contextmanager
def turn(uri: str) -> Iterator[None]:
    """Keep every other `track` from the store at `uri` until the block ends, or this process does.

    PostgreSQL has a lock for that, whoever asks from wherever; for an SQLite file the folder is locked that holds it,
    for any other store the current one: clones that share such a store do not see each other.

    Raises
    ------
    UserError
        When the database is not reachable.
    """
    if uri.startswith("postgresql"):
        import sqlalchemy

        # Without a pool, or the connection and with it the lock would outlive the block.
        with _errors(uri):
            connection = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool).connect()
        with connection:
            with _errors(uri):
                connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_lock(ADVISORY_LOCK)))
            yield
        return
    file = sqlite_file(uri) or Path(DEFAULT_FILE)
    if not file.absolute().parent.is_dir():
        yield
        return
    folder = os.open(file.absolute().parent, os.O_RDONLY)
    try:
        # Not every network's file system can lock; one `track` at a time is right all the same.
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


class Store:
    """An MLflow store, by MLflow's client.

    Raises
    ------
    UserError
        From every method, when the store is not reachable or refuses.
    """

    def __init__(self, uri: str) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        self.uri = uri
        self.experiments: dict[str, str] = {}
        self._datasets: dict[str, Any] = {}
        with _errors(uri):
            if (file := sqlite_file(uri)) is not None:
                _create(file)
            self.client = MlflowClient(uri)

    def open(self, case: str, tags: Mapping[str, str]) -> None:
        """Find the experiment of `case`, which has its name, or make it; give it those of `tags` that it lacks."""
        with _errors(self.uri):
            experiment = self.client.get_experiment_by_name(case)
            if experiment is None:
                self.experiments[case] = self.client.create_experiment(case, self._artifacts(case), dict(tags))
                return
            if experiment.lifecycle_stage != "active":
                # A deleted experiment keeps its name, so that none can be made in its place.
                self.client.restore_experiment(experiment.experiment_id)
            self.experiments[case] = experiment.experiment_id
            for name, value in tags.items():
                if name not in experiment.tags:
                    self.client.set_experiment_tag(experiment.experiment_id, name, value)

    def _artifacts(self, case: str) -> str | None:
        """Where the artifacts of the experiment of `case` go: beside an SQLite file; where a server says, None.

        MLflow's own choice is the current folder, which for a queued experiment is soon deleted.
        """
        file = sqlite_file(self.uri)
        return None if file is None else str(file.absolute().parent / ARTIFACTS / case)

    def held(self, models: Iterable[ModelSpec]) -> Held:
        """What the store holds: the runs of the experiments that are open, and who is champion of `models`."""
        versions = {model.name: self._champion(model.name) for model in models}
        champions = {name: version.tags[KEY_TAG] for name, version in versions.items() if version}
        return Held(self.runs(), champions, self.experiments)

    def _champion(self, name: str) -> Any:
        """The version of this project that is champion of the registered model `name`, or None."""
        with _errors(self.uri), _absent_is_none():
            version = self.client.get_model_version_by_alias(name, ALIAS)
            return version if KEY_TAG in version.tags and self._is_whole(version) else None
        return None

    def _is_whole(self, version: Any) -> bool:
        """Whether the run and the model that a version is of are there."""
        with _absent_is_none():
            self.client.get_logged_model(_model_id(version))
            return bool(self.client.get_run(version.run_id).info.lifecycle_stage == "active")
        return False

    def champion(self, name: str, folder: Path) -> tuple[dict[str, bytes], str]:
        """The files of the champion of the registered model `name`, and what it is called; `folder` is for them.

        Raises
        ------
        UserError
            When there is none.
        """
        from mlflow import artifacts

        from stages.core import champion

        version = self._champion(name)
        if version is None:
            address = _without_password(self.uri)
            raise UserError(f"the MLflow store {address} has no {ALIAS} of {name}; `dvc repro track` registers it")
        with _errors(self.uri):
            # Its code, which is this project's, stays where it is.
            place = self.client.get_logged_model(_model_id(version)).artifact_location
            found = {
                file: Path(artifacts.download_artifacts(f"{place}/artifacts/{file}", None, None, str(folder)))
                for file in (champion.ARRAYS, champion.SETTINGS)
            }
            return {file: path.read_bytes() for file, path in found.items()}, f"{name}, version {version.version}"

    def runs(self) -> list[StoredRun]:
        """The runs of this project in the experiments that are open."""
        found: list[StoredRun] = []
        token = None
        while True:
            with _errors(self.uri):
                page = self.client.search_runs(
                    list(self.experiments.values()), f"tags.`{KEY_TAG}` LIKE '%'", page_token=token
                )
            for run in page:
                tags = run.data.tags
                done = run.info.status == "FINISHED"
                found.append(StoredRun(run.info.run_id, tags[KEY_TAG], done, tags.get(PARENT_TAG)))
            token = page.token
            if not token:
                return found

    def delete(self, run_id: str) -> None:
        """Delete a run; MLflow keeps it among the deleted ones, where it should not look as if it still ran."""
        with _errors(self.uri):
            if self.client.get_run(run_id).info.status == "RUNNING":
                self.client.set_terminated(run_id, "KILLED")
            self.client.delete_run(run_id)

    def dataset(self, path: str, digest: str) -> Any:
        """The training split of prepared data as MLflow's dataset, its name that of the file."""
        from mlflow.data import sources
        from mlflow.data.numpy_dataset import NumpyDataset

        from stages.core import files

        if path not in self._datasets:
            data = files.read_npz(Path(path))
            source = sources.LocalArtifactDatasetSource(path)  # type: ignore[attr-defined]  # made when imported
            self._datasets[path] = NumpyDataset(
                data["x_train"], source, data["y_train"], Path(path).stem, digest
            )._to_mlflow_entity()
        return self._datasets[path]

    @contextmanager
    def add(
        self, case: str, name: str, content: "Content", tags: Mapping[str, str], dataset: Any, start: int
    ) -> Iterator[str]:
        """Make a run and give its id; it is finished when the block ends, and only then counts as held.

        `start` is in milliseconds since 1970; the run is as long as the content's wall time.
        """
        from mlflow.entities import DatasetInput, InputTag, Metric, Param

        with _errors(self.uri):
            run_id: str = self.client.create_run(self.experiments[case], start, dict(tags), name).info.run_id
            self.client.log_batch(run_id, params=[Param(*item) for item in content.parameters.items()])
            metrics = [Metric(key, value, start, step) for key, value, step in content.metrics]
            for first in range(0, len(metrics), METRICS_A_BATCH):
                self.client.log_batch(run_id, metrics=metrics[first : first + METRICS_A_BATCH])
            if dataset is not None:
                context = [InputTag("mlflow.data.context", "training")]
                self.client.log_inputs(run_id, [DatasetInput(dataset, context)])
            if content.artifacts:
                with tempfile.TemporaryDirectory() as folder:
                    for path, data in content.artifacts.items():
                        file = Path(folder, path)
                        file.parent.mkdir(parents=True, exist_ok=True)
                        file.write_bytes(data)
                    self.client.log_artifacts(run_id, folder)
            for path, table in content.tables.items():
                self.client.log_table(run_id, table, path)
        yield run_id
        with _errors(self.uri):
            self.client.set_terminated(run_id, end_time=start + round(1000 * (content.seconds or 0)))

    def register(self, model: ModelSpec, run_id: str, content: "Champion") -> str:
        """Make `model`, of the run `run_id`, the champion; its version: the one that has its key, or else a new one."""
        with _errors(self.uri):
            self._name(model)
            versions = self.client.search_model_versions(f"name = '{model.name}'")
            own = [version for version in versions if version.tags.get(KEY_TAG) == model.key]
            number = next((version.version for version in own if self._is_whole(version)), None)
            if number is None:
                self._discard(model, {_model_id(version) for version in own})
                number = self._add_version(model, run_id, content)
            self.client.set_registered_model_alias(model.name, ALIAS, number)
        return str(number)

    def _discard(self, model: ModelSpec, registered: set[str]) -> None:
        """Delete what a `track` left of `model` that was killed before it came to a version."""
        experiment = self.experiments[model.run.case]
        for left in self.client.search_logged_models([experiment], f"tags.`{KEY_TAG}` = '{model.key}'"):
            if left.model_id not in registered:
                self.client.delete_logged_model(left.model_id)

    def _add_version(self, model: ModelSpec, run_id: str, content: "Champion") -> Any:
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        experiment = self.experiments[model.run.case]
        tags = {KEY_TAG: model.key}
        model_id = self.client.create_logged_model(experiment, model.run.name, run_id, tags, model_type="").model_id
        with tempfile.TemporaryDirectory() as folder:
            _save(Path(folder) / "model", content)
            self.client.log_model_artifacts(model_id, f"{folder}/model")
        self.client.finalize_logged_model(model_id, LoggedModelStatus.READY)
        self.client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
        return self.client.create_model_version(
            model.name, f"{MODELS}{model_id}", run_id, tags, description=content.card, model_id=model_id
        ).version

    def _name(self, model: ModelSpec) -> None:
        """Register the name of `model` unless it is."""
        from mlflow.exceptions import MlflowException

        description = (
            f"Reads a handwritten digit. The alias `{ALIAS}` is the best variant of the case {model.run.case}."
        )
        try:
            self.client.create_registered_model(model.name, description=description)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _save(folder: Path, content: "Champion") -> None:
    """Write a model that takes raw digits to `folder`, with its signature, code and requirements."""
    import numpy as np
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    from stages.core import champion

    given = Schema([TensorSpec(np.dtype("uint8"), (-1, *content.example.shape[1:]))])
    answered = Schema([ColSpec("long", "digit"), ColSpec("double", "confidence")])
    with tempfile.TemporaryDirectory() as files:
        for name, data in content.files.items():
            (Path(files) / name).write_bytes(data)
        pyfunc.save_model(
            folder,
            # Its code as a file, not as a pickle.
            python_model=str(CLASSIFIER),
            artifacts={
                "arrays": str(Path(files) / champion.ARRAYS),
                "settings": str(Path(files) / champion.SETTINGS),
            },
            signature=ModelSignature(given, answered),
            input_example=content.example,
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in SERVED_BY],
        )
    (folder / champion.CARD).write_text(content.card, encoding="utf-8")


def _create(file: Path) -> None:
    """Make the SQLite store `file` unless it is there, whole or not at all: MLflow cannot go on with half a schema."""
    partial = file.with_name(f".{file.name}.partial")
    # Of a process that was killed.
    for leftover in (partial, Path(f"{partial}-journal")):
        leftover.unlink(missing_ok=True)
    if file.exists():
        return
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    made = SqlAlchemyStore(  # type: ignore[no-untyped-call]
        f"sqlite:///{partial.absolute()}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    )
    made.engine.dispose()
    # Unlike a renaming, it does not put the new file in the place of one that `mlflow ui` has made meanwhile.
    with suppress(FileExistsError):
        file.hardlink_to(partial)
    partial.unlink()


@contextmanager
def _errors(uri: str) -> Iterator[None]:
    """Say in one line what MLflow, its database or the file system refuses within the block."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        address = _without_password(uri)
        reason = shortened(" ".join(str(error).split()).replace(uri, address))
        raise UserError(f"the MLflow store {address} (MLFLOW_TRACKING_URI): {reason}; {REMEDY}") from None


def _without_password(uri: str) -> str:
    # It is nobody's to read.
    place = urlsplit(uri).netloc
    return uri.replace(place, place.rpartition("@")[2], 1) if place else uri


def _model_id(version: Any) -> str:
    # Of a version that is found by its alias MLflow tells no more.
    return str(version.source).removeprefix(MODELS)


@contextmanager
def _absent_is_none() -> Iterator[None]:
    """End the block where MLflow has not got what it asks for."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        # By an alias that no version has MLflow's database finds an invalid parameter.
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise


def shortened(text: str, length: int = 240) -> str:
    """`text`, cut to `length` characters."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
