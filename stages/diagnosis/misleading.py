"""Numbers that Keras prints and that mislead: why, with whichfix's number beside Keras's."""

from collections.abc import Iterator, Mapping

import numpy as np

from stages.config.network import PostedNetwork
from stages.config.schema import SCORES, Task
from stages.data.prepared import Prepared
from stages.diagnosis import forms
from stages.diagnosis.facts import facts_of
from stages.diagnosis.forms import Form
from stages.diagnosis.look import Look, figure, percent

Numbers = Mapping[str, float] | None

# A score is no better than the floor if it is above it by less than this share of what is left up to 1.
MARGIN = 0.05
# Accuracies that are nearer to each other agree.
SAME = 0.005
# A floor from which a score looks good.
HIGH_FLOOR = 0.6
NAMES = {"train": "training", "validation": "validation"}


def misleading(
    task: Task, network: PostedNetwork, data: Prepared, keras_accuracy: Numbers, scores: Numbers, floor: Numbers
) -> list[tuple[str, str]]:
    """Return numbers that mislead, as kind and sentence.

    `keras_accuracy` is, by split, what Keras prints with ``metrics=["accuracy"]``, `scores` are whichfix's, and `floor`
    has those of always giving the most frequent class or the mean. Without numbers, the sentences say why alone.
    """
    look = Look(network, task, facts_of(network, data))
    split = "validation" if "validation" in data.y else "train"
    numbers = beside(task, split, keras_accuracy, scores)
    accuracy = [] if numbers is None else of_accuracy(look, numbers)
    return [*accuracy, *of_validation(task, data), *of_floor(task, data, split, scores, floor)]


def beside(task: Task, split: str, keras_accuracy: Numbers, scores: Numbers) -> str | None:
    """Return Keras's number beside whichfix's, in a sentence; nothing without numbers, and None if both agree."""
    if not keras_accuracy or not scores or split not in keras_accuracy or split not in scores:
        return ""
    if task != "regression" and abs(keras_accuracy[split] - scores[split]) < SAME:
        return None
    score = f"whichfix's {'R²' if SCORES[task] == 'r2' else 'accuracy'} is {scores[split]:.2f}"
    return f" Keras's {NAMES[split]} accuracy of {keras_accuracy[split]:.2f} misleads; {score}."


def of_accuracy(look: Look, numbers: str) -> Iterator[tuple[str, str]]:
    """Yield why the accuracy of Keras is not the share of right answers."""
    form, task = forms.form_of(look), look.task
    if task == "regression":
        why = "With metrics=['accuracy'], Keras counts the values of a regression that are hit exactly."
        yield "accuracy_of_values", why + numbers
    elif task == "multilabel" and form.units > 1:
        why = f"Keras counts the examples whose largest output is a label that they have, not the {form.units} labels."
        yield "accuracy_of_labels", why + numbers
    elif form.units == 1 and form.encoding != "index":
        yield (
            "accuracy_of_other_labels",
            f"Keras counts a label as right if it is 0 or 1, and the file has others.{numbers}",
        )
    elif form.units == 1 and look.facts.n_classes > 2:
        why = f"Keras counts labels of 0 and 1 alone as right, and there are {look.facts.n_classes} classes."
        yield "accuracy_of_other_labels", why + numbers
    elif form.units == 1 and is_signed(form):
        why = "Keras compares outputs with 0.5, and these are logits or signs, for which the border is 0."
        yield "accuracy_of_logits", why + numbers


def is_signed(form: Form) -> bool:
    """Return whether the sign of the output decides."""
    return form.loss[1] or form.loss[0] in forms.HINGE


def of_validation(task: Task, data: Prepared) -> Iterator[tuple[str, str]]:
    """Yield why the validation split does not stand for new rows."""
    train, rows = data.y["train"], data.y.get("validation")
    if rows is None or len(rows) < 2:
        return
    if task == "regression":
        deviation = np.std(train, axis=0)
        moved = np.abs(np.mean(rows, axis=0) - np.mean(train, axis=0))[deviation > 0] / deviation[deviation > 0]
        if moved.size and float(moved.max()) > 1:
            why = f"The mean target of the validation rows is {figure(float(moved.max()))} standard deviations away"
            yield (
                "validation_of_other_values",
                f"{why} from that of the training rows: they are no sample of the same rows.",
            )
        return
    if task == "multilabel":
        return
    shares = [np.bincount(labels, minlength=data.n_classes) / len(labels) for labels in (train, rows)]
    apart = float(np.abs(shares[0] - shares[1]).sum()) / 2
    if len(np.unique(rows)) == 1:
        why = "The validation rows are of one class"
    elif apart > 0.3 and len(rows) >= 10:
        why = f"{percent(apart)} of the validation rows are of other classes than training rows would be"
    else:
        return
    tail = (
        ", as the tail of sorted rows is" if not set(np.unique(rows)) - {int(np.max(train)), int(np.min(train))} else ""
    )
    yield "validation_of_one_class", f"{why}{tail}. Their score is not that of new rows: shuffle before you split."


def of_floor(task: Task, data: Prepared, split: str, scores: Numbers, floor: Numbers) -> Iterator[tuple[str, str]]:
    """Yield that a score is what the most frequent class alone gives."""
    if task == "regression":
        return
    lowest = floor[split] if floor and split in floor else frequent(task, data, split)
    always = (
        f"Always giving the most frequent {'label' if task == 'multilabel' else 'class'} has the accuracy {lowest:.2f}"
    )
    if scores and split in scores:
        if scores[split] - lowest < MARGIN * (1 - lowest):
            kept = "says nothing about learning" if scores[split] >= lowest - 1e-9 else "is below even that"
            yield "no_better_than_the_floor", f"{always}. The {NAMES[split]} accuracy of {scores[split]:.2f} {kept}."
    elif lowest >= HIGH_FLOOR:
        yield "no_better_than_the_floor", f"{always}. An accuracy near it says nothing about learning."


def frequent(task: Task, data: Prepared, split: str) -> float:
    """Return the accuracy of the most frequent class, or labels, of the training split on `split`."""
    train, rows = data.y["train"], data.y[split]
    if task == "multilabel":
        answer = np.mean(train, axis=0) > 0.5
        return float(np.mean(rows == answer))
    return float(np.mean(rows == np.argmax(np.bincount(train))))
