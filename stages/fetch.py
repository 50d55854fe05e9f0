"""MNIST from the first source that has it -> data/raw/mnist.npz. The file is empty if no case uses MNIST."""

from stages.base import console, files
from stages.config import load
from stages.data import sources
from stages.data.mnist import DIGESTS


def main() -> None:
    """Write data/raw/mnist.npz.

    Raises
    ------
    UserError
        If no source has MNIST.
    """
    if set(load.recipes()) == {"own"}:
        files.write_archive(files.RAW_MNIST, {})
        console.say("no case uses MNIST")
        return
    arrays = sources.fetch(sources.ways(), DIGESTS)
    files.write_archive(files.RAW_MNIST, arrays)
    console.wrote(files.RAW_MNIST, train=len(arrays["y_train"]), test=len(arrays["y_test"]))
