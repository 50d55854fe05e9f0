"""configs/<case>/runs.json and prepared data -> runs/<case>/<folder>/seed_<n>.npz: every run of a case.

Valid run files stay, missing ones are trained, all others are removed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.base import console, files
from stages.base.errors import UserError
from stages.config import load
from stages.config.planned import PlannedRuns
from stages.config.schema import SCORES
from stages.data import prepared
from stages.training import pool, runs
from stages.training.pool import Task, Trained

LOG = Path("runs.log")


def wanted(planned: PlannedRuns, data_sha256: str) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Yield every run that the case needs, with the facts that its file must have."""
    for configuration in planned.runs:
        for seed in configuration.seeds:
            yield Task(configuration, seed), runs.facts_of(configuration, seed, data_sha256)


def stored(folder: Path) -> dict[str, tuple[Path, runs.Run | runs.Refusal]]:
    """Return the runs below `folder` that can be read, by key. A damaged file counts as missing."""
    found = {}
    for path in sorted(folder.rglob("*.npz")):
        try:
            run = runs.read_any(path)
        except UserError:
            console.say(f"{path} is damaged; its run is trained anew")
        else:
            found[run.facts["key"]] = (path, run)
    return found


def has_name(folder: str) -> bool:
    """Return whether a folder of runs is that of a variant."""
    return not folder.startswith("p-")


def keep(case: str, tasks: Sequence[tuple[Task, Mapping[str, Any]]]) -> list[tuple[Task, Mapping[str, Any]]]:
    """Bring the valid run files of `case` to their places, remove all others, and return what is missing.

    A file whose configuration has another name now is moved; the bytes are those that training would give.
    """
    found = stored(files.RUNS / case)
    places = {files.run_path(case, task.configuration.folder, task.seed): facts for task, facts in tasks}
    valid = {path: found[facts["key"]] for path, facts in places.items() if facts["key"] in found}
    for path in list(valid):
        # The refusal of a variant is an error and no result, so Keras is asked again.
        if has_name(path.parent.name) and isinstance(valid[path][1], runs.Refusal):
            del valid[path]
    for path, (before, run) in valid.items():
        if before != path or run.facts != places[path]:
            runs.write(path, run, places[path])
    for path in sorted((files.RUNS / case).rglob("*"), reverse=True):
        if path.is_file() and path not in valid:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    return [
        (task, facts)
        for task, facts in tasks
        if files.run_path(case, task.configuration.folder, task.seed) not in valid
    ]


def log(case: str, trained: Trained) -> None:
    """Append how long a run took to runs.log, which is no out because no out may hold a time."""
    line = {"case": case, "folder": trained.task.configuration.folder, "seed": trained.task.seed}
    with LOG.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**line, "seconds": round(trained.seconds, 3)}) + "\n")


def outcome(run: runs.Run | runs.Refusal, score: str) -> str:
    """Return what became of a run, in words."""
    if isinstance(run, runs.Refusal):
        return f"Keras refuses it: {run.reason}"
    scores = ", ".join(f"{split} {value:.4f}" for split, value in run.scores.items())
    return f"{score} {scores}{' (diverged)' if run.diverged else ''}"


def main(case: str) -> None:
    """Train every run of `case` that is missing.

    A set of fixes that Keras refuses is a result, and the other sets are trained.

    Raises
    ------
    UserError
        If Keras refuses a variant, when all others are trained.
    """
    data = prepared.read(files.prepared_path(case))
    tasks = list(wanted(load.read_planned(case, "runs", PlannedRuns), data.sha256))
    (files.RUNS / case).mkdir(parents=True, exist_ok=True)
    missing = keep(case, tasks)
    places = {(task.configuration.folder, task.seed): facts for task, facts in missing}
    refused: dict[str, str] = {}
    if missing:
        with console.bar(f"{case}, runs", len(missing)) as bar:
            for trained in pool.train_all([task for task, _ in missing], data, load.read().execution):
                folder, seed = trained.task.configuration.folder, trained.task.seed
                if has_name(folder) and isinstance(trained.run, runs.Refusal):
                    refused[folder] = trained.run.reason
                else:
                    runs.write(files.run_path(case, folder, seed), trained.run, places[folder, seed])
                log(case, trained)
                bar.advance()
                # A point without a name of its own is told by its fixes.
                name = folder if has_name(folder) else " + ".join(trained.task.configuration.fixes)
                console.say(f"{case} {name} seed {seed}: {outcome(trained.run, SCORES[data.facts.task])}")
    if refused:
        name, reason = min(refused.items())
        raise UserError(f"{name}: Keras refuses it: {reason}; change it in params.yaml")
    console.wrote(files.RUNS / case, runs=len(tasks), trained=len(missing))
