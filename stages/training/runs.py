"""A run: what training a configuration with one seed gives, its file, and its key. Without TensorFlow."""

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from stages.base import files
from stages.base.errors import UserError
from stages.base.processor import SETTINGS
from stages.config.planned import Configuration

# Raise this number whenever results may change. tests/training/test_arithmetic.py fails if bits change without it.
ARITHMETIC = 5
# Since then, only the bits of networks with one of these layers, losses or optimizers have changed. Empty this set when
# ARITHMETIC is raised.
CHANGED: frozenset[str] = frozenset()

LOSSES = (0, 2)  # their columns in a history
COMPUTING = ("keras", "numpy", "scipy", "tensorflow")


@dataclass(frozen=True)
class Run:
    """A configuration trained with one seed.

    Attributes
    ----------
    history : ndarray
        float64 [epochs, 4], what `model.fit` would print (see `figures`), one row per epoch, or per function call of
        TNC. The validation columns are NaN if the data has no validation split.
    scores, losses : dict
        Split -> score and mean loss, penalty included, of the final weights.
    measures : dict
        Split -> the score by its name, and what stands beside it, such as the balanced accuracy.
    predicted : dict
        Split -> answers: classes [n], labels [n, labels] or values float32 [n, targets]. The number of classes stands
        for no class.
    confidence : ndarray or None
        float [n], the output of the network for the class that it predicts, per example of the test split; None if the
        examples are not pictures.
    weights : dict
        Names such as ``hidden.kernel`` -> final weights.
    steps : int
        Gradient evaluations.
    symptoms : mapping
        ``start``, ``first_epoch``, ``end`` and ``first_not_finite``, in strict JSON, as `results.SymptomsResult` has
        them.
    keras_accuracy : dict
        Split -> what Keras 3 prints as accuracy for the final weights; see `scoring.keras_accuracy`.
    facts : mapping
        What the file of the run says of its origin: key, network, subset, fixes and data_sha256. Empty before it is
        written.
    """

    seed: int
    history: np.ndarray
    scores: dict[str, float]
    measures: dict[str, dict[str, float]]
    losses: dict[str, float]
    predicted: dict[str, np.ndarray]
    confidence: np.ndarray | None
    weights: dict[str, np.ndarray]
    steps: int
    symptoms: Mapping[str, Any] = field(default_factory=dict)
    keras_accuracy: dict[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def diverged(self) -> bool:
        """Return whether a loss or a final weight was not finite at any time."""
        columns = LOSSES if "validation" in self.scores else LOSSES[:1]
        finite = np.isfinite(self.history[:, columns]).all() and all(map(math.isfinite, self.losses.values()))
        return not (finite and all(np.isfinite(array).all() for array in self.weights.values()))


@dataclass(frozen=True)
class Refusal:
    """A configuration that Keras refuses to train, with its `reason` in one line; `facts` are as those of a run."""

    seed: int
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@cache
def versions() -> dict[str, str]:
    """Return the versions of the packages that compute a run."""
    return {package: metadata.version(package) for package in COMPUTING}


def facts_of(configuration: Configuration, seed: int, data_sha256: str) -> dict[str, Any]:
    """Return the facts of a run that is to be trained, its key among them.

    The key is the SHA-256 digest of all that decides a run: its network, the subset of the data, the seed, the digest
    of the data, the versions of the packages that compute it, the processor settings, `ARITHMETIC`, and the parts of
    the network that are in `CHANGED`.
    """
    whole = configuration.network
    parts = {whole.loss["name"], whole.optimizer["name"], *(layer["layer"] for layer in whole.layers)}
    network = whole.brief()
    subset = configuration.subset and configuration.subset.model_dump(mode="json")
    deciding = [network, subset, seed, data_sha256, versions(), SETTINGS, ARITHMETIC, *sorted(parts & CHANGED)]
    return {
        "key": hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest(),
        "network": network,
        "subset": subset,
        "fixes": list(configuration.fixes),
        "data_sha256": data_sha256,
    }


def figures(score: str) -> tuple[str, str, str, str]:
    """Return the names of the columns of a history; `score` is that of the task."""
    return "loss", score, "validation_loss", f"validation_{score}"


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: files.finite_or_none(value) for name, value in values.items()}


def _floats(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in values.items()}


def write(path: Path, run: Run | Refusal, facts: Mapping[str, Any]) -> None:
    """Write a run file: run.json and the arrays of `run`, as an uncompressed archive (`unzip -l` lists it).

    That of a refusal has run.json alone.
    """
    if isinstance(run, Refusal):
        files.write_archive(path, {"run.json": {**facts, "seed": run.seed, "refused": run.reason}})
        return
    described = {
        **facts,
        "seed": run.seed,
        "diverged": run.diverged,
        "steps": run.steps,
        "scores": _finite(run.scores),
        "measures": {split: _finite(named) for split, named in run.measures.items()},
        "weights": sorted(run.weights),
        "pictures": run.confidence is not None,
        "losses": _finite(run.losses),
        "symptoms": run.symptoms,
        "keras_accuracy": run.keras_accuracy,
    }
    members: dict[str, Any] = {"run.json": described, "history": run.history}
    members |= {f"predicted_{split}": predicted for split, predicted in run.predicted.items()}
    members |= {f"weights/{name}": array for name, array in run.weights.items()}
    if run.confidence is not None:
        members["confidence_test"] = run.confidence
    files.write_archive(path, members)


def read(path: Path) -> Run:
    """Return the run that `write` wrote.

    Raises
    ------
    UserError
        If the file is missing, damaged, or holds something else, such as a refusal.
    """
    run = read_any(path)
    if isinstance(run, Refusal):
        raise files.damaged(path, f"Keras refused this run ({run.reason})", "a run that was trained")
    return run


def read_any(path: Path) -> Run | Refusal:
    """Return the run, or the refusal, that `write` wrote.

    Raises
    ------
    UserError
        If the file is missing, damaged, or holds something else.
    """
    members = files.read_archive(path)
    try:
        described = members["run.json"]
        facts = {name: described[name] for name in ("key", "network", "subset", "fixes", "data_sha256")}
        if "refused" in described:
            return Refusal(described["seed"], described["refused"], facts)
        run = Run(
            seed=described["seed"],
            history=members["history"],
            scores=_floats(described["scores"]),
            measures={split: _floats(named) for split, named in described["measures"].items()},
            losses=_floats(described["losses"]),
            predicted={split: members[f"predicted_{split}"] for split in described["scores"]},
            confidence=members.get("confidence_test"),
            weights={
                name.removeprefix("weights/"): array for name, array in members.items() if name.startswith("weights/")
            },
            steps=described["steps"],
            symptoms=described["symptoms"],
            keras_accuracy=described["keras_accuracy"],
            facts=facts,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise files.damaged(path, f"{error} is missing or of another kind", "a run that `train` wrote") from None
    # A flipped bit in the directory of the archive can hide a member, of which no checksum tells.
    if sorted(run.weights) != described.get("weights") or not run.weights:
        raise files.damaged(path, f"arrays {', '.join(sorted(members))}", "the weights of every layer")
    if (run.confidence is not None) != described.get("pictures"):
        raise files.damaged(path, "confidence_test is missing", "the confidence of every answer")
    if run.history.ndim != 2 or run.history.shape[1] != len(figures("")):
        raise files.damaged(path, f"history {list(run.history.shape)}", f"a history [epochs, {len(figures(''))}]")
    return run


def stored(folder: Path) -> tuple[dict[str, tuple[Path, Run | Refusal]], list[Path]]:
    """Return the runs below `folder` by key, and the damaged files, which count as missing."""
    found, bad = {}, []
    for path in sorted(folder.rglob("*.npz")):
        try:
            run = read_any(path)
        except UserError:
            bad.append(path)
        else:
            found[run.facts["key"]] = (path, run)
    return found, bad


def has_name(folder: str) -> bool:
    """Return whether a folder of runs is that of a variant."""
    return not folder.startswith("p-")


def is_result(run: Run | Refusal, folder: str) -> bool:
    """Return whether a run counts. The refusal of a variant is an error and no result, so Keras is asked again."""
    return isinstance(run, Run) or not has_name(folder)


def logged(case: str) -> list[dict[str, Any]]:
    """Return the lines of runs.log about `case`: folder, seed, key and seconds of each run, in order."""
    found = []
    for line in files.RUNS_LOG.read_text(encoding="utf-8").splitlines() if files.RUNS_LOG.is_file() else ():
        # A killed `train` may leave half a line.
        with suppress(ValueError, LookupError, TypeError):
            entry = json.loads(line)
            if entry["case"] == case:
                found.append({"key": None, **entry, "seed": int(entry["seed"]), "seconds": float(entry["seconds"])})
    return found
