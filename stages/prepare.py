"""configs/<case>/data.json and the file that it names -> data/prepared/<case>.npz."""

from pathlib import Path

from stages.base import console, files
from stages.config import load
from stages.config.data import Exercise4Data, MnistData
from stages.data import mnist, own, prepared
from stages.data.exercise4 import exercise4
from stages.data.prepared import Prepared, digits


def main(case: str) -> None:
    """Write data/prepared/<case>.npz.

    Raises
    ------
    UserError
        If a file is missing, or does not hold what the stage before wrote.
    """
    task, data = load.read_data(case)
    path = files.prepared_path(case)
    said: list[str] = []
    match data:
        case MnistData():
            x, y = mnist.split(mnist.read(Path(data.file)), data.validation_split)
            found = Prepared(x, y, digits(mnist.SIDE, "rows", mnist.CLASSES))
        case Exercise4Data():
            x, y = exercise4(mnist.read(Path(data.file)), data.examples_per_class, data.side)
            found = Prepared(x, y, digits(data.side, "columns", mnist.CLASSES))
        case _:
            found, said = own.prepare(data, task)
    prepared.write(path, found)
    for line in said:
        console.say(f"{case}: {line}")
    console.wrote(path, **{split: len(labels) for split, labels in found.y.items()})
