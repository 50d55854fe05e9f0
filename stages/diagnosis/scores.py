"""The scores that a search was told, and the rule by which it gives a point up after one seed."""

import math
from collections.abc import Iterable, Mapping, Sequence

from stages.diagnosis.space import Point

Training = tuple[Point, int]
"""A point and the seed of a run."""

AS_POSTED: Point = frozenset()
# The chance that a point as good as the threshold is given up after its first seed.
ERROR_RATE = 0.05
# A repair reaches the best score less this share of the gain.
TOLERANCE = 0.05
# Scores are compared with no more precision than this.
SMALLEST_GAIN = 0.01
# Before scores are known: the standard deviation over seeds, and how many degrees of freedom it is worth.
SPREAD, FREEDOM = 0.05, 2
LOWEST = -1.0


class Scores:
    """The scores of the trainings of a search; higher is better.

    `points` are those that were asked for, in order. Its `seeds` are the ones by which points are compared; scores with
    other seeds are kept, but do not count in a comparison.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = tuple(seeds)
        self.points: list[Point] = []
        self.refused: set[Point] = set()
        self._scores: dict[Training, float] = {}
        self._best: Point | None = None

    def tell(self, results: Mapping[Training, float | None]) -> None:
        """Keep scores. None says that Keras refuses the point; scores that are not finite or below -1 count as -1."""
        self._best = None
        for (point, seed), score in results.items():
            if score is None:
                self.refused.add(point)
            else:
                self._scores[point, seed] = max(LOWEST, score) if math.isfinite(score) else LOWEST

    def __contains__(self, training: Training) -> bool:
        return training in self._scores or training[0] in self.refused

    def __len__(self) -> int:
        return len(self._scores)

    @property
    def known(self) -> list[Point]:
        """Return the points that have a score with any seed, smaller ones first, then by their names."""
        points = {point for point, _ in self._scores} - self.refused
        return sorted(points, key=lambda point: (len(point), sorted(point)))

    @property
    def trained(self) -> list[Point]:
        """Return the points that have a score, in order."""
        return [point for point in self.points if point not in self.refused and self.of(point)]

    def of(self, point: Point, seeds: Iterable[int] | None = None) -> list[float]:
        """Return the scores of `point` with those of `seeds` that it was trained with; by default, the search's."""
        found = self.seeds if seeds is None else seeds
        return [self._scores[point, seed] for seed in found if (point, seed) in self._scores]

    def mean(self, point: Point, seeds: Iterable[int] | None = None) -> float:
        """Return the mean score of `point`, -1 without scores."""
        scores = self.of(point, seeds)
        return math.fsum(scores) / len(scores) if scores and point not in self.refused else LOWEST

    def complete(self, point: Point) -> bool:
        """Return whether `point` was trained with every seed."""
        return point not in self.refused and len(self.of(point)) == len(self.seeds)

    @property
    def best(self) -> Point:
        """Return the point of the best mean; of equal ones, the smallest, and of those the first that was trained.

        Points that were given up do not count.
        """
        if self._best is None:
            self._best = next(iter(self.leaders(1)), self.leading)
        return self._best

    def leaders(self, most: int) -> list[Point]:
        """Return at most `most` of the points that were trained with every seed, those of the best means first."""
        complete = filter(self.complete, self.trained)
        return sorted(complete, key=lambda point: (-self.mean(point), len(point)))[:most]

    @property
    def leading(self) -> Point:
        """Return the point of the best mean over the seeds that it has; of equal ones, the smallest.

        As posted comes after equal ones: it seldom is as good with other seeds.
        """
        key = {point: (self.mean(point), point != AS_POSTED, -len(point)) for point in self.trained}
        return max(key, key=key.__getitem__, default=AS_POSTED)

    @property
    def posted(self) -> float:
        """Return the mean score as posted, 0 if Keras refuses it."""
        return 0.0 if AS_POSTED in self.refused else self.mean(AS_POSTED)

    @property
    def gain(self) -> float:
        """Return the gain of the best point."""
        return self.mean(self.best) - self.posted

    @property
    def threshold(self) -> float:
        """Return the score that counts as repaired: the best less 5% of the gain."""
        return self.mean(self.best) - TOLERANCE * max(0.0, self.gain)

    def repairs(self, point: Point) -> bool:
        """Return whether `point` reaches the threshold, with every seed, and something was gained."""
        return self.complete(point) and self.gain >= SMALLEST_GAIN and self.mean(point) >= self.threshold

    def seems_to_repair(self, point: Point) -> bool:
        """Return whether `point` repairs, or would do so if its first seed were the only one."""
        first = self.seeds[:1]
        if self.complete(point) or not self.of(point, first):
            return self.repairs(point)
        level = self.mean(self.best, first) - TOLERANCE * max(0.0, self.gain)
        return self.gain >= SMALLEST_GAIN and self.mean(point, first) >= level

    @property
    def margin(self) -> float:
        """Return how far one score may lie below the threshold by chance; see `survives`."""
        return self._bound(1 + 1 / max(1, len(self.of(self.best))))

    @property
    def difference(self) -> float:
        """Return how far two means over all seeds may differ by chance, by the same test."""
        return self._bound(2 / len(self.seeds))

    def survives(self, point: Point, level: float) -> bool:
        """Return whether `point` is trained with its further seeds: it is not clearly below `level`.

        It is given up if its first score is below `level` by more than `margin`: the bound of a one-sided t test, with
        an error rate of 5%, of one score against the mean of the best point. The standard deviation over seeds is
        pooled over all points but as posted that have several seeds, and over a prior of 0.05 that counts as 2 degrees
        of freedom. `level` is the threshold, so that a point within 5% of the gain is never given up.

        The test assumes that scores are normal and vary alike at all points that repair. If instead a share of the
        seeds fails altogether (dead ReLUs), a point is given up as often as its first seed fails, unless such failures
        were seen before and have widened the standard deviation. Therefore, repairs are confirmed on fresh seeds.
        """
        return point not in self.refused and self.mean(point) >= level - self.margin

    def _bound(self, factor: float) -> float:
        """Return the bound of the test for a difference whose variance is `factor` times that of a score."""
        # Student's quantile, as in scipy.stats, which takes a second to import; most cases have no search.
        from scipy.special import stdtrit

        squares, freedom = FREEDOM * SPREAD**2, FREEDOM
        for point in self.trained:
            scores = self.of(point)
            if point and len(scores) > 1:
                squares += math.fsum((score - self.mean(point)) ** 2 for score in scores)
                freedom += len(scores) - 1
        return float(stdtrit(freedom, 1 - ERROR_RATE)) * math.sqrt(squares / freedom * factor)
