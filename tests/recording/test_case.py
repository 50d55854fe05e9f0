"""A recording becomes a case: its task, its data file, and what the stages read of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recording import recordings
from recording.recordings import dense, layer, recording
from stages.base import files
from stages.base.errors import UserError
from stages.config.data import OwnData
from stages.config.schema import Case
from stages.data import own
from stages.recording.case import RecordedCase, case_of
from stages.recording.recorded import Recording

RANDOM = np.random.default_rng(1)
TWO = RANDOM.integers(2, size=100)
TEN = RANDOM.integers(10, size=100)
ONE_HOT = np.eye(3)[RANDOM.integers(3, size=100)]
LABELS = RANDOM.integers(2, size=(100, 4))


def outputs(units: int, activation: str) -> list[dict[str, Any]]:
    return [dense("hidden", 4, 8, "relu"), dense("output", 8, units, activation)]


def task(y: np.ndarray, loss: str, units: int, activation: str, **changes: Any) -> str:
    data = {"x": recordings.arrays()["x"], "y": y}
    entry = {"name": loss, "own": False, "settings": {}, "line": None}
    block = case_of(recording(data, loss=entry, layers=outputs(units, activation), **changes), "a").block
    return str(block["task"])


@pytest.mark.parametrize(
    ("y", "loss", "units", "activation", "expected"),
    [
        (TWO, "binary_crossentropy", 1, "sigmoid", "binary"),
        (2 * TWO - 1, "binary_crossentropy", 1, "sigmoid", "binary"),
        (2.0 * TWO[:, np.newaxis] - 1, "mse", 1, "tanh", "binary"),
        (TWO.astype(bool), "binary_crossentropy", 1, "sigmoid", "binary"),
        (TWO, "mse", 1, "linear", "binary"),
        (TWO, "sparse_categorical_crossentropy", 2, "softmax", "binary"),
        (np.eye(2)[TWO], "categorical_crossentropy", 2, "softmax", "binary"),
        (np.where(TWO, "yes", "no"), "binary_crossentropy", 1, "sigmoid", "binary"),
        (TEN, "sparse_categorical_crossentropy", 10, "softmax", "multiclass"),
        (TEN, "binary_crossentropy", 1, "sigmoid", "multiclass"),
        (TEN, "mse", 10, "softmax", "multiclass"),
        (TEN, "mse", 1, "sigmoid", "multiclass"),
        (ONE_HOT, "mse", 3, "softmax", "multiclass"),
        (ONE_HOT, "binary_crossentropy", 3, "sigmoid", "multiclass"),
        (LABELS, "binary_crossentropy", 4, "sigmoid", "multilabel"),
        (LABELS, "mse", 4, "linear", "multilabel"),
        (RANDOM.normal(size=100), "mse", 1, "linear", "regression"),
        (np.arange(100.0), "mae", 1, "linear", "regression"),
        (RANDOM.normal(size=(100, 3)), "mse", 3, "linear", "regression"),
        (RANDOM.uniform(size=(100, 3)), "binary_crossentropy", 3, "sigmoid", "regression"),
        (RANDOM.uniform(size=100), "binary_crossentropy", 1, "sigmoid", "regression"),
    ],
)
def test_the_task_follows_from_targets_loss_and_outputs(
    y: np.ndarray, loss: str, units: int, activation: str, expected: str
) -> None:
    assert task(y, loss, units, activation) == expected


def stored(found: RecordedCase, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the data that `prepare` reads of a recorded case."""
    monkeypatch.chdir(folder)
    case = Case.model_validate(found.block)
    assert isinstance(case.data, OwnData)
    files.write_archive(Path(case.data.file), found.arrays)
    return own.prepare(case.data, case.task)[0]


def test_rows_splits_and_weights_are_stored_as_the_script_gives_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = recordings.arrays()
    weights: dict[str, np.ndarray] = {
        "weights/dense/1.kernel": np.ones((4, 8), np.float32),
        "weights/dense/1.bias": np.zeros(8, np.float32),
        "sample_weight": np.linspace(0, 1, 100),
        "x_validation": data["x"][:7],
        "y_validation": data["y"][:7],
    }
    layers = [dense("dense/1", 4, 8), dense("output", 8, 1, "sigmoid")]
    found = case_of(recording({**data, **weights}, layers=layers, weights="set"), "a")
    assert found.block["data"] == {"file": "data/own/a.npz", "given": ["validation"]}
    assert found.block["judged_by"] == "validation"
    prepared = stored(found, tmp_path, monkeypatch)
    np.testing.assert_array_equal(prepared.x["train"], data["x"].astype(np.float32))
    np.testing.assert_array_equal(prepared.given("train"), data["y"])
    assert len(prepared.y["validation"]) == 7
    np.testing.assert_allclose(prepared.sample_weight, np.linspace(0, 1, 100), rtol=1e-6)
    assert prepared.first_weights.keys() == {"dense_1.kernel", "dense_1.bias"}


def test_without_validation_rows_the_case_is_judged_by_the_rows_that_train() -> None:
    block = case_of(recording(), "a").block
    assert (block["judged_by"], block["data"]) == ("train", {"file": "data/own/a.npz"})
    assert block["title"] == "The 4-8-1 network of train.py"
    assert "keras" not in block
    assert case_of(recording(), "a", "2.2").block["keras"] == ["2.2"]


def test_bytes_stay_bytes_and_a_single_column_gets_its_axis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data: dict[str, np.ndarray] = {"x": np.arange(100, dtype=np.uint8), "y": TWO}
    found = case_of(recording(data, layers=[dense("output", 1, 1, "sigmoid")]), "a")
    prepared = stored(found, tmp_path, monkeypatch)
    assert (prepared.x["train"].dtype, prepared.x["train"].shape) == (np.uint8, (100, 1))


def refusal(found: Recording) -> str:
    with pytest.raises(UserError) as caught:
        case_of(found, "a")
    return str(caught.value)


def test_inputs_that_are_not_finite_numbers_are_refused_by_column_without_a_value() -> None:
    data = recordings.arrays()
    data["x"][[3, 5], 2] = [np.nan, 12345.678]
    columns = {"x": {"columns": ["age", "sex", "rate", "sum"]}}
    said = refusal(recording(data, arrays=columns))
    assert said.startswith("train.py: line 32: x has NaN, infinite or too large values in 1 of 100 rows, first in")
    assert "first in column rate" in said
    assert "12345" not in said
    data["x"][0, 0] = 1e300
    assert "2 of 100 rows" in refusal(recording(data))
    assert "x has values of dtype <U" in refusal(recording({**data, "x": data["x"].astype(str)}))


def test_targets_of_another_shape_than_long_outputs_are_refused() -> None:
    hidden, output = dense("hidden", 4, 8), dense("output", 8, 2)
    hidden["input_shape"], hidden["output_shape"] = [1, 4], [1, 8]
    output["input_shape"], output["output_shape"] = [1, 8], [1, 2]
    loss = {"name": "mse", "own": False, "settings": {}, "line": None}
    data = {"x": RANDOM.normal(size=(100, 1, 4)), "y": RANDOM.normal(size=(100, 2))}
    assert "y is [100, 2] and the outputs are" in refusal(recording(data, layers=[hidden, output], loss=loss))
    data["y"] = RANDOM.normal(size=(100, 1, 2))
    assert case_of(recording(data, layers=[hidden, output], loss=loss), "a").arrays["y"].shape == (100, 2)


def test_a_reshape_to_one_axis_is_a_flatten() -> None:
    data = {"x": RANDOM.normal(size=(100, 2, 2)), "y": TWO}
    layers = [layer("reshape", "Reshape", [2, 2], [4], target_shape=[4]), *outputs(1, "sigmoid")]
    posted = case_of(recording(data, layers=layers), "a").block["as_posted"]
    assert posted["layers"]["reshape"] == {"layer": "Flatten"}
