import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stages.core import errors
from stages.core.errors import UserError


def run(root: Path, raised: str) -> subprocess.CompletedProcess[str]:
    """A process whose stage raises the error `raised`."""
    program = f"from stages.core import errors\ndef main(): raise {raised}\nerrors.run(main)"
    return subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)


def test_a_user_error_is_one_line_on_standard_error_and_exit_code_1(root: Path) -> None:
    ended = run(root, "errors.UserError('params.yaml: seeds: 2; accepted: a list')")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: params.yaml: seeds: 2; accepted: a list\n"


def test_a_file_that_cannot_be_had_is_named_in_one_line_with_the_reason(root: Path) -> None:
    ended = run(root, "PermissionError(13, 'Permission denied', 'data/raw/mnist.npz')")
    assert (ended.returncode, ended.stdout) == (1, "")
    expected = "data/raw/mnist.npz: Permission denied; mend that, then run `dvc repro` again"
    assert ended.stderr == f"error: {expected}\n"


def test_an_error_of_the_system_that_names_no_file_keeps_its_traceback(root: Path) -> None:
    ended = run(root, "BrokenPipeError(32, 'Broken pipe')")
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


def test_too_little_memory_is_told_in_one_line(root: Path) -> None:
    ended = run(root, "MemoryError('Unable to allocate 7 TiB')")
    expected = "not enough memory (Unable to allocate 7 TiB); lower execution.workers in params.yaml"
    assert (ended.returncode, ended.stderr) == (1, f"error: {expected}, or end other programs\n")


def test_ctrl_c_prints_nothing_and_ends_as_the_signal_does(root: Path) -> None:
    # The shell calls this 130.
    for program in ("import stages; raise KeyboardInterrupt", "import stages, signal; signal.raise_signal(2)"):
        command = [sys.executable, "-c", program]
        ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")
    ended = run(root, "KeyboardInterrupt")
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_an_error_that_is_not_the_users_keeps_its_traceback() -> None:
    def main() -> None:
        raise KeyError("a defect")

    with pytest.raises(KeyError):
        errors.run(main)


def test_a_main_that_ends_well_ends_the_process_with_code_0() -> None:
    called = []
    errors.run(lambda: called.append(True))
    assert called == [True]


def test_what_a_user_can_act_on_is_no_other_kind_of_error() -> None:
    assert not issubclass(UserError, (OSError, ValueError, SystemExit))
