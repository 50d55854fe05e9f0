"""Keras is imported without noise and without what no stage uses; its errors become Python's own."""

import subprocess
import sys
from pathlib import Path

import pytest

from stages.training import keras as backend


def test_keras_computes_with_tensorflow_on_the_cpu() -> None:
    assert backend.keras.backend.backend() == "tensorflow"
    assert {device.device_type for device in backend.tf.config.list_logical_devices()} == {"CPU"}


def test_too_little_memory_is_a_memory_error_in_one_line() -> None:
    # More than any processor can address.
    with pytest.raises(MemoryError) as caught:
        backend.plain_errors(backend.tf.zeros)([10**15])
    assert str(caught.value).startswith("OOM when allocating tensor with shape[1000000000000000]")
    assert "\n" not in str(caught.value)


def test_any_other_error_of_tensorflow_is_a_runtime_error_with_its_message() -> None:
    with pytest.raises(RuntimeError, match=r"TensorFlow: .*Condition x == y did not hold"):
        backend.plain_errors(backend.tf.debugging.assert_equal)(1, 2)


def test_packages_that_keras_only_looks_for_are_not_imported_and_can_be_later(root: Path) -> None:
    program = (
        "import sys, stages.training.keras;"
        "assert not {'sklearn', 'matplotlib', 'pandas', 'jax'} & sys.modules.keys();"
        "import sklearn, matplotlib, pandas"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
