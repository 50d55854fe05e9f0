"""Which runs and models the MLflow store should hold, and which of them it lacks.

A run is found again by its key, a digest of the results that it shows. Titles, reasons, commits, times and versions are
no part of it: they describe a result, and change nothing about it.

Every `dvc repro` asks this, so nothing here imports a library that takes long to load.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from stages.core.errors import UserError

KEY_TAG = "whichfix.key"
PARENT_TAG = "mlflow.parentRunId"
# Part of every key: raise it when a run is to show more or other things, and every run is made anew beside the old.
LAYOUT = 2

# Of `mlflow ui`.
HOST = "http://127.0.0.1:5000"
# The views of an experiment; see `views`.
TABLE, CURVES = "accuracy_and_gain", "learning_curves"

Kind = Literal["variant", "seed", "baseline", "probe", "attribution", "references"]


@dataclass(frozen=True)
class Stage:
    """What dvc.lock says of one stage: path -> hash of each dep and out."""

    deps: Mapping[str, str]
    outs: Mapping[str, str]


@dataclass(frozen=True)
class RunSpec:
    """A run that the store should hold; `name` is what the results are called in DVC's files."""

    kind: Kind
    case: str
    name: str
    stage: str
    key: str
    seed: int | None = None
    children: tuple["RunSpec", ...] = ()


@dataclass(frozen=True)
class ModelSpec:
    """A model that should be the champion of its case: the weights of one `seed` of the variant that `run` is of."""

    name: str
    run: RunSpec
    seed: int
    key: str


@dataclass(frozen=True)
class StoredRun:
    """A run that the store holds, as far as its tags and status tell."""

    run_id: str
    key: str
    finished: bool
    parent_id: str | None = None
    artifacts: str | None = None


@dataclass(frozen=True)
class Held:
    """What a store holds: the runs of this project, each champion's key by the name of its model, experiments' ids."""

    runs: list[StoredRun]
    champions: Mapping[str, str]
    experiments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Changes:
    """What brings a store up to date.

    `missing` are whole runs, their children included; `children` are missing under the parent of the given id;
    `leftovers` are the ids of runs that an interrupted `track` left; `models` are no champions yet.
    """

    missing: list[RunSpec] = field(default_factory=list)
    children: list[tuple[str, RunSpec]] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    models: list[ModelSpec] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.children or self.leftovers or self.models)


def content_key(*content: Any) -> str:
    """SHA-256 of JSON-ready `content`, whatever the order of its keys."""
    text = json.dumps([LAYOUT, *content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def locked_stages(stages: Mapping[str, Any]) -> dict[str, Stage]:
    """The stages of dvc.lock, by name."""

    def hashes(entries: Iterable[Mapping[str, str]]) -> dict[str, str]:
        return {entry["path"]: entry["md5"] for entry in entries if "md5" in entry}

    return {name: Stage(hashes(stage.get("deps", ())), hashes(stage.get("outs", ()))) for name, stage in stages.items()}


def dataset_of(stage: Stage) -> tuple[str, str] | None:
    """Path and hash of the prepared data that `stage` read; None where it read none."""
    return next((item for item in stage.deps.items() if item[0].startswith("data/prepared/")), None)


def run_specs(
    stages: Mapping[str, Stage],
    configs: Mapping[str, Mapping[str, Any]],
    metrics: Mapping[str, Any],
    references: Sequence[Mapping[str, str]],
) -> list[RunSpec]:
    """Every run that the store should hold.

    Parameters
    ----------
    stages : mapping
        Of dvc.lock, see `locked_stages`.
    configs : mapping
        Variant -> content of configs/<variant>.json.
    metrics : mapping
        Content of reports/metrics.json: what is no variant in it is a baseline, ``<case>-<baseline>``.
    references : sequence
        Rows of reports/references.csv.

    Raises
    ------
    UserError
        When dvc.lock knows nothing of a stage: the files are no results of this pipeline.
    """

    def locked(stage: str) -> Stage:
        if stage not in stages:
            raise UserError(f"dvc.lock has no stage '{stage}'; it has every stage once `dvc repro` has run")
        return stages[stage]

    def spec(kind: Kind, case: str, name: str, stage: str, *content: Any) -> RunSpec:
        result = locked(stage)
        return RunSpec(kind, case, name, stage, content_key(kind, name, result.outs, dataset_of(result), *content))

    specs = []
    for name, entry in metrics.items():
        if name in configs:
            config = configs[name]
            run = spec("variant", config["case"], name, f"train@{name}", config, entry)
            children = tuple(
                RunSpec("seed", run.case, name, run.stage, content_key(run.key, seed), seed) for seed in config["seeds"]
            )
            specs.append(RunSpec(run.kind, run.case, name, run.stage, run.key, children=children))
        else:
            case = name.partition("-")[0]
            specs.append(spec("baseline", case, name, f"baseline@{case}", entry))
    if dataset := dataset_of(locked("probe")):
        case = dataset[0].rpartition("/")[2].partition(".")[0]
        specs.append(spec("probe", case, f"{case}-probe", "probe"))
    for case in sorted({config["case"] for config in configs.values()}):
        specs.append(spec("attribution", case, f"{case}-attribution", f"attribute@{case}"))
    for case in sorted({row["case"] for row in references}):
        rows = [row for row in references if row["case"] == case]
        # Of evaluate's outs a run shows these rows alone: its hashes would make every other figure part of the key.
        key = content_key("references", rows)
        specs.append(RunSpec("references", case, f"{case}-references", "evaluate", key))
    return specs


def model_name(case: str) -> str:
    """What the model of `case` is registered as; on a shared server others may have one that is called as the case."""
    return f"whichfix-{case}"


def model_specs(runs: Iterable[RunSpec], metrics: Mapping[str, Any]) -> list[ModelSpec]:
    """The champion of each case: the variant with the best mean accuracy on the test split, by its first seed.

    Of equals the first by name wins; a variant that diverged is none, so a case may have no champion. `runs` and
    `metrics` are as in `run_specs`.
    """
    best: dict[str, tuple[float, RunSpec]] = {}
    for run in sorted(runs, key=lambda run: run.name):
        if run.kind != "variant" or metrics[run.name]["diverged"]:
            continue
        accuracy = metrics[run.name]["test_accuracy"]["mean"]
        if accuracy is not None and (run.case not in best or accuracy > best[run.case][0]):
            best[run.case] = (accuracy, run)
    specs = []
    for case, (_, run) in best.items():
        seed = run.children[0].seed
        assert seed is not None
        specs.append(ModelSpec(model_name(case), run, seed, content_key("model", run.key, seed)))
    return specs


def changes(specs: Iterable[RunSpec], models: Iterable[ModelSpec], held: Held) -> Changes:
    """What is missing of `specs` and `models` in a store, and what stands in the way.

    A run counts when it is finished and, as a child, when its parent counts too. A run of a wanted key that does not
    count was left by an interrupted `track`, or its parent is deleted. Runs of other keys are earlier results: they
    stay.
    """
    by_key: dict[str, list[StoredRun]] = {}
    for run in held.runs:
        by_key.setdefault(run.key, []).append(run)

    result = Changes()
    for spec in specs:
        own = by_key.get(spec.key, [])
        whole = {run.run_id for run in own if run.finished}
        result.leftovers.extend(run.run_id for run in own if not run.finished)
        if not whole:
            result.missing.append(spec)
        for child in spec.children:
            stored = by_key.get(child.key, [])
            counted = [run for run in stored if run.finished and run.parent_id in whole]
            result.leftovers.extend(run.run_id for run in stored if run not in counted)
            if whole and not counted:
                result.children.append((min(whole), child))
    result.models.extend(model for model in models if held.champions.get(model.name) != model.key)
    return result


def address(experiment_id: str, view: str = TABLE) -> str:
    """Where `mlflow ui` shows a view of an experiment."""
    mode = "&compareRunsMode=CHART" if view == CURVES else ""
    return f"{HOST}/#/experiments/{experiment_id}/runs?viewStateShareKey={view}{mode}"
