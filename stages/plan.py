"""params.yaml -> configs/: every variant and every cell resolved and validated.

`train` depends on its variant's file alone, so an edit retrains just the variants whose configuration it changes;
`attribute` likewise on its case's file of cells.
"""

from pathlib import Path

from stages.core import errors, files, params

CONFIGS = Path("configs")


def main() -> None:
    """Write one file a variant and one a case, and remove every other."""
    parameters = params.load()
    configs = {CONFIGS / f"{name}.json": config for name, config in params.variant_configs(parameters).items()}
    cells = {CONFIGS / "cells" / f"{case}.json": cells for case, cells in params.cell_configs(parameters).items()}
    for path in set(CONFIGS.rglob("*.json")) - configs.keys() - cells.keys():
        path.unlink()
    for path, resolved in (configs | cells).items():
        files.write_json(path, resolved.model_dump(mode="json"))


if __name__ == "__main__":
    errors.run(main)
