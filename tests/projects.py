"""The real pipeline as a user has it: DVC in a Git repository of its own, with the project's code."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.core.digits import ARRAY_OF_FILE, Dataset, idx_bytes


class Project:
    """A Git repository with the project's code, and DVC to run in it as a user does."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.content: dict[str, Any] = {}

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def succeed(self, *command: str) -> str:
        ended = self.run(*command)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def dvc(self, *arguments: str) -> str:
        return self.succeed(sys.executable, "-m", "dvc", *arguments)

    def commit(self) -> None:
        self.succeed("git", "add", "--all")
        self.succeed("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=all")

    def write_params(self, content: dict[str, Any]) -> None:
        YAML(typ="safe").dump(content, self.folder / "params.yaml")

    def contents(self, *folders: str) -> dict[str, bytes]:
        found = [path for name in folders for path in (self.folder / name).rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}


def write_idx(folder: Path, mnist: Dataset) -> Path:
    """Write `mnist` to `folder` in the four files of MNIST, where `fetch` takes them."""
    folder.mkdir(exist_ok=True)
    for name, array in ARRAY_OF_FILE.items():
        (folder / name).write_bytes(idx_bytes(mnist[array]))
    return folder


def made(root: Path, folder: Path, content: dict[str, Any], mnist: Path, **environment: str) -> Project:
    """The project of `root` in `folder`, with `content` as its params.yaml, after its first `dvc repro`."""
    shutil.copytree(root / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, folder / name)
    inherited: Mapping[str, str] = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "GIT_"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"
    project = Project(folder, {**inherited, "PATH": path, "WHICHFIX_MNIST_DIR": str(mnist), **environment})
    project.content = content
    project.write_params(content)
    project.succeed("git", "init", "--quiet")
    project.commit()
    project.dvc("repro")
    project.commit()
    return project
