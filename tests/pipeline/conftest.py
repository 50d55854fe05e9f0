"""The short pipelines that the tests of this folder share. Each is run once per session and copied from then on."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from project import Project, make, plain_environment, short_content, shortest_content, write_mnist

ROOT = Path(__file__).parents[2]
BLOCKED = ROOT / "tests/blocked"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the test processes of a session have in common."""
    base = tmp_path_factory.getbasetemp()
    # Processes of pytest-xdist have their folders in that of the session.
    folder = (base.parent if base.name.startswith("popen-") else base) / "pipelines"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def mnist(shared: Path, raw_mnist: Mapping[str, np.ndarray]) -> Path:
    """Return the folder of the four IDX files."""
    with FileLock(shared / "mnist.lock"):
        if not (shared / "mnist").is_dir():
            write_mnist(raw_mnist, shared / "unfinished")
            (shared / "unfinished").rename(shared / "mnist")
    return shared / "mnist"


def finished(name: str, shared: Path, mnist: Path, content: Mapping[str, Any], **variables: str) -> Project:
    """Return a committed project after its first `dvc repro`, whose output is in <name>.said beside it."""
    folder, said = shared / name, shared / f"{name}.said"
    environment = plain_environment() | variables
    with FileLock(shared / f"{name}.lock"):
        if said.exists():
            return Project(folder, {**environment, "WHICHFIX_MNIST_DIR": str(mnist)})
        shutil.rmtree(folder, ignore_errors=True)
        project = make(folder, mnist, content, environment)
        output = project.dvc("repro")
        project.commit()
        said.write_text(output, encoding="utf-8")
    return project


@pytest.fixture(scope="session")
def short(shared: Path, mnist: Path) -> Project:
    """Return a project with both cases. Tests must not change it."""
    return finished("short", shared, mnist, short_content(ROOT / "params.yaml"))


@pytest.fixture(scope="session")
def connections(shared: Path) -> Path:
    """Return the file that names each connection that `shortest` tried to open."""
    return shared / "connections"


@pytest.fixture(scope="session")
def shortest(shared: Path, mnist: Path, connections: Path) -> Project:
    """Return a project with exercise 4 alone, made where no connection can be opened. Tests must not change it."""
    blocked = {"PYTHONPATH": str(BLOCKED), "CONNECTIONS": str(connections), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return finished("shortest", shared, mnist, shortest_content(ROOT / "params.yaml"), **blocked)
