"""The family of a fix, by the settings that it changes; its name says nothing."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from stages.config import names
from stages.config.fixes import Fix
from stages.config.network import Layer, PostedNetwork
from stages.config.strict import RefusedError

Family = Literal[
    "form",
    "scaling",
    "activation",
    "optimizer",
    "rate",
    "epochs",
    "batch",
    "width",
    "depth",
    "initializer",
    "dropout",
    "penalty",
    "normalization",
    "momentum",
    "clipping",
    "weights",
    "order",
    "stopping",
    "other",
]
FAMILIES: tuple[Family, ...] = get_args(Family)

# Keys of the configuration outside of layers, optimizer and targets.
KEYS: dict[str, Family] = {
    "inputs": "scaling",
    "loss": "form",
    "batch_size": "batch",
    "drop_remainder": "batch",
    "epochs": "epochs",
    "steps_per_epoch": "epochs",
    "shuffle": "order",
    "class_weight": "weights",
    "initial_weights": "initializer",
    "early_stopping": "stopping",
    "reduce_on_plateau": "rate",
}
OPTIMIZER: dict[str, Family] = {
    "learning_rate": "rate",
    "decay": "rate",
    "max_function_calls": "epochs",
    "momentum": "momentum",
    "nesterov": "momentum",
    "clipnorm": "clipping",
    "clipvalue": "clipping",
    "global_clipnorm": "clipping",
    "weight_decay": "penalty",
}
# Kinds of layers, if they are inserted, removed or changed as a whole; the kinds that are left are activations.
LAYERS: dict[str, Family] = {
    "Dense": "depth",
    "Dropout": "dropout",
    "BatchNormalization": "normalization",
    "Flatten": "other",
}


def family_of(fix: Fix, posted: PostedNetwork) -> Family:
    """Return the family of `fix`: of all families to which its settings belong, the first in the order of `FAMILIES`.

    Form is the output (units and activation of the last Dense layer, and what follows it), the loss, and how the
    labels are encoded.
    """
    sets = [family for path, value in fix.set.items() for family in _of_path(path.split("."), value, posted)]
    products = [family for path in fix.multiply for family in _of_path(path.split("."), None, posted)]
    inserted = [_of_inserted(layer, posted) for layer in fix.insert.values()]
    removed = [_of_layer(layer, posted) for layer in posted.layers if layer["name"] in fix.remove]
    return min([*sets, *products, *inserted, *removed], key=FAMILIES.index, default="other")


def _of_path(path: list[str], value: Any, posted: PostedNetwork) -> Iterator[Family]:
    """Yield the families of the settings that `path` stands for, which gets `value`."""
    match path:
        case ["layers"]:
            yield "depth"
        case ["layers", pattern, *rest]:
            matches = [layer for layer in posted.layers if fnmatchcase(layer["name"], pattern)]
            layers = [layer for layer in matches if not rest or rest[0] in layer]
            # Without a layer, it is one that another fix inserts.
            for layer in layers or [{"layer": "Dense", "name": pattern}]:
                yield from _of_layer_path(layer, rest, value, posted)
        case ["optimizer"]:
            yield from _of_optimizer(value, posted)
        case ["optimizer", key, *_]:
            yield OPTIMIZER.get(key, "optimizer")
        case ["targets", *_]:
            encodings = {"integer", "one_hot"}
            encoded = value in encodings if isinstance(value, str) and value != "raw" else posted.targets in encodings
            yield "form" if encoded else "scaling"
        case _:
            yield KEYS.get(path[0], "other")


def _of_layer_path(layer: Layer, rest: list[str], value: Any, posted: PostedNetwork) -> Iterator[Family]:
    """Yield the families of a setting of `layer`, or of those that differ if the whole layer is set."""
    if rest:
        yield _of_setting(layer, rest[0], posted)
        return
    try:
        changed = names.layer(value)
    except RefusedError:
        changed = {}
    if changed.get("layer") != layer["layer"]:
        yield _of_layer(layer, posted)
    for key in changed:
        if key in layer and changed[key] != layer[key]:
            yield _of_setting(layer, key, posted)


def _of_setting(layer: Layer, key: str, posted: PostedNetwork) -> Family:
    match key:
        case "activation" | "units" if _is_output(layer["name"], posted):
            return "form"
        case "activation":
            return "activation"
        case "units":
            return "width"
    if key.endswith("initializer"):
        return "initializer"
    if key.endswith(("l1", "l2")):
        return "penalty"
    return "other" if layer["layer"] == "Dense" else _of_layer(layer, posted)


def _of_layer(layer: Layer, posted: PostedNetwork) -> Family:
    """Return the family of a layer that is changed or removed as a whole."""
    kind = LAYERS.get(layer["layer"], "activation")
    return "form" if kind in ("activation", "depth") and _is_output(layer["name"], posted) else kind


def _of_inserted(layer: Layer, posted: PostedNetwork) -> Family:
    """Return the family of a layer that is inserted; behind the last Dense layer, it belongs to the output."""
    kind = LAYERS.get(layer.get("layer", "Dense"), "activation")
    behind = _is_output(layer.get("after", ""), posted)
    return "form" if kind in ("activation", "depth") and behind else kind


def _is_output(name: str, posted: PostedNetwork) -> bool:
    """Return whether a layer is the last Dense layer or comes after it."""
    order = [layer["name"] for layer in posted.layers]
    return name in order and order.index(name) >= order.index(posted.dense[-1]["name"])


def _of_optimizer(value: Any, posted: PostedNetwork) -> Iterator[Family]:
    """Yield the families of an optimizer: its own if its name changes, else those of the settings that differ."""
    try:
        changed = names.named("optimizers", value)
    except RefusedError:
        changed = {"name": None}
    if changed["name"] != posted.optimizer["name"]:
        yield "optimizer"
        return
    for key, setting in changed.items():
        if setting != posted.optimizer[key]:
            yield OPTIMIZER.get(key, "optimizer")
