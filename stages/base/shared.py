"""A value that several processes of this machine read without a copy of their own."""

import mmap
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

Value = TypeVar("Value")

# TensorFlow takes an array without copying it if it begins at a multiple of so many bytes.
ALIGNMENT = 64


def share(value: Value, path: Path) -> Callable[[], Value]:
    """Write the arrays in `value` to `path`, and return what gives `value` in any process while the file exists.

    A process that changes an array changes nothing for the others.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    places = []
    try:
        with path.open("wb") as file:
            for buffer in buffers:
                file.write(bytes(-file.tell() % ALIGNMENT))
                start = file.tell()
                file.write(buffer.raw())
                places.append(slice(start, file.tell()))
    except OSError as error:
        # Python does not name the file if a write fails.
        raise OSError(error.errno, error.strerror, str(path)) from None
    return cast(Callable[[], Value], partial(_read, path, content, places))


def _read(path: Path, content: bytes, places: list[slice]) -> object:
    with path.open("rb") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    return pickle.loads(content, buffers=[memory[place] for place in places])
