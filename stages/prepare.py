"""configs/<case>/data.json and the file that it names -> data/prepared/<case>.npz."""

from pathlib import Path

from stages.base import console, files
from stages.config import load
from stages.config.schema import Exercise4Data, MnistData
from stages.data import mnist, prepared
from stages.data.exercise4 import exercise4


def main(case: str) -> None:
    """Write data/prepared/<case>.npz.

    Raises
    ------
    UserError
        If a file is missing, or does not hold what the stage before wrote.
    """
    data = load.read_data(case)
    raw = mnist.read(Path(data.file))
    path = files.prepared_path(case)
    match data:
        case MnistData():
            x, y = mnist.split(raw, data.validation_split)
            prepared.write(path, x, y, mnist.N_CLASSES, mnist.SIDE, "rows")
        case Exercise4Data():
            x, y = exercise4(raw, data.examples_per_class, data.side)
            prepared.write(path, x, y, mnist.N_CLASSES, data.side, "columns")
    console.wrote(path, **{split: len(labels) for split, labels in y.items()})
