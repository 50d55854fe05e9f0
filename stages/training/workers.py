"""Processes or threads of this machine, each of which gets the work that it has compiled for already."""

import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor

from stages.base.errors import LESS_MEMORY, UserError
from stages.base.lifetime import end_with_parent, undisturbed

Key = TypeVar("Key")

# What another worker has compiled is compiled once more if the work then ends so many seconds earlier.
WORTHWHILE = 1.0


class Work(NamedTuple, Generic[Key]):
    """A call for a worker.

    `key` is what must be compiled for it. `seconds` says about how long it takes without that, and `call` does it.
    """

    key: Key
    seconds: float
    call: Callable[[], Any]


@dataclass(eq=False)
class Worker(Generic[Key]):
    """A process or a thread. `kept` are the keys that it has compiled for, `busy` how long it will take."""

    executor: Any
    kept: deque[Key]
    busy: float = 0.0

    def begin(self, work: Work[Key], compiling: float) -> Future[Any]:
        """Begin with `work`; `compiling` is how long it takes to compile for it."""
        self.busy = work.seconds
        if work.key in self.kept:
            self.kept.remove(work.key)
        else:
            self.busy += compiling
        self.kept.append(work.key)
        begun: Future[Any] = self.executor.submit(work.call)
        return begun


@dataclass
class Workers(Generic[Key]):
    """At most `count` workers of `backend`, which start when they are needed and end with `close`.

    A worker keeps what it has compiled for the last `kept` keys; `compiling` says about how many seconds that takes.
    """

    count: int
    backend: str
    kept: int
    compiling: float
    workers: list[Worker[Key]] = field(default_factory=list)

    def run(self, work: Sequence[Work[Key]]) -> Iterator[Any]:
        """Yield what the calls of `work` return, as they end. They begin in about this order.

        Raises
        ------
        UserError
            If a worker is killed.
        """
        waiting, running = list(work), dict[Future[Any], Worker[Key]]()
        with warnings.catch_warnings():
            # loky replaces a worker whose memory grows by what XLA compiles. No call is lost.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
            try:
                while waiting or running:
                    for worker in self._idle(len(waiting), running.values()):
                        if (chosen := self._choice(worker, waiting)) is not None:
                            waiting.remove(chosen)
                            running[worker.begin(chosen, self.compiling)] = worker
                    for done in wait(running, return_when=FIRST_COMPLETED).done:
                        running.pop(done).busy = 0.0
                        yield done.result()
            except BrokenProcessPool:
                raise UserError(f"a worker was killed, probably for lack of memory; {LESS_MEMORY}") from None

    def _idle(self, most: int, running: Collection[Worker[Key]]) -> list[Worker[Key]]:
        """Return the workers that are not `running`, those that keep least first; new ones too, up to `most`."""
        idle = [worker for worker in self.workers if worker not in running]
        for _ in range(min(self.count - len(self.workers), most - len(idle))):
            process = self.backend == "loky"
            follow = {"initializer": _follow, "initargs": (os.getpid(),)}
            executor = ProcessPoolExecutor(1, **follow) if process else ThreadPoolExecutor(1)
            idle.append(Worker(executor, deque(maxlen=self.kept)))
            self.workers.append(idle[-1])
        return sorted(idle, key=lambda worker: len(worker.kept))

    def _choice(self, worker: Worker[Key], waiting: Sequence[Work[Key]]) -> Work[Key] | None:
        """Return what `worker` does next: the first that no other worker should rather wait for."""
        for each in waiting:
            others = [other for other in self.workers if each.key in other.kept and other is not worker]
            if each.key in worker.kept or not others:
                return each
            left = min(other.busy + _seconds_for(other, waiting) for other in others)
            if self.compiling + each.seconds + WORTHWHILE < left:
                return each
        return None

    def close(self) -> None:
        """End all workers."""
        with undisturbed():
            for worker in self.workers:
                if self.backend == "loky":
                    worker.executor.shutdown(kill_workers=True)
                else:
                    worker.executor.shutdown(cancel_futures=True)


def _seconds_for(worker: Worker[Key], waiting: Sequence[Work[Key]]) -> float:
    return sum(each.seconds for each in waiting if each.key in worker.kept)


def _follow(stage: int) -> None:
    """Let this worker end with the process `stage`, and leave Ctrl-C and SIGTERM to that process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    end_with_parent(stage, signal.SIGKILL)
