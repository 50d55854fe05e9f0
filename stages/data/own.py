"""A person's own data: a table (CSV or Parquet) or arrays (NPZ) -> `Prepared`.

What is refused is named by column and number of rows, never by a value.
"""

import os
import unicodedata
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.base.errors import UserError
from stages.config.data import OwnData
from stages.config.schema import Task
from stages.data.prepared import Facts, Prepared
from stages.data.splits import cut, rows_of_splits
from stages.data.tables import MOST_CELLS, refused, table

# With fewer rows a score on some of them says nothing, so the score on the training split counts.
FEW = 50
MOST_CLASSES = 65_536
# Bytes of all arrays of an archive: `MOST_CELLS` numbers in float64.
MOST_BYTES = 8 * MOST_CELLS


def prepare(data: OwnData, task: Task) -> tuple[Prepared, list[str]]:
    """Return the prepared data, and a line for each thing that was done to them.

    Raises
    ------
    UserError
        If the file cannot be read, or its content cannot be trained on.
    """
    path = Path(data.file)
    if not path.exists():
        raise UserError(f"{path} is missing; expected the data of the case, as data.file says")
    if not path.is_file():
        raise UserError(f"{path} is a folder or a device; expected a file with the data of the case, as data.file says")
    before = path.stat()
    arrays, features, names, said = (table if data.is_table else archive)(path, data)
    x = {split: inputs(path, array) for split, array in arrays["x"].items()}
    if sum(array.size for array in x.values()) > MOST_CELLS:
        cells = " and ".join(f"{len(array)} rows of {array[0].size} inputs" for array in x.values())
        raise refused(path, f"{cells} are too many; expected at most {MOST_CELLS} numbers; keep a part of the rows")
    y, raw, facts = answers(path, task, arrays["y"], names)
    if changed(before, path.stat()):
        # DVC takes the digest of the file after the stage, and would never know that other data were prepared.
        raise refused(path, "the file changed while it was read; expected it to stay; enter `dvc repro` again")
    facts = facts.model_copy(update={"features": features, "hidden": data.names == "hide"})
    if facts.hidden:
        facts = hidden(facts)
    weight = None if (found := arrays["sample_weight"]) is None else numbers(path, "sample_weight", found)
    prepared = Prepared(x, y, facts, "", raw, weight, arrays["weights"])
    n_rows = len(x["train"])
    if (data.validation_split or data.test_split) and n_rows < FEW:
        said = [*said, f"{n_rows} rows are too few to split; networks are scored on the rows that they learn"]
    elif data.validation_split or data.test_split:
        prepared = cut(prepared, rows_of_splits(n_rows, data))
    if task in ("binary", "multiclass") and len(np.unique(prepared.y["train"])) < 2:
        raise refused(path, "the training examples are of one class; expected at least two")
    return prepared, said


def changed(before: os.stat_result, after: os.stat_result) -> bool:
    """Return whether a file was written between two looks at it."""
    return (before.st_mtime_ns, before.st_size, before.st_ino) != (after.st_mtime_ns, after.st_size, after.st_ino)


def archive(path: Path, data: OwnData) -> tuple[dict[str, Any], None, list[str], list[str]]:
    """Return the arrays of an NPZ file, by what they are for."""
    members = read_members(path)
    arrays: dict[str, Any] = {"x": {}, "y": {}, "weights": {}}
    for split in ("train", *data.given):
        suffix = "" if split == "train" else f"_{split}"
        for kind in "xy":
            if f"{kind}{suffix}" not in members:
                found = ", ".join(sorted(members)) or "none"
                raise refused(path, f"no array {kind}{suffix}; expected it beside the arrays {found}")
            arrays[kind][split] = members[f"{kind}{suffix}"]
        x, y = arrays["x"][split], arrays["y"][split]
        if x.ndim < 2 or y.ndim not in (1, 2) or len(x) != len(y) or not x.size or not y.size:
            shapes = f"x{suffix} is {list(x.shape)} and y{suffix} is {list(y.shape)}"
            raise refused(path, f"{shapes}; expected a row per example, [n, features], and [n] or [n, columns]")
        if x.shape[1:] != arrays["x"]["train"].shape[1:]:
            raise refused(path, f"x{suffix} is {list(x.shape)}; expected examples of the shape of x")
        if y.shape[1:] != arrays["y"]["train"].shape[1:]:
            raise refused(path, f"y{suffix} is {list(y.shape)}; expected the columns of y")
    weight = members.get(data.sample_weight or "sample_weight")
    if data.sample_weight and weight is None:
        raise refused(path, f"no array {data.sample_weight}; expected it, as data.sample_weight says")
    arrays["sample_weight"] = weight
    if weight is not None and weight.shape != (len(arrays["x"]["train"]),):
        raise refused(
            path, f"sample_weight is {list(weight.shape)}; expected [{len(arrays['x']['train'])}], one per row"
        )
    arrays["weights"] = {
        name.removeprefix("weights/"): numbers(path, name, array)
        for name, array in members.items()
        if name.startswith("weights/")
    }
    columns = arrays["y"]["train"].shape[1] if arrays["y"]["train"].ndim > 1 else 1
    return arrays, None, [str(place) for place in range(columns)], []


def read_members(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an NPZ file by name. Nothing in it is unpickled."""
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(member.file_size for member in packed.infolist())
        if size > MOST_BYTES:
            found = f"{size / 1e6:,.0f} MB; expected at most {MOST_BYTES / 1e6:,.0f} MB"
            raise refused(path, f"the arrays have {found}; keep a part of the rows, or use a smaller dtype")
        with np.load(path, allow_pickle=False) as stored:
            # A member that is no array comes as bytes.
            members = {name: stored[name] for name in stored.files}
        if not all(isinstance(array, np.ndarray) for array in members.values()):
            raise ValueError
    except (
        *(ValueError, OSError, EOFError, LookupError, TypeError, RuntimeError, NotImplementedError),
        *(MemoryError, zipfile.BadZipFile, zlib.error),  # a header may ask for more memory than its array has bytes
    ):
        raise refused(path, "not an archive of arrays of numbers or text; expected what NumPy's savez writes") from None
    return members


def numbers(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Return `values` as float32."""
    if values.dtype.kind in "cmMV":  # NumPy would drop the imaginary part, or count seconds
        raise refused(path, f"{name} has {values.dtype}; expected real numbers")
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused next
            found = values.astype(np.float32)
    except (ValueError, TypeError):
        raise refused(path, f"{name} is not of numbers; expected numbers") from None
    if not np.isfinite(found).all():
        raise refused(path, f"{name} has values that are not finite in float32; expected finite numbers")
    return found


def inputs(path: Path, values: np.ndarray) -> np.ndarray:
    """Return inputs as they are kept: bytes as uint8, everything else as float32."""
    return values if values.dtype == np.uint8 else numbers(path, "an input", values)


def answers(
    path: Path, task: Task, given: Mapping[str, np.ndarray], names: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], Facts]:
    """Return what answers are compared with, what the file has where that is something else, and the facts."""
    if task == "regression":
        raw = {split: numbers(path, "the target", array) for split, array in given.items()}
        y = {split: array.astype(np.float64).reshape(len(array), -1) for split, array in given.items()}
        return y, raw, Facts(task=task, classes=list(names))
    if task == "multilabel":
        raw = {split: numbers(path, "the target", array) for split, array in given.items()}
        if any(array.ndim != 2 or not np.isin(array, (0, 1)).all() for array in raw.values()):
            raise refused(path, "the target is not of columns of 0 and 1; expected a column per label")
        return {s: array.astype(np.uint8) for s, array in raw.items()}, raw, Facts(task=task, classes=list(names))
    columns = given["train"].shape[1] if given["train"].ndim > 1 else 1
    if columns > 1:
        raw = {split: numbers(path, "the target", array) for split, array in given.items()}
        if any((np.sum(array == 1, axis=1) != 1).any() or not np.isin(array, (0, 1)).all() for array in raw.values()):
            raise refused(path, f"{columns} columns as target of a {task} task; expected a single 1 in each row")
        facts = Facts(task=task, classes=list(names))
        return {split: index(np.argmax(array, axis=1), columns) for split, array in raw.items()}, raw, facts
    return single_column(path, task, given)


def single_column(
    path: Path, task: Task, given: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], Facts]:
    """Return classes of one column of whole numbers, truth values or texts."""
    flat = {split: array.reshape(len(array)) for split, array in given.items()}
    is_text = any(array.dtype.kind not in "biuf" for array in flat.values())
    if any(array.dtype.kind in "cmMV" for array in flat.values()):
        raise refused(path, "the target has complex numbers, times or structures; expected numbers or texts as classes")
    if is_text:
        try:
            flat = {split: array.astype(str) for split, array in flat.items()}
        except UnicodeDecodeError:
            raise refused(path, "the target has bytes that are not ASCII; expected texts as classes") from None
    elif not all(np.isfinite(array).all() for array in flat.values()):
        raise refused(path, "the target has values that are not finite; expected classes")
    elif not all(np.array_equal(array, np.round(array.astype(np.float64))) for array in flat.values()):
        raise refused(path, "the target has fractions; expected classes, or task: regression")
    classes = np.unique(np.concatenate(list(flat.values())))
    if len(classes) > MOST_CLASSES or (task == "binary" and len(classes) > 2):
        expected = "at most 2 with task binary" if task == "binary" else f"at most {MOST_CLASSES}"
        raise refused(path, f"the target has {len(classes)} classes; expected {expected}")
    if is_text and len({unicodedata.normalize("NFC", name) for name in classes}) < len(classes):
        raise refused(
            path, "two classes of the target look the same, because accents are written in two ways; write them in one"
        )
    places = {split: np.searchsorted(classes, array) for split, array in flat.items()}
    y = {split: index(array, len(classes)) for split, array in places.items()}
    values = None if is_text else [float(value) for value in classes]
    facts = Facts(task=task, classes=[str(value) for value in classes], values=values)
    # Keras sees the column as it is in the file: [n] or [n, 1].
    raw = {
        split: (places[split] if is_text else flat[split]).astype(np.float32).reshape(given[split].shape) for split in y
    }
    return y, raw, facts


def index(places: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the indices of classes in the smallest dtype."""
    return places.astype(np.uint8 if n_classes <= 256 else np.int32)


def hidden(facts: Facts) -> Facts:
    """Return `facts` with numbers in the place of the names of inputs and classes."""
    features = None if facts.features is None else [f"input {place}" for place in range(len(facts.features))]
    kind = {"regression": "target", "multilabel": "label"}.get(facts.task, "class")
    classes = [f"{kind} {place}" for place in range(len(facts.classes))]
    return facts.model_copy(update={"features": features, "classes": classes})
