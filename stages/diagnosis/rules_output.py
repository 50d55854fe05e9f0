"""Rules about the output of a network: its units, its activation, the loss and the labels."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from stages.diagnosis import forms
from stages.diagnosis.forms import Form
from stages.diagnosis.look import Advice, Changes, Look, counted, percent

MLP = "https://www.deeplearningbook.org/contents/mlp.html"
LOSSES = "https://keras.io/api/losses/probabilistic_losses/"
ACTIVATIONS = "https://keras.io/api/layers/activations/"
REGRESSION_LOSSES = "https://keras.io/api/losses/regression_losses/"
CROSS_ENTROPY_OR_SQUARES = "https://www.isca-archive.org/interspeech_2013/golik13_interspeech.html"

ENCODINGS = {"index": "integer", "columns": "one_hot"}
NOUNS = {"regression": "target", "multilabel": "label"}


def output_form(look: Look) -> Iterator[Advice]:
    """Advise the smallest changes after which units, activation, loss and labels fit each other and the task."""
    posted = forms.form_of(look)
    if forms.works(look, posted):
        return
    found: dict[str, tuple[Form, tuple[str, ...]]] = {}
    for name, form in forms.wanted(look).items():
        pieces = smallest(look, posted, form)
        if pieces:
            found[name] = form, pieces
    # Forms that set one path are alternatives and never mixed.
    shared = all(set(one) & set(other) for (_, one), (_, other) in combinations(found.values(), 2))
    for name, (form, pieces) in found.items():
        after = posted.with_pieces(form, pieces)
        touched = pieces if shared else (*pieces, "activation")
        why = f"{wrong(look, posted)} {right(look, after)}"
        yield Advice(named(name, pieces, after), changes(look, after, touched), why, source(look, pieces))


def smallest(look: Look, posted: Form, form: Form) -> tuple[str, ...]:
    """Return the fewest pieces of `form` after which `posted` works."""
    differing = [piece for piece in forms.PIECES if getattr(posted, piece) != getattr(form, piece)]
    for number in range(1, len(differing) + 1):
        for pieces in combinations(differing, number):
            after = posted.with_pieces(form, pieces)
            if after.units == form.units and forms.works(look, after):
                return pieces
    return ()


def named(name: str, pieces: tuple[str, ...], after: Form) -> str:
    """Return the name of a fix by what it changes."""
    if pieces == ("encoding",):
        return "one_hot_labels" if after.encoding == "columns" else "integer_labels"
    if pieces == ("loss",) and name != "logits":
        return "squared_error" if after.loss[0] == "mean_squared_error" else "crossentropy_loss"
    if name == "logits":
        return "from_logits" if pieces == ("loss",) else "logits_output"
    return name


def changes(look: Look, form: Form, pieces: tuple[str, ...]) -> Changes:
    """Return the operations that give a network these pieces of `form`."""
    found = Changes()
    if "units" in pieces:
        found |= Changes(set={f"layers.{look.output.name}.units": form.units})
    if "activation" in pieces:
        found |= look.output.changed(form.activation)
    if "loss" in pieces:
        found |= Changes(set={"loss": loss_of(look, form)})
    if "encoding" in pieces:
        raw = form.encoding == forms.form_of(look).encoding
        value = look.posted.model_dump(mode="json")["targets"] if raw else ENCODINGS[form.encoding]
        found |= Changes(set={"targets": value})
    return found


def loss_of(look: Look, form: Form) -> Any:
    """Return the loss as params.yaml has it: a name, or a mapping with the settings that it keeps."""
    name, logits = form.loss
    if logits:
        return {"name": name, "from_logits": True}
    return name


def wrong(look: Look, posted: Form) -> str:
    """Return what is wrong with a form, in a sentence."""
    facts, task = look.facts, look.task
    noun = NOUNS.get(task, "class")
    n = facts.targets.columns if task == "regression" else facts.n_classes
    loss, logits = posted.loss
    if posted.activation == "softmax" and posted.units == 1:
        return "A softmax over one unit gives 1 for every example."
    if posted.units != n and not (n == 2 and noun == "class" and posted.units == 1):
        return f"The network has {counted(posted.units, 'output')} for {counted(n, noun)}."
    if " then " in posted.activation:
        return f"The outputs pass through two activations, {posted.activation}."
    if posted.activation != "linear" and logits:
        return f"The loss expects logits, and the outputs have passed through {posted.activation}."
    if task == "regression":
        return wrong_values(look, posted)
    if task == "multilabel" and posted.activation == "softmax":
        return f"The {n} labels are independent, and a softmax makes the outputs sum to 1."
    if posted.activation == "linear" and loss in forms.CROSS_ENTROPY and not logits:
        return "The outputs are logits without an activation, and the loss expects probabilities."
    if posted.activation == "sigmoid" and loss in (*forms.CATEGORICAL, forms.SPARSE) and posted.units > 1:
        return f"One of {n} classes is right, and {n} sigmoids do not compete for it."
    if posted.units == 1 and loss in (*forms.CATEGORICAL, forms.SPARSE):
        return f"{loss} over one output does not tell the classes apart."
    if posted.activation not in (*forms.SIGMOID, "softmax", "linear"):
        return f"Outputs of {posted.activation} are no probabilities."
    if posted.encoding == "numbers":
        return f"The loss expects the labels {'0 and 1' if n == 2 else f'0 to {n - 1}'}, and the file has others."
    columns, outputs = counted(facts.targets.columns, "column"), counted(posted.units, "output")
    return f"{loss} does not fit labels of {columns} with {outputs}."


def wrong_values(look: Look, posted: Form) -> str:
    """Return what is wrong with the form of a regression."""
    outside_unit, outside_symmetric, negative = look.facts.targets.outside
    if posted.activation in forms.SIGMOID and outside_unit:
        return f"{percent(outside_unit)} of the targets lie outside of 0 to 1, which a sigmoid cannot reach."
    if posted.activation in forms.SYMMETRIC and outside_symmetric:
        share = percent(outside_symmetric)
        return f"{share} of the targets lie outside of -1 to 1, which {posted.activation} cannot reach."
    if posted.activation in forms.ONE_SIDED and negative:
        return f"{percent(negative)} of the targets are negative, and {posted.activation} never is."
    if posted.activation == "softmax":
        return "A softmax makes the outputs sum to 1, and the targets do not."
    if posted.loss[0] not in (*forms.DISTANCE, *forms.PARTIAL):
        return f"The targets are values, and {posted.loss[0]} is not a distance of values."
    return f"The targets are values, and {posted.activation} does not reach all of them."


def right(look: Look, after: Form) -> str:
    """Return what fits, in a sentence."""
    outputs = counted(after.units, f"{after.activation} output")
    loss = f"{after.loss[0]}{' from logits' if after.loss[1] else ''}"
    label = {"index": "labels 0, 1, ...", "columns": "a column per label", "numbers": "the labels of the file"}
    end = "" if look.task in NOUNS else f" and {label[after.encoding]}"
    return f"{outputs} with {loss}{end} fit {'one another' if end else 'the targets'}."


def source(look: Look, pieces: tuple[str, ...]) -> str:
    """Return where the advice is found."""
    if "activation" in pieces or "units" in pieces:
        return MLP
    return REGRESSION_LOSSES if look.task == "regression" else LOSSES


def usual_loss(look: Look) -> Iterator[Advice]:
    """Advise cross-entropy instead of squares for classes and labels, and squares instead of a partial distance."""
    posted = forms.form_of(look)
    if forms.usual_loss(look.task, posted):
        return
    works = forms.works(look, posted)
    for form in forms.wanted(look).values():
        pieces = () if works else smallest(look, posted, form)
        after = posted.with_pieces(form, (*pieces, "loss"))
        if "loss" in pieces or not forms.works(look, after):
            continue
        loss = form.loss[0]
        if look.task == "regression":
            why = (
                f"{posted.loss[0]} weighs errors unevenly or is undefined for some values; squares are the usual loss."
            )
            yield Advice("squared_error", Changes(set={"loss": "mean_squared_error"}), why, REGRESSION_LOSSES)
            return
        why = (
            f"{posted.loss[0]} on {'labels' if look.task == 'multilabel' else 'classes'}: its gradient vanishes where "
            f"{form.activation} outputs are sure and wrong. That of {loss} does not."
        )
        if posted.loss[0] in forms.PROBABILITY:
            why = (
                f"{posted.loss[0]} takes each of {posted.units} outputs on its own, and a softmax chooses one of them."
            )
        yield Advice("crossentropy_loss", Changes(set={"loss": loss}), why, CROSS_ENTROPY_OR_SQUARES)
        return


def never_negative(look: Look) -> Iterator[Advice]:
    """Advise linear outputs where a regression works but its output unit can die or saturate."""
    posted = forms.form_of(look)
    if look.task != "regression" or posted.activation == "linear" or not forms.works(look, posted):
        return
    if posted.activation in forms.ONE_SIDED:
        why = (
            f"A {posted.activation} output that is near 0 for every example gets no gradient. A linear one always does."
        )
    elif (saturated := look.moment("end").get("saturated") or 0) > 0.1:
        why = f"{percent(saturated)} of the outputs are at the end of their range, where the gradient vanishes."
    else:
        return
    loss = {} if posted.loss[0] in forms.DISTANCE else {"loss": "mean_squared_error"}
    yield Advice("linear_output", look.output.changed("linear") | Changes(set=loss), why, MLP)


def as_many_outputs(look: Look) -> Iterator[Advice]:
    """Advise as many outputs as classes where more of them work."""
    posted, n = forms.form_of(look), look.facts.n_classes
    more = look.task in ("binary", "multiclass") and posted.units > n and posted.encoding == "index"
    if more and forms.works(look, posted):
        why = f"The network has {posted.units} outputs for {n} classes, and learns that the others never occur."
        yield Advice("fewer_outputs", Changes(set={f"layers.{look.output.name}.units": n}), why, MLP)


RULES = (output_form, as_many_outputs, usual_loss, never_negative)
