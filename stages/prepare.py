"""configs/<case>/data.json and the file that it names -> data/prepared/<case>.npz."""

from stages.base import console, files
from stages.config import load
from stages.data import prepared
from stages.data.recipes import prepare


def main(case: str) -> None:
    """Write data/prepared/<case>.npz.

    Raises
    ------
    UserError
        If a file is missing, or does not hold what the stage before wrote.
    """
    task, data = load.read_data(case)
    path = files.prepared_path(case)
    found, said = prepare(data, task)
    prepared.write(path, found)
    for line in said:
        console.say(f"{case}: {line}")
    console.wrote(path, **{split: len(labels) for split, labels in found.y.items()})
