"""A real Dask cluster on loopback refuses a worker that might compute other bits, and ends in one line."""

import os
import shutil
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
import servers
from samples import configuration, dataset

from stages.base import processor
from stages.base.errors import UserError
from stages.training import cluster
from stages.training.pool import Task, Trained, train_unit
from stages.training.runs import Run

dask = pytest.importorskip("dask", reason="Dask is not installed (pip install '.[dask]')")
distributed = pytest.importorskip("distributed", reason="Dask is not installed (pip install '.[dask]')")

pytestmark = pytest.mark.usefixtures("limited")

DATA = dataset()
TASK = Task(configuration(), 0)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler, to which each test brings its workers."""
    with servers.dask_scheduler(tmp_path_factory.mktemp("scheduler")) as address:
        yield address


@pytest.fixture
def client(scheduler: str) -> Iterator[Any]:
    """A client of the scheduler, which has no worker when the test begins."""
    with distributed.Client(scheduler, set_as_default=False) as client:
        servers.wait_until(lambda: not client.scheduler_info(n_workers=-1)["workers"])
        yield client


def units(tasks: list[list[Task]], scheduler: str | None) -> Generator[list[Trained], None, None]:
    return cast(Generator[list[Trained], None, None], cluster.train_units(lambda workers: tasks, DATA, scheduler))


def bits(trained: Trained) -> dict[str, bytes]:
    assert isinstance(trained.run, Run)
    return {name: values.tobytes() for name, values in trained.run.weights.items()}


def refusal(scheduler: str | None) -> str:
    with pytest.raises(UserError) as caught, closing(units([[TASK]], scheduler)) as trained:
        list(trained)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_worker_with_another_setting_other_code_or_no_code_is_refused_in_one_line(
    root: Path, scheduler: str, client: Any, tmp_path: Path
) -> None:
    other, none = tmp_path / "other", tmp_path / "none"
    shutil.copytree(root / "stages", other / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "stages/training/losses.py").open("a", encoding="utf-8") as file:
        file.write("# Edited.\n")
    none.mkdir()
    environment = servers.PLAIN | processor.SETTINGS | {"OMP_NUM_THREADS": "2"}
    workers: list[tuple[dict[str, Any], str]] = [
        ({"environment": environment}, "OMP_NUM_THREADS 2, expected 1"),
        ({"code": other}, f", expected {cluster.identity()['stages/training']}"),
        ({"code": none}, "No module named 'stages"),
    ]
    for options, expected in workers:
        servers.wait_until(lambda: not client.scheduler_info(n_workers=-1)["workers"])
        with servers.dask_worker(scheduler, tmp_path, **options):
            client.wait_for_workers(1, timeout=servers.START)
            message = refusal(scheduler)
        assert message.startswith("the Dask worker tcp://127.0.0.1:")
        assert expected in message
        assert message.endswith(f"dask worker {scheduler}`")


def test_a_scheduler_that_ends_ends_the_training_in_one_line(tmp_path: Path) -> None:
    with servers.dask_scheduler(tmp_path) as address, servers.dask_worker(address, tmp_path):
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=servers.START)
            process = client.run_on_scheduler(os.getpid)
        tasks = [[TASK], *([Task(configuration("long", epochs=20_000), 0)] for _ in range(3))]
        with closing(units(tasks, address)) as trained:
            next(trained)
            os.kill(process, signal.SIGKILL)
            with pytest.raises(UserError):
                list(trained)


def test_a_worker_that_is_killed_starts_again_gets_the_data_and_trains_the_same_bits(
    scheduler: str, client: Any, tmp_path: Path
) -> None:
    tasks = [TASK, Task(TASK.configuration, 1)]
    with servers.dask_worker(scheduler, tmp_path):
        client.wait_for_workers(1, timeout=servers.START)
        (process,) = client.run(os.getpid).values()
        with closing(units([[task] for task in tasks], scheduler)) as trained:
            found = next(trained)
            os.kill(process, signal.SIGKILL)
            found += next(trained)
        assert process not in client.run(os.getpid).values()
    weights = {each.task.seed: bits(each) for each in found}
    assert weights == {task.seed: bits(each) for task in tasks for each in train_unit([task], DATA)}


def test_a_cluster_without_workers_is_refused(scheduler: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "SECONDS", 1)
    assert refusal(scheduler).startswith(f"the Dask scheduler at {scheduler} has no worker; start one in a clone")


@pytest.mark.parametrize("address", ["nowhere", "spoon://127.0.0.1:8786", "tcp://127.0.0.1:1"])
def test_an_address_without_a_scheduler_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "SECONDS", 1)
    assert refusal(address).startswith(f"no Dask scheduler answers at {address} (")


def test_without_an_address_it_says_where_one_is_expected() -> None:
    with dask.config.set({"scheduler-address": None}):
        assert refusal(None).startswith("params.yaml: execution.scheduler: missing; expected the address that ")


def test_without_dask_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert refusal("tcp://127.0.0.1:1").startswith("execution.backend: dask is not installed; pip install ")
