"""Units of runs on a Dask cluster, whose workers must compute the bits that this process would compute."""

import asyncio
import hashlib
import logging
import operator
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from stages.base import processor
from stages.base.errors import UserError
from stages.base.shared import packed, write
from stages.data.prepared import Prepared
from stages.training.pool import Task, Trained, train_unit
from stages.training.runs import versions

if TYPE_CHECKING:
    from distributed import Variable

SECONDS = 10  # for the connection, and then for the first worker
# The scheduler hands out the data in pieces of so many bytes, so that no worker has all of them in memory twice.
PIECE = 2**24

# The memory of a worker: the data of its last units.
_kept: dict[str, Prepared] = {}
_receiving = threading.Lock()


def identity() -> dict[str, str]:
    """Return what decides the bits that a process computes."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    settings = {name: os.environ.get(name, "not set") for name in processor.SETTINGS}
    return {**versions(), **settings, "stages/training": digest.hexdigest()[:12]}


async def _greet(address: str) -> None:
    """Connect to `address` and leave. A client would try for ever if no scheduler is there."""
    from distributed.comm import connect
    from distributed.security import Security

    greeting = connect(address, timeout=SECONDS, **Security().get_connection_args("client"))
    (await asyncio.wait_for(greeting, SECONDS)).abort()


def train_units(
    units_for: Callable[[int], Sequence[Sequence[Task]]], data: Prepared, scheduler: str | None
) -> Iterator[list[Trained]]:
    """Train the units for the workers of the cluster of `scheduler`, and yield the runs of each unit as it ends.

    `units_for` returns them for a number of workers; a worker with several threads counts as so many.
    Without an address, Dask's own configuration names the scheduler (DASK_SCHEDULER_ADDRESS). Dask runs the unit of a
    lost worker again.

    Raises
    ------
    UserError
        If Dask is not installed, the cluster or its workers are not there or are lost, or a worker might compute other
        bits.
    """
    try:
        import dask
        from distributed import Client, KilledWorker, Variable, as_completed
        from distributed.client import FutureCancelledError
        from distributed.comm import CommClosedError
    except ImportError:
        raise UserError("execution.backend: dask is not installed; pip install dask distributed") from None
    address = scheduler or dask.config.get("scheduler-address", None)
    if address is None:
        raise UserError(
            "params.yaml: execution.scheduler: missing; expected the address that `dask scheduler` prints, there or in "
            "DASK_SCHEDULER_ADDRESS"
        )
    try:
        asyncio.run(_greet(address))
        client = Client(address, timeout=SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Dask scheduler answers at {address} ({' '.join(str(error).split())}); start one with `dask scheduler`"
        ) from None
    # Dask logs pages about what ends here in one line.
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with client, dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
        try:
            client.wait_for_workers(1, timeout=SECONDS)
        except TimeoutError:
            raise UserError(
                f"the Dask scheduler at {address} has no worker; start one in a clone of this repository with "
                f'`eval "$(python -m stages settings)" && python -m dask worker {address}`'
            ) from None
        expected = identity()
        # A worker that joins later is not asked; docs/scaling.md says so.
        for worker, found in client.run(identity, on_error="return").items():
            if not isinstance(found, dict):
                differing = [f"{type(found).__name__}: {found}"]
            else:
                names = [name for name, value in expected.items() if found.get(name) != value]
                differing = [f"{name} {found.get(name)}, expected {expected[name]}" for name in names]
            if differing:
                raise UserError(
                    f"the Dask worker {worker} may compute other bits: {differing[0]}; start it in a clone of this "
                    f'commit with `eval "$(python -m stages settings)" && python -m dask worker {address}`'
                )
        units = units_for(sum(client.nthreads().values()))
        read, parts = packed(data)
        pieces: list[Variable] = []
        try:
            for part in parts:
                for start in range(0, part.nbytes, PIECE):
                    pieces.append(Variable(client=client))
                    pieces[-1].set(bytes(part[start : start + PIECE]))
            # Pickled, because the scheduler unpickles what a task is made of and need not have this code.
            pickled = [pickle.dumps(partial(_train, unit, pieces, read)) for unit in units]
            calls = client.map(pickle.loads, pickled, pure=False)
            futures = [client.submit(operator.call, call, pure=False) for call in calls]
            for future in as_completed(futures, loop=client.loop):
                yield future.result()
        except KilledWorker as error:
            raise UserError(f"a Dask worker ended again and again ({error.last_worker.address}); see its log") from None
        except (FutureCancelledError, CommClosedError):
            raise UserError(f"the Dask scheduler at {address} is gone; start it, then run `dvc repro` again") from None
        finally:
            for piece in pieces:
                piece.delete()


def _train(unit: Sequence[Task], pieces: "Sequence[Variable]", read: Callable[[Path], Prepared]) -> list[Trained]:
    """Train `unit` in a worker, which gets the data once, piece by piece, and keeps them in a file without a name."""
    from distributed import get_worker

    name = pieces[0].name
    with _receiving:
        if name not in _kept:
            _kept.clear()
            with NamedTemporaryFile(dir=get_worker().local_directory) as file:
                write(Path(file.name), (piece.get() for piece in pieces))
                _kept[name] = read(Path(file.name))
        data = _kept[name]
    return train_unit(unit, data)
