"""Brings a store up to date with the results of DVC."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from stages.analysis.results import BaselineResult, CaseResult, VariantResult
from stages.base import console, files
from stages.config import load
from stages.config.data import OwnData
from stages.config.network import Network
from stages.data import prepared
from stages.tracking import champion, content, expected, fixes, views
from stages.tracking.content import Content
from stages.tracking.expected import Changes, ExpectedRun
from stages.tracking.moved import displaced, rebuild
from stages.tracking.place import Place
from stages.tracking.store import EXPERIMENT, KEY, PARENT, Store
from stages.training import runs

if TYPE_CHECKING:
    import pandas as pd

# track.pictures
Draw = Callable[[CaseResult, VariantResult | BaselineResult | str, "pd.DataFrame"], dict[str, bytes]]

CARDS = Path(__file__).parent / "cards"
EXAMPLES = 3
STAGES = {"variant": "train", "seed": "train", "baseline": "baseline", "case table": "evaluate"}


class Reader:
    """The files of one case, each read when a run or a model needs it."""

    def __init__(self, result: CaseResult, draw: Draw) -> None:
        self.result, self.draw = result, draw

    @cached_property
    def curves(self) -> "pd.DataFrame":
        """The table reports/curves/<case>.csv."""
        return files.read_csv(files.CURVES / f"{self.result.case}.csv")

    @cached_property
    def seconds(self) -> dict[str, dict[int, float]]:
        """The wall times in runs.log by folder and seed; none for runs that came from DVC's cache."""
        seconds: dict[str, dict[int, float]] = {}
        for entry in runs.logged(self.result.case):
            seconds.setdefault(entry["folder"], {})[entry["seed"]] = entry["seconds"]
        return seconds

    def content(self, run: ExpectedRun) -> Content:
        """Return the content of `run`."""
        result = self.result
        if run.kind == "case table":
            return fixes.fixes_content(result, run.keras, self.draw(result, run.keras, self.curves))
        if run.kind == "baseline":
            baseline = next(baseline for baseline in result.baselines if baseline.name == run.name)
            return content.baseline_content(result, baseline, self.draw(result, baseline, self.curves))
        variant = result.labelled(run.name)
        seconds = self.seconds.get(variant.folder, {})
        if run.seed is not None:
            run_file = runs.read(files.run_path(run.case, variant.folder, run.seed))
            return content.seed_content(result, variant, run_file, seconds)
        curves = self.curves[self.curves["variant"] == run.name]
        return content.variant_content(result, variant, curves, seconds, self.draw(result, variant, curves))

    def save_model(self, run: ExpectedRun, folder: Path) -> str:
        """Write a model with the weights of the run of a seed to `folder`, and return its card."""
        assert run.seed is not None
        variant = self.result.labelled(run.name)
        stored = runs.read(files.run_path(run.case, variant.folder, run.seed))
        network = Network.model_validate(stored.facts["network"])
        _, source = load.read_data(run.case)
        own = isinstance(source, OwnData)
        data = prepared.read(files.prepared_path(run.case))
        # Own data stay on this machine, so that a model of them has no example.
        examples = None if own else files.read_archive(files.RAW_MNIST)["x_test"][:EXAMPLES]
        template = files.read_bytes(CARDS / ("own_card.md" if own else "model_card.md")).decode()
        model = champion.own_model(network, data, stored.weights)
        if not isinstance(source, OwnData):
            model = champion.digit_model(model, network, source)
        trained = champion.trained_on(data.x["train"]) if own else champion.PIXELS
        inputs = {"dtype": model.input_dtype, "shape": model.input_shape[1:], **trained}
        card = champion.model_card(template, self.result, variant, run.seed, inputs)
        champion.save(folder, model, trained, examples, card)
        return card


def provenance(experiment: str | None) -> dict[str, str]:
    """Return the tags that say which commit and which DVC experiment the results are of."""
    tags = {"mlflow.source.type": "LOCAL"} | ({EXPERIMENT: experiment} if experiment else {})
    # Without git, a repository or a commit there is no tag.
    with suppress(OSError, subprocess.CalledProcessError):
        command = ["git", "rev-parse", "--verify", "HEAD"]
        commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        tags["mlflow.source.git.commit"] = commit
    return tags


def add_runs(store: Store, changes: Changes, readers: Mapping[str, Reader], experiment: str | None) -> None:
    """Add the runs that `store` lacks, and their ids to those of `changes`."""
    # MLflow lists the newest run first, so the first of params.yaml starts last.
    start = round(1000 * time.time()) + len(changes.missing)
    shared = provenance(experiment)
    with console.bar("MLflow", len(changes.missing)) as progress:
        for number, run in enumerate(changes.missing):
            reader, stage = readers[run.case], STAGES[run.kind]
            tags = shared | {"dvc.stage": f"{stage}@{run.case}", "mlflow.source.name": f"stages/{stage}.py"}
            tags |= {KEY: run.key, "kind": run.kind} | ({PARENT: changes.ids[run.parent]} if run.parent else {})
            own, data = reader.content(run), reader.result.data
            changes.ids[run.key] = store.add(run.case, run.title(experiment), own, tags, data, start - number)
            progress.advance()


def fill(place: Place, results: Mapping[str, CaseResult], draw: Draw) -> tuple[dict[str, str], bool]:
    """Bring the store at `place` up to date with `results`, and say what changed.

    Returns
    -------
    experiments, added
        The ids of the experiments by case, and whether a run was added.
    """
    experiment = os.environ.get("DVC_EXP_NAME")
    store = Store(place)
    if place.default and (folder := displaced(store, results.keys())):
        store = rebuild(store, results.keys())
        console.say(f"MLflow: the artifacts were expected in {folder} (moved or deleted?); the store is made anew here")
    for case, result in results.items():
        store.open(case, views.experiment_tags(result))
    readers = {case: Reader(result, draw) for case, result in results.items()}
    wanted = [run for result in results.values() for run in expected.expected_runs(result)]
    changes = expected.changes(wanted, store.runs())
    for run_id in changes.surplus:
        store.delete(run_id)
    add_runs(store, changes, readers, experiment)
    for run_id, name in changes.current.items():
        store.mark_current(run_id, name)
    lines = [] if experiment else replace_earlier(store, changes, readers, wanted)
    for line in [*summary(changes, experiment), *lines] or ["MLflow store is up to date"]:
        console.say(line)
    return store.experiments, bool(changes.missing)


def replace_earlier(
    store: Store, changes: Changes, readers: Mapping[str, Reader], wanted: Sequence[ExpectedRun]
) -> list[str]:
    """Tag the runs of earlier results as stale, register the champions, and return a line about each new champion.

    A DVC experiment leaves this out, because its results stand beside those of the project.
    """
    for run_id, name in changes.stale.items():
        store.mark_stale(run_id, name)
    lines = []
    for case, reader in readers.items():
        best = expected.best_run(reader.result, wanted)
        if best and best.parent:
            version = store.register(best, changes.ids[best.parent], partial(reader.save_model, best))
            if version:
                lines.append(f"MLflow: {version}, is the champion of {case}: {best.name} with seed {best.seed}")
    return lines


def summary(changes: Changes, experiment: str | None) -> list[str]:
    """Return what was changed, in a line, or no line; a second line says how to find stale runs."""
    children = sum(run.parent is not None for run in changes.missing)
    counts = {
        "runs added": len(changes.missing) - children,
        "child runs added": children,
        "unfinished or duplicate runs deleted": len(changes.surplus),
        "runs tagged as stale": 0 if experiment else len(changes.stale),
        "runs no longer stale": len(changes.current),
    }
    parts = [f"{count} {name if count > 1 else name.replace('runs', 'run')}" for name, count in counts.items() if count]
    lines = [f"MLflow: {', '.join(parts)}"] if parts else []
    if counts["runs tagged as stale"]:
        lines.append(f"MLflow: to see the stale runs, search for {views.EARLIER}")
    return lines
