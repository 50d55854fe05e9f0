"""params.yaml -> configs/<case>/{data,runs,baselines,case}.json: everything resolved and validated.

A stage of a case depends on the one file that it reads, so an edit of params.yaml reruns the stages that it touches.
"""

import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from stages.base import console, files
from stages.base.errors import UserError
from stages.config import load
from stages.config.resolve import planned
from stages.config.schema import Params

# A folder or file per case.
OF_CASES = (
    *(files.CONFIGS, files.PREPARED, files.RUNS, files.BASELINES),
    *(files.RESULTS, files.METRICS, files.CURVES, files.CONFUSION, files.EFFECTS, files.PICTURES),
)

# The files in configs/ that are of no case.
OF_ALL = (files.CASES, files.RECIPES)

HINT = "To see what an edit will train, run `python -m stages preview`, which writes nothing."
# Write dvc.lock anew, because DVC keeps the stages of a case that is gone.
NEW_LOCK = "dvc repro && rm dvc.lock && dvc commit --force"


def contents(params: Params) -> dict[Path, Any]:
    """Return the content of every file below configs/, by path."""
    recipes = sorted({case.data.recipe for case in params.cases.values()})
    return {files.CASES: {"cases": list(params.cases)}, files.RECIPES: {"recipes": recipes}} | {
        files.config_path(case, name): part.model_dump(mode="json")
        for case, parts in planned(params).items()
        for name, part in parts._asdict().items()
    }


def prune(cases: Collection[str]) -> None:
    """Remove the files and folders of all cases except `cases`. What DVC tracks stays in its cache."""
    for folder in OF_CASES:
        for path in folder.glob("[!.]*"):
            if path.is_dir() and path.name not in cases:
                shutil.rmtree(path)
            elif path.suffix in (".csv", ".json", ".npz") and path.stem not in cases and path not in OF_ALL:
                path.unlink()


def orphans(lock: str, cases: Collection[str]) -> list[str]:
    """Return the stages in the text of dvc.lock that are of none of `cases`."""
    return [stage for stage, case in re.findall(r"^  ([a-z]+@([\w-]+)):$", lock, re.MULTILINE) if case not in cases]


def main() -> None:
    """Write the files of every case, and remove or name what params.yaml no longer names.

    Raises
    ------
    UserError
        If params.yaml is refused.
    """
    try:
        params = load.read()
    except UserError as error:
        raise UserError(f"{error}\n{HINT}") from None
    written = contents(params)
    prune(params.cases)
    for path in set(files.CONFIGS.rglob("*.json")) - written.keys():
        path.unlink()
    for path, content in written.items():
        files.write_json(path, content)
    points = sum(len(written[files.config_path(case, "case")]["points"]) for case in params.cases)
    variants = sum(
        len(case.conditions_of(variant)) for case in params.cases.values() for variant in case.all_variants().values()
    )
    console.wrote(files.CONFIGS, cases=len(params.cases), variants=variants, points=points)
    if files.LOCK.is_file() and (stages := orphans(files.read_bytes(files.LOCK).decode(), params.cases)):
        console.say(f"{files.LOCK}: still has {', '.join(stages)}; to remove them, run: {NEW_LOCK}")
    console.say(HINT)
