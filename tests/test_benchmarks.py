"""The benchmark of the loop runs, on little data, and its rows do the same work."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import loop
from benchmarks.rows import protocol
from stages.base import files
from stages.data import prepared

ROUNDS = 2
SHAPE = "784-64-10/32"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the benchmark was run on 200 examples, the last of them in a short batch."""
    folder = tmp_path_factory.mktemp("benchmarks")
    random = np.random.default_rng(1)
    centers = random.uniform(0, 255, (10, 784))
    x, y = {}, {}
    for split, n in {"train": 170, "validation": 30, "test": 30}.items():
        y[split] = random.permutation(np.arange(n) % 10).astype(np.uint8)
        noise = random.normal(0, 50, (n, 784))
        x[split] = np.rint(np.clip(centers[y[split]] + noise, 0, 255)).astype(np.uint8)
    prepared.write(folder / files.prepared_path("mnist"), x, y, 10, 28, "rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["loop", "--rounds", str(ROUNDS), "--shapes", SHAPE, "--keep", "problems"])
        loop.main()
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Any]:
    written: dict[str, Any] = files.read_json(folder / loop.RESULTS)
    return written


@pytest.mark.parametrize("row", loop.ROWS, ids=lambda row: row.module)
def test_a_row_is_timed_in_each_round(results: dict[str, Any], row: loop.Row) -> None:
    figures = results["shapes"][SHAPE]["rows"][row.module]
    if row.missing:
        assert figures == {"label": row.label, "not_measured": row.missing}
        pytest.skip(row.missing)
    assert figures["label"] == row.label
    for name in ("seconds_per_epoch", "times_ours"):
        summary = figures[name]
        assert summary.keys() == {"rounds", "median", "lowest", "highest"}
        assert len(summary["rounds"]) == ROUNDS
        assert 0 < summary["lowest"] <= summary["median"] <= summary["highest"]
    assert ("training_accuracy" in figures) == (not row.module.startswith("products"))


# Keras shuffles the examples itself; PyTorch adds Adam's epsilon in another place.
@pytest.mark.parametrize(
    ("module", "tolerance"),
    [("model_fit", 0.5), ("model_fit_compiled", 0.5), ("pytorch", 1e-2), ("scikit_learn", 1e-4), ("jax_scan", 1e-4)],
)
def test_a_row_learns_what_our_loop_learns(results: dict[str, Any], module: str, tolerance: float) -> None:
    rows = results["shapes"][SHAPE]["rows"]
    if "not_measured" in rows[module]:
        pytest.skip(rows[module]["not_measured"])
    assert rows[module]["training_loss"] == pytest.approx(rows["whichfix"]["training_loss"], rel=tolerance)


def test_the_network_learns_something(folder: Path, results: dict[str, Any]) -> None:
    problem = protocol.load(folder / "problems" / SHAPE.replace("/", "-") / "problem.npz")
    before = loop.outcome(problem, problem.weights)
    assert results["shapes"][SHAPE]["rows"]["whichfix"]["training_loss"] < 0.9 * before["training_loss"]


def test_a_row_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    reasons = {row.module: row.missing for row in loop.ROWS if row.missing}
    assert reasons.keys() == {"pytorch", "jax_scan"}
    assert reasons["pytorch"] == "torch is not installed: pip install torch==2.13.0 jax"


def test_a_row_that_learns_something_else_is_refused() -> None:
    learned = {"whichfix": {"training_accuracy": 0.98}, "pytorch": {"training_accuracy": 0.97}}
    loop.check_same_learning(learned)
    learned["pytorch"]["training_accuracy"] = 0.9
    with pytest.raises(RuntimeError, match=r"^pytorch has a training accuracy of 0\.900, whichfix of 0\.980$"):
        loop.check_same_learning(learned)


def test_a_row_that_fails_says_why(tmp_path: Path) -> None:
    with (
        loop.started(loop.Row("products_numpy", "products"), tmp_path) as running,
        pytest.raises(RuntimeError, match=r"^products failed\n[\s\S]*problem\.npz"),
    ):
        running.turn()
