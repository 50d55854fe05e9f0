from itertools import islice
from typing import Any

import numpy as np
import pytest
from samples import ONE_SIGMOID, TNC, config

from stages.core import network
from stages.core.backend import keras, tf
from stages.core.params import RunConfig


def initialized(settings: RunConfig, seed: int, n_features: int = 12) -> list[np.ndarray]:
    model = network.build_model(settings, n_features)
    network.initialize(model, settings, network.streams(seed)[0])
    return [np.asarray(weights) for weights in model.get_weights()]


def orders(generator: np.random.Generator, count: int = 3, n_examples: int = 50) -> list[list[int]]:
    return [order.tolist() for order in islice(network.epoch_orders(n_examples, generator), count)]


def test_the_order_of_the_examples_does_not_depend_on_the_network() -> None:
    seen = []
    for units in ([3], [50, 20]):
        weights, order = network.streams(7)
        settings = config(hidden_units=units)
        network.initialize(network.build_model(settings, 12), settings, weights)
        seen.append(orders(order))
    assert seen[0] == seen[1]


def test_the_streams_of_a_run_and_of_other_runs_have_nothing_in_common() -> None:
    draws = [generator.random(100).tolist() for seed in range(20) for generator in network.streams(seed)]
    assert len({number for numbers in draws for number in numbers}) == 20 * 2 * 100
    correlations = np.corrcoef(draws)[np.triu_indices(40, 1)]
    # Of 780 pairs of independent ones, the farthest is expected at about 0.3.
    assert np.abs(correlations).max() < 0.5


def test_the_order_of_an_epoch_is_a_permutation_and_of_each_epoch_another() -> None:
    drawn = list(islice(network.epoch_orders(1000, network.streams(0)[1]), 4))
    assert all(order.dtype == np.int32 for order in drawn)
    assert all(sorted(order) == list(range(1000)) for order in drawn)
    assert len({order.tobytes() for order in drawn}) == 4


def test_a_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (initialized(config(), seed) for seed in (3, 3, 4))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
    assert (first[0] != other[0]).all()
    assert (first[2] != other[2]).all()


def test_initial_kernels_fill_the_glorot_range_and_biases_are_zero() -> None:
    kernel, bias, output_kernel, output_bias = initialized(config(hidden_units=[40]), seed=0, n_features=60)
    for weights, fans in ((kernel, 60 + 40), (output_kernel, 40 + 10)):
        limit = np.sqrt(6 / fans)
        assert 0.97 * limit < np.abs(weights).max() <= limit
        # The standard deviation of a uniform distribution.
        assert np.std(weights) == pytest.approx(limit / np.sqrt(3), rel=0.1)
    assert not bias.any()
    assert not output_bias.any()


def test_with_a_limit_kernels_and_biases_are_drawn_within_it() -> None:
    for weights in initialized(config(hidden_units=[40], initializer={"name": "uniform", "limit": 0.12}), seed=0):
        assert np.abs(weights).max() <= 0.12
        assert np.abs(weights).max() > 0.08
        assert len(np.unique(weights)) == weights.size


def test_layers_of_one_shape_get_different_weights() -> None:
    settings = config(hidden_units=[12, 12])
    first, _, second, *_ = initialized(settings, seed=0)
    assert first.shape == second.shape
    assert (first != second).all()


def test_the_layers_are_named_and_sized_as_the_configuration_says() -> None:
    model = network.build_model(config(hidden_units=[8, 5], hidden_activation="tanh"), 12)
    layers = network.dense_layers(model)
    assert [layer.name for layer in layers] == ["hidden_0", "hidden_1", "output"]
    assert [tuple(layer.kernel.shape) for layer in layers] == [(12, 8), (8, 5), (5, 10)]
    assert [layer.activation.__name__ for layer in layers] == ["tanh", "tanh", "softmax"]


def test_the_outputs_are_those_of_a_perceptron_on_scaled_inputs() -> None:
    settings = config(input_scale=0.5, hidden_activation="relu", **ONE_SIGMOID)
    model = network.build_model(settings, 12)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 1, weights.shape) for weights in model.get_weights()])
    kernel, bias, output_kernel, output_bias = (weights.astype(np.float64) for weights in model.get_weights())
    x = random.normal(0, 1, (5, 12)).astype(np.float32)
    logits = np.maximum(0.5 * x @ kernel + bias, 0) @ output_kernel + output_bias
    np.testing.assert_allclose(model(tf.constant(x)).numpy(), 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_the_penalty_is_l2_times_the_squares_of_the_kernels_without_the_biases() -> None:
    model = network.build_model(config(l2=0.25), 12)
    model.set_weights([np.full(weights.shape, 2.0) for weights in model.get_weights()])
    assert sum(float(loss) for loss in model.losses) == 0.25 * 4 * (12 * 7 + 7 * 10)
    assert network.build_model(config(l2=0.0), 12).losses == []


@pytest.mark.parametrize(("settings", "dtype"), [({}, "float32"), (TNC, "float64")], ids=["keras", "tnc"])
def test_every_weight_and_output_is_of_the_type_of_the_configuration(settings: dict[str, object], dtype: str) -> None:
    model = network.build_model(config(**settings), 12)
    assert {weights.dtype for weights in model.weights} == {dtype}
    assert model(tf.zeros((1, 12), dtype)).dtype == dtype


@pytest.mark.parametrize(("name", "kind"), [("sgd", keras.optimizers.SGD), ("adam", keras.optimizers.Adam)])
def test_the_optimizer_is_the_plain_one_of_keras_at_the_rate_given(name: str, kind: Any) -> None:
    optimizer = network.build_optimizer(config(optimizer={"name": name, "learning_rate": 0.0625}))
    assert type(optimizer) is kind
    expected = kind(learning_rate=0.0625).get_config()
    assert {**optimizer.get_config(), "name": None} == {**expected, "name": None}


def test_scipys_optimizer_is_none_of_keras() -> None:
    with pytest.raises(ValueError, match="tnc"):
        network.build_optimizer(config(**TNC))
