"""The layers of a recording -> `inputs` and `layers` of `as_posted`.

A setting that `as_posted` cannot express is refused. A setting that changes nothing, such as a seed, is left out.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from stages.base.errors import UserError
from stages.config import names
from stages.config.strict import RefusedError, quote
from stages.recording.recorded import Recording

# Layers that only prepare the inputs, and layers that do not change a value.
PREPARING = ("Rescaling", "Normalization")
SHAPING = ("Flatten", "Reshape", "Identity", "InputLayer")
WITH_WEIGHTS = ("Dense", "BatchNormalization", "PReLU")
# Settings that change nothing: names, seeds and shapes, which the data decides, and settings of what is switched off.
HARMLESS = {
    *("name", "trainable", "seed", "batch_shape", "batch_input_shape", "input_shape", "input_dim"),
    *("renorm_clipping", "renorm_momentum", "fused", "build_config", "rng_type"),
}
# The layers that Keras also takes as the activation of a Dense layer, except PReLU, which has weights.
ACTIVATIONS = ("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax")
# Keras 3 computes another function under this name.
CHANGED_ACTIVATIONS = ("hard_sigmoid",)
TOLERANCE = 1e-3

Layer = Mapping[str, Any]


class Layers(NamedTuple):
    """The layers of `as_posted` in order, what is done with the inputs, and the new name of each recorded layer."""

    inputs: Any
    layers: dict[str, dict[str, Any]]
    names: dict[str, str]


def translate(recording: Recording) -> Layers:
    """Return the layers of `recording`.

    Raises
    ------
    UserError
        If a layer or one of its settings cannot be recorded.
    """
    recorded = [each for each in recording.content["layers"] if each["class"] not in ("Identity", "InputLayer")]
    first = next((i for i, each in enumerate(recorded) if each["class"] not in (*PREPARING, *SHAPING)), len(recorded))
    refuse_others(recording, recorded)
    inputs = prepared_inputs(recording, [each for each in recorded[:first] if each["class"] in PREPARING])
    taken: set[str] = set()
    layers: dict[str, dict[str, Any]] = {}
    renamed: dict[str, str] = {}
    if flattens_first(recorded):
        layers[unique("flatten", taken)] = {"layer": "Flatten"}
    for number, each in enumerate(recorded):
        if each["class"] in PREPARING and number < first:
            continue
        name = renamed[each["name"]] = unique(each["name"], taken)
        try:
            settings, after = translated(recording, each)
        except RefusedError as refused:
            place = ".".join((f"{each['class']} {each['name']}", *refused.path))
            raise refusal(recording, each, f"{place}: {refused.problem}", refused.expected) from None
        layers[name] = settings
        if after:
            layers[unique(f"{name}_activation", taken)] = after
    return Layers(inputs, layers, renamed)


def refuse_others(recording: Recording, recorded: list[Layer]) -> None:
    """Refuse layers that whichfix does not train, all in one line."""
    known = (*names.described()["layers"], *PREPARING, *SHAPING)
    others = [each for each in recorded if each["class"] not in known or each.get("own")]
    if not others:
        return
    kinds = [f"{each['class']}{' (a class of the script)' if each.get('own') else ''}" for each in others]
    lines = sorted({str(each["line"]) for each in others if each.get("line")}, key=int)
    where = f" in line {', '.join(lines)}" if lines else ""
    problem = f"trains a network with {', '.join(dict.fromkeys(kinds))}{where}"
    raise recording.refusal(problem, f"layers of {', '.join(names.described()['layers'])}, {', '.join(PREPARING)}")


def refusal(recording: Recording, layer: Layer, problem: str, expected: str) -> UserError:
    """Return the error for `layer`, at the line that made it if the hook knows the line."""
    return recording.refusal(problem, expected, layer.get("line"))


def unique(name: str, taken: set[str]) -> str:
    """Return `name` as the schema takes it, and as no name that is `taken`."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:50]
    plain = plain if re.match("[A-Za-z]", plain) else f"layer_{plain}"
    number, found = 1, plain
    while found in taken:
        number += 1
        found = f"{plain}_{number}"
    taken.add(found)
    return found


def flattens_first(recorded: list[Layer]) -> bool:
    """Return whether examples of a shape such as [1, 20] are flattened first, which changes no value."""
    deep = [each for each in recorded if each["class"] == "Dense" and len(each["input_shape"]) > 1]
    return bool(deep) and all(set(each["input_shape"][:-1]) == {1} for each in deep)


def translated(recording: Recording, layer: Layer) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return `layer` with its settings, and the layer that its activation is, if the activation is a layer."""
    kind, shape = layer["class"], layer["input_shape"]
    known = names.described()["layers"]
    if kind == "Reshape" and len(layer["output_shape"]) == 1:
        return {"layer": "Flatten"}, None
    if kind in PREPARING:
        raise RefusedError("the layer stands after another one", "it before all others")
    if kind not in known:
        raise RefusedError(f"the layer makes examples of shape {quote(layer['output_shape'])}", "examples of one axis")
    if kind in WITH_WEIGHTS and not layer.get("trainable", True):
        raise RefusedError("the layer is frozen (trainable is False)", "a layer that is trained")
    if kind == "Dense" and len(shape) > 1 and set(shape[:-1]) != {1}:
        raise RefusedError(f"inputs of shape {quote(shape)}", "a Flatten layer before it: whichfix has no steps")
    settings: dict[str, Any] = {}
    after = None
    for key, value in layer["settings"].items():
        if key == "activation":
            value, after = activation(recording, value)
            settings |= {} if value is None else {key: value}
        elif key.endswith("_regularizer"):
            settings |= penalties(key.removesuffix("regularizer").removeprefix("kernel_"), key, value)
        elif key.endswith("_initializer"):
            settings[key] = initializer(key, value)
        elif (kind, key) == ("LeakyReLU", "alpha"):  # its name in Keras 1 and 2
            settings["negative_slope"] = value
        elif key in known[kind]:
            settings[key] = value
        else:
            check_other(layer, key, value)
    checked = {} if kind == "Dense" else {"layer": kind}
    if kind == "Activation" and after:
        return after, None
    names.layer({**checked, **settings})
    return {**checked, **settings}, after


def check_other(layer: Layer, key: str, value: Any) -> None:
    """Refuse a setting that `as_posted` does not have, unless it changes nothing."""
    last = len(layer["input_shape"])
    if key in HARMLESS or value is None or value is False or value == []:
        return
    if key == "dtype":
        if dtype_name(value) != "float32":
            raise RefusedError(quote(dtype_name(value)), "float32", key)
    elif key == "axis":
        if value not in (-1, last, [-1], [last]):
            raise RefusedError(quote(value), "the last axis", key)
    elif key == "data_format":
        if value != "channels_last" and last > 1:
            raise RefusedError(quote(value), "channels_last", key)
    elif isinstance(value, Mapping):
        raise RefusedError(str(value.get("class")), f"no {key}: whichfix trains without it", key)
    else:
        raise RefusedError(quote(value), f"no {key}", key)


def dtype_name(value: Any) -> str:
    """Return the name of a dtype, or of a policy of Keras for dtypes."""
    return str(value.get("settings", {}).get("name") if isinstance(value, Mapping) else value)


def activation(recording: Recording, value: Any) -> tuple[str | None, dict[str, Any] | None]:
    """Return the name of an activation, or the layer that it is."""
    if value is None:
        return None, None
    described = value if isinstance(value, Mapping) else {"class": "function", "name": value}
    kind = described["class"]
    if described.get("own"):
        raise RefusedError(f"{described.get('name', kind)} is of the script", "an activation of Keras", "activation")
    if kind != "function" and kind in ACTIVATIONS:
        inner = {"name": kind, "class": kind, "input_shape": [0], "output_shape": [0], **described}
        settings, after = translated(recording, {**inner, "settings": described.get("settings", {})})
        return None, after or settings
    name = described.get("name", kind)
    try:
        found = names.chosen(name, dict.fromkeys(names.described()["activations"]))
    except RefusedError as refused:
        raise refused.below("activation") from None
    keras = str(recording.content["versions"].get("keras", "3"))
    if found in CHANGED_ACTIVATIONS and keras.startswith(("1.", "2.")):
        problem = f"{found} of Keras {keras}"
        raise RefusedError(problem, "another activation: Keras 3 computes another function", "activation")
    return (None if found == "linear" else found), None


def penalties(prefix: str, key: str, value: Any) -> dict[str, float]:
    """Return the L1 and L2 factors of a regularizer, under keys such as ``bias_l2``."""
    if value is None:
        return {}
    kind, settings = (value.get("class"), value.get("settings", {})) if isinstance(value, Mapping) else (value, {})
    norms = {"l1": ("l1",), "l2": ("l2",), "l1l2": ("l1", "l2")}.get(str(kind).lower().replace("_", ""))
    if norms is None or (isinstance(value, Mapping) and value.get("own")):
        raise RefusedError(str(kind), "L1, L2 or L1L2", key)
    default = 0.0 if norms == ("l1", "l2") and isinstance(value, Mapping) else 0.01
    factors = {f"{prefix}{norm}": float(settings.get(norm, default)) for norm in norms}
    return {name: factor for name, factor in factors.items() if factor}


def initializer(key: str, value: Any) -> Any:
    """Return an initializer with its settings, without its seed."""
    if not isinstance(value, Mapping):
        return names.named("initializers", value)
    if value.get("own"):
        raise RefusedError(f"{value.get('name', value['class'])} is of the script", "an initializer of Keras", key)
    settings = {
        name: each
        for name, each in value.get("settings", {}).items()
        if name not in ("seed", "dtype", "name") and each is not None
    }
    if settings.get("distribution") == "normal":  # its name in Keras 2.0
        settings["distribution"] = "truncated_normal"
    try:
        return names.named("initializers", {"name": value["class"], **settings})
    except RefusedError as refused:
        raise refused.below(key) from None


def prepared_inputs(recording: Recording, layers: list[Layer]) -> Any:
    """Return `inputs` of as_posted for the layers that prepare them."""
    scale, offset = 1.0, 0.0
    for place, layer in enumerate(layers):
        settings = layer["settings"]
        if layer["class"] == "Normalization":
            if place + 1 < len(layers):
                raise refusal(recording, layer, "a layer prepares the inputs after Normalization", "Normalization last")
            return standardized(recording, layer, scale, offset)
        factor, addend = settings["scale"], settings.get("offset", 0.0)
        if not (names.is_number(factor) and names.is_number(addend) and factor > 0):
            problem = f"Rescaling {layer['name']} has scale {quote(factor)} and offset {quote(addend)}"
            raise refusal(recording, layer, problem, "two numbers, scale above 0")
        scale, offset = scale * factor, offset * factor + addend
    return scaled(scale, offset)


def scaled(scale: float, offset: float) -> Any:
    """Return `inputs` that multiply by `scale` and add `offset`."""
    if (scale, offset) == (1.0, 0.0):
        return "raw"
    return {"scale": scale, **({"offset": offset} if offset else {})}


def standardized(recording: Recording, layer: Layer, scale: float, offset: float) -> Any:
    """Return `inputs` for a Normalization layer whose mean and variance are those of the training rows."""
    mean, variance = (
        np.asarray(recording.arrays.get(f"weights/{layer['name']}.{part}", layer["settings"].get(part)), np.float64)
        if f"weights/{layer['name']}.{part}" in recording.arrays or layer["settings"].get(part) is not None
        else None
        for part in ("mean", "variance")
    )
    if mean is None or variance is None or layer["settings"].get("invert"):
        raise refusal(recording, layer, f"Normalization {layer['name']} was not adapted", "adapt before fit")
    if mean.size == variance.size == 1:
        deviation = max(float(variance.item()) ** 0.5, 1e-7)
        return scaled(scale / deviation, (offset - float(mean.item())) / deviation)
    x = recording.arrays["x"].astype(np.float64) * scale + offset
    shape = x.shape[1:]
    if mean.size == x[0].size:
        mean, variance = mean.reshape(shape), variance.reshape(shape)
    expected = np.mean(x, axis=0), np.var(x, axis=0)
    deviation = np.sqrt(expected[1])
    if not (
        np.allclose(np.broadcast_to(mean, shape), expected[0], rtol=TOLERANCE, atol=TOLERANCE * deviation.max())
        and np.allclose(np.broadcast_to(variance, shape), expected[1], rtol=TOLERANCE)
    ):
        problem = f"Normalization {layer['name']} has another mean or variance than the rows that train"
        raise refusal(recording, layer, problem, "adapt on the training rows: whichfix standardizes with their values")
    return "standardized"
