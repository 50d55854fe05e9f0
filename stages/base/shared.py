"""A value that several processes of this machine read without a copy of their own."""

import mmap
import pickle
from collections.abc import Callable, Iterable
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
    read, parts = packed(value)
    write(path, parts)
    return partial(read, path)


def write(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write `parts` one after the other to `path`.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    try:
        with path.open("wb") as file:
            file.writelines(parts)
    except OSError as error:
        if error.errno is None:  # of what gives the parts, such as a connection that is closed
            raise
        # Python does not name the file if a write fails.
        raise OSError(error.errno, error.strerror, str(path)) from None


def packed(value: Value) -> tuple[Callable[[Path], Value], list[memoryview]]:
    """Return what gives `value` from a file, on any machine, and the bytes of this file in parts, without a copy."""
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts, places, end = [], [], 0
    for buffer in buffers:
        padding, raw = memoryview(bytes(-end % ALIGNMENT)), buffer.raw()
        start = end + padding.nbytes
        end = start + raw.nbytes
        parts += [padding, raw]
        places.append(slice(start, end))
    return cast(Callable[[Path], Value], partial(_read, content, places)), parts


def _read(content: bytes, places: list[slice], path: Path) -> object:
    with path.open("rb") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    return pickle.loads(content, buffers=[memory[place] for place in places])
