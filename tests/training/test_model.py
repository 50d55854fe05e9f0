"""The seed of a run decides its initial weights and the order of its examples, each apart."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
from samples import TNC, UNIFORM, layers, network

from stages.config.network import Network
from stages.training import model as models
from stages.training import orders
from stages.training.keras import tf


def initialized(settings: Network, seed: int, n_features: int = 12) -> list[np.ndarray]:
    model = models.build_model(settings, (n_features,))
    models.initialize(model, settings, models.streams(seed)[0], {})
    return [np.asarray(weights) for weights in model.get_weights()]


def test_the_order_of_the_examples_does_not_depend_on_the_network() -> None:
    seen = []
    for units in (3, 50):
        weights, order, _ = models.streams(7)
        settings = network(layers=layers(units=units))
        models.initialize(models.build_model(settings, (12,)), settings, weights, {})
        seen.append([drawn.tolist() for drawn in islice(orders.orders(True, 50, order), 3)])
    assert seen[0] == seen[1]


def test_the_order_of_each_epoch_is_another_permutation() -> None:
    drawn = list(islice(orders.orders(True, 1000, models.streams(0)[1]), 4))
    assert all(order.dtype == np.int32 for order in drawn)
    assert all(sorted(order) == list(range(1000)) for order in drawn)
    assert len({order.tobytes() for order in drawn}) == 4


def test_a_seed_gives_the_same_weights_and_another_seed_or_layer_others() -> None:
    deep = network(layers={"first": {"units": 12}, **layers(units=12)})
    first, again, other = (initialized(deep, seed) for seed in (3, 3, 4))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
    for kernel, different in ((first[0], other[0]), (first[4], other[4]), (first[0], first[2])):
        assert (kernel != different).all()


def test_glorot_kernels_fill_their_range_and_biases_are_zero() -> None:
    kernel, bias, output_kernel, output_bias = initialized(network(layers=layers(units=40)), seed=0, n_features=60)
    for weights, fans in ((kernel, 60 + 40), (output_kernel, 40 + 10)):
        limit = np.sqrt(6 / fans)
        assert 0.97 * limit < np.abs(weights).max() <= limit
        # The standard deviation of a uniform distribution.
        assert np.std(weights) == pytest.approx(limit / np.sqrt(3), rel=0.1)
    assert not bias.any()
    assert not output_bias.any()


def test_the_uniform_initializer_draws_kernels_and_biases_within_its_limit() -> None:
    uniform = layers(units=40, kernel_initializer=UNIFORM, bias_initializer=UNIFORM)
    for weights in initialized(network(layers=uniform), seed=0):
        assert 0.08 < np.abs(weights).max() <= 0.12
        assert len(np.unique(weights)) == weights.size


@pytest.mark.parametrize(("settings", "dtype"), [({}, "float32"), (TNC, "float64")], ids=["keras", "tnc"])
def test_weights_and_outputs_have_the_dtype_of_the_network(settings: dict[str, Any], dtype: str) -> None:
    model = models.build_model(network(**settings), (12,))
    assert {weights.dtype for weights in model.weights} == {dtype}
    assert model(tf.zeros((1, 12), dtype)).dtype == dtype


def test_normal_and_orthogonal_weights_have_their_distribution_and_their_seed() -> None:
    for name, deviation in (("he_normal", np.sqrt(2 / 60)), ("random_normal", 0.05), ("truncated_normal", 0.05)):
        settings = network(layers=layers(units=40, kernel_initializer=name))
        kernel, again, other = (initialized(settings, seed, n_features=60)[0] for seed in (0, 0, 1))
        assert np.std(kernel) == pytest.approx(deviation, rel=0.15 if name != "truncated_normal" else 0.2)
        assert kernel.tobytes() == again.tobytes() != other.tobytes()
    kernel = initialized(network(layers=layers(units=12, kernel_initializer="orthogonal")), seed=0)[0]
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(12), atol=1e-5)


def test_the_first_weights_of_a_file_replace_those_of_the_initializers() -> None:
    settings = network(initial_weights=True)
    first = {"hidden.kernel": np.full((12, 7), 0.25, np.float32)}
    model = models.build_model(settings, (12,))
    models.initialize(model, settings, models.streams(0)[0], first)
    found = models.weights_of(model, settings)
    assert (found["hidden.kernel"].numpy() == 0.25).all()
    assert len(np.unique(found["output.kernel"].numpy())) == 70
    with pytest.raises(ValueError, match="no first weights"):
        models.initialize(model, settings, models.streams(0)[0], {})
    with pytest.raises(ValueError, match="shape"):
        models.initialize(model, settings, models.streams(0)[0], {"hidden.kernel": np.zeros((3, 3), np.float32)})
