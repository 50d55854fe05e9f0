"""Pictures show the most confident mistakes and the weights into the first layer."""

import math

import numpy as np
import pytest

from stages.analysis import pictures
from stages.data.prepared import Prepared, digits
from stages.training.runs import Run

X = np.array([[0, 51, 102, 255], [1, 2, 3, 4], [5, 6, 7, 8]], np.uint8)
Y = np.array([1, 0, 1], np.uint8)


def run(first_layer: str, kernel: np.ndarray, predicted: list[int]) -> Run:
    """Return a run whose weights are not in the order of its layers, of which the first has no kernel."""
    answers = {"test": np.array(predicted, np.uint8)}
    confidence = np.array([0.5, 0.75, 0.9], np.float32)
    weights = {f"{first_layer}.kernel": kernel, "output.bias": kernel[0]}
    layers: list[dict[str, object]] = [{"name": "drop", "layer": "Dropout", "rate": 0.5}, {"name": first_layer}]
    return Run(
        seed=0,
        history=np.zeros((1, 4)),
        scores={},
        measures={},
        losses={},
        predicted=answers,
        confidence=confidence,
        weights={"output.kernel": np.full((2, 2), 99.0)} | weights,
        steps=1,
        facts={"network": {"layers": [*layers, {"name": "output"}]}},
    )


def test_the_pictures_of_a_variant_are_its_mistakes_and_its_first_layer() -> None:
    data = Prepared({"test": X}, {"test": Y}, digits(2, "columns", "01"))
    hidden = np.array([[0.0, -2.0], [0.5, 1.0], [1.0, 0.0], [0.25, 0.0]], np.float32)
    found = pictures.pictures(
        {"as_posted": run("hidden", hidden, [0, 0, 0]), "fixed": run("output", hidden[:, :1], [1, 0, 1])}, data
    )
    names = ("misread", "label", "answer", "confidence", "units", "largest_weight")
    assert found.keys() == {f"{variant}.{name}" for variant in ("as_posted", "fixed") for name in names}
    # An example of the exercise is unrolled by columns.
    assert found["as_posted.misread"].tolist() == [[[5, 7], [6, 8]], [[0, 102], [51, 255]]]
    assert found["as_posted.label"].tolist() == [1, 1]
    assert found["as_posted.answer"].tolist() == [0, 0]
    assert found["as_posted.confidence"].tolist() == pytest.approx([0.9, 0.5])
    assert found["as_posted.units"].shape == (2, 2, 2)
    assert found["as_posted.largest_weight"] == 2.0
    assert found["fixed.misread"].shape == (0, 2, 2)
    # Each variant has its own scale, whose strongest shade stands for the 99% quantile: 1 here, and 0.5.
    assert found["as_posted.units"][0].tolist() == [[128, 255], [192, 160]]
    assert found["fixed.units"][0].tolist() == [[128, 255], [255, 192]]


def test_mistakes_come_by_confidence_and_equal_ones_in_the_order_of_the_data() -> None:
    actual, predicted = np.array([1, 2, 3, 4, 5, 6]), np.array([1, 0, 0, 0, 0, 0])
    confidence = np.array([1.0, 0.5, 0.9, math.nan, 0.5, 0.7])
    assert pictures.misread(actual, predicted, confidence).tolist() == [2, 5, 1, 4, 3]
    many = pictures.misread(np.ones(50), np.zeros(50), np.linspace(0, 1, 50))
    assert many.tolist() == list(range(49, 49 - pictures.MOST_MISREAD, -1))
    assert pictures.misread(actual, actual, confidence).tolist() == []


def test_float_examples_become_shades_of_gray_and_overshoots_are_cut_off() -> None:
    assert pictures.shades(np.array([[-0.1, 0.2, 0.4, 1.1]], np.float32)).tolist() == [[0, 51, 102, 255]]


def test_weights_are_shades_on_either_side_of_128_and_one_that_is_not_finite_is_128() -> None:
    kernel = np.array([[0.0, -2.0], [0.5, 1.0], [math.nan, 9.0], [math.inf, -9.0]])
    found = pictures.unit_shades(kernel, 2.0)
    assert found.dtype == np.uint8
    assert found.tolist() == [[128, 160, 128, 128], [1, 192, 255, 1]]
    assert len(pictures.unit_shades(np.zeros((4, 300)), 1.0)) == pictures.MOST_UNITS


def test_the_strongest_shade_stands_for_all_but_the_largest_weights_and_is_never_zero() -> None:
    assert pictures.strongest(np.linspace(-1, 0, 101)) == pytest.approx(0.99)
    assert pictures.strongest(np.array([0.0, math.nan, math.inf])) == 1.0
