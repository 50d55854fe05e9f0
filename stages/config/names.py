"""Names and settings of Keras, as keras_names.json has them, so that `plan` need not import Keras.

`python -m stages keras_names` writes the file. Settings that are left out have Keras's defaults.
"""

import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from stages.config.strict import Missing, RefusedError, did_you_mean, example, fraction, none_of, quote, step

FILE = "stages/config/keras_names.json"
# What whichfix has beside Keras: the cost of the course's exercise, SciPy's truncated Newton method, and the setting
# of Keras 1 and 2 that divides the learning rate by 1 + decay * step.
OWN_LOSS, OWN_OPTIMIZER = "summed_binary_crossentropy", "tnc"
DECAY = {"kind": "number", "default": 0.0}
# Limits of settings: lowest and highest.
LIMITS: dict[str, tuple[float, float]] = {
    "units": (1, 16_384),
    "max_function_calls": (1, 1_000_000),
    "rate": (0, 1),
    "patience": (0, 1_000_000),
    "decay_steps": (1, 1_000_000_000),
    **dict.fromkeys(("momentum", "beta_1", "beta_2", "rho"), (0, 1)),
    "q": (1e-6, 1 - 1e-6),
    "scale": (1e-12, math.inf),
    "factor": (0, 1 - 1e-6),
    "learning_rate_power": (-math.inf, 0),
    **dict.fromkeys(("negative_slope", "max_value", "threshold", "initial_accumulator_value"), (0, math.inf)),
    **dict.fromkeys((f"{kind}_regularization_strength" for kind in ("l1", "l2", "l2_shrinkage")), (0, math.inf)),
    **dict.fromkeys(("l1", "l2", "bias_l1", "bias_l2", "activity_l1", "activity_l2", "decay"), (0, math.inf)),
}
# The words that Keras takes where a setting is text.
WORDS = {
    "mode": ("fan_in", "fan_out", "fan_avg"),
    "distribution": ("uniform", "truncated_normal", "untruncated_normal"),
}
# Of each group, a mapping of a name and settings.
SAMPLES = {
    "initializers": "{name: random_normal, stddev: 0.05}",
    "losses": "{name: binary_crossentropy, from_logits: true}",
    "optimizers": "{name: adam, learning_rate: 0.001}",
    "schedules": "{name: ExponentialDecay, initial_learning_rate: 0.1, decay_steps: 100, decay_rate: 0.9}",
}
MONITORS = ("loss", "accuracy", "val_loss", "val_accuracy")

Settings = Mapping[str, Mapping[str, Any]]


@cache
def described() -> dict[str, Any]:
    """Return the content of keras_names.json, with what whichfix has beside Keras."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("keras_names.json").read_bytes())
    for settings in found["optimizers"].values():
        settings["decay"] = DECAY
    found["optimizers"][OWN_OPTIMIZER] = {"max_function_calls": {"kind": "integer"}}
    found["losses"][OWN_LOSS] = {}
    return found


def named(group: str, value: Any) -> dict[str, Any]:
    """Return `value`, a name or a mapping of a name and settings, as a mapping with every setting.

    `group` is initializers, losses, optimizers or schedules. A name may have the form of Keras's classes or functions:
    ``GlorotUniform`` or ``glorot_uniform``.

    Raises
    ------
    RefusedError
        If the name or a setting is unknown, or a value is of the wrong kind.
    """
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        raise RefusedError(quote(value), f"a name, or a mapping of name and settings, such as {SAMPLES[group]}")
    try:
        name = chosen(value.get("name", Missing()), described()[group], described()["aliases"].get(group, {}))
    except RefusedError as refusal:
        raise refusal.below("name") from None
    given = {key: setting for key, setting in value.items() if key != "name"}
    return {"name": name, **complete(described()[group][name], given)}


def layer(value: Any) -> dict[str, Any]:
    """Return a layer, a mapping of its settings, with every setting; without `layer` it is ``Dense``.

    Raises
    ------
    RefusedError
        As `named` does.
    """
    if not isinstance(value, Mapping):
        units = value if is_number(value) else 64
        raise RefusedError(quote(value), f"a mapping of the settings of a layer, such as {{units: {units}}}")
    try:
        kind = chosen(value.get("layer", "Dense"), described()["layers"])
    except RefusedError as refusal:
        raise refusal.below("layer") from None
    given = {key: setting for key, setting in value.items() if key != "layer"}
    return {"layer": kind, **complete(described()["layers"][kind], given)}


def callback(kind: str) -> Callable[[Any], dict[str, Any] | None]:
    """Return a check of the settings of ``early_stopping`` or ``reduce_on_plateau``; null stands for none."""

    def check(value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise RefusedError(quote(value), "null, or a mapping of settings, such as {patience: 5}")
        settings = complete(described()["callbacks"][kind], value)
        if settings["monitor"] not in MONITORS:
            raise none_of(settings["monitor"], MONITORS, "monitor")
        return settings

    return check


def chosen(value: Any, names: Mapping[str, Any], aliases: Mapping[str, str] | None = None) -> str:
    """Return the one of `names` that `value` stands for, in any of Keras's spellings."""
    if isinstance(value, str) and value in names:
        return value
    spellings = {plain(name): name for name in names} | {plain(alias): n for alias, n in (aliases or {}).items()}
    if not isinstance(value, str) or plain(value) not in spellings:
        raise none_of(value, names)
    return spellings[plain(value)]


def plain(name: str) -> str:
    """Return a name without what Keras's spellings differ in: capitals and underscores."""
    return name.replace("_", "").lower()


def complete(settings: Settings, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of all `settings`: those `given`, checked, and the defaults of the others."""
    for key in given:
        if key not in settings:
            known = ", ".join(settings) or "no settings"
            raise RefusedError(f"unknown key{did_you_mean(key, settings)}", f"one of: {known}", step(key))
    values = {}
    for key, setting in settings.items():
        value = given.get(key, setting.get("default", Missing()))
        try:
            values[key] = checked(key, setting, value)
        except RefusedError as refusal:
            raise refusal.below(key) from None
    _check_together(values)
    return values


def _check_together(values: Mapping[str, Any]) -> None:
    """Refuse settings that Keras takes alone but not together."""
    clips = [key for key in ("clipnorm", "clipvalue", "global_clipnorm") if values.get(key) is not None]
    if len(clips) > 1:
        raise RefusedError(" and ".join(clips), "one of them")
    if "boundaries" in values:
        boundaries, rates = values["boundaries"], values["values"]
        if len(rates) != len(boundaries) + 1:
            raise RefusedError(f"{len(boundaries)} boundaries with {len(rates)} values", "one value more", "values")
        if sorted(set(boundaries)) != boundaries:
            raise RefusedError(quote(boundaries), "numbers that rise", "boundaries")


def checked(key: str, setting: Mapping[str, Any], value: Any) -> Any:
    """Return `value` in the form in which it is kept.

    Raises
    ------
    RefusedError
        If it is of another kind than the setting, or outside of its limits.
    """
    kind = setting["kind"]
    if kind in ("number", "numbers", "rate"):
        value = fraction(value)
    if value is None and setting.get("default", 0) is None:
        return "linear" if kind == "activation" else None
    match kind:
        case "activation":
            return chosen(value, dict.fromkeys(described()["activations"]))
        case "initializer":
            return named("initializers", value)
        case "rate" if isinstance(value, Mapping):
            return named("schedules", value)
        case "boolean" if isinstance(value, bool):
            return value
        case "text" if key in WORDS:
            return chosen(value, dict.fromkeys(WORDS[key]))
        case "text" if isinstance(value, str):
            return value
        case "numbers" if isinstance(value, list | tuple) and all(map(is_number, value)):
            return [float(each) for each in value]
    low, high = LIMITS.get(key, (-math.inf, math.inf))
    if kind == "integer" and is_number(value) and value == int(value) and low <= value <= high:
        return int(value)
    if kind in ("number", "rate") and is_number(value) and low <= value <= high and (kind != "rate" or value > 0):
        return float(value)
    words = expected(kind, low, high, setting.get("default", 0) is None)
    rule = {"integer": "int_type", "number": "float_type", "rate": "float_type", "boolean": "bool_type"}.get(kind, "")
    meant = None if is_number(value) else example(rule, value)
    raise RefusedError(quote(value), words + (meant or ""))


def is_number(value: Any) -> bool:
    """Return whether `value` is a number that float64 holds, and not a truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


def expected(kind: str, low: float, high: float, optional: bool) -> str:
    """Return what a setting of this kind takes, in words."""
    words = {
        "boolean": "true or false",
        "integer": "a whole number",
        "number": "a number",
        "numbers": "a list of numbers",
        "rate": "a number above 0, or a schedule: a mapping of name and settings",
        "text": "text",
    }[kind]
    if math.isfinite(low):
        words += f" of at least {low:g}"
    if math.isfinite(high):
        words += f" {'and' if math.isfinite(low) else 'of'} at most {high:g}"
    return f"{words}, or null" if optional else words
