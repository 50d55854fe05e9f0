"""The files that stages read, refused when they are not what dvc.lock says: damaged, swapped, or made by hand.

DVC compares them too, but before it runs a stage, and by size and time of change: it does not see a disk that lies, nor
what happens in between, nor a stage that is run without DVC. Where there is no dvc.lock, or a file is no out of any
stage, there is nothing to compare with.

Every `dvc repro` reads by this, so nothing here imports a library that takes long to load.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from hashlib import md5
from pathlib import Path
from typing import Any

import yaml

from stages.core import timings
from stages.core.errors import UserError

LOCK = Path("dvc.lock")
CACHE = Path(".dvc/cache/files/md5")
# Of a folder DVC takes the MD5 of a listing.
FOLDER_SUFFIX = ".dir"
REMEDY = "delete it and run `dvc repro`, which makes it anew, or accept it with `dvc commit`"


def read(path: Path) -> bytes:
    """The bytes of `path`, which an earlier stage wrote.

    Raises
    ------
    UserError
        When it is missing, cannot be read, or is not what dvc.lock says.
    """
    with timings.phase("read"):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise UserError(
                f"{path} is missing; run `dvc repro`, which makes it, in the folder that holds dvc.yaml"
            ) from None
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}; expected a file that a stage wrote") from None
        expected = _expected(path)
        if expected and (found := _md5(content)) not in expected:
            raise UserError(f"{path} has MD5 {found}; expected {' or '.join(sorted(expected))}, by {LOCK}; {REMEDY}")
    return content


@contextmanager
def parsing(path: Path, form: str) -> Iterator[None]:
    """Turn what a parser raises within the block into one line: `path` was expected to be `form`.

    Raises
    ------
    UserError
        When the block fails.
    """
    try:
        with timings.phase("read"):
            yield
    # A parser of damaged bytes may raise about anything.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: {reason}; expected {form}; delete it and run `dvc repro`") from None


def stages() -> Mapping[str, Any]:
    """What dvc.lock says of every stage, by its name; nothing where there is no dvc.lock.

    Raises
    ------
    UserError
        When dvc.lock is not what DVC writes.
    """
    try:
        status = LOCK.stat()
    except FileNotFoundError:
        return {}
    return _parsed(LOCK.absolute(), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)
def _parsed(path: Path, *_: int) -> Mapping[str, Any]:
    remedy = "expected what DVC writes; take it from git, or delete it and run `dvc repro`"
    try:
        content = yaml.load(path.read_bytes(), yaml.CSafeLoader)
        found: Mapping[str, Any] = content["stages"]
        for stage in found.values():
            for entry in (*stage.get("deps", ()), *stage.get("outs", ())):
                str(entry["path"])
    except yaml.YAMLError as error:
        raise UserError(f"{LOCK}: {' '.join(str(error).split())}; {remedy}") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{LOCK} lists no stages with their outs; {remedy}") from None
    return found


def _expected(path: Path) -> set[str]:
    """The MD5s that `path` may have: several where dvc.lock still has stages that are no more; none if it is no out.

    Raises
    ------
    UserError
        When `path` is in a folder that is an out, and the folder, or `path` in it, is not what dvc.lock knows.
    """
    found = set()
    for stage in stages().values():
        for out in stage.get("outs", ()):
            if not path.is_relative_to(out["path"]) or "md5" not in out:
                continue
            if not out["md5"].endswith(FOLDER_SUFFIX):
                found.add(out["md5"])
                continue
            held = _listed(Path(out["path"]).absolute(), out["md5"])
            if held is None:
                raise UserError(f"{out['path']}/ does not hold the files that {LOCK} says; {REMEDY}")
            name = path.relative_to(out["path"]).as_posix()
            if name not in held:
                raise UserError(f"{path} is none of the files that {LOCK} says {out['path']}/ holds; {REMEDY}")
            found.add(held[name])
    return found


@lru_cache
def _listed(folder: Path, digest: str) -> Mapping[str, str] | None:
    """Path below `folder` -> MD5, of the listing whose own MD5 is `digest`; None where it is not to be had."""
    for content in _listings(folder, digest):
        if _md5(content) + FOLDER_SUFFIX == digest:
            return {entry["relpath"]: entry["md5"] for entry in json.loads(content)}
    return None


def _listings(folder: Path, digest: str) -> Iterator[bytes]:
    """The listing as DVC keeps it in its cache, and as the files themselves make it.

    A fresh clone may not have the first; the second tells whether all files are right, but not which one is not.
    """
    cached = CACHE / digest[:2] / digest[2:]
    if cached.is_file():
        yield cached.read_bytes()
    yield listing(folder)


def listing(folder: Path) -> bytes:
    """The files in `folder` in DVC's form: what it calls the MD5 of a folder is that of this, and ``.dir``."""
    entries = [
        {"md5": _md5(file.read_bytes()), "relpath": file.relative_to(folder).as_posix()}
        for file in folder.rglob("*")
        if file.is_file()
    ]
    return json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True).encode()


def _md5(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()
