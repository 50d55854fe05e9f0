"""Real servers on the loopback, each for the length of a block: Dask, PostgreSQL, MLflow, S3, HTTP, a hostile one."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any
from urllib.request import urlopen

import pytest
import sqlalchemy

from stages.base import files, processor

ROOT = Path(__file__).parents[1]
# Seconds that a server may take to start.
START = 60
# The environment of a plain shell. This process has the settings of `processor`, and what it starts inherits them.
PLAIN = {name: value for name, value in os.environ.items() if name not in processor.SETTINGS}


@contextmanager
def server(command: Sequence[str], folder: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in `folder` for the length of the block. If the block fails, show what the process printed."""
    log = folder / f"{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        options = {"stdout": output, "stderr": subprocess.STDOUT, **options}
        process = subprocess.Popen(command, cwd=folder, start_new_session=True, **options)
    try:
        yield process
    except BaseException:
        sys.stderr.write(log.read_text(encoding="utf-8", errors="replace")[-3000:])
        raise
    finally:
        # With the processes that the server started.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[Any] | None = None, seconds: float = START) -> None:
    """Wait for `ready`. Fail if that takes more than `seconds`, or if `process` ends before."""
    end = time.monotonic() + seconds
    while not ready():
        assert process is None or process.poll() is None, process.args
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.1)


def responds(address: str) -> bool:
    """Return whether a server answers at `address` with status 200."""
    try:
        with urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@contextmanager
def dask_scheduler(folder: Path) -> Iterator[str]:
    """Start a `dask scheduler` without the settings and the code of this project; give its address."""
    pytest.importorskip("distributed", reason="Dask is not installed (pip install '.[dask]')")
    file = folder / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    with server([*command, "--no-dashboard", "--scheduler-file", str(file)], folder, env=PLAIN) as process:
        wait_until(file.is_file, process)
        yield files.read_json(file)["address"]


@contextmanager
def dask_worker(
    address: str,
    folder: Path,
    code: Path = ROOT,
    environment: Mapping[str, str] = PLAIN | processor.SETTINGS,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker of one thread with a nanny, which restarts it. It imports the project in `code`."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--host", "127.0.0.1", "--nthreads", "1"]
    command += ["--no-dashboard", "--local-directory", str(folder), "--death-timeout", str(START)]
    with server(command, folder, env={**environment, "PYTHONPATH": str(code)}) as process:
        yield process


@contextmanager
def postgresql() -> Iterator[str]:
    """Start a new PostgreSQL; give the address of its database for SQLAlchemy."""
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed, so PostgreSQL cannot be reached")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    initdb = str(versions[-1]) if versions else shutil.which("initdb")
    if initdb is None:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    # PostgreSQL refuses to run as root.
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "password").write_text("secret", encoding="utf-8")
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, user["user"], user["group"])
        make = [initdb, "-D", "data", "-U", "mlflow", "--auth=scram-sha-256", "--pwfile=password", "--locale=C"]
        subprocess.run([*make, "--encoding=UTF8", "--no-sync"], cwd=folder, check=True, capture_output=True, **user)
        start = [str(Path(initdb).with_name("postgres")), "-D", "data", "-F", "-h", "127.0.0.1", "-p", str(port)]
        address = f"postgresql+psycopg2://mlflow:secret@127.0.0.1:{port}/postgres"

        def answers() -> bool:
            try:
                sqlalchemy.create_engine(address).connect().close()
            except sqlalchemy.exc.OperationalError:
                return False
            return True

        with server([*start, "-k", name], folder, **user) as process:
            try:
                wait_until(answers, process)
                yield address
            finally:
                # Let PostgreSQL end by itself, because it starts processes outside its group.
                process.send_signal(signal.SIGINT)
                process.wait(START)


@dataclass(frozen=True)
class Bucket:
    """A bucket of an S3 server, and the credentials to read and write it."""

    address: str
    name: str
    key: str
    secret: str
    client: Any

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}


@contextmanager
def s3(folder: Path) -> Iterator[Bucket]:
    """Start moto's S3 server, which checks credentials as Amazon's does, and make a bucket in its memory."""
    missing = "DVC's S3 remotes are not installed (pip install --require-hashes -r requirements-s3.lock)"
    pytest.importorskip("dvc_s3", reason=missing)
    pytest.importorskip("moto", reason=missing)
    boto3 = pytest.importorskip("boto3", reason=missing)
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    # The requests below, before a user with credentials exists.
    variables = {**PLAIN, "INITIAL_NO_AUTH_ACTION_COUNT": "4"}

    def answers() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return False
        return True

    with server(command, folder, env=variables) as process:
        wait_until(answers, process)

        def client(service: str, key: str = "anybody", secret: str = "any") -> Any:
            credentials = {"aws_access_key_id": key, "aws_secret_access_key": secret}
            return boto3.client(service, endpoint_url=address, region_name="us-east-1", **credentials)

        client("s3").create_bucket(Bucket="results")
        iam = client("iam")
        iam.create_user(UserName="whichfix")
        policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}
        iam.put_user_policy(UserName="whichfix", PolicyName="s3", PolicyDocument=json.dumps(policy))
        made = iam.create_access_key(UserName="whichfix")["AccessKey"]
        key, secret = made["AccessKeyId"], made["SecretAccessKey"]
        yield Bucket(address, "results", key, secret, client("s3", key, secret))


@contextmanager
def hostile_server(answer: Callable[[str, str], Iterable[bytes]]) -> Iterator[str]:
    """Start a server that sends what `answer` yields for a method and a path, HTTP or not; give its address."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            # A client that has had enough closes the connection.
            with suppress(OSError):
                method, path, _ = self.rfile.readline().decode().split()
                while self.rfile.readline().strip():
                    pass
                for part in answer(method, path):
                    self.wfile.write(part)

    class Server(ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 100

    with Server(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
