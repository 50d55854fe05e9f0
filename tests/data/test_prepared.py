from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.base import files
from stages.base.errors import UserError
from stages.data import prepared
from stages.data.prepared import Image, Prepared

PATH = Path("data/prepared/ex4.npz")
X = {"train": np.arange(36, dtype=np.float32).reshape(4, 9), "test": np.zeros((2, 9), np.float32)}
Y = {"train": np.array([1, 0, 1, 0], np.uint8), "test": np.zeros(2, np.uint8)}
DATA = Prepared(X, Y, prepared.digits(3, "columns", "0123456789"))
FACTS = DATA.facts.model_dump(mode="json")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prepared.write(PATH, DATA)


def test_prepared_data_are_read_as_they_were_written_in_the_order_of_training() -> None:
    x, y = {"validation": X["test"] + 1, **X}, {"validation": Y["test"] + 1, **Y}
    raw = {split: labels.astype(np.float32) + 5 for split, labels in y.items()}
    weight, first = np.arange(4, dtype=np.float32), {"hidden.kernel": np.ones((9, 2), np.float32)}
    prepared.write(PATH, replace(DATA, x=x, y=y, raw=raw, sample_weight=weight, first_weights=first))
    data = prepared.read(PATH)
    assert (data.n_classes, data.side, data.shape, data.sha256) == (10, 3, (9,), files.sha256(PATH))
    assert data.facts == DATA.facts
    assert list(data.x) == list(data.y) == ["train", "validation", "test"]
    for split in x:
        assert np.array_equal(data.x[split], x[split])
        assert np.array_equal(data.y[split], y[split])
        assert np.array_equal(data.given(split), raw[split])
    assert data.sample_weight is not None
    assert np.array_equal(data.sample_weight, weight)
    assert np.array_equal(data.first_weights["hidden.kernel"], first["hidden.kernel"])


def test_without_raw_targets_the_values_of_the_classes_are_what_the_file_has() -> None:
    facts = DATA.facts.model_copy(update={"values": [-1.0, 1.0], "classes": ["-1", "1"]})
    assert replace(DATA, facts=facts).given("train").tolist() == [1, -1, 1, -1]
    assert replace(DATA, facts=facts.model_copy(update={"values": None})).given("train").tolist() == [1, 0, 1, 0]


def test_images_stand_upright_in_either_order() -> None:
    upright = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    orders: dict[prepared.Order, np.ndarray] = {"rows": upright, "columns": upright.swapaxes(1, 2)}
    for order, rows in orders.items():
        facts = DATA.facts.model_copy(update={"image": Image(side=3, order=order)})
        images = replace(DATA, facts=facts).images(rows.reshape(2, 9))
        assert images.dtype == np.uint8
        assert np.array_equal(images, upright)


def test_a_subset_has_the_first_examples_of_each_class_class_by_class_if_there_are_as_many() -> None:
    subset = prepared.read(PATH).first_of_each_class({1: 1, 0: 2})
    assert list(subset.x) == list(subset.y) == ["train"]
    assert subset.y["train"].tolist() == [0, 0, 1]
    assert np.array_equal(subset.x["train"], X["train"][[1, 3, 0]])
    assert subset.n_classes == 10
    weighted = replace(prepared.read(PATH), sample_weight=np.arange(4)).first_of_each_class({1: 1, 0: 2})
    assert weighted.sample_weight is not None
    assert weighted.sample_weight.tolist() == [1, 3, 0]
    with pytest.raises(UserError, match=r"^class 1 has 2 training examples; expected at least 3"):
        prepared.read(PATH).first_of_each_class({0: 1, 1: 3})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"x_train": None}, "arrays x_test, y_test, y_train; expected x_<split> and y_<split> of train, and perhaps"),
        ({"x_validation": np.zeros((1, 9))}, "arrays .*x_validation.*; expected"),
        (
            {"x_train": np.zeros((4, 9)), "x_test": np.zeros((2, 9))},
            r"x_train is float64 \[4, 9\].*; expected uint8 or",
        ),
        ({"raw_train": np.zeros(3, np.float32)}, "arrays of different lengths; expected one row per example"),
        ({"sample_weight": np.zeros(3, np.float32)}, "arrays of different lengths; expected one row per example"),
        ({"x_train": np.zeros((4, 3, 3), np.float32)}, r"x_train is float32 \[4, 3, 3\].*; expected examples of one"),
        ({"x_test": np.zeros((2, 8), np.float32)}, r".*x_test is float32 \[2, 8\]; expected"),
        (
            {"x_test": np.zeros((0, 9), np.float32), "y_test": np.zeros(0, np.uint8)},
            r".*x_test is float32 \[0, 9\]; ex",
        ),
        ({"x_train": np.full((4, 9), np.nan, np.float32)}, "x_train has values that are not finite; expected"),
        ({"y_train": np.arange(4)}, r"y_train is int64 \[4\], at most 3; expected uint8 \[4\], classes 0 to 9"),
        ({"y_train": np.arange(5, dtype=np.uint8)}, r"y_train of shape \[5\]; expected 4 rows"),
        ({"y_train": np.arange(8, 12, dtype=np.uint8)}, r"y_train is uint8 \[4\], at most 11; expected .* 0 to 9"),
        ({"facts.json": None}, "facts.json: task: Field required; expected what `prepare` writes"),
        ({"facts.json": [1]}, "facts.json: .*; expected what `prepare` writes"),
        ({"facts.json": FACTS | {"classes": []}}, "facts.json: classes: List should have at least 1 item"),
        ({"facts.json": FACTS | {"image": {"side": 2, "order": "rows"}}}, "9 features; expected 4, pictures"),
        ({"facts.json": FACTS | {"task": "regression"}}, r"y_train is uint8 .*; expected float64 \[4, 10\], finite"),
        ({"facts.json": FACTS | {"task": "multilabel"}}, r"y_train is uint8 .*; expected uint8 \[4, 10\], each 0 or 1"),
    ],
)
def test_other_data_are_refused_with_what_they_are_and_should_be(changes: dict[str, Any], problem: str) -> None:
    members = {name: value for name, value in (files.read_archive(PATH) | changes).items() if value is not None}
    files.write_archive(PATH, members)
    with pytest.raises(UserError, match=f"^{PATH}: {problem}.*; delete it and run `dvc repro`") as caught:
        prepared.read(PATH)
    assert "\n" not in str(caught.value)


def test_a_damaged_and_a_missing_file_are_refused() -> None:
    PATH.write_bytes(PATH.read_bytes()[:-30])
    with pytest.raises(UserError, match=f"^{PATH}: .*expected an archive of arrays; delete it"):
        prepared.read(PATH)
    PATH.unlink()
    with pytest.raises(UserError, match=f"^{PATH} is missing; run `dvc repro`"):
        prepared.read(PATH)
