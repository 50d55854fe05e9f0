"""Tasks on a real Dask cluster: a scheduler and workers that speak TCP on loopback."""

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import servers

from stages.core import cluster
from stages.core.errors import UserError

dask = pytest.importorskip("dask", reason="Dask is not installed (pip install '.[dask]')")
distributed = pytest.importorskip("distributed", reason="Dask is not installed (pip install '.[dask]')")

pytestmark = pytest.mark.usefixtures("limited")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler, to which each test brings its workers."""
    with servers.dask_scheduler(tmp_path_factory.mktemp("scheduler")) as address:
        yield address


@pytest.fixture
def client(scheduler: str) -> Iterator[Any]:
    """A look at the cluster, which is without workers when the test begins."""
    with distributed.Client(scheduler, set_as_default=False) as client:
        servers.wait_until(lambda: not client.scheduler_info(n_workers=-1)["workers"])
        yield client


def numbered(count: int, of: Callable[[Any], Any]) -> list[Callable[[Any], tuple[int, Any]]]:
    """`count` tasks that give their number and what `of` gives; Dask sends such local functions as they are."""

    def task(number: int) -> Callable[[Any], tuple[int, Any]]:
        return lambda data: (number, of(data))

    return [task(number) for number in range(count)]


def message(tasks: list[Callable[[Any], Any]], scheduler: str | None) -> str:
    """What the cluster is refused with, in one line."""
    with pytest.raises(UserError) as caught, closing(cluster.ended(tasks, None, scheduler)) as ended:
        list(ended)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_data_goes_to_each_worker_once_and_tasks_never_run_here(scheduler: str, client: Any, tmp_path: Path) -> None:
    data = {"x": np.arange(2_000_000)}

    def seen(data: Mapping[str, np.ndarray]) -> tuple[int, int, int]:
        time.sleep(0.1)
        return os.getpid(), id(data["x"]), int(data["x"].sum())

    with servers.dask_worker(scheduler, tmp_path), servers.dask_worker(scheduler, tmp_path):
        client.wait_for_workers(2, timeout=servers.START)
        ended = list(cluster.ended(numbered(12, seen), data, scheduler))
        processes = set(client.run(os.getpid).values())
    assert sorted(place for place, _ in ended) == list(range(12))
    assert all(place == number for place, (number, _) in ended)
    assert {process for _, (_, (process, _, _)) in ended} == processes
    assert len({(process, place) for _, (_, (process, place, _)) in ended}) == 2
    assert {total for _, (_, (_, _, total)) in ended} == {int(data["x"].sum())}


def test_when_all_workers_are_killed_their_successors_do_the_rest(scheduler: str, client: Any, tmp_path: Path) -> None:
    def seen(data: Mapping[str, np.ndarray]) -> int:
        time.sleep(0.3)
        return os.getpid()

    # One worker of one thread, which joblib by itself would do without.
    with servers.dask_worker(scheduler, tmp_path):
        client.wait_for_workers(1, timeout=servers.START)
        processes = []
        for number, (_, (_, process)) in enumerate(cluster.ended(numbered(4, seen), {"x": np.zeros(9)}, scheduler)):
            if number == 0:
                os.kill(process, signal.SIGKILL)
            processes.append(process)
    assert len(processes) == 4
    assert len(set(processes)) == 2
    assert os.getpid() not in processes


def test_a_worker_with_other_settings_other_code_or_none_is_refused(
    root: Path, scheduler: str, client: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(root / "stages", other / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "stages/core/losses.py").open("a", encoding="utf-8") as file:
        file.write("# Edited.\n")
    (tmp_path / "none/stages").mkdir(parents=True)
    dask = "distributed.cli.dask_worker"
    workers: list[tuple[dict[str, Any], str]] = [
        ({"module": dask}, "RuntimeError: import stages before numpy: "),
        ({"code": other}, f"instead of {cluster.identity()['code']}; "),
        ({"module": dask, "code": tmp_path / "none", "environment": os.environ}, "No module named 'stages.core'"),
    ]
    for options, expected in workers:
        servers.wait_until(lambda: not client.scheduler_info(n_workers=-1)["workers"])
        with servers.dask_worker(scheduler, tmp_path, **options):
            client.wait_for_workers(1, timeout=servers.START)
            said = message(numbered(1, id), scheduler)
        assert said.startswith("the Dask worker tcp://127.0.0.1:")
        assert expected in said
        assert said.endswith(f" is started with: python -m stages.core.worker {scheduler}")


def test_a_task_that_ends_its_workers_is_given_up(scheduler: str, client: Any, tmp_path: Path) -> None:
    with servers.dask_worker(scheduler, tmp_path), servers.dask_worker(scheduler, tmp_path):
        said = message(numbered(1, lambda data: os._exit(1)), scheduler)
    assert "4 Dask workers ended over the same cell" in said


def test_an_error_of_a_task_is_raised_here(scheduler: str, client: Any, tmp_path: Path) -> None:
    with (
        servers.dask_worker(scheduler, tmp_path),
        pytest.raises(ZeroDivisionError),
        closing(cluster.ended(numbered(2, lambda data: 1 / data), 0, scheduler)) as ended,
    ):
        list(ended)


def test_a_scheduler_that_goes_ends_the_work(tmp_path: Path) -> None:
    with servers.dask_scheduler(tmp_path) as address, servers.dask_worker(address, tmp_path):
        with distributed.Client(address, set_as_default=False) as client:
            process = client.run_on_scheduler(os.getpid)
        with closing(cluster.ended(numbered(2, lambda data: time.sleep(0.3)), None, address)) as ended:
            next(ended)
            os.kill(process, signal.SIGKILL)
            with pytest.raises(UserError, match=f"^the Dask scheduler at {address} is gone; start it"):
                next(ended)


def test_a_cluster_without_workers_is_refused(scheduler: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "WAIT", 1)
    assert message([], scheduler) == (
        f"params.yaml: execution.scheduler: the Dask scheduler at {scheduler} has no worker after 1 s; "
        f"start one with: python -m stages.core.worker {scheduler}"
    )


@pytest.mark.parametrize("address", ["nowhere", "tcp://127.0.0.1", "spoon://127.0.0.1:8786", "tcp://127.0.0.1:1"])
def test_an_address_without_a_scheduler_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "WAIT", 1)
    said = message([], address)
    assert said.startswith(f"params.yaml: execution.scheduler: no Dask scheduler at {address} (")
    assert said.endswith("); accepted: the address that `dask scheduler` shows")


def test_a_server_that_is_silent_is_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "WAIT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "(no answer within 1 s)" in message([], f"tcp://127.0.0.1:{silent.getsockname()[1]}")


def test_an_address_of_dasks_own_configuration_is_named_by_its_variable() -> None:
    with dask.config.set({"scheduler-address": "nowhere"}):
        assert message([], None).startswith("DASK_SCHEDULER_ADDRESS: no Dask scheduler at nowhere (")


def test_without_any_address_it_says_where_one_is_accepted() -> None:
    with dask.config.set({"scheduler-address": None}):
        assert message([], None) == (
            "params.yaml: execution.scheduler: missing with backend dask; accepted: the address of a Dask scheduler, "
            "such as tcp://host:8786, there or in the environment variable DASK_SCHEDULER_ADDRESS"
        )


def test_without_dask_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = message([], "tcp://127.0.0.1:1")
    assert said == "params.yaml: execution.backend: dask, which is not installed; pip install '.[dask]'"


@pytest.mark.parametrize(
    ("process", "package", "version", "expected"),
    [
        (
            "scheduler",
            "distributed",
            "2024.1.0",
            "the Dask scheduler has distributed 2024.1.0, this process 2026.8.0; ",
        ),
        ("workers", "python", "3.12.1.final.0", "the Dask worker tcp://a:1 has python 3.12, this process 3.11; "),
        ("workers", "python", "3.11.9.final.0", ""),
        ("workers", "toolz", "7", ""),
    ],
)
def test_processes_that_might_not_read_each_other_are_refused(
    process: str, package: str, version: str, expected: str
) -> None:
    own = {
        "python": "3.11.7.final.0",
        "dask": "2026.8.0",
        "distributed": "2026.8.0",
        "cloudpickle": "3.1",
        "toolz": "1",
    }
    other = {"packages": own | {package: version}}
    same = {"packages": own}
    report = {"client": same, "scheduler": same, "workers": {"tcp://a:1": same}}
    report[process] = {"tcp://a:1": other} if process == "workers" else other
    if not expected:
        cluster._compare(report)
        return
    with pytest.raises(UserError) as caught:
        cluster._compare(report)
    assert str(caught.value) == f"{expected}they need the same: install requirements.lock where it runs"


def test_processes_that_differ_in_what_decides_the_bits_are_told_apart() -> None:
    own = cluster.identity()
    assert cluster.differences(own) == ""
    assert cluster.differences({**own, "numpy": "1.0"}) == f"numpy {np.__version__} instead of 1.0"
