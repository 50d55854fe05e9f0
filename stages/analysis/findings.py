"""Findings among the points and effects of a case: the facts from which the report's sentences are written."""

from dataclasses import dataclass

from stages.analysis.results import CaseResult, Interaction, PointResult

# Without a necessary fix, at least this share of the full gain is lost.
NECESSARY_SHARE = 0.5
# One percentage point: a smaller effect counts as nothing.
NOTHING = 0.01


@dataclass(frozen=True)
class Findings:
    """Findings among the effects on the score on one split.

    `necessary` maps a fix to the score of all others without it; `idle` fixes do nothing alone; `harmful` maps a fix to
    its Shapley value if that is a loss. `helping` and `hindering` are the pairs that gain most and lose most by being
    together, None if there is no such pair. `substitutes` says that each of the hindering pair adds score by itself.
    """

    gains: bool
    necessary: dict[str, float]
    idle: list[str]
    harmful: dict[str, float]
    enough: tuple[tuple[str, ...], ...]
    helping: Interaction | None
    hindering: Interaction | None
    substitutes: bool


@dataclass(frozen=True)
class Advice:
    """The points with and without the fix that is missed most.

    `without` holds as posted, the variants that lack the fix, and all other fixes together; `paired` the fix with each
    single other one, best first. `advised` is the variant that lacks the fix and has most other fixes, `completed` the
    same with the fix; both are None if no variant of two or more fixes lacks it. `better` are the points of `paired`
    that score higher than `advised`.
    """

    fix: str
    without: list[PointResult]
    paired: list[PointResult]
    advised: PointResult | None
    completed: PointResult | None
    better: list[PointResult]


def mean(point: PointResult, split: str) -> float:
    """Return the mean score of `point`, which is finite because a diverged run predicts classes too."""
    value = point.scores[split].mean
    assert value is not None
    return value


def find(result: CaseResult, split: str) -> Findings:
    """Return what stands out among the effects on the score on `split`."""
    effects = result.effects[split]
    names = [fix.name for fix in result.fixes]
    points = {point.fixes: point for point in result.points}
    full_gain = effects.full_gain.mean or 0.0
    gains = full_gain >= NOTHING
    lost = {name: effects.fixes[name].leave_one_out.mean or 0.0 for name in names}
    necessary = [name for name in names if gains and lost[name] >= NECESSARY_SHARE * full_gain]
    pairs = sorted(effects.interactions, key=lambda pair: pair.mean or 0.0)
    helping = pairs[-1] if pairs and (pairs[-1].mean or 0) >= NOTHING else None
    hindering = pairs[0] if pairs and (pairs[0].mean or 0) <= -NOTHING else None
    shapley = {name: effects.fixes[name].shapley for name in names}
    return Findings(
        gains=gains,
        necessary={
            name: mean(points[tuple(other for other in names if other != name)], split)
            for name in sorted(necessary, key=lambda name: lost[name], reverse=True)
        },
        idle=[name for name in names if abs(effects.fixes[name].alone.mean or 0) < NOTHING],
        harmful={
            name: value.mean
            for name, value in shapley.items()
            if value.mean is not None and value.mean <= -NOTHING and (value.high is None or value.high < 0)
        },
        enough=effects.smallest_sets,
        helping=helping,
        hindering=hindering,
        substitutes=bool(
            hindering and all((effects.fixes[name].main_effect.mean or 0) > 0 for name in hindering.fixes)
        ),
    )


def advice(result: CaseResult, split: str) -> Advice | None:
    """Return the points with and without the necessary fix whose absence costs most.

    None if there are fewer than two fixes, or no fix is necessary.
    """
    necessary = find(result, split).necessary
    names = [fix.name for fix in result.fixes]
    if len(names) < 2 or not necessary:
        return None
    fix = next(iter(necessary))
    points = {point.fixes: point for point in result.points}

    def subset(*chosen: str) -> tuple[str, ...]:
        return tuple(name for name in names if name in chosen)

    others = subset(*(name for name in names if name != fix))
    without = [p for p in result.points if fix not in p.fixes and (p.variants or p.fixes == others)]
    paired = sorted((points[subset(fix, o)] for o in others), key=lambda p: mean(p, split), reverse=True)
    advised = max((p for p in without if p.variants and len(p.fixes) > 1), key=lambda p: len(p.fixes), default=None)
    return Advice(
        fix=fix,
        without=sorted(without, key=lambda point: len(point.fixes)),
        paired=paired,
        advised=advised,
        completed=points[subset(fix, *advised.fixes)] if advised else None,
        better=[point for point in paired if advised and mean(point, split) > mean(advised, split)],
    )
