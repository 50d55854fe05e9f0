"""A store whose clone was moved or copied: MLflow stores absolute paths and would go on writing to the old folder."""

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stages.base.errors import UserError
from stages.tracking.place import DATABASE
from stages.tracking.store import ALL, CASE, KEY, Store, all_pages


def displaced(store: Store, cases: Collection[str]) -> str | None:
    """Return where the artifacts of a case should be if that is not beside the database, or if they are gone."""
    for experiment in store.all_experiments(ALL):
        folder = store.place.artifacts(experiment.name)
        if folder and (experiment.name in cases or CASE in experiment.tags):
            location = Path(unquote(urlsplit(experiment.artifact_location).path))
            if location.resolve() != folder.resolve() or not location.is_dir():
                return str(location)
    return None


def rebuild(store: Store, cases: Collection[str]) -> Store:
    """Delete the database and the artifacts of whichfix, and return a store with a new database.

    Raises
    ------
    UserError
        If the store holds something that whichfix did not put there.
    """
    database, experiments = store.place.database, store.all_experiments(ALL)
    assert database is not None
    own = [experiment for experiment in experiments if experiment.name in cases or CASE in experiment.tags]
    foreign = [experiment.name for experiment in experiments if experiment not in own and experiment.name != "Default"]
    runs = store.search([experiment.experiment_id for experiment in experiments], "", ALL)
    foreign += [f"run {run.info.run_name}" for run in runs if KEY not in run.data.tags]
    models = all_pages(lambda token: store.client.search_registered_models(page_token=token))
    foreign += [f"model {model.name}" for model in models if not model.name.startswith("whichfix-")]
    if foreign:
        raise UserError(
            f"{database} was moved here or lost its artifacts, and holds more than the results of whichfix "
            f"({foreign[0]}); move it back, or move it away so that `dvc repro track` makes it anew"
        )
    for experiment in own:
        folder = store.place.artifacts(experiment.name)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    database.unlink()
    # Under another spelling, because MLflow keeps its connection to the deleted file.
    return Store(replace(store.place, uri=store.place.uri.removesuffix(DATABASE) + f"./{DATABASE}"))
