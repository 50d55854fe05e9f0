"""Rules about the data as training takes them: scales, the balance of classes, the order of the examples."""

from collections.abc import Iterator

from stages.config.examples import Buffer, Scale
from stages.diagnosis import forms, rules_output
from stages.diagnosis.look import Advice, Changes, Look, counted, figure, percent

EFFICIENT_BACKPROP = "https://doi.org/10.1007/978-3-642-35289-8_3"
PRACTICAL = "https://arxiv.org/abs/1206.5533"
RESCALING = "https://keras.io/api/layers/preprocessing_layers/image_preprocessing/rescaling/"
NORMALIZATION = "https://keras.io/api/layers/preprocessing_layers/numerical/normalization/"
IMBALANCED = "https://doi.org/10.1109/TKDE.2008.239"
TRAINING = "https://keras.io/api/models/model_training_apis/"

# Inputs beyond these make some weights learn far faster than others.
MOST_RATIO, MOST_OFFSET, MOST_DEVIATION, LEAST_DEVIATION = 10.0, 3.0, 5.0, 0.05


def scaled_inputs(look: Look) -> Iterator[Advice]:
    """Advise standardized inputs, and pixels from 0 to 1."""
    inputs = look.facts.inputs
    if inputs.pixels:
        why = "The inputs are whole numbers from 0 to 255, as pixels are. Weights and rates are made for inputs near 1."
        yield Advice("pixels_0_to_1", Changes(set={"inputs": {"scale": 1 / 255}}), why, RESCALING)
    if inputs.standard or look.posted.inputs == "standardized":
        return
    if isinstance(look.posted.inputs, Scale) and not LEAST_DEVIATION < inputs.largest < MOST_DEVIATION:
        why = f"After scaling, the largest standard deviation of an input is {figure(inputs.largest)}."
        yield Advice("raw_inputs", Changes(set={"inputs": "raw"}), why, RESCALING)
    reasons = []
    if inputs.ratio > MOST_RATIO:
        reasons.append(f"The inputs' standard deviations differ by a factor of {figure(inputs.ratio)}.")
    saturated = look.hidden_at("saturated", "start")
    most = max(saturated, key=lambda name: saturated[name], default=None)
    if most is not None and saturated[most] > 0.5:
        reasons.append(f"At the start, {percent(saturated[most])} of the values of {most} are saturated.")
    if inputs.offset > MOST_OFFSET:
        reasons.append(f"The mean of an input is {figure(inputs.offset)} standard deviations away from 0.")
    if inputs.largest > MOST_DEVIATION:
        reasons.append(f"An input has a standard deviation of {figure(inputs.largest)}.")
    if inputs.largest < LEAST_DEVIATION:
        reasons.append(f"No input has a standard deviation above {figure(inputs.largest)}.")
    why = " ".join([*reasons[:2], "Standardized inputs make the gradients of all weights comparable."])
    if not reasons:
        why = "Popular advice, as a control: the inputs are on similar scales already."
    yield Advice("standardized_inputs", Changes(set={"inputs": "standardized"}), why, EFFICIENT_BACKPROP, not reasons)


def scaled_targets(look: Look) -> Iterator[Advice]:
    """Advise standardized targets for a regression."""
    targets = look.facts.targets
    if look.task != "regression" or look.posted.targets == "standardized":
        return
    reasons = []
    if not 0.1 <= targets.deviation <= 3:
        reasons.append(f"The targets have a standard deviation of {figure(targets.deviation)}.")
    if targets.offset > MOST_OFFSET:
        reasons.append(f"The mean of the targets is {figure(targets.offset)} standard deviations away from 0.")
    if targets.deviation > MOST_RATIO * targets.smallest:
        reasons.append(
            f"The targets' standard deviations differ by a factor of {figure(targets.deviation / targets.smallest)}."
        )
    if not reasons:
        return
    changes = Changes(set={"targets": "standardized"})
    advised = [advice.name for rule in rules_output.RULES for advice in rule(look)]
    if "linear_output" not in advised:  # with which it is combined, and else it has to bring what it needs
        if look.output.activation != "linear":
            changes |= look.output.changed("linear")
        if look.posted.loss["name"] not in forms.DISTANCE:
            changes |= Changes(set={"loss": "mean_squared_error"})
    why = " ".join([*reasons, "The first outputs are near 0, and the rate is made for targets near 1."])
    yield Advice("standardized_targets", changes, why, EFFICIENT_BACKPROP)


def class_weights(look: Look) -> Iterator[Advice]:
    """Advise weights against rare classes, or none where classes are balanced."""
    shares, posted = look.facts.shares, look.posted.class_weight
    present = [share for share in shares if share]
    if not present or len(shares) > 20:
        return
    rarest, most = min(present), max(present)
    if posted is None and (rarest < 0.2 / len(present) or rarest < 0.25 * most):
        weights = {place: round(1 / (len(present) * share), 3) if share else 0.0 for place, share in enumerate(shares)}
        why = (
            f"The rarest class has {percent(rarest)} of the training examples, the most frequent one {percent(most)}. "
            "Weights make each class count the same; they lower the accuracy if the frequent class matters more."
        )
        yield Advice("class_weights", Changes(set={"class_weight": weights}), why, IMBALANCED)
    if posted is not None:
        low, high = min(posted.values(), default=1), max(posted.values(), default=1)
        why = (
            f"The weights of classes differ by a factor of {figure(high / low)}."
            if low
            else "A class has the weight 0."
        )
        yield Advice("no_class_weights", Changes(set={"class_weight": None}), why, TRAINING)


def shuffled(look: Look) -> Iterator[Advice]:
    """Advise to shuffle the examples."""
    shuffle, rows = look.posted.shuffle, look.facts.rows
    if shuffle is True or (isinstance(shuffle, Buffer) and shuffle.buffer >= rows) or look.posted.by_tnc:
        return
    if shuffle is not False and not isinstance(shuffle, Buffer) and not look.facts.sorted:
        how = "Whole batches change places, and the rows of a batch stay together."
    elif isinstance(shuffle, Buffer):
        how = f"The shuffle buffer holds {percent(shuffle.buffer / rows)} of the examples."
    else:
        how = "Every epoch takes the examples in the order of the file."
    if look.facts.sorted:
        how += " The rows are sorted by class, so a batch has few classes."
    if look.steps_per_epoch == 1:
        how += f" A batch holds all {rows} rows, so the order hardly matters."
    yield Advice("shuffled", Changes(set={"shuffle": True}), how, PRACTICAL, look.steps_per_epoch == 1)


def flattened(look: Look) -> Iterator[Advice]:
    """Advise a single row of inputs per example for Dense layers."""
    shape = look.facts.inputs.shape
    before = [layer["layer"] for layer in look.posted.layers]
    if len(shape) < 2 or "Flatten" in before:
        return
    first = look.posted.layers[0]["name"]
    numbers = counted(shape[-1], "number")
    why = f"An example has the shape {list(shape)}, and a Dense layer works on its last axis alone, of {numbers}."
    yield Advice(
        "flattened",
        Changes(insert={look.free_layer("flatten"): {"layer": "Flatten", "before": first}}),
        why,
        "https://keras.io/api/layers/core_layers/dense/",
    )


RULES = (scaled_inputs, scaled_targets, class_weights, shuffled, flattened)
