"""The benchmark of the loop runs, on little data, and its rows do the same work."""

import sys
from typing import Any

import numpy as np
import pytest
from samples import digits

from benchmarks import loop
from stages.base import files
from stages.data import prepared
from stages.data.prepared import Prepared

ROUNDS = 2
SHAPE = "784-64-10/32"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the rows of the benchmark on 200 examples, the last of them in a short batch."""
    folder = tmp_path_factory.mktemp("benchmarks")
    random = np.random.default_rng(1)
    centers = random.uniform(0, 255, (10, 784))
    x, y = {}, {}
    for split, n in {"train": 170, "validation": 30, "test": 30}.items():
        y[split] = random.permutation(np.arange(n) % 10).astype(np.uint8)
        noise = random.normal(0, 50, (n, 784))
        x[split] = np.rint(np.clip(centers[y[split]] + noise, 0, 255)).astype(np.uint8)
    prepared.write(folder / files.prepared_path("mnist"), Prepared(x, y, digits(28)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["loop", "--rounds", str(ROUNDS), "--shapes", SHAPE])
        loop.main()
    written: dict[str, Any] = files.read_json(folder / loop.RESULTS)["shapes"][SHAPE]["rows"]
    return written


# Keras shuffles the examples itself; PyTorch adds Adam's epsilon in another place.
TOLERANCES = {"model_fit": 0.5, "model_fit_compiled": 0.5, "pytorch": 1e-2, "scikit_learn": 1e-4, "jax_scan": 1e-4}


@pytest.mark.parametrize("row", loop.ROWS, ids=lambda row: row.module)
def test_a_row_is_timed_in_each_round_and_learns_what_our_loop_learns(rows: dict[str, Any], row: loop.Row) -> None:
    figures = rows[row.module]
    assert figures["label"] == row.label
    if row.missing:
        pytest.skip(row.missing)
    for name in ("seconds_per_epoch", "times_ours"):
        assert len(figures[name]["rounds"]) == ROUNDS
        assert 0 < figures[name]["lowest"] <= figures[name]["median"] <= figures[name]["highest"]
    if row.module in TOLERANCES:
        expected = pytest.approx(rows["whichfix"]["training_loss"], rel=TOLERANCES[row.module])
        assert figures["training_loss"] == expected
