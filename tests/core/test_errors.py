import subprocess
import sys
from pathlib import Path

import pytest

from stages.core import errors
from stages.core.errors import UserError


def test_a_user_error_is_one_line_on_standard_error_and_exit_code_1(root: Path) -> None:
    program = (
        "from stages.core import errors\n"
        "def main(): raise errors.UserError('params.yaml: seeds: 2; accepted: a list')\n"
        "errors.run(main)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: params.yaml: seeds: 2; accepted: a list\n"


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
