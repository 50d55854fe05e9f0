"""The configuration of a network and its training: as it stands under `as_posted` in params.yaml, and resolved."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_serializer, model_validator

from stages.config import names
from stages.config.examples import Buffer, Inputs, Positive, Scale, Shuffle, Targets, either, inputs_check
from stages.config.strict import NAME, Missing, Number, RefusedError, Strict, quote, well_named

# Training holds the weights about six times: with gradients, moments and copies, 1.2 GB in float32.
MOST_WEIGHTS = 50_000_000
MOST_LAYERS = 64
MOST_FEATURES = 784
LAYERS = "{hidden: {units: 64, activation: relu}, output: {units: 10, activation: softmax}}"
# TNC has no batches and no epochs.
WITH_BATCHES = ("early_stopping", "reduce_on_plateau", "steps_per_epoch", "drop_remainder")

# Whose losses: Keras 2.2 is of 2018, and Keras 3 is today's.
Keras = Literal["2.2", "3"]
# The conditions in words.
WHEN: dict[str, str] = {"2.2": "in 2018", "3": "today"}


def label(name: str, keras: str, conditions: Sequence[str]) -> str:
    """Return `name` under the condition `keras`, such as ``fixed@2.2``; `name` alone if there is one condition."""
    return name if len(conditions) == 1 else f"{name}@{keras}"


Layer = Mapping[str, Any]


def _layers(value: Any) -> list[dict[str, Any]]:
    """Return layers with every setting, each under its `name`, in order.

    params.yaml has them as a mapping by name, JSON as a list, because its keys are sorted.
    """
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, Sequence) and all(isinstance(each, Mapping) and "name" in each for each in value):
        pairs = [(each["name"], {key: setting for key, setting in each.items() if key != "name"}) for each in value]
    else:
        raise RefusedError(quote(value), f"a mapping of names to layers, such as {LAYERS}")
    if not 1 <= len(pairs) <= MOST_LAYERS:
        raise RefusedError(quote(value), f"1 to {MOST_LAYERS} layers")
    layers = []
    for name, settings in pairs:
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            expected = "a name of letters, digits, _ and - that begins with a letter"
            raise RefusedError(quote(name), expected + (well_named(name) if isinstance(name, str) else ""))
        try:
            layers.append({"name": name, **names.layer(settings)})
        except RefusedError as refusal:
            raise refusal.below(name) from None
    return layers


def _named(group: str) -> BeforeValidator:
    return BeforeValidator(lambda value: names.named(group, value))


def _check_class_weight(value: dict[int, float] | None) -> dict[int, float] | None:
    if value is not None and not all(weight >= 0 for weight in value.values()):
        raise RefusedError(quote(value), "weights of at least 0, by class")
    return value


def _number_keys(value: Any) -> Any:
    """Return a mapping with its keys as whole numbers; JSON has texts."""
    if not isinstance(value, Mapping):
        return value
    return {
        int(key) if isinstance(key, str) and key.lstrip("-").isdecimal() and len(key) < 20 else key: each
        for key, each in value.items()
    }


class PostedNetwork(Strict):
    """Everything that decides a run, except its seed, its data and the version of Keras.

    Keys that are left out have Keras's defaults. `layers` are in order; each has its name, its kind under `layer`, and
    every setting. `inputs` and `targets` say what is done with the data before training; `initial_weights` says that
    the data file has the first weights. `batch_size` and `epochs` are null for TNC, which counts function calls.

    `shuffle` orders the examples of a pass: anew, as in the file, whole batches anew, or through a buffer. With
    `drop_remainder`, a pass leaves out the examples that fill no batch. With `steps_per_epoch`, an epoch has so many
    full batches, and passes follow one another.
    """

    inputs: Annotated[Inputs, inputs_check()] = "raw"
    targets: Annotated[Targets, either(Scale, "{scale: factor}", "raw", "integer", "one_hot", "standardized")] = "raw"
    layers: Annotated[tuple[dict[str, Any], ...], Field(strict=False), BeforeValidator(_layers)]
    loss: Annotated[dict[str, Any], _named("losses")]
    optimizer: Annotated[dict[str, Any], _named("optimizers")]
    batch_size: Positive | None = 32
    epochs: Positive | None = 1
    shuffle: Annotated[Shuffle, either(Buffer, "{buffer: examples}", True, False, "batches")] = True
    steps_per_epoch: Positive | None = None
    drop_remainder: bool = False
    class_weight: Annotated[
        dict[int, Number] | None, BeforeValidator(_number_keys), AfterValidator(_check_class_weight)
    ] = None
    initial_weights: bool = False
    early_stopping: Annotated[dict[str, Any] | None, BeforeValidator(names.callback("early_stopping"))] = None
    reduce_on_plateau: Annotated[dict[str, Any] | None, BeforeValidator(names.callback("reduce_on_plateau"))] = None

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if not any(layer["layer"] == "Dense" for layer in self.layers):
            raise RefusedError("no Dense layer", "at least one", "layers")
        units = (MOST_FEATURES, *(layer["units"] for layer in self.dense))
        if (weights := sum(before * after for before, after in pairwise(units))) > MOST_WEIGHTS:
            raise RefusedError(f"layers with {weights} weights", f"units with at most {MOST_WEIGHTS} weights", "layers")
        for key in ("batch_size", "epochs"):
            if (getattr(self, key) is None) != self.by_tnc:
                raise RefusedError(
                    f"{key} {quote(getattr(self, key))} with optimizer {self.optimizer['name']}",
                    f"{key} null with optimizer tnc, which counts function calls, and at least 1 with every other",
                )
        if self.by_tnc and not {layer["layer"] for layer in self.layers} <= {"Dense", "Activation", "Flatten"}:
            raise RefusedError("optimizer tnc", "an optimizer of Keras: tnc trains Dense layers and activations only")
        if self.by_tnc and (own := [key for key in WITH_BATCHES if getattr(self, key)]):
            raise RefusedError("optimizer tnc", f"an optimizer of Keras with {own[0]}")
        if self.steps_per_epoch and self.shuffle == "batches":
            raise RefusedError("steps_per_epoch with shuffle batches", "one of them")
        scheduled = isinstance(self.optimizer.get("learning_rate"), dict) or self.optimizer.get("decay")
        if scheduled and isinstance(self.optimizer["learning_rate"], dict) and self.optimizer["decay"]:
            raise RefusedError("decay with a schedule", "one of them", "optimizer")
        if scheduled and self.reduce_on_plateau:
            raise RefusedError("reduce_on_plateau with a schedule", "a learning_rate that is a number")
        return self

    @field_serializer("layers")
    def _list(self, layers: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
        return [dict(layer) for layer in layers]

    @property
    def by_tnc(self) -> bool:
        """Return whether SciPy's TNC trains the network."""
        return bool(self.optimizer["name"] == names.OWN_OPTIMIZER)

    @property
    def dense(self) -> list[Layer]:
        """Return the Dense layers, in order."""
        return [layer for layer in self.layers if layer["layer"] == "Dense"]

    @property
    def output_units(self) -> int:
        """Return the number of outputs: the units of the last Dense layer."""
        units: int = self.dense[-1]["units"]
        return units

    def tree(self) -> dict[str, Any]:
        """Return the settings as params.yaml has them: nested mappings, layers by name."""
        values = self.model_dump(mode="json", exclude={"keras"})
        return values | {"layers": by_name(values["layers"])}

    def brief(self) -> dict[str, Any]:
        """Return the settings that differ from Keras's defaults, as JSON; `model_validate` makes the network of it."""
        shown = short(self.tree())
        # A list, because JSON sorts the keys of a mapping.
        return {**shown, "layers": [{"name": name, **layer} for name, layer in shown["layers"].items()]}


class Network(PostedNetwork):
    """Everything that decides a run, except its seed and its data. Losses are those of the version `keras`."""

    keras: Keras

    @property
    def dtype(self) -> Literal["float32", "float64"]:
        """Return the dtype of the computation.

        TNC estimates curvature from differences of gradients, which rounding to float32 would drown.
        """
        return "float64" if self.by_tnc else "float32"

    def shares(self, layer: Layer) -> bool:
        """Return whether the L2 factor of `layer` is an input of the program rather than a constant.

        In float64 the two round differently, and a factor of zero leaves the penalty out.
        """
        return self.dtype == "float32" and layer.get("l2", 0) > 0 and layer.get("l1", 0) == 0

    def brief(self) -> dict[str, Any]:
        """Return the settings that differ from Keras's defaults, and the version of Keras."""
        return {**super().brief(), "keras": self.keras}

    @property
    def program(self) -> str:
        """Return the settings that are compiled into the training program, as JSON.

        Runs with equal settings share one program. Here is the short list of settings that are not compiled: the
        number of epochs or function calls, the initializers, the order of the examples, a constant learning rate, the
        L2 factors, the weights of classes, and what is done with inputs.
        """
        left_out = {"epochs", "inputs", "shuffle", "initial_weights", "early_stopping", "reduce_on_plateau"}
        values = self.model_dump(mode="json", exclude=left_out)
        for layer in values["layers"]:
            for key in [key for key in layer if key.endswith("_initializer")]:
                del layer[key]
            if self.shares(layer):
                layer["l2"] = "given"
        for key in ("learning_rate", "max_function_calls"):
            if key in values["optimizer"] and not isinstance(values["optimizer"][key], dict):
                values["optimizer"][key] = "given"
        values["class_weight"] = self.class_weight is not None
        return json.dumps(values, sort_keys=True)


def by_name(layers: Sequence[Layer]) -> dict[str, dict[str, Any]]:
    """Return a list of layers as a mapping by name, in order."""
    return {layer["name"]: {key: value for key, value in layer.items() if key != "name"} for layer in layers}


def short(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return `tree` without settings that have Keras's default, and names alone where no setting is left."""
    found = names.described()
    defaults = PostedNetwork.model_fields
    shown: dict[str, Any] = {}
    for key, value in tree.items():
        if key == "layers":
            shown[key] = {name: _short_layer(found, layer) for name, layer in value.items()}
        elif key == "loss":
            shown[key] = _short_named(found["losses"], value)
        elif key == "optimizer":
            shown[key] = _short_named(found["optimizers"], value, "learning_rate")
        elif key in ("batch_size", "epochs") or value != defaults[key].default:
            shown[key] = value
    return shown


def _short_layer(found: Mapping[str, Any], layer: Layer) -> dict[str, Any]:
    settings = dict(_changed(found["layers"][layer["layer"]], layer))
    return settings if layer["layer"] == "Dense" else {"layer": layer["layer"], **settings}


def _short_named(found: Mapping[str, Any], value: Mapping[str, Any], *kept: str) -> Any:
    settings = dict(_changed(found[value["name"]], value, *kept))
    return {"name": value["name"], **settings} if settings else value["name"]


def _changed(settings: names.Settings, values: Mapping[str, Any], *kept: str) -> Iterator[tuple[str, Any]]:
    """Yield the settings that have not their default."""
    for key, setting in settings.items():
        default = setting.get("default", Missing())
        if not isinstance(default, Missing):
            default = names.checked(key, setting, default)
        if key in kept or values[key] != default:
            initializer = setting["kind"] == "initializer"
            yield key, _short_named(names.described()["initializers"], values[key]) if initializer else values[key]
