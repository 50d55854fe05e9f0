"""Real faults as cases: a file of faults -> for each fault a `Case`, its data, and the published fix as a network."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fault_data import Examples, UnknownError, examples
from stages.base import files
from stages.config import checks
from stages.config.network import PostedNetwork
from stages.config.schema import Case, Task
from stages.config.strict import RefusedError
from stages.data import own
from stages.data.prepared import Prepared

# Kinds of training that are dearer than this are not tried.
MOST_EPOCHS = 100_000
SCALE = r"^\s*/\s*(\d+)"


@dataclass(frozen=True)
class Fault:
    """A fault as a case.

    `index` is its place in the file. `fix` is the published fix, None if there is none or it cannot be expressed.
    `codes` are its labels, `basis` says who gave them (benchmark: people), `trust` how far they can be trusted.
    """

    index: int
    id: str
    case: Case
    data: Prepared
    fix: PostedNetwork | None
    codes: tuple[str, ...]
    basis: str
    trust: str
    notes: tuple[str, ...]


def read(path: Path, mnist: Path) -> tuple[list[Fault], dict[str, str]]:
    """Return the faults in a file, and for each that is left out the reason, by id."""
    entries: list[dict[str, Any]] = files.read_json(path)
    datasets = {entry["id"]: entry["dataset"] for entry in entries}
    found, skipped = [], {}
    for index, entry in enumerate(entries):
        try:
            found.append(fault_of(index, entry, datasets, mnist))
        except (UnknownError, RefusedError, KeyError, TypeError, ValueError) as error:
            skipped[entry["id"]] = " ".join(str(error).split())
    return found, skipped


def fault_of(index: int, entry: Mapping[str, Any], datasets: Mapping[str, Mapping[str, Any]], mnist: Path) -> Fault:
    """Return a fault of the file.

    Raises
    ------
    UnknownError
        If its data or its configuration are not recognized.
    """
    posted = entry["as_posted"]
    if not posted.get("layers") or not posted.get("loss") or not posted.get("optimizer"):
        raise UnknownError("the configuration is not known")
    if (posted.get("epochs") or 1) > MOST_EPOCHS:
        raise UnknownError(f"{posted['epochs']} epochs as posted are too dear; at most {MOST_EPOCHS}")
    if "trainable=False" in str(posted):
        raise UnknownError("a layer that is not trained")
    made = examples(entry["dataset"], datasets, mnist)
    notes = list(made.notes)
    task = task_of(posted["label_encoding"], made.y["train"])
    if str(posted["label_encoding"]).startswith("MinMax"):
        low, high = made.y["train"].min(), made.y["train"].max()
        made.y = {split: (y - low) / (high - low) for split, y in made.y.items()}
        notes.append("the targets are scaled to 0..1 in the data")
    data = prepared(made, task)
    network = network_of(posted, task, data, notes)
    fix = None
    if entry["published_fix"]:
        try:
            fix = PostedNetwork.model_validate(network_of({**entry["published_fix"]}, task, data, notes))
        except ValueError as error:
            notes.append(f"the published fix is left out: {' '.join(str(error).split())[:200]}")
    case = Case.model_validate(
        {
            "title": f"{entry['id']}: {entry['symptom'] or 'no symptom'}"[:200],
            "source": str(entry["source"]).split()[0],
            "task": task,
            "data": {"file": "data/fault.npz", "given": [split for split in made.x if split != "train"]},
            "judged_by": list(made.x)[-1],
            "as_posted": network,
            "fixes": {},
        }
    )
    checks.check_case(case)
    checks.check_points(case)
    basis, trust = str(entry["fault_types_basis"]).split(":")[0].split()[0], entry["ground_truth_trust"]
    return Fault(
        index, entry["id"], case, data, fix, tuple(entry["fault_codes"]), basis, trust, tuple(dict.fromkeys(notes))
    )


def prepared(made: Examples, task: Task) -> Prepared:
    """Return examples as `prepare` makes them of a person's own file."""
    path = Path("the fault's data")
    x = {split: own.inputs(path, array) for split, array in made.x.items()}
    columns = made.y["train"].shape[1] if made.y["train"].ndim > 1 else 1
    if task == "regression":  # Keras 2 made a column of a vector
        made.y = {split: array.reshape(len(array), -1) for split, array in made.y.items()}
    y, raw, facts = own.answers(path, task, made.y, [str(place) for place in range(columns)])
    digest = hashlib.sha256()
    for array in (*x.values(), *y.values()):
        digest.update(str(array.dtype).encode() + np.ascontiguousarray(array).tobytes())
    return Prepared(x, y, facts, digest.hexdigest(), raw)


def task_of(encoding: str, y: np.ndarray) -> Task:
    """Return the task that the encoding of the labels and the labels themselves imply."""
    words = encoding.lower()
    if re.search(r"multi-hot|several 1s|\d+ binary columns", words):
        return "multilabel"
    if re.search(r"^real|\d+ real|minmax|regression|standardscaler|unscaled", words):
        return "regression"
    if re.search(r"one-hot|integer|0/1|boolean|class|binary|label", words):
        return "binary" if len(np.unique(y)) <= 2 else "multiclass"
    raise UnknownError(f"no known encoding of labels: {encoding}")


def network_of(entry: Mapping[str, Any], task: Task, data: Prepared, notes: list[str]) -> dict[str, Any]:
    """Return a configuration of the file as params.yaml would have it; `notes` gets what is not exactly as there."""
    batch_size = batch_of(entry.get("batch_size"), data)
    loss, factor = loss_of(str(entry["loss"]), batch_size)
    optimizer = optimizer_of(entry)
    if factor != 1:
        # A gradient that is larger by a factor is a larger rate with SGD, and nothing with Adam and its like.
        notes.append(f"the loss is {factor:g} times that of Keras, which is the same factor of SGD's rate")
        if optimizer["name"].lower() == "sgd":
            optimizer["learning_rate"] = optimizer.get("learning_rate", 0.01) * factor
    found: dict[str, Any] = {
        "inputs": inputs_of(str(entry.get("input_scaling") or "none"), data, notes),
        "targets": targets_of(str(entry.get("label_encoding") or ""), task),
        "layers": layers_of(entry["layers"]),
        "loss": loss,
        "optimizer": optimizer,
        "batch_size": batch_size,
        "epochs": epochs_of(entry, notes),
    }
    shuffle = entry.get("shuffle")
    if shuffle is not None:
        found["shuffle"] = "batches" if shuffle == "batch" else shuffle
    if match := re.search(r"patience (\d+)", str(entry.get("early_stopping") or "")):
        found["early_stopping"] = {"monitor": "loss", "patience": int(match[1])}
        notes.append("early stopping watches the training loss")
    return found


def batch_of(size: Any, data: Prepared) -> int:
    """Return the batch size; without one it is 32, and a full batch has all rows."""
    return (
        int(size) if isinstance(size, int) else len(data.x["train"]) if isinstance(size, str) and "full" in size else 32
    )


def epochs_of(entry: Mapping[str, Any], notes: list[str]) -> int:
    """Return the number of epochs that were really trained."""
    if match := re.search(r"(\d+) epochs? is trained", str(entry.get("caveat") or "")):
        notes.append(f"{match[1]} epoch is trained instead of {entry['epochs']}, as the caveat says")
        return int(match[1])
    return int(entry.get("epochs") or 1)


def loss_of(text: str, batch_size: int) -> tuple[Any, float]:
    """Return the loss in Keras's words, and by which factor it is larger than Keras's."""
    if "sum of squared errors" in text.lower():
        return "mean_squared_error", float(batch_size)
    name = re.split(r"[\s,(/]", text.strip())[0]
    factor = float(batch_size) if re.search(r"\bsum\b", text, re.IGNORECASE) else 1.0
    if match := re.search(r"/\s*(\d+)\s*$", text):
        factor /= float(match[1])
    logits = re.search(r"from_logits\s*=\s*True", text)
    return ({"name": name, "from_logits": True} if logits else name), factor


def optimizer_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the optimizer with its settings."""
    settings = {
        key: entry[key]
        for key in (
            "learning_rate",
            "momentum",
            "nesterov",
            "decay",
            "beta_1",
            "beta_2",
            "rho",
            "epsilon",
            "clipnorm",
            "clipvalue",
        )
        if entry.get(key) is not None
    }
    return {"name": re.split(r"[\s(]", entry["optimizer"].strip())[0], **settings}


def inputs_of(text: str, data: Prepared, notes: list[str]) -> Any:
    """Return what is done with the inputs, in the words of params.yaml."""
    words = text.strip().lower()
    if match := re.match(SCALE, words):
        return {"scale": 1 / int(match[1])}
    if words.startswith(("standardscaler", "standard", "zero mean", "z-score", "normaliz")):
        return "standardized"
    if words.startswith(("minmax", "min-max")):
        x = data.x["train"].astype(np.float64)
        low, high = float(x.min()), float(x.max())
        if x.ndim > 1 and x.shape[1] > 1:
            notes.append("MinMaxScaler is taken over all inputs together")
        return {"scale": 1 / (high - low), "offset": -low / (high - low)}
    if words.startswith(("none", "unknown", "0..1", "raw")) or "discarded" in words:
        return "raw"
    raise UnknownError(f"no known scaling of inputs: {text}")


def targets_of(text: str, task: Task) -> Any:
    """Return what is done with the targets, in the words of params.yaml."""
    if match := re.search(r"/\s*(\d+)\s*$", text):
        return {"scale": 1 / int(match[1])} if task == "regression" else "raw"
    if task == "regression":
        return "standardized" if "standardscaler" in text.lower() else "raw"
    one_hot = "one-hot" in text.lower() and "not one-hot" not in text.lower()
    return "one_hot" if one_hot and task != "multilabel" else "raw"


def layers_of(layers: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the layers by name: hidden layers are numbered, and the last Dense layer is the output."""
    dense = [place for place, layer in enumerate(layers) if layer.get("type", "Dense") == "Dense"]
    found: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for place, layer in enumerate(layers):
        kind = layer.get("type", "Dense")
        settings = {
            key: value for key, value in layer.items() if key not in ("type", "init", "l2") and value is not None
        }
        if kind == "Dense":
            initializers = initializers_of(str(layer.get("init") or "glorot_uniform"))
            settings |= initializers | ({"l2": layer["l2"]} if layer.get("l2") else {})
            stem = "hidden"
        else:
            settings["layer"] = kind
            stem = {"BatchNormalization": "normalization"}.get(kind, kind.lower())
        counts[stem] = counts.get(stem, 0) + 1
        found["output" if place == dense[-1] else f"{stem}_{counts[stem]}"] = settings
    return found


def initializers_of(text: str) -> dict[str, Any]:
    """Return the initializers of a layer."""
    name = re.split(r"[\s(,]", text.strip())[0]
    settings = {key: float(number) for key, number in re.findall(r"(\w+)\s*=\s*([-+\d.e]+)", text)}
    kernel: Any = {"name": name, **settings} if settings else name
    return {"kernel_initializer": kernel} | ({"bias_initializer": kernel} if "bias too" in text else {})
