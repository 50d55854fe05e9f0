"""The best variant of a case as a model that reads raw digits."""

import re
from collections.abc import Mapping
from pathlib import Path

import mlflow
import numpy as np
import own
import pytest
import samples
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from stages import track
from stages.config.data import Exercise4Data, MnistData
from stages.data.exercise4 import exercise_rows
from stages.data.prepared import Facts, Prepared
from stages.data.prepared import digits as digits_facts
from stages.tracking import fill, place
from stages.tracking.champion import digit_model, mistakes, model_card, own_model, resize_matrix, trained_on
from stages.tracking.whichfix_inputs import problem
from tracking import sample
from tracking.sample import NETWORK, answers, raw_digits, weights

MNIST = MnistData.model_validate({"file": "data/raw/mnist.npz", "recipe": "mnist", "validation_split": 0.33})
EXERCISE = Exercise4Data.model_validate(
    {"file": "data/raw/mnist.npz", "recipe": "exercise4", "examples_per_class": 500, "side": 20}
)
TNC = {"optimizer": {"name": "tnc", "max_function_calls": 9}, "batch_size": None, "epochs": None}


def test_the_matrix_resizes_as_the_recipe_does() -> None:
    digits = raw_digits(20)
    product = digits.reshape(20, -1).astype(np.float32) @ resize_matrix(20)
    assert np.abs(product - exercise_rows(digits, 20)).max() < 1e-5


@pytest.mark.parametrize("settings", [{}, {"layers.hidden.l2": 0.1}, TNC], ids=["adam", "penalty", "tnc"])
@pytest.mark.parametrize("data", [MNIST, EXERCISE], ids=["mnist", "exercise4"])
def test_the_model_answers_raw_digits_as_the_network_answers_prepared_ones(
    data: MnistData | Exercise4Data, settings: dict[str, object]
) -> None:
    inputs = "raw" if isinstance(data, Exercise4Data) else NETWORK["inputs"]
    network = sample.network({**settings, "inputs": inputs})
    digits = raw_digits(60)
    x = exercise_rows(digits, data.side) if isinstance(data, Exercise4Data) else digits.reshape(60, -1)
    arrays = weights(network, x.shape[1], np.random.default_rng(2))
    expected = answers(network, arrays, x.astype(network.dtype))
    facts = digits_facts(getattr(data, "side", 28), "rows", "0123456789")
    core = own_model(network, Prepared({"train": x}, {"train": np.zeros(60, np.uint8)}, facts), arrays)
    outputs = digit_model(core, network, data).predict(digits, verbose=0)
    assert (outputs.argmax(axis=1) == expected).all()
    assert len(set(expected)) > 2


def test_the_most_frequent_mistakes_come_first() -> None:
    assert mistakes(((8, 2, 0), (0, 5, 5), (0, 0, 4)), "abc") == ["b read as c (50.0%)", "a read as b (20.0%)"]


STANDARDIZED = {"inputs": "standardized", "targets": "standardized"}


def in_units_of_the_file(arrays: Mapping[str, np.ndarray], data: Prepared, x: np.ndarray) -> np.ndarray:
    """Return the answers of a network with standardized inputs and targets, computed without Keras."""
    inputs, targets = data.x["train"].astype(np.float64), data.y["train"]
    outputs = sample.outputs(arrays, (x - inputs.mean(axis=0)) / inputs.std(axis=0))
    values: np.ndarray = targets.mean(axis=0) + targets.std(axis=0) * outputs
    return values


def test_the_model_of_a_regression_answers_in_the_units_of_the_file() -> None:
    targets = np.hstack([own.PRICES, 3 - own.PRICES])
    data = own.data(Facts(task="regression", classes=["price", "rent"]), targets)
    network = samples.network(
        layers=samples.layers(outputs=2, output="linear"), loss="mean_squared_error", **STANDARDIZED
    )
    arrays = own.weights(data, 2)
    found = own_model(network, data, arrays).predict(data.x["test"], verbose=0)
    np.testing.assert_allclose(found, in_units_of_the_file(arrays, data, data.x["test"]), rtol=1e-4)
    scaled = samples.network(layers=samples.layers(outputs=2, output="linear"), loss="mse", targets={"scale": 0.01})
    found = own_model(scaled, data, arrays).predict(data.x["test"], verbose=0)
    np.testing.assert_allclose(found, 100 * sample.outputs(arrays, data.x["test"]), rtol=1e-4)


BYTES = np.arange(200, dtype=np.uint8).reshape(-1, 4)
FLOATS = np.array([[-1.2345, 90.51]], np.float32)


@pytest.mark.tried("requests to served models")
@pytest.mark.parametrize(
    ("inputs", "trained"),
    [
        (BYTES + np.uint8(56), {"kind": "pixels", "low": 0, "high": 255}),
        ((BYTES + np.uint8(56)).astype(np.float32), {"kind": "pixels", "low": 0, "high": 255}),
        (BYTES, {"kind": "bytes", "low": 0, "high": 200}),
        (BYTES.astype(np.float32), {"kind": "numbers", "low": 0, "high": 200}),
        (FLOATS, {"kind": "numbers", "low": -1.3, "high": 91}),
        (FLOATS * 1e-6, {"kind": "numbers", "low": -1.3e-6, "high": 9.1e-5}),
        (FLOATS * 0, {"kind": "numbers", "low": 0, "high": 0}),
    ],
)
def test_the_range_of_training_is_that_of_all_inputs_rounded_outward(
    inputs: np.ndarray, trained: dict[str, str | float]
) -> None:
    assert trained_on(inputs) == trained
    assert problem(inputs.astype(np.float32), trained) is None
    found = problem(inputs.astype(np.float32) / 255, trained)
    assert (found is None) == (trained["kind"] == "numbers")
    # An image of 0 and 1 was scaled, and a row of small whole numbers was not.
    assert (problem(np.ones((1, 4), np.float32), trained) is None) == (trained["kind"] != "pixels")


def test_the_champion_of_a_persons_own_data_has_no_example_and_no_value_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(track, "pictures", lambda *arguments: {"none.png": b""})
    data = own.data(own.PRICE, own.PRICES)
    result = own.evaluated(data, {"fast": own.TWO_RATES["fast"]}, STANDARDIZED)
    track.main()
    client = MlflowClient(place.find().uri)
    (logged,) = client.search_logged_models(["1"])
    model = mlflow.pyfunc.load_model(logged.artifact_location)
    assert model.input_example is None
    expected = in_units_of_the_file(own.weights(data, 1), data, data.x["test"])
    np.testing.assert_allclose(model.predict(data.x["test"]), expected, rtol=1e-4)
    with pytest.warns(UserWarning, match=r"^some inputs are beyond those of the training, -[\d.]+ to [\d.]+$"):
        model.predict(1000 * data.x["test"])
    for wrong, message in (
        (data.x["test"].astype(float), "dtype of input float64 does not match expected dtype float32"),
        (data.x["test"][:, :1], "Shape of input"),
        (data.x["test"] + np.float32(np.nan), "missing or not finite; expected finite numbers"),
    ):
        with pytest.raises(MlflowException, match=message):
            model.predict(wrong)
    folder = Path(logged.artifact_location.removeprefix("file://"))
    assert not list(folder.rglob("*example*"))
    card = (folder / "model_card.md").read_text(encoding="utf-8")
    assert "A 2-7-1 network for values." in card
    assert "In this order: area, rooms." in card
    assert "float32 [n, 2], as the data file has it" in card
    assert "The inputs of the network are standardized" in card
    low, high = map(float, re.findall(r"trained on numbers from (-\S+) to (\S+),", card)[0])
    assert low < min(array.min() for array in data.x.values())
    assert high > data.x["train"].max()
    assert "[n, 1], values in the units of the file." in card
    assert "| r2 on test |" in card
    assert "this model has no example of it" in card
    raw = result.variants[0].model_copy(update={"network": {"layers": []}})  # a setting with its default is left out
    template = (fill.CARDS / "own_card.md").read_text(encoding="utf-8")
    trained = {"dtype": "float32", "shape": (2,), **trained_on(data.x["train"])}
    assert "The inputs of the network are raw;" in model_card(template, result, raw, 0, trained)
    numbers = [float(text) for text in re.findall(r"-?\d+\.\d+", card)]
    rows = np.concatenate([array.ravel() for arrays in (data.x, data.y) for array in arrays.values()])
    assert not [number for number in numbers if np.isclose(rows, number, rtol=1e-6, atol=0).any()]

    # Its runs have R² and errors under their names.
    runs = {run.info.run_name: run for run in client.search_runs(["1"])}
    posted = result.variant("as_posted", "3")
    metrics = runs["as_posted"].data.metrics
    assert metrics["test_r2"] == pytest.approx(posted.scores["test"].mean, rel=1e-5)
    assert metrics["test_mae"] == pytest.approx(posted.measures["test"]["mae"].mean, rel=1e-5)
    assert {"train_r2", "test_rmse", "epoch/r2", "interval/test_r2_low", "gain"} <= metrics.keys()
    assert {"test_r2", "epoch/r2"} <= runs["seed 0 of as_posted"].data.metrics.keys()
    assert "test_r2" in runs["baseline: floor"].data.metrics
    assert not [name for run in runs.values() for name in run.data.metrics if "accuracy" in name]
