"""The model that MLflow serves answers as the network does that was trained."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors import numpy as safetensors
from samples import ONE_SIGMOID, config

from stages.core import champion, classifier, digits, network
from stages.core.params import Dataset, RunConfig, VariantConfig

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)


def variant(settings: RunConfig, dataset: Dataset) -> VariantConfig:
    return VariantConfig(variant="a-b", case="a", dataset=dataset, fixes=(), seeds=(3, 5), run=settings)


def trained(settings: RunConfig, features: int, seed: int = 5) -> tuple[Any, dict[str, np.ndarray]]:
    """A Keras model with weights as after a training, and these as `train` names them."""
    model = network.build_model(settings, features)
    network.initialize(model, settings, network.streams(seed)[0])
    weights: dict[str, np.ndarray] = {}
    for layer in network.dense_layers(model):
        layer.bias.assign(np.random.default_rng(1).normal(size=layer.bias.shape))
        weights |= {f"seed_{seed}.{layer.name}.{name}": getattr(layer, name).numpy() for name in ("kernel", "bias")}
    return model, weights


def outputs(files: dict[str, bytes]) -> np.ndarray:
    """What the packaged model gives for `IMAGES`."""
    activations = json.loads(files[champion.SETTINGS])["activations"]
    return classifier.outputs(IMAGES, safetensors.load(files[champion.ARRAYS]), activations)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"hidden_units": [], "input_scale": 1 / 255},
        {"hidden_units": [9, 4], "hidden_activation": "tanh"},
        {"hidden_activation": "sigmoid", "output_activation": "sigmoid", "loss": "categorical_crossentropy"},
        {"hidden_activation": "linear"},
        {**ONE_SIGMOID, "input_scale": 0.001},
    ],
)
@pytest.mark.parametrize(("dataset", "side"), [("mnist", 28), ("ex4", 20), ("ex4", 6)])
def test_raw_digits_give_the_outputs_that_keras_gives_for_prepared_ones(
    changed: dict[str, Any], dataset: Dataset, side: int
) -> None:
    settings = config(**changed)
    model, weights = trained(settings, side * side)
    prepared = IMAGES.reshape(len(IMAGES), -1) if dataset == "mnist" else digits.exercise_rows(IMAGES, side)
    expected = model(prepared.astype(np.float32)).numpy()
    found = outputs(champion.package(variant(settings, dataset), 5, weights))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_the_model_of_a_seed_has_its_weights() -> None:
    _, of_five = trained(config(), 784)
    _, of_three = trained(config(), 784, seed=3)
    both = [champion.package(variant(config(), "mnist"), seed, of_three | of_five) for seed in (3, 5)]
    assert both[0][champion.ARRAYS] == champion.package(variant(config(), "mnist"), 3, of_three)[champion.ARRAYS]
    assert both[0][champion.ARRAYS] != both[1][champion.ARRAYS]


def test_the_largest_output_is_the_digit_and_its_confidence() -> None:
    values = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]], np.float32)
    expected = pd.DataFrame({"digit": [1, 0], "confidence": np.array([0.7, 0.5], np.float32).astype(float)})
    pd.testing.assert_frame_equal(classifier.answers(values), expected)


def test_a_single_output_answers_one_above_a_half() -> None:
    found = classifier.answers(np.array([[0.75], [0.5], [0.25]]))
    assert found["digit"].tolist() == [1, 0, 0]
    assert found["confidence"].tolist() == [0.75, 0.5, 0.75]


def test_outputs_far_out_do_not_overflow() -> None:
    far = np.array([[-1e4, 0.0, 1e4]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        assert classifier.ACTIVATIONS["sigmoid"](far).tolist() == [[0, 0.5, 1]]
        assert classifier.ACTIVATIONS["softmax"](far).tolist() == [[0, 0, 1]]
