"""Network -> Keras model and optimizer, and what the seed of a run decides."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from stages.config.network import Adam, Network, Uniform
from stages.training.keras import keras


def build_model(
    network: Network, n_features: int, dense: Callable[..., keras.layers.Dense] = keras.layers.Dense
) -> keras.Sequential:
    """Return a multilayer perceptron from raw inputs [n, n_features] to outputs [n, output_units].

    Its layers are named ``hidden_0``, ``hidden_1`` and so on, and ``output``. Kernels are penalized, biases are not.
    If `network.shares_penalty`, the L2 factor is a variable, which can change after the network is compiled.
    """
    regularizer = keras.regularizers.L2(network.l2) if network.l2 else None
    if regularizer and network.shares_penalty:
        regularizer.l2 = keras.Variable(network.l2, dtype=network.dtype, trainable=False)
    layer = partial(dense, kernel_regularizer=regularizer, dtype=network.dtype)
    return keras.Sequential(
        [
            keras.Input((n_features,), dtype=network.dtype),
            keras.layers.Rescaling(network.input_scale, dtype=network.dtype),
            *(
                layer(units, activation=network.hidden_activation, name=f"hidden_{index}")
                for index, units in enumerate(network.hidden_units)
            ),
            layer(network.output_units, activation=network.output_activation, name="output"),
        ]
    )


def build_optimizer(network: Network) -> keras.optimizers.Optimizer:
    """Return the Keras optimizer that `network` names.

    Raises
    ------
    ValueError
        If the optimizer is SciPy's TNC.
    """
    if network.optimizer.name == "tnc":
        raise ValueError("tnc is not an optimizer of Keras")
    kind = keras.optimizers.Adam if isinstance(network.optimizer, Adam) else keras.optimizers.SGD
    return kind(learning_rate=network.optimizer.learning_rate)


def streams(seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Return two independent generators for a run: for its initial weights and for the order of its examples.

    They are apart, so that runs of one seed see the same order of examples whatever their network.
    """
    weights, order = np.random.SeedSequence(seed).spawn(2)
    return np.random.default_rng(weights), np.random.default_rng(order)


def initialize(model: keras.Sequential, network: Network, generator: np.random.Generator) -> None:
    """Draw the weights of `model` anew, layer by layer: kernels by the initializer, biases zero as in Keras.

    The exercise draws biases like kernels, so the initializer `uniform` draws both.
    """
    for layer in dense_layers(model):
        kernel_seed, bias_seed = (int(number) for number in generator.integers(2**31, size=2))
        if isinstance(network.initializer, Uniform):
            limit = network.initializer.limit
            kernel = keras.initializers.RandomUniform(-limit, limit, seed=kernel_seed)
            bias = keras.initializers.RandomUniform(-limit, limit, seed=bias_seed)
        else:
            kernel = keras.initializers.GlorotUniform(seed=kernel_seed)
            bias = keras.initializers.Zeros()
        layer.kernel.assign(kernel(layer.kernel.shape, dtype=network.dtype))
        layer.bias.assign(bias(layer.bias.shape, dtype=network.dtype))


def epoch_orders(n_examples: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield an order of the examples, int32 [n_examples], per epoch, without end."""
    while True:
        yield generator.permutation(n_examples).astype(np.int32)


def dense_layers(model: keras.Sequential) -> list[keras.layers.Dense]:
    """Return the layers of `model` that have weights, in order."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
