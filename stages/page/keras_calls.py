"""Settings of a network -> calls of Keras 3 as source code. Settings that have Keras's default are left out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.config import names
from stages.config.examples import Rescale
from stages.config.strict import Missing

WIDTH = 100
STEP = "    "
OPTIMIZERS = {"sgd": "SGD", "adamw": "AdamW", "rmsprop": "RMSprop"}
# A loss that Keras does not take by its name.
CLASS_ONLY = ("categorical_generalized_cross_entropy",)
# Arguments that people write without their names.
POSITIONAL = {"Dense": "units", "Dropout": "rate", "Activation": "activation"}
# The place of other arguments; those that are not here stand between.
FIRST, LAST = ("activation", "use_bias"), ("name",)


@dataclass(frozen=True)
class Call:
    """A call of `function`; an argument whose name is empty stands without it.

    A value is source code, another call, or a list of calls.
    """

    function: str
    arguments: tuple[tuple[str, "str | Call | list[Call]"], ...] = ()

    def __str__(self) -> str:
        written = (f"{name}={text(value)}" if name else text(value) for name, value in self.arguments)
        return f"{self.function}({', '.join(written)})"


def text(value: "str | Call | list[Call]") -> str:
    """Return `value` as source code in one line."""
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def lines(value: "str | Call | list[Call]", before: str = "", after: str = "", depth: int = 0) -> list[str]:
    """Return `value` between `before` and `after` as lines, with an argument per line if one line is too long."""
    indent = STEP * depth
    whole = f"{indent}{before}{text(value)}{after}"
    if len(whole) <= WIDTH or isinstance(value, str):
        return [whole]
    if isinstance(value, list):
        inner = [line for each in value for line in lines(each, "", ",", depth + 1)]
        return [f"{indent}{before}[", *inner, f"{indent}]{after}"]
    inner = [line for name, each in value.arguments for line in lines(each, f"{name}=" if name else "", ",", depth + 1)]
    return [f"{indent}{before}{value.function}(", *inner, f"{indent}){after}"]


def literal(value: Any) -> str:
    """Return a setting as source code; a mapping of classes to weights keeps its order."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {literal(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)


def fraction(value: float) -> str:
    """Return a factor as source code, as 1 / 255 if it is exactly that."""
    divisor = round(2 / value) / 2 if 0 < value < 1 else 0
    return f"1 / {divisor:g}" if divisor and divisor < 1e6 and 1 / divisor == value else repr(value)


def layer(settings: Mapping[str, Any], named: bool) -> Call:
    """Return the call of a layer from its `settings` in `Network.brief`, with its name if it is `named`."""
    kind = settings.get("layer", "Dense")
    own = {key: value for key, value in settings.items() if key not in ("layer", "name")}
    arguments: dict[str, str | Call | list[Call]] = {}
    for key, value in own.items():
        if key.endswith("_initializer"):
            arguments[key] = initializer(value)
        elif key.endswith(("l1", "l2")):
            part = key[:-2].removesuffix("_") or "kernel"
            prefix = "" if part == "kernel" else f"{part}_"
            arguments[f"{part}_regularizer"] = regularizer(own.get(f"{prefix}l1", 0.0), own.get(f"{prefix}l2", 0.0))
        else:
            arguments[key] = literal(value)
    if named:
        arguments["name"] = literal(settings["name"])
    first = POSITIONAL.get(kind, "")
    order = [key for key in (first, *FIRST) if key in arguments]
    order += [key for key in arguments if key not in (*order, *LAST)] + [key for key in LAST if key in arguments]
    pairs = tuple(("" if key == first else key, arguments[key]) for key in dict.fromkeys(order))
    return Call(f"keras.layers.{kind}", pairs)


def regularizer(l1: float, l2: float) -> Call:
    """Return the penalty with these factors."""
    if l1 and l2:
        return Call("keras.regularizers.L1L2", (("l1", literal(l1)), ("l2", literal(l2))))
    return Call(f"keras.regularizers.{'L1' if l1 else 'L2'}", (("", literal(l1 or l2)),))


def initializer(value: Any) -> str | Call:
    """Return an initializer: its name, or a call if it has settings."""
    if value == "constant":  # which Keras takes as a name only with its value
        value = {"name": "constant", "value": 0.0}
    if isinstance(value, str):
        return literal(value)
    return Call(f"keras.initializers.{capitals(value['name'])}", arguments(value))


def rescaling(how: Rescale) -> Call:
    """Return the layer that multiplies inputs by a factor and adds an offset."""
    offset = (("offset", literal(how.offset)),) if how.offset else ()
    return Call("keras.layers.Rescaling", (("", fraction(how.scale)), *offset))


def loss(value: Any) -> str | Call:
    """Return a loss from `Network.brief`: its name, or a call if it has settings. The exercise's own is a function."""
    if value == names.OWN_LOSS:
        return names.OWN_LOSS
    if isinstance(value, str) and value not in CLASS_ONLY:
        return literal(value)
    value = {"name": value} if isinstance(value, str) else value
    kind = "KLDivergence" if value["name"] == "kl_divergence" else capitals(value["name"])
    return Call(f"keras.losses.{kind}", arguments(value))


def optimizer(value: Mapping[str, Any]) -> Call:
    """Return an optimizer from `Network.brief`.

    `decay` is a setting of Keras 1 and 2, which divide the rate by 1 + decay * step: in Keras 3 this is a schedule.
    """
    settings = {key: each for key, each in value.items() if key not in ("name", "decay")}
    rate: str | Call = literal(settings["learning_rate"])
    if isinstance(settings["learning_rate"], Mapping):
        rate = schedule(settings["learning_rate"])
    elif value.get("decay"):
        decayed = ("", rate), ("decay_steps", "1"), ("decay_rate", literal(value["decay"]))
        rate = Call("keras.optimizers.schedules.InverseTimeDecay", decayed)
    rest = arguments({key: each for key, each in settings.items() if key != "learning_rate"})
    kind = OPTIMIZERS.get(value["name"], value["name"].title())
    return Call(f"keras.optimizers.{kind}", (("learning_rate", rate), *rest))


def schedule(value: Mapping[str, Any]) -> Call:
    """Return a schedule of the learning rate."""
    return Call(f"keras.optimizers.schedules.{value['name']}", arguments(changed("schedules", value["name"], value)))


def callbacks(settings: Mapping[str, Any]) -> list[Call]:
    """Return the callbacks of a network in `Network.brief`; what they monitor is always there."""
    kinds = {"early_stopping": "EarlyStopping", "reduce_on_plateau": "ReduceLROnPlateau"}
    return [
        Call(
            f"keras.callbacks.{kind}",
            arguments({"monitor": settings[key]["monitor"], **changed("callbacks", key, settings[key])}),
        )
        for key, kind in kinds.items()
        if settings.get(key)
    ]


def changed(group: str, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that have not Keras's default."""
    known = names.described()[group][name]
    return {key: values[key] for key, setting in known.items() if values[key] != setting.get("default", Missing())}


def arguments(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return settings as arguments with their names, without the name of what they belong to."""
    return tuple((key, literal(value)) for key, value in settings.items() if key != "name")


def capitals(name: str) -> str:
    """Return ``mean_squared_error`` as the name of its class, ``MeanSquaredError``."""
    return name.title().replace("_", "")
