"""Many runs side by side, in processes or threads of this machine or on a Dask cluster."""

import heapq
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stages.base import console
from stages.base.shared import share
from stages.config.planned import Configuration
from stages.config.schema import Execution
from stages.data.prepared import Prepared
from stages.training.runs import Refusal, Run
from stages.training.workers import Work, Workers

# Estimates, in seconds on a core of 2026, that decide only which worker trains what.
COMPILING = 5.0
PER_WEIGHT_AND_EXAMPLE = 1.3e-10
# A run that takes longer says now and then where it is.
SILENT_SECONDS = 60

Program = tuple[str, int]
"""The settings that are compiled, and the number of training examples."""

# A worker keeps so many compiled networks.
MOST_KEPT = 6
# Characters of Keras's reason.
MOST_REASON = 400


@dataclass(frozen=True)
class Task:
    """A run to be trained."""

    configuration: Configuration
    seed: int


@dataclass(frozen=True)
class Trained:
    """A task, the run that it gave, or the refusal of Keras, and how many seconds that took."""

    task: Task
    run: Run | Refusal
    seconds: float


@contextmanager
def opened(data: Prepared, execution: Execution) -> Iterator[Callable[[Sequence[Task]], Iterator[Trained]]]:
    """Share `data` with the workers of `execution`, and give the function that trains tasks.

    The function yields each run when it and the runs trained together with it have ended. It can be called again and
    again; workers keep the data and the last few compiled programs. No result depends on `execution`.

    Raises
    ------
    UserError
        By the function, if a worker is killed, or the Dask cluster is not there.
    """
    if execution.backend == "dask":
        from stages.training import cluster  # Dask is an optional dependency

        def on_cluster(tasks: Sequence[Task]) -> Iterator[Trained]:
            for trained in cluster.train_units(partial(units, tasks, data), data, execution.scheduler):
                yield from trained

        yield on_cluster
        return
    assert execution.workers is not None
    workers: Workers[Program] = Workers(execution.workers, execution.backend, MOST_KEPT, COMPILING)
    with TemporaryDirectory() as folder, closing(workers):

        @cache  # often nothing is trained
        def shared() -> Callable[[], Prepared]:
            # Threads have the data already.
            return share(data, Path(folder) / "data") if execution.backend == "loky" else lambda: data

        def here(tasks: Sequence[Task]) -> Iterator[Trained]:
            work = [
                Work(program_of(unit[0], data), _seconds(unit, data), partial(_train_shared, unit, shared()))
                for unit in units(tasks, data, workers.count)
            ]
            for trained in workers.run(work):
                yield from trained

        yield here


def units(tasks: Sequence[Task], data: Prepared, workers: int) -> list[list[Task]]:
    """Return `tasks` as the units that workers train, the longest first.

    The tasks of a unit share one compiled program. If all tasks end sooner by that, the tasks of a program are split
    over workers, which then compile it once each.
    """
    groups: dict[Program, list[Task]] = {}
    for task in tasks:
        groups.setdefault(program_of(task, data), []).append(task)
    work = {key: _seconds(group, data) for key, group in groups.items()}
    fair = (COMPILING * len(groups) + sum(work.values())) / workers

    def lasting(pieces: Mapping[Program, int]) -> list[tuple[float, Program]]:
        """Return about how long each piece of a program takes, the longest first."""
        parts = ((COMPILING + work[key] / number, key) for key, number in pieces.items() for _ in range(number))
        return sorted(parts, key=itemgetter(0), reverse=True)

    def ending(pieces: Mapping[Program, int]) -> float:
        return end([seconds for seconds, _ in lasting(pieces)], workers)

    pieces = {key: min(len(group), max(1, int((COMPILING + work[key]) / fair))) for key, group in groups.items()}
    while pieces:
        longest = lasting(pieces)[0][1]
        more = pieces | {longest: pieces[longest] + 1}
        if more[longest] > len(groups[longest]) or ending(more) >= ending(pieces):
            break
        pieces = more
    starts = dict.fromkeys(pieces, 0)
    found = []
    for _, key in lasting(pieces):
        found.append(groups[key][starts[key] :: pieces[key]])
        starts[key] += 1
    return found


def end(lasting: Iterable[float], workers: int) -> float:
    """Return the second in which the last of `workers` ends, if each takes the next of pieces that take `lasting`."""
    ends = [0.0] * workers
    for seconds in lasting:
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


def program_of(task: Task, data: Prepared) -> Program:
    """Return what must be compiled for a run."""
    return task.configuration.network.program, examples_of(task.configuration, data)


def examples_of(configuration: Configuration, data: Prepared) -> int:
    """Return the number of training examples of a run."""
    subset = configuration.subset
    return sum(subset.first_of_each_class.values()) if subset else len(data.y["train"])


def rough_seconds(configuration: Configuration, data: Prepared) -> float:
    """Return a rough estimate of how long a run takes, without compiling."""
    network = configuration.network
    calls: int = network.optimizer.get("max_function_calls", 0)
    widths = (math.prod(data.shape), *(layer["units"] for layer in network.dense))
    weights: int = sum(before * after for before, after in pairwise(widths))
    return PER_WEIGHT_AND_EXAMPLE * examples_of(configuration, data) * (network.epochs or calls) * weights


def _seconds(tasks: Sequence[Task], data: Prepared) -> float:
    return sum(rough_seconds(task.configuration, data) for task in tasks)


class _Kept(threading.local):
    """The memory of a worker: the data, and trainers by program and subset, the last used one last."""

    def __init__(self) -> None:
        self.data: Prepared | None = None
        self.trainers: OrderedDict[tuple[str, Any], Any] = OrderedDict()


_kept = _Kept()


def _train_shared(tasks: Sequence[Task], read_data: Callable[[], Prepared]) -> list[Trained]:
    """Train `tasks` in a worker."""
    if _kept.data is None:
        _kept.data = read_data()
    return train_unit(tasks, _kept.data, _kept.trainers)


def train_unit(
    tasks: Sequence[Task], data: Prepared, trainers: OrderedDict[tuple[str, Any], Any] | None = None
) -> list[Trained]:
    """Train `tasks`, which share a program, one after the other, with one of `trainers` if it has the program."""
    # Imported here, because the process that hands out the units needs no TensorFlow.
    from stages.training.trainer import Trainer

    trainers = OrderedDict() if trainers is None else trainers
    trained = []
    for task in tasks:
        network, subset = task.configuration.network, task.configuration.subset
        start = time.monotonic()
        # Targets that are standardized by a part of the data are compiled for this part.
        own = subset if network.targets == "standardized" else None
        key = (network.program, own and own.model_dump_json())
        trainer, loaded = trainers.pop(key, (None, None))
        try:
            if trainer is None or subset != loaded:
                part = data.first_of_each_class(subset.first_of_each_class) if subset else data
                if trainer is None:
                    trainer = Trainer(network, part)
                else:
                    trainer.load(part)
            trainer.configure(network)
            run: Run | Refusal = trainer.run(task.seed, _Reporter(task))
            trainers[key] = trainer, subset
            while len(trainers) > MOST_KEPT:
                trainers.popitem(last=False)
        except ValueError as error:
            run = Refusal(task.seed, in_one_line(error))
        trained.append(Trained(task, run, time.monotonic() - start))
    return trained


def in_one_line(error: ValueError) -> str:
    """Return Keras's reason in one line."""
    return " ".join(str(error).split())[:MOST_REASON]


class _Reporter:
    """Prints the epoch of a run that takes long."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._last = time.monotonic()

    def __call__(self, epoch: int) -> None:
        if time.monotonic() - self._last > SILENT_SECONDS:
            self._last = time.monotonic()
            console.say(f"{self._task.configuration.folder} seed {self._task.seed}: epoch {epoch}")
