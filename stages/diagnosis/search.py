"""A search among the combinations of a case's fixes: ask for trainings, tell their scores."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count, islice

from stages.diagnosis.found import Found, found, leaders_of, left_out_of, repairs_of
from stages.diagnosis.scores import AS_POSTED, Scores, Training
from stages.diagnosis.space import Point, Space
from stages.diagnosis.strategy import ENOUGH, Steps, Strategy

# Points are compared by so many seeds at most, and repairs are confirmed on so many others.
MOST_SEEDS, FRESH_SEEDS = 3, 10


class Search:
    """A search of at most `points` points of `space`.

    It depends only on the scores: not on the order in which they are told, nor on how many trainings run side by side.
    Points are compared by the first three of `seeds`.
    """

    def __init__(self, space: Space, seeds: Sequence[int], points: int = 40) -> None:
        self.space = space
        self.scores = Scores(seeds[:MOST_SEEDS])
        self.fresh = fresh_seeds(seeds)
        self._steps = self._all_steps(points)
        self._asked: list[Training] = []

    def ask(self) -> list[Training]:
        """Return the trainings that are wanted now, in any order; none if the search is done."""
        while not (wanted := [training for training in self._asked if training not in self.scores]):
            following = next(self._steps, None)
            if following is None:
                return []
            self._asked = following
        return wanted

    def tell(self, results: Mapping[Training, float | None]) -> None:
        """Take the scores of some of the trainings that were asked for; None says that Keras refuses the point.

        Raises
        ------
        ValueError
            If a training was not asked for.
        """
        for point, seed in results.keys() - set(self._asked):
            raise ValueError(f"a score of {sorted(point)} with seed {seed}; expected one that was asked for")
        self.scores.tell(results)

    def found(self) -> Found:
        """Return what was found so far."""
        return found(self.space, self.scores, self.fresh)

    def _all_steps(self, points: int) -> Steps:
        yield from Strategy(self.space, self.scores, points).steps()
        repairs = repairs_of(self.space, self.scores, self.fresh)
        # If a little is gained, it may be that other seeds fail as posted, and that much is gained there.
        if not repairs and (self.scores.gain <= 0 or self.scores.posted >= ENOUGH):
            return
        yield self._fresh([AS_POSTED, *leaders_of(self.scores, self.fresh), *repairs])
        while wanted := self._fresh(leaders_of(self.scores, self.fresh)):
            yield wanted
        # On fresh seeds, it may turn out that a smaller set repairs.
        while wanted := self._fresh(left_out_of(repairs_of(self.space, self.scores, self.fresh)).values()):
            yield wanted

    def _fresh(self, points: Iterable[Point]) -> list[Training]:
        """Return the trainings of `points` with fresh seeds that were not asked for."""
        allowed = [point for point in dict.fromkeys(points) if self.space.allowed(point)]
        return [(point, seed) for point in allowed for seed in self.fresh if (point, seed) not in self.scores]


def fresh_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return the 10 lowest seeds from 1000 on that are not among `seeds`."""
    return tuple(islice((seed for seed in count(1000) if seed not in seeds), FRESH_SEEDS))
