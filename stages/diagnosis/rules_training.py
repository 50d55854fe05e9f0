"""Rules about the training: optimizer, epochs, batches, clipping, early stopping."""

from collections.abc import Iterator

from stages.diagnosis.look import Advice, Changes, Look, counted, figure, percent
from stages.diagnosis.rules_rate import guessed_high, measured_high

ADAM = "https://arxiv.org/abs/1412.6980"
PRACTICAL = "https://arxiv.org/abs/1206.5533"
MOMENTUM = "https://proceedings.mlr.press/v28/sutskever13.html"
CLIPPING = "https://arxiv.org/abs/1211.5063"
SMALL_BATCHES = "https://arxiv.org/abs/1804.07612"
EARLY_STOPPING = "https://doi.org/10.1007/978-3-642-35289-8_5"
OPTIMIZERS = "https://keras.io/api/optimizers/"

# Optimizers with a step size per weight.
# Their steps shrink, because they add up what the gradients were.
SHRINKING = ("adadelta", "adagrad", "ftrl")
# Beyond these, an optimizer hardly moves, or forgets at once.
USUAL = {"epsilon": (0.0, 1e-3), "beta_1": (0.5, 0.99), "beta_2": (0.8, 0.99999), "rho": (0.5, 0.999)}
# A network rarely learns in fewer steps.
FEW_STEPS = 1000


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
        elif name in SHRINKING:
            why = (
                f"{name}'s steps shrink, and its default rate was larger in older versions of Keras. Adam's steps stay."
            )
        else:
            why = f"Popular advice, as a control: Adam instead of {name}."
        control = name not in ("sgd", *SHRINKING)
        if not control and len(gradients) > 1 and max(gradients) > 10 * min(gradients):
            why += f" The gradients of the layers differ by a factor of {figure(max(gradients) / min(gradients))}."
        yield Advice("adam", Changes(set={"optimizer": "adam"}), why, ADAM, control)
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


RULES = (optimizer, epochs, batch_size, clipping)
