"""Write stages/config/keras_names.json, by which `plan` knows Keras without importing it: when the version changes."""

from pathlib import Path

from stages.base import console, files
from stages.config import names


def main() -> None:
    """Write the description of the installed Keras."""
    from stages.training.described import describe

    files.write_json(Path(names.FILE), describe())
    console.wrote(Path(names.FILE))
