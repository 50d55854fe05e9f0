"""The form of a network: output units, output activation, loss and labels, which only make sense together."""

from typing import NamedTuple

from stages.config.names import OWN_LOSS
from stages.config.schema import Task
from stages.diagnosis.facts import TargetFacts
from stages.diagnosis.look import Look

PIECES = ("units", "activation", "loss", "encoding")

PROBABILITY = ("binary_crossentropy", "binary_focal_crossentropy", OWN_LOSS)
CATEGORICAL = (
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "kl_divergence",
)
SPARSE = "sparse_categorical_crossentropy"
CROSS_ENTROPY = (*PROBABILITY, *CATEGORICAL, SPARSE)
DISTANCE = ("mean_squared_error", "mean_absolute_error", "huber", "log_cosh")
# Distances that are not defined, or flat, for some values.
PARTIAL = ("mean_absolute_percentage_error", "mean_squared_logarithmic_error", "poisson")
HINGE = ("hinge", "squared_hinge")
SIGMOID = ("sigmoid", "hard_sigmoid")
SYMMETRIC = ("tanh", "hard_tanh", "softsign")
# Outputs that are never negative.
ONE_SIDED = ("relu", "relu6", "softplus", "exponential", "sparse_plus", "squareplus")


class Form(NamedTuple):
    """A form; `loss` is a name and whether it takes logits, `encoding` as in `TargetFacts`."""

    units: int
    activation: str
    loss: tuple[str, bool]
    encoding: str

    def with_pieces(self, other: "Form", pieces: tuple[str, ...]) -> "Form":
        """Return this form with some pieces of another one."""
        return self._replace(**{piece: getattr(other, piece) for piece in pieces})


def form_of(look: Look) -> Form:
    """Return the form of the network as posted."""
    loss = look.posted.loss
    encoding = look.facts.targets.encoding
    return Form(
        look.output.dense["units"], look.output.activation, (loss["name"], bool(loss.get("from_logits"))), encoding
    )


def works(look: Look, form: Form) -> bool:
    """Return whether a network of this form can learn the task at all."""
    targets = look.facts.targets
    if look.task == "regression":
        return form.units == targets.columns and values_work(form, targets)
    if look.task == "multilabel":
        return form.units == look.facts.n_classes and labels_work(form)
    if form.units == 1:
        return look.facts.n_classes <= 2 and single_works(form, targets)
    return classes_work(form, look.facts.n_classes, targets)


def values_work(form: Form, targets: TargetFacts) -> bool:
    """Return whether outputs of this form can be the values of a regression."""
    name, logits = form.loss
    outside_unit, outside_symmetric, negative = targets.outside
    if name in PROBABILITY:
        # An autoencoder compares values from 0 to 1 with probabilities.
        return not outside_unit and (form.activation == "linear" if logits else form.activation in SIGMOID)
    if name not in (*DISTANCE, *PARTIAL):
        return False
    if form.activation in SIGMOID:
        return not outside_unit
    if form.activation in SYMMETRIC:
        return not outside_symmetric
    if form.activation in ONE_SIDED:
        return not negative and form.activation != "relu6"
    return form.activation in ("linear", "leaky_relu", "prelu")


def labels_work(form: Form) -> bool:
    """Return whether outputs of this form can be labels, each on its own."""
    name, logits = form.loss
    if form.activation == "linear":
        return name in PROBABILITY and logits
    return form.activation in SIGMOID and not logits and name in (*PROBABILITY, *DISTANCE)


def single_works(form: Form, targets: TargetFacts) -> bool:
    """Return whether one output of this form can tell two classes."""
    name, logits = form.loss
    signs = targets.values == (-1, 1) and form.encoding == "numbers"
    if form.activation in SIGMOID:
        return not logits and form.encoding == "index" and name in (*PROBABILITY, *DISTANCE)
    if form.activation in SYMMETRIC:
        return (signs and name in (*HINGE, *DISTANCE)) or (form.encoding == "index" and name in HINGE)
    if form.activation == "linear":
        if name in PROBABILITY:
            return logits and form.encoding == "index"
        return form.encoding in ("index", "numbers") and name in (*DISTANCE, *HINGE)
    return False


def classes_work(form: Form, n_classes: int, targets: TargetFacts) -> bool:
    """Return whether several outputs of this form can tell classes."""
    name, logits = form.loss
    if name == SPARSE:
        return form.activation == ("linear" if logits else "softmax") and are_places(form, n_classes, targets)
    if form.encoding != "columns" or form.units != n_classes:
        return False
    if form.activation == "softmax":
        return not logits and name in (*CATEGORICAL, *PROBABILITY, *DISTANCE, "categorical_hinge")
    if form.activation == "linear":
        return logits or name in (*DISTANCE, "categorical_hinge")
    return form.activation in SIGMOID and not logits and name in (*PROBABILITY, *DISTANCE)


def are_places(form: Form, n_classes: int, targets: TargetFacts) -> bool:
    """Return whether every label is the place of an output."""
    if form.encoding == "index":
        return form.units >= n_classes
    whole = all(value == int(value) and value >= 0 for value in targets.values)
    return form.encoding == "numbers" and bool(targets.values) and whole and max(targets.values) < form.units


def usual_loss(task: Task, form: Form) -> bool:
    """Return whether the loss is one that is usual for the task: cross-entropy or hinge for classes and labels."""
    name = form.loss[0]
    if task == "regression":
        return name in (*DISTANCE, *PROBABILITY)
    softmax = form.activation == "softmax" and form.units > 1 and task != "multilabel"
    return name not in (*DISTANCE, *PARTIAL, *(PROBABILITY if softmax else ()))


def wanted(look: Look) -> dict[str, Form]:
    """Return the forms that the task can have, by name, the one nearest to the network as posted first."""
    posted, targets = form_of(look), look.facts.targets
    if look.task == "regression":
        name = posted.loss[0]
        distance = name if name in (*DISTANCE, *PARTIAL) else "mean_squared_error"
        forms = {"linear_output": Form(targets.columns, "linear", (distance, False), posted.encoding)}
        if not targets.outside[0]:
            kept = name if name in (*PROBABILITY, *DISTANCE) else "mean_squared_error"
            sigmoid = Form(targets.columns, "sigmoid", (kept, False), posted.encoding)
            return (
                {"sigmoid_output": sigmoid, **forms} if name in CROSS_ENTROPY else {**forms, "sigmoid_output": sigmoid}
            )
        return forms
    n = look.facts.n_classes
    binary = posted.loss[0] if posted.loss[0] in PROBABILITY else "binary_crossentropy"
    if look.task == "multilabel":
        forms = {"sigmoid_output": Form(n, "sigmoid", (binary, False), posted.encoding)}
        if posted.activation == "linear" or posted.loss[1]:
            forms["logits"] = Form(n, "linear", ("binary_crossentropy", True), posted.encoding)
        return forms
    one_hot = posted.encoding == "columns"
    several = posted.loss[0] if one_hot and posted.loss[0] in CATEGORICAL else "categorical_crossentropy"
    softmax = Form(n, "softmax", (several if one_hot else SPARSE, False), "columns" if one_hot else "index")
    sigmoid = Form(1, "sigmoid", (binary, False), "index")
    forms = {"softmax_output": softmax}
    if n == 2:
        both = {"sigmoid_output": sigmoid, "softmax_output": softmax}
        forms = both if posted.units == 1 else dict(reversed(both.items()))
        if posted.units == 1 and posted.activation != "softmax":
            forms = {"sigmoid_output": sigmoid}
    if posted.activation == "linear" or posted.loss[1]:
        nearest = next(iter(forms.values()))
        forms["logits"] = nearest._replace(activation="linear", loss=(nearest.loss[0], True))
    if posted.loss[0] in CATEGORICAL and not one_hot and posted.units > 1:
        forms["one_hot_labels"] = softmax._replace(loss=(posted.loss[0], False), encoding="columns")
    return forms
