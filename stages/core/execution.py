"""Tasks side by side: in processes or threads of this machine, or on the workers of a Dask cluster."""

import ctypes
import os
import signal
import tempfile
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from stages.core import cluster
from stages.core.errors import LESS_MEMORY, UserError
from stages.core.params import Execution

Data = TypeVar("Data")
Result = TypeVar("Result")

# Of Linux's prctl.h.
PR_SET_PDEATHSIG = 1


def run(
    tasks: Sequence[Callable[[Data], Result]],
    data: Data,
    execution: Execution,
    on_result: Callable[[int, Result], None] = lambda place, result: None,
) -> list[Result]:
    """Call every task with `data`: their results, in the order of `tasks`.

    `on_result(place, result)` is called as each task ends, in whatever order that is.

    Raises
    ------
    UserError
        When a worker was killed; see `cluster.ended` too.
    """
    if execution.backend == "dask":
        ended = cluster.ended(tasks, data, execution.scheduler)
    else:
        ended = _ended(tasks, data, execution)
    results: dict[int, Result] = {}
    with closing(ended):
        for place, result in ended:
            results[place] = result
            on_result(place, result)
    return [results[place] for place in range(len(tasks))]


def _ended(
    tasks: Sequence[Callable[[Data], Result]], data: Data, execution: Execution
) -> Generator[tuple[int, Result], None, None]:
    """Each task's place and result, as it ends."""
    assert execution.workers is not None
    n_jobs = min(execution.workers, len(tasks))
    # Arrays go to the workers as they are: in files that they share, joblib would wait a second at the end for the last
    # worker to let go of them.
    parallel = Parallel(
        n_jobs,
        backend=execution.backend,
        return_as="generator_unordered",
        max_nbytes=None,
        # joblib would make a folder in shared memory all the same. It can name no folder but in ASCII.
        temp_folder=tempfile.gettempdir() if tempfile.gettempdir().isascii() else None,
        initializer=_follow,
        initargs=(os.getpid(),),
    )
    with warnings.catch_warnings():
        # joblib replaces a worker whose memory grows, as it does by all that XLA compiles; no job is lost by it.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        try:
            yield from parallel(delayed(_placed)(place, task, data) for place, task in enumerate(tasks))
        except TerminatedWorkerError:
            raise UserError(f"a worker was killed, most likely for want of memory; {LESS_MEMORY}") from None


def _follow(stage: int) -> None:
    """Let the kernel end this worker with the process `stage`, which may be killed, and leave Ctrl-C to that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # With the thread that started it, strictly: the main one, or joblib's own, which outlives the workers.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != stage:
        # It was killed before the kernel was told.
        os._exit(1)


def _placed(place: int, task: Callable[[Data], Result], data: Data) -> tuple[int, Result]:
    return place, task(data)
