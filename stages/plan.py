"""params.yaml -> configs/: every variant and every cell resolved and validated.

`train` depends on its variant's file alone, so an edit retrains just the variants whose configuration it changes;
`attribute` likewise on its case's file of cells.
"""

import shutil
from collections.abc import Collection
from pathlib import Path

from stages.core import errors, files, params

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
    """Write one file a variant and one a case, and remove every other and its results."""
    parameters = params.load()
    configs = {CONFIGS / f"{name}.json": config for name, config in params.variant_configs(parameters).items()}
    cells = {CONFIGS / "cells" / f"{case}.json": cells for case, cells in params.cell_configs(parameters).items()}
    for path in set(CONFIGS.rglob("*.json")) - configs.keys() - cells.keys():
        path.unlink()
    for path, resolved in (configs | cells).items():
        files.write_json(path, resolved.model_dump(mode="json"))
    remove_strays(Path("runs"), parameters.variants)
    for folder in ("data/prepared", "baselines", "attribution"):
        remove_strays(Path(folder), parameters.cases)


if __name__ == "__main__":
    errors.run(main)
