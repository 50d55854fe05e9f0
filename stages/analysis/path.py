"""The path from the network as posted to the first repair, through points that were trained."""

from dataclasses import dataclass

from stages.analysis import findings
from stages.analysis.results import CaseResult, Estimate


@dataclass(frozen=True)
class PathStep:
    """A trained point on the path: the fixes that it adds to the point before, and its score."""

    added: tuple[str, ...]
    score: Estimate


def end_of(result: CaseResult, keras: str) -> tuple[str, ...]:
    """Return the fixes of the first repair or, without a repair, of the point with the best score."""
    if repairs := result.repairs.get(keras):
        return repairs[0].fixes
    points = result.points_of(keras)
    # Of equals the smallest, so that a case without a gain ends as posted.
    return min(points, key=lambda fixes: (-findings.mean(points[fixes], result.judged_by), len(fixes)))


def path_to_repair(result: CaseResult, keras: str) -> list[PathStep]:
    """Return the steps from as posted to the first repair under the condition `keras`.

    A step adds as few fixes as the trained points allow, and of such points the one with the best score is taken. The
    score of the repair is that on its own seeds. The first step adds nothing.
    """
    split, end = result.judged_by, end_of(result, keras)
    scores: dict[tuple[str, ...], Estimate] = {
        fixes: point.scores[split] for fixes, point in result.points_of(keras).items()
    }
    scores |= {(): scores.get((), result.variant("as_posted", keras).scores[split])}
    if repairs := result.repairs.get(keras):
        scores[end] = repairs[0].scores[split]
    steps, reached = [PathStep((), scores[()])], set[str]()
    while reached != set(end):
        larger = [fixes for fixes in scores if reached < set(fixes) <= set(end)]
        chosen = min(larger, key=lambda fixes: (len(fixes), -_value(scores[fixes])))
        steps.append(PathStep(tuple(fix for fix in chosen if fix not in reached), scores[chosen]))
        reached = set(chosen)
    return steps


def _value(estimate: Estimate) -> float:
    return findings.LEAST if estimate.mean is None else estimate.mean
