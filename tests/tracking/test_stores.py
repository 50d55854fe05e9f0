"""Stores that are away, silent, slow, damaged or something else end `track` in one line with the cause."""

import fcntl
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
import servers

from stages import track
from stages.base.errors import UserError
from stages.tracking import timeout
from stages.tracking.store import Store
from tracking import sample
from tracking.sample import N_RUNS
from tracking.test_track import all_runs, assert_complete, named, refusal, set_score

pytestmark = pytest.mark.tried("stores and servers of MLflow")

REMEDY = "the results are complete without it; once it is mended, `dvc repro track` fills it"


def status(line: str, *headers: str, body: str = "no") -> list[bytes]:
    return [
        "\r\n".join(
            [f"HTTP/1.1 {line}", *headers, "Connection: close", f"Content-Length: {len(body)}", "", body]
        ).encode()
    ]


def drip() -> Iterable[bytes]:
    """Send a byte now and then, for longer than any test takes."""
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    for _ in range(600):
        time.sleep(0.1)
        yield b" "


def silence() -> Iterable[bytes]:
    time.sleep(60)
    yield b""


def half(path: str) -> Iterable[bytes]:
    """Answer what is asked first, and end within the next answer."""
    if "get-by-name" in path:
        return status("404 NOT FOUND")
    return [b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{"]


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda method, path: drip(), "no answer for 1 s (set WHICHFIX_TRACK_SECONDS to wait longer)"),
        (lambda method, path: silence(), "no answer for 1 s (set WHICHFIX_TRACK_SECONDS to wait longer)"),
        (lambda method, path: status("429 SLOW DOWN", "Retry-After: 3600"), "too many 429 error responses"),
        (lambda method, path: status("500 NO"), "too many 500 error responses"),
        (lambda method, path: status("401 WHO"), "API request to endpoint .* failed with error code 401"),
        (lambda method, path: [b"SSH-2.0-OpenSSH_9\r\n"], ".*SSH-2.0-OpenSSH_9.*"),
        (lambda method, path: half(path), ".*"),
        (lambda method, path: status("200 OK", body='{"experiment": 5}'), ".*experiment.*"),
    ],
    ids=["a byte at a time", "silent", "429", "500", "401", "another protocol", "dies half-way", "other JSON"],
)
def test_a_server_ends_track_in_one_line_with_the_cause(
    tracked: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: Callable[[str, str], Iterable[bytes]],
    reason: str,
) -> None:
    monkeypatch.setenv(timeout.VARIABLE, "1")
    with servers.hostile_server(answer) as address:
        label = address.removesuffix("/")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", label.replace("//", "//me:secret@"))
        start = time.monotonic()
        message = refusal()
        assert time.monotonic() - start < 10
    pattern = reason if reason.startswith((".*", "API")) else re.escape(reason)
    assert re.fullmatch(f"the MLflow store {label}: {pattern}.*; {re.escape(REMEDY)}", message), message
    assert "secret" not in message
    waited = f"waiting for the MLflow store {label}, 1 s at most\n" if "no answer" in reason else ""
    assert capsys.readouterr().out == waited


def test_a_database_server_that_never_answers_ends_track(tracked: Path) -> None:
    with servers.hostile_server(lambda method, path: silence()) as address:
        uri = address.replace("http://", "postgresql+psycopg2://me:secret@") + "db"
        environment = sample.environment() | {"MLFLOW_TRACKING_URI": uri, timeout.VARIABLE: "1"}
        command = [sys.executable, "-m", "stages", "track"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert re.fullmatch(r"error: the MLflow store postgresql\+psycopg2://127.*: no answer for 1 s .*\n", ended.stderr)


def test_the_variable_lets_track_wait_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds, enough in (("0.5", False), ("30", True)):
        monkeypatch.setenv(timeout.VARIABLE, seconds)
        with nullcontext() if enough else pytest.raises(timeout.ExpiredError), timeout.Timeout("a", "b"):
            time.sleep(1)


@pytest.mark.parametrize("given", ["0", "-1", "soon", "nan", "inf", "1e10"])
def test_a_time_that_is_none_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(timeout.VARIABLE, given)
    with pytest.raises(
        UserError, match=f"^WHICHFIX_TRACK_SECONDS: {given}; expected a number of seconds above 0, such as 600$"
    ):
        timeout.seconds()


@pytest.mark.parametrize("host", ["[::1:5000", "\u2100.example"])
def test_what_is_no_uri_is_refused_without_its_password(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@{host}")
    assert refusal() == "MLFLOW_TRACKING_URI: not a URI; expected one such as http://127.0.0.1:5000"


def folder(database: Path) -> None:
    database.unlink()
    database.mkdir()


def link(database: Path) -> None:
    database.unlink()
    database.symlink_to("/nowhere/mlflow.db")


def newer(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'newer'")


def scrambled(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    database.write_bytes(content)


def no_text(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE tags SET value = CAST(x'94ff' AS TEXT)")


def no_table(database: Path) -> None:
    """Damage the definition of a table, so that SQLite's own message is no UTF-8."""
    content, definition = database.read_bytes(), b"CREATE TABLE alembic_version"
    assert definition in content
    database.write_bytes(content.replace(definition, b"CREATE \x94\xff\x94\xff\x94 alembic_version"))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (folder, "a folder; expected MLflow's database"),
    "a link to nothing": (link, "a link to nothing; expected MLflow's database"),
    "no database": (lambda database: database.write_bytes(b"text" * 1000), "file is not a database"),
    "scrambled": (scrambled, "database disk image is malformed"),
    "scrambled text": (no_text, "Could not decode to UTF-8"),
    "scrambled definition": (no_table, "can't decode byte"),
    "of a newer MLflow": (newer, r"\(found version newer, but expected"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_is_no_database_of_this_mlflow_is_refused_and_the_remedy_mends_it(tracked: Path, kind: str) -> None:
    damage, reason = DAMAGES[kind]
    database = tracked / "mlflow.db"
    damage(database)
    (tracked / ".mlflow.stamp.json").unlink()
    before = None if not database.is_file() else database.read_bytes()
    message = refusal()
    assert re.search(reason, message), message
    assert f"move {database} away" in message or "move it away" in message
    assert before is None or database.read_bytes() == before
    database.rename(tracked / "moved away")
    # In this process MLflow is still connected to the file that was moved.
    command = [sys.executable, "-m", "stages", "track"]
    subprocess.run(command, env=sample.environment(), check=True, capture_output=True)
    assert_complete(f"sqlite:///{tracked}/../{tracked.name}/mlflow.db")


@pytest.mark.usefixtures("limited")
def test_a_server_that_is_killed_half_way_ends_track_and_the_next_one_completes(
    tracked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(timeout.VARIABLE, "30")
    port = servers.free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", str(tmp_path)]
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    add = Store.add
    added: list[str] = []

    def start() -> Any:
        return servers.server(command, tmp_path, env=servers.PLAIN)

    with start() as server:
        servers.wait_until(lambda: servers.responds(f"{uri}/health"), server)

        def add_and_kill(*arguments: Any) -> str:
            if len(added) == 2:
                os.killpg(server.pid, signal.SIGKILL)
            added.append(add(*arguments))
            return added[-1]

        with monkeypatch.context() as patch:
            patch.setattr(Store, "add", add_and_kill)
            message = refusal()
    assert re.match(f"the MLflow store {uri}: .*(refused|reset|closed)", message), message
    assert message.endswith(REMEDY)
    with start() as server:
        servers.wait_until(lambda: servers.responds(f"{uri}/health"), server)
        track.main()
        assert_complete(uri)


def test_a_database_that_another_program_writes_is_waited_for(tracked: Path) -> None:
    set_score("as_posted", 0.125)
    with closing(sqlite3.connect(tracked / "mlflow.db", check_same_thread=False, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(3, other.execute, ["COMMIT"])
        timer.start()
        track.main()
        timer.join()
    assert named("as_posted").data.metrics["test_accuracy"] == 0.125


def test_the_user_interface_may_read_the_store_meanwhile(tracked: Path) -> None:
    set_score("as_posted", 0.125)
    port = servers.free_port()
    command = [sys.executable, "-m", "mlflow", "ui", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tracked}/mlflow.db"]
    address = f"http://127.0.0.1:{port}"
    with servers.server(command, tracked, env=servers.PLAIN) as process:
        servers.wait_until(lambda: servers.responds(f"{address}/health"), process)
        with ThreadPoolExecutor(1) as executor:
            done = threading.Event()
            read = executor.submit(reads, address, done)
            track.main()
            done.set()
        assert read.result() >= 1
        uri = f"sqlite:///{tracked}/mlflow.db"
        assert len(all_runs(address)) == len(all_runs(uri)) > N_RUNS


def reads(address: str, done: threading.Event) -> int:
    """Read the runs from the server until `done`, and return how often."""
    count = 0
    while not done.is_set():
        assert len(all_runs(address)) >= N_RUNS
        count += 1
    return count


def test_a_track_that_writes_to_the_store_is_waited_for_with_a_word(
    tracked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_score("as_posted", 0.125)
    with (tracked / ".mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another lock than FileLock's, as another process has
        timer = threading.Timer(3, fcntl.flock, [lock, fcntl.LOCK_UN])
        timer.start()
        track.main()
        timer.join()
    word = f"waiting for another `track`, which writes to sqlite:///{tracked}/mlflow.db, to end\n"
    assert capsys.readouterr().out.startswith(word)


def test_a_clock_that_is_wrong_changes_only_times(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tracked / "mlflow.db").rename(tracked / "other.db")
    os.utime(tracked / "other.db", (0, 0))
    monkeypatch.setattr(time, "time", lambda: 5e8)
    track.main()
    assert_complete()
    assert "runs added" in capsys.readouterr().out
    track.main()
    assert "MLflow store is up to date" in capsys.readouterr().out
