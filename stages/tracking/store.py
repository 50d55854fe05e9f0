"""The MLflow store by MLflow's public client: what it holds, and how runs and models are added, tagged and deleted."""

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stages.analysis.results import DataResult
from stages.base import files
from stages.base.errors import UserError, of_output
from stages.tracking import timeout
from stages.tracking.content import DESCRIPTION, STALE, Content
from stages.tracking.expected import ExpectedRun, StoredRun, content_key
from stages.tracking.place import VARIABLE, Place
from stages.tracking.timeout import ExpiredError, Timeout

KEY = "whichfix.key"
CASE = "whichfix.case"
PARENT = "mlflow.parentRunId"
# First in the name of a stale run, because MLflow's lists and charts show no more than the first letters of names.
STALE_NAME = "stale: "
EXPERIMENT = "dvc.experiment"
ALIAS = "champion"
# MLflow's limits for one request are 1000 values, of which 100 may be parameters.
METRICS_PER_BATCH = 900
REMEDY = "the results are complete without it; once it is mended, `dvc repro track` fills it"
REPLACE = "the results are complete without it; move {database} away, and `dvc repro track` makes it anew"
# What is said of a database that is damaged, is none, or is of another version of MLflow.
DAMAGED = re.compile(
    "malformed|not a database|out-of-date database|Can't locate revision|no such (table|column)"
    "|can't decode byte|not decode to UTF-8"
)
# Characters of a cause.
MOST = 400

ENVIRONMENT = {
    # Errors are said in one line, without MLflow's own pages.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow's own 7 retries take minutes to say that a server is away.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    # A server can ask to come back in an hour.
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}


@contextmanager
def one_line(place: Place) -> Iterator[None]:
    """Report in one line if MLflow, its database or the file system fails within the block, or does not answer.

    Raises
    ------
    UserError
        With the cause and the remedy; a password in the URI is left out.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from google.protobuf.json_format import ParseError  # a server answers something else than MLflow would
    from mlflow import set_tracking_uri
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except ExpiredError:
        raise UserError(late(place)) from None
    except (MlflowException, SQLAlchemyError, ParseError, OSError, ImportError, UnicodeDecodeError) as error:
        if of_output(error):
            raise
        reason = place.without_password(cause(error))
        remedy = REPLACE.format(database=place.database) if place.default and DAMAGED.search(reason) else REMEDY
        raise UserError(f"the MLflow store {place.label}: {reason[:MOST]}; {remedy}") from None
    finally:
        set_tracking_uri(None)  # type: ignore[arg-type]  # as before anything was set
        if not place.default:
            os.environ[VARIABLE] = place.uri  # MLflow removed the user's value


def late(place: Place) -> str:
    """Return that the store of `place` did not answer in time, and what to do."""
    return (
        f"the MLflow store {place.label}: no answer for {timeout.seconds():g} s (set {timeout.VARIABLE} to wait "
        f"longer); {REMEDY}"
    )


def cause(error: BaseException) -> str:
    """Return the first cause of `error`, such as a refused connection, in one line; else what `error` says."""
    found: BaseException | None = getattr(error, "orig", None)
    link = error
    while before := link.__cause__ or link.__context__:
        link = before
        if isinstance(link, OSError) or type(link).__module__.startswith("urllib3"):
            found = link
    return " ".join(str(found or error).split()).partition(" [SQL:")[0]


class Store:
    """An open store. `experiments` maps the cases that are open to the ids of their experiments."""

    def __init__(self, place: Place) -> None:
        import sqlalchemy
        from mlflow import MlflowClient, set_tracking_uri

        self.place = place
        self.experiments: dict[str, str] = {}
        if place.database:
            _require_file(place.database)
            if not place.database.exists():
                _create(place)
        self.timeout = Timeout(place.label, late(place))
        if place.uri.startswith(("postgresql", "mysql", "mssql")):
            # MLflow tries for 100 s to reach a database server that is away.
            with self.timeout:
                sqlalchemy.create_engine(place.uri, poolclass=sqlalchemy.NullPool).connect().close()
        # `mlflow.search_runs` and the like use the global URI.
        set_tracking_uri(place.uri)
        with self.timeout:  # MLflow looks at the tables
            client = MlflowClient(place.uri)
        self.client = self.timeout.of(client)

    def open(self, case: str, tags: Mapping[str, str]) -> None:
        """Find or make the experiment of `case`, and give it `tags`, but keep a description, which people edit."""
        tags = {CASE: case, **tags}
        experiment = self.client.get_experiment_by_name(case)
        if experiment is None:
            folder = self.place.artifacts(case)
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
            # A URI, because MLflow decodes a path that holds a %.
            location = folder.as_uri() if folder else None
            self.experiments[case] = self.client.create_experiment(case, location, tags)
            return
        self.experiments[case] = experiment.experiment_id
        if experiment.lifecycle_stage != "active":
            # A deleted experiment keeps its name, so a new one cannot be made.
            self.client.restore_experiment(experiment.experiment_id)
        for name, value in tags.items():
            if experiment.tags.get(name) != value and not (name == DESCRIPTION and name in experiment.tags):
                self.client.set_experiment_tag(experiment.experiment_id, name, value)

    def runs(self) -> list[StoredRun]:
        """Return the runs of whichfix, also those of cases that are no longer in params.yaml."""
        import mlflow

        search = self.timeout.of(mlflow)
        experiments = search.search_experiments(filter_string=f"tags.`{CASE}` LIKE '%'")
        ids = [experiment.experiment_id for experiment in experiments]
        return [
            StoredRun(
                run.info.run_id,
                run.data.tags[KEY],
                run.info.run_name,
                run.info.status == "FINISHED",
                run.info.start_time,
                run.data.tags.get(PARENT),
                STALE in run.data.tags,
                EXPERIMENT in run.data.tags,
            )
            for run in search.search_runs(ids, f"tags.`{KEY}` LIKE '%'", output_format="list")
        ]

    def mark_stale(self, run_id: str, name: str) -> None:
        """Tag a run of an earlier result, and say so in its name."""
        self.client.set_tag(run_id, STALE, "yes")
        self.client.update_run(run_id, name=f"{STALE_NAME}{name}")

    def mark_current(self, run_id: str, name: str) -> None:
        """Take back what `mark_stale` did."""
        self.client.delete_tag(run_id, STALE)
        self.client.update_run(run_id, name=name.removeprefix(STALE_NAME))

    def delete(self, run_id: str) -> None:
        """Delete a run. MLflow keeps it among the deleted ones, where it should not look as if it still ran."""
        if self.client.get_run(run_id).info.status == "RUNNING":
            self.client.set_terminated(run_id, "KILLED")
        self.client.delete_run(run_id)

    def add(self, case: str, name: str, content: Content, tags: Mapping[str, str], data: DataResult, start: int) -> str:
        """Add a run and return its id. The run counts only once it is finished, which is last.

        `data` are the data on which it was trained. `start` is in milliseconds since 1970. The run lasts as long as the
        wall time of `content`.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

        run_id: str = self.client.create_run(self.experiments[case], start, {**tags, **content.tags}, name).info.run_id
        params = [Param(*item) for item in content.params.items()]
        metrics = [Metric(key, value, start, step) for key, value, step in content.metrics]
        self.client.log_batch(run_id, metrics[:METRICS_PER_BATCH], params)
        for first in range(METRICS_PER_BATCH, len(metrics), METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics[first : first + METRICS_PER_BATCH])
        for path, table in content.tables.items():
            self.client.log_table(run_id, table, path)
        if content.artifacts:
            with tempfile.TemporaryDirectory() as folder:
                for path, picture in content.artifacts.items():
                    files.write_bytes(Path(folder, path), picture)
                self.client.log_artifacts(run_id, folder)
        source, profile = json.dumps({"uri": str(files.prepared_path(case))}), json.dumps({"rows": data.rows})
        # MLflow takes 36 characters of a digest.
        dataset = Dataset(case, data.sha256[:36], "local", source, profile=profile)
        self.client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
        self.client.set_terminated(run_id, end_time=start + round(1000 * (content.seconds or 0)))
        return run_id

    def register(self, run: ExpectedRun, run_id: str, save: Callable[[Path], str]) -> str | None:
        """Make the weights of `run` the champion of its case, and return "model <name>, version <number>".

        `run_id` is that of the parent of `run`, which shows the model. None is returned if it is the champion already.
        A version whose run and files are there is used again. If there is none, `save` writes the files of the model to
        a folder and returns the model card.
        """
        # Registered models have one namespace per server, so the name says whose it is.
        name, experiment = f"whichfix-{run.case}", self.experiments[run.case]
        tags = {KEY: content_key("model", run.parent, run.seed)}
        logged = self.client.search_logged_models([experiment], f"tags.`{KEY}` = '{tags[KEY]}'")
        sources = {f"models:/{part.model_id}" for part in logged}
        versions = self.client.search_model_versions(f"name = '{name}'")
        version = next((each for each in versions if each.run_id == run_id and each.source in sources), None)
        registered = self.client.search_registered_models(f"name = '{name}'")
        if version and str(registered[0].aliases.get(ALIAS)) == str(version.version):
            return None
        if not registered:
            about = (
                f"The best variant of the case {run.case} has the alias `{ALIAS}`. "
                "The description of a version says what it reads, what it answers and where it fails."
            )
            self.client.create_registered_model(name, description=about)
        if version is None:
            for leftover in logged:
                self.client.delete_logged_model(leftover.model_id)
            # MLflow refuses a dot in the name of a model.
            model_id, card = self._log_model(experiment, run.name.replace(".", "_"), run_id, tags, save)
            source = f"models:/{model_id}"
            version = self.client.create_model_version(name, source, run_id, tags, description=card, model_id=model_id)
        self.client.set_registered_model_alias(name, ALIAS, version.version)
        return f"model {name}, version {version.version}"

    def _log_model(
        self, experiment: str, name: str, run_id: str, tags: dict[str, str], save: Callable[[Path], str]
    ) -> tuple[str, str]:
        """Log a model as an output of a run, and return its id and its card."""
        from mlflow.entities import LoggedModelOutput

        model_id: str = self.client.create_logged_model(experiment, name, run_id, tags).model_id
        with tempfile.TemporaryDirectory() as folder:
            card = save(Path(folder, "model"))
            self.client.log_model_artifacts(model_id, f"{folder}/model")
        self.client.finalize_logged_model(model_id, "READY")
        self.client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
        return model_id, card


def _require_file(database: Path) -> None:
    """Refuse what stands in the place of a database and is no file."""
    kind = "a folder" if database.is_dir() else "a link to nothing" if database.is_symlink() else "no file"
    if not database.is_file() and (database.exists() or database.is_symlink()):
        raise UserError(
            f"{database}: {kind}; expected MLflow's database; move it away, and `dvc repro track` makes the database"
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
