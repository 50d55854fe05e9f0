"""Tasks on the workers of a Dask cluster, and the assurance that each worker computes the bits of this process."""

import asyncio
import logging
import pickle
import textwrap
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache, partial
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from joblib import Parallel, delayed

import stages
from stages.core.errors import UserError

Data = TypeVar("Data")
Result = TypeVar("Result")

INSTALL = "pip install '.[dask]'"
WORKER = "python -m stages.core.worker"
# Seconds: for the connection to the scheduler, and then for its first worker.
WAIT = 10
# The packages that compute a result.
COMPUTING = ("keras", "numpy", "scipy", "tensorflow")
# Those by which the processes of a cluster read what the others send.
SPEAKING = ("python", "dask", "distributed", "cloudpickle")


def ended(
    tasks: Sequence[Callable[[Data], Result]], data: Data, scheduler: str | None
) -> Generator[tuple[int, Result], None, None]:
    """Call every task with `data` on the cluster of `scheduler`: each one's place and result, as it ends.

    Without an address the scheduler is that of Dask's own configuration. What a lost worker was at is done anew.

    Raises
    ------
    UserError
        When the cluster cannot be had or is lost, or when one of its workers might compute other bits.
    """
    with _connected(scheduler) as client:
        from joblib._dask import DaskDistributedBackend

        class Backend(DaskDistributedBackend):  # type: ignore[misc]  # joblib has no types
            def effective_n_jobs(self, n_jobs: int) -> int:
                # What has one thread joblib runs in this process instead, also where the cluster is to grow.
                return max(2, int(super().effective_n_jobs(n_jobs)))

            def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
                # joblib waits for its callback, which its backend forgets where Dask gives a task up.
                future = super().submit(func, callback)
                future.add_done_callback(lambda done: callback(done.exception()) if done.exception() else None)
                return future

        # A task of its own goes to each worker once, and is made again where every worker that had it is gone. Bytes,
        # because the scheduler unpickles what a task is made of.
        shared = client.submit(pickle.loads, pickle.dumps(data, pickle.HIGHEST_PROTOCOL))
        # All at once, so that a worker finds work whenever it comes; one by one, so that little is lost when it goes.
        parallel = Parallel(
            backend=Backend(client=client), return_as="generator_unordered", batch_size=1, pre_dispatch="all"
        )
        jobs = (delayed(_sealed(place, task))(shared) for place, task in enumerate(tasks))
        with closing(parallel(jobs)) as results:
            for place, result, refusal in results:
                if refusal:
                    raise UserError(
                        f"{textwrap.shorten(refusal, 240, placeholder=' ...')}; a worker has this version of whichfix "
                        f"and of what requirements.lock names, and is started with: {WORKER} {client.scheduler.address}"
                    )
                yield place, result


@contextmanager
def _connected(scheduler: str | None) -> Iterator[Any]:
    """A client of a cluster that has a worker."""
    try:
        import dask
        from distributed import Client, KilledWorker
        from distributed.client import FutureCancelledError
        from distributed.comm import CommClosedError
    except ImportError:
        raise UserError(f"params.yaml: execution.backend: dask, which is not installed; {INSTALL}") from None

    address, key = _address(scheduler, dask.config.get("scheduler-address", None))
    # What these log, pages of it, ends as one line.
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
        warnings.filterwarnings("ignore", ".*tasks which were still being processed", UserWarning)
        warnings.filterwarnings("ignore", "(?s).*Mismatched versions found", UserWarning)
        try:
            asyncio.run(_knock(address))
            client = Client(address, timeout=WAIT, set_as_default=False)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split()) or f"no answer within {WAIT} s"
            raise UserError(
                f"{key}: no Dask scheduler at {address} ({reason}); accepted: the address that `dask scheduler` shows"
            ) from None
        with client:
            try:
                client.wait_for_workers(1, timeout=WAIT)
            except TimeoutError:
                raise UserError(
                    f"{key}: the Dask scheduler at {address} has no worker after {WAIT} s; "
                    f"start one with: {WORKER} {address}"
                ) from None
            _compare(client.get_versions())
            try:
                yield client
            except KilledWorker as error:
                raise UserError(
                    f"{error.allowed_failures + 1} Dask workers ended over the same cell, the last of them "
                    f"{error.last_worker.address}; its log says why, too little memory for instance"
                ) from None
            except (FutureCancelledError, CommClosedError):
                raise UserError(f"the Dask scheduler at {address} is gone; start it, and this stage, again") from None
            except RuntimeError as error:
                if "deserialization of the task graph" not in str(error):
                    raise
                raise UserError(
                    f"the Dask scheduler at {address} cannot read its tasks; install requirements.lock where it runs"
                ) from None


async def _knock(address: str) -> None:
    """Fail where nothing at `address` speaks as Dask does: a client would wait for ever, or take long to close."""
    from distributed.comm import connect
    from distributed.security import Security

    greeting = connect(address, timeout=WAIT, **Security().get_connection_args("client"))
    (await asyncio.wait_for(greeting, WAIT)).abort()


def _address(scheduler: str | None, configured: str | None) -> tuple[str, str]:
    """The address of the scheduler and where it was found, `configured` being Dask's own setting."""
    if scheduler is not None:
        return scheduler, "params.yaml: execution.scheduler"
    if configured:
        return configured, "DASK_SCHEDULER_ADDRESS"
    raise UserError(
        "params.yaml: execution.scheduler: missing with backend dask; accepted: the address of a Dask scheduler, "
        "such as tcp://host:8786, there or in the environment variable DASK_SCHEDULER_ADDRESS"
    )


def _compare(versions: Mapping[str, Any]) -> None:
    """Refuse a scheduler or a worker that might not read what this process sends, by Dask's report of versions."""
    workers = {f"worker {address}": worker for address, worker in versions["workers"].items()}
    expected = _spoken(versions["client"])
    for name, process in {"scheduler": versions["scheduler"], **workers}.items():
        for package, version in _spoken(process).items():
            if version != expected[package]:
                raise UserError(
                    f"the Dask {name} has {package} {version}, this process {expected[package]}; "
                    "they need the same: install requirements.lock where it runs"
                )


def _spoken(process: Mapping[str, Any]) -> dict[str, str]:
    versions = {package: str(process["packages"][package]) for package in SPEAKING}
    # Of 3.11.7 only 3.11.
    return versions | {"python": ".".join(versions["python"].split(".")[:2])}


def _sealed(place: int, task: Callable[[Data], Result]) -> Callable[[Any], tuple[int, Any, str]]:
    """`task` as a function that gives `place`, the result, and in place of that why the worker may not compute it.

    It imports this project only when it is called: the scheduler unpickles it too, under settings of its own.
    """
    import cloudpickle

    check, body = cloudpickle.dumps(partial(differences, identity())), cloudpickle.dumps(task)

    def call(data: Any) -> tuple[int, Any, str]:
        import pickle

        from distributed import get_worker

        try:
            refusal = pickle.loads(check)()
        except Exception as error:
            # Such as: this project is not installed, or NumPy was imported before it.
            refusal = f"{type(error).__name__}: {error}"
        if refusal:
            return place, None, f"the Dask worker {get_worker().address} cannot compute the same bits: {refusal}"
        return place, pickle.loads(body)(data), ""

    return call


@cache
def identity() -> dict[str, str]:
    """What decides the bits that this process computes: versions of packages, and a digest of this project's code.

    Taken once: what a process has imported stays, whatever is edited or installed meanwhile.
    """
    folder = Path(stages.__file__).parent
    code = sha256()
    for path in sorted(folder.rglob("*.py")):
        code.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return {package: metadata.version(package) for package in COMPUTING} | {"code": code.hexdigest()[:12]}


def differences(expected: Mapping[str, str]) -> str:
    """In what this process differs from one whose `identity` is `expected`; empty where in nothing."""
    found = identity()
    differing = [name for name, value in expected.items() if found.get(name) != value]
    return ", ".join(f"{name} {found.get(name)} instead of {expected[name]}" for name in differing)
