"""The MLflow store by MLflow's public client: what it holds, and how runs and models are added, tagged and deleted."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.base.errors import UserError
from stages.tracking.champion import Champion
from stages.tracking.content import Content
from stages.tracking.expected import ExpectedModel, StoredRun
from stages.tracking.place import VARIABLE, Place

KEY = "whichfix.key"
STALE = "whichfix.stale"
CASE = "whichfix.case"
PARENT = "mlflow.parentRunId"
EXPERIMENT = "dvc.experiment"
ALIAS = "champion"
# mlflow.entities.ViewType
ACTIVE, ALL = 1, 3
# MLflow's limit for one request.
METRICS_PER_BATCH = 1000
REMEDY = "the results are complete without it; once it is mended, `dvc repro track` fills it"

ENVIRONMENT = {
    # Errors are said in one line, without MLflow's own pages.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow's own 7 retries take minutes to say that a server is away.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}


@contextmanager
def one_line(place: Place) -> Iterator[None]:
    """Say in one line what MLflow, its database or the file system refuses within the block.

    Raises
    ------
    UserError
        With the reason and the remedy; a password in the URI is left out.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import set_tracking_uri
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        reason = place.without_password(" ".join(str(error).split())).partition(" [SQL:")[0]
        raise UserError(f"the MLflow store {place.label}: {reason[:240]}; {REMEDY}") from None
    finally:
        set_tracking_uri(None)  # type: ignore[arg-type]  # as before anything was set
        if not place.default:
            os.environ[VARIABLE] = place.uri  # MLflow removed the user's value


class Store:
    """An open store. `experiments` maps the cases that are open to the ids of their experiments."""

    def __init__(self, place: Place) -> None:
        import sqlalchemy
        from mlflow import MlflowClient, set_tracking_uri

        self.place = place
        self.experiments: dict[str, str] = {}
        if place.database and not place.database.exists():
            _create(place)
        if place.uri.startswith(("postgresql", "mysql", "mssql")):
            # MLflow tries for 100 s to reach a database server that is away.
            sqlalchemy.create_engine(place.uri, poolclass=sqlalchemy.NullPool).connect().close()
        # MLflow asks for its global URI here and there, and would make a folder of that name.
        set_tracking_uri(place.uri)
        self.client = MlflowClient(place.uri)

    def open(self, case: str, tags: Mapping[str, str]) -> None:
        """Find or make the experiment of `case`, and give it those of `tags` that it lacks."""
        tags = {CASE: case, **tags}
        experiment = self.client.get_experiment_by_name(case)
        if experiment is None:
            folder = self.place.artifacts(case)
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
            # A URI, because MLflow decodes a path that holds a %.
            self.experiments[case] = self.client.create_experiment(
                case, folder.as_uri() if folder else None, dict(tags)
            )
            return
        self.experiments[case] = experiment.experiment_id
        if experiment.lifecycle_stage != "active":
            # A deleted experiment keeps its name, so a new one cannot be made.
            self.client.restore_experiment(experiment.experiment_id)
        for name, value in tags.items():
            if name not in experiment.tags:
                self.client.set_experiment_tag(experiment.experiment_id, name, value)

    def runs(self) -> list[StoredRun]:
        """Return the runs of whichfix, in open experiments and in those of cases that are no more."""
        ids = {experiment.experiment_id for experiment in self.all_experiments() if CASE in experiment.tags}
        runs = self.search(sorted(ids | set(self.experiments.values())), f"tags.`{KEY}` LIKE '%'")
        return [
            StoredRun(
                run.info.run_id,
                run.data.tags[KEY],
                run.info.status == "FINISHED",
                run.info.start_time,
                run.data.tags.get(PARENT),
                STALE in run.data.tags,
                EXPERIMENT in run.data.tags,
            )
            for run in runs
        ]

    def all_experiments(self, view_type: int = ACTIVE) -> list[Any]:
        """Return all experiments of the store."""
        return all_pages(lambda token: self.client.search_experiments(view_type=view_type, page_token=token))

    def search(self, experiments: list[str], query: str, view_type: int = ACTIVE) -> list[Any]:
        """Return the runs in `experiments` that match a query of MLflow."""
        return all_pages(lambda token: self.client.search_runs(experiments, query, view_type, page_token=token))

    def delete(self, run_id: str) -> None:
        """Delete a run. MLflow keeps it among the deleted ones, where it should not look as if it still ran."""
        if self.client.get_run(run_id).info.status == "RUNNING":
            self.client.set_terminated(run_id, "KILLED")
        self.client.delete_run(run_id)

    @contextmanager
    def add(self, case: str, name: str, content: Content, tags: Mapping[str, str], start: int) -> Iterator[str]:
        """Make a run and give its id. The run is finished when the block ends, and counts only then.

        `start` is in milliseconds since 1970. The run lasts as long as the wall time of `content`.
        """
        from mlflow.entities import Metric, Param

        run_id: str = self.client.create_run(self.experiments[case], start, dict(tags), name).info.run_id
        self.client.log_batch(run_id, params=[Param(*item) for item in content.params.items()])
        metrics = [Metric(key, value, start, step) for key, value, step in content.metrics]
        for first in range(0, len(metrics), METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics=metrics[first : first + METRICS_PER_BATCH])
        for path, table in content.tables.items():
            self.client.log_table(run_id, dict(table), path)
        if content.artifacts:
            with tempfile.TemporaryDirectory() as folder:
                for path, data in content.artifacts.items():
                    file = Path(folder, path)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(data)
                self.client.log_artifacts(run_id, folder)
        yield run_id
        self.client.set_terminated(run_id, end_time=start + round(1000 * (content.seconds or 0)))

    def log_dataset(self, run_id: str, name: str, path: str, sha256: str, rows: Mapping[str, int]) -> None:
        """Say which data a run was trained on."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        # MLflow takes 36 characters of a digest.
        data = Dataset(name, sha256[:36], "local", json.dumps({"uri": path}), profile=json.dumps({"rows": dict(rows)}))
        self.client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])

    def has_champion(self, model: ExpectedModel) -> bool:
        """Return whether `model` is the champion of its case, and its run and its files are there."""
        from mlflow.exceptions import MlflowException

        try:
            version = self.client.get_model_version_by_alias(model.name, ALIAS)
        except MlflowException as error:
            # For an alias without a version MLflow's database says that the parameter is invalid.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return False
            raise
        return bool(version.tags.get(KEY) == model.key and self._is_whole(version))

    def _is_whole(self, version: Any) -> bool:
        """Return whether the run and the logged model of a version are there."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_logged_model(version.source.removeprefix("models:/"))
            return bool(self.client.get_run(version.run_id).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def register(self, model: ExpectedModel, run_id: str, champion: Champion) -> str:
        """Make `model`, of the run `run_id`, the champion of its case, and return the number of its version.

        A version with its key is used again.
        """
        if not self.client.search_registered_models(f"name = '{model.name}'"):
            case = model.variant.case
            about = f"Reads a handwritten digit. The alias `{ALIAS}` is the best variant of the case {case}."
            self.client.create_registered_model(model.name, description=about)
        versions = self.client.search_model_versions(f"name = '{model.name}'")
        own = (version for version in versions if version.tags.get(KEY) == model.key and self._is_whole(version))
        version = next(own, None) or self._add_version(model, run_id, champion)
        self.client.set_registered_model_alias(model.name, ALIAS, version.version)
        return str(version.version)

    def _add_version(self, model: ExpectedModel, run_id: str, champion: Champion) -> Any:
        from mlflow.entities import LoggedModelOutput

        experiment, tags = self.experiments[model.variant.case], {KEY: model.key}
        for leftover in self.client.search_logged_models([experiment], f"tags.`{KEY}` = '{model.key}'"):
            self.client.delete_logged_model(leftover.model_id)
        model_id = self.client.create_logged_model(experiment, model.variant.name, run_id, tags).model_id
        with tempfile.TemporaryDirectory() as folder:
            champion.save(Path(folder, "model"))
            self.client.log_model_artifacts(model_id, f"{folder}/model")
        self.client.finalize_logged_model(model_id, "READY")
        self.client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
        source = f"models:/{model_id}"
        return self.client.create_model_version(
            model.name, source, run_id, tags, description=champion.card, model_id=model_id
        )


def _create(place: Place) -> None:
    """Make the SQLite database of `place`, whole or not at all: MLflow cannot go on with half of its tables."""
    from mlflow import MlflowClient

    assert place.database is not None
    new = place.database.with_name(f".{place.database.name}.new")
    for leftover in (new, Path(f"{new}-journal")):
        leftover.unlink(missing_ok=True)
    folder, slash, _ = place.uri.partition("?")[0].rpartition("/")
    MlflowClient(f"{folder}{slash}{new.name}").search_experiments()
    if place.database.exists():  # `mlflow ui` made it meanwhile
        new.unlink()
    else:
        new.rename(place.database)


def all_pages(search: Any) -> list[Any]:
    """Return all results of a search that answers page by page."""
    page = search(None)
    found = list(page)
    while page.token:
        page = search(page.token)
        found += page
    return found
