"""Repairs as the page shows them: the lines to change, what each fix is worth, and how a search found them."""

from collections.abc import Mapping
from typing import Any

from stages.analysis.findings import NOTHING
from stages.analysis.path import end_of, path_to_repair
from stages.analysis.results import CaseResult, Estimate, FixResult, RepairResult, SearchResult
from stages.page.answer_view import answer_view, change_text, score_text
from stages.page.numbers import axis_of
from stages.page.symptoms import symptoms_view
from stages.page.words import label


def repair_view(repair: RepairResult, split: str, fixes: Mapping[str, FixResult]) -> dict[str, Any]:
    """Return what the page shows of a repair; its fixes are in the order of what they are worth."""
    worth = sorted(repair.worth, key=lambda fix: -(repair.worth[fix].mean or 0.0))
    return {
        "fixes": repair.fixes,
        "score": repair.scores[split],
        "threshold": repair.threshold,
        "seeds": len(repair.seeds),
        "repaired": round(repair.repaired * len(repair.seeds)),
        "worth": [{"fix": fixes[fix], "lost": repair.worth[fix]} for fix in worth],
        "axis": axis_of(repair.worth.values()),
    }


def search_view(result: CaseResult, search: SearchResult) -> dict[str, Any]:
    """Return how a search went: each improvement with the fixes that it adds to and takes from the one before."""
    steps, before = [], set[str]()
    for step in search.path:
        added = [fix for fix in step.fixes if fix not in before]
        dropped = [fix.name for fix in result.fixes if fix.name in before and fix.name not in step.fixes]
        score = Estimate(mean=step.score, low=None, high=None)
        steps.append({"place": step.place, "fixes": step.fixes, "added": added, "dropped": dropped, "score": score})
        before = set(step.fixes)
    return {"steps": steps, **dict(search)}


def printed(result: CaseResult) -> list[dict[str, Any]]:
    """Return the accuracy that Keras prints for the networks as posted and repaired, beside the score.

    Nothing is returned if they are the same.
    """
    split = result.judged_by
    shown = [
        variant
        for variant in result.variants
        if variant.name in ("as_posted", result.fixed) and split in variant.keras_accuracy
    ]
    pairs = [(variant.keras_accuracy[split].mean or 0.0, variant.scores[split].mean or 0.0) for variant in shown]
    if all(abs(accuracy - score) < NOTHING for accuracy, score in pairs):
        return []
    return [
        {"name": variant.label, "printed": variant.keras_accuracy[split], "score": variant.scores[split]}
        for variant in shown
    ]


def condition_answer(result: CaseResult, keras: str) -> dict[str, Any]:
    """Return the answer of a case under the condition `keras`, and what stands behind it.

    `repairs` is empty if nothing repairs the network. `search` is None if every combination was trained.
    """
    split = result.judged_by
    fixes = {fix.name: fix for fix in result.fixes}
    found = result.repairs.get(keras, ())
    search = result.search.get(keras)
    return {
        "keras": f"Keras {keras}",
        "label": label(result, split),
        "split": split,
        "repairs": [
            repair_view(repair, split, fixes) | {"fresh": bool(search), "reached": score_text(result, repair.threshold)}
            for repair in found
        ],
        "best": end_of(result, keras),
        "before": result.variant("as_posted", keras).scores[split].mean,
        "path": path_to_repair(result, keras) if search else [],
        "search": search_view(result, search) if search else None,
        "symptoms": symptoms_view(result, keras),
    }


def tracked(result: CaseResult, keras: str) -> dict[str, bytes]:
    """Return the answer under the condition `keras` as files by path: in words, as a diff, and as whole scripts.

    The first line of answer.txt is the answer in one sentence.
    """
    answer = answer_view(result, keras)
    lines = [answer.sentence]
    if answer.after:
        lines += ["", f"The changes repair the network {answer.seeds}. Without a change, this much is lost:"]
        lines += [f"  {fix.name}: {change_text(result, fix.worth)}. {fix.why}" for fix in answer.fixes]
    lines += ["", f"Trained were {answer.tried}.", *answer.otherwise, *answer.misleading, *answer.warnings]
    texts = {"answer.txt": "\n".join(lines), "as_posted.py": answer.posted.rstrip()}
    if answer.after:
        texts |= {"repair_diff.txt": "\n".join(answer.diff), "repaired.py": answer.repaired.rstrip()}
    return {path: f"{text}\n".encode() for path, text in texts.items()}
