"""Brings a store up to date with the results of DVC."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from stages.analysis.results import BaselineResult, CaseResult, VariantResult
from stages.base import console, files
from stages.config import load
from stages.config.network import Network
from stages.tracking import content, expected, moved
from stages.tracking.champion import Champion, model_card
from stages.tracking.content import Content
from stages.tracking.expected import Changes, ExpectedModel, ExpectedRun
from stages.tracking.place import Place
from stages.tracking.store import EXPERIMENT, KEY, PARENT, STALE, Store
from stages.training import runs

# track.pictures
Draw = Callable[[CaseResult, VariantResult | BaselineResult | None, pd.DataFrame], dict[str, bytes]]

RUNS_LOG = Path("runs.log")
EXAMPLES = 3
STAGES = {"variant": "train", "seed": "train", "baseline": "baseline", "fixes": "evaluate"}


def dvc_experiment() -> str | None:
    """Return the name of the DVC experiment that is running, None outside of one."""
    return os.environ.get("DVC_EXP_NAME")


class CaseContents:
    """The contents of the runs of one case, from its files."""

    def __init__(self, result: CaseResult, draw: Draw) -> None:
        self.result, self.draw = result, draw
        self.curves = files.read_csv(files.CURVES / f"{result.case}.csv")
        self.baselines = {baseline.name: baseline for baseline in result.baselines}
        self.seconds = read_seconds(result.case)

    def of(self, run: ExpectedRun) -> Content:
        """Return the content of `run`."""
        if run.kind == "fixes":
            return content.fixes_content(self.result, self.draw(self.result, None, self.curves))
        if run.kind == "baseline":
            baseline = self.baselines[run.name]
            return content.baseline_content(self.result, baseline, self.draw(self.result, baseline, self.curves))
        variant = self.result.variant(run.name)
        seconds = {seed: value for (folder, seed), value in self.seconds.items() if folder == variant.folder}
        if run.seed is not None:
            run_file = runs.read(files.run_path(run.case, variant.folder, run.seed))
            return content.seed_content(self.result, variant, run_file, seconds)
        curves = self.curves[self.curves["variant"] == run.name]
        pictures = self.draw(self.result, variant, curves)
        return content.variant_content(self.result, variant, curves, seconds, pictures)


def read_seconds(case: str) -> dict[tuple[str, int], float]:
    """Return the wall times in runs.log by folder and seed; none for runs that came from DVC's cache."""
    seconds: dict[tuple[str, int], float] = {}
    for line in RUNS_LOG.read_text(encoding="utf-8").splitlines() if RUNS_LOG.is_file() else ():
        # A killed `train` may leave half a line.
        with suppress(ValueError, LookupError, TypeError):
            row = json.loads(line)
            if row["case"] == case:
                seconds[row["folder"], int(row["seed"])] = float(row["seconds"])
    return seconds


def provenance() -> dict[str, str]:
    """Return the tags that say which commit and which DVC experiment the results are of."""
    tags = {"mlflow.source.type": "LOCAL"}
    if commit := _git("rev-parse", "--verify", "HEAD"):
        tags["mlflow.source.git.commit"] = commit
    if experiment := dvc_experiment():
        tags[EXPERIMENT] = experiment
    return tags


def _git(*arguments: str) -> str | None:
    """Return what git prints, None without git, without a repository, or without a commit."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def run_name(run: ExpectedRun) -> str:
    """Return the name of a run in MLflow."""
    experiment = dvc_experiment()
    name = f"{run.name} ({experiment})" if experiment else run.name
    return name if run.seed is None else f"seed {run.seed} of {name}"


def run_tags(run: ExpectedRun, parent_id: str | None) -> dict[str, str]:
    """Return the tags by which a run is found, and the stage of DVC that made its results."""
    stage = STAGES[run.kind]
    tags = {
        KEY: run.key,
        "kind": run.kind,
        "dvc.stage": f"{stage}@{run.case}",
        "mlflow.source.name": f"stages/{stage}.py",
    }
    return tags if parent_id is None else tags | {PARENT: parent_id}


def add_runs(store: Store, changes: Changes, cases: Mapping[str, CaseContents]) -> None:
    """Add the runs that are missing in `store`."""
    count = sum(1 + len(run.children) for run in changes.missing) + len(changes.children)
    # MLflow lists the newest run first, so the first of params.yaml starts last.
    start = round(1000 * time.time()) + count
    shared = provenance()

    def add(run: ExpectedRun, parent_id: str | None, contents: Mapping[str, Content]) -> None:
        nonlocal start
        start -= 1
        own = contents[run.key]
        tags = shared | run_tags(run, parent_id) | own.tags
        if own.description:
            tags["mlflow.note.content"] = own.description
        data = cases[run.case].result.data
        with store.add(run.case, run_name(run), own, tags, start) as run_id:
            store.log_dataset(run_id, run.case, str(files.prepared_path(run.case)), data.sha256, data.rows)
            for child in run.children:
                add(child, run_id, contents)
        progress.advance()

    with console.bar("MLflow", count) as progress:
        for parent_id, run in [*changes.children, *((None, run) for run in changes.missing)]:
            # All files are read before a run is made, so a damaged one leaves no half of a run.
            add(run, parent_id, {part.key: cases[run.case].of(part) for part in (run, *run.children)})


def read_champion(result: CaseResult, model: ExpectedModel) -> Champion:
    """Return what is registered as `model`."""
    variant = result.variant(model.variant.name)
    run = runs.read(files.run_path(result.case, variant.folder, model.seed))
    examples = files.read_archive(files.RAW_MNIST)["x_test"][:EXAMPLES]
    card = model_card(result, variant, model.seed)
    network = Network.model_validate(variant.network)
    return Champion(network, load.read_data(result.case), run.weights, examples, card)


def register_champions(
    store: Store, models: Mapping[str, ExpectedModel], results: Mapping[str, CaseResult]
) -> list[str]:
    """Register the champion of each case where it is not registered yet, and return a line about each."""
    missing = {case: model for case, model in models.items() if not store.has_champion(model)}
    if not missing:
        return []
    run_ids = {run.key: run.run_id for run in store.runs() if run.finished}
    lines = []
    for case, model in missing.items():
        version = store.register(model, run_ids[model.variant.key], read_champion(results[case], model))
        chosen = f"{model.variant.name} with seed {model.seed}"
        lines.append(f"MLflow: model {model.name}, version {version}, is the champion of {case}: {chosen}")
    return lines


def fill(
    place: Place, results: Mapping[str, CaseResult], views: Mapping[str, Mapping[str, Any]], draw: Draw
) -> tuple[dict[str, str], bool]:
    """Bring the store at `place` up to date with `results`, and say what changed.

    Returns
    -------
    experiments, added
        The ids of the experiments by case, and whether a run was added.
    """
    store = Store(place)
    if place.default and (folder := moved.displaced(store, results.keys())):
        store = moved.rebuild(store, results.keys())
        console.say(f"MLflow: the artifacts were expected in {folder} (moved or deleted?); the store is made anew here")
    for case, result in results.items():
        store.open(case, content.experiment_tags(result, views))
    runs_of = {case: expected.expected_runs(result) for case, result in results.items()}
    wanted = [run for of_case in runs_of.values() for run in of_case]
    changes = expected.changes(wanted, store.runs())
    for run_id in changes.surplus:
        store.delete(run_id)
    touched = {run.case for run in (*changes.missing, *(child for _, child in changes.children))}
    add_runs(store, changes, {case: CaseContents(results[case], draw) for case in results if case in touched})
    for run_id in changes.current:
        store.client.delete_tag(run_id, STALE)
    lines = []
    # The results of a DVC experiment stand beside those of the project, and do not replace them.
    if dvc_experiment() is None:
        for run_id in changes.stale:
            store.client.set_tag(run_id, STALE, "yes")
        models = {case: expected.expected_model(results[case], runs_of[case]) for case in results}
        lines = register_champions(store, {case: model for case, model in models.items() if model}, results)
    for line in [*summary(changes), *lines] or ["MLflow store is up to date"]:
        console.say(line)
    return store.experiments, bool(touched)


def summary(changes: Changes) -> list[str]:
    """Return what was changed, in a line, or no line."""
    counts = {
        "runs added": len(changes.missing),
        "child runs added": len(changes.children) + sum(len(run.children) for run in changes.missing),
        "unfinished or duplicate runs deleted": len(changes.surplus),
        "runs tagged as stale": 0 if dvc_experiment() else len(changes.stale),
        "runs no longer stale": len(changes.current),
    }
    parts = [f"{count} {name if count > 1 else name.replace('runs', 'run')}" for name, count in counts.items() if count]
    return [f"MLflow: {', '.join(parts)}"] if parts else []
