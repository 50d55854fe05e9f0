"""The findings of a search, computed from the scores that it was told."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from stages.diagnosis.scores import AS_POSTED, ERROR_RATE, SMALLEST_GAIN, TOLERANCE, Scores
from stages.diagnosis.space import Point, Space

MOST_REPAIRS = 5
# So many of the best points are measured on the fresh seeds, because the very best is often best by luck; and more, up
# to the second number, if none of them holds there.
LEADERS, MOST_LEADERS = 3, 8


class Improvement(NamedTuple):
    """A point that improved on all points before it; `place` counts the trained points, from 1."""

    point: Point
    place: int
    score: float


class Found(NamedTuple):
    """The findings of a search so far.

    Attributes
    ----------
    best : Point
        The point of the best mean score over the fresh seeds; if none was trained with them, over those of the search.
    threshold : float
        The score that counts as repaired: the best less 5% of its gain, over the fresh seeds if they were trained.
    path : tuple of Improvement
        As posted, and the points that improved on all points before them.
    repairs : tuple of Point
        At most 5 sets of fixes that reach the threshold: those from which, as is known, nothing can be dropped, and
        others that are not larger than these. Those that also reach it on the fresh seeds come first, then the smaller
        ones, then those of a higher score. Empty if nothing gains 0.01, over the seeds of the search or the fresh ones.
    minimal : bool
        Whether nothing can be dropped from the first repair: without any one of its fixes, it is refused, or was
        measured and does not repair.
    equivalents : tuple of tuples of str
        Fixes that stand for each other in one of the smallest repairs: with any of them, it was measured and repairs.
    idle : tuple of str
        Fixes that alone change the score by less than 0.01, with every seed.
    harmful : tuple of str
        Fixes that, added to the best point or to the first repair, lower its score by more than 0.01, and by more than
        chance does.
    untried : tuple of str
        Fixes that are in no trained point.
    points : tuple of Point
        The trained points, in order.
    trainings : int
        The number of trainings, without those that confirm repairs.
    error_rate : float
        The chance that a point as good as the threshold is given up after its first seed.
    confirmed : tuple of Point
        The points that were trained with all fresh seeds.
    left_out : mapping of str to Point
        The first repair without each of its fixes.
    """

    best: Point
    threshold: float
    path: tuple[Improvement, ...]
    repairs: tuple[Point, ...]
    minimal: bool
    equivalents: tuple[tuple[str, ...], ...]
    idle: tuple[str, ...]
    harmful: tuple[str, ...]
    untried: tuple[str, ...]
    points: tuple[Point, ...]
    trainings: int
    error_rate: float
    confirmed: tuple[Point, ...]
    left_out: Mapping[str, Point]


def found(space: Space, scores: Scores, fresh: Sequence[int]) -> Found:
    """Return what `scores` say about `space`; `fresh` are the seeds that confirm repairs."""
    repairs = repairs_of(space, scores, fresh)
    left_out = left_out_of(repairs)
    trained = scores.trained
    confirmed = tuple(point for point in scores.known if _confirmed(scores, fresh, point))
    bases = [scores.best, *repairs[:1]]
    return Found(
        best=max(confirmed, key=lambda point: scores.mean(point, fresh), default=scores.best),
        threshold=threshold_of(scores, fresh),
        path=tuple(_path(scores)),
        repairs=repairs,
        minimal=bool(repairs) and all(_fails(space, scores, fresh, point) for point in left_out.values()),
        equivalents=_equivalents(space, scores, repairs),
        idle=tuple(fix for fix in space.fixes if _is_idle(scores, fix)),
        harmful=tuple(fix for fix in space.fixes if any(_harms(scores, base, fix) for base in bases)),
        untried=tuple(fix for fix in space.fixes if not any(fix in point for point in trained)),
        points=tuple(trained),
        trainings=sum(len(scores.of(point)) for point in trained),
        error_rate=ERROR_RATE,
        confirmed=confirmed,
        left_out=left_out,
    )


def smallest(scores: Scores) -> list[Point]:
    """Return the sets that repair and contain no smaller one that does; the smallest first, equal ones by score."""
    sets = sorted(filter(scores.repairs, scores.trained), key=lambda point: (len(point), -scores.mean(point)))
    return [point for point in sets if not any(other < point for other in sets)]


def is_minimal(space: Space, scores: Scores, point: Point) -> bool:
    """Return whether every set that lacks one fix of `point` is refused, or was trained and does not repair."""
    smaller = [point - {fix} for fix in point]
    return all(not space.allowed(other) or other in scores.points for other in smaller) and not any(
        map(scores.repairs, smaller)
    )


def repairs_of(space: Space, scores: Scores, fresh: Sequence[int]) -> tuple[Point, ...]:
    """Return the repairs from which nothing can be dropped, and other sets that repair and are not larger than these.

    Sets that were measured on the fresh seeds alone are among them if they hold there.
    """
    sets = smallest(scores)
    if not sets and not _gains(scores, fresh):
        return ()
    # The best points are measured on the fresh seeds to know what can be reached, and are large.
    leaders = leaders_of(scores, fresh)
    measured = [point for point in scores.known if point and _holds(scores, fresh, point)]
    holding = [point for point in measured if point not in leaders or point in sets] or measured
    minimal = [point for point in sets if is_minimal(space, scores, point)]
    size = min(map(len, minimal or sets), default=0)
    sets = [*[point for point in sets if point in minimal or len(point) <= size][:MOST_REPAIRS], *holding]
    sets = [point for point in dict.fromkeys(sets) if not any(other < point for other in holding)]
    sets = [point for point in sets if point in holding or not any(point < other for other in holding)]
    sets.sort(key=lambda point: (point not in holding, len(point), -scores.mean(point)))
    return tuple(sets[:MOST_REPAIRS])


def leaders_of(scores: Scores, fresh: Sequence[int]) -> list[Point]:
    """Return the best points, to be measured on the fresh seeds: three, and more as long as none of them holds there.

    A point holds if it reaches what counts as repaired over the seeds of the search.
    """
    leaders = scores.leaders(MOST_LEADERS)
    most = LEADERS
    while most < len(leaders) and all(_confirmed(scores, fresh, point) for point in leaders[:most]):
        if max(scores.mean(point, fresh) for point in leaders[:most]) >= scores.threshold:
            break
        most += 1
    return leaders[:most]


def threshold_of(scores: Scores, fresh: Sequence[int]) -> float:
    """Return the score that counts as repaired on the fresh seeds: the best of them, less 5% of its gain.

    That of the search is too high, because it is the best of many scores over few seeds.
    """
    confirmed = [scores.mean(point, fresh) for point in scores.known if _confirmed(scores, fresh, point)]
    if not _confirmed(scores, fresh, scores.best) or not _confirmed(scores, fresh, AS_POSTED):
        return scores.threshold
    return max(confirmed) - TOLERANCE * max(0.0, max(confirmed) - scores.mean(AS_POSTED, fresh))


def left_out_of(repairs: Sequence[Point]) -> dict[str, Point]:
    """Return the first of `repairs` without each of its fixes."""
    return {fix: repairs[0] - {fix} for fix in sorted(repairs[0])} if repairs else {}


def _confirmed(scores: Scores, fresh: Sequence[int], point: Point) -> bool:
    return point not in scores.refused and len(scores.of(point, fresh)) == len(fresh)


def _gains(scores: Scores, fresh: Sequence[int]) -> bool:
    """Return whether a point gains 0.01 on the fresh seeds."""
    confirmed = [scores.mean(point, fresh) for point in scores.known if _confirmed(scores, fresh, point)]
    posted = scores.mean(AS_POSTED, fresh)
    return _confirmed(scores, fresh, AS_POSTED) and max(confirmed) - posted >= SMALLEST_GAIN


def _holds(scores: Scores, fresh: Sequence[int], point: Point) -> bool:
    """Return whether `point` reaches the threshold on the fresh seeds."""
    return _confirmed(scores, fresh, point) and scores.mean(point, fresh) >= threshold_of(scores, fresh)


def _fails(space: Space, scores: Scores, fresh: Sequence[int], point: Point) -> bool:
    """Return whether `point` is known not to repair."""
    if not space.allowed(point) or point in scores.refused:
        return True
    if _confirmed(scores, fresh, point):
        return not _holds(scores, fresh, point)
    return bool(scores.of(point)) and not scores.repairs(point)


def _path(scores: Scores) -> Iterator[Improvement]:
    best = -float("inf")
    for place, point in enumerate(scores.trained, start=1):
        if scores.mean(point) > best and (not point or scores.complete(point)):
            best = scores.mean(point)
            yield Improvement(point, place, best)


def _equivalents(space: Space, scores: Scores, repairs: Sequence[Point]) -> tuple[tuple[str, ...], ...]:
    """Return the groups of fixes each of which completes the rest of one of the smallest repairs."""
    groups = []
    for repair in repairs:
        for fix in space.fixes:
            if fix in repair and len(repair) == len(repairs[0]):
                rest = repair - {fix}
                group = frozenset(
                    other for other in space.fixes if other not in rest and scores.repairs(rest | {other})
                )
                groups.append(group | {fix})
    largest = [group for group in dict.fromkeys(groups) if len(group) > 1 and not any(group < each for each in groups)]
    return tuple(tuple(fix for fix in space.fixes if fix in group) for group in largest)


def _is_idle(scores: Scores, fix: str) -> bool:
    alone = frozenset({fix})
    if not scores.complete(alone) or not scores.complete(AS_POSTED):
        return False
    pairs = zip(scores.of(alone), scores.of(AS_POSTED), strict=True)
    return all(abs(score - posted) < SMALLEST_GAIN for score, posted in pairs)


def _harms(scores: Scores, base: Point, fix: str) -> bool:
    """Return whether `fix`, added to `base`, clearly lowers the score."""
    point = base | {fix}
    if fix in base or not base or point not in scores.trained:
        return False
    lost = scores.mean(base) - scores.mean(point)
    if scores.complete(point):
        return lost > max(SMALLEST_GAIN, scores.difference)
    return lost > SMALLEST_GAIN and not scores.seems_to_repair(point)
