"""The copies of files in DVC's cache: which one belongs to a file, and whether it is damaged.

DVC trusts a copy whose mode is 0444 by its name, so it restores a damaged one. https://dvc.org/doc/user-guide says
where the copies are: `files/md5/`, then the digest of the content, with a slash behind its first two digits.
"""

import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

LOCK = Path("dvc.lock")
FOLDER = ".dir"  # ends the digest of a folder, whose copy lists the digests of its files


def md5(content: bytes) -> str:
    """Return the MD5 digest of `content`, by which DVC names it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@cache
def _folder(root: Path) -> Path:
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    ended = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8", check=False)
    return Path(ended.stdout.strip()) if ended.returncode == 0 and ended.stdout.strip() else root / ".dvc/cache"


def copy_path(digest: str) -> Path:
    """Return the path of the copy with this digest, whether or not it exists; relative if it is below this folder."""
    here = Path.cwd()
    path = _folder(here) / "files/md5" / digest[:2] / digest[2:]
    return path.relative_to(here) if path.is_relative_to(here) else path


def read_lock() -> dict[str, Any]:
    """Return the stages of dvc.lock by name; none if there is no dvc.lock.

    Raises
    ------
    ValueError
        If it is not what DVC writes.
    """
    if not LOCK.is_file():
        return {}
    return _stages(LOCK.read_bytes())


@cache
def _stages(content: bytes) -> dict[str, Any]:
    try:
        stages: dict[str, Any] = YAML(typ="safe").load(content)["stages"]
        for stage in stages.values():
            digests(stage, "outs"), digests(stage, "deps")
    except (YAMLError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    return stages


def digests(stage: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Return the digests of the `outs` or the `deps` of a stage, by path; those without a digest are left out."""
    return {each["path"]: each["md5"] for each in stage.get(kind, ()) if "md5" in each}


def members(digest: str) -> dict[str, str]:
    """Return the digests of the files of a folder, by path below it; none if its copy is missing or damaged."""
    path = copy_path(digest)
    if not path.is_file() or is_damaged(path):
        return {}
    return {each["relpath"]: each["md5"] for each in json.loads(path.read_bytes())}


def is_damaged(copy: Path) -> bool:
    """Return whether the content of a copy is not that of its name."""
    return md5(copy.read_bytes()) != copy.parent.name + copy.name.removesuffix(FOLDER)


def damaged_copies(path: Path) -> list[Path]:
    """Return the damaged copies from which DVC would restore the file at `path`: its own and that of its folder."""
    try:
        stages = read_lock().values()
    except (OSError, ValueError):
        return []
    found = []
    for out, digest in (item for stage in stages for item in digests(stage, "outs").items()):
        if path == Path(out) or path.is_relative_to(out):
            found.append(copy_path(digest))
            if digest.endswith(FOLDER):
                of_file = members(digest).get(path.relative_to(out).as_posix())
                found += [copy_path(of_file)] if of_file else []
    return [copy for copy in found if copy.is_file() and is_damaged(copy)]


def remove(*paths: Path) -> str:
    """Return the command that removes `paths`."""
    options = "-rf" if any(path.is_dir() for path in paths) else "-f"
    return shlex.join(["rm", options, *map(str, paths)])
