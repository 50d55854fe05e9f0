import os
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import NOISE

from stages.core import backend


def test_what_native_code_prints_meanwhile_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with backend.muted():
        os.write(2, b"no GPU was found\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_what_was_held_back_is_shown_when_the_import_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with backend.muted():
            os.write(2, b"a library is missing\n")
            raise ImportError("broken")

    with pytest.raises(ImportError):
        fail()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "a library is missing\nafter\n"


def test_keras_computes_with_tensorflow_on_the_cpu() -> None:
    assert backend.keras.backend.backend() == "tensorflow"
    assert {device.device_type for device in backend.tf.config.list_logical_devices()} == {"CPU"}


def test_memory_that_tensorflow_lacks_is_pythons_memory_error_in_one_line() -> None:
    # More than any processor can address.
    with pytest.raises(MemoryError) as caught:
        backend.plain_errors(backend.tf.zeros)([10**15])
    assert str(caught.value).startswith("OOM when allocating tensor with shape[1000000000000000]")
    assert "\n" not in str(caught.value)


def test_any_other_error_of_tensorflow_is_pythons_with_all_that_it_says() -> None:
    with pytest.raises(RuntimeError, match=r"TensorFlow: .*Condition x == y did not hold"):
        backend.plain_errors(backend.tf.debugging.assert_equal)(1, 2)


FAILING = """
from stages.core import errors, execution, params
def task(data):
    from stages.core import backend
    backend.plain_errors(lambda: backend.tf.{call})()
errors.run(lambda: execution.run([task, task], None, params.Execution(backend="loky", workers=2)))
"""


@pytest.mark.parametrize(
    ("call", "last"),
    [
        ("zeros([10**15])", "error: not enough memory (OOM when allocating tensor"),
        ("debugging.assert_equal(1, 2)", "RuntimeError: TensorFlow: "),
    ],
)
def test_an_error_in_a_worker_is_shown_without_the_noise_of_an_import(root: Path, call: str, last: str) -> None:
    command = [sys.executable, "-c", FAILING.format(call=call)]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"\n{last}" in f"\n{ended.stderr}"
    assert not NOISE.search(ended.stderr)


def test_what_keras_would_only_look_at_is_not_imported_and_can_be_later() -> None:
    program = (
        "import gc, sys, stages.core.backend;"
        "assert not {'sklearn', 'matplotlib', 'pandas', 'jax'} & sys.modules.keys();"
        "assert gc.isenabled();"
        "import sklearn, matplotlib, pandas"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
