"""A fault -> how each method did on it; all faults -> the figures of the search benchmark."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks import measures, peers
from benchmarks.faults import Fault
from benchmarks.measures import Reached, Replay
from benchmarks.table import FRESH, SEEDS, MissingError, Scorer
from stages.diagnosis.found import leaders_of
from stages.diagnosis.scores import AS_POSTED, Scores, Training
from stages.diagnosis.space import Point

REPETITIONS, ELIMINATIONS, TPE_REPETITIONS = 10, 3, 1
# So many of the best points are trained with fresh seeds, to choose the target among them.
CANDIDATES = 5
# A fault is compared if some method gains so much, in accuracy or R², on fresh seeds.
SMALLEST_GAIN = 0.05
# Scores of the short training and of whichfix's own count as equal if they differ by so much.
CLOSE = 0.02
METHODS = {
    "whichfix": "whichfix",
    "random": "random search",
    "raced": "random search, raced",
    "eliminated": "random search, raced, with whichfix's elimination",
    "tpe": "TPE",
    "tpe_first": "TPE with whichfix's first points",
}


def runs_of(scorer: Scorer, method: str) -> Iterator[list[Training]]:
    """Yield the trainings of each repetition of a method; those that are not in the table end it."""
    if method == "whichfix":
        yield peers.whichfix(scorer)[0]
    elif method.startswith("tpe"):
        first = peers.first_points(scorer.space) if method == "tpe_first" else [AS_POSTED]
        for repetition in range(TPE_REPETITIONS):
            try:
                yield list(peers.tpe(scorer, repetition, first))
            except MissingError:
                if repetition == 0:
                    raise
    else:
        points = peers.pool(scorer.space)
        for repetition in range(ELIMINATIONS if method == "eliminated" else REPETITIONS):
            order = peers.order(points, repetition)
            if method == "random":
                yield peers.all_seeds(order)
            else:
                yield peers.raced(scorer, order, eliminate=method == "eliminated")


def histories(scorer: Scorer) -> dict[str, list[list[Training]]]:
    """Return the trainings of each repetition, by method; a method that is not in the table is left out."""
    found = {}
    for method in METHODS:
        try:
            found[method] = list(runs_of(scorer, method))
        except MissingError:
            continue
    return found


def candidates(scorer: Scorer, runs: Mapping[str, Sequence[Sequence[Training]]]) -> list[Point]:
    """Return the answers of all methods, and the points of the best means over the seeds of the search."""
    points = {point for each in runs.values() for trainings in each for point, _ in trainings}
    ordered = sorted(points, key=lambda point: (-scorer.mean(point), len(point), sorted(point)))
    answers = [answer(scorer, trainings) for each in runs.values() for trainings in each]
    return list(dict.fromkeys([*ordered[:CANDIDATES], *answers]))


def answer(scorer: Scorer, trainings: Sequence[Training]) -> Point:
    """Return the answer of a method: of its best points that are measured on the fresh seeds, the best one there."""
    scores = Scores(SEEDS)
    scores.points = list(dict.fromkeys(point for point, _ in trainings))
    scores.tell({training: scorer(*training) for training in trainings})
    leaders: list[Point] = []
    while leaders != (following := leaders_of(scores, FRESH)):
        leaders = following
        scores.tell({(point, seed): scorer(point, seed) for point in leaders for seed in FRESH})
    return max(leaders, key=lambda point: scores.mean(point, FRESH), default=AS_POSTED)


def row_of(fault: Fault, scorer: Scorer) -> dict[str, Any]:
    """Return what the methods did on a fault."""
    runs = histories(scorer)
    posted = posted_of(scorer, SEEDS), posted_of(scorer, FRESH)
    points = candidates(scorer, runs)
    best = max(points, key=lambda point: (scorer.mean(point, FRESH), -len(point)))
    best_score = scorer.mean(best, FRESH)
    row: dict[str, Any] = {
        "id": fault.id,
        "index": fault.index,
        "task": fault.case.task,
        "basis": fault.basis,
        "trust": fault.trust,
        "notes": list(fault.notes),
        "fixes": len(scorer.space.fixes),
        "posted": posted[1],
        "best": {"score": best_score, "fixes": sorted(best)},
        "published": published(fault, scorer),
        "compared": best_score - posted[1] >= SMALLEST_GAIN,
    }
    if not row["compared"]:
        return row
    # The target of a search is that of its own seeds, so that luck with seeds is the same for all methods.
    target = measures.target_of(posted[0], min(scorer.mean(best), best_score))
    fresh = measures.target_of(posted[1], best_score)
    row |= {"target": target, "target_fresh": fresh}
    row["methods"] = {method: of_method(scorer, each, target, fresh, row["published"]) for method, each in runs.items()}
    row["smallest"] = smallest_known(scorer, runs, target)
    if "whichfix" in runs:
        row["whichfix"] = of_whichfix(fault, scorer, fresh)
    row["racing"] = racing(scorer, [*runs.get("raced", ()), *runs.get("whichfix", ())], target)
    return row


def posted_of(scorer: Scorer, seeds: tuple[int, ...]) -> float:
    """Return the mean score as posted; 0 if it is refused, as in whichfix."""
    return 0.0 if scorer.entry(AS_POSTED, seeds).scores is None else scorer.mean(AS_POSTED, seeds)


def published(fault: Fault, scorer: Scorer) -> float | None:
    """Return the score of the published fix on fresh seeds, None if there is none or it cannot be trained."""
    if fault.fix is None:
        return None
    entry = scorer.table.of(fault.fix, FRESH)
    return None if entry.scores is None else measures.mean(max(-1.0, score) for score in entry.scores)


def of_method(
    scorer: Scorer, runs: Sequence[Sequence[Training]], target: float, fresh: float, published: float | None
) -> dict[str, Any]:
    """Return how soon a method reached the target, and whether its answer holds on fresh seeds."""
    posted = posted_of(scorer, FRESH)

    def took(done: Callable[[Replay, Point], bool]) -> list[Reached]:
        return [measures.until(trainings, SEEDS, scorer, scorer.compute, done) for trainings in runs]

    scores = [scorer.mean(answer(scorer, trainings), FRESH) for trainings in runs]
    good = took(lambda replay, point: replay.reaches(point, target))
    sets = took(lambda replay, _: bool(replay.minimal(target, scorer.space.allowed)))
    found: dict[str, Any] = {
        "repetitions": len(runs),
        "repaired": measures.mean(score >= fresh for score in scores),
        "until_target": summary(good),
        "until_minimal": summary(sets),
    }
    if published is not None and published - posted >= 0.01:
        level = measures.target_of(posted, published)
        found["published_reached"] = measures.mean(score >= level for score in scores)
    return found


def summary(took: Sequence[Reached]) -> dict[str, float]:
    """Return means over repetitions; one that never reached it counts with all that it trained."""
    return {
        "reached": measures.mean(each.reached for each in took),
        "trainings": measures.mean(each.trainings for each in took),
        "points": measures.mean(each.points for each in took),
        "compute": measures.mean(each.compute for each in took),
    }


def smallest_known(scorer: Scorer, runs: Mapping[str, Sequence[Sequence[Training]]], target: float) -> int | None:
    """Return the size of the smallest set that any method trained and that reaches the target."""
    points = {point for each in runs.values() for trainings in each for point, _ in trainings}
    return min((len(point) for point in points if point and scorer.mean(point) >= target), default=None)


def of_whichfix(fault: Fault, scorer: Scorer, fresh: float) -> dict[str, Any]:
    """Return the repairs of whichfix, and which of the labelled fault codes they name."""
    _, found = peers.whichfix(scorer)
    codes = [set().union(*(measures.codes_of(scorer.space.changes[fix]) for fix in repair)) for repair in found.repairs]
    first = codes[0] if codes else set()
    return {
        "repairs": [
            {"fixes": sorted(repair), "score": scorer.mean(repair, FRESH), "codes": sorted(each)}
            for repair, each in zip(found.repairs, codes, strict=True)
        ],
        "holds": bool(found.repairs) and scorer.mean(found.repairs[0], FRESH) >= fresh,
        "minimal": found.minimal,
        "labels": list(fault.codes),
        "first": measures.agreement(first, fault.codes)._asdict(),
        "equivalent": measures.best_agreement(codes, fault.codes)._asdict(),
    }


def racing(scorer: Scorer, runs: Sequence[Sequence[Training]], target: float) -> dict[str, int]:
    """Return how many points were given up after one seed, and how many of the good points that is."""
    good = wrongly = dropped = 0
    for trainings in runs:
        given_up = measures.given_up(trainings, SEEDS, scorer, target)
        points = {point for point, _ in trainings if point}
        right = {point for point in points if scorer.mean(point) >= target}
        good, wrongly, dropped = good + len(right), wrongly + len(right & given_up), dropped + len(given_up)
    return {"good": good, "good_given_up": wrongly, "given_up": dropped}


def figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures over faults, for all of them and for both halves."""
    return {name: figures_of(part) for name, part in measures.halves(rows)}


def figures_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures over some faults."""
    compared = [row for row in rows if row["compared"] and "whichfix" in row["methods"]]
    found: dict[str, Any] = {"faults": len(rows), "compared": len(compared), "methods": {}}
    if not compared:
        return found
    for method in METHODS:
        both = [row for row in compared if method in row["methods"]]
        if both:
            found["methods"][method] = against(both, method)
    answers = [row["whichfix"] for row in compared]
    sizes = [
        (len(row["whichfix"]["repairs"][0]["fixes"]) if row["whichfix"]["repairs"] else None, row["smallest"])
        for row in compared
    ]
    any_repairs = [row for row in compared if any(each["repaired"] for each in row["methods"].values())]
    ours = [row["methods"]["whichfix"]["repaired"] for row in any_repairs]
    found["repaired_of_any"] = measures.mean(ours) if ours else None
    found["repair_holds"] = measures.mean(answer["holds"] for answer in answers)
    found["as_small"] = measures.mean(size is not None and size <= least for size, least in sizes)
    found["diagnosis"] = {
        "benchmark": diagnosis([row for row in compared if row["basis"] == "benchmark" and row["trust"] != "low"]),
        "others": diagnosis([row for row in compared if row["basis"] != "benchmark" and row["trust"] != "low"]),
    }
    found["racing"] = {
        key: sum(row["racing"][key] for row in compared) for key in ("good", "good_given_up", "given_up")
    }
    pairs = [pair for row in rows for pair in row["check"]]
    differences = [abs(pair["quick"] - pair["whichfix"]) for pair in pairs]
    if pairs:
        close = measures.mean(difference <= CLOSE for difference in differences)
        found["check"] = {"pairs": len(pairs), "median": statistics.median(differences), "close": close}
    return found


def against(rows: Sequence[Mapping[str, Any]], method: str) -> dict[str, Any]:
    """Return the figures of a method, and those of whichfix relative to it, on the faults that have both."""

    def values(name: str, kind: str, key: str) -> list[float]:
        return [row["methods"][name][kind][key] for row in rows]

    found: dict[str, Any] = {
        "faults": len(rows),
        "repaired": measures.mean(row["methods"][method]["repaired"] for row in rows),
    }
    reached = [
        row["methods"][method]["published_reached"] for row in rows if "published_reached" in row["methods"][method]
    ]
    found["published_reached"] = measures.mean(reached) if reached else None
    for kind in ("until_target", "until_minimal"):
        found[kind] = {"reached": measures.mean(values(method, kind, "reached"))}
        for key in ("trainings", "points", "compute"):
            ours, theirs = values("whichfix", kind, key), values(method, kind, key)
            found[kind][key] = {
                "median": statistics.median(theirs),
                "of_medians": statistics.median(ours) / statistics.median(theirs),
                "of_sums": sum(ours) / sum(theirs),
                "median_ratio": statistics.median(one / other for one, other in zip(ours, theirs, strict=True)),
            }
    return found


def diagnosis(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return means over faults of what the first set, and the best of the equivalent sets, name of the labels."""
    if not rows:
        return {"faults": 0}
    return {
        "faults": len(rows),
        **{
            kind: {
                key: measures.mean(row["whichfix"][kind][key] for row in rows)
                for key in ("named", "recall", "precision")
            }
            for kind in ("first", "equivalent")
        },
    }
