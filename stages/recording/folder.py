"""A folder of a person's own cases: `mine/` in the clone, or anywhere. It is made on first use.

It has its own params.yaml, data, results and MLflow store, and DVC without Git, because Git ignores it. The pipeline
and its code are those of the clone, by links.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from stages.base import files
from stages.base.errors import UserError
from stages.config import load
from stages.config.schema import Case, Name
from stages.config.strict import did_you_mean, first_refusal
from stages.data import own
from stages.recording import block

CLONE = Path(__file__).resolve().parents[2]
LINKED = ("dvc.yaml", "stages", "requirements.lock", ".dvc/plots")
COPIED = (".dvcignore", ".gitignore")
# Without `no_scm`, DVC refuses files that Git ignores.
DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n    no_scm = true\n"
NEW = """\
# Your own cases. `dvc repro` in this folder measures them; docs/your-network.md says what a case can have.
seeds: {seeds}
execution: {execution}
cases: {{}}
"""


def chosen(folder: str | None) -> Path:
    """Return the folder of own cases: `folder`, or the current one if it is such a folder, or `mine/` in the clone."""
    if folder:
        return Path(folder).absolute()
    here = Path.cwd()
    return here if (here / "dvc.yaml").is_symlink() else CLONE / "mine"


def of_case(name: str, folder: str | None) -> Path:
    """Return the folder whose params.yaml has the case `name`: `folder`, or this one, that of own cases, or the clone.

    Raises
    ------
    UserError
        If none has it.
    """
    places = [Path(folder).absolute()] if folder else [Path.cwd(), chosen(None), CLONE]
    cases: list[str] = []
    for place in dict.fromkeys(places):
        if folder or (place / files.PARAMS).is_file():
            found = load.read(place / files.PARAMS).cases
            if name in found:
                return place
            cases += found
    known = ", ".join(dict.fromkeys(cases)) or "none is there yet"
    raise UserError(f"no case {name}{did_you_mean(name, cases)}; expected one of: {known}")


def check_name(folder: Path, name: str, *, replace: bool) -> None:
    """Refuse a name that no case can have, or that a case of `folder` has.

    Raises
    ------
    UserError
        Also if `folder` is something else than a folder of own cases.
    """
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        refused = first_refusal(error, name)
        raise UserError(f"case {refused.problem}; expected {refused.expected}") from None
    if not (folder / files.PARAMS).is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} has no {files.PARAMS}; expected a folder of own cases, or none yet")
        if not folder.parent.is_dir():
            raise UserError(f"{folder.parent} is missing; expected the folder in which {folder.name} is made")
        return
    if not replace and name in (load.parsed(read(folder).encode()).get("cases") or {}):
        path = shortest(folder / files.PARAMS)
        raise UserError(f"{path}: cases.{name} exists; expected another name, or --replace to replace the case")


def read(folder: Path) -> str:
    """Return the text of params.yaml of `folder`; the text of a new one if it has none."""
    path = folder / files.PARAMS
    if path.is_file():
        load.read(path)
        return path.read_bytes().decode()
    params = load.read(CLONE / files.PARAMS)
    execution = params.execution.model_dump(mode="json", exclude_none=True)
    return NEW.format(seeds=block.flow(list(params.seeds)), execution=block.flow(execution))


def put(folder: Path, name: str, case: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, replace: bool) -> Case:
    """Write a case and its data into `folder`, and make the folder if there is none. A failure leaves nothing behind.

    Raises
    ------
    UserError
        If the case or its data are refused, or DVC fails.
    """
    text = block.with_case(read(folder), name, case, replace=replace)
    params = load.validated(load.parsed(text.encode()), Path(shortest(folder / files.PARAMS)))
    file = case["data"]["file"]
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent) as temporary:
        new = Path(temporary, folder.name)
        files.write_archive(new / file, arrays)
        with chdir(new):
            own.prepare(params.cases[name].data, params.cases[name].task)  # type: ignore[arg-type]
        if (folder / files.PARAMS).is_file():
            add(folder, new, file, text)
        else:
            begin(new)
            add(new, new, file, text)
            link(new, near=folder.parent.resolve() == CLONE)
            with suppress(FileNotFoundError):
                folder.rmdir()
            new.rename(folder)
    return params.cases[name]


def begin(new: Path) -> None:
    """Make `new` a folder with DVC, without the pipeline."""
    dvc(new, "init", "--no-scm", "--quiet")
    (new / ".dvc/config").write_text(DVC_CONFIG, encoding="utf-8")
    for name in COPIED:
        shutil.copyfile(CLONE / name, new / name)
    with (new / ".gitignore").open("a", encoding="utf-8") as ignored:
        ignored.write("\n# what the scripts printed that were recorded\n/logs/\n")


def link(new: Path, *, near: bool) -> None:
    """Link the pipeline and its code to those of the clone; `near` says that `new` will stand in the clone."""
    for name in LINKED:
        above = Path(*[".."] * len(Path(name).parts))
        (new / name).symlink_to(above / name if near else CLONE / name)


def add(folder: Path, source: Path, file: str, text: str) -> None:
    """Move the data `file` from `source` into `folder`, let DVC track it, and write params.yaml; or undo all."""
    paths = [folder / file, folder / f"{file}.dvc", folder / files.PARAMS]
    before = {path: path.read_bytes() if path.is_file() and source != folder else None for path in paths}
    try:
        if source != folder:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (source / file).replace(folder / file)
        dvc(folder, "add", "--quiet", file)
        files.replace_bytes(folder / files.PARAMS, text.encode())
    except BaseException:
        for path, content in before.items():
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)
        raise


def dvc(folder: Path, *arguments: str) -> None:
    """Run DVC in `folder`.

    Raises
    ------
    UserError
        If it fails.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    environment = {**os.environ, "DVC_NO_ANALYTICS": "true"}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False)
    if ended.returncode:
        reason = " ".join(ended.stderr.split())[-300:]
        raise UserError(f"dvc {' '.join(arguments)} failed: {reason}; mend that, then record again")


def shortest(path: Path) -> str:
    """Return `path`, relative to the current folder if that is shorter."""
    return min(os.path.relpath(path), str(path), key=len)
