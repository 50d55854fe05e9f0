"""A repair is judged over the seeds that confirm it, and each of its fixes is worth what is lost without it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import samples

from stages.analysis import repairs
from stages.training.runs import Run

DATA = samples.dataset()
SEEDS = (1000, 1001, 1002)


def runs_with(scores: Sequence[float]) -> dict[int, Run]:
    """Return runs whose score is the same on every split."""
    planned = samples.configuration()
    found = {}
    for seed, score in zip(SEEDS, scores, strict=True):
        run = samples.untrained_run(planned, seed, DATA)
        facts = {"network": planned.network.brief()}
        found[seed] = replace(run, scores=dict.fromkeys(run.scores, score), facts=facts)
    return found


RUNS = {
    (): runs_with([0.1, 0.1, 0.1]),
    ("a", "b"): runs_with([0.9, 0.92, 0.2]),
    ("a",): runs_with([0.4, 0.42, 0.2]),
}


def test_a_repair_says_in_how_many_seeds_it_repairs_and_what_each_fix_is_worth() -> None:
    found = repairs.repair(("a", "b"), 0.8, RUNS.get, SEEDS, "test", DATA)
    assert found.repaired == pytest.approx(2 / 3)
    assert found.scores["test"].per_seed == {1000: 0.9, 1001: 0.92, 1002: 0.2}
    assert found.gain["test"].per_seed == pytest.approx({1000: 0.8, 1001: 0.82, 1002: 0.1})
    # b is what the set without it lacks; the set without a was not trained.
    assert set(found.worth) == {"b"}
    assert found.worth["b"].mean == pytest.approx(1 / 3)
    assert found.network == samples.configuration().network.brief()


def test_a_score_far_below_zero_or_not_finite_counts_as_minus_one() -> None:
    useless = RUNS | {("a",): runs_with([-50, float("nan"), -1])}
    found = repairs.repair(("a", "b"), 0.8, useless.get, SEEDS, "test", DATA)
    assert found.worth["b"].mean == pytest.approx((1.9 + 1.92 + 1.2) / 3)
