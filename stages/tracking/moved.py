"""A store whose clone was moved or copied: MLflow stores absolute paths and would go on writing to the old folder."""

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from stages.base.errors import UserError
from stages.tracking.place import ARTIFACTS, DATABASE, aside
from stages.tracking.store import CASE, KEY, Store

# mlflow.entities.ViewType
ALL = 3


def displaced(store: Store, cases: Collection[str]) -> Path | None:
    """Return where the artifacts of a case should be if that is not beside the database, or if they are gone."""
    for experiment in own_experiments(cases):
        folder = Path(unquote(urlsplit(experiment.artifact_location).path))
        beside = store.place.artifacts(experiment.name)
        if beside and (folder.resolve() != beside.resolve() or not folder.is_dir()):
            return folder
    return None


def own_experiments(cases: Collection[str]) -> list[Any]:
    """Return the experiments of whichfix, deleted ones among them."""
    import mlflow

    return [each for each in mlflow.search_experiments(ALL) if each.name in cases or CASE in each.tags]


def rebuild(store: Store, cases: Collection[str]) -> Store:
    """Delete the database and the artifacts of whichfix, and return a store with a new database.

    Raises
    ------
    UserError
        If the store holds something that whichfix did not put there.
    """
    import mlflow

    database, own = store.place.database, [experiment.name for experiment in own_experiments(cases)]
    assert database is not None
    experiments = {experiment.name: experiment.experiment_id for experiment in mlflow.search_experiments(ALL)}
    foreign = [name for name in experiments if name not in (*own, "Default")]
    runs = mlflow.search_runs([*experiments.values()], "", ALL, output_format="list")
    foreign += [f"run {run.info.run_name}" for run in runs if KEY not in run.data.tags]
    models = [model.name for model in mlflow.search_registered_models()]
    foreign += [f"model {name}" for name in models if not name.startswith("whichfix-")]
    if foreign:
        raise UserError(
            f"{database} was moved here or lost its artifacts, and holds more than the results of whichfix "
            f"({foreign[0]}); move it back, or run `{aside(database)} && dvc repro track`, which makes "
            "another one"
        )
    for name in own:
        shutil.rmtree(database.parent / ARTIFACTS / name, ignore_errors=True)
    database.unlink()
    # Under another spelling, because MLflow keeps its connection to the deleted file.
    return Store(replace(store.place, uri=store.place.uri.removesuffix(DATABASE) + f"./{DATABASE}"))
