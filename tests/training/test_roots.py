"""No compiled program has the estimate of a reciprocal square root, which differs between processors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.training import losses, model
from stages.training.keras import compiled, keras, tf
from stages.training.roots import BatchNormalization, inverse_root
from stages.training.trainer import Trainer
from training.test_fit import FOUND, LAYERS, LOSSES, OPTIMIZERS, SPARSE, network

X = np.random.default_rng(3).uniform(0.1, 0.9, (9, 3)).astype(np.float32)


def program(function: Callable[..., Any], *arguments: Any) -> str:
    """Return what XLA makes of `function`."""
    return optimized(compiled(function), *arguments)


def optimized(function: Any, *arguments: Any) -> str:
    """Return the program of a function that is `compiled`."""
    text: str = function.experimental_get_compiler_ir(*arguments)(stage="optimized_hlo")
    return text


def with_gradient(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    def both(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x)

    return both


@pytest.mark.parametrize("divided", [lambda x: 2 / tf.sqrt(x), lambda x: tf.math.rsqrt(x)])
def test_tensorflow_estimates_roots(divided: Callable[[tf.Tensor], tf.Tensor]) -> None:
    """The other tests can fail."""
    assert "rsqrt(" in program(divided, tf.constant(X))


def test_our_roots_are_those_of_tensorflow() -> None:
    x = tf.constant(np.exp(np.random.default_rng(2).normal(0, 20, 500)).astype(np.float32))
    for ours, theirs in zip(compiled(with_gradient(inverse_root))(x), with_gradient(tf.math.rsqrt)(x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert "rsqrt(" not in program(with_gradient(inverse_root), x)


@pytest.mark.parametrize("name", FOUND["losses"])
def test_no_loss_has_estimates(name: str) -> None:
    chosen, _ = network({"name": name, **LOSSES.get(name, {})})
    targets = tf.constant(np.arange(9) % 3 if name in SPARSE else X[::-1], tf.float32)
    loss = losses.loss_of(chosen)
    assert "rsqrt(" not in program(with_gradient(lambda outputs: loss(targets, outputs)), tf.constant(X))


def test_no_activation_has_estimates() -> None:
    activations = [keras.activations.get(name) for name in FOUND["activations"]]
    made = program(with_gradient(lambda x: tf.stack([activation(x) for activation in activations])), tf.constant(X))
    assert "rsqrt(" not in made


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("default", [True, False])
def test_no_optimizer_has_estimates(name: str, default: bool) -> None:
    settings = {"name": name} if default else {"name": name, **OPTIMIZERS[name]}
    optimizer, variable = model.build_optimizer(network(optimizer=settings)[0]), keras.Variable(X[:, 0])
    optimizer.build([variable])

    def step(gradient: tf.Tensor) -> tf.Tensor:
        optimizer.apply([gradient], [variable])
        return tf.convert_to_tensor(variable)

    assert "rsqrt(" not in program(step, tf.constant(X[:, 1]))


@pytest.mark.parametrize("name", ["dropped", "normalized", "penalized"])
def test_no_network_has_estimates(name: str) -> None:
    chosen, data = network(layers=LAYERS[name] | {"output": {"units": 3}}, inputs="standardized")
    trainer = Trainer(chosen, data)
    order = tf.constant(np.arange(44, dtype=np.int32)[np.newaxis]), tf.constant([2])
    inputs = order, tf.constant(1), trainer._train, *trainer._validation
    assert "rsqrt(" not in optimized(trainer.programs.epochs, *inputs)
    assert "rsqrt(" not in optimized(trainer.probe.program, *trainer._sample)


def test_our_batch_normalization_answers_as_that_of_keras() -> None:
    for settings in ({}, {"center": False}, {"scale": False}):
        ours, theirs = BatchNormalization(**settings), keras.layers.BatchNormalization(**settings)
        for training in (True, True, False):
            np.testing.assert_allclose(ours(X, training=training), theirs(X, training=training), atol=1e-6)
        for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-6)
