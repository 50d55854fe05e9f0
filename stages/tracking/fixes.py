"""The content of the run of a case under a condition: its points, effects, repairs and search. Without MLflow."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from stages.analysis.results import CaseResult, Effects, RepairResult
from stages.tracking.content import DESCRIPTION, Content, MaybeMetric, finite, question, rounded

# Characters of a line in MLflow's preview of a text, beside its assistant.
WIDTH = 65


def fixes_content(result: CaseResult, keras: str, pictures: Mapping[str, bytes]) -> Content:
    """Return the run of a case under the condition `keras`.

    A metric ``effect/<split>.<effect>.<fix>`` is an effect of a fix; the split by which the case is judged comes first.
    For the first repair, ``worth/<fix>`` is what is lost without a fix, and ``repair/seeds_repaired`` the share of its
    seeds in which it repairs. ``search/best`` is the best score of a search; its steps
    count trained points.
    `pictures` are files by path; the first line of answer.txt is the answer.
    """
    answer = pictures.get("answer.txt", b"").decode()
    shown = {**pictures, "answer.txt": _wrapped(answer).encode()} if answer else pictures
    points = [_row(result, keras, fixes) for fixes in result.points_of(keras)]
    published = result.published_under(keras)
    effects = _in_order(result, keras)
    metrics, tags = finite(
        [
            *_repair_metrics(result, keras),
            *_search_metrics(result, keras),
            *(
                (f"effect/{split}.full_gain", result.effects[keras][split].full_gain.mean, 0)
                for split in _splits(result, keras)
            ),
            *((f"effect/{row['split']}.{row['effect']}.{row['fix']}", row["mean"], 0) for row in effects),
            ("published", len(published), 0),
            ("published_agreeing", sum(row.agrees for row in published), 0),
        ]
    )
    tags[DESCRIPTION] = "\n\n".join(filter(None, [answer.partition("\n")[0], _tried(result, keras), question(result)]))
    tables = {
        "points.json": points,
        "effects.json": effects,
        "repairs.json": [_repair_row(result, repair) for repair in result.repairs.get(keras, ())],
        "remarks.json": [remark.model_dump() for remark in (*result.misleading, *result.warnings)],
        "published.json": [row.model_dump(mode="json") for row in published],
    }
    params = {"case": result.case, "keras": keras, "judged_by": result.judged_by}
    params["suggested_fixes"] = ", ".join(fix.name for fix in result.fixes)
    if repairs := result.repairs.get(keras):
        params["repair"] = named(repairs[0].fixes)
    if search := result.search.get(keras):
        params |= {"search.points": str(search.points), "search.trainings": str(search.trainings)}
        params["search.error_rate"] = f"{search.error_rate:.4g}"
    return Content(params, metrics, tags, shown, {path: _columns(rows) for path, rows in tables.items() if rows})


def _wrapped(text: str) -> str:
    """Return `text` with lines that MLflow's preview shows whole."""
    lines = [
        textwrap.wrap(line, WIDTH, subsequent_indent="    " if line.startswith(" ") else "") or [""]
        for line in text.splitlines()
    ]
    return "".join(f"{line}\n" for wrapped in lines for line in wrapped)


def named(fixes: Iterable[str]) -> str:
    """Return a set of fixes as text."""
    return " + ".join(fixes) or "as posted"


def _splits(result: CaseResult, keras: str) -> list[str]:
    """Return the splits of the effects, that by which the case is judged first; none if the points are searched."""
    effects: Mapping[str, Effects] = result.effects.get(keras, {})
    return sorted(effects, key=lambda split: (split != result.judged_by, split))


def _in_order(result: CaseResult, keras: str) -> list[dict[str, Any]]:
    """Return a row per split, fix and effect that was measured."""
    return [
        {"split": split, "fix": fix, "effect": effect, "mean": value.mean, "low": value.low, "high": value.high}
        for split in _splits(result, keras)
        for fix, of_fix in result.effects[keras][split].fixes.items()
        for effect, value in of_fix
        if value is not None
    ]


def _row(result: CaseResult, keras: str, fixes: tuple[str, ...]) -> dict[str, Any]:
    """Return a row of the table of points; that of a search says the seeds of each."""
    point = result.points_of(keras)[fixes]
    row: dict[str, Any] = {"fixes": named(fixes), "variants": ", ".join(point.variants)}
    row |= {f"{split}_{result.score}": score.mean for split, score in point.scores.items()}
    row |= {"seeds": ", ".join(map(str, point.seeds))} if keras in result.search else {}
    return row | {"diverged": point.diverged}


def _repair_row(result: CaseResult, repair: RepairResult) -> dict[str, Any]:
    """Return a row of the table of repairs."""
    worth = {fix: f"{value.mean:+.4f}" for fix, value in repair.worth.items() if value.mean is not None}
    return {
        "fixes": named(repair.fixes),
        **{f"{split}_{result.score}": figure.mean for split, figure in repair.scores.items()},
        **{f"{split}_gain": figure.mean for split, figure in repair.gain.items()},
        "threshold": repair.threshold,
        "seeds_repaired": repair.repaired,
        "seeds": ", ".join(map(str, repair.seeds)),
        "worth": ", ".join(f"{fix} {value}" for fix, value in worth.items()),
    }


def _repair_metrics(result: CaseResult, keras: str) -> list[MaybeMetric]:
    """Return the figures of the first repair."""
    if not result.repairs.get(keras):
        return []
    first, split = result.repairs[keras][0], result.judged_by
    bounds = [
        (f"interval/worth.{fix}_{side}", bound, 0)
        for fix, value in first.worth.items()
        for side, bound in (("low", value.low), ("high", value.high))
        if bound is not None
    ]
    return [
        (f"repair/{split}_{result.score}", first.scores[split].mean, 0),
        (f"repair/{split}_gain", first.gain[split].mean, 0),
        ("repair/threshold", first.threshold, 0),
        ("repair/seeds_repaired", first.repaired, 0),
        *((f"worth/{fix}", value.mean, 0) for fix, value in first.worth.items()),
        *bounds,
    ]


def _search_metrics(result: CaseResult, keras: str) -> list[MaybeMetric]:
    """Return the best score of a search so far, at the places where a point improved on it."""
    search = result.search.get(keras)
    return [("search/best", step.score, step.place) for step in search.path] if search else []


def _tried(result: CaseResult, keras: str) -> str:
    """Return what was trained, and the sets that repair the network."""
    search, repairs = result.search.get(keras), result.repairs.get(keras, ())
    count = search.points if search else len(result.points_of(keras))
    text = f"{count} combinations of {len(result.fixes)} fixes, with the losses of Keras {keras}."
    if search:
        sets = " or ".join(named(repair.fixes) for repair in repairs) or "none"
        return f"{text} Sets that repair the network on {result.judged_by}: {sets}."
    measured = result.effects[keras]
    smallest = measured[result.judged_by].smallest_sets if result.judged_by in measured else ()
    sets = " or ".join(map(named, smallest)) or "none"
    return f"{text} Smallest sets that reach 95% of the full gain on {result.judged_by}: {sets}."


def _columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return rows with equal keys as columns, numbers with six digits."""
    listed = [{name: rounded(each) if isinstance(each, float) else each for name, each in row.items()} for row in rows]
    return {name: [row[name] for row in listed] for name in listed[0]}
