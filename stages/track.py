"""Results -> MLflow: adds the runs and models that the store lacks, and changes none that it holds.

The default store is mlflow.db, which a bare `mlflow ui` beside it shows; MLFLOW_TRACKING_URI names another.
`dvc repro` runs this stage every time, since DVC cannot see the store: so it takes a cheap look first, and imports
MLflow and all that draws only when something is missing.
"""

import contextlib
import csv
import getpass
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import errors, locked, store, tracking
from stages.core.tracking import Changes, ModelSpec, RunSpec, Stage

if TYPE_CHECKING:
    import numpy as np

    from stages.core.champion import Champion
    from stages.core.params import Case, VariantConfig
    from stages.core.run_content import Content

PACKAGES = ("dvc", "keras", "mlflow", "numpy", "pandas", "scikit-learn", "scipy", "tensorflow")
REPORT = "reports/index.html"

# Digits that a model carries as its input example.
EXAMPLES = 3


def read_specs() -> tuple[dict[str, Stage], list[RunSpec], list[ModelSpec]]:
    """The stages of dvc.lock, and the runs and models that DVC's results amount to.

    An experiment of DVC gives no model: the champions are those of the results that the repository keeps.
    """
    stages = tracking.locked_stages(locked.stages())
    configs = {path.stem: _json(path) for path in Path("configs").glob("*.json")}
    metrics = _json("reports/metrics.json")
    references = list(csv.DictReader(_text("reports/references.csv").splitlines()))
    specs = tracking.run_specs(stages, configs, metrics, references)
    return stages, specs, [] if experiment_name() else tracking.model_specs(specs, metrics)


def experiment_name() -> str | None:
    """The name of the DVC experiment that this is part of; None where it is of none."""
    return os.environ.get("DVC_EXP_NAME")


# stages.core.files would do, but that it imports NumPy.
def _text(path: Path | str) -> str:
    return locked.read(Path(path)).decode()


def _json(path: Path | str) -> Any:
    content = locked.read(Path(path))
    with locked.parsing(Path(path), "JSON"):
        return json.loads(content)


class Results:
    """DVC's results, as the contents of runs."""

    def __init__(self) -> None:
        from stages.core import params

        self.parameters = params.load()
        self.metrics: dict[str, Any] = _json("reports/metrics.json")

    def content(self, spec: RunSpec) -> "Content":
        """What the run of `spec` shows."""
        makers: dict[str, Callable[[RunSpec, Case], Content]] = {
            "variant": self._variant,
            "seed": self._seed,
            "baseline": self._baseline,
            "probe": self._probe,
            "attribution": self._attribution,
            "references": self._references,
        }
        return makers[spec.kind](spec, self.parameters.cases[spec.case])

    def contents(self, spec: RunSpec) -> "dict[str, Content]":
        """The `content` of a run and of its children, by key: all read before any is written."""
        return {one.key: self.content(one) for one in (spec, *spec.children)}

    def model(self, spec: ModelSpec) -> "Champion":
        """What is registered of the model of `spec`."""
        from stages.core import champion, files, inputs

        name, case = spec.run.name, spec.run.case
        config = _config(name)
        facts = champion.Facts(
            config,
            spec.seed,
            self.parameters.cases[case],
            self.metrics[name],
            _counts(name),
            _json("reports/digests.json")[case],
            sum(variant.case == case for variant in self.parameters.variants.values()),
        )
        weights = files.read_safetensors(Path(f"runs/{name}/weights.safetensors"))
        example = inputs.read_raw()["x_test"][:EXAMPLES]
        return champion.Champion(champion.package(config, spec.seed, weights), example, champion.card(facts))

    def order(self, spec: RunSpec) -> tuple[str, int]:
        """Sorts runs as params.yaml lists them: within a case its variants, its baselines, and the rest."""
        names = [*self.parameters.variants]
        names += [f"{name}-{model}" for name, case in self.parameters.cases.items() for model in case.baselines]
        return spec.case, names.index(spec.name) if spec.name in names else len(names)

    def _variant(self, spec: RunSpec, case: "Case") -> "Content":
        from stages.core import files, run_content

        curves = files.read_csv(Path(f"reports/curves/{spec.case}.csv"))
        return run_content.variant(
            _config(spec.name),
            case,
            self.metrics[spec.name],
            curves[curves["variant"] == spec.name],
            _counts(spec.name),
            _seconds(spec.name),
        )

    def _seed(self, spec: RunSpec, case: "Case") -> "Content":
        from stages.core import files, run_content

        assert spec.seed is not None
        history, final = (files.read_csv(Path(f"runs/{spec.name}/{name}.csv")) for name in ("history", "final"))
        return run_content.seed(
            _config(spec.name), case, spec.seed, self.metrics[spec.name], history, final, _seconds(spec.name)
        )

    def _baseline(self, spec: RunSpec, case: "Case") -> "Content":
        from stages.core import run_content

        model = spec.name.removeprefix(f"{spec.case}-")
        return run_content.baseline(spec.case, model, case, self.metrics[spec.name], _counts(spec.name))

    def _probe(self, spec: RunSpec, case: "Case") -> "Content":
        from stages.core import files, run_content

        return run_content.probe(spec.case, case, files.read_csv(Path("probe/probe.csv")))

    def _attribution(self, spec: RunSpec, case: "Case") -> "Content":
        from stages.core import files, run_content

        folder = Path("attribution") / spec.case
        return run_content.attribution(
            spec.case, case, files.read_csv(folder / "cells.csv"), files.read_json(folder / "effects.json")
        )

    def _references(self, spec: RunSpec, case: "Case") -> "Content":
        from stages.core import files, run_content

        table = files.read_csv(Path("reports/references.csv"))
        return run_content.references(spec.case, case, table[table["case"] == spec.case])


def _config(variant: str) -> "VariantConfig":
    from stages.core import inputs

    return inputs.read_variant(variant)


def _counts(name: str) -> "np.ndarray":
    from stages.core import files

    return files.read_csv(Path(f"reports/confusion/{name}.csv")).pivot_table("count", "actual", "predicted").to_numpy()


def _seconds(variant: str) -> dict[str, float]:
    """Wall time by seed; none where the results came from DVC's cache."""
    file = Path(f"timings/{variant}.json")
    seconds: dict[str, float] = _json(file) if file.is_file() else {}
    return seconds


def provenance() -> dict[str, str]:
    """The tags that say where and with what the runs were tracked."""
    tags = {f"version.{package}": metadata.version(package) for package in PACKAGES}
    tags["version.python"] = platform.python_version()
    if commit := _git("rev-parse", "--verify", "HEAD"):
        tags["mlflow.source.git.commit"] = commit
        tags["mlflow.source.git.dirty"] = str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower()
    if experiment := experiment_name():
        tags["dvc.experiment"] = experiment
    # In a container the user may have no name.
    with contextlib.suppress(KeyError, OSError):
        tags["mlflow.user"] = getpass.getuser()
    return tags


def _git(*arguments: str) -> str | None:
    """What git answers; None where there is no git, no repository or no commit."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def run_tags(spec: RunSpec, stage: Stage, case: "Case", parent_id: str | None) -> dict[str, str]:
    """The tags that a run is found by, and what of DVC it shows."""
    tags = {
        tracking.KEY_TAG: spec.key,
        "kind": spec.kind,
        "post": case.source,
        "dvc.stage": spec.stage,
        "mlflow.source.name": f"stages/{spec.stage.partition('@')[0]}.py",
        "mlflow.source.type": "LOCAL",
    }
    if spec.kind != "references":
        tags["dvc.outs"] = json.dumps(stage.outs)
    return tags if parent_id is None else tags | {tracking.PARENT_TAG: parent_id}


def add(
    changes: Changes, target: store.Store, results: Results, stages: Mapping[str, Stage], advance: Callable[[str], None]
) -> None:
    """Delete what an interrupted `track` left, and add every missing run."""
    for run_id in changes.leftovers:
        target.delete(run_id)
    shared = provenance()
    missing = sorted(changes.missing, key=results.order)
    # MLflow lists the newest run first, so the first of params.yaml is made the newest.
    clock = round(1000 * time.time()) + sum(1 + len(spec.children) for spec in missing) + len(changes.children)

    def add_run(spec: RunSpec, parent_id: str | None, contents: "Mapping[str, Content]") -> None:
        nonlocal clock
        clock -= 1
        stage = stages[spec.stage]
        content = contents[spec.key]
        tags = shared | run_tags(spec, stage, results.parameters.cases[spec.case], parent_id) | content.tags
        if content.description:
            tags["mlflow.note.content"] = content.description
        # The experiment is the case.
        name = spec.name.removeprefix(f"{spec.case}-")
        if experiment := experiment_name():
            name = f"{name} ({experiment})"
        if spec.seed is not None:
            name = f"seed {spec.seed} of {name}"
        read = tracking.dataset_of(stage)
        dataset = target.dataset(*read) if read else None
        with target.add(spec.case, name, content, tags, dataset, clock) as run_id:
            advance(spec.name)
            for child in spec.children:
                add_run(child, run_id, contents)

    for parent_id, child in changes.children:
        add_run(child, parent_id, results.contents(child))
    for spec in missing:
        add_run(spec, None, results.contents(spec))


def counted(number: int, name: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number} {name}{'' if number == 1 else 's'}"


def main() -> None:
    """Bring the store up to date with DVC's results."""
    stages, specs, models = read_specs()
    uri = store.tracking_uri()
    held = store.look(uri)
    if held is not None and not tracking.changes(specs, models, held):
        print("MLflow store is up to date")
        show_places(held.experiments, specs)
        wanted = {spec.key for spec in specs}
        if lost := [run for run in held.runs if run.key in wanted and not store.artifacts_exist(run)]:
            runs = counted(len(lost), "run")
            print(f"the artifacts of {runs} are gone, such as {lost[0].artifacts} (moved or deleted?)")
            print("to have them again, delete the store and its artifacts: `dvc repro` makes both anew")
        return

    try:
        with store.turn(uri):
            target = store.Store(uri)
            added = fill(target, stages, specs, models)
    except Exception:
        # A store that fails takes no result away.
        show_results()
        raise
    if added:
        show_results()
    show_places(target.experiments, specs)


def show_places(experiments: Mapping[str, str], specs: Sequence[RunSpec]) -> None:
    """Print where the report is and, of the default store, what MLflow's page shows; `experiments` are the store's."""
    print(f"report: {REPORT}")
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        print("every run: mlflow ui, then open")
        for case in {spec.case: None for spec in specs}:
            print(f"  {tracking.address(experiments[case])}  ({case})")


def show_results() -> None:
    """Print the table of all results."""
    from stages.core import params, results_table

    results_table.show(params.load(), _json("reports/metrics.json"))


def fill(
    target: store.Store, stages: Mapping[str, Stage], specs: Sequence[RunSpec], models: Sequence[ModelSpec]
) -> bool:
    """Add to the store `target` what it lacks of `specs` and `models`, and say so; whether it lacked any."""
    from stages.core import bars, views

    results = Results()
    for name in {spec.case: None for spec in specs}:
        target.open(name, views.experiment_tags(results.parameters.cases[name]))
    changes = tracking.changes(specs, models, target.held(models))
    if not changes:
        print("MLflow store is up to date")
        return False
    # Before a run is written, as what is damaged ends this.
    contents = {model.name: results.model(model) for model in changes.models}
    children = len(changes.children) + sum(len(spec.children) for spec in changes.missing)
    with bars.bar("MLflow", len(changes.missing) + children + len(changes.models)) as bar:
        add(changes, target, results, stages, bar.advance)
        run_ids = {run.key: run.run_id for run in target.runs() if run.finished} if changes.models else {}
        versions = {}
        for model in changes.models:
            versions[model.name] = target.register(model, run_ids[model.run.key], contents[model.name])
            bar.advance(model.name)
    left = f", {len(changes.leftovers)} left unfinished by an earlier track removed" if changes.leftovers else ""
    print(f"MLflow: {counted(len(changes.missing), 'run')} and {counted(children, 'child run')} added{left}")
    for model in changes.models:
        chosen = f"{model.run.name} with seed {model.seed}"
        print(f"MLflow: model {model.name}, version {versions[model.name]}, is the {store.ALIAS}: {chosen}")
    return True


if __name__ == "__main__":
    errors.run(main)
