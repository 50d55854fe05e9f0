"""Our products and their gradients are those of TensorFlow, but for rounding."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.training import products
from stages.training.keras import compiled, keras, tf
from stages.training.products import TERMS, Dense


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("terms", [1, TERMS - 1, TERMS, TERMS + 1, 3 * TERMS, 3 * TERMS + 7])
def test_a_product_and_its_gradients_are_those_of_tensorflow(terms: int, dtype: str) -> None:
    generator = np.random.default_rng(terms)
    # A sum over the terms in the product, and one over the rows in the gradient of the kernel.
    left, right = generator.normal(size=(terms + 5, terms)), generator.normal(size=(terms, 3))
    x, kernel = tf.constant(left, dtype), tf.constant(right, dtype)

    def with_gradients(product: Callable[..., Any]) -> tuple[Any, ...]:
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            outputs = product(x, kernel)
        return outputs, *tape.gradient(outputs, [x, kernel], output_gradients=tf.sin(outputs))

    ours = compiled(lambda: with_gradients(products.product))()
    plain = compiled(lambda: with_gradients(tf.matmul))()
    tolerance = {"float32": 2e-5, "float64": 1e-13}[dtype] * np.sqrt(terms)
    for found, expected in zip(ours, plain, strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("settings", [{"use_bias": False}, {"activation": "softmax"}, {}])
def test_our_dense_layer_answers_as_that_of_keras(settings: dict[str, object]) -> None:
    x = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    ours, theirs = Dense(4, **settings), keras.layers.Dense(4, **settings)
    theirs.build(x.shape)
    ours.build(x.shape)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-6, atol=1e-6)
