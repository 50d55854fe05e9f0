"""`plan` writes one file per stage and case, changes only what an edit touches, and removes what is no longer named."""

import copy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from samples import as_yaml

from stages import plan
from stages.base import files
from stages.base.errors import UserError

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
CONTENT: dict[str, Any] = YAML(typ="safe").load(TEXT)
PARTS = ("data", "runs", "baselines", "case")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configs(text: str) -> dict[str, bytes]:
    """Write params.yaml, run `plan`, and return the files below configs/ by path."""
    Path("params.yaml").write_text(text, encoding="utf-8")
    plan.main()
    return {str(path): path.read_bytes() for path in Path("configs").rglob("*") if path.is_file()}


def paths(*names: str) -> set[str]:
    return {f"configs/{name}.json" for name in names}


def test_every_case_has_a_file_for_each_stage_that_needs_one() -> None:
    assert configs(TEXT).keys() == paths(
        "cases", "recipes", *(f"{case}/{part}" for case in CONTENT["cases"] for part in PARTS)
    )
    assert files.read_json(files.CASES) == {"cases": list(CONTENT["cases"])}


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        (("execution", "workers"), 7, set()),
        (("cases", "mnist", "title"), "another", {"mnist/case"}),
        (("cases", "mnist", "published"), [], {"mnist/case"}),
        (("cases", "ex4", "fixes", "adam", "why"), "another", {"ex4/case"}),
        (("cases", "ex4", "fixes", "adam", "set", "optimizer", "learning_rate"), 0.01, {"ex4/case", "ex4/runs"}),
        (("cases", "ex4", "variants", "zeros_10", "data", "first_of_each_class", 0), 11, {"ex4/case", "ex4/runs"}),
        (("cases", "mnist", "baselines", "logistic_regression", "C"), 2.0, {"mnist/baselines"}),
        (("cases", "mnist", "data", "validation_split"), 0.25, {"mnist/data"}),
    ],
)
def test_an_edit_changes_the_files_of_the_stages_that_it_touches_and_no_others(
    keys: tuple[str | int, ...], value: Any, expected: set[str]
) -> None:
    before, content = configs(TEXT), copy.deepcopy(CONTENT)
    node: Any = content
    for key in keys[:-1]:
        node = node[key]
    assert node[keys[-1]] != value
    node[keys[-1]] = value
    after = configs(as_yaml(content))
    assert {path for path in before if before[path] != after[path]} == paths(*expected)


def test_another_spelling_of_the_same_numbers_changes_no_file() -> None:
    spelled = TEXT.replace("learning_rate: 0.001}", "learning_rate: 1e-3}").replace("l2: 0.0 ", "l2: 0 ")
    assert spelled.count("1e-3") > TEXT.count("1e-3")
    assert configs(TEXT) == configs(spelled)


OUTS = (
    "runs/{}/fixed/seed_0.npz",
    "baselines/{}/a.npz",
    "data/prepared/{}.npz",
    "reports/results/{}.json",
    "metrics/{}/fixed.json",
    "reports/curves/{}.csv",
    "reports/confusion/{}/fixed.csv",
    "reports/effects/{}.csv",
    "reports/pictures/{}.npz",
)


def test_results_of_a_case_that_is_no_longer_named_are_removed_and_no_others(project: Path) -> None:
    # A case whose name another one begins with, and files that are nobody's results.
    kept = [out.format(case) for out in OUTS for case in CONTENT["cases"]]
    kept += ["data/raw/mnist.npz", "data/own/gone.npz", "reports/index.html", "reports/curves/.gitignore", "runs.log"]
    removed = [out.format(case) for out in OUTS for case in ("gone", "ex", "ex44")] + ["configs/gone/case.json"]
    for name in kept + removed:
        files.write_bytes(project / name, b"")
    configs(TEXT)
    assert [name for name in kept if not (project / name).exists()] == []
    assert [name for name in removed if (project / name).exists()] == []


def test_files_of_configs_that_are_no_longer_planned_are_removed() -> None:
    planned = configs(TEXT)
    files.write_bytes(Path("configs/mnist/cells.json"), b"")
    files.write_bytes(Path("configs/mnist-fixed.json"), b"")
    assert configs(TEXT) == planned
    content = copy.deepcopy(CONTENT)
    del content["cases"]["mnist"]
    assert configs(as_yaml(content)).keys() == {path for path in planned if "mnist" not in path}


def test_a_refused_params_yaml_leaves_every_file_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    before = configs(TEXT)
    files.write_bytes(Path("runs/gone/seed_0.npz"), b"")
    assert capsys.readouterr().out.endswith(f"\n{plan.HINT}\n")
    with pytest.raises(UserError) as caught:
        configs(TEXT.replace("      batch_size: 5000\n", "      batch_size: many\n"))
    assert {path: Path(path).read_bytes() for path in before} == before
    assert Path("runs/gone/seed_0.npz").exists()
    number = 1 + TEXT.splitlines().index("      batch_size: 5000")
    line = f'params.yaml: line {number}: cases.ex4.as_posted.batch_size: "many"; expected a whole number'
    assert str(caught.value).splitlines() == [line, plan.HINT]
    assert "`python -m stages preview`" in plan.HINT


FIRST = TEXT.index("    task:")
LINE = 1 + TEXT.count("\n", 0, FIRST)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "params.yaml is missing; run in the folder that holds it"),
        ("", "params.yaml: empty; expected a mapping of the keys seeds, execution, cases"),
        (TEXT[: TEXT.index("cases:")], "params.yaml: line 1: cases: missing; expected a mapping of keys to values"),
        (f"{TEXT[:FIRST]}\t{TEXT[FIRST:]}", f"params.yaml: line {LINE}: a tab, where only spaces are allowed; "),
        (f"{TEXT[:FIRST]}    title: x\n{TEXT[FIRST:]}", f'params.yaml: line {LINE}: the key "title" stands twice; '),
    ],
)
def test_what_dvc_refuses_in_words_of_its_own_is_told_by_plan_in_one_line(text: str | None, message: str) -> None:
    if text is not None:
        Path("params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        plan.main()
    first, last = str(caught.value).splitlines()
    assert first.startswith(message)
    assert last == plan.HINT
