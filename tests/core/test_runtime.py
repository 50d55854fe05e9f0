import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.core import runtime


def test_importing_any_stage_sets_every_setting_before_numpy_is_imported(root: Path) -> None:
    program = (
        "import sys, os\n"
        "class Watch:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name in ('numpy', 'tensorflow'):\n"
        "            from stages.core.runtime import SETTINGS\n"
        "            assert {key: os.environ.get(key) for key in SETTINGS} == SETTINGS, name\n"
        "            print(name)\n"
        "sys.meta_path.insert(0, Watch())\n"
        "import stages.evaluate\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in runtime.SETTINGS}
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    assert "numpy" in ended.stdout.split()


def test_the_users_own_settings_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "READERS", ())
    for name in runtime.SETTINGS:
        monkeypatch.setenv(name, "of the user")
    runtime.apply()
    assert {name: os.environ[name] for name in runtime.SETTINGS} == runtime.SETTINGS


def test_settings_that_come_too_late_are_an_error_and_not_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "READERS", ("numpy",))
    monkeypatch.setitem(sys.modules, "numpy", os)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with pytest.raises(RuntimeError, match=r"^import stages before numpy: OMP_NUM_THREADS would have no effect$"):
        runtime.apply()
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_settings_that_are_there_already_may_be_applied_again() -> None:
    runtime.apply()


def test_a_process_that_starts_under_the_settings_computes_on_one_thread() -> None:
    pools = importlib.import_module("threadpoolctl").threadpool_info()
    assert {pool["num_threads"] for pool in pools} == {1}
