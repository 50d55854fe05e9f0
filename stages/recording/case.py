"""A recording -> the arrays of data/own/<case>.npz, and the case as params.yaml has it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from stages.config.network import Keras
from stages.config.schema import Task
from stages.config.strict import printable, shorten
from stages.recording.network import translate
from stages.recording.recorded import Recording

# Losses of classes by a single column of whole numbers, and losses of two classes.
SPARSE = ("sparse_categorical_crossentropy", "sparsecategoricalcrossentropy")
TWO_CLASSES = (
    *("binary_crossentropy", "binarycrossentropy", "bce", "binary_focal_crossentropy", "binaryfocalcrossentropy"),
    *("hinge", "squared_hinge", "squaredhinge"),
)
CATEGORICAL = (
    *("categorical_crossentropy", "categoricalcrossentropy", "categorical_hinge", "categoricalhinge"),
    *("categorical_focal_crossentropy", "categoricalfocalcrossentropy"),
    *("categorical_generalized_cross_entropy", "categoricalgeneralizedcrossentropy"),
)


class RecordedCase(NamedTuple):
    """A case as params.yaml has it, the arrays of its data file by name, and sentences for the person."""

    block: dict[str, Any]
    arrays: dict[str, np.ndarray]
    said: list[str]


def case_of(recording: Recording, name: str, keras: Keras = "3") -> RecordedCase:
    """Return the case `name` of `recording`, measured with the losses of the version `keras`.

    Raises
    ------
    UserError
        If the network or the data cannot be recorded, in one line with the line of the script.
    """
    arrays = {}
    for split in recording.splits:
        suffix = "" if split == "train" else f"_{split}"
        x, y = recording.of_split("x", split), recording.of_split("y", split)
        check_finite(recording, f"x{suffix}", x)
        arrays[f"x{suffix}"] = x.reshape(-1, 1) if x.ndim == 1 else x
        arrays[f"y{suffix}"] = targets(recording, f"y{suffix}", y)
    if "sample_weight" in recording.arrays:
        arrays["sample_weight"] = recording.arrays["sample_weight"].reshape(-1)
    task = task_of(recording, [array for key, array in arrays.items() if key.startswith("y")])
    found = translate(recording, task)
    if found.as_posted.get("initial_weights"):
        arrays |= renamed_weights(recording, found.names)
    posted = found.as_posted
    sizes = "-".join(str(layer["units"]) for layer in posted["layers"].values() if "units" in layer)
    features = int(np.prod(arrays["x"].shape[1:]))
    script = "a notebook" if recording.content["script"]["path"] is None else recording.script.split("/")[-1]
    validated = recording.splits[1:]
    block = {
        "title": shorten(printable(f"The {features}-{sizes} network of {script}").replace("${", "$ {"), 200),
        "task": task,
        "data": {"file": f"data/own/{name}.npz", **({"given": list(validated)} if validated else {})},
        "judged_by": "validation" if validated else "train",
        **({"keras": [keras]} if keras != "3" else {}),
        "as_posted": posted,
        "fixes": {},
    }
    return RecordedCase(block, arrays, found.said)


def check_finite(recording: Recording, name: str, values: np.ndarray) -> None:
    """Refuse inputs that are not numbers, or not finite."""
    if values.dtype.kind not in "biuf":
        raise recording.refusal(f"{name} has values of dtype {values.dtype}", "numbers")
    with np.errstate(over="ignore"):
        wrong = ~np.isfinite(values.astype(np.float32))
    if not wrong.any():
        return
    rows = int(wrong.reshape(len(values), -1).any(axis=1).sum())
    columns = recording.content["arrays"].get(name, {}).get("columns")
    place = int(np.flatnonzero(wrong.reshape(len(values), -1).any(axis=0))[0])
    column = f"column {columns[place]}" if columns and values.ndim == 2 else f"column {place}"
    problem = f"{name} has NaN, infinite or too large values in {rows} of {len(values)} rows, first in {column}"
    raise recording.refusal(problem, "finite numbers, because one NaN makes every weight NaN: fill them, or drop rows")


def targets(recording: Recording, name: str, y: np.ndarray) -> np.ndarray:
    """Return targets [n] or [n, columns]; a middle axis of length 1 goes if the outputs have it too."""
    output = list(recording.content["layers"][-1]["output_shape"])
    sparse = loss_name(recording) in SPARSE
    if len(output) > 1:
        expected = [*output[:-1]] if sparse and y.ndim < len(output) + 1 else [*output[:-1], 1] if sparse else output
        if list(y.shape[1:]) != expected:
            problem = f"{name} is {list(y.shape)} and the outputs are {['n', *output]}"
            raise recording.refusal(problem.replace("'", ""), "targets of the shape of the outputs")
        return y.reshape(len(y), -1)
    if y.ndim > 2:
        if set(y.shape[2:]) != {1}:
            raise recording.refusal(f"{name} is {list(y.shape)}", "targets [n] or [n, columns]")
        return y.reshape(len(y), -1)
    return y


def loss_name(recording: Recording) -> str:
    """Return the name of the loss in small letters."""
    loss = recording.content["loss"]
    return str(loss.get("class") or loss.get("name")).lower()


def task_of(recording: Recording, targets: Sequence[np.ndarray]) -> Task:
    """Return what is predicted, judged by the targets of all splits, the loss and the last activation."""
    columns = targets[0].shape[1] if targets[0].ndim > 1 else 1
    if any(array.dtype.kind not in "biuf" for array in targets):
        return by_number(len(np.unique(np.concatenate([array.astype(str).ravel() for array in targets]))))
    numbers = [array.astype(np.float64).reshape(len(array), -1) for array in targets]
    if columns > 1:
        if not all(np.isin(array, (0, 1)).all() for array in numbers):
            return "regression"
        one_hot = all((array.sum(axis=1) == 1).all() for array in numbers)
        return by_number(columns) if one_hot else "multilabel"
    values = np.unique(np.concatenate(numbers))
    if not np.array_equal(values, np.round(values)):
        return "regression"
    loss, bounded = loss_name(recording), last_activation(recording) in ("sigmoid", "softmax", "hard_sigmoid")
    two = len(values) <= 2 and (bounded or set(values) <= {-1, 0, 1})
    if loss in (*SPARSE, *TWO_CLASSES, *CATEGORICAL) or two:
        return by_number(len(values) if loss not in SPARSE else max(len(values), units(recording)))
    if units(recording) > 1 and values.min() >= 0 and values.max() < units(recording):
        return "multiclass"
    # Few whole numbers are classes if the outputs lie between 0 and 1 and the script counts right answers.
    counted = any("acc" in str(metric) for metric in recording.content.get("metrics", []))
    return "multiclass" if bounded and counted and len(values) <= 20 else "regression"


def by_number(n_classes: int) -> Task:
    """Return the task of so many classes."""
    return "binary" if n_classes <= 2 else "multiclass"


def units(recording: Recording) -> int:
    """Return the number of outputs."""
    return int(recording.content["layers"][-1]["output_shape"][-1])


def last_activation(recording: Recording) -> str:
    """Return the activation of the outputs in small letters, ``linear`` if there is none."""
    for layer in reversed(recording.content["layers"]):
        if layer["class"] in ("Dense", "Activation"):
            value = layer["settings"].get("activation") or "linear"
            name = value.get("name", value.get("class")) if isinstance(value, Mapping) else value
            return str(name).lower()
        if layer["class"] == "Softmax":
            return "softmax"
    return "linear"


def renamed_weights(recording: Recording, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return the first weights under the names that their layers have in the case."""
    found = {}
    for key, array in recording.arrays.items():
        if key.startswith("weights/"):
            layer, _, part = key.removeprefix("weights/").rpartition(".")
            if layer in names:
                found[f"weights/{names[layer]}.{part}"] = array
    return found
