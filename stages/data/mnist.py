"""MNIST: its four files, their digests, their format, and the recipe `mnist`."""

import hashlib
import math
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stages.base import files
from stages.data.prepared import by_split, check_labels, digits

# The SHA-256 digests of the uncompressed files.
DIGESTS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
ARRAY_OF_FILE = dict(zip(DIGESTS, ("x_train", "y_train", "x_test", "y_test"), strict=True))
CLASSES = tuple("0123456789")
SIDE = 28

IDX_UINT8 = b"\x00\x00\x08"


def parse_idx(content: bytes) -> np.ndarray:
    r"""Return the array in an IDX file of unsigned bytes.

    The format (http://yann.lecun.com/exdb/mnist) is two zero bytes, the type 8, the number of dimensions, each
    dimension as a big-endian 32-bit integer, and the values in C order.

    Raises
    ------
    ValueError
        If `content` has another format.

    Examples
    --------
    >>> parse_idx(b"\x00\x00\x08\x01" + b"\x00\x00\x00\x02" + b"\x07\xff")
    array([  7, 255], dtype=uint8)
    """
    start = 4 + 4 * int.from_bytes(content[3:4])
    if content[:3] != IDX_UINT8 or not 4 < start <= len(content):
        raise ValueError(f"not an IDX file of unsigned bytes: it starts with {content[:4].hex(' ') or 'nothing'}")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise ValueError(f"an IDX file of shape {shape} has {len(content) - start} values")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def idx_bytes(array: np.ndarray) -> bytes:
    """Return a uint8 `array` as an IDX file. This is the inverse of `parse_idx`."""
    return IDX_UINT8 + struct.pack(f">B{array.ndim}I", array.ndim, *array.shape) + array.tobytes()


def parse(contents: Mapping[str, bytes], digests: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return MNIST from the uncompressed files and their SHA-256 digests, each by the names in `ARRAY_OF_FILE`.

    The arrays are uint8: x_train [60000, 28, 28], y_train [60000], x_test [10000, 28, 28], y_test [10000]. Each file is
    verified before it is parsed.

    Raises
    ------
    ValueError
        If a file has another digest.
    """
    for name in ARRAY_OF_FILE:
        if (found := hashlib.sha256(contents[name]).hexdigest()) != digests[name]:
            raise ValueError(f"{name} has SHA-256 {found}, expected {digests[name]}")
    return {array: parse_idx(contents[name]) for name, array in ARRAY_OF_FILE.items()}


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays that `fetch` wrote to `path`; `parse` has their names and shapes.

    Raises
    ------
    UserError
        If the file is missing or holds anything else.
    """
    arrays = files.read_archive(path)
    x, y = by_split(path, arrays)
    if "test" not in x:
        raise files.damaged(path, "no x_test", "the arrays of MNIST")
    for split, images in x.items():
        check_labels(path, split, y[split], digits(SIDE, "rows", CLASSES))
        if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
            raise files.damaged(path, f"x_{split} is {images.dtype} {list(images.shape)}", "uint8 [n, 28, 28]")
    return arrays


def split(
    raw: Mapping[str, np.ndarray], validation_split: float
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return MNIST's examples and labels by split, split as Keras's ``fit(validation_split=...)`` does.

    The last `validation_split` of the training examples becomes the split validation; the number of the others is
    rounded down. Examples are uint8 [n, 784], 0 to 255, unrolled by rows.
    """
    n_train = int(len(raw["x_train"]) * (1 - validation_split))
    x, y = (
        {"train": train[:n_train], "validation": train[n_train:], "test": test}
        for train, test in ((raw["x_train"], raw["x_test"]), (raw["y_train"], raw["y_test"]))
    )
    return {split: images.reshape(-1, SIDE**2) for split, images in x.items()}, y
