"""The lines of a Keras script that read the data of a case, prepare its targets, and compute its score."""

from dataclasses import dataclass
from typing import Self

from stages.analysis.results import CaseResult, DataResult
from stages.base import files
from stages.config.examples import Scale
from stages.config.network import PostedNetwork
from stages.config.schema import Task
from stages.page.keras_calls import fraction
from stages.page.words import SCORES, SPLITS

# The outputs of these losses are compared with zero: they are logits, or signs.
SIGNED = ("hinge", "squared_hinge", "categorical_hinge")


@dataclass(frozen=True)
class CaseData:
    """The data of a case as a script reads them; `judged_by` is the split of the score."""

    name: str
    task: Task
    judged_by: str
    data: DataResult

    @classmethod
    def of(cls, result: CaseResult) -> Self:
        """Return the data of a case that is measured."""
        return cls(result.case, result.task, result.judged_by, result.data)

    @property
    def splits(self) -> list[str]:
        """Return the splits that a script needs: those that Keras trains and validates on, and that of the score."""
        return [
            split for split in SPLITS if split in self.data.rows and split in ("train", "validation", self.judged_by)
        ]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of an example."""
        return self.data.arrays["x_train"].shape[1:]

    @property
    def n_classes(self) -> int:
        """Return the number of classes, labels or targets."""
        return len(self.data.classes)

    @property
    def is_classes(self) -> bool:
        """Return whether an answer is a class."""
        return self.task in ("binary", "multiclass")

    @property
    def columns(self) -> bool:
        """Return whether the file has a column per class."""
        return self.is_classes and self.data.target_shape not in ((), (1,))

    @property
    def training_labels(self) -> str:
        """Return the labels that hold every class, as source code."""
        if all(self.data.balance):
            return "y_train"
        return f"np.concatenate([{', '.join(f'y_{split}' for split in self.splits)}])"

    def weighs_examples(self, network: PostedNetwork) -> bool:
        """Return whether the training examples of a script have weights of their own."""
        return "sample_weight" in self.data.members and network.class_weight is None


def reading(case: CaseData) -> list[str]:
    """Return the lines that read the arrays."""
    own = "raw_train" in case.data.members
    comment = ["# Your own arrays, as whichfix has prepared them."] if own else []
    target = "raw" if own else "y"
    return [
        *comment,
        f'data = np.load("{files.prepared_path(case.name).as_posix()}")',
        *(f'x_{split}, y_{split} = data["x_{split}"], data["{target}_{split}"]' for split in case.splits),
    ]


def weighting(network: PostedNetwork, case: CaseData) -> list[str]:
    """Return the lines that make `weights`, those of the training examples."""
    if case.weighs_examples(network):
        return ['weights = data["sample_weight"]']
    if network.class_weight is None or not weights_by_line(network, case):
        return []
    labels = "y_train.argmax(axis=1)" if case.columns else "y_train.ravel()"
    pairs = ", ".join(f"{label}: {weight!r}" for label, weight in network.class_weight.items())
    return [
        f"class_weight = {{{pairs}}}",
        f"weights = np.array([class_weight.get(round(label), 1.0) for label in {labels}.tolist()])",
    ]


def is_stream(network: PostedNetwork) -> bool:
    """Return whether `fit` is given a dataset of tf.data, because arrays cannot come in this order."""
    return not isinstance(network.shuffle, bool) or bool(network.steps_per_epoch) or network.drop_remainder


def weights_by_line(network: PostedNetwork, case: CaseData) -> bool:
    """Return whether the weights of classes are rendered as weights of examples.

    With a dataset, Keras wants a weight for every class; and `fit` would see other labels than those of the weights.
    """
    return is_stream(network) or (network.targets != "raw" and not case.data.numbered)


def targets(network: PostedNetwork, case: CaseData) -> list[str]:
    """Return the lines that make the targets of the labels of the file."""
    how = network.targets
    keep = [f"labels = {places(case, f'y_{case.judged_by}')}"] if keeps_labels(network, case) else []
    if how == "standardized":
        statistics = "mean, deviation = y_train.mean(axis=0), y_train.std(axis=0)"
        return [*keep, statistics, *each_split(case, "(y_{0} - mean) / deviation")]
    if isinstance(how, Scale):
        factor = fraction(how.scale)
        factor = f"/ {factor.removeprefix('1 / ')}" if factor.startswith("1 / ") else f"* {factor}"
        return [*keep, *each_split(case, "y_{0} " + factor)]
    if how == "one_hot" and not case.columns:
        coded = "y_{0}" if case.data.numbered else "np.searchsorted(classes, y_{0})"
        return [*classes(case), *each_split(case, f"keras.utils.to_categorical({coded}, {case.n_classes})")]
    if how == "integer" and case.columns:
        return each_split(case, "y_{0}.argmax(axis=1)")
    if how == "integer":
        flat = "" if case.data.target_shape == () else ".ravel()"
        if not case.data.numbered:
            return [*classes(case), *each_split(case, f"np.searchsorted(classes, y_{{0}}{flat})")]
        return each_split(case, f"y_{{0}}{flat}") if flat else []
    return []


def each_split(case: CaseData, value: str) -> list[str]:
    """Return a line per split that gives its targets a new `value`, in which {0} is the split."""
    return [f"y_{split} = {value.format(split)}" for split in case.splits]


def classes(case: CaseData) -> list[str]:
    """Return the line that finds the classes, unless the file numbers them."""
    return [] if case.data.numbered else [f"classes = np.unique({case.training_labels})"]


def places(case: CaseData, labels: str) -> str:
    """Return the indices of the classes of `labels`, as source code; several labels or targets are kept."""
    if not case.is_classes:
        return labels
    if case.columns:
        return f"{labels}.argmax(axis=1)"
    flat = labels if case.data.target_shape == () else f"{labels}.ravel()"
    return flat if case.data.numbered else f"np.searchsorted(np.unique({case.training_labels}), {flat})"


def keeps_labels(network: PostedNetwork, case: CaseData) -> bool:
    """Return whether the score needs the labels before they become targets."""
    return case.task != "regression" and (network.targets == "standardized" or isinstance(network.targets, Scale))


def scoring(network: PostedNetwork, case: CaseData) -> list[str]:
    """Return the lines that compute the score as whichfix does."""
    split = case.judged_by
    score = "accuracy" if case.task != "regression" else "r2"
    last = f'print(f"{SPLITS[split]} {SCORES[score]}: {{score:.4f}}")'
    signed = signed_outputs(network)
    first = f"outputs = model.predict(x_{split})"
    if case.task == "regression":
        # As in whichfix, a single output is compared with every target, and a single target with every output.
        actual = f"y_{split}"
        if network.output_units < case.n_classes:
            first += f".repeat({case.n_classes}, axis=1)"
        elif network.output_units > case.n_classes:
            actual += f".reshape(-1, 1).repeat({network.output_units}, axis=1)"
        return [first, f"score = r2_score({actual}, outputs)", last]
    actual = "labels" if keeps_labels(network, case) else f"y_{split}"
    if case.task == "multilabel":
        return [first, f"score = np.mean((outputs > {0 if signed else 0.5}) == {actual})", last]
    if actual != "labels":
        if network.targets == "one_hot" or (case.columns and network.targets == "raw"):
            actual += ".argmax(axis=1)"
        elif network.targets == "raw" and case.data.target_shape == (1,):
            actual += ".ravel()"
    before, answers = read(network, case, signed)
    return [first, *before, f"score = np.mean({answers} == {actual})", last]


def counts_as_keras(network: PostedNetwork, case: CaseData) -> bool:
    """Return whether the score is the accuracy that Keras prints, which compares single outputs with one half."""
    if signed_outputs(network):
        return case.is_classes and network.output_units > 1
    return not case.is_classes or network.output_units > 1 or (case.data.numbered and case.n_classes == 2)


def signed_outputs(network: PostedNetwork) -> bool:
    """Return whether outputs are compared with zero."""
    return bool(network.loss.get("from_logits")) or network.loss["name"] in SIGNED


def read(network: PostedNetwork, case: CaseData, signed: bool) -> tuple[list[str], str]:
    """Return lines, and the answers for classes as source code: the largest output, or what a single one is next to."""
    if network.output_units > 1:
        return [], "outputs.argmax(axis=1)"
    numbered = case.data.numbered or network.targets != "raw"
    if numbered and case.n_classes == 2:
        return [], f"(outputs[:, 0] > {0 if signed else 0.5})"
    if signed and numbered:
        return [], f"np.where(outputs[:, 0] > 0, {case.n_classes - 1}, 0)"
    if signed:
        labels = case.training_labels
        return [], f"np.where(outputs[:, 0] > 0, {labels}.max(), {labels}.min())"
    if numbered:
        return [], f"np.clip(np.round(outputs[:, 0]), 0, {case.n_classes - 1})"
    return classes(case), "classes[np.abs(outputs - classes).argmin(axis=1)]"
