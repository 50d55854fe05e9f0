"""A recording -> `as_posted`: the network, its loss, its optimizer, and how it is trained.

What `as_posted` cannot express is refused, with the line of the script. What does not change the training is passed
over, and a sentence says so.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from stages.base.errors import UserError
from stages.config import names
from stages.config.network import PostedNetwork, short
from stages.config.schema import Task
from stages.config.strict import RefusedError, first_refusal, quote
from stages.recording import layers
from stages.recording.callbacks import Callbacks
from stages.recording.recorded import Recording

# Names of losses in Keras 1 and 2, and of functions in Keras 2 and TensorFlow.
OLD_LOSSES = {
    "cosine_proximity": "cosine_similarity",
    "kullback_leibler_divergence": "kl_divergence",
    "kullbackleiblerdivergence": "kl_divergence",
    "huber_loss": "huber",
}
# Settings of a loss and of an optimizer that change nothing at these values.
OF_LOSSES: dict[str, tuple[Any, ...]] = {
    "reduction": ("sum_over_batch_size", "auto", "mean", "mean_with_sample_weight"),
    "axis": (-1,),
    "dtype": ("float32",),
}
OF_OPTIMIZERS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("loss_scale_factor", "gradient_accumulation_steps"), (1, 1.0)),
    "decay": (0, 0.0),
}
# The Nadam of Keras 1 and 2 calls so what later versions have built in.
NADAM_DECAY = 0.004
# Names and the way of compiling change no number; the other two belong to `use_ema`.
IGNORED = ("name", "fn", "jit_compile", "is_legacy_optimizer", "ema_momentum", "ema_overwrite_frequency")


class Translated(NamedTuple):
    """`as_posted` without Keras's defaults, the new name of each recorded layer, and sentences for the person."""

    as_posted: dict[str, Any]
    names: dict[str, str]
    said: list[str]


def translate(recording: Recording, task: Task) -> Translated:
    """Return the network of `recording` as params.yaml has it.

    Raises
    ------
    UserError
        If something that is trained cannot be expressed, in one line with the line of the script.
    """
    found = layers.translate(recording)
    loss = loss_of(recording)
    callbacks = Callbacks(recording, task, loss)
    settings: dict[str, Any] = {
        "inputs": found.inputs,
        "layers": found.layers,
        "loss": loss,
        "optimizer": optimizer_of(recording) | callbacks.rate(),
        **fit_of(recording),
        **callbacks.settings,
    }
    if recording.content["weights"] == "set":
        settings["initial_weights"] = True
    try:
        network = PostedNetwork.model_validate(settings)
    except ValidationError as error:
        refused = first_refusal(error, settings)
        place = ".".join(refused.path)
        raise recording.refusal(f"{place}: {refused.problem}", refused.expected) from None
    said = list(recording.content.get("notes", []))
    if name := recording.content["loss"].get("own_name"):
        said.append(f"the script's function {name} gives what {loss['name']} gives, and is recorded as {loss['name']}")
    if recording.content["weights"] == "set":
        said.append("the script sets the first weights: the case begins with these arrays, whatever the seed")
    for old, new in found.names.items():
        if old != new:
            said.append(f"the layer {old} is called {new} in the case")
    return Translated(tidy(short(network.tree())), found.names, said + callbacks.said)


def tidy(posted: dict[str, Any]) -> dict[str, Any]:
    """Return `as_posted` as a person would write it: units first, classes as numbers, no defaults of callbacks."""
    layers = {
        name: {key: layer[key] for key in sorted(layer, key=lambda key: key not in ("layer", "units"))}
        for name, layer in posted["layers"].items()
    }
    watching = {
        name: {key: value for key, value in posted[name].items() if value != defaults[key]["default"]}
        for name, defaults in names.described()["callbacks"].items()
        if name in posted
    }
    found = {**posted, "layers": layers, **watching}
    if weights := posted.get("class_weight"):  # JSON has texts for keys
        found["class_weight"] = {int(key): value for key, value in weights.items()}
    return found


def loss_of(recording: Recording) -> dict[str, Any]:
    """Return the loss with its settings."""
    loss = recording.content["loss"]
    name = str(loss.get("class") or loss.get("name"))
    if loss.get("own"):
        expected = "a loss of Keras, or a function that gives what one of them gives"
        raise recording.refusal(f"the loss {name} is of the script", expected, loss.get("line"))
    reduction = loss.get("settings", {}).get("reduction")
    if reduction == "mean_with_sample_weight" and weighted(recording):
        problem = f"the loss {name} with reduction {reduction} and weights of examples"
        raise recording.refusal(problem, "the reduction sum_over_batch_size", loss.get("line"))
    name = OLD_LOSSES.get(name.lower(), name)
    try:
        return names.named("losses", {"name": name, **kept(loss.get("settings", {}), OF_LOSSES)})
    except RefusedError as refused:
        raise refusal(recording, f"the loss {name}", refused, loss.get("line")) from None


def weighted(recording: Recording) -> bool:
    """Return whether examples or classes have weights."""
    return "sample_weight" in recording.arrays or bool(recording.content["fit"].get("class_weight"))


def optimizer_of(recording: Recording) -> dict[str, Any]:
    """Return the optimizer with its settings."""
    optimizer = recording.content["optimizer"]
    name = optimizer["class"]
    if optimizer.get("own"):
        raise recording.refusal(f"the optimizer {name} is of the script", "an optimizer of Keras")
    settings = dict(optimizer["settings"])
    if optimizer.get("steps_done") and (settings.get("decay") or isinstance(settings["learning_rate"], Mapping)):
        problem = f"the optimizer {name} has done {optimizer['steps_done']} steps, and its rate depends on them"
        raise recording.refusal(problem, "a training from the first step; see --fit")
    if name == "Nadam" and settings.get("decay") == NADAM_DECAY:
        del settings["decay"]  # of the momentum, as in every Nadam
    rate = settings["learning_rate"]
    if isinstance(rate, Mapping):
        if rate.get("own") or rate["class"] not in names.described()["schedules"]:
            problem = f"the schedule {rate['class']} of the learning rate"
            raise recording.refusal(problem, f"one of: {', '.join(names.described()['schedules'])}")
        schedule = {key: value for key, value in rate["settings"].items() if key != "name" and value is not None}
        settings["learning_rate"] = {"name": rate["class"], **schedule}
    try:
        if name.lower() not in names.described()["optimizers"] or name.lower() == names.OWN_OPTIMIZER:
            known = [each for each in names.described()["optimizers"] if each != names.OWN_OPTIMIZER]
            raise RefusedError("unknown to whichfix", f"one of: {', '.join(known)}")
        return names.named("optimizers", {"name": name, **kept(settings, OF_OPTIMIZERS)})
    except RefusedError as refused:
        raise refusal(recording, f"the optimizer {name}", refused) from None


def kept(settings: Mapping[str, Any], harmless: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """Return the settings without those that are switched off, and without `harmless` values."""
    return {
        key: value
        for key, value in settings.items()
        if value is not None
        and key not in IGNORED
        and value not in harmless.get(key, ())
        and not (key == "use_ema" and value is False)
    }


def refusal(recording: Recording, what: str, refused: RefusedError, line: int | None = None) -> UserError:
    """Return a refusal of `names` as an error about `what`."""
    place = f".{'.'.join(refused.path)}" if refused.path else ""
    return recording.refusal(f"{what}{place}: {refused.problem}", refused.expected, line)


def fit_of(recording: Recording) -> dict[str, Any]:
    """Return batch size, epochs, order and weights of classes."""
    fit = recording.content["fit"]
    size, n_rows = int(fit.get("batch_size") or 32), len(recording.arrays["x"])
    steps, drop = fit.get("steps_per_epoch"), bool(fit.get("drop_remainder"))
    full = n_rows // size
    if steps == full and (drop or n_rows % size == 0) and full:
        steps = None  # an epoch is a pass
    found: dict[str, Any] = {
        "batch_size": size,
        "epochs": int(fit.get("epochs", 1)) - int(fit.get("initial_epoch") or 0),
        "shuffle": fit.get("shuffle", True),
        "steps_per_epoch": steps,
        "drop_remainder": drop and n_rows % size > 0,
    }
    weights = fit.get("class_weight")
    if not weights:
        return found
    if "sample_weight" in recording.arrays:
        raise recording.refusal("weights of classes and of examples", "one of the two")
    if not all(key.lstrip("-").isdecimal() for key in weights):
        raise recording.refusal(f"class_weight {quote(weights)}", "whole numbers for classes")
    return {**found, "class_weight": {int(key): float(value) for key, value in weights.items()}}
