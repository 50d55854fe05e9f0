"""`prepare` writes the same bits on every machine, and pictures that stand upright."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import prepare
from stages.base import files
from stages.data import prepared

MNIST = {"file": "data/raw/mnist.npz", "recipe": "mnist", "validation_split": 0.33}
EX4 = {"file": "data/raw/mnist.npz", "recipe": "exercise4", "examples_per_class": 500, "side": 20}
# SHA-256 of the arrays' bytes, which must be the same on every machine.
DIGESTS = {
    "mnist": {
        "x_train": "dc1afb4a386ccb6869c3ea4555650914473817b85403d69170a418fe80317586",
        "x_validation": "9d5d726690f52e2f189272786f2ec6498aab72473ff0863cb31f5ad39f3fae06",
        "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "y_train": "e6458eb58d3cab8ea105bc438740e4a45a8ffffa2f16d158fb10cfa114870cad",
        "y_validation": "ad22071370a90c0e309da487d6de1857842107bfde83a2927591487d95449f4c",
        "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
    "ex4": {
        "x_train": "ca1851603879757de4f53fb6cdcba2333f4411b115d7c4c078196a88ada85d78",
        "x_test": "773a2bc19ccdbd78a5f835bca72ec32916f971298b4f614e02038c85478ccb21",
        "y_train": "41b7b0a9d94690a3a2f54a1d01a9f1cc1b9512e3954fb737ad5ed9f66972403d",
        "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
}


def planned(data: dict[str, Any], task: str = "multiclass") -> dict[str, Any]:
    return {"task": task, "data": data}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw_mnist: dict[str, np.ndarray]) -> Path:
    """A folder in which the stage can run on the case ex4."""
    monkeypatch.chdir(tmp_path)
    files.write_json(files.config_path("ex4", "data"), planned(EX4))
    files.write_archive(files.RAW_MNIST, raw_mnist)
    return tmp_path


@pytest.mark.parametrize(
    ("case", "data", "facts"), [("mnist", MNIST, (28, "rows", "uint8")), ("ex4", EX4, (20, "columns", "float32"))]
)
def test_the_prepared_data_have_the_same_bits_on_every_machine(
    folder: Path, case: str, data: dict[str, Any], facts: tuple[int, str, str]
) -> None:
    files.write_json(files.config_path(case, "data"), planned(data))
    before = {path for path in folder.rglob("*") if path.is_file()}
    prepare.main(case)
    path = files.prepared_path(case)
    assert {path for path in folder.rglob("*") if path.is_file()} - before == {folder / path}
    read = prepared.read(path)
    assert read.facts.image is not None
    assert (read.side, read.facts.image.order, read.x["train"].dtype.name) == facts
    assert read.n_classes == 10
    written = {f"{kind}_{split}": a for kind, arrays in (("x", read.x), ("y", read.y)) for split, a in arrays.items()}
    assert {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in written.items()} == DIGESTS[case]


def test_pictures_of_the_exercise_stand_upright(folder: Path, raw_mnist: dict[str, np.ndarray]) -> None:
    files.write_json(files.config_path("ex4", "data"), planned(EX4 | {"examples_per_class": 1, "side": 28}))
    prepare.main("ex4")
    read = prepared.read(files.prepared_path("ex4"))
    images = np.rint(read.images(read.x["test"]) * 255)
    assert np.array_equal(images, raw_mnist["x_test"])


def test_own_data_are_prepared_and_what_was_done_to_them_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files.write_bytes(Path("data/own/a.csv"), b"sex,age,sick\nf,1,yes\nm,2,no\n")
    data = {"recipe": "own", "file": "data/own/a.csv", "target": ["sick"], "test_split": 0.5}
    files.write_json(files.config_path("heart", "data"), planned(data, "binary"))
    prepare.main("heart")
    assert capsys.readouterr().out.splitlines() == [
        "heart: column sex is text and becomes 2 columns of 0 and 1",
        "heart: 2 rows are too few to split; networks are scored on the rows that they learn",
        "wrote data/prepared/heart.npz: 2 train",
    ]
    read = prepared.read(files.prepared_path("heart"))
    assert read.x["train"].tolist() == [[1, 1, 0], [2, 0, 1]]
    assert read.facts.classes == ["no", "yes"]
    first = files.prepared_path("heart").read_bytes()
    prepare.main("heart")
    assert files.prepared_path("heart").read_bytes() == first
