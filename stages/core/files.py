"""Files with one form for one content, written whole or not at all.

The same content gives the same bytes on every machine: keys are sorted, floats have their shortest exact form,
archives hold no times and are not deflated (the bytes of a deflated stream depend on the zlib build).
"""

import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import numpy as safetensors

from stages.core import locked, scratch, timings

# The stages that read no table need not wait for its import.
if TYPE_CHECKING:
    import pandas as pd

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content`, see `scratch.write`."""
    with timings.phase("write"):
        scratch.write(path, content)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with its line ends as they are."""
    write_bytes(path, text.encode())


def json_text(value: Any) -> str:
    """`value` as strict JSON: sorted keys, two spaces, one final newline.

    Raises
    ------
    ValueError
        When a number is not finite: the caller says so with ``null`` beside a flag (see `finite_or_none`).
    """
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def finite_or_none(value: float) -> float | None:
    """`value`, or None where JSON has no form for it."""
    return float(value) if math.isfinite(value) else None


def write_json(path: Path, value: Any) -> None:
    """Write `value` in the form of `json_text`."""
    write_text(path, json_text(value))


def read_json(path: Path) -> Any:
    """The value that `write_json` wrote."""
    content = locked.read(path)
    with locked.parsing(path, "JSON"):
        return json.loads(content)


def csv_text(table: "pd.DataFrame") -> str:
    """`table` as CSV without its index; a missing value is an empty cell, infinities are ``inf`` and ``-inf``."""
    return table.to_csv(index=False, lineterminator="\n")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write `table` in the form of `csv_text`."""
    write_text(path, csv_text(table))


def read_csv(path: Path) -> "pd.DataFrame":
    """The table that `write_csv` wrote, its floats to the last bit."""
    import pandas as pd

    content = locked.read(path)
    with locked.parsing(path, "a table, as CSV"):
        return pd.read_csv(io.BytesIO(content))


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """`arrays` as an uncompressed NumPy archive, members sorted by name."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as members:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(arrays[name], order="C"), version=(1, 0), allow_pickle=False)
            information = zipfile.ZipInfo(f"{name}.npy", ZIP_EPOCH)
            information.create_system = 3  # Unix, whatever the system that writes
            information.external_attr = 0o644 << 16
            members.writestr(information, member.getvalue())
    return archive.getvalue()


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `arrays` in the form of `npz_bytes`."""
    write_bytes(path, npz_bytes(arrays))


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays that `write_npz` wrote, by name."""
    content = locked.read(path)
    with locked.parsing(path, "a NumPy archive"), np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `arrays` in the safetensors format, which has one form for one content."""
    write_bytes(path, safetensors.save(dict(arrays)))


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays that `write_safetensors` wrote, by name."""
    content = locked.read(path)
    with locked.parsing(path, "safetensors"):
        arrays: dict[str, np.ndarray] = safetensors.load(content)
        return arrays
