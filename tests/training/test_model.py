"""A network becomes the Keras model and optimizer that it names; its seed decides weights and order, each apart."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
from samples import ONE_SIGMOID, TNC, network

from stages.config.network import Network
from stages.training import model as models
from stages.training.keras import keras, tf


def initialized(settings: Network, seed: int, n_features: int = 12) -> list[np.ndarray]:
    model = models.build_model(settings, n_features)
    models.initialize(model, settings, models.streams(seed)[0])
    return [np.asarray(weights) for weights in model.get_weights()]


def orders(generator: np.random.Generator, count: int = 3, n_examples: int = 50) -> list[list[int]]:
    return [order.tolist() for order in islice(models.epoch_orders(n_examples, generator), count)]


def test_the_order_of_the_examples_does_not_depend_on_the_network() -> None:
    seen = []
    for units in ([3], [50, 20]):
        weights, order = models.streams(7)
        settings = network(hidden_units=units)
        models.initialize(models.build_model(settings, 12), settings, weights)
        seen.append(orders(order))
    assert seen[0] == seen[1]


def test_the_streams_of_all_seeds_are_independent() -> None:
    draws = [generator.random(100).tolist() for seed in range(20) for generator in models.streams(seed)]
    assert len({number for numbers in draws for number in numbers}) == 20 * 2 * 100
    correlations = np.corrcoef(draws)[np.triu_indices(40, 1)]
    # Of 780 independent pairs the largest correlation is expected to be about 0.3.
    assert np.abs(correlations).max() < 0.5


def test_the_order_of_each_epoch_is_another_permutation() -> None:
    drawn = list(islice(models.epoch_orders(1000, models.streams(0)[1]), 4))
    assert all(order.dtype == np.int32 for order in drawn)
    assert all(sorted(order) == list(range(1000)) for order in drawn)
    assert len({order.tobytes() for order in drawn}) == 4


def test_a_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (initialized(network(), seed) for seed in (3, 3, 4))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
    assert (first[0] != other[0]).all()
    assert (first[2] != other[2]).all()


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


def test_layers_of_equal_shape_get_different_weights() -> None:
    first, _, second, *_ = initialized(network(hidden_units=[12, 12]), seed=0)
    assert first.shape == second.shape
    assert (first != second).all()


def test_the_layers_have_the_names_and_sizes_that_the_network_says() -> None:
    layers = models.dense_layers(models.build_model(network(hidden_units=[8, 5], hidden_activation="tanh"), 12))
    assert [layer.name for layer in layers] == ["hidden_0", "hidden_1", "output"]
    assert [tuple(layer.kernel.shape) for layer in layers] == [(12, 8), (8, 5), (5, 10)]
    assert [layer.activation.__name__ for layer in layers] == ["tanh", "tanh", "softmax"]


def test_the_outputs_are_those_of_a_perceptron_on_scaled_inputs() -> None:
    model = models.build_model(network(input_scale=0.5, hidden_activation="relu", **ONE_SIGMOID), 12)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 1, weights.shape) for weights in model.get_weights()])
    kernel, bias, output_kernel, output_bias = (weights.astype(np.float64) for weights in model.get_weights())
    x = random.normal(0, 1, (5, 12)).astype(np.float32)
    logits = np.maximum(0.5 * x @ kernel + bias, 0) @ output_kernel + output_bias
    np.testing.assert_allclose(model(tf.constant(x)).numpy(), 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_the_penalty_is_l2_times_the_squares_of_the_kernels_without_the_biases() -> None:
    model = models.build_model(network(l2=0.25), 12)
    model.set_weights([np.full(weights.shape, 2.0) for weights in model.get_weights()])
    assert sum(float(loss) for loss in model.losses) == 0.25 * 4 * (12 * 7 + 7 * 10)
    assert models.build_model(network(l2=0.0), 12).losses == []


@pytest.mark.parametrize(("settings", "dtype"), [({}, "float32"), (TNC, "float64")], ids=["keras", "tnc"])
def test_weights_and_outputs_have_the_dtype_of_the_network(settings: dict[str, Any], dtype: str) -> None:
    model = models.build_model(network(**settings), 12)
    assert {weights.dtype for weights in model.weights} == {dtype}
    assert model(tf.zeros((1, 12), dtype)).dtype == dtype


@pytest.mark.parametrize(("name", "kind"), [("sgd", keras.optimizers.SGD), ("adam", keras.optimizers.Adam)])
def test_the_optimizer_has_the_defaults_of_keras_and_the_learning_rate_of_the_network(name: str, kind: Any) -> None:
    optimizer = models.build_optimizer(network(optimizer={"name": name, "learning_rate": 0.0625}))
    assert type(optimizer) is kind
    expected = kind(learning_rate=0.0625).get_config()
    assert {**optimizer.get_config(), "name": None} == {**expected, "name": None}


def test_keras_has_no_tnc() -> None:
    with pytest.raises(ValueError, match="tnc"):
        models.build_optimizer(network(**TNC))
