"""Network -> Keras model and optimizer, and what the seed of a run decides."""

import inspect
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from stages.config.examples import Rescale
from stages.config.network import Layer, Network
from stages.training import described
from stages.training.keras import compiled, keras
from stages.training.roots import OPTIMIZERS

# The weights of a layer that an initializer of its own draws.
DRAWN = {
    "Dense": ("kernel", "bias"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "PReLU": ("alpha",),
}
PENALIZED = ("kernel", "bias", "activity", "alpha", "beta", "gamma")
# The name of the first layer, which prepares the inputs. The names in params.yaml begin with a letter.
PREPARING = "0_inputs"


def build_model(
    network: Network,
    shape: tuple[int, ...],
    statistics: tuple[np.ndarray, np.ndarray] | None = None,
    kinds: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
) -> keras.Sequential:
    """Return the network from raw inputs [n, *shape] to outputs [n, output_units], with the names of its layers.

    `statistics` are the mean and the variance of each input, for standardized inputs. `kinds` are classes of layers
    that take the place of Keras's, by name. Where `network.shares` a layer's L2 factor, this is a variable, which can
    change after the network is compiled.

    Raises
    ------
    ValueError
        If Keras refuses a setting or a shape.
    """
    if "Inputs" in kinds:
        prepare = kinds["Inputs"](dtype=network.dtype, name=PREPARING)
    elif network.inputs == "standardized":
        assert statistics is not None
        mean, variance = statistics
        axes = tuple(range(1, 1 + len(shape)))
        prepare = keras.layers.Normalization(
            axis=axes, mean=mean, variance=variance, dtype=network.dtype, name=PREPARING
        )
    else:
        how = network.inputs if isinstance(network.inputs, Rescale) else Rescale(scale=1.0)
        prepare = keras.layers.Rescaling(how.scale, how.offset, dtype=network.dtype, name=PREPARING)
    layers = [build_layer(network, each, kinds) for each in network.layers]
    model = keras.Sequential([keras.Input(shape, dtype=network.dtype), prepare, *layers])
    if len(model.output_shape) != 2:
        raise ValueError(f"outputs of shape {model.output_shape[1:]}; a Flatten layer makes examples of one dimension")
    return model


def build_layer(network: Network, layer: Layer, kinds: Mapping[str, Callable[..., Any]]) -> keras.layers.Layer:
    """Return a layer, of the class in `kinds` or else of Keras's."""
    norms = ("l1", "l2")
    own = {key: value for key, value in layer.items() if key not in ("name", "layer") and not key.endswith(norms)}
    own = {key: value for key, value in own.items() if not key.endswith("_initializer")}
    for part in PENALIZED:
        prefix = "" if part == "kernel" else f"{part}_"
        l1, l2 = (layer.get(f"{prefix}{norm}", 0.0) for norm in norms)
        if part == "kernel" and network.shares(layer):
            regularizer = keras.regularizers.L2(l2)
            regularizer.l2 = keras.Variable(l2, dtype=network.dtype, trainable=False)
            own["kernel_regularizer"] = regularizer
        elif l1 or l2:
            own[f"{part}_regularizer"] = keras.regularizers.L1L2(l1, l2) if l1 else keras.regularizers.L2(l2)
    kind = kinds.get(layer["layer"]) or getattr(keras.layers, layer["layer"])
    built: keras.layers.Layer = kind(**own, name=layer["name"], dtype=network.dtype)
    return built


def build_optimizer(network: Network) -> keras.optimizers.Optimizer:
    """Return the optimizer that `network` names.

    Raises
    ------
    ValueError
        If Keras refuses a setting, or the optimizer is SciPy's TNC.
    """
    if network.by_tnc:
        raise ValueError("tnc is not an optimizer of Keras")
    settings = {key: value for key, value in network.optimizer.items() if key not in ("name", "decay")}
    rate, decay = settings["learning_rate"], network.optimizer["decay"]
    if isinstance(rate, dict):
        kind = getattr(keras.optimizers.schedules, rate["name"])
        settings["learning_rate"] = kind(**{key: value for key, value in rate.items() if key != "name"})
    elif decay:
        # Keras 2 divides the rate by 1 + decay * step.
        settings["learning_rate"] = keras.optimizers.schedules.InverseTimeDecay(rate, 1, decay)
    # By its class, because `keras.optimizers.get` does not know the name of every optimizer.
    classes = {name.lower(): getattr(keras.optimizers, name) for name in described.OPTIMIZERS} | OPTIMIZERS
    return classes[network.optimizer["name"]](**settings)


def streams(seed: int) -> tuple[np.random.Generator, np.random.Generator, np.random.Generator]:
    """Return three independent generators for a run: for its first weights, the order of its examples, and dropout.

    They are apart, so that runs of one seed see the same order of examples whatever their network.
    """
    weights, order, dropout = np.random.SeedSequence(seed).spawn(3)
    return np.random.default_rng(weights), np.random.default_rng(order), np.random.default_rng(dropout)


def initialize(
    model: keras.Sequential, network: Network, generator: np.random.Generator, first: Mapping[str, np.ndarray]
) -> None:
    """Draw the weights of `model` anew, layer by layer, by their initializers; or take those of `first`, by name.

    Raises
    ------
    ValueError
        If `network` asks for weights that `first` does not have, or that have another shape.
    """
    for layer in network.layers:
        built = model.get_layer(layer["name"])
        for part in DRAWN.get(layer["layer"], ()):
            seed = int(generator.integers(2**31))
            variable = getattr(built, part, None)
            if variable is None:
                continue
            key = f"{layer['name']}.{part}"
            if network.initial_weights and key in first:
                if first[key].shape != (wanted := tuple(variable.shape)):
                    raise ValueError(f"first weights {key} of shape {first[key].shape}, expected {wanted}")
                variable.assign(first[key])
            else:
                variable.assign(drawn(layer[f"{part}_initializer"], tuple(variable.shape), network.dtype, seed))
    if network.initial_weights and not first:
        raise ValueError("initial_weights, but the data file has no first weights")


def drawn(initializer: Mapping[str, Any], shape: tuple[int, ...], dtype: str, seed: int) -> Any:
    """Return first weights. Equal seeds give equal bits on every processor.

    Raises
    ------
    ValueError
        If Keras refuses a setting.
    """
    kind = getattr(keras.initializers, initializer["name"].title().replace("_", ""))
    settings = {key: value for key, value in initializer.items() if key != "name"}
    random = "seed" in inspect.signature(kind).parameters
    if not random or "uniform" in initializer["name"] or initializer.get("distribution") == "uniform":
        # Exact operations only, in which no processors differ.
        return kind(**settings, **({"seed": seed} if random else {}))(shape, dtype=dtype)
    return _compiled_draw(kind, json.dumps(settings, sort_keys=True), shape, dtype)(seed)


@lru_cache(maxsize=64)
def _compiled_draw(kind: Callable[..., Any], settings: str, shape: tuple[int, ...], dtype: str) -> Callable[[int], Any]:
    """Return a function from a seed to first weights.

    It is compiled, because normal and orthogonal weights take logarithms and products.
    """
    source = keras.random.SeedGenerator(0)
    initial = kind(**json.loads(settings), seed=source)
    draw: Callable[[], Any] = compiled(lambda: initial(shape, dtype=dtype))

    def drawn_with(seed: int) -> Any:
        source.state.assign([seed, 0])
        return draw()

    return drawn_with


def weights_of(model: keras.Sequential, network: Network) -> dict[str, Any]:
    """Return the variables of the layers that a run keeps, by ``<layer>.<name>``."""
    return {
        f"{layer['name']}.{part}": variable
        for layer in network.layers
        for part in DRAWN.get(layer["layer"], ())
        if (variable := getattr(model.get_layer(layer["name"]), part, None)) is not None
    }
