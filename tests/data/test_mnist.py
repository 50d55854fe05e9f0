from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from stages.base import files
from stages.base.errors import UserError
from stages.data import mnist


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)))
def test_an_idx_file_parses_to_the_array_that_it_was_written_from(array: np.ndarray) -> None:
    parsed = mnist.parse_idx(mnist.idx_bytes(array))
    assert parsed.shape == array.shape
    assert np.array_equal(parsed, array)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "starts with nothing"),
        (b"\x00\x00\x08", "starts with 00 00 08"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00\x00\x00\x00", "starts with 00 00 0d 01"),
        (b"\x00\x00\x08\x02\x00\x00\x00\x01", "starts with 00 00 08 02"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x02\x07", r"shape \(2,\) has 1 values"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x01\x07\x07", r"shape \(1,\) has 2 values"),
    ],
    ids=["empty", "no dimensions", "another type", "half a header", "too short", "too long"],
)
def test_other_files_are_refused(content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        mnist.parse_idx(content)


def test_a_file_with_another_digest_is_refused_before_it_is_parsed() -> None:
    contents = dict.fromkeys(mnist.ARRAY_OF_FILE, b"not even IDX")
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte has SHA-256 [0-9a-f]{64}, expected ba891046"):
        mnist.parse(contents, mnist.DIGESTS)


def test_mnist_is_split_as_keras_splits_it(raw_mnist: dict[str, np.ndarray]) -> None:
    x, y = mnist.split(raw_mnist, 0.33)
    for split, n in {"train": 40199, "validation": 19801, "test": 10000}.items():
        assert (x[split].dtype.name, x[split].shape) == ("uint8", (n, 784))
        assert (y[split].dtype.name, y[split].shape) == ("uint8", (n,))
    # The accuracies in the post are those of a network that always answers 1.
    assert round(float(np.mean(y["train"] == 1)), 4) == 0.1141
    assert round(float(np.mean(y["validation"] == 1)), 4) == 0.1088


@given(st.integers(2, 40), st.floats(0.001, 0.999))
def test_every_example_is_in_one_split(n: int, share: float) -> None:
    images = np.arange(n, dtype=np.uint8)[:, np.newaxis, np.newaxis] * np.ones((1, 28, 28), np.uint8)
    labels = np.arange(n, dtype=np.uint8)
    raw = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    x, y = mnist.split(raw, share)
    assert np.array_equal(np.concatenate([x["train"], x["validation"]]), images.reshape(n, 784))
    assert np.array_equal(np.concatenate([y["train"], y["validation"]]), labels)
    assert np.array_equal(x["test"], images.reshape(n, 784))


def test_raw_data_are_images(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    images = {"x_train": np.zeros((3, 28, 28), np.uint8), "y_train": np.zeros(3, np.uint8)}
    images |= {"x_test": images["x_train"], "y_test": images["y_train"]}
    files.write_archive(path, images)
    assert mnist.read(path).keys() == images.keys()
    rows = {name: array.reshape(3, -1) if name[0] == "x" else array for name, array in images.items()}
    files.write_archive(path, rows)
    with pytest.raises(UserError, match=rf"^{path}: x_train is uint8 \[3, 784\]; expected uint8 \[n, 28, 28\]; delete"):
        mnist.read(path)
