"""The order in which a search asks for points."""

from collections.abc import Generator, Iterable, Sequence

from stages.diagnosis.families import Family
from stages.diagnosis.found import smallest
from stages.diagnosis.scores import AS_POSTED, SMALLEST_GAIN, TOLERANCE, Scores, Training
from stages.diagnosis.space import Point, Space

Steps = Generator[list[Training], None, None]
"""Yields trainings; goes on when all of them are told."""

# A better score is not looked for.
ENOUGH = 0.995
# The bundles of families that are tried first, all of whose fixes are switched on together.
SMALL: tuple[Family, ...] = ("form", "scaling")
BIG: tuple[Family, ...] = (
    *SMALL,
    "optimizer",
    "activation",
    "initializer",
    "width",
    "depth",
    "epochs",
    "rate",
    "stopping",
)
# The search for a better point ends after so many points without gain.
PATIENCE = 10
# How often a fix of a family belongs to a smallest set: the order of moves, and the sizes of groups that are dropped.
NEEDED: dict[Family, float] = {
    "form": 0.6,
    "scaling": 0.5,
    "rate": 0.4,
    "epochs": 0.35,
    "optimizer": 0.35,
    "activation": 0.3,
    "stopping": 0.2,
    "dropout": 0.2,
    "width": 0.2,
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


class Strategy:
    """The steps of a search in `space` that trains at most `budget` points."""

    def __init__(self, space: Space, scores: Scores, budget: int) -> None:
        self.space, self.scores, self.budget = space, scores, budget
        self.likely = sorted(space.fixes, key=lambda fix: (-NEEDED[space.families[fix]], space.fixes.index(fix)))

    def steps(self) -> Steps:
        """Yield the trainings of the whole search."""
        small, big = self.bundle(SMALL), self.bundle(BIG)
        yield from self.race([AS_POSTED, small])
        if not self.enough:
            yield from self.race([big])
        if not self.enough:
            yield from self.race(self.variants(big))
        if not self.enough:
            yield from self.improve()
        yield from self.finish(AS_POSTED)
        if self.scores.gain >= SMALLEST_GAIN:
            yield from self.minimize(self.scores.best)
        yield from self.race([frozenset({fix}) for fix in self.likely])
        if self.scores.gain >= SMALLEST_GAIN:
            yield from self.vary()
        yield from self.finish_idle()

    @property
    def left(self) -> int:
        """Return how many more points may be trained."""
        return self.budget - sum(point not in self.scores.refused for point in self.scores.points)

    @property
    def enough(self) -> bool:
        """Return whether no better score is looked for."""
        return self.scores.mean(self.scores.best) >= ENOUGH

    def race(self, points: Iterable[Point]) -> Steps:
        """Train the points that are new and allowed with the first seed, and the good ones with the others."""
        scores = self.scores
        new = [point for point in dict.fromkeys(points) if point not in scores.points and self.space.allowed(point)]
        new = new[: self.left]
        scores.points.extend(new)
        yield [(point, scores.seeds[0]) for point in new]
        best = max([scores.mean(point) for point in (*new, scores.best)])
        level = best - TOLERANCE * max(0.0, best - scores.mean(AS_POSTED))
        good = [point for point in new if point and scores.survives(point, level)]
        yield [(point, seed) for point in good for seed in scores.seeds[1:]]

    def finish(self, *points: Point) -> Steps:
        """Train points with the seeds that they lack."""
        yield [
            (point, seed)
            for point in points
            for seed in self.scores.seeds
            if point in self.scores.trained and (point, seed) not in self.scores
        ]

    def bundle(self, families: Sequence[Family]) -> Point:
        """Return all fixes of `families` together: of alternatives the first, and none with which it is refused."""
        point = AS_POSTED
        for family in families:
            for fix in self.space.fixes:
                if self.space.families[fix] == family and self.space.allowed(point | {fix}):
                    point |= {fix}
        return point

    def switched(self, point: Point, fix: str) -> Point:
        """Return `point` with `fix` switched off if it is on, else on, without its alternatives."""
        if fix in point:
            return point - {fix}
        return point - {other for pair in self.space.excluded if fix in pair for other in pair} | {fix}

    def variants(self, big: Point) -> list[Point]:
        """Return the big bundle with its rate exchanged, and with everything else too."""
        rates = [fix for fix in self.space.fixes if self.space.families[fix] == "rate"]
        rate = next((fix for fix in rates if fix not in big), next(iter(rates), None))
        rest = big
        for fix in self.space.fixes:
            if self.space.allowed(rest | {fix}):
                rest |= {fix}
        return [*([self.switched(big, rate)] if rate else []), rest]

    def improve(self) -> Steps:
        """Switch one fix of the best point after the other, until nothing is gained for long."""
        waited = 0
        while waited < PATIENCE and self.left and not self.enough:
            best, before = self.scores.best, self.scores.mean(self.scores.best)
            moves = [self.switched(best, fix) for fix in self.likely if fix not in best]
            new = [move for move in moves if move not in self.scores.points and self.space.allowed(move)]
            if not new:
                return
            yield from self.race(new[:1])
            gained = self.scores.mean(self.scores.best) - before
            waited = 0 if gained > max(1e-3, TOLERANCE * self.scores.gain) else waited + 1

    def minimize(self, point: Point) -> Steps:
        """Drop fixes from `point`, groups first, until nothing can be dropped."""
        needed: Point = frozenset()
        suspects: list[str] = []
        while self.left:
            unknown = [fix for fix in self.by_need(point) if fix not in needed]
            if not unknown:
                break
            suspects = [fix for fix in suspects if fix in unknown]
            group = suspects[: (len(suspects) + 1) // 2] if len(suspects) > 1 else self.unneeded(unknown)
            if len(suspects) == 1:
                group = suspects
            yield from self.race([point - frozenset(group)])
            if self.scores.repairs(point - frozenset(group)):
                point -= frozenset(group)
            elif len(group) == 1:
                needed |= frozenset(group)
            else:
                suspects = group
        yield from self.check(point)

    def check(self, point: Point) -> Steps:
        """Train `point` without each of its fixes, and go on from a smaller one that repairs."""
        yield from self.race([point - {fix} for fix in self.by_need(point)])
        smaller = [point - {fix} for fix in self.by_need(point) if self.scores.repairs(point - {fix})]
        if smaller:
            yield from self.check(max(smaller, key=self.scores.mean))

    def by_need(self, point: Point) -> list[str]:
        """Return the fixes of `point`, first those that are least likely to be needed."""
        return [fix for fix in reversed(self.likely) if fix in point]

    def unneeded(self, fixes: Sequence[str]) -> list[str]:
        """Return as many of `fixes`, from the first on, as are all unneeded with a chance of a half."""
        chance, count = 1.0, 0
        for fix in fixes:
            chance *= 1 - NEEDED[self.space.families[fix]]
            if chance < 0.5:
                break
            count += 1
        return list(fixes[: max(1, count)])

    def vary(self) -> Steps:
        """Look for other repairs: from other starts, and by exchanging fixes; then add fixes to the first one."""
        first = smallest(self.scores)[0]
        yield from self.check(first)
        large = max((point for point in self.scores.trained if self.scores.repairs(point)), key=len)
        for fix in self.by_need(first)[::-1]:
            yield from self.race([large - {fix}])
            if self.scores.repairs(large - {fix}):
                yield from self.minimize(large - {fix})
        first = smallest(self.scores)[0]
        others = [fix for fix in self.likely if fix not in first]
        exchanges = [first - {fix} | {other} for fix, other in self.exchanges(first, others)]
        yield from self.race(exchanges[: self.left // 2])
        yield from self.race([first | {other} for other in others])

    def exchanges(self, point: Point, others: Sequence[str]) -> list[tuple[str, str]]:
        """Return pairs of a fix of `point` and one that may stand for it, the likeliest first.

        Those are fixes of one family, then both of families that speed up training.
        """
        families = self.space.families
        pairs = [(fix, other) for other in others for fix in self.by_need(point)]

        def unlike(pair: tuple[str, str]) -> int:
            one, two = families[pair[0]], families[pair[1]]
            return 0 if one == two else 1 if {one, two} <= FASTER else 2

        return sorted(pairs, key=unlike)

    def finish_idle(self) -> Steps:
        """Train the fixes that seem to do nothing alone with every seed."""
        posted = self.scores.of(AS_POSTED)
        yield from self.finish(
            *(
                frozenset({fix})
                for fix in self.space.fixes
                if (alone := self.scores.of(frozenset({fix}))) and abs(alone[0] - posted[0]) < SMALLEST_GAIN
            )
        )
