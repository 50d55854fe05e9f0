"""Say which runs `dvc repro` will train, keep and remove after an edit of params.yaml. Nothing is written.

python -m stages preview
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stages.base import console, files
from stages.config import load
from stages.config.network import label
from stages.config.planned import PlannedData
from stages.config.resolve import PlannedFiles, planned
from stages.config.schema import Execution
from stages.data import prepared
from stages.data.prepared import Prepared
from stages.data.recipes import prepare
from stages.diagnosis.asking import Asking, score_of, searches
from stages.diagnosis.look import counted
from stages.diagnosis.search import FRESH_SEEDS
from stages.training import runs, times
from stages.training.pool import Task
from stages.training.times import Earlier

Stored = dict[str, tuple[Path, runs.Run | runs.Refusal]]
# So many names are printed, and so many points that have none.
MOST_NAMES, FEW_POINTS = 60, 5


@dataclass
class Change:
    """The changes that `train` will make in a case.

    `stored` are its run files by key, `missing` the runs to train, and `kept` the keys of those that stay. `damaged` is
    the number of run files that cannot be read. `open` are the searches whose next points depend on the scores of
    `missing`, and `is_open` says that more runs than these may follow.
    """

    case: str
    stored: Stored
    damaged: int
    data: Prepared | None = None
    missing: dict[str, Task] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    open: list[Asking] = field(default_factory=list)
    is_open: bool = False

    @property
    def trained(self) -> list[Task]:
        """Return the runs to train."""
        return list(self.missing.values())

    @property
    def removed(self) -> list[tuple[Path, runs.Run | runs.Refusal]]:
        """Return the run files that no run of the case needs."""
        return [found for key, found in self.stored.items() if key not in self.kept]


def data_of(case: str, plan: PlannedData) -> Prepared | None:
    """Return the data that `prepare` will write, with the digest of their file; None if they must be fetched first."""
    if Path(plan.data.file).is_file():
        data, _ = prepare(plan.data, plan.task)
        return replace(data, sha256=hashlib.sha256(files.archive_bytes(prepared.members(data))).hexdigest())
    path = files.prepared_path(case)
    return prepared.read(path) if path.is_file() else None


def change(case: str, plan: PlannedFiles, stored: Stored, damaged: int, data: Prepared | None) -> Change:
    """Return what `train` will do in a case that is planned so. A search goes on as far as scores are known."""
    found = Change(case, stored, damaged, data)
    wanted = [Task(configuration, seed) for configuration in plan.runs.runs for seed in configuration.seeds]
    take(found, wanted, data.sha256 if data else "")
    if data is None:
        found.is_open = plan.runs.search is not None
        return found
    for search in searches(plan.runs.search, plan.runs.runs, data):
        while asked := search.ask():
            known = take(found, [Task(configuration, seed) for _, configuration, seed in asked], data.sha256)
            if None in known:
                found.open.append(search)
                found.is_open = True
                break
            search.tell(
                {
                    (point, seed): score_of(run.scores if isinstance(run, runs.Run) else run, search.split)
                    for (point, _, seed), run in zip(asked, known, strict=True)
                    if run
                }
            )
    return found


def take(found: Change, tasks: Iterable[Task], data_sha256: str) -> list[runs.Run | runs.Refusal | None]:
    """Return the stored run of each of `tasks`, None if it must be trained, and note both in `found`."""
    taken = []
    for task in tasks:
        key = runs.facts_of(task.configuration, task.seed, data_sha256)["key"]
        _, run = found.stored.get(key, (None, None))
        if run and not runs.is_result(run, task.configuration.folder):
            run = None
        if run:
            found.kept.add(key)
        else:
            found.missing[key] = task
        taken.append(run)
    return taken


def duration(seconds: float) -> str:
    """Return a time in words, as exact as an estimate is."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"about {max(5, 5 * round(seconds / 5))} s"
    return f"about {minutes} min" if minutes < 90 else f"about {minutes // 60} h {minutes % 60 // 10 * 10} min"


def seconds_of(found: Change, known: dict[str, list[Earlier]], execution: Execution) -> str:
    """Return how long the training of a case takes, in words; nothing if nothing is known."""
    if not found.trained or found.data is None:
        return ""
    others = [row for case, rows in known.items() if case != found.case for row in rows]
    seconds = times.estimate(found.trained, known[found.case], others, found.data, execution.workers or 1)
    return "" if seconds is None else "at least " * bool(found.open) + duration(seconds)


def seeds_text(seeds: Sequence[int]) -> str:
    """Return seeds in words."""
    first, last = seeds[0], seeds[-1]
    if len(seeds) > 2 and list(seeds) == list(range(first, last + 1)):
        return f"seeds {first} to {last}"
    return f"seed{'s' * (len(seeds) > 1)} {listed(map(str, seeds))}"


def listed(names: Iterable[str]) -> str:
    """Return names with commas, or the first ones if there are many."""
    found = list(names)
    more = f" and {len(found) - MOST_NAMES} more" if len(found) > MOST_NAMES else ""
    return ", ".join(found[:MOST_NAMES]) + more


def trained_texts(found: Change, conditions: Sequence[str]) -> Iterator[str]:
    """Yield what is trained, configurations with the same seeds together. `conditions` are those of the case."""
    seeds: dict[str, list[int]] = {}
    for task in found.trained:
        seeds.setdefault(task.configuration.folder, []).append(task.seed)
    configurations = {task.configuration.folder: task.configuration for task in found.trained}
    groups: dict[tuple[int, ...], list[str]] = {}
    for folder, of_folder in seeds.items():
        groups.setdefault(tuple(of_folder), []).append(folder)
    for of_group, folders in groups.items():
        names = [folder for folder in folders if runs.has_name(folder)]
        points = [configurations[folder] for folder in folders if not runs.has_name(folder)]
        if len(points) <= FEW_POINTS:
            names += [label(" + ".join(point.fixes), point.network.keras, conditions) for point in points]
        else:
            common = [fix for fix in points[0].fixes if all(fix in point.fixes for point in points)]
            each = f", each with {' and '.join(common)}" if common else ""
            names.append(f"{len(points)} points without a name{each}")
        yield f"{found.case} trains, with {seeds_text(of_group)}: {listed(names)}"


def texts(found: Change, plan: PlannedFiles) -> Iterator[str]:
    """Yield what happens in a case that is planned so, in sentences."""
    yield from trained_texts(found, plan.case.keras)
    budget = plan.runs.search.points if plan.runs.search else 0
    if found.data is None and found.stored:
        yield f"{found.case} has no data here yet, so that all its runs count as missing"
    if found.damaged:
        yield f"{found.case} has {counted(found.damaged, 'run file')} that cannot be read"
    planned_folders = {configuration.folder for configuration in plan.runs.runs}
    gone = dict.fromkeys(path.parent.name for path, _ in found.removed)
    if (names := [name for name in gone if runs.has_name(name) and name not in planned_folders]) and not found.open:
        yield f"{found.case} no longer has: {listed(names)}"
    if found.data is None and budget:
        yield f"{found.case} is also searched: at most {budget} points under each version of Keras"
    for search in found.open:
        left = budget - len(search.search.scores.points)
        seeds = len(search.search.scores.seeds)
        yield (
            f"{found.case} is searched under Keras {search.keras}. What follows depends on the scores of these runs: "
            f"at most {left} of {budget} points more, each with up to {counted(seeds, 'seed')}, and then the repairs "
            f"with {FRESH_SEEDS} fresh seeds. Runs that the search asks for again are kept."
        )


def main() -> None:
    """Print what `dvc repro` will train, keep and remove, per case, and how long training takes."""
    params = load.read()
    plans = planned(params)
    changes = []
    for case, plan in plans.items():
        stored, damaged = runs.stored(files.RUNS / case)
        changes.append(change(case, plan, stored, len(damaged), data_of(case, plan.data)))
    known = {
        found.case: times.earlier(found.stored, runs.logged(found.case), found.data) if found.data else []
        for found in changes
    }
    gone = sorted(path.name for path in files.RUNS.glob("[!.]*") if path.is_dir() and path.name not in plans)
    rows = [
        [
            found.case,
            f"{'at least ' * found.is_open}{len(found.trained)}",
            str(len(found.kept)),
            "–" if found.is_open else str(len(found.removed)),
            seconds_of(found, known, params.execution),
        ]
        for found in changes
    ]
    rows += [[case, "0", "0", str(len(list((files.RUNS / case).rglob("*.npz")))), ""] for case in gone]
    workers = counted(params.execution.workers or 1, "worker")
    console.table("Runs after this edit", ("case", "train", "keep", "remove", f"training, {workers}"), [rows])
    for found in changes:
        for text in texts(found, plans[found.case]):
            console.text(text)
    trains = any(found.trained for found in changes)
    if trains and not any(known.values()):
        console.say("No time is known, because no run was trained on this machine yet.")
    console.say(f"`dvc repro` trains {'these runs' if trains else 'no run'}. Nothing was written.")
