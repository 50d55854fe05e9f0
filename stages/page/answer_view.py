"""The answer of a case in words and in lines of code, for the terminal and for the report's first screen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stages.analysis import findings
from stages.analysis.results import CaseResult, Estimate, FixResult, RepairResult
from stages.base import files
from stages.base.errors import UserError
from stages.config.network import WHEN
from stages.page import keras_code
from stages.page.keras_data import CaseData
from stages.page.numbers import LOWEST, percent, spelled, typeset
from stages.page.words import label

# A fix with more changes is called by its name.
MOST_PHRASES = 2
PHRASES = {
    "learning_rate": "a rate of {}",
    "optimizer": "the optimizer {}",
    "loss": "the loss {}",
    "epochs": "{} epochs",
    "batch_size": "batches of {}",
    "units": "{} units",
    "activation": "{}",
    "inputs": "{} inputs",
    "targets": "{} targets",
}


@dataclass(frozen=True)
class FixWorth:
    """A fix of a repair, with its reason, and the score that is lost without it."""

    name: str
    why: str
    source: str | None
    worth: Estimate | None


@dataclass(frozen=True)
class OtherRepair:
    """Another smallest repair, its score, and in how many seeds it repairs, in words."""

    fixes: tuple[str, ...]
    score: Estimate
    seeds: str


@dataclass(frozen=True)
class Answer:
    """The answer of a case under a condition.

    Attributes
    ----------
    sentence : str
        The answer, with the score before and after.
    label : str
        The score in words, such as ``test accuracy``; `split` is its split.
    before, after : Estimate
        The score as posted and repaired, `after` None if no repair was found.
    diff : tuple of str
        The lines of the posted script that change, each with ``- `` or ``+ ``; empty if no repair was found.
    posted, repaired : str
        The whole scripts; `repaired` is empty if no repair was found.
    fixes : tuple of FixWorth
        The fixes of the repair, the most valuable first.
    seeds : str
        In how many seeds it repairs, in words; those of a search are fresh ones.
    others : tuple of OtherRepair
        Other smallest repairs, the best first.
    equivalents : tuple of tuple of str
        Groups of fixes that stand for each other in a repair.
    words : dict
        Each fix by name -> its changes in words, such as ``a rate of 0.01``.
    idle, harmful, untried : tuple of str
        Fixes that do nothing alone, that lower the score, and that were not tried.
    tried : str
        What was trained, in words.
    misleading, warnings : tuple of str
        Sentences about numbers that mislead, and about data that no fix repairs.
    otherwise : tuple of str
        A sentence per other condition of the case whose answer differs.
    """

    keras: str
    split: str
    label: str
    sentence: str
    before: Estimate
    after: Estimate | None
    diff: tuple[str, ...]
    posted: str
    repaired: str
    fixes: tuple[FixWorth, ...]
    seeds: str
    others: tuple[OtherRepair, ...]
    equivalents: tuple[tuple[str, ...], ...]
    words: dict[str, str]
    idle: tuple[str, ...]
    harmful: tuple[str, ...]
    untried: tuple[str, ...]
    tried: str
    misleading: tuple[str, ...]
    warnings: tuple[str, ...]
    otherwise: tuple[str, ...]


def today_first(conditions: Sequence[str]) -> list[str]:
    """Return conditions, today's Keras first."""
    return sorted(conditions, key=float, reverse=True)


def answer_view(result: CaseResult, keras: str, split: str = "") -> Answer:
    """Return the answer of a case under the condition `keras`.

    Scores are those on `split` or, without it, on the split by which the case is judged. What a fix is worth is known
    on the latter only.

    Raises
    ------
    UserError
        If the result is older than repairs.
    """
    if keras not in result.repairs:
        path = files.result_path(result.case)
        raise UserError(f"{path}: repairs: no Keras {keras}; expected those of each condition; run dvc repro")
    repairs = result.repairs[keras]
    best = repairs[0] if repairs else None
    case, split = CaseData.of(result), split or result.judged_by
    as_posted = result.variant("as_posted", keras)
    before, after = as_posted.scores[split], best.scores[split] if best else None
    idle, harmful, untried = _by_effect(result, keras)
    searched = keras in result.search
    return Answer(
        keras=keras,
        split=split,
        label=label(result, split),
        sentence=_sentence(result, keras, best, split),
        before=before,
        after=after,
        diff=tuple(keras_code.diff(result.as_posted, best.network, case)) if best else (),
        posted=keras_code.script({**result.as_posted, "keras": keras}, case),
        repaired=keras_code.script({**best.network, "keras": keras}, case) if best else "",
        fixes=_worths(result, best) if best else (),
        seeds=_in_seeds(best, searched) if best else "",
        others=tuple(OtherRepair(each.fixes, each.scores[split], _in_seeds(each, searched)) for each in repairs[1:]),
        equivalents=result.search[keras].equivalents if searched else (),
        words={fix.name: in_words(fix) for fix in result.fixes},
        idle=idle,
        harmful=harmful,
        untried=untried,
        tried=_tried(result, keras),
        misleading=tuple(remark.text for remark in result.misleading),
        warnings=tuple(remark.text for remark in result.warnings),
        otherwise=tuple(
            line
            for other in today_first(result.keras)
            if other != keras
            for line in _otherwise(result, other, best, split)
        ),
    )


def in_words(fix: FixResult) -> str:
    """Return the changes of a fix as a reader says them, or its name if they are many."""
    values = {key: new for key, _, new in fix.changes}
    phrases = [_phrase(key, value) for key, value in values.items() if value]
    if not phrases or len(phrases) > MOST_PHRASES:
        return fix.name
    return " and ".join(phrases)


def _phrase(key: str, value: str) -> str:
    """Return a setting with its new value in words."""
    *place, setting = key.split(".")
    where = f" in {place[1]}" if place[:1] == ["layers"] and len(place) > 1 else ""
    form = PHRASES.get(setting)
    return f"{form.format(value)}{where}" if form else f"{key} = {value}"


def score_text(result: CaseResult, value: float | None) -> str:
    """Return a score as a reader takes it: an accuracy in percent, R² as a number."""
    if result.score == "accuracy":
        return percent(value)
    if value is not None and value < LOWEST:
        return f"below {typeset(LOWEST, '.0f')}"
    return typeset(value, ".3f")


def change_text(result: CaseResult, value: Estimate | None) -> str:
    """Return a difference of scores with its interval: points of accuracy, or R²."""
    if value is None or value.mean is None:
        return "not known"
    shown = [
        typeset(100 * each, ".1f") if result.score == "accuracy" else typeset(each, ".3f") for each in _ends(value)
    ]
    unit = " points" if result.score == "accuracy" else ""
    return f"{shown[0]}{unit}" + (f" ({shown[1]} to {shown[2]})" if len(shown) > 1 else "")


def _ends(value: Estimate) -> list[float]:
    ends = [value.mean, value.low, value.high] if value.low is not None else [value.mean]
    return [each for each in ends if each is not None]


def _sentence(result: CaseResult, keras: str, best: RepairResult | None, split: str) -> str:
    """Return the answer in one sentence, with the scores on `split`."""
    name, when = label(result, split), f" {WHEN[keras]}" if len(result.keras) > 1 else ""
    start = score_text(result, result.variant("as_posted", keras).scores[split].mean)
    if not result.fixes:
        return f"No fix is suggested; as posted, the {name}{when} is {start}."
    if best is None:
        return f"No tried combination of the fixes repairs the network{when}; its {name} stays at {start}."
    if not best.fixes:
        return f"The network needs no repair{when}: its {name} is {start}, and no tried combination is better."
    count = len(best.fixes)
    change = f"{spelled(count)} change{'' if count == 1 else 's'} repair{'s' if count == 1 else ''} the network{when}"
    return f"{change}: the {name} goes from {start} to {score_text(result, best.scores[split].mean)}."


def _worths(result: CaseResult, best: RepairResult) -> tuple[FixWorth, ...]:
    known = {fix.name: fix for fix in result.fixes}
    rows = [FixWorth(name, known[name].why, known[name].source, best.worth.get(name)) for name in best.fixes]
    return tuple(sorted(rows, key=lambda row: -((row.worth and row.worth.mean) or 0.0)))


def _in_seeds(repair: RepairResult, searched: bool) -> str:
    """Return in how many seeds a repair reaches the threshold. Those of a search are fresh: it has not used them."""
    count, kind = len(repair.seeds), "fresh " if searched else ""
    return f"in {round(repair.repaired * count)} of {count} {kind}seed{'' if count == 1 else 's'}"


def _by_effect(result: CaseResult, keras: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the fixes that do nothing alone, that lower the score, and that were not tried."""
    if keras in result.search:
        found = result.search[keras]
        return found.idle, found.harmful, found.untried
    if keras in result.effects and result.judged_by in result.effects[keras]:
        measured = findings.find(result, keras, result.judged_by)
        return tuple(measured.idle), tuple(measured.harmful), ()
    return (), (), ()


def _tried(result: CaseResult, keras: str) -> str:
    """Return what was trained to find the repairs."""
    n_fixes = f"{len(result.fixes)} fix{'' if len(result.fixes) == 1 else 'es'}"
    if keras not in result.search:
        count = len(result.points_of(keras))
        return f"all {count} combinations of {n_fixes}, with {len(result.seeds)} seeds each"
    found = result.search[keras]
    chance = f"{math.ceil(1000 * found.error_rate) / 10:g}%"
    return (
        f"{found.points} combinations of {n_fixes} in {found.trainings} trainings; "
        f"a combination as good as the best is missed with a probability of at most {chance}"
    )


def _otherwise(result: CaseResult, keras: str, best: RepairResult | None, split: str) -> list[str]:
    """Return a sentence about the condition `keras` if its answer is another one."""
    repairs = result.repairs.get(keras, ())
    if [each.fixes for each in repairs[:1]] == ([best.fixes] if best else []):
        return []
    sentence = _sentence(result, keras, repairs[0] if repairs else None, split)
    if repairs and repairs[0].fixes:
        sentence = f"{sentence.removesuffix('.')} ({', '.join(repairs[0].fixes)})."
    return [sentence]
