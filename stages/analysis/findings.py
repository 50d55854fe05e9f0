"""Findings among the points and effects of a case: the facts from which the report's sentences are written.

A claim about a fix is made only if the whole 95% interval of its effect is on one side of the threshold. If the
threshold is inside the interval, the claim is undecided.
"""

from dataclasses import dataclass

from stages.analysis.results import CaseResult, Estimate, Interaction, PointResult

# Without a necessary fix, at least this share of the full gain is lost.
NECESSARY_SHARE = 0.5
# An R² that is not finite, or below this, counts as this in effects: how wrong a useless network is would otherwise
# outweigh all else.
LEAST = -1.0
# One percentage point: a smaller effect counts as nothing.
NOTHING = 0.01


@dataclass(frozen=True)
class Findings:
    """Findings among the effects on the score on one split.

    `necessary` maps a fix to the score of all others without it; `idle` fixes do nothing alone; `harmful` maps a fix to
    its Shapley value if that is a loss. `undecided` maps each of these three claims to the fixes of which the intervals
    do not tell. `helping` and `hindering` are the pairs that gain most and lose most by being together, None if there
    is no such pair. `substitutes` says that each of the hindering pair adds score by itself.
    """

    gains: bool
    necessary: dict[str, float]
    idle: list[str]
    harmful: dict[str, float]
    undecided: dict[str, list[str]]
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
    """Return the mean score of `point`; one that is not finite counts as in effects."""
    value = point.scores[split].mean
    return LEAST if value is None else value


def at_least(estimate: Estimate | None, threshold: float) -> bool | None:
    """Return whether the interval of `estimate` is above `threshold`, and None if the threshold is inside.

    Without an interval (one seed, or a value that is not finite) the mean decides.
    """
    if estimate is None:
        return False
    if estimate.low is None or estimate.high is None:
        return (estimate.mean or 0.0) >= threshold
    return None if estimate.low < threshold <= estimate.high else estimate.low >= threshold


def find(result: CaseResult, keras: str, split: str) -> Findings:
    """Return what stands out among the effects on the score on `split` under the condition `keras`."""
    effects = result.effects[keras][split]
    names = [fix.name for fix in result.fixes]
    points = result.points_of(keras)
    full_gain = effects.full_gain.mean or 0.0
    gains = full_gain >= NOTHING
    lost = {name: effects.fixes[name].leave_one_out for name in names}
    worth = {name: fix.worth for name, fix in effects.fixes.items()}
    claims: dict[str, dict[str, bool | None]] = {
        "necessary": {name: gains and at_least(lost[name], NECESSARY_SHARE * full_gain) for name in names},
        "idle": {name: _is_nothing(effects.fixes[name].alone) for name in names},
        "harmful": {name: _is_loss(worth[name]) for name in names},
    }
    claimed = {claim: [name for name in names if verdicts[name]] for claim, verdicts in claims.items()}
    pairs = sorted(effects.interactions, key=lambda pair: pair.mean or 0.0)
    helping = pairs[-1] if pairs and (pairs[-1].mean or 0) >= NOTHING else None
    hindering = pairs[0] if pairs and (pairs[0].mean or 0) <= -NOTHING else None
    return Findings(
        gains=gains,
        necessary={
            name: mean(points[tuple(other for other in names if other != name)], split)
            for name in sorted(claimed["necessary"], key=lambda name: _mean(lost[name]), reverse=True)
        },
        idle=claimed["idle"],
        harmful={name: _mean(worth[name]) for name in claimed["harmful"]},
        undecided={claim: [name for name in names if verdicts[name] is None] for claim, verdicts in claims.items()},
        enough=effects.smallest_sets,
        helping=helping,
        hindering=hindering,
        substitutes=bool(hindering and all(_mean(effects.fixes[name].main_effect) > 0 for name in hindering.fixes)),
    )


def _mean(estimate: Estimate | None) -> float:
    return 0.0 if estimate is None or estimate.mean is None else estimate.mean


def _is_nothing(effect: Estimate | None) -> bool | None:
    if effect is None:
        return False
    above, below = at_least(effect, NOTHING), at_least(effect, -NOTHING)
    if above is None or below is None:
        return None
    return below and not above


def _is_loss(effect: Estimate) -> bool | None:
    if (effect.mean or 0.0) > -NOTHING:
        return False
    below_zero = at_least(effect, 0.0)
    return None if below_zero is None else not below_zero


def advice(result: CaseResult, keras: str, split: str) -> Advice | None:
    """Return the points under `keras` with and without the necessary fix whose absence costs most.

    None if there are fewer than two fixes, or no fix is necessary.
    """
    necessary = find(result, keras, split).necessary
    names = [fix.name for fix in result.fixes]
    if len(names) < 2 or not necessary:
        return None
    fix = next(iter(necessary))
    points = result.points_of(keras)

    def subset(*chosen: str) -> tuple[str, ...]:
        return tuple(name for name in names if name in chosen)

    others = subset(*(name for name in names if name != fix))
    without = [p for p in points.values() if fix not in p.fixes and (p.variants or p.fixes == others)]
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
