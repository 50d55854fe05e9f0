"""configs/<case>/runs.json and prepared data -> runs/<case>/<folder>/seed_<n>.npz: every run of a case.

Valid run files stay, missing ones are trained, all others are removed.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from stages.base import cached, console, files
from stages.base.errors import UserError
from stages.config import load
from stages.config.planned import PlannedRuns
from stages.config.schema import SCORES
from stages.data import prepared
from stages.diagnosis.asking import score_of, searches
from stages.training import pool, runs
from stages.training.pool import Task, Trained

TrainAll = Callable[[Sequence[Task]], Iterator[Trained]]
"""Trains tasks and yields each as it ends."""

Scores = dict[str, float] | runs.Refusal
"""Scores by split, or the refusal of Keras."""


def scores_of(run: runs.Run | runs.Refusal) -> Scores:
    """Return what is kept of a run when its file is written, because its weights can be large."""
    return run if isinstance(run, runs.Refusal) else run.scores


class RunFiles:
    """The run files of a case: those that are valid stay or move to their places, all others are removed at the end.

    A file whose configuration has another name now is moved; the bytes are those that training would give.
    """

    def __init__(self, case: str, data_sha256: str) -> None:
        self.case, self.data_sha256 = case, data_sha256
        self.folder = files.RUNS / case
        self.folder.mkdir(parents=True, exist_ok=True)
        self.found, damaged = runs.stored(self.folder)
        for path in damaged:
            console.say(f"{path} is damaged; its run is trained anew")
            # DVC would keep a damaged copy in its cache, and not put the new file in its place.
            for copy in cached.damaged_copies(path):
                copy.unlink()
                console.say(f"removed {copy}, the damaged copy of DVC's cache")
        self.scores: dict[Path, Scores] = {}
        self.trained = 0

    def path(self, task: Task) -> Path:
        """Return the path of a run."""
        return files.run_path(self.case, task.configuration.folder, task.seed)

    def facts(self, task: Task) -> dict[str, Any]:
        """Return the facts that the file of a run must have."""
        return runs.facts_of(task.configuration, task.seed, self.data_sha256)

    def take(self, tasks: Sequence[Task]) -> dict[Path, Scores]:
        """Return the scores of `tasks` that are there, by path, and bring their files to their places."""
        for task in tasks:
            facts, place = self.facts(task), self.path(task)
            before, run = self.found.get(facts["key"], (None, None))
            if place in self.scores or run is None or not runs.is_result(run, place.parent.name):
                continue
            if before != place or run.facts != facts:
                runs.write(place, run, facts)
            self.scores[place] = scores_of(run)
        return {place: self.scores[place] for task in tasks if (place := self.path(task)) in self.scores}

    def add(self, task: Task, run: runs.Run | runs.Refusal) -> None:
        """Write the file of a run that was trained."""
        runs.write(self.path(task), run, self.facts(task))
        self.scores[self.path(task)] = scores_of(run)
        self.trained += 1

    def remove_others(self) -> None:
        """Remove every file that is of no run of the case, and folders without files."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_file() and path not in self.scores:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def log(kept: RunFiles, trained: Trained) -> None:
    """Append how long a run took to runs.log, which is no out because no out may hold a time."""
    task, seconds = trained.task, round(trained.seconds, 3)
    line = {"case": kept.case, "folder": task.configuration.folder, "seed": task.seed, "seconds": seconds}
    with files.RUNS_LOG.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**line, "key": kept.facts(task)["key"]}) + "\n")


def outcome(run: runs.Run | runs.Refusal, score: str) -> str:
    """Return what became of a run, in words."""
    if isinstance(run, runs.Refusal):
        return f"Keras refuses it: {run.reason}"
    scores = ", ".join(f"{split} {value:.4f}" for split, value in run.scores.items())
    return f"{score} {scores}{' (diverged)' if run.diverged else ''}"


def train(tasks: Sequence[Task], kept: RunFiles, train_all: TrainAll, score: str) -> list[Scores]:
    """Return the scores of `tasks`, and train those whose runs are not there. `score` is the name of the score."""
    found = kept.take(tasks)
    missing = [task for task in tasks if kept.path(task) not in found]
    if missing:
        with console.bar(f"{kept.case}, runs", len(missing)) as bar:
            for trained in train_all(missing):
                folder = trained.task.configuration.folder
                if runs.is_result(trained.run, folder):
                    kept.add(trained.task, trained.run)
                found[kept.path(trained.task)] = scores_of(trained.run)
                log(kept, trained)
                bar.advance()
                # A point without a name of its own is told by its fixes.
                name = folder if runs.has_name(folder) else " + ".join(trained.task.configuration.fixes)
                console.say(f"{kept.case} {name} seed {trained.task.seed}: {outcome(trained.run, score)}")
    return [found[kept.path(task)] for task in tasks]


def main(case: str) -> None:
    """Train every run of `case` that is missing: its variants and points, then what its search asks for.

    A set of fixes that Keras refuses is a result, and the other sets are trained.

    Raises
    ------
    UserError
        If Keras refuses a variant, when all others are trained.
    """
    data = prepared.read(files.prepared_path(case))
    planned = load.read_planned(case, "runs", PlannedRuns)
    kept, score = RunFiles(case, data.sha256), SCORES[data.facts.task]
    tasks = [Task(configuration, seed) for configuration in planned.runs for seed in configuration.seeds]
    with pool.opened(data, load.read().execution) as train_all:
        trained = train(tasks, kept, train_all, score)
        refused = {
            task.configuration.folder: run.reason
            for task, run in zip(tasks, trained, strict=True)
            if runs.has_name(task.configuration.folder) and isinstance(run, runs.Refusal)
        }
        if refused:
            name, reason = min(refused.items())
            raise UserError(f"{name}: Keras refuses it: {reason}; change it in params.yaml")
        for search in searches(planned.search, planned.runs, data):
            while asked := search.ask():
                tasks = [Task(configuration, seed) for _, configuration, seed in asked]
                # Two points can be one network.
                distinct = {kept.path(task): task for task in tasks}
                found = dict(zip(distinct, train(list(distinct.values()), kept, train_all, score), strict=True))
                search.tell(
                    {
                        (point, task.seed): score_of(found[kept.path(task)], search.split)
                        for (point, _, _), task in zip(asked, tasks, strict=True)
                    }
                )
    kept.remove_others()
    console.wrote(kept.folder, runs=len(kept.scores), trained=kept.trained)
