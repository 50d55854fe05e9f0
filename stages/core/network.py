"""RunConfig -> Keras model and optimizer, and the draws that a seed decides."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from stages.core.backend import keras
from stages.core.params import Adam, RunConfig, Uniform


def build_model(config: RunConfig, n_features: int) -> keras.Sequential:
    """A multilayer perceptron from raw examples [n, n_features] to outputs [n, output_units].

    Its layers are named ``hidden_0``, ``hidden_1`` ... and ``output``; the kernels are penalised, the biases are not.
    What weighs the penalty is a variable where `config.shares_penalty`: it can change when the network is compiled.
    """
    regularizer = keras.regularizers.L2(config.l2) if config.l2 else None
    if regularizer and config.shares_penalty:
        regularizer.l2 = keras.Variable(config.l2, dtype=config.dtype, trainable=False)
    dense = partial(keras.layers.Dense, kernel_regularizer=regularizer, dtype=config.dtype)
    return keras.Sequential(
        [
            keras.Input((n_features,), dtype=config.dtype),
            keras.layers.Rescaling(config.input_scale, dtype=config.dtype),
            *(
                dense(units, activation=config.hidden_activation, name=f"hidden_{index}")
                for index, units in enumerate(config.hidden_units)
            ),
            dense(config.output_units, activation=config.output_activation, name="output"),
        ]
    )


def build_optimizer(config: RunConfig) -> keras.optimizers.Optimizer:
    """The Keras optimizer that `config` names.

    Raises
    ------
    ValueError
        When it names SciPy's, which is none of Keras.
    """
    if config.optimizer.name == "tnc":
        raise ValueError("tnc is not an optimizer of Keras")
    kind = keras.optimizers.Adam if isinstance(config.optimizer, Adam) else keras.optimizers.SGD
    return kind(learning_rate=config.optimizer.learning_rate)


def streams(seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Two independent generators for a run: one for its initial weights, one for the order of its examples.

    Apart, so that runs of one seed see the same order whatever their network.
    """
    weights, order = np.random.SeedSequence(seed).spawn(2)
    return np.random.default_rng(weights), np.random.default_rng(order)


def initialize(model: keras.Sequential, config: RunConfig, generator: np.random.Generator) -> None:
    """Draw the weights of `model` anew, layer by layer: kernels by the initializer, biases as Keras starts them, zero.

    The exercise draws the biases like the kernels, so with `uniform` they are drawn too.
    """
    for layer in dense_layers(model):
        kernel_seed, bias_seed = (int(number) for number in generator.integers(2**31, size=2))
        if isinstance(config.initializer, Uniform):
            limit = config.initializer.limit
            kernel = keras.initializers.RandomUniform(-limit, limit, seed=kernel_seed)
            bias = keras.initializers.RandomUniform(-limit, limit, seed=bias_seed)
        else:
            kernel = keras.initializers.GlorotUniform(seed=kernel_seed)
            bias = keras.initializers.Zeros()
        layer.kernel.assign(kernel(layer.kernel.shape, dtype=config.dtype))
        layer.bias.assign(bias(layer.bias.shape, dtype=config.dtype))


def epoch_orders(n_examples: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Orders of the examples, int32 [n_examples], without end: one an epoch."""
    while True:
        yield generator.permutation(n_examples).astype(np.int32)


def dense_layers(model: keras.Sequential) -> list[keras.layers.Dense]:
    """The layers of `model` that have weights, in order."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
