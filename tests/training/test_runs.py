"""A run file gives back its run, has one form, and is refused if it is damaged. A key has everything that decides."""

import json
import math
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from samples import UNIFORM, configuration, layers

from stages.base import files
from stages.base.errors import UserError
from stages.base.processor import SETTINGS
from stages.training import runs
from stages.training.runs import Run

RUN = Run(
    seed=3,
    history=np.array([[2.5, 0.1, 2.4, 0.2], [1.5, 0.3, 1.75, 0.25]]),
    scores={"train": 0.4, "validation": 0.3, "test": 0.25},
    measures={split: {"accuracy": 0.4, "auc": 0.5} for split in ("train", "validation", "test")},
    losses={"train": 1.5, "validation": 1.75, "test": 2.0},
    predicted={split: np.arange(n, dtype=np.uint8) for split, n in (("train", 9), ("validation", 4), ("test", 5))},
    confidence=np.linspace(0, 1, 5, dtype=np.float32),
    weights={"output.kernel": np.eye(3, dtype=np.float32), "output.bias": np.zeros(3, np.float32)},
    steps=12,
    symptoms={"start": {"layers": [], "spread": None}, "first_epoch": None, "end": {}, "first_not_finite": 7},
    keras_accuracy={"train": 0.4, "validation": 0.3, "test": 0.25},
)
FACTS = runs.facts_of(configuration(fixes=("adam",)), 3, "d" * 64)


def assert_equal(first: Run, second: Run) -> None:
    for name in ("seed", "scores", "measures", "steps", "symptoms", "keras_accuracy", "facts"):
        assert getattr(first, name) == getattr(second, name)
    np.testing.assert_equal(first.losses, second.losses)
    for arrays, others in ((first.predicted, second.predicted), (first.weights, second.weights)):
        assert arrays.keys() == others.keys()
        for name in arrays:
            assert arrays[name].dtype == others[name].dtype
            np.testing.assert_array_equal(arrays[name], others[name])
    np.testing.assert_array_equal(first.history, second.history)
    np.testing.assert_array_equal(first.confidence, second.confidence)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "runs" / "seed_3.npz"
    runs.write(file, RUN, FACTS)
    return file


def test_a_run_file_gives_back_the_run_with_its_facts_and_equal_runs_have_equal_bytes(path: Path) -> None:
    found, content = runs.read(path), path.read_bytes()
    assert_equal(found, replace(RUN, facts=FACTS))
    runs.write(path, found, found.facts)
    assert path.read_bytes() == content
    # Anyone can read it with NumPy and a text editor.
    with np.load(path) as archive:
        np.testing.assert_array_equal(archive["weights/output.kernel"], np.eye(3))
        described = json.loads(archive["run.json"])
    assert (described["scores"], described["fixes"], described["diverged"]) == (RUN.scores, ["adam"], False)


def test_a_run_on_a_subset_has_neither_other_splits_nor_confidences(tmp_path: Path) -> None:
    names = ("scores", "measures", "losses", "predicted")
    part: dict[str, Any] = {name: {"train": getattr(RUN, name)["train"]} for name in names}
    facts = runs.facts_of(configuration(subset={0: 2, 1: 7}), 3, "d" * 64)
    run = replace(RUN, confidence=None, history=np.full((1, 4), [2.0, 0.5, np.nan, np.nan]), facts=facts, **part)
    runs.write(tmp_path / "run.npz", run, facts)
    assert_equal(runs.read(tmp_path / "run.npz"), run)
    assert not run.diverged


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_or_weight_that_is_not_finite_is_a_divergence_in_strict_json(value: float, tmp_path: Path) -> None:
    training, validation = RUN.history.copy(), RUN.history.copy()
    training[0, 0] = validation[1, 2] = value
    weights = RUN.weights | {"output.bias": np.array([0, value, 0], np.float32)}
    changes: list[dict[str, Any]] = [{"history": training}, {"history": validation}, {"weights": weights}]
    for change in (*changes, {"losses": RUN.losses | {"test": value}}):
        runs.write(tmp_path / "run.npz", replace(RUN, **change), FACTS)
        assert runs.read(tmp_path / "run.npz").diverged
        described = files.read_archive(tmp_path / "run.npz")["run.json"]
        assert described["diverged"] is True
        json.dumps(described, allow_nan=False)


def refused(path: Path, content: bytes) -> bool:
    """Return whether a run file with `content` is refused, in one line that names it."""
    path.write_bytes(content)
    try:
        found = runs.read(path)
    except UserError as error:
        message = str(error)
    else:
        assert_equal(found, replace(RUN, facts=FACTS))
        return False
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    return True


def test_a_truncated_run_file_is_refused(path: Path) -> None:
    content = path.read_bytes()
    assert all(refused(path, content[:length]) for length in range(0, len(content), 97))


def test_a_run_file_with_a_flipped_bit_is_refused_or_read_as_it_was(path: Path) -> None:
    content, random = path.read_bytes(), Random(0)
    # The directory at the end of the archive is small, and everything can happen there.
    directory = content.index(b"PK\x01\x02")
    places = [random.randrange(8 * len(content)) for _ in range(60)]
    # In each entry: whether and how the member is encrypted and compressed, and the lengths of its name and comments,
    # which may hide the next entry.
    entries = [start for start in range(directory, len(content)) if content[start : start + 4] == b"PK\x01\x02"]
    places += [8 * (start + byte) + bit for start in entries for byte in (8, 10, *range(28, 34)) for bit in range(8)]
    count = 0
    for place in places:
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        count += refused(path, bytes(flipped))
    assert count > 400


def test_an_archive_that_lacks_a_part_of_a_run_is_refused(path: Path) -> None:
    members = files.read_archive(path)
    described = members["run.json"]
    others: list[dict[str, Any]] = [{k: v for k, v in members.items() if k != lacking} for lacking in members]
    for lacking in ("key", "seed", "steps", "scores", "measures", "losses", "symptoms", "keras_accuracy"):
        others.append(members | {"run.json": {k: v for k, v in described.items() if k != lacking}})
    for other in (*others, members | {"run.json": []}, members | {"history": np.zeros(4)}):
        assert refused(path, files.archive_bytes(other)), other.keys()


def key(seed: int = 0, data: str = "d", **settings: Any) -> str:
    found: str = runs.facts_of(configuration(**settings), seed, data)["key"]
    return found


def test_the_key_has_everything_that_decides_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        key(),
        key(seed=1),
        key(data="e"),
        key(subset={0: 2, 1: 3}),
        key(subset={0: 3, 1: 2}),
        key(layers=layers(l2=0.5)),
        key(epochs=2),
        key(layers=layers(units=8)),
        key(shuffle=False),
        key(inputs="standardized"),
        key(optimizer={"name": "adam", "learning_rate": 0.02}),
        key(keras="3"),
        key(layers=layers(kernel_initializer=UNIFORM)),
    ]
    versions = runs.versions()
    for package in ("keras", "numpy", "scipy", "tensorflow"):
        with monkeypatch.context() as patch:
            patch.setattr(runs, "versions", dict(versions | {package: "0"}).copy)
            keys.append(key())
    for name in SETTINGS:
        with monkeypatch.context() as patch:
            patch.setitem(SETTINGS, name, "other")
            keys.append(key())
    monkeypatch.setattr(runs, "ARITHMETIC", runs.ARITHMETIC + 1)
    keys.append(key())
    assert len(set(keys)) == len(keys)
    assert all(len(found) == 64 for found in keys)


def test_networks_without_a_changed_part_keep_their_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "CHANGED", frozenset())
    before, normalized = key(), key(layers=layers() | {"norm": {"layer": "BatchNormalization"}, "last": {"units": 3}})
    monkeypatch.setattr(runs, "CHANGED", frozenset({"BatchNormalization"}))
    assert key() == before
    assert key(layers=layers() | {"norm": {"layer": "BatchNormalization"}, "last": {"units": 3}}) != normalized


def test_the_key_has_nothing_that_decides_no_bit() -> None:
    assert key() == key(folder="renamed") == key(fixes=("a", "b")) == key(seeds=(0, 1, 2))
    assert key(subset={0: 2, 1: 3}) == key(subset={1: 3, 0: 2})
    assert key(layers=layers(l2=0.5)) == key(layers=layers(l2=5e-1))
    # Settings that are left out are Keras's defaults.
    assert key() == key(optimizer={"name": "Adam", "learning_rate": 0.01, "beta_1": 0.9}) == key(shuffle=True)
