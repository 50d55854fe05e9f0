import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import servers

from stages.core import cluster, runtime

distributed = pytest.importorskip("distributed", reason="Dask is not installed (pip install '.[dask]')")

pytestmark = pytest.mark.usefixtures("limited")


def test_a_worker_and_what_it_starts_are_under_the_settings_from_their_start(tmp_path: Path) -> None:
    def environment_of_start() -> dict[str, str]:
        entries = Path("/proc/self/environ").read_text(encoding="utf-8").split("\0")
        return dict(entry.split("=", 1) for entry in entries if entry)

    with (
        servers.dask_scheduler(tmp_path) as address,
        servers.dask_worker(address, tmp_path),
        distributed.Client(address, set_as_default=False) as client,
    ):
        client.wait_for_workers(1, timeout=servers.START)
        (environment,) = client.run(environment_of_start).values()
    assert {name: environment.get(name) for name in runtime.SETTINGS} == runtime.SETTINGS


def test_a_worker_that_is_full_is_started_anew(tmp_path: Path) -> None:
    def fill(data: None) -> int:
        sys.modules[f"filling {time.monotonic_ns()}"] = bytearray(60_000_000)  # type: ignore[assignment]
        time.sleep(0.3)
        return os.getpid()

    with servers.dask_scheduler(tmp_path) as address, servers.dask_worker(address, tmp_path, "--memory-limit", "400MB"):
        processes = [process for _, process in cluster.ended([fill] * 8, None, address)]
    assert len(processes) == 8
    assert len(set(processes)) > 1


def test_its_options_are_those_of_dask_worker(root: Path) -> None:
    command = [sys.executable, "-m", "stages.core.worker", "--help"]
    ended = subprocess.run(command, cwd=root, env=servers.PLAIN, capture_output=True, text=True, check=True)
    assert "--nthreads" in ended.stdout


def test_without_dask_it_ends_in_one_line_that_says_how_to_install_it(root: Path) -> None:
    program = (
        "import sys, runpy\n"
        "sys.modules['distributed'] = None\n"
        "runpy.run_module('stages.core.worker', run_name='__main__')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "error: Dask is not installed; pip install '.[dask]'\n")
