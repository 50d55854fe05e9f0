"""params.yaml and stages/ -> configs/: every variant and every cell resolved and validated, and each stage's code.

`train` depends on its variant's file alone, so an edit retrains just the variants whose configuration it changes;
`attribute` likewise on its case's file of cells. In place of its modules each stage depends on the file of their
digests, configs/code/<stage>.json: dvc.yaml need not list them, nor DVC read an entry a module and stage.
"""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from stages.core import code, errors, files, params

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


def main() -> None:
    """Write one file a variant, one a case and one a stage, and remove every other and its results."""
    parameters = params.load()
    contents: dict[Path, Any] = {}
    for name, config in params.variant_configs(parameters).items():
        contents[CONFIGS / f"{name}.json"] = config.model_dump(mode="json")
    for case, cells in params.cell_configs(parameters).items():
        contents[CONFIGS / "cells" / f"{case}.json"] = cells.model_dump(mode="json")
    for stage, module in code.stage_modules().items():
        contents[CONFIGS / "code" / f"{stage}.json"] = code.digests(module)
    for path in set(CONFIGS.rglob("*.json")) - contents.keys():
        path.unlink()
    for path, content in contents.items():
        files.write_json(path, content)
    remove_strays(Path("runs"), parameters.variants)
    for folder in ("data/prepared", "baselines", "attribution"):
        remove_strays(Path(folder), parameters.cases)


if __name__ == "__main__":
    errors.run(main)
