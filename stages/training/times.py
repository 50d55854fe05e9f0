"""How long training will take on this machine, estimated from runs.log, which has the seconds of earlier runs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, median_low
from typing import Any

from stages.config.data import Subset
from stages.config.network import Network
from stages.config.planned import Configuration
from stages.data.prepared import Prepared
from stages.training import pool
from stages.training.pool import Task
from stages.training.runs import Refusal, Run


@dataclass(frozen=True)
class Earlier:
    """A configuration that was trained on this machine, the `seconds` of its runs, and the pool's rough estimate."""

    configuration: Configuration
    seconds: tuple[float, ...]
    rough: float

    @property
    def typical(self) -> float:
        """Return the seconds of a run that found its program compiled."""
        return median_low(self.seconds)


def earlier(
    stored: Mapping[str, tuple[Path, Run | Refusal]], log: Iterable[Mapping[str, Any]], data: Prepared
) -> list[Earlier]:
    """Return the configurations of the runs in `stored` that `log` has; see `runs.stored` and `runs.logged`."""
    seconds: dict[Any, float] = {}
    for entry in log:
        seconds[entry["key"] or (entry["folder"], entry["seed"])] = entry["seconds"]
    of_folder: dict[str, list[tuple[Run, float]]] = {}
    for key, (path, run) in stored.items():
        folder = path.parent.name
        found = seconds.get(key, seconds.get((folder, run.seed)))
        if found is not None and isinstance(run, Run):
            of_folder.setdefault(folder, []).append((run, found))
    rows = []
    for folder, trained in of_folder.items():
        facts = trained[0][0].facts
        configuration = Configuration(
            folder=folder,
            fixes=tuple(facts["fixes"]),
            network=Network.model_validate(facts["network"]),
            subset=facts["subset"] and Subset.model_validate_json(json.dumps(facts["subset"])),
            seeds=tuple(run.seed for run, _ in trained),
        )
        rough = pool.rough_seconds(configuration, data)
        rows.append(Earlier(configuration, tuple(found for _, found in trained), rough))
    return rows


def estimate(
    tasks: Sequence[Task], own: Sequence[Earlier], others: Sequence[Earlier], data: Prepared, workers: int
) -> float | None:
    """Return about how many seconds `workers` need to train `tasks` of a case side by side; None if nothing is known.

    A run takes as long as one with the same name or fixes did before the edit, times what the pool's rough estimate
    says of the edit. `own` are the earlier runs of the case, and `others` those of other cases, which count if the case
    has none. Each unit of runs that share a program compiles it once.
    """
    known = own or others
    if not known:
        return None
    compiling = _compiling(known)
    pace = median(row.typical / row.rough for row in known)
    by_folder = {row.configuration.folder: row for row in own}
    by_likeness = {_likeness(row.configuration): row for row in own}

    def seconds(configuration: Configuration) -> float:
        before = by_folder.get(configuration.folder) or by_likeness.get(_likeness(configuration))
        return pool.rough_seconds(configuration, data) * (before.typical / before.rough if before else pace)

    units = pool.units(tasks, data, workers)
    return pool.end((compiling + sum(seconds(task.configuration) for task in unit) for unit in units), workers)


def _likeness(configuration: Configuration) -> tuple[Any, ...]:
    """Return what two configurations have in common if one becomes the other by an edit of a fix."""
    subset = configuration.subset and configuration.subset.model_dump_json()
    return configuration.fixes, configuration.network.keras, subset


def _compiling(known: Sequence[Earlier]) -> float:
    """Return the seconds by which the first run of a program typically takes longer than the others."""
    longer: dict[str, float] = {}
    for row in known:
        program = row.configuration.network.program
        longer[program] = max(longer.get(program, 0.0), max(row.seconds) - row.typical)
    return median(longer.values())
