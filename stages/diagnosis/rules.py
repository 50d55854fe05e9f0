"""The catalogue of rules: a case, its data and the symptoms of one run -> the fixes that are suggested for it."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from pydantic import ValidationError

from stages.config import fixes
from stages.config.fixes import Fix
from stages.config.network import PostedNetwork
from stages.config.schema import Case
from stages.config.strict import RefusedError
from stages.data.prepared import Prepared
from stages.diagnosis import rules_data, rules_output, rules_rate, rules_shape, rules_training
from stages.diagnosis.facts import facts_of
from stages.diagnosis.look import Advice, Look, Rule, Suggestion

CATALOGUE: tuple[Rule, ...] = (
    *rules_output.RULES,
    *rules_data.RULES,
    *rules_training.RULES,
    *rules_rate.RULES,
    *rules_shape.RULES,
)
MOST = 20


def suggest(case: Case, data: Prepared, symptoms: Mapping[str, Any] | None) -> list[Suggestion]:
    """Return the fixes that the rules suggest for `case`, those with evidence first, then the controls.

    `data` are the prepared data of the case, `symptoms` those of a run as posted (`Run.symptoms`), None if there is
    none. Each fix resolves alone, and each two either combine or are alternatives.
    """
    held_out = case.judged_by in data.y and case.judged_by != "train"
    look = Look(case.as_posted, case.task, facts_of(case.as_posted, data), symptoms, held_out)
    found = list(suggested(look))
    ordered = [each for each in found if not each.control] + [each for each in found if each.control]
    return compatible(look.posted, ordered)[:MOST]


def suggested(look: Look) -> Iterator[Suggestion]:
    """Yield what each rule advises, as fixes; advice that changes nothing, or is refused, is left out."""
    results = [look.posted]
    for rule in CATALOGUE:
        for advice in rule(look):
            fix = fix_of(advice)
            result = resolved(look.posted, {advice.name: fix})
            if result is not None and result not in results:
                results.append(result)
                yield Suggestion(advice.name, fix, rule.__name__, advice.control)


def fix_of(advice: Advice) -> Fix:
    """Return advice as a fix."""
    changes = advice.changes
    return Fix(
        why=advice.why,
        source=advice.source,
        set=dict(changes.set),
        multiply=dict(changes.multiply),
        insert={name: dict(layer) for name, layer in changes.insert.items()},
        remove=changes.remove,
    )


def resolved(posted: PostedNetwork, chosen: Mapping[str, Fix]) -> PostedNetwork | None:
    """Return the network with the fixes `chosen`, None if it is refused."""
    try:
        return fixes.apply(posted, chosen, {})
    except (RefusedError, ValidationError):
        return None


def compatible(posted: PostedNetwork, found: list[Suggestion]) -> list[Suggestion]:
    """Return suggestions without those that neither combine with an earlier one nor are its alternative."""
    by_name: dict[str, Fix] = {}
    for each in found:
        by_name.setdefault(each.name, each.fix)
    excluded = fixes.alternatives(posted, by_name)
    refused: set[str] = set()
    for first, second in combinations(by_name, 2):
        if {first, second} & refused or frozenset((first, second)) in excluded:
            continue
        if resolved(posted, {name: by_name[name] for name in (first, second)}) is None:
            refused.add(second)
    return [each for each in found if each.name not in refused and by_name[each.name] is each.fix]
