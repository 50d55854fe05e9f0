"""The best variant of a case as a model that reads raw digits."""

import numpy as np
import pytest

from stages.config.network import Network
from stages.config.schema import Exercise4Data, MnistData
from stages.data.exercise4 import exercise_rows
from stages.tracking.champion import digit_model, mistakes, resize_matrix
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


@pytest.mark.parametrize("settings", [{}, {"l2": 0.1}, TNC], ids=["adam", "penalty", "tnc"])
@pytest.mark.parametrize("data", [MNIST, EXERCISE], ids=["mnist", "exercise4"])
def test_the_model_answers_raw_digits_as_the_network_answers_prepared_ones(
    data: MnistData | Exercise4Data, settings: dict[str, object]
) -> None:
    scale = 1.0 if isinstance(data, Exercise4Data) else NETWORK["input_scale"]
    network = Network.model_validate({**NETWORK, **settings, "input_scale": scale})
    digits = raw_digits(60)
    x = exercise_rows(digits, data.side) if isinstance(data, Exercise4Data) else digits.reshape(60, -1)
    arrays = weights(network, x.shape[1], np.random.default_rng(2))
    expected = answers(network, arrays, x.astype(network.dtype))
    outputs = digit_model(network, data, arrays).predict(digits, verbose=0)
    assert (outputs.argmax(axis=1) == expected).all()
    assert len(set(expected)) > 2


def test_the_most_frequent_mistakes_come_first() -> None:
    assert mistakes(((8, 2, 0), (0, 5, 5), (0, 0, 4))) == ["1 read as 2 (50.0%)", "0 read as 1 (20.0%)"]
