"""A recording: the file that the hook writes where a script starts to train."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.base import files
from stages.base.errors import UserError
from stages.config.strict import printable, shorten

CONTENT = "recording.json"
FORMAT = 1


@dataclass(frozen=True)
class Recording:
    """The training of a script: `content` is recording.json, `arrays` are the arrays of the file by name."""

    content: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def script(self) -> str:
        """Return the path of the script as the person wrote it."""
        return str(self.content["script"]["path"] or "notebook")

    @property
    def line(self) -> int:
        """Return the line of the script in which training starts."""
        return int(self.content["script"]["line"])

    @property
    def splits(self) -> tuple[str, ...]:
        """Return the splits that the script trains and validates with."""
        return ("train", "validation") if "x_validation" in self.arrays else ("train",)

    def of_split(self, kind: str, split: str) -> np.ndarray:
        """Return the array `kind`, x or y, of `split`."""
        return self.arrays[kind if split == "train" else f"{kind}_{split}"]

    def refusal(self, problem: str, expected: str, line: int | None = None) -> UserError:
        """Return the error for something that cannot be recorded, with the line of the script that it stands in."""
        return refusal(self.script, line or self.line, problem, expected)


def refusal(script: str, line: int, problem: str, expected: str) -> UserError:
    """Return the error for line `line` of `script`, in one line."""
    return UserError(printable(f"{script}: line {line}: {shorten(problem, 300)}; expected {shorten(expected, 300)}"))


def read(path: Path) -> Recording:
    """Return the recording at `path`.

    Raises
    ------
    UserError
        If the file is missing or is not a recording.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; expected the file that `record` or `record.next_fit` wrote")
    try:
        members = files.read_archive(path)
    except UserError as error:
        # The advice of `read_archive` is for the files of a stage.
        raise UserError(f"{str(error).split('; ')[0]}; expected a file that `record.next_fit` wrote") from None
    content = members.pop(CONTENT, None)
    if not isinstance(content, dict) or not {"x", "y"} <= members.keys():
        raise UserError(f"{path}: no {CONTENT} with arrays x and y; expected a file that `record.next_fit` wrote")
    if content.get("format") != FORMAT:
        found = content.get("format")
        raise UserError(f"{path}: format {found}; expected {FORMAT}; record the script again with this whichfix")
    return Recording(short_floats(content), members)


def short_floats(value: Any) -> Any:
    """Return JSON with the shortest number for each float32: 0.0001, not 9.999999747378752e-05."""
    if isinstance(value, dict):
        return {key: short_floats(each) for key, each in value.items()}
    if isinstance(value, list):
        return [short_floats(each) for each in value]
    if isinstance(value, float):
        with np.errstate(over="ignore"):
            rounded = np.float32(value)
        return float(str(rounded)) if float(rounded) == value else value
    return value
