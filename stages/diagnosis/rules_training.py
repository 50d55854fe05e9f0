"""Rules about the training: optimizer, learning rate, epochs, batches, schedules, clipping, early stopping."""

from collections.abc import Iterator, Mapping
from typing import Any

from stages.config import names
from stages.diagnosis.look import Advice, Changes, Look, counted, figure, percent

ADAM = "https://arxiv.org/abs/1412.6980"
PRACTICAL = "https://arxiv.org/abs/1206.5533"
MOMENTUM = "https://proceedings.mlr.press/v28/sutskever13.html"
CLIPPING = "https://arxiv.org/abs/1211.5063"
SMALL_BATCHES = "https://arxiv.org/abs/1804.07612"
UPDATES = "https://cs231n.github.io/neural-networks-3/"
SCHEDULES = "https://keras.io/api/optimizers/learning_rate_schedules/"
EARLY_STOPPING = "https://doi.org/10.1007/978-3-642-35289-8_5"
OPTIMIZERS = "https://keras.io/api/optimizers/"

# Optimizers with a step size per weight.
ADAPTIVE = ("adam", "adamw", "adamax", "nadam", "rmsprop", "lion")
RATE = "optimizer.learning_rate"
# Beyond these, an optimizer hardly moves, or forgets at once.
USUAL = {"epsilon": (0.0, 1e-3), "beta_1": (0.5, 0.99), "beta_2": (0.8, 0.99999), "rho": (0.5, 0.999)}
# A network rarely learns in fewer steps.
FEW_STEPS = 1000
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


def optimizer(look: Look) -> Iterator[Advice]:
    """Advise Adam, or momentum for SGD."""
    settings = look.posted.optimizer
    name = settings["name"]
    if look.posted.by_tnc:
        steps = {"optimizer": "adam", "batch_size": 32, "epochs": 50}
        yield Advice("adam", Changes(set=steps), "Popular advice, as a control: Adam instead of TNC.", ADAM, True)
        return
    if name != "adam":
        gradients = [each for each in look.layers_at("gradient", "first_epoch", "start").values() if each > 0]
        if name == "sgd":
            why = "SGD takes one rate for all weights. Adam adapts the step of each weight."
        elif name in ADAPTIVE:
            why = f"Popular advice, as a control: Adam instead of {name}."
        else:
            why = (
                f"{name}'s steps shrink, and its default rate was larger in older versions of Keras. Adam's steps stay."
            )
        if name not in ADAPTIVE and len(gradients) > 1 and max(gradients) > 10 * min(gradients):
            why += f" The gradients of the layers differ by a factor of {figure(max(gradients) / min(gradients))}."
        yield Advice("adam", Changes(set={"optimizer": "adam"}), why, ADAM, name in ADAPTIVE)
    if name == "sgd" and not settings["momentum"]:
        why = "Plain SGD is slow along directions in which the loss is flat. Momentum adds up the steps there."
        yield Advice("momentum", Changes(set={"optimizer.momentum": 0.9}), why, MOMENTUM)
    momentum = settings.get("momentum") or 0
    if momentum > 0.95 and name in ("sgd", "rmsprop"):
        why = (
            f"A momentum of {momentum:g} adds up the last {figure(min(1 / (1 - min(momentum, 0.999999)), 1e6))} steps."
        )
        yield Advice("less_momentum", Changes(set={"optimizer.momentum": 0.9}), why, MOMENTUM)
    if odd := [key for key, (low, high) in USUAL.items() if not low <= (settings.get(key) or low) <= high]:
        why = f"{', '.join(f'{key} {settings[key]:g}' for key in odd)}: far from what {name} is made for."
        plain = {"name": name, "learning_rate": settings["learning_rate"]}
        yield Advice("default_settings", Changes(set={"optimizer": plain}), why, OPTIMIZERS)
    if settings.get("weight_decay"):
        why = f"A weight decay of {settings['weight_decay']:g} pulls every weight to 0 in each step."
        yield Advice("no_weight_decay", Changes(set={"optimizer.weight_decay": None}), why, OPTIMIZERS)


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
    if NEAR < max(above, below) <= FAR and constant:
        yield Advice(
            "default_rate", Changes(set={RATE: usual}), f"Popular advice, as a control: {default}", OPTIMIZERS, True
        )


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
    if look.posted.optimizer["name"] == "sgd" and look.steps < 10 * FEW_STEPS:
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


def epochs(look: Look) -> Iterator[Advice]:
    """Advise more epochs, and no early stopping."""
    if look.posted.by_tnc:
        why = f"Popular advice, as a control: TNC ends after {counted(look.steps, 'function call')}."
        yield Advice("calls_x10", Changes(multiply={"optimizer.max_function_calls": 10}), why, PRACTICAL, True)
        return
    number, steps = look.posted.epochs or 1, look.steps
    few = steps < FEW_STEPS
    why = f"{counted(number, 'epoch')} of {counted(look.steps_per_epoch, 'step')} make {counted(steps, 'step')} in all"
    why = f"{why}, too few for most networks." if few else f"Popular advice, as a control: {why}."
    yield Advice("epochs_x10", Changes(multiply={"epochs": 10}), why, PRACTICAL, not few)
    if steps < FEW_STEPS / 5:
        yield Advice("epochs_x100", Changes(multiply={"epochs": 100}), why, PRACTICAL)
    per_epoch, rows = look.posted.steps_per_epoch, look.facts.rows
    if per_epoch and per_epoch * (look.posted.batch_size or 1) < rows:
        share = percent(per_epoch * (look.posted.batch_size or 1) / rows)
        why = f"An epoch of {counted(per_epoch, 'step')} takes {share} of the training examples."
        yield Advice("whole_epochs", Changes(set={"steps_per_epoch": None}), why, PRACTICAL)
    if stopping := look.posted.early_stopping:
        why = f"Training stops after {counted(stopping['patience'], 'epoch')} without gain in {stopping['monitor']}."
        yield Advice("no_early_stopping", Changes(set={"early_stopping": None}), why, EARLY_STOPPING)


def batch_size(look: Look) -> Iterator[Advice]:
    """Advise smaller or larger batches."""
    size, rows = look.posted.batch_size, look.facts.rows
    if size is None:
        return
    if rows > 4 and (size >= 256 or (look.steps_per_epoch <= 4 and size > 4)):
        smaller = 32 if rows >= 128 and size > 32 else max(2, min(32, rows // 8, size // 4))
        examples, steps = counted(min(size, rows), "example"), counted(look.steps_per_epoch, "step")
        why = f"A batch has {examples} of {rows}, so an epoch has {steps}."
        yield Advice("smaller_batches", Changes(set={"batch_size": smaller}), why, SMALL_BATCHES)
    if size <= 4 and rows >= 16:
        larger = 32 if rows >= 128 else 8
        why = f"A batch has {counted(size, 'example')}, so each step follows a noisy gradient."
        yield Advice("larger_batches", Changes(set={"batch_size": larger}), why, SMALL_BATCHES)


def clipping(look: Look) -> Iterator[Advice]:
    """Advise to clip gradients, or not to."""
    settings = look.posted.optimizer
    if look.posted.by_tnc:
        return
    clips = {
        key: settings[key] for key in ("clipnorm", "clipvalue", "global_clipnorm") if settings.get(key) is not None
    }
    if clips and min(clips.values()) < 0.1:
        key, value = min(clips.items(), key=lambda item: item[1])
        why = f"{key} {value:g} makes every step of a layer tiny."
        yield Advice("no_clipping", Changes(set={f"optimizer.{each}": None for each in clips}), why, CLIPPING)
    if clips:
        return
    if evidence := measured_high(look) or guessed_high(look):
        yield Advice("clipped_gradients", Changes(set={"optimizer.clipnorm": 1.0}), evidence, CLIPPING)


RULES = (optimizer, learning_rate, schedule, epochs, batch_size, clipping)
