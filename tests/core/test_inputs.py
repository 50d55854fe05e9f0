from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core import files, inputs, params
from stages.core.digits import Dataset
from stages.core.errors import UserError

PREPARED: Dataset = {
    "x_train": np.zeros((4, 9), np.float32),
    "y_train": np.arange(4, dtype=np.uint8),
    "x_test": np.zeros((2, 9), np.float32),
    "y_test": np.zeros(2, np.uint8),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_prepared_data_are_read_as_they_were_written() -> None:
    files.write_npz(inputs.prepared_path("ex4"), PREPARED)
    read = inputs.read_prepared("ex4", "ex4")
    assert all(np.array_equal(read[name], array) for name, array in PREPARED.items())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x_train": None}, "arrays x_test, y_test, y_train; expected x_test, x_train, y_test, y_train;"),
        ({"x_validation": np.zeros(1)}, "arrays .*x_validation.*; expected"),
        ({"x_train": np.zeros((4, 9))}, r"x_train is float64 \[4, 9\]; expected float32 of 2 dimensions"),
        ({"x_train": np.zeros((4, 3, 3), np.float32)}, r"x_train is float32 \[4, 3, 3\]; expected"),
        ({"x_test": np.zeros((2, 8), np.float32)}, r"x_test is float32 \[2, 8\]; expected"),
        (
            {"x_test": np.zeros((0, 9), np.float32), "y_test": np.zeros(0, np.uint8)},
            r"x_test is float32 \[0, 9\]; expected",
        ),
        ({"x_train": np.full((4, 9), np.nan, np.float32)}, "x_train has values that are not finite; expected"),
        ({"y_train": np.arange(4)}, r"y_train is int64 \[4\], at most 3; expected uint8 \[4\], digits 0 to 9"),
        ({"y_train": np.arange(5, dtype=np.uint8)}, r"y_train is uint8 \[5\], at most 4; expected uint8 \[4\]"),
        (
            {"y_train": np.arange(8, 12, dtype=np.uint8)},
            r"y_train is uint8 \[4\], at most 11; expected .* digits 0",
        ),
    ],
)
def test_other_data_are_refused_with_what_they_are_and_should_be(changes: dict[str, Any], said: str) -> None:
    arrays = {name: array for name, array in (PREPARED | changes).items() if array is not None}
    files.write_npz(inputs.prepared_path("ex4"), arrays)
    with pytest.raises(UserError, match=f"^data/prepared/ex4.npz: {said}"):
        inputs.read_prepared("ex4", "ex4")


def test_the_data_of_another_dataset_are_refused() -> None:
    files.write_npz(inputs.prepared_path("mnist"), PREPARED)
    with pytest.raises(UserError, match=r"^data/prepared/mnist.npz: arrays .*; expected x_test, .*x_validation"):
        inputs.read_prepared("mnist", "mnist")


def test_raw_data_are_images(folder: Path) -> None:
    images: Dataset = {"x_train": np.zeros((3, 28, 28), np.uint8), "y_train": np.zeros(3, np.uint8)}
    images |= {"x_test": images["x_train"], "y_test": images["y_train"]}
    files.write_npz(inputs.RAW, images)
    assert inputs.read_raw().keys() == images.keys()
    files.write_npz(inputs.RAW, PREPARED)
    with pytest.raises(UserError, match=r"^data/raw/mnist.npz: x_train is float32 \[4, 9\]; expected uint8 of 3"):
        inputs.read_raw()


def test_a_configuration_is_read_and_that_of_another_refused(settings: params.Params) -> None:
    configs, cells = params.variant_configs(settings), params.cell_configs(settings)
    files.write_json(Path("configs/mnist-fixed.json"), configs["mnist-fixed"].model_dump(mode="json"))
    files.write_json(Path("configs/ex4-fixed.json"), configs["mnist-fixed"].model_dump(mode="json"))
    files.write_json(Path("configs/cells/mnist.json"), cells["mnist"].model_dump(mode="json"))
    files.write_json(Path("configs/cells/ex4.json"), cells["mnist"].model_dump(mode="json"))
    assert inputs.read_variant("mnist-fixed") == configs["mnist-fixed"]
    assert inputs.read_cells("mnist") == cells["mnist"]
    with pytest.raises(UserError, match=r"^configs/ex4-fixed.json: variant: mnist-fixed; expected ex4-fixed, "):
        inputs.read_variant("ex4-fixed")
    with pytest.raises(UserError, match=r"^configs/cells/ex4.json: case: mnist; expected ex4, "):
        inputs.read_cells("ex4")


@pytest.mark.parametrize(
    ("content", "said"), [("{", "Invalid JSON: .*"), ("{}", "variant: .*"), ('{"variant": 1}', "variant: .*")]
)
def test_what_is_no_configuration_is_refused_in_one_line(content: str, said: str) -> None:
    files.write_text(Path("configs/ex4-fixed.json"), content)
    with pytest.raises(
        UserError, match=f"^configs/ex4-fixed.json: {said}; expected what `python -m stages.plan`"
    ) as caught:
        inputs.read_variant("ex4-fixed")
    assert "\n" not in str(caught.value)
