"""The order in which a search asks for points.

First a small bundle of fixes, then everything at once and variants of that, then single moves, until the score is good
enough. Then fixes are dropped, until nothing can be dropped. With what is left of the budget, it looks for other and
smaller repairs, for fixes that stand for each other, for those that do nothing alone, and for those that hurt.
"""

from collections.abc import Generator, Iterable, Sequence

from stages.diagnosis.bundles import BIG, SMALL, Bundles
from stages.diagnosis.families import Family
from stages.diagnosis.found import is_minimal, smallest
from stages.diagnosis.groups import group_to_drop
from stages.diagnosis.scores import AS_POSTED, LOWEST, SMALLEST_GAIN, TOLERANCE, Scores, Training
from stages.diagnosis.space import Point, Space

Steps = Generator[list[Training], None, None]
"""Yields trainings; goes on when all of them are told."""

# A better score is not looked for from the first on, or if what is left to a perfect score is less than the second
# share of what is lost as posted. With less than the third share, a bundle is confirmed before others are tried.
ENOUGH, LITTLE_LEFT, SOME_LEFT = 0.995, 0.01, 0.1
# The search for a better point ends after so many points without gain.
PATIENCE = 10
# So many likely exchanges come before the fixes alone.
FIRST_EXCHANGES = 6
# A repair of so many fixes is too large not to look for a smaller one before anything else.
LARGE = 3
# How often a fix of a family belongs to a smallest set: the order of moves, and the sizes of groups that are dropped.
NEEDED: dict[Family, float] = {
    "form": 0.6,
    "scaling": 0.4,
    "rate": 0.4,
    "epochs": 0.5,
    "optimizer": 0.35,
    "activation": 0.3,
    "stopping": 0.2,
    "dropout": 0.2,
    "width": 0.25,
    "initializer": 0.2,
    "depth": 0.15,
    "penalty": 0.15,
    "normalization": 0.15,
    "batch": 0.15,
    "momentum": 0.1,
    "clipping": 0.1,
    "weights": 0.1,
    "order": 0.1,
    "other": 0.1,
}

# Families that speed up training, so that one may stand for another.
FASTER: frozenset[Family] = frozenset(
    ("scaling", "activation", "optimizer", "rate", "epochs", "batch", "initializer", "normalization", "momentum")
)


class Strategy(Bundles):
    """The steps of a search in `space` that trains at most `budget` points."""

    def __init__(self, space: Space, scores: Scores, budget: int) -> None:
        super().__init__(space)
        self.scores, self.budget = scores, budget
        self.chances = {fix: NEEDED[space.families[fix]] for fix in space.fixes}
        self.likely = sorted(space.fixes, key=lambda fix: (-self.chances[fix], space.fixes.index(fix)))

    def steps(self) -> Steps:
        """Yield the trainings of the whole search."""
        small, big = self.bundle(SMALL), self.bundle(BIG)
        variants = self.variants(big)
        for points in ([AS_POSTED, small], [big], variants):
            yield from self.look(points)
            if self.is_enough(self.scores.leading, SOME_LEFT):
                yield from self.settle()
            if self.enough:
                break
        yield from self.settle()
        yield from self.minimize(self.scores.best)
        yield from self.finish(AS_POSTED)
        if not self.enough:
            yield from self.settle()
            yield from self.improve()
            if not self.minimal:  # the best score has risen
                yield from self.minimize(self.scores.best)
        yield from self.race([self.switched(self.scores.best, fix) for fix in self.untried])
        if self.minimal and len(self.minimal[0]) >= LARGE:
            yield from self.restart(variants[:1])
            yield from self.avoid()
        yield from self.exchange(FIRST_EXCHANGES, least_alike=1)
        yield from self.race([frozenset({fix}) for fix in self.likely])
        yield from self.restart(variants)
        yield from self.avoid()
        yield from self.exchange(self.left // 2, least_alike=0)
        yield from self.add()
        yield from self.finish_idle()

    @property
    def left(self) -> int:
        """Return how many more points may be trained."""
        return self.budget - sum(point not in self.scores.refused for point in self.scores.points)

    @property
    def enough(self) -> bool:
        """Return whether no better score is looked for."""
        return self.is_enough(self.scores.best)

    def is_enough(self, point: Point, share: float = LITTLE_LEFT) -> bool:
        """Return whether `point` is almost perfect, or leaves at most a `share` of what was lost as posted."""
        score = self.scores.mean(point)
        return score >= ENOUGH or 1 - score <= share * (1 - self.scores.posted)

    def look(self, points: Iterable[Point]) -> Generator[list[Training], None, list[Point]]:
        """Train the points that are new and allowed with the first seed; return them."""
        scores = self.scores
        new = [point for point in dict.fromkeys(points) if point not in scores.points and self.space.allowed(point)]
        new = new[: self.left]
        scores.points.extend(new)
        yield [(point, scores.seeds[0]) for point in new]
        return new

    def settle(self) -> Steps:
        """Train the point of the best score with the seeds that it lacks, until the best one lacks none."""
        while wanted := self.lacking(self.scores.leading):
            yield wanted

    def race(self, points: Iterable[Point]) -> Generator[list[Training], None, list[Point]]:
        """Train the points that are new and allowed with the first seed, and the good ones with the others."""
        scores = self.scores
        new = yield from self.look(points)
        best = max(map(scores.mean, (*new, scores.best)))
        level = best - TOLERANCE * max(0.0, best - scores.posted)
        good = [point for point in new if point and scores.survives(point, level)]
        yield [(point, seed) for point in good for seed in scores.seeds[1:]]
        return new

    def finish(self, *points: Point) -> Steps:
        """Train points with the seeds that they lack."""
        yield [training for point in points if point in self.scores.trained for training in self.lacking(point)]

    def lacking(self, point: Point) -> list[Training]:
        """Return the trainings that `point` lacks."""
        return [(point, seed) for seed in self.scores.seeds if (point, seed) not in self.scores]

    def improve(self) -> Steps:
        """Switch one fix of the best point after the other, until nothing is gained for long; then many together."""
        waited = 0
        while waited < PATIENCE and self.left and not self.enough:
            best, before = self.scores.best, self.scores.mean(self.scores.best)
            moves = [self.switched(best, fix) for fix in self.likely if fix not in best]
            new = [move for move in moves if move not in self.scores.points and self.space.allowed(move)]
            if not new:
                break
            yield from self.race(new[:1])
            gained = self.scores.mean(self.scores.best) - before
            waited = 0 if gained > max(1e-3, TOLERANCE * self.scores.gain) else waited + 1
        yield from self.combine()

    def combine(self) -> Steps:
        """Add to the best point all fixes that helped when they were added alone, then also those that cost little."""
        for least in (0.0, -SMALLEST_GAIN):
            while not self.enough:
                best = together = self.scores.best
                gains = {fix: self.gained(best, fix) for fix in self.likely}
                for fix in sorted(self.likely, key=lambda fix: -gains[fix]):
                    if gains[fix] > least and self.space.allowed(together | {fix}):
                        together |= {fix}
                if not (yield from self.race([together])):
                    break

    def gained(self, point: Point, fix: str) -> float:
        """Return what `fix` gained when it was added to `point`, with the seeds that both have; -1 if it was not."""
        added, seeds = self.switched(point, fix), self.scores.seeds
        shared = [seed for seed in seeds if (added, seed) in self.scores and (point, seed) in self.scores]
        if fix in point or not shared or added in self.scores.refused:
            return LOWEST
        return self.scores.mean(added, shared) - self.scores.mean(point, shared)

    def minimize(self, start: Point) -> Steps:
        """Drop fixes from `start`, groups first, until nothing can be dropped, if it repairs.

        On the way down, one seed is enough if it is clear. The set at the end is trained with every seed, and if it
        does not repair, the way goes on from the set before it.
        """
        scores = self.scores
        failed = [other for other in scores.trained if other < start and not scores.seems_to_repair(other)]
        way = [start] if (yield from self.judge(start)) else []
        while way:
            point = way[-1]
            if self.left and (group := group_to_drop(point, failed, self.chances)):
                seems_to_repair = yield from self.judge(point - group)
                (way if seems_to_repair else failed).append(point - group)
                continue
            yield from self.finish(point)
            if scores.repairs(point):
                yield from self.check(point)
                return
            failed.append(way.pop())

    def judge(self, point: Point) -> Generator[list[Training], None, bool]:
        """Train `point`, with one seed if that is clear; return whether it seems to repair."""
        yield from self.look([point])
        if not self.scores.seems_to_repair(point) and self.scores.survives(point, self.scores.threshold):
            yield from self.finish(point)
        return self.scores.seems_to_repair(point)

    def check(self, point: Point) -> Steps:
        """Train `point` without each of its fixes, and go on from a smaller one that repairs."""
        yield from self.race([point - {fix} for fix in self.by_need(point)])
        smaller = [point - {fix} for fix in self.by_need(point) if self.scores.repairs(point - {fix})]
        if smaller:
            yield from self.check(max(smaller, key=self.scores.mean))

    def by_need(self, point: Point) -> list[str]:
        """Return the fixes of `point`, first those that are least likely to be needed."""
        return [fix for fix in reversed(self.likely) if fix in point]

    def exchange(self, most: int, least_alike: int) -> Steps:
        """Exchange one fix of the first repair for another, and see whether others can then be dropped; see `alike`."""
        for first in smallest(self.scores)[:1]:
            others = [fix for fix in self.likely if fix not in first]
            pairs = [(one, other) for other in others for one in self.by_need(first)]
            alike = sorted(
                (pair for pair in pairs if self.alike(*pair) >= least_alike), key=lambda pair: -self.alike(*pair)
            )
            points = [first - {one} | {other} for one, other in alike]
            new = [point for point in points if point not in self.scores.points and self.space.allowed(point)][:most]
            yield from self.race(new)
            yield from self.restart([point for point in new if self.scores.repairs(point)])

    def alike(self, one: str, other: str) -> int:
        """Return 2 for fixes of one family, 1 if both are of families that speed up training, else 0."""
        pair = {self.space.families[one], self.space.families[other]}
        return 2 if len(pair) == 1 else int(pair <= FASTER)

    @property
    def minimal(self) -> list[Point]:
        """Return the repairs from which nothing can be dropped, the smallest first."""
        return [point for point in smallest(self.scores) if is_minimal(self.space, self.scores, point)]

    def restart(self, starts: Sequence[Point]) -> Steps:
        """Look for other repairs in points that contain none of those from which nothing can be dropped."""
        for start in starts:
            if not any(point <= start for point in self.minimal):
                yield from self.minimize(start)

    def avoid(self) -> Steps:
        """Look for repairs without one fix of the first repair, in the largest set that repairs."""
        for first in self.minimal[:1]:
            large = max((point for point in self.scores.trained if self.scores.repairs(point)), key=len)
            for fix in reversed(self.by_need(first)):
                yield from self.restart([large - {fix}])

    def add(self) -> Steps:
        """Add each other fix to the first repair."""
        for first in smallest(self.scores)[:1]:
            yield from self.race([first | {fix} for fix in self.likely if fix not in first])

    @property
    def untried(self) -> list[str]:
        """Return the fixes that are in no trained point."""
        tried = frozenset().union(*self.scores.trained)
        return [fix for fix in self.likely if fix not in tried]

    def finish_idle(self) -> Steps:
        """Train the fixes that seem to do nothing alone with every seed."""
        first, alone = self.scores.seeds[:1], [frozenset({fix}) for fix in self.space.fixes]
        posted = self.scores.mean(AS_POSTED, first)
        seemingly = [point for point in alone if abs(self.scores.mean(point, first) - posted) < SMALLEST_GAIN]
        if AS_POSTED not in self.scores.refused:
            yield from self.finish(*seemingly)
