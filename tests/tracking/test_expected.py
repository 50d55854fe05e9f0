"""The runs that a store should hold and lacks, without MLflow."""

from pathlib import Path

import made_up
import made_up_search
import pytest

from stages.analysis import results
from stages.analysis.results import CaseResult
from stages.tracking.expected import (
    ExpectedRun,
    StoredRun,
    best_run,
    changes,
    expected_runs,
)
from tracking import sample

WANTED = [ExpectedRun("variant", "case", "fixed", "P"), ExpectedRun("seed", "case", "fixed", "C", 0, "P")]


@pytest.fixture
def result(template: Path, monkeypatch: pytest.MonkeyPatch) -> CaseResult:
    monkeypatch.chdir(template)
    return results.read(sample.CASE)


def keys(result: CaseResult) -> dict[tuple[str, int | None], str]:
    return {(run.name, run.seed): run.key for run in expected_runs(result)}


def test_a_number_changes_the_keys_of_its_own_run_alone(result: CaseResult) -> None:
    variant = result.variants[1].model_copy(update={"steps": 31})
    changed = result.model_copy(update={"variants": (result.variants[0], variant, *result.variants[2:])})
    before, after = keys(result), keys(changed)
    assert {name for name, _ in before if any(before[k] != after[k] for k in before if k[0] == name)} == {"fixed"}


def test_another_data_file_changes_every_key_and_another_text_or_folder_none(result: CaseResult) -> None:
    other = result.model_copy(update={"data": result.data.model_copy(update={"sha256": "0"})})
    assert not set(keys(other).values()) & set(keys(result).values())
    texts = {
        "title": "Another",
        "source": "https://example.org",
        "fixes": tuple(fix.model_copy(update={"why": "another"}) for fix in result.fixes),
        "published": tuple(row.model_copy(update={"source": "another"}) for row in result.published),
        "variants": tuple(variant.model_copy(update={"folder": "p-1234"}) for variant in result.variants),
    }
    assert keys(result.model_copy(update=texts)) == keys(result)


def test_the_champion_has_the_best_score_and_did_not_diverge(result: CaseResult) -> None:
    best = best_run(result, expected_runs(result))
    assert best is not None
    assert (best.name, best.seed) == ("fixed", 0)
    without_test = tuple(v for v in result.variants if "test" not in v.scores)
    assert best_run(result.model_copy(update={"variants": without_test}), []) is None


def test_the_champion_of_a_regression_has_the_best_r2_even_below_zero() -> None:
    case = made_up.regression([-0.5, -0.25])
    assert case.score == "r2"
    scores = {"as_posted": -0.5, "fixed": -0.25, "short": -0.75}
    variants = tuple(
        each.model_copy(update={"scores": made_up.variant("v", (), (0,), scores[each.name]).scores})
        for each in case.variants
    )
    case = case.model_copy(update={"variants": variants})
    best = best_run(case, expected_runs(case))
    assert best is not None
    assert best.name == "fixed"


def test_the_champion_of_a_search_is_the_first_seed_that_repairs() -> None:
    case = made_up_search.searched()
    repaired = case.labelled("repaired")
    figure = repaired.scores["test"]
    failed = figure.model_copy(update={"per_seed": figure.per_seed | {100: 0.1, 101: None}})
    repaired = repaired.model_copy(update={"scores": repaired.scores | {"test": failed}})
    case = case.model_copy(update={"variants": (case.variants[0], repaired)})
    best = best_run(case, expected_runs(case))
    assert best is not None
    assert (best.name, best.seed) == ("repaired", 102)


@pytest.mark.parametrize("field", ["repairs", "search", "warnings"])
def test_another_repair_search_or_warning_makes_the_run_of_the_fixes_anew_alone(field: str) -> None:
    case = made_up_search.searched()
    empty: dict[str, tuple[()]] | tuple[()] = () if field == "warnings" else {}
    before, after = keys(case), keys(case.model_copy(update={field: empty}))
    assert {name for name, _ in before if before[name, _] != after[name, _]} == {"case table"}


def stored(run_id: str, key: str, parent: str | None = None, start: int = 0, finished: bool = True) -> StoredRun:
    return StoredRun(run_id, key, f"name of {run_id}", finished, start, parent)


@pytest.mark.parametrize(
    ("found", "missing", "surplus"),
    [
        ([], "PC", []),
        ([stored("p", "P"), stored("c", "C", "p")], "", []),
        ([stored("p", "P")], "C", []),
        ([stored("p", "P", finished=False), stored("c", "C", "p")], "PC", ["p", "c"]),
        ([stored("c", "C", "gone")], "PC", ["c"]),
        ([stored("c", "C")], "PC", ["c"]),
        ([stored("p", "P", start=2), stored("q", "P", start=1), stored("c", "C", "p")], "C", ["p", "c"]),
    ],
    ids=["empty", "complete", "no child", "unfinished", "orphan", "no parent", "duplicate"],
)
def test_what_is_missing_and_what_is_too_much(found: list[StoredRun], missing: str, surplus: list[str]) -> None:
    result = changes(WANTED, found)
    assert [run.key for run in result.missing] == [*missing]
    assert sorted(result.surplus) == sorted(surplus)


def test_only_runs_of_the_project_become_stale() -> None:
    found = [
        stored("old", "X"),
        StoredRun("exp", "Y", "name of exp", True, 0, experiment=True),
        StoredRun("p", "P", "name of p", True, 0, stale=True),
    ]
    result = changes(WANTED, found)
    assert (result.stale, result.current) == ({"old": "name of old"}, {"p": "name of p"})
