"""Every command that README.md and docs/ show works as it stands there."""

import ast
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest
import servers
from documented import DOCUMENTS, ROOT, commands, line
from mlflow import MlflowClient
from project import OUTS, Project, clone_of, copy_of, plain_environment
from ruamel.yaml import YAML

from pipeline.test_end_to_end import ran
from pipeline.test_kills import store
from stages.base import files

INSTALL = "python3 -m venv .venv && . .venv/bin/activate && pip install --compile --require-hashes -r requirements.lock"
# The commands that no test takes from a document, by their beginning: what runs them instead.
ELSEWHERE = {
    INSTALL: ".ci/run",
    "pip install --compile --require-hashes -r requirements-s3.lock": ".ci/run",
    "pip install mlflow psycopg2-binary boto3": "both lock files, for the test of the server",
    "python3 -m venv /tmp/audit": "nothing: the vulnerabilities that the index knows change",
    "/tmp/audit/bin/pip-audit": "nothing: the vulnerabilities that the index knows change",
    "pytest": "whoever runs this test",
    "git diff metrics": "nothing: Git shows an edit",
    "git stash drop": "nothing: Git forgets what it put aside",
    "python -m stages keras_names": "test_names.py, which compares the file with the installed Keras",
    "python -m stages params_page": "test_params_page.py, which compares the page with the schema",
    "python -m stages settings": "the command of the Dask worker",
    "python -m dask": "the command of the Dask worker",
    "python -m benchmarks.search": "nothing: it takes hours; test_benchmarks_search.py has its arithmetic",
    "python -m benchmarks.factorials": "nothing: it takes an hour; a test replays what it wrote",
    "pip install optuna": "nothing: the benchmark that needs it takes hours",
    "dvc repro -s": "nothing: the text warns of this option",
    "dvc metrics show": "test_end_to_end.py, with --json",
    "dvc plots show": "test_end_to_end.py",
}


def untaken() -> set[str]:
    """Return the commands of all documents that no test takes with `line`."""
    calls = [
        node
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "line"
        and len(node.args) > 1
    ]
    taken = {line(*map(ast.literal_eval, call.args[:2]))[-1] for call in calls}
    return {command for document in DOCUMENTS for command in commands(document)} - taken


def test_every_command_is_run() -> None:
    commands_elsewhere = untaken()
    assert [command for command in commands_elsewhere if not command.startswith(tuple(ELSEWHERE))] == []
    assert [key for key in ELSEWHERE if not any(command.startswith(key) for command in commands_elsewhere)] == []


def test_ci_runs_the_commands_that_install_and_check() -> None:
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    for last in ("pytest", "dvc repro"):
        assert f"{INSTALL} && {last}" in commands("README.md")
        assert re.search(rf"\$\(readme '?{last}'?\)", ci)
    assert re.search("^pip install .*--require-hashes -r requirements-s3.lock$", ci, re.MULTILINE)
    for check in line("docs/developing.md", "ruff check")[-1].split(" && "):
        assert check in ci.splitlines()


@pytest.fixture
def cluster(shortest: Project, tmp_path: Path) -> Iterator[str]:
    """Yield the address of a Dask cluster with workers in a clone."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed (pip install '.[dask]')")
    file, worker = tmp_path / "scheduler.json", clone_of(shortest, tmp_path / "worker")
    options = f" --host 127.0.0.1 --port 0 --no-dashboard --scheduler-file {file}"
    scheduler = line("docs/scaling.md", "dask scheduler", more=options)
    with servers.server(scheduler, tmp_path, env=worker.environment) as process:
        servers.wait_until(file.is_file, process)
        address: str = files.read_json(file)["address"]
        options = f" --host 127.0.0.1 --no-dashboard --local-directory {tmp_path}"
        start = line("docs/scaling.md", "eval", {"tcp://SCHEDULER:8786": address}, options)
        with (
            servers.server(start, worker.folder, env=worker.environment),
            distributed.Client(address, set_as_default=False) as client,
        ):
            client.wait_for_workers(1, timeout=servers.START)
            yield address


def test_a_dask_cluster_trains_the_bits_that_are_committed(shortest: Project, cluster: str, tmp_path: Path) -> None:
    project = copy_of(shortest, tmp_path / "project")
    for folder in ("runs", ".dvc/cache"):
        shutil.rmtree(project.folder / folder)
    (execution,) = re.findall(
        "^execution: .*dask.*", (ROOT / "docs/scaling.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    shown = YAML(typ="safe").load(execution.replace("tcp://SCHEDULER:8786", cluster))
    project.write_params(project.read_params() | shown)
    said = project.succeed(*line("docs/scaling.md", "dvc repro"))
    assert {"plan", "train@ex4"} <= ran(said)
    trained = project.trained()
    assert len(trained) == 2 * len(shortest.trained())
    assert project.contents(*OUTS) == shortest.contents(*OUTS)
    project.succeed("git", "restore", ".")
    # Nothing that Git knows differs after everything else was computed again.
    said = project.succeed(*line("README.md", "dvc repro --force"))
    assert {"prepare@ex4", "evaluate@ex4", "report", "track"} <= ran(said)
    assert project.git_status() == ""
    assert project.trained() == trained


@pytest.fixture
def tracking_server(tmp_path: Path) -> Iterator[str]:
    """Yield the address of an MLflow server with PostgreSQL and, if moto is installed, S3."""
    address = f"http://127.0.0.1:{(port := servers.free_port())}"
    replaced = {"s3://BUCKET/whichfix": str(tmp_path / "artifacts"), "mlflow.example.org:5000": f"127.0.0.1:{port}"}
    variables = {**plain_environment(), "MLFLOW_DISABLE_TELEMETRY": "true"}
    with ExitStack() as stack:
        replaced["postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE"] = stack.enter_context(servers.postgresql())
        if find_spec("moto"):
            bucket = stack.enter_context(servers.s3(tmp_path))
            replaced["s3://BUCKET/whichfix"] = f"s3://{bucket.name}/whichfix"
            variables |= {**bucket.environment, "MLFLOW_S3_ENDPOINT_URL": bucket.address}
        options = f" --host 127.0.0.1 --port {port} --workers 1"
        command = line("docs/scaling.md", "mlflow server", replaced, options)
        process = stack.enter_context(servers.server(command, tmp_path, env=variables))
        servers.wait_until(lambda: servers.responds(f"{address}/health"), process)
        yield address


@pytest.mark.usefixtures("limited")
def test_a_server_takes_the_runs_once_and_keeps_them(shortest: Project, tracking_server: str, tmp_path: Path) -> None:
    project = copy_of(shortest, tmp_path / "project")
    before = (project.folder / "mlflow.db").read_bytes()
    command = line("docs/scaling.md", "MLFLOW_TRACKING_URI", {"http://mlflow.example.org:5000": tracking_server})
    assert ran(project.succeed(*command)) == {"track"}
    assert "MLflow store is up to date" in project.succeed(*command)
    client = MlflowClient(tracking_server)
    (experiment,) = client.search_experiments(filter_string="name = 'ex4'")
    runs = client.search_runs([experiment.experiment_id])
    expected = [(name, status) for name, status, _ in store(project)[0]]
    assert sorted((run.info.run_name, run.info.status) for run in runs) == expected
    assert "points.json" in {file.path for run in runs for file in client.list_artifacts(run.info.run_id)}
    assert (project.folder / "mlflow.db").read_bytes() == before


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_a_run_file_shows_the_configuration_of_its_run(shortest: Project) -> None:
    runs = Project(shortest.folder / "runs/ex4/as_posted", shortest.environment)
    assert json.loads(runs.succeed(*line("docs/architecture.md", "unzip")))["network"]["epochs"] == 2


def test_the_benchmarks_start_and_their_tables_are_those_of_the_documents(tmp_path: Path) -> None:
    project = Project(tmp_path, plain_environment())
    for name in ("benchmarks", "docs", "reports/results", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", tmp_path)
    for command in (
        line("docs/performance.md", "python -m benchmarks.pipeline", more=" --help"),
        line("docs/performance.md", "python -m benchmarks.edits", more=" --help"),
        line("docs/performance.md", "python -m benchmarks.loop", more=" --help"),
        line("docs/performance.md", "python -m benchmarks.growth", more=" --help"),
        line("docs/performance.md", "python -m benchmarks.small", more=" --help"),
        line("docs/performance.md", "python -m benchmarks.searched", more=" --help"),
    ):
        assert "usage: " in project.succeed(*command)
    assert "wrote README.md" in project.succeed(*line("docs/performance.md", "python -m benchmarks.readme"))
    for name in ("README.md", "docs/performance.md"):
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()
