"""The seed of a run decides its initial weights and the order of its examples, each apart."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
from samples import TNC, network

from stages.config.network import Network
from stages.training import model as models
from stages.training.keras import tf


def initialized(settings: Network, seed: int, n_features: int = 12) -> list[np.ndarray]:
    model = models.build_model(settings, n_features)
    models.initialize(model, settings, models.streams(seed)[0])
    return [np.asarray(weights) for weights in model.get_weights()]


def test_the_order_of_the_examples_does_not_depend_on_the_network() -> None:
    seen = []
    for units in ([3], [50, 20]):
        weights, order = models.streams(7)
        settings = network(hidden_units=units)
        models.initialize(models.build_model(settings, 12), settings, weights)
        seen.append([drawn.tolist() for drawn in islice(models.epoch_orders(50, order), 3)])
    assert seen[0] == seen[1]


def test_the_order_of_each_epoch_is_another_permutation() -> None:
    drawn = list(islice(models.epoch_orders(1000, models.streams(0)[1]), 4))
    assert all(order.dtype == np.int32 for order in drawn)
    assert all(sorted(order) == list(range(1000)) for order in drawn)
    assert len({order.tobytes() for order in drawn}) == 4


def test_a_seed_gives_the_same_weights_and_another_seed_or_layer_others() -> None:
    first, again, other = (initialized(network(hidden_units=[12, 12]), seed) for seed in (3, 3, 4))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
    for kernel, different in ((first[0], other[0]), (first[4], other[4]), (first[0], first[2])):
        assert (kernel != different).all()


def test_glorot_kernels_fill_their_range_and_biases_are_zero() -> None:
    kernel, bias, output_kernel, output_bias = initialized(network(hidden_units=[40]), seed=0, n_features=60)
    for weights, fans in ((kernel, 60 + 40), (output_kernel, 40 + 10)):
        limit = np.sqrt(6 / fans)
        assert 0.97 * limit < np.abs(weights).max() <= limit
        # The standard deviation of a uniform distribution.
        assert np.std(weights) == pytest.approx(limit / np.sqrt(3), rel=0.1)
    assert not bias.any()
    assert not output_bias.any()


def test_the_uniform_initializer_draws_kernels_and_biases_within_its_limit() -> None:
    for weights in initialized(network(hidden_units=[40], initializer={"name": "uniform", "limit": 0.12}), seed=0):
        assert 0.08 < np.abs(weights).max() <= 0.12
        assert len(np.unique(weights)) == weights.size


@pytest.mark.parametrize(("settings", "dtype"), [({}, "float32"), (TNC, "float64")], ids=["keras", "tnc"])
def test_weights_and_outputs_have_the_dtype_of_the_network(settings: dict[str, Any], dtype: str) -> None:
    model = models.build_model(network(**settings), 12)
    assert {weights.dtype for weights in model.weights} == {dtype}
    assert model(tf.zeros((1, 12), dtype)).dtype == dtype
