"""The real pipeline cut short, by DVC in a Git repository of its own.

`python -m tests.project data/raw/mnist.npz`, from the repository's root, prints the dvc.lock that it ends with: it
is the same under every supported Python.
"""

import stages  # noqa: F401  # isort: skip  # before NumPy, which reads its settings when it is imported

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from stages.core import files, runtime
from stages.core.digits import ARRAY_OF_FILE, Dataset, idx_bytes

ROOT = Path(__file__).parents[1]
CONFIGURED = ("dvc.yaml", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore")
OUTS = ("attribution", "baselines", "configs", "data", "probe", "reports", "runs")

VARIANTS: dict[str, dict[str, Any]] = {
    "mnist-as_posted": {"case": "mnist", "fixes": []},
    "mnist-fixed": {"case": "mnist", "fixes": ["softmax_output"], "set": {"input_scale": 1 / 255}},
    "ex4-as_posted": {"case": "ex4", "fixes": []},
}


def short_content(path: Path) -> dict[str, Any]:
    """The params.yaml at `path` with what takes long cut short, the posts' own settings kept."""
    content: dict[str, Any] = YAML(typ="safe").load(path)
    content["seeds"] = [0, 1]
    content["variants"] = VARIANTS
    cases = content["cases"]
    cases["mnist"]["as_posted"]["epochs"] = cases["ex4"]["as_posted"]["epochs"] = 2
    # Every cell is compiled: two a case.
    for case, fix in (("mnist", "softmax_output"), ("ex4", "adam")):
        cases[case]["fixes"] = {fix: cases[case]["fixes"][fix]}
    content["probe"]["zeros"] = [10]
    # Of the processes that import TensorFlow each takes seconds.
    content["execution"] = {"backend": "threading", "workers": 1}
    for case, block in cases.items():
        # No published number but of what is still measured.
        block["published"] = [claim for claim in block["published"] if claim["name"] in VARIANTS]
        block["baselines"] = {name: {**one, "max_iter": 5} for name, one in block["baselines"].items()}
        assert block["published"], case
    return content


def shortest_content(path: Path) -> dict[str, Any]:
    """As `short_content`, with exercise 4 alone, and processes side by side as in the real pipeline."""
    content = short_content(path)
    del content["cases"]["mnist"]
    content["variants"] = {name: one for name, one in VARIANTS.items() if one["case"] == "ex4"}
    return content | {"execution": {"backend": "loky", "workers": 2}}


def plain_environment() -> dict[str, str]:
    """The environment of a user's shell: without what `runtime` sets, and what tells DVC or MLflow to act otherwise.

    Where a variable says that they are tested, they would not even try to send what they send to their makers.
    """
    dropped = ("MLFLOW_", "DVC_", "GIT_", "GITHUB_", "PYTEST_", "XDG_")
    names = [name for name in os.environ if not name.startswith(dropped) and name not in {"CI", *runtime.SETTINGS}]
    kept = {name: os.environ[name] for name in names}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


class Project:
    """A Git repository with the project's code, and DVC to run in it as a user does.

    `umask` is that of what it runs, this process's own where it is negative.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], umask: int = -1) -> None:
        self.folder = folder
        self.environment = environment
        self.umask = umask
        self.content: dict[str, Any] = {}
        # By the first `dvc repro`.
        self.said = ""

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **variables},
            umask=self.umask,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=600,
        )

    def succeed(self, *command: str) -> str:
        ended = self.run(*command)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def dvc(self, *arguments: str) -> str:
        return self.succeed("python", "-m", "dvc", *arguments)

    def commit(self) -> None:
        self.succeed("git", "add", "--all")
        self.succeed("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=all")

    def write_params(self, content: dict[str, Any]) -> None:
        YAML(typ="safe").dump(content, self.folder / "params.yaml")

    def contents(self, *folders: str) -> dict[str, bytes]:
        found = [path for name in folders for path in (self.folder / name).rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}


def write_mnist(raw: Dataset, folder: Path) -> Path:
    """Write `raw` to `folder` as the four IDX files that `fetch` takes from there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ARRAY_OF_FILE.items():
        (folder / name).write_bytes(idx_bytes(raw[array]))
    return folder


def make(
    folder: Path, mnist: Path, content: dict[str, Any], environment: Mapping[str, str] | None = None, umask: int = -1
) -> Project:
    """A repository in `folder` with `content` as its params.yaml, committed, in which nothing ran yet.

    `mnist` is the folder of the IDX files.
    """
    shutil.copytree(
        ROOT / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )
    for name in CONFIGURED:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    variables = plain_environment() if environment is None else environment
    made = Project(folder, {**variables, "WHICHFIX_MNIST_DIR": str(mnist)}, umask)
    made.content = content
    made.write_params(content)
    made.succeed("git", "init", "--quiet")
    made.commit()
    return made


def main() -> None:
    """Run the pipeline and print its dvc.lock."""
    with TemporaryDirectory() as folder:
        mnist = write_mnist(files.read_npz(Path(sys.argv[1])), Path(folder, "mnist"))
        project = make(Path(folder, "repository"), mnist, short_content(ROOT / "params.yaml"))
        project.dvc("repro")
        print((project.folder / "dvc.lock").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
