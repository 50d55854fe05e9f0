"""Workers of a machine read the training data from one file, and none has a copy of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples

from stages.base.shared import share, write
from stages.training.tensors import tensor_of
from stages.training.trainer import Trainer


def test_a_shared_value_is_the_same_and_a_change_of_it_stays_where_it_is_made(tmp_path: Path) -> None:
    value: dict[str, Any] = {
        "a": np.arange(5, dtype=np.uint8),
        "b": np.ones((3, 2), order="F"),
        "c": np.zeros((0, 4)),
        "d": "text",
    }
    read = share(value, tmp_path / "data")
    first, second = read(), read()
    assert first["d"] == "text"
    assert all(first[name].tobytes() == value[name].tobytes() for name in "abc")
    first["a"][0] = 99
    assert second["a"][0] == read()["a"][0] == 0


def test_a_full_disk_is_told_with_the_name_of_the_file() -> None:
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        share(np.zeros(100_000), Path("/dev/full"))


def test_an_error_of_what_gives_the_parts_stays_as_it_is(tmp_path: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b"first"
        raise ConnectionError("the other end is gone")

    with pytest.raises(ConnectionError, match="the other end is gone"):
        write(tmp_path / "data", parts())


def test_a_trainer_has_no_copy_of_shared_data(tmp_path: Path) -> None:
    data = samples.dataset()
    shared = share(data, tmp_path / "data")()
    trainer = Trainer(samples.network(), shared)
    inputs = np.from_dlpack(trainer._train[0])
    assert inputs.ctypes.data == shared.x["train"].ctypes.data
    assert trainer.run(0).weights["output.kernel"].tobytes() == (
        Trainer(samples.network(), data).run(0).weights["output.kernel"].tobytes()
    )


def test_an_array_that_is_not_aligned_is_copied() -> None:
    memory = np.zeros(1000, np.uint8)
    place = -memory.ctypes.data % 64 + 4
    array = memory[place : place + 400].view(np.float32)
    assert np.from_dlpack(tensor_of(array)).ctypes.data != array.ctypes.data
