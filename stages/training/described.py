"""A description of what Keras offers for a dense network, read from the installed Keras."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from stages.training.keras import keras

LAYERS = (
    *("Dense", "Activation", "Dropout", "BatchNormalization", "Flatten"),
    *("ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"),
)
OPTIMIZERS = ("SGD", "Adam", "AdamW", "Nadam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "Ftrl", "Lion")
SCHEDULES = (
    "CosineDecay",
    "ExponentialDecay",
    "InverseTimeDecay",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
)
# These compare sequences, embeddings and images.
OTHER_LOSSES = ("CTC", "Circle", "Dice", "Tversky")
# Settings of names, places and axes; of what Keras does around training; and of what a dense network does not need.
LEFT_OUT = {
    *("axis", "data_format", "dtype", "input_axes", "kwargs", "name", "noise_shape", "output_axes", "reduction"),
    *("seed", "self", "shared_axes"),
    *("ema_momentum", "ema_overwrite_frequency", "gradient_accumulation_steps", "loss_scale_factor", "use_ema"),
    *("lora_alpha", "lora_rank", "quantization_config", "synchronized", "renorm", "renorm_clipping", "renorm_momentum"),
    *("alpha_constraint", "beta_constraint", "bias_constraint", "gamma_constraint", "kernel_constraint"),
}
# The kinds of settings whose default does not show it.
KINDS = {
    **dict.fromkeys(("units", "decay_steps", "warmup_steps", "ignore_class"), "integer"),
    **dict.fromkeys(("patience", "cooldown", "start_from_epoch"), "integer"),
    **dict.fromkeys(("boundaries", "values"), "numbers"),
    "activation": "activation",
}
ALIASES = {
    "initializers": ("normal", "uniform", "zero", "one"),
    "losses": ("mse", "MSE", "mae", "MAE", "mape", "MAPE", "msle", "MSLE", "bce", "BCE", "kld", "KLD", "logcosh"),
}


def describe() -> dict[str, Any]:
    """Return activations, and layers, initializers, losses, optimizers and schedules with their settings, as JSON.

    A setting has a kind and, unless it is required, a default. `aliases` maps further names to the names here.
    """
    found = {
        "layers": {name: settings(getattr(keras.layers, name)) for name in LAYERS},
        "initializers": {snake_case(kind.__name__): settings(kind) for kind in subclasses("initializers")},
        "losses": {
            function_name(kind): settings(kind) for kind in subclasses("losses") if kind.__name__ not in OTHER_LOSSES
        },
        "optimizers": {name.lower(): settings(getattr(keras.optimizers, name)) for name in OPTIMIZERS},
        "schedules": {name: settings(getattr(keras.optimizers.schedules, name)) for name in SCHEDULES},
        "callbacks": {
            "early_stopping": settings(keras.callbacks.EarlyStopping, "mode", "verbose"),
            "reduce_on_plateau": settings(keras.callbacks.ReduceLROnPlateau, "mode", "verbose"),
        },
    }
    return {
        **found,
        "activations": sorted(name for name, value in vars(keras.activations).items() if is_activation(name, value)),
        "aliases": {
            "initializers": {
                alias: snake_case(type(keras.initializers.get(alias)).__name__) for alias in ALIASES["initializers"]
            },
            "losses": {
                alias: name for alias in ALIASES["losses"] for name in found["losses"] if same_loss(alias, name)
            },
        },
    }


def is_activation(name: str, value: Any) -> bool:
    """Return whether `value` is an activation that needs no settings and keeps the number of units."""
    if not inspect.isfunction(value) or name in ("deserialize", "get", "glu", "serialize"):
        return False
    _, *settings = inspect.signature(value).parameters.values()
    return all(setting.default is not inspect.Parameter.empty for setting in settings)


def subclasses(group: str) -> Iterable[Callable[..., Any]]:
    """Return the classes of a module of Keras that can be chosen by name, in alphabetical order."""
    module = getattr(keras, group)
    base = {"initializers": keras.initializers.Initializer, "losses": keras.losses.Loss}[group]
    classes = {value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, base)}
    return sorted(classes - {base, getattr(keras.initializers, "STFT", base)}, key=lambda kind: kind.__name__)


def function_name(loss: Callable[..., Any]) -> str:
    """Return the name of the function of a loss, such as ``mean_squared_error``, by which Keras also knows it."""
    return str(loss().fn.__name__)


def same_loss(alias: str, name: str) -> bool:
    """Return whether Keras takes both names for one loss."""
    try:
        return keras.losses.get(alias) is keras.losses.get(name)
    except ValueError:
        return False


def settings(kind: Callable[..., Any], *left_out: str) -> dict[str, dict[str, Any]]:
    """Return the settings of a class of Keras, by name, except those `left_out`.

    A regularizer becomes two numbers: ``kernel_regularizer`` becomes ``l1`` and ``l2``, ``bias_regularizer`` becomes
    ``bias_l1`` and ``bias_l2``.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if name in LEFT_OUT or name in left_out:
            continue
        default = parameter.default
        if name.endswith("_regularizer"):
            prefix = name.removesuffix("regularizer").removeprefix("kernel_")
            found |= {f"{prefix}{norm}": {"kind": "number", "default": 0.0} for norm in ("l1", "l2")}
        elif default is inspect.Parameter.empty:
            found[name] = {"kind": KINDS.get(name, "number")}
        else:
            value = snake_case(default) if name.endswith("_initializer") else default
            found[name] = {"kind": kind_of(name, default), "default": value}
    return found


def kind_of(name: str, default: Any) -> str:
    """Return the kind of a setting, by its name or its default."""
    if name.endswith("_initializer"):
        return "initializer"
    if name == "learning_rate":
        return "rate"
    if name in KINDS:
        return KINDS[name]
    return {bool: "boolean", str: "text"}.get(type(default), "number")


def snake_case(name: str) -> str:
    """Return ``GlorotUniform`` as ``glorot_uniform``."""
    letters = [f"_{letter.lower()}" if letter.isupper() else letter for letter in name]
    return "".join(letters).lstrip("_")
