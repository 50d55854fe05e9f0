"""The arithmetic of the search benchmark: how soon a list of trainings reaches a score, and which codes a set names."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from stages.config.fixes import Fix
from stages.diagnosis.scores import TOLERANCE, Training
from stages.diagnosis.space import Point

Score = Callable[[Point, int], float | None]
# The settings of a fix, and the fault code that it repairs.
CODES = {
    "activation": "ACH",
    "units": "LCN",
    "loss": "LCH",
    "inputs": "CPP",
    "targets": "CPP",
    "learning_rate": "HLR",
    "decay": "HLR",
    "reduce_on_plateau": "HLR",
    "epochs": "HNE",
    "steps_per_epoch": "HNE",
    "early_stopping": "HNE",
    "max_function_calls": "HNE",
    "optimizer": "OCH",
    "batch_size": "HBS",
}
LOWEST = -1.0


class Reached(NamedTuple):
    """How many trainings and points it took, with how much compute; `reached` says whether it was reached at all."""

    trainings: int
    points: int
    compute: float
    reached: bool


class Replay:
    """The scores of a list of trainings as they come in; a point counts when all `seeds` of it are trained."""

    def __init__(self, seeds: Sequence[int], score: Score) -> None:
        self.seeds, self.score = seeds, score
        self.scores: dict[Point, list[float]] = {}
        self.refused: set[Point] = set()

    def add(self, training: Training) -> None:
        """Take a training."""
        point, seed = training
        score = self.score(point, seed)
        if score is None:
            self.refused.add(point)
        else:
            self.scores.setdefault(point, []).append(score)

    def mean(self, point: Point) -> float:
        """Return the mean of the scores of `point`, -1 without any."""
        found = self.scores.get(point)
        return sum(found) / len(found) if found else LOWEST

    def complete(self, point: Point) -> bool:
        """Return whether `point` was trained with all seeds."""
        return len(self.scores.get(point, ())) == len(self.seeds)

    def reaches(self, point: Point, target: float) -> bool:
        """Return whether `point` was trained with all seeds and has a mean of at least `target`."""
        return self.complete(point) and self.mean(point) >= target

    def fails(self, point: Point, target: float, allowed: Callable[[Point], bool]) -> bool:
        """Return whether `point` is known not to reach `target`: refused, or trained with a lower mean."""
        if point in self.refused or not allowed(point):
            return True
        return point in self.scores and self.mean(point) < target

    def minimal(self, target: float, allowed: Callable[[Point], bool]) -> list[Point]:
        """Return the sets that reach `target` and from which, as is known, nothing can be dropped."""
        return [
            point
            for point in self.scores
            if point
            and self.reaches(point, target)
            and all(self.fails(point - {fix}, target, allowed) for fix in point)
        ]


def replayed(trainings: Iterable[Training], seeds: Sequence[int], score: Score) -> Replay:
    """Return the scores of all `trainings`."""
    replay = Replay(seeds, score)
    for training in trainings:
        replay.add(training)
    return replay


def until(
    trainings: Sequence[Training],
    seeds: Sequence[int],
    score: Score,
    compute: Callable[[Point], float],
    done: Callable[[Replay, Point], bool],
) -> Reached:
    """Return what it took until `done` says so of the scores and of the point that was trained last."""
    replay = Replay(seeds, score)
    points: set[Point] = set()
    spent = 0.0
    for number, training in enumerate(trainings, start=1):
        replay.add(training)
        points.add(training[0])
        spent += compute(training[0])
        if done(replay, training[0]):
            return Reached(number, len(points), spent, True)
    return Reached(len(trainings), len(points), spent, False)


def target_of(posted: float, best: float) -> float:
    """Return the score that counts as repaired: the best less 5% of the gain."""
    return best - TOLERANCE * max(0.0, best - posted)


def codes_of(fix: Fix) -> set[str]:
    """Return the fault codes that a fix stands for."""
    found = set()
    for path in (*fix.set, *fix.multiply):
        segments = path.split(".")
        if segments[0] == "layers" and len(segments) > 2:
            key = segments[2]
            if key.endswith("initializer"):
                found.add("WCI")
            elif key.endswith(("l1", "l2")):
                found.add("RCW")
            else:
                found.add(CODES.get(key, "MWA"))
        elif segments[0] == "layers":
            found.add("MWA")
        elif segments[0] == "optimizer":
            found.add(CODES.get(segments[1], "OCH") if len(segments) > 1 else "OCH")
        elif segments[0] in CODES:
            found.add(CODES[segments[0]])
    return found | ({"LRM"} if fix.insert else set()) | ({"LAD"} if fix.remove else set())


class Diagnosis(NamedTuple):
    """How well codes agree with labels: shares of the labels that are named, and of the codes that are labels."""

    recall: float
    precision: float
    named: bool


def agreement(codes: Iterable[str], labels: Iterable[str]) -> Diagnosis:
    """Return how well `codes` agree with `labels`. The number of units is a part of the architecture (MWA)."""
    wanted, said = set(labels), set(codes)
    right = said & wanted | ({"LCN"} & said if "MWA" in wanted else set())
    covered = wanted & said | ({"MWA"} & wanted if "LCN" in said else set())
    recall = len(covered) / len(wanted) if wanted else 0.0
    return Diagnosis(recall, len(right) / len(said) if said else 0.0, bool(right))


def best_agreement(sets: Sequence[Iterable[str]], labels: Iterable[str]) -> Diagnosis:
    """Return the best agreement of any of the sets: that of the best F1, and of those the best recall."""
    wanted = set(labels)
    found = [agreement(codes, wanted) for codes in sets]

    def f1(each: Diagnosis) -> tuple[float, float]:
        total = each.recall + each.precision
        return (2 * each.recall * each.precision / total if total else 0.0, each.recall)

    return max(found, key=f1, default=Diagnosis(0.0, 0.0, False))


def given_up(trainings: Sequence[Training], seeds: Sequence[int], score: Score, target: float) -> set[Point]:
    """Return the points that were trained with one seed only, as posted and those that reached `target` left out."""
    replay = replayed(trainings, seeds, score)
    return {point for point in replay.scores if point and not replay.complete(point) and replay.mean(point) < target}


def mean(values: Iterable[float]) -> float:
    """Return the mean of `values`."""
    return statistics.fmean(values)


def rounded(value: Any, digits: int = 4) -> Any:
    """Return numbers, also in lists and mappings, rounded."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, Mapping):
        return {key: rounded(each, digits) for key, each in value.items()}
    return [rounded(each, digits) for each in value] if isinstance(value, list | tuple) else value


def halves(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Yield all rows, those of even and those of odd place in the file; thresholds were chosen on the even ones."""
    yield "all", list(rows)
    for name, rest in (("even", 0), ("odd", 1)):
        yield name, [row for row in rows if row["index"] % 2 == rest]
