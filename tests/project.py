"""The real pipeline cut short, run by DVC in a Git repository of its own.

`python -m tests.project mnist.npz`, from the root of the repository, prints the dvc.lock that the pipeline ends with.
It is the same under every supported Python.
"""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from stages.base import processor
from stages.data import mnist

ROOT = Path(__file__).parents[1]
CONFIGURED = (
    *("dvc.yaml", "requirements.lock"),
    *(".gitattributes", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"),
)
OUTS = ("baselines", "configs", "data", "metrics", "reports", "runs")
# The one fix and condition that each case keeps, and its variants.
FIXES = {"mnist": "softmax_output", "ex4": "adam"}
CONDITIONS = {"mnist": "2.2", "ex4": "3"}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "mnist": {"fixed": {"fixes": ["softmax_output"], "set": {"inputs": {"scale": 1 / 255}}}},
    "ex4": {
        # One that blows up, and one on a subset of the data.
        "diverged": {"set": {"optimizer": {"name": "sgd", "learning_rate": 1e30}}},
        "zeros_10": {"data": {"first_of_each_class": {0: 10, 1: 90}}, "seeds": [0]},
    },
}
# Configurations times seeds: of each case two points and the variants that are not among them.
N_RUNS = {"mnist": 3 * 2, "ex4": 3 * 2 + 1}


def short_content(path: Path) -> dict[str, Any]:
    """Return the params.yaml at `path` with two cases of two points each, two seeds and two epochs."""
    content: dict[str, Any] = YAML(typ="safe").load(path)
    content["seeds"] = [0, 1]
    content["execution"] = {"backend": "loky", "workers": 2}
    for name, case in content["cases"].items():
        case["as_posted"]["epochs"] = 2
        case["fixes"] = {FIXES[name]: case["fixes"][FIXES[name]]}
        case["keras"] = [CONDITIONS[name]]
        case["variants"] = VARIANTS[name]
        case["baselines"] = {baseline: {**settings, "max_iter": 5} for baseline, settings in case["baselines"].items()}
        measured = {"as_posted", *case["variants"], *case["baselines"]}
        case["published"] = [number for number in case["published"] if number["of"] in measured]
        assert case["published"]
    return content


def shortest_content(path: Path) -> dict[str, Any]:
    """Return `short_content` with exercise 4 alone, in one process, because each import of TensorFlow takes seconds."""
    content = short_content(path)
    del content["cases"]["mnist"]
    return content | {"execution": {"backend": "threading", "workers": 1}}


def plain_environment() -> dict[str, str]:
    """Return the environment of a user's shell: without processor settings and without options of DVC or MLflow.

    CI goes too, because DVC and MLflow send nothing to their makers if the environment says that they are tested.
    """
    dropped = ("MLFLOW_", "DVC_", "GIT_", "GITHUB_", "PYTEST_", "XDG_")
    names = [name for name in os.environ if not name.startswith(dropped)]
    kept = {name: os.environ[name] for name in names if name not in {"CI", *processor.SETTINGS}}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


class Project:
    """A Git repository with the code of this project, in which a test runs DVC as a user does.

    A negative `umask` means the one of this process.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], umask: int = -1) -> None:
        self.folder = folder
        self.environment = environment
        self.umask = umask

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **variables},
            umask=self.umask,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=600,
        )

    def succeed(self, *command: str, **variables: str) -> str:
        """Return what `command` prints on both streams, and fail if it fails."""
        ended = self.run(*command, **variables)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def stage(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run("python", "-m", "stages", *arguments, **variables)

    def dvc(self, *arguments: str, **variables: str) -> str:
        return self.succeed("python", "-m", "dvc", *arguments, **variables)

    def git_status(self) -> str:
        return self.succeed("git", "status", "--porcelain")

    def commit(self) -> None:
        self.succeed("git", "add", "--all")
        self.succeed("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=all")

    def read_params(self) -> dict[str, Any]:
        content: dict[str, Any] = YAML(typ="safe").load(self.folder / "params.yaml")
        return content

    def write_params(self, content: Mapping[str, Any]) -> None:
        # Not the safe type, which sorts keys: `cases` must stay the last one.
        YAML().dump(dict(content), self.folder / "params.yaml")

    def contents(self, *folders: str) -> dict[str, bytes]:
        """Return every file below `folders`, by its path."""
        found = [path for name in folders for path in (self.folder / name).rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}

    def trained(self) -> list[tuple[str, str, int]]:
        """Return case, folder and seed of every run that was trained here, in order."""
        log = self.folder / "runs.log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [(entry["case"], entry["folder"], entry["seed"]) for entry in map(json.loads, lines)]


def write_mnist(raw: Mapping[str, np.ndarray], folder: Path) -> Path:
    """Write `raw` to `folder` as the four IDX files that `fetch` takes from WHICHFIX_MNIST_DIR."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in mnist.ARRAY_OF_FILE.items():
        (folder / name).write_bytes(mnist.idx_bytes(raw[array]))
    return folder


def make(
    folder: Path,
    idx_files: Path,
    content: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    umask: int = -1,
) -> Project:
    """Return a repository in `folder` with `content` as its params.yaml, committed, in which nothing has run yet."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "stages", folder / "stages", ignore=ignored, dirs_exist_ok=True)
    shutil.copytree(ROOT / ".dvc/plots", folder / ".dvc/plots")
    for name in CONFIGURED:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    variables = plain_environment() if environment is None else environment
    project = Project(folder, {**variables, "WHICHFIX_MNIST_DIR": str(idx_files)}, umask)
    project.write_params(content)
    project.succeed("git", "init", "--quiet")
    project.commit()
    return project


def copy_of(project: Project, folder: Path) -> Project:
    """Return a copy of a project with its results, DVC's cache and MLflow's store."""
    shutil.copytree(project.folder, folder, symlinks=True)
    return Project(folder, connected(project.environment))


def clone_of(project: Project, folder: Path) -> Project:
    """Return a clone of a project by Git, so without any result that Git ignores."""
    project.succeed("git", "clone", "--quiet", str(project.folder), str(folder))
    return Project(folder, connected(project.environment))


def copy_in_cache(project: Project, name: str) -> Path:
    """Return the path of the copy of a file in DVC's cache."""
    digest = hashlib.md5((project.folder / name).read_bytes(), usedforsecurity=False).hexdigest()
    return project.folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file, and keep its size, time and mode."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(stat.S_IMODE(status.st_mode))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def connected(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` without tests/blocked."""
    return {name: value for name, value in environment.items() if name != "PYTHONPATH"}


def main() -> None:
    """Run the pipeline and print its dvc.lock."""
    with TemporaryDirectory() as folder, np.load(sys.argv[1]) as raw:
        idx_files = write_mnist(raw, Path(folder, "mnist"))
        project = make(Path(folder, "repository"), idx_files, short_content(ROOT / "params.yaml"))
        project.dvc("repro")
        print((project.folder / "dvc.lock").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
