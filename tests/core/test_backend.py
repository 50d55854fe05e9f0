import os
import subprocess
import sys

import pytest

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


def test_what_keras_would_only_look_at_is_not_imported_and_can_be_later() -> None:
    program = (
        "import gc, sys, stages.core.backend;"
        "assert not {'sklearn', 'matplotlib', 'pandas', 'jax'} & sys.modules.keys();"
        "assert gc.isenabled();"
        "import sklearn, matplotlib, pandas"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
