"""params.yaml and stages/ -> configs/: every variant and every cell resolved and validated, and what else decides.

`train` depends on its variant's file alone, so an edit retrains just the variants whose configuration it changes;
`attribute` likewise on its case's file of cells. The other stages depend on configs/params/<stage>.json, what they read
of params.yaml. In place of its modules each stage depends on the file of their digests, configs/code/<stage>.json:
dvc.yaml need not list them, nor DVC read an entry a module and stage.
"""

import shutil
from collections.abc import Collection
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from stages.core import code, errors, files, params, progress

CONFIGS = Path("configs")


def remove_strays(folder: Path, names: Collection[str]) -> None:
    """Remove the results in `folder` that are of none of `names`; DVC's cache keeps them.

    `evaluate` depends on whole folders, so results that params.yaml no longer names would be part of dvc.lock, and a
    fresh clone could not reproduce it.
    """
    for path in folder.glob("*"):
        if path.is_dir() and path.name not in names:
            shutil.rmtree(path)
        elif path.suffix == ".npz" and path.stem not in names:
            path.unlink()


def inputs(parameters: params.Params) -> dict[str, list[str]]:
    """The keys of params.yaml that a stage depends on beside the configurations, by the stage as DVC names it."""
    keys = {
        "fetch": ["sources"],
        "probe": ["probe"],
        "evaluate": ["cases", "probe.case", "seeds", "variants"],
        "report": ["cases", "seeds", "sources", "variants"],
    }
    for name, case in parameters.cases.items():
        keys[f"prepare@{name}"] = [f"cases.{name}.dataset", f"datasets.{case.dataset}"]
        keys[f"baseline@{name}"] = [f"cases.{name}.baselines"]
    return keys


def value(content: Any, key: str) -> Any:
    """What `content` holds under `key`, the steps of which dots part."""
    return reduce(getitem, key.split("."), content)


def contents(parameters: params.Params) -> dict[Path, Any]:
    """The content of the file of every variant, case and stage, by its path."""
    contents: dict[Path, Any] = {}
    for name, config in params.variant_configs(parameters).items():
        contents[CONFIGS / f"{name}.json"] = config.model_dump(mode="json")
    for case, cells in params.cell_configs(parameters).items():
        contents[CONFIGS / "cells" / f"{case}.json"] = cells.model_dump(mode="json")
    content = parameters.model_dump(mode="json")
    for stage, keys in inputs(parameters).items():
        contents[CONFIGS / "params" / f"{stage}.json"] = {key: value(content, key) for key in keys}
    for stage, module in code.stage_modules().items():
        contents[CONFIGS / "code" / f"{stage}.json"] = code.digests(module)
    return contents


def main() -> None:
    """Write the files of every variant, case and stage, and remove every other and its results."""
    parameters = params.load()
    written = contents(parameters)
    for path in set(CONFIGS.rglob("*.json")) - written.keys():
        path.unlink()
    for path, entries in written.items():
        files.write_json(path, entries)
    remove_strays(Path("runs"), parameters.variants)
    for folder in ("data/prepared", "baselines", "attribution"):
        remove_strays(Path(folder), parameters.cases)
    cells = sum(2 ** len(case.fixes) for case in parameters.cases.values())
    progress.wrote(CONFIGS, variants=len(parameters.variants), cells=cells)


if __name__ == "__main__":
    errors.run(main)
