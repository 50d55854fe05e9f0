"""`python -m stages` runs a stage or a tool under the processor settings, and ends errors in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers import PLAIN

from stages import __main__ as command
from stages.base import processor
from stages.base.errors import UserError


def run(root: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = PLAIN | {"PYTHONPATH": str(root)}
    program = [sys.executable, "-m", "stages", *arguments]
    return subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_settings_are_printed_for_a_shell_that_then_has_them(root: Path, tmp_path: Path) -> None:
    printed = run(root, tmp_path, "settings")
    assert printed.stderr == ""
    shell = subprocess.run(
        ["sh", "-c", 'eval "$1" && env', "sh", printed.stdout], env=PLAIN, capture_output=True, text=True, check=True
    )
    found = dict(line.split("=", 1) for line in shell.stdout.splitlines() if "=" in line)
    assert {name: found.get(name) for name in processor.SETTINGS} == processor.SETTINGS


def test_a_stage_runs_under_the_settings_from_before_numpy_is_imported(root: Path) -> None:
    program = (
        "import sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'numpy':\n"
        "            import os; from stages.base import processor\n"
        "            print({k: os.environ.get(k) for k in processor.SETTINGS} == processor.SETTINGS)\n"
        "sys.meta_path.insert(0, Watch())\n"
        "import stages.__main__, numpy\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=root, env=PLAIN, capture_output=True, text=True)
    assert ended.stdout == "True\n", ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no stage; expected python -m stages with one of: plan, fetch, prepare, train, baseline, evaluate, "),
        (["trian", "mnist"], "trian; expected python -m stages with one of: plan, "),
        (["train"], "train: 0 arguments; expected python -m stages train <case>"),
        (["train", "mnist", "ex4"], "train: 2 arguments; expected python -m stages train <case>"),
        (["plan", "mnist"], "plan: 1 arguments; expected python -m stages plan"),
    ],
)
def test_a_wrong_command_is_refused_with_what_was_expected(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        command.main(arguments)
    assert str(caught.value).startswith(message)


def test_an_error_ends_the_command_in_one_line(root: Path, tmp_path: Path) -> None:
    ended = run(root, tmp_path, "evaluate", "mnist")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: configs/mnist/case.json is missing; run `dvc repro`")
    assert len(ended.stderr.splitlines()) == 1
    assert not os.listdir(tmp_path)  # noqa: PTH208
