"""Find what keeps `dvc repro` from working or would bring damaged files back, and print the commands that mend it.

Nothing is changed, and DVC need not work: it is asked for the folder of its cache alone.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.base import cached, console, files
from stages.base.errors import UserError
from stages.tracking import place

RWLOCK = Path(".dvc/tmp/rwlock")
OWN_DATA = Path("data/own")


@dataclass(frozen=True)
class Finding:
    """Something that is broken, and the command that mends it."""

    path: Path
    problem: str
    command: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}; run: {self.command}"


def dvc_files() -> Iterator[Finding]:
    """Yield the files that a DVC that was killed has left half-written."""
    if RWLOCK.is_file():
        try:
            json.loads(RWLOCK.read_bytes())
        except ValueError:
            yield Finding(RWLOCK, "half-written", f"rm {RWLOCK}")
    try:
        cached.read_lock()
    except ValueError:
        known = subprocess.run(["git", "cat-file", "-e", f"HEAD:./{files.LOCK}"], capture_output=True, check=False)
        yield Finding(files.LOCK, "half-written", f"{'rm' if known.returncode else 'git checkout HEAD'} {files.LOCK}")


@cache
def digest(path: Path) -> str | None:
    """Return the digest of a file or folder as dvc.lock has it, None if it is missing."""
    if path.is_file():
        return cached.md5(path.read_bytes())
    if not path.is_dir():
        return None
    below = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    # As .dvcignore says.
    seen = [name for name, file in below.items() if "__pycache__" not in name and not fnmatch(file.name, ".*.tmp")]
    listed = [{"md5": digest(below[name]), "relpath": name} for name in sorted(seen, key=lambda name: name.split("/"))]
    return cached.md5(json.dumps(listed, sort_keys=True).encode()) + cached.FOLDER


def edited(stages: dict[str, Any]) -> set[str]:
    """Return the stages whose code, parameters or data, or those of a stage before them, differ from dvc.lock."""
    outs = {Path(out): name for name, stage in stages.items() for out in cached.digests(stage, "outs")}
    before: dict[str, set[str]] = {}
    found = set()
    for name, stage in stages.items():
        before[name] = set()
        for dep, wanted in cached.digests(stage, "deps").items():
            makers = {maker for out, maker in outs.items() if out.is_relative_to(dep) or Path(dep).is_relative_to(out)}
            before[name] |= makers
            if not makers and digest(Path(dep)) != wanted:
                found.add(name)
    for _ in stages:  # as many steps as the longest chain can have
        found |= {name for name in stages if before[name] & found}
    return found


def outs(stages: dict[str, Any]) -> Iterator[Finding]:
    """Yield the outs of the stages that are damaged in the folder or in DVC's cache."""
    by_edit = edited(stages)
    for name, stage in stages.items():
        for out, wanted in cached.digests(stage, "outs").items():
            expected = {Path(out): wanted}
            # The metrics are in Git, and not in DVC's cache.
            if wanted.endswith(cached.FOLDER) and not Path(out).is_relative_to(files.METRICS):
                yield from damaged(None, cached.copy_path(wanted))
                expected = {Path(out, below): md5 for below, md5 in cached.members(wanted).items()}
            for path, md5 in expected.items():
                differs = name not in by_edit and digest(path) not in (None, md5)
                yield from damaged(path if differs else None, cached.copy_path(md5))


def damaged(path: Path | None, copy: Path) -> Iterator[Finding]:
    """Yield the finding about a file that is damaged, if any, and its copy in DVC's cache, if that is damaged."""
    broken = [] if path is None else [path]
    if copy.is_file() and cached.is_damaged(copy):
        broken.append(copy)
    if broken:
        yield Finding(broken[0], "damaged", cached.remove(*broken))


def own_data(stages: dict[str, Any]) -> Iterator[Finding]:
    """Yield a person's own data that are damaged. The commands delete nothing: it may be the only copy."""
    deps = {Path(dep) for stage in stages.values() for dep in cached.digests(stage, "deps")}
    known = {path.with_suffix("") for path in OWN_DATA.glob("*.dvc")}
    for path in sorted(deps | known):
        tracked, aside = path.with_name(f"{path.name}.dvc"), shlex.quote(f"{path}.damaged")
        if not tracked.is_file():
            continue
        try:
            (out,) = YAML(typ="safe").load(tracked)["outs"]
        except (YAMLError, LookupError, TypeError, ValueError):  # DVC names it
            continue
        copy, file = cached.copy_path(out["md5"]), shlex.quote(str(path))
        if not copy.is_file():
            continue
        differs = digest(path) != out["md5"]
        if cached.is_damaged(copy):
            problem = "its copy in DVC's cache is damaged"
            if differs:
                problem += ", too; put a good copy of yours in its place, then"
            yield Finding(path, problem, f"mv {shlex.quote(str(copy))} {aside} && dvc add {file}")
        # DVC sees by itself that a file was edited if its size has changed.
        elif differs and path.is_file() and path.stat().st_size == out["size"]:
            checkout = f"dvc checkout {shlex.quote(str(tracked))}"
            yield Finding(path, "damaged, if you did not edit it", f"mv {file} {aside} && {checkout}")


def store() -> Iterator[Finding]:
    """Yield the MLflow store if it was made in another folder."""
    database = Path(place.DATABASE).absolute()
    # A stamp that is missing or damaged says nothing.
    with suppress(OSError, ValueError, LookupError, TypeError):
        made = json.loads(database.with_name(place.STAMP).read_bytes())["path"]
        if database.is_file() and Path(made).resolve() != database.resolve():
            yield Finding(Path(place.DATABASE), f"made in another folder, {Path(made).parent}", place.aside())


def findings() -> Iterator[Finding]:
    """Yield everything that is broken."""
    yield from dvc_files()
    stages: dict[str, Any] = {}
    with suppress(ValueError):
        stages = cached.read_lock()
    yield from outs(stages)
    yield from own_data(stages)
    yield from store()


def main() -> None:
    """Print a line per finding, and end with exit code 1 if there is one."""
    if not Path(".dvc").is_dir():
        raise UserError("no .dvc here; expected a clone of whichfix, or a folder of own cases")
    # A file can be named by several stages.
    found = list(dict.fromkeys(map(str, findings())))
    for each in found:
        console.say(each)
    if found:
        console.say("then run: dvc repro")
        sys.exit(1)
    console.say("nothing to mend")
