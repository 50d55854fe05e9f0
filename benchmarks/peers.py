"""The methods that search the fixes of a fault: whichfix, random search, and Optuna's TPE.

Each gives its trainings in order, as pairs of a point and a seed.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.table import SEEDS, Scorer
from stages.diagnosis.bundles import BIG, SMALL, Bundles
from stages.diagnosis.found import smallest
from stages.diagnosis.scores import AS_POSTED, Scores, Training
from stages.diagnosis.search import Search
from stages.diagnosis.space import Point, Space
from stages.diagnosis.strategy import PATIENCE, Steps, Strategy

POINTS = 40
# Random points of all repetitions come from one pool, so that few networks are trained.
POOL = 40
MOST_TRIES = 5000


def whichfix(scorer: Scorer) -> tuple[list[Training], Any]:
    """Return the trainings of whichfix's search, those that confirm it left out, and what it found."""
    search = Search(scorer.space, SEEDS, POINTS)
    trainings: list[Training] = []
    while wanted := search.ask():
        search.tell({training: scorer(*training) for training in wanted})
        trainings += [training for training in wanted if training[1] in SEEDS]
    return trainings, search.found()


def groups(space: Space) -> list[tuple[str, ...]]:
    """Return the fixes, by name, in groups of alternatives: any two of a group are never combined."""
    found: list[list[str]] = []
    for fix in sorted(space.fixes):
        for group in found:
            if all(frozenset((fix, other)) in space.excluded for other in group):
                group.append(fix)
                break
        else:
            found.append([fix])
    return [tuple(group) for group in found]


def pool(space: Space) -> list[Point]:
    """Return different random points: one fix of each group of alternatives is drawn, and left out with chance 1/2."""
    random = np.random.default_rng(0)
    found: dict[Point, None] = {}
    for _ in range(MOST_TRIES):
        drawn = [group[random.integers(len(group))] for group in groups(space)]
        point = frozenset(fix for fix in drawn if random.random() < 0.5)
        if point and space.allowed(point):
            found[point] = None
        if len(found) == POOL:
            break
    return list(found)


def order(points: Sequence[Point], repetition: int) -> list[Point]:
    """Return as posted and 39 of the `points`, in the order of a repetition."""
    places = np.random.default_rng(1 + repetition).permutation(len(points))
    return [AS_POSTED, *(points[place] for place in places)][:POINTS]


def all_seeds(points: Sequence[Point]) -> list[Training]:
    """Return the trainings of `points` with every seed."""
    return [(point, seed) for point in points for seed in SEEDS]


class Raced(Strategy):
    """Random points, raced by the rule of whichfix; then perhaps its elimination."""

    def __init__(self, space: Space, scores: Scores, points: Sequence[Point], *, eliminate: bool) -> None:
        super().__init__(space, scores, POINTS)
        self.random, self.eliminate = points, eliminate

    def steps(self) -> Steps:
        """Yield the trainings; after 10 points without gain or a score of 0.995, fixes are eliminated."""
        yield from self.race([AS_POSTED])
        yield from self.finish(AS_POSTED)
        waited, reduced = 0, AS_POSTED
        for point in self.random:
            before = self.scores.mean(self.scores.best)
            yield from self.race([point])
            waited = 0 if self.scores.mean(self.scores.best) > before + 1e-3 else waited + 1
            ripe = self.eliminate and (waited >= PATIENCE or self.enough)
            if ripe and not self.scores.repairs(reduced):
                yield from self.minimize(self.scores.best)
                reduced = min(smallest(self.scores), key=len, default=AS_POSTED)


def raced(scorer: Scorer, points: Sequence[Point], *, eliminate: bool = False) -> list[Training]:
    """Return the trainings of random points in this order, the bad ones given up after one seed."""
    scores = Scores(SEEDS)
    trainings: list[Training] = []
    for wanted in Raced(scorer.space, scores, points, eliminate=eliminate).steps():
        scores.tell({training: scorer(*training) for training in wanted})
        trainings += wanted
    return trainings


def first_points(space: Space) -> list[Point]:
    """Return the points with which whichfix begins."""
    bundles = Bundles(space)
    small, big = bundles.bundle(SMALL), bundles.bundle(BIG)
    return list(dict.fromkeys([AS_POSTED, small, big, *bundles.variants(big)]))


def tpe(scorer: Scorer, repetition: int, first: Sequence[Point]) -> Iterator[Training]:
    """Yield the trainings of Optuna's multivariate TPE, which is given the points `first`.

    A group of alternatives is one categorical parameter. A point that is not allowed is drawn again, and a point that
    was trained before costs nothing.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(multivariate=True, seed=repetition)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    kinds = groups(scorer.space)
    names = ["+".join(group) for group in kinds]
    for point in first:
        study.enqueue_trial(
            {
                name: next((fix for fix in group if fix in point), "none")
                for name, group in zip(names, kinds, strict=True)
            }
        )
    known: set[Point] = set()
    for _ in range(20 * POINTS):
        if len(known) == POINTS:
            return
        trial = study.ask()
        chosen = [trial.suggest_categorical(name, ["none", *group]) for name, group in zip(names, kinds, strict=True)]
        point = frozenset(fix for fix in chosen if fix != "none")
        if not scorer.space.allowed(point):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        if point not in known:
            known.add(point)
            yield from all_seeds([point])
        study.tell(trial, scorer.mean(point))
