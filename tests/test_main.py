"""`python -m stages` runs a stage or a tool under the processor settings, and ends errors in one line."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servers import PLAIN

from stages import __main__ as command
from stages.base import lifetime, processor
from stages.base.errors import UserError, one_line


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


@pytest.mark.tried("settings of the user")
@pytest.mark.parametrize(
    ("output", "code", "said"),
    [
        ("| true", 141, ""),
        ("> /dev/full", 1, "error: standard output: No space left on device; mend that, then run `dvc repro` again\n"),
        (">&-", 0, ""),
    ],
)
def test_an_output_that_takes_no_more_ends_the_command_without_a_traceback(
    root: Path, output: str, code: int, said: str
) -> None:
    command = f"{sys.executable} -m stages settings {output}; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], cwd=root, env=PLAIN, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (code, said)


@pytest.mark.tried("settings of the user")
@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("libtensorflow_cc.so.2: failed to map segment from shared object", "not enough memory (libtensorflow_cc.so.2"),
        ("No module named 'keras'", "No module named 'keras'; install the packages of requirements.lock"),
    ],
)
def test_a_library_that_cannot_be_imported_ends_the_command_in_one_line(reason: str, message: str) -> None:
    with pytest.raises(SystemExit, match=rf"^error: {re.escape(message)}"), one_line():
        raise ImportError(reason)


@pytest.mark.tried("settings of the user")
@pytest.mark.parametrize(
    ("settings", "printed", "said"),
    [
        (b"text.usetex: True\n", "False\n", ""),
        (b"# \xe9\n", "", "error: matplotlibrc: not UTF-8; expected .*; move it out of this folder\n"),
    ],
)
def test_drawing_settings_in_the_folder_are_not_taken_or_refused_in_one_line(
    root: Path, tmp_path: Path, settings: bytes, printed: str, said: str
) -> None:
    (tmp_path / "matplotlibrc").write_bytes(settings)
    program = "from stages.page.figures import mpl; print(mpl.rcParams['text.usetex'])"
    program = f"from stages.base.errors import one_line\nwith one_line(): {program}"
    command = [sys.executable, "-c", program]
    environment = PLAIN | {"PYTHONPATH": str(root)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout == printed
    assert re.fullmatch(said, ended.stderr)
    (tmp_path / "matplotlibrc").rename(tmp_path / "moved")
    assert subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode == 0


@pytest.mark.tried("settings of the user")
def test_texts_that_python_leaves_out_end_the_command_in_one_line(root: Path) -> None:
    command = [sys.executable, "-OO", "-m", "stages", "settings"]
    ended = subprocess.run(command, cwd=root, env=PLAIN, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch("error: .*; unset PYTHONOPTIMIZE.*\n", ended.stderr)


def test_a_stage_waits_for_the_same_stage_of_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc/tmp").mkdir(parents=True)

    def enter(*command: str) -> str:
        with lifetime.turn(command):
            return capsys.readouterr().out

    with ThreadPoolExecutor(1) as executor:
        with lifetime.turn(["train", "ex4"]):
            assert enter("train", "mnist") == ""
            second = executor.submit(enter, "train", "ex4")
            with pytest.raises(TimeoutError):
                second.result(timeout=2)
        assert second.result() == "waiting for the other `python -m stages train ex4` in this folder to end\n"
