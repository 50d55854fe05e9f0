"""Smallest sets of fixes -> what they repair, and what each fix of a repair is worth."""

import math
from collections.abc import Callable, Mapping, Sequence

from stages.analysis import intervals, scores
from stages.analysis.attribution import SUFFICIENT_SHARE
from stages.analysis.findings import LEAST, NOTHING
from stages.analysis.results import Effects, RepairResult
from stages.analysis.symptoms import symptoms_result
from stages.data.prepared import Prepared
from stages.training.runs import Run

MOST = 5
# Of the bootstrap.
RNG_SEED = 0

RunsOf = Callable[[tuple[str, ...]], Mapping[int, Run] | None]
"""Returns the runs of a set of fixes by seed, None if the set was not trained."""


def counted(score: float) -> float:
    """Return `score` as it counts in effects: one that is not finite, or far below zero, counts as the least."""
    return max(score, LEAST) if math.isfinite(score) else LEAST


def repair(
    fixes: tuple[str, ...],
    threshold: float,
    runs_of: RunsOf,
    seeds: Sequence[int],
    split: str,
    data: Prepared,
) -> RepairResult:
    """Return what the set `fixes` repairs, over `seeds`. The case is judged by `split`.

    The worth of a fix needs the runs without it. A fix whose runs are not there is left out.
    """
    of_repair, posted = taken(runs_of(fixes), seeds), taken(runs_of(()), seeds)
    assert of_repair is not None
    assert posted is not None
    splits = list(of_repair[seeds[0]].scores)

    without = {fix: taken(runs_of(tuple(other for other in fixes if other != fix)), seeds) for fix in fixes}
    on_split = {on: scores.by_seed(list(of_repair.values()), on) for on in splits}
    posted_on = {on: scores.by_seed(list(posted.values()), on) for on in splits}
    reached = {seed: counted(score) for seed, score in on_split[split].items()}
    return RepairResult(
        fixes=fixes,
        seeds=tuple(seeds),
        scores={on: intervals.figure(on_split[on], scores.sampled(data, on, on_split[on])) for on in splits},
        gain={on: intervals.gain(on_split[on], posted_on[on]) for on in splits},
        threshold=threshold,
        repaired=sum(score >= threshold for score in reached.values()) / len(seeds),
        worth={
            fix: intervals.bootstrap(
                [intervals.difference(reached[seed], counted(runs[seed].scores[split])) for seed in seeds], RNG_SEED
            )
            for fix, runs in without.items()
            if runs is not None
        },
        network=dict(of_repair[seeds[0]].facts["network"]),
        symptoms=symptoms_result(list(of_repair.values())),
    )


def taken(runs: Mapping[int, Run] | None, seeds: Sequence[int]) -> dict[int, Run] | None:
    """Return the runs of `seeds`, None if one is missing."""
    if runs is None or not set(seeds) <= runs.keys():
        return None
    return {seed: runs[seed] for seed in seeds}


def threshold_of(effects: Effects) -> float | None:
    """Return the score that counts as repaired: as posted and 95% of the full gain; None without a gain."""
    posted, gain = effects.as_posted.mean, effects.full_gain.mean
    if posted is None or gain is None or gain < NOTHING:
        return None
    return posted + float(SUFFICIENT_SHARE) * gain
