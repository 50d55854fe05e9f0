"""The project's paths, and files that have one form for one content.

Equal content gives equal bytes on every machine: keys are sorted, floats have their shortest exact form, and archives
hold no times and are not compressed, because compressed bytes depend on the build of zlib.
"""

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.base import cached
from stages.base.errors import UserError

if TYPE_CHECKING:  # Importing pandas takes 0.4 s, and most stages read no table.
    import pandas as pd

PARAMS = Path("params.yaml")
LOCK = cached.LOCK
CONFIGS = Path("configs")
CASES = CONFIGS / "cases.json"
RECIPES = CONFIGS / "recipes.json"
RAW_MNIST = Path("data/raw/mnist.npz")
PREPARED = Path("data/prepared")
RUNS = Path("runs")
RUNS_LOG = Path("runs.log")
BASELINES = Path("baselines")
REPORTS = Path("reports")
PAGE = REPORTS / "index.html"
FIGURE = REPORTS / "figure.svg"
# Not in reports/, because the columns of `dvc exp show` begin with this path.
METRICS = Path("metrics")
RESULTS, CURVES, CONFUSION, EFFECTS, PICTURES = (
    REPORTS / name for name in ("results", "curves", "confusion", "effects", "pictures")
)

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def config_path(case: str, name: str) -> Path:
    """Return the path of configs/<case>/<name>.json; `name` is data, runs, baselines or case."""
    return CONFIGS / case / f"{name}.json"


def prepared_path(case: str) -> Path:
    """Return the path of the prepared data of `case`."""
    return PREPARED / f"{case}.npz"


def run_path(case: str, folder: str, seed: int) -> Path:
    """Return the path of a run file."""
    return RUNS / case / folder / f"seed_{seed}.npz"


def result_path(case: str) -> Path:
    """Return the path of the result of `case`."""
    return RESULTS / f"{case}.json"


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content`, and make the folder of `path` if it does not exist.

    A stage that is killed may leave half a file. DVC then removes it, or `train` finds it damaged and replaces it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(content)
    except OSError as error:
        # If the disk is full, the error does not name the file.
        error.filename = error.filename or str(path)
        raise


def replace_bytes(path: Path, content: bytes) -> None:
    """Put `content` in the place of the file at `path` at once, for a file that a person may be looking at."""
    temporary = path.with_name(f".{path.name}.tmp")
    write_bytes(temporary, content)
    temporary.replace(path)


def json_text(value: Any) -> str:
    """Return `value` as strict JSON with sorted keys and a final newline.

    Raises
    ------
    ValueError
        If a number is not finite; see `finite_or_none`.
    """
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def finite_or_none(value: float) -> float | None:
    """Return `value`, or None if JSON has no form for it."""
    return float(value) if math.isfinite(value) else None


def write_json(path: Path, value: Any) -> None:
    """Write `value` as `json_text` does."""
    write_bytes(path, json_text(value).encode())


def read_bytes(path: Path) -> bytes:
    """Return the content of the file at `path`.

    Raises
    ------
    UserError
        If the file is missing.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro`, which makes it") from None


def damaged(path: Path, found: str, expected: str) -> UserError:
    """Return the error for a file that does not hold what a stage wrote there.

    If DVC would restore the file from a copy that is damaged, too, the error names the copy.
    """
    remedy = "delete it and run `dvc repro`, which makes it anew"
    if copies := cached.damaged_copies(path):
        remedy = f"its copy in DVC's cache is damaged, too; run `{cached.remove(path, *copies)} && dvc repro`"
    return UserError(f"{path}: {found}; expected {expected}; {remedy}")


def read_json(path: Path) -> Any:
    """Return the value that `write_json` wrote.

    Raises
    ------
    UserError
        If the file is missing or is not JSON.
    """
    content = read_bytes(path)
    try:
        return json.loads(content)
    except ValueError as error:
        raise damaged(path, str(error), "JSON") from None


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write `table` as CSV without its index; a missing value is an empty cell, infinities are inf and -inf."""
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


def read_csv(path: Path) -> "pd.DataFrame":
    """Return the table that `write_csv` wrote, with floats exact to the last bit.

    Raises
    ------
    UserError
        If the file is missing or is not a table.
    """
    import pandas as pd

    content = read_bytes(path)
    try:
        return pd.read_csv(io.BytesIO(content))
    except (ValueError, UnicodeDecodeError) as error:
        raise damaged(path, str(error), "a table as CSV") from None


def archive_bytes(members: Mapping[str, Any]) -> bytes:
    """Return an uncompressed zip archive of `members`, sorted by name.

    An array becomes a member in NumPy's format, ``<name>.npy``; any other value becomes JSON under its own name, which
    ends in ``.json``.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            if name.endswith(".json"):
                file, content = name, json_text(members[name]).encode()
            else:
                array = io.BytesIO()
                values = np.asarray(members[name], order="C")
                np.lib.format.write_array(array, values, version=(1, 0), allow_pickle=False)
                file, content = f"{name}.npy", array.getvalue()
            information = zipfile.ZipInfo(file, ZIP_EPOCH)
            information.create_system = 3  # Unix, whatever system writes the file
            information.external_attr = 0o644 << 16
            archive.writestr(information, content)
    return buffer.getvalue()


def write_archive(path: Path, members: Mapping[str, Any]) -> None:
    """Write `members` as `archive_bytes` does."""
    write_bytes(path, archive_bytes(members))


def read_archive(path: Path) -> dict[str, Any]:
    """Return the members that `write_archive` wrote. Their checksums are verified.

    Raises
    ------
    UserError
        If the file is missing or damaged.
    """
    content = read_bytes(path)
    members: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # The last record of a zip counts the members. A damaged directory may hide one.
            if len(archive.namelist()) != int.from_bytes(content[-12:-10], "little"):
                raise zipfile.BadZipFile("the directory does not list all members")
            for name in archive.namelist():
                member = archive.read(name)
                if name.endswith(".json"):
                    members[name] = json.loads(member)
                else:
                    array = np.lib.format.read_array(io.BytesIO(member), allow_pickle=False)
                    members[name.removesuffix(".npy")] = array
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise damaged(path, " ".join(str(error).split()), "an archive of arrays") from None
    return members


def require(path: Path, members: Mapping[str, Any], names: Iterable[str]) -> None:
    """Check that the archive at `path` has `members` of all `names`.

    Raises
    ------
    UserError
        If one is missing.
    """
    if missing := sorted(set(names) - members.keys()):
        raise damaged(path, f"{missing[0]} is missing", "an archive that a stage of this pipeline wrote")


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of the file at `path`, in hexadecimal."""
    return hashlib.sha256(read_bytes(path)).hexdigest()
