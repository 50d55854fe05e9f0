"""The data of a case, whatever their recipe -> prepared data."""

from pathlib import Path

from stages.config.data import Exercise4Data, MnistData, OwnData
from stages.config.schema import Task
from stages.data import mnist, own
from stages.data.exercise4 import exercise4
from stages.data.prepared import Prepared, digits


def prepare(data: MnistData | Exercise4Data | OwnData, task: Task) -> tuple[Prepared, list[str]]:
    """Return the prepared data, and a line for each thing that was done to them.

    Raises
    ------
    UserError
        If the file is missing or cannot be read, or its content cannot be trained on.
    """
    match data:
        case MnistData():
            x, y = mnist.split(mnist.read(Path(data.file)), data.validation_split)
            return Prepared(x, y, digits(mnist.SIDE, "rows", mnist.CLASSES)), []
        case Exercise4Data():
            x, y = exercise4(mnist.read(Path(data.file)), data.examples_per_class, data.side)
            return Prepared(x, y, digits(data.side, "columns", mnist.CLASSES)), []
        case _:
            return own.prepare(data, task)
