"""A person's own table (CSV or Parquet) -> arrays by what they are for, and the names of inputs and targets.

Messages name columns and numbers of rows, never a value: a value may be about a person.
"""

import csv
import unicodedata
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.base.errors import UserError
from stages.config.data import OwnData
from stages.config.strict import printable, shorten

if TYPE_CHECKING:  # Importing pandas takes 0.4 s, and data may be arrays.
    import pandas as pd

# Numbers in the inputs of all splits together: 2 GB in float32.
MOST_CELLS = 500_000_000
# pandas needs about three times the size of a CSV file in memory.
MOST_BYTES = 1_000_000_000
MOST_CATEGORIES = 1000
# Numbers as people write them, also those that pandas does not read: 1,5 and 12 % and 123456789012345678901.
WRITTEN_NUMBER = r"\s*[-+]?[\d.,]*\d[\d.,]*(?:[eE][-+]?\d+)?\s*%?\s*"
# How files begin that people give the name of a CSV file.
NO_TEXT = {
    b"\x1f\x8b": "compressed by gzip",
    b"PK": "a ZIP archive or a workbook",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "in UTF-16",
    b"\xfe\xff": "in UTF-16",
}


def refused(path: Path, problem: str) -> UserError:
    """Return the error for the file at `path`, in one line."""
    return UserError(printable(f"{path}: {shorten(problem, 600)}"))


def table(path: Path, data: OwnData) -> tuple[dict[str, Any], list[str], list[str], list[str]]:
    """Return the arrays of a table, the names of inputs and of targets, and what was done.

    Raises
    ------
    UserError
        If the file cannot be read, is too large, lacks a column, or has values that cannot be trained on.
    """
    frame = read_table(path, data)
    wanted = [*(data.target or ()), *data.drop, *([data.sample_weight] if data.sample_weight else [])]
    for column in wanted:
        if column not in frame.columns:
            # Without a header, the first line is a row: its values must not be shown.
            if any(is_number(name) for name in frame.columns):
                raise refused(path, f"no column {column}, and the first line has numbers; expected a header of names")
            similar = [] if data.names == "hide" else get_close_matches(column, frame.columns, 1)
            meant = f"; did you mean {similar[0]}?" if similar else ""
            raise refused(
                path, f"line 1: no column {column} among {len(frame.columns)}; expected its name there{meant}"
            )
    if not len(frame):
        raise refused(path, "no rows; expected a header and a row per example")
    called = {
        name: f"column {place}" if data.names == "hide" else f"column {name}"
        for place, name in enumerate(frame.columns, 1)
    }
    for column in frame.columns.difference(list(data.drop), sort=False):
        missing = np.flatnonzero(frame[column].isna())
        if len(missing):
            raise refused(
                path,
                f"{called[column]} has {len(missing)} missing values of {len(frame)}, "
                f"the first in row {missing[0] + 1}; fill them or drop their rows, or name the column under data.drop",
            )
    targets = frame[list(data.target or ())]
    weight = frame[data.sample_weight] if data.sample_weight else None
    coded, names, said = encoded(path, frame.drop(columns=wanted), called)
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused next
        x = coded.to_numpy(np.float32)
    if len(rows := np.argwhere(~np.isfinite(x))):
        where = f"row {rows[0][0] + 1} of {called[coded.columns[rows[0][1]]]}"
        raise refused(path, f"{where} is not finite in float32; expected finite numbers; mend or drop such rows")
    arrays: dict[str, Any] = {"x": {"train": x}, "y": {"train": targets.to_numpy()}, "weights": {}}
    arrays["sample_weight"] = None if weight is None else weight.to_numpy()
    return arrays, names, list(map(str, targets.columns)), said


def read_table(path: Path, data: OwnData) -> "pd.DataFrame":
    """Return the table in a CSV or Parquet file."""
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            check_parquet(path, data)
            frame = pd.read_parquet(path)
        else:
            check_csv(path, data)
            # In pieces, a column of numbers and texts would have both.
            frame = pd.read_csv(path, skipinitialspace=True, low_memory=False)
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise refused(path, f"{reason}; expected a table with one header") from None
    if path.suffix == ".csv" and not isinstance(frame.index, pd.RangeIndex):  # the first fields would be names of rows
        raise refused(path, "the rows have more fields than the header; expected a name for each column")
    return frame


def check_csv(path: Path, data: OwnData) -> None:
    """Refuse a CSV file that is too large, is not UTF-8, or has no header with a name for each column."""
    if (size := path.stat().st_size) > MOST_BYTES:
        found = f"{size / 1e6:,.0f} MB; expected at most {MOST_BYTES / 1e6:,.0f} MB"
        raise refused(path, f"the table has {found}; keep a part of the rows, or save it as Parquet")
    with path.open("rb") as file:
        start = file.read(4)
        if kind := next((kind for signature, kind in NO_TEXT.items() if start.startswith(signature)), None):
            raise refused(path, f"the file is {kind}; expected a table as text in UTF-8; unpack or save it so")
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                found = f"line {number}: byte {line[error.start]:#x} is not UTF-8"
                raise refused(path, f"{found}; save the table as UTF-8") from None
            if b"\0" in line:
                raise refused(path, f"line {number}: a byte of 0; expected text in UTF-8; save the table as UTF-8")
    with path.open(encoding="utf-8-sig", newline="") as text:
        try:
            names = next((row for row in csv.reader(text, skipinitialspace=True) if row), [])
        except csv.Error as error:
            raise refused(path, f"line 1: {error}; expected a name for each column") from None
    if len(names) == 1 and any(sign in names[0] for sign in ";\t"):
        raise refused(path, "line 1: no comma; expected fields that are separated by commas, and 1.5 instead of 1,5")
    same = [unicodedata.normalize("NFC", name) for name in names]
    for place, name in enumerate(same, 1):
        if name.strip() and (first := same.index(name) + 1) < place:
            called = "the same name" if data.names == "hide" else f"the name {name}"
            raise refused(path, f"line 1: columns {first} and {place} have {called}; expected different names")
        # pandas gives such columns this name.
        if not name.strip() and f"Unnamed: {place - 1}" not in data.drop:
            remedy = f'write one there, or name "Unnamed: {place - 1}" under data.drop'
            raise refused(path, f"line 1: column {place} has no name; expected a name for each column; {remedy}")


def check_parquet(path: Path, data: OwnData) -> None:
    """Refuse a Parquet file that is too large or has columns of lists or structures."""
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        rows, columns = file.metadata.num_rows, file.metadata.num_columns
        schema = file.schema_arrow
    refused_kinds = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    if rows * columns > MOST_CELLS:
        found = f"{rows} rows of {columns} columns; expected at most {MOST_CELLS} numbers"
        raise refused(path, f"the table has {found}; keep a part of the rows")
    for place, field in enumerate(schema, 1):
        if field.name not in data.drop and any(kind(field.type) for kind in refused_kinds):
            called = f"column {place}" if data.names == "hide" else f"column {field.name}"
            found = f"{called} has lists, structures or bytes; expected numbers or text"
            raise refused(path, f"{found}; split it, or name it under data.drop")


def is_number(name: object) -> bool:
    """Return whether the name of a column or of a class is a number."""
    try:
        float(str(name))
    except ValueError:
        return False
    return True


def encoded(
    path: Path, frame: "pd.DataFrame", called: Mapping[str, str]
) -> tuple["pd.DataFrame", list[str], list[str]]:
    """Return the inputs as numbers, their names, and what was done.

    A column of text becomes a column of 0 and 1 for each of its values, in sorted order. Their names number the values,
    because a value may be about a person. `called` has what messages call each column.
    """
    import pandas as pd

    if not len(frame.columns):
        raise refused(path, "no column is left for the inputs; expected at least one beside the target")
    for name in frame.columns:
        if pd.api.types.infer_dtype(frame[name], skipna=False) == "decimal":
            frame = frame.assign(**{name: frame[name].astype(float)})
    texts = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name].dtype)]
    if not texts:
        return frame, [*map(str, frame.columns)], []
    numeric = frame.drop(columns=texts)
    parts, names, said = [numeric], [*map(str, numeric.columns)], []
    for name in texts:
        values = frame[name].unique()
        if len(values) > MOST_CATEGORIES:
            raise refused(
                path,
                f"{called[name]} is text with {len(values)} different values; expected at most {MOST_CATEGORIES}; "
                "name the column under data.drop",
            )
        # pandas reads a column as text if a single value is no number that it knows.
        written = int(pd.Series(values).astype(str).str.fullmatch(WRITTEN_NUMBER).sum())
        if path.suffix == ".csv" and 2 * written > len(values):
            found = f"{called[name]} has {written} numbers among {len(values)} different values, but is read as text"
            raise refused(path, f"{found}; expected numbers such as 1.5 in every row, or text; mend it, or drop it")
        said.append(printable(f"{called[name]} is text and becomes {len(values)} columns of 0 and 1"))
        parts.append(pd.get_dummies(frame[name], dtype=np.float32))
        names += [f"{name}: value {place}" for place in range(1, len(parts[-1].columns) + 1)]
    return pd.concat(parts, axis=1), names, said
