"""Rules about the learning rate and its schedule."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from stages.config import names
from stages.diagnosis.look import Advice, Changes, Look, counted, figure, percent

UPDATES = "https://cs231n.github.io/neural-networks-3/"
SCHEDULES = "https://keras.io/api/optimizers/learning_rate_schedules/"
OPTIMIZERS = "https://keras.io/api/optimizers/"
STABILITY = "https://doi.org/10.1007/978-3-642-35289-8_3"

RATE = "optimizer.learning_rate"
# SGD has little effect in fewer steps.
FEW_STEPS = 10_000
# A rate of SGD is as good as inputs and targets are small.
LARGE = 5.0
# A rate that is so many times above or below Keras's default is as good as the default, or is wrong.
NEAR, FAR = 3.0, 20.0
# Updates of about 0.001 of a weight are usual.
LARGE_UPDATE, SMALL_UPDATE = 0.1, 1e-4


def initial_rate(optimizer: Mapping[str, Any]) -> float:
    """Return the learning rate of the first step."""
    rate = optimizer.get("learning_rate", 1.0)
    if not isinstance(rate, Mapping):
        return float(rate)
    return float(rate["values"][0] if "values" in rate else rate["initial_learning_rate"])


def usual_rate(name: str) -> float:
    """Return Keras's default rate of an optimizer."""
    default = names.described()["optimizers"][name].get("learning_rate", {}).get("default")
    return float(default or 0.01)


def remaining(look: Look) -> float | None:
    """Return the last learning rate divided by the first one; None if it has no schedule, or one that is not known."""
    optimizer, steps = look.posted.optimizer, look.steps
    if optimizer.get("decay"):
        return 1 / (1 + float(optimizer["decay"]) * steps)
    rate = optimizer.get("learning_rate")
    if not isinstance(rate, Mapping):
        return None
    first = initial_rate(optimizer)
    passed = steps / rate.get("decay_steps", 1)
    match rate["name"]:
        case "ExponentialDecay":
            return float(rate["decay_rate"] ** min(passed, 1e6)) if rate["decay_rate"] <= 1 else None
        case "InverseTimeDecay":
            return float(1 / (1 + rate["decay_rate"] * passed))
        case "PiecewiseConstantDecay":
            place = sum(boundary < steps for boundary in rate["boundaries"])
            return float(rate["values"][place] / first) if first else None
        case "PolynomialDecay" if passed >= 1 and first:
            return float(rate["end_learning_rate"] / first)
        case "CosineDecay" if passed >= 1 and not rate.get("warmup_target"):
            return float(rate["alpha"])
    return None


def learning_rate(look: Look) -> Iterator[Advice]:
    """Advise other learning rates, by their effect, by Keras's default, or by the scales of the data."""
    if look.posted.by_tnc:
        return
    settings = look.posted.optimizer
    rate, usual = initial_rate(settings), usual_rate(settings["name"])
    high, low = measured_high(look), measured_low(look)
    above, below = rate / usual, usual / rate
    side = f"{figure(above)} times above" if above > 1 else f"{figure(below)} times below"
    default = f"The rate {rate:g} is {side} Keras's default of {usual:g}."
    constant = not isinstance(settings["learning_rate"], dict)
    if max(above, below) > FAR:
        if constant:
            yield Advice("default_rate", Changes(set={RATE: usual}), default, OPTIMIZERS)
        high, low = (high or default, low) if above > 1 else (high, low or default)
    elif not high and not low:
        high, low = guessed_high(look), guessed_low(look) if above <= NEAR else ""
        if high and low:  # better scaled data, or Adam, need larger steps
            yield Advice("rate_x10", Changes(multiply={RATE: 10}), low, UPDATES)
            low = ""
    if settings["name"] == "adadelta" and rate < 0.1:
        why = f"Adadelta's rate is {rate:g}. Its authors use 1, as Keras did by default up to version 2.2."
        yield Advice("rate_1", Changes(set={RATE: 1.0}), why, "https://keras.io/api/optimizers/adadelta/")
    control = f"Popular advice, as a control: nothing says that the rate {rate:g} is wrong."
    steps = {"rate_x10": (10, low), "rate_x100": (100, low), "rate_tenth": (0.1, high), "rate_hundredth": (0.01, high)}
    for name, (factor, why) in steps.items():
        if why or (name in ("rate_tenth", "rate_x10") and not (high and low)):
            yield Advice(name, Changes(multiply={RATE: factor}), why or control, UPDATES, not why)
    if high and settings["name"] == "sgd":
        yield from stable_rate(look, rate)
    if NEAR < max(above, below) <= FAR and constant:
        yield Advice(
            "default_rate", Changes(set={RATE: usual}), f"Popular advice, as a control: {default}", OPTIMIZERS, True
        )


def stable_rate(look: Look, rate: float) -> Iterator[Advice]:
    """Advise a rate at which gradient descent is stable, if a hundredth of `rate` is not.

    For squared errors of a linear layer, the largest curvature is at most the mean of the squared length of an input
    with its bias, and steps diverge from 2 divided by it on (LeCun et al., Efficient BackProp, section 5). A hidden
    layer in between changes this by a factor, so only the power of ten counts.
    """
    stable = 1 / (1 + look.facts.inputs.square)
    power = math.floor(math.log10(stable / rate))
    if power < -2:
        square, limit = figure(look.facts.inputs.square), figure(stable)
        why = f"The squared inputs of an example add up to {square} on average, so SGD is stable up to about {limit}."
        yield Advice("stable_rate", Changes(multiply={RATE: 10.0**power}), why, STABILITY)


def measured_high(look: Look) -> str:
    """Return the symptom of a learning rate that is too high, nothing if there is none."""
    if look.not_finite is not None:
        return f"The loss is not finite from step {look.not_finite} on, so the steps are too large."
    update = max(look.layers_at("update", "first_epoch", "start").values(), default=0)
    if update > LARGE_UPDATE:
        return f"A step changes the weights of a layer by {figure(100 * update)}%; 0.1% is usual."
    early = look.moment("first_epoch")
    if (early.get("saturated") or 0) > 0.9 and (early.get("most_frequent") or 0) > 0.99:
        share = percent(early["saturated"])
        return (
            f"After the first epoch, {share} of the outputs are at the end of their range, and all answers are equal."
        )
    return ""


def guessed_high(look: Look) -> str:
    """Return why SGD's steps are large on the scales of the data, nothing if they are not."""
    inputs, targets = look.facts.inputs, look.facts.targets
    if look.posted.optimizer["name"] != "sgd":
        return ""
    if look.task == "regression" and targets.deviation > LARGE:
        return f"SGD's steps grow with the targets, which have a standard deviation of {figure(targets.deviation)}."
    if inputs.largest > LARGE:
        return f"SGD's steps grow with the inputs, one of which has a standard deviation of {figure(inputs.largest)}."
    return ""


def measured_low(look: Look) -> str:
    """Return the symptom of a learning rate that is too low, nothing if there is none."""
    update = max(look.layers_at("update", "start").values(), default=1)
    if update < SMALL_UPDATE:
        return f"The first step changes the weights of every layer by {figure(100 * update)}% at most; 0.1% is usual."
    # The spread of classes is on another scale than that of their outputs.
    end = look.moment("end") if look.task == "regression" else {}
    spread, wanted = end.get("spread"), end.get("target_spread")
    if spread is not None and wanted and spread < 0.1 * wanted:
        times = figure(wanted / spread) if spread > 1e-6 * wanted else "more than a million"
        return f"At the end the outputs vary {times} times less than the targets."
    return ""


def guessed_low(look: Look) -> str:
    """Return why SGD makes too few steps for its rate, nothing if it makes many."""
    if look.posted.optimizer["name"] == "sgd" and look.steps < FEW_STEPS:
        return f"SGD has {counted(look.steps, 'step')} in all, and moves little in each."
    return ""


def schedule(look: Look) -> Iterator[Advice]:
    """Advise a constant rate instead of a schedule."""
    settings = look.posted.optimizer
    share = remaining(look)
    after = f" After {counted(look.steps, 'step')}, {percent(share)} of the rate is left." if share is not None else ""
    harmless = share is not None and share > 0.3
    if settings.get("decay") and share is not None and share < 0.9:
        why = f"decay divides the rate by 1 + {settings['decay']:g} * step.{after}"
        yield Advice("no_decay", Changes(set={"optimizer.decay": 0.0}), why, SCHEDULES, harmless)
    elif isinstance(settings.get("learning_rate"), Mapping):
        why = f"{settings['learning_rate']['name']} counts training steps, not epochs.{after}"
        yield Advice("constant_rate", Changes(set={RATE: initial_rate(settings)}), why, SCHEDULES, harmless)
    if look.posted.reduce_on_plateau:
        patience = look.posted.reduce_on_plateau["patience"]
        why = f"The rate falls after {counted(patience, 'epoch')} without gain, perhaps before the network learns."
        yield Advice("no_rate_reduction", Changes(set={"reduce_on_plateau": None}), why, SCHEDULES)


RULES = (learning_rate, schedule)
