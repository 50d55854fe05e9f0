"""The pipeline in small: every stage but the slow or remote part of it, in this process, on made-up digits."""

import importlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from stages import fetch
from stages.core import errors, params
from stages.core.digits import Dataset

SEEDS = [0, 3]


def raw_digits() -> Dataset:
    """A small MNIST of noise around one pattern a digit."""
    random = np.random.default_rng(0)
    patterns = random.uniform(0, 1, (10, 28, 28))
    arrays: Dataset = {}
    for split, n in {"train": 160, "test": 40}.items():
        labels = random.permutation(np.arange(n) % 10).astype(np.uint8)
        noisy = patterns[labels] + random.normal(0, 0.3, (n, 28, 28))
        arrays[f"x_{split}"] = np.rint(255 * np.clip(noisy, 0, 1)).astype(np.uint8)
        arrays[f"y_{split}"] = labels
    return arrays


def small_content(path: Path) -> dict[str, Any]:
    """The params.yaml at `path` with few fixes, variants, seeds and epochs, small networks and small data."""
    content: dict[str, Any] = YAML(typ="safe").load(path)
    content["seeds"] = list(SEEDS)
    content["datasets"]["ex4"] = {"examples_per_digit": 4, "side": 6}
    content["execution"] = {"backend": "threading", "workers": 1}
    content["probe"] = {"case": "ex4", "examples": 4, "zeros": [1, 3]}
    for case, fix in (("mnist", "softmax_output"), ("ex4", "adam")):
        block = content["cases"][case]
        block["fixes"] = {fix: block["fixes"][fix]}
        block["published"] = [claim for claim in block["published"] if claim["name"] == f"{case}-as_posted"]
    content["cases"]["mnist"]["as_posted"] |= {"hidden_units": [6], "epochs": 2}
    content["cases"]["ex4"]["as_posted"] |= {"hidden_units": [5], "epochs": 3, "batch_size": 40}
    content["variants"] = {
        "mnist-as_posted": {"case": "mnist", "fixes": []},
        "mnist-fixed": {"case": "mnist", "fixes": ["softmax_output"], "seeds": [SEEDS[1]]},
        "mnist-diverged": {
            "case": "mnist",
            "fixes": [],
            "set": {"keras_semantics": "3", "optimizer": {"name": "sgd", "learning_rate": 1e30}},
        },
        "ex4-as_posted": {"case": "ex4", "fixes": []},
        # The one that learns.
        "ex4-fixed": {
            "case": "ex4",
            "fixes": ["adam"],
            "set": {
                "output_activation": "softmax",
                "l2": 0.0,
                "hidden_units": [16],
                "epochs": 60,
                "batch_size": 8,
                "optimizer": {"name": "adam", "learning_rate": 0.05},
            },
        },
        "ex4-assignment": content["variants"]["ex4-assignment"] | {"fixes": []},
    }
    content["variants"]["ex4-assignment"]["set"]["optimizer"] = {"name": "tnc", "max_function_calls": 4}
    return content


@dataclass(frozen=True)
class Miniature:
    """A folder in which the pipeline ran.

    Attributes
    ----------
    read, written : dict
        Stage, named as DVC names it -> the files that it read and wrote, relative to the folder.
    """

    folder: Path
    parameters: params.Params
    read: dict[str, set[str]]
    written: dict[str, set[str]]


# What this process has opened, whoever opened it.
_opened: list[Any] = []
sys.addaudithook(lambda event, arguments: _opened.append(arguments[0]) if event == "open" else None)


def opened(folder: Path) -> set[str]:
    """The files in `folder`, relative to it, that were opened since this was last called, and are still there."""
    paths = {folder / os.fsdecode(name) for name in _opened if isinstance(name, str | bytes | os.PathLike)}
    _opened.clear()
    return {str(path.relative_to(folder)) for path in paths if path.is_relative_to(folder) and path.is_file()}


def call(stage: str, *arguments: str) -> None:
    """Run the `main` of `stage` here, with the command line's `arguments`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [stage, *arguments])
        importlib.import_module(f"stages.{stage}").main()


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """What changes when a file is written, by path: writers put a new file in the place of the old."""
    paths = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in paths.items()}


def stages_of(parameters: params.Params) -> dict[str, tuple[str, ...]]:
    """Stage, named as DVC names it -> its module and arguments, in an order in which they can run."""
    cases, variants = list(parameters.cases), list(parameters.variants)
    return {
        "fetch": ("fetch",),
        **{f"prepare@{case}": ("prepare", case) for case in cases},
        "plan": ("plan",),
        **{f"train@{name}": ("train", name) for name in variants},
        **{f"baseline@{case}": ("baseline", case) for case in cases},
        "probe": ("probe",),
        **{f"attribute@{case}": ("attribute", case) for case in cases},
        "evaluate": ("evaluate",),
        "report": ("report",),
    }


def run_pipeline(root: Path, folder: Path, content: dict[str, Any] | None = None) -> Miniature:
    """Run every stage of dvc.yaml but `track` in `folder`, with `content` or else the small one of `root`."""
    declared = YAML(typ="safe").load(root / "dvc.yaml")["stages"]
    YAML(typ="safe").dump(content or small_content(root / "params.yaml"), folder / "params.yaml")
    parameters = params.load(folder / "params.yaml")
    read, written = {}, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(fetch, "fetch", lambda sources, user_folder: raw_digits())
        for name, command in stages_of(parameters).items():
            if command[0] not in declared:
                continue
            before = snapshot(folder)
            opened(folder)
            call(*command)
            written[name] = {path for path, stat in snapshot(folder).items() if before.get(path) != stat}
            read[name] = opened(folder) - written[name]
    return Miniature(folder, parameters, read, written)


def locked(miniature: Miniature, root: Path, folder: Path) -> Path:
    """A copy of `miniature` at `folder` that is a DVC repository, its results committed, so with a dvc.lock."""
    shutil.copytree(miniature.folder, folder)
    shutil.copytree(root / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "dvc.yaml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with Repo.init(no_scm=True) as repo:
            repo.commit(force=True)
    return folder


def refused(stage: str, *arguments: str) -> str:
    """The one line that `stage`, run as a command, ends with."""
    with pytest.raises(SystemExit) as caught:
        errors.run(lambda: call(stage, *arguments))
    # The interpreter prints the text that it is ended with, and gives exit code 1.
    message = caught.value.code
    assert isinstance(message, str)
    assert message.startswith("error: ")
    assert len(message.splitlines()) == 1
    return message.removeprefix("error: ")
