import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from miniature import call, refused
from ruamel.yaml import YAML

from stages.core import code, files, params

CONTENT: dict[str, Any] = YAML(typ="safe").load(Path(__file__).parents[1] / "params.yaml")
VARIANTS = {f"configs/{name}.json" for name in CONTENT["variants"]}
CELLS = {f"configs/cells/{case}.json" for case in CONTENT["cases"]}
CODE = {f"configs/code/{stage}.json" for stage in code.stage_modules()}
BY_CASE = {f"configs/params/{stage}@{case}.json" for stage in ("prepare", "baseline") for case in CONTENT["cases"]}
PARAMS = {f"configs/params/{stage}.json" for stage in ("fetch", "probe", "evaluate", "report")} | BY_CASE
ALL = VARIANTS | CELLS | CODE | PARAMS


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configs(project: Path, content: dict[str, Any]) -> dict[str, bytes]:
    """What `plan` writes for `content`, by path."""
    YAML(typ="safe").dump(content, project / "params.yaml")
    call("plan")
    paths = [path for path in project.rglob("*.json") if path.is_file()]
    return {str(path.relative_to(project)): path.read_bytes() for path in paths}


def test_every_variant_case_and_stage_has_its_files(project: Path) -> None:
    assert configs(project, CONTENT).keys() == ALL
    assert {path.name for path in project.iterdir()} == {"params.yaml", "configs"}


def test_the_files_say_what_params_yaml_amounts_to(project: Path) -> None:
    configs(project, CONTENT)
    settings = params.load(project / "params.yaml")
    for name, expected in params.variant_configs(settings).items():
        written = files.read_json(project / "configs" / f"{name}.json")
        assert params.VariantConfig.model_validate(written) == expected
    for case, cells in params.cell_configs(settings).items():
        written = files.read_json(project / "configs" / "cells" / f"{case}.json")
        assert params.CellConfigs.model_validate(written) == cells


@pytest.mark.parametrize(
    ("case", "fix"), [(case, fix) for case in CONTENT["cases"] for fix in CONTENT["cases"][case]["fixes"]]
)
def test_an_edited_fix_changes_the_files_of_just_the_variants_that_contain_it(
    project: Path, case: str, fix: str
) -> None:
    before = configs(project, CONTENT)
    content = copy.deepcopy(CONTENT)
    # Possible with every other fix and of no fix before.
    content["cases"][case]["fixes"][fix]["set"]["initializer"] = {"name": "uniform", "limit": 0.5}
    after = configs(project, content)
    overridden = {n for n, v in CONTENT["variants"].items() if "initializer" in v.get("set", {})}
    expected = {n for n, v in CONTENT["variants"].items() if v["case"] == case and fix in v["fixes"]} - overridden
    assert expected
    changed = {path for path in before if before[path] != after[path]}
    shown = {"configs/params/evaluate.json", "configs/params/report.json"}
    assert changed == {f"configs/{name}.json" for name in expected} | {f"configs/cells/{case}.json"} | shown


@pytest.mark.parametrize(
    ("keys", "value", "stages"),
    [
        (("cases", "mnist", "title"), "another", {"evaluate", "report"}),
        (("cases", "ex4", "fixes", "adam", "why"), "another", {"evaluate", "report"}),
        (("cases", "mnist", "published"), [], {"evaluate", "report"}),
        (("cases", "mnist", "baselines", "logistic_regression", "C"), 2.0, {"baseline@mnist", "evaluate", "report"}),
        (("datasets", "mnist", "validation_split"), 0.25, {"prepare@mnist"}),
        (("datasets", "ex4", "examples_per_digit"), 400, {"prepare@ex4"}),
        # The ten zeros and the like that were published go with their subsets.
        (("probe", "zeros"), [3], {"probe", "evaluate", "report"}),
        (("execution", "workers"), 7, set()),
        (("sources", "mirrors"), [], {"fetch", "report"}),
    ],
)
def test_an_edit_that_decides_no_run_changes_the_files_of_just_the_stages_that_read_it(
    project: Path, keys: tuple[str, ...], value: Any, stages: set[str]
) -> None:
    before = configs(project, CONTENT)
    content = copy.deepcopy(CONTENT)
    node: Any = content
    for key in keys[:-1]:
        node = node[key]
    assert node[keys[-1]] != value
    node[keys[-1]] = value
    if keys[0] == "probe":
        content["cases"]["ex4"]["published"] = []
    after = configs(project, content)
    assert {path for path in before if before[path] != after[path]} == {f"configs/params/{one}.json" for one in stages}


def test_the_files_of_a_variant_and_of_a_case_that_are_no_more_are_removed(project: Path) -> None:
    configs(project, CONTENT)
    content = copy.deepcopy(CONTENT)
    del content["variants"]["mnist-fixed_wider"]
    content["cases"]["mnist"]["published"] = []
    assert configs(project, content).keys() == ALL - {"configs/mnist-fixed_wider.json"}
    # A case is all that begins with its name.
    del content["cases"]["mnist"]
    content["variants"] = {name: variant for name, variant in content["variants"].items() if variant["case"] == "ex4"}
    left = configs(project, content).keys()
    assert left == {path for path in ALL if "mnist" not in path}


def test_results_of_what_is_no_more_are_removed_and_no_others(project: Path) -> None:
    kept = ["runs/mnist-fixed/final.csv", "baselines/ex4/final.csv", "data/prepared/ex4.npz", "attribution/ex4/a.csv"]
    strays = [
        "runs/mnist-gone/final.csv",
        "baselines/gone/final.csv",
        "data/prepared/gone.npz",
        "attribution/gone/a.csv",
    ]
    for name in kept + strays:
        files.write_text(project / name, "")
    configs(project, CONTENT)
    assert [(project / name).exists() for name in kept + strays] == [True] * len(kept) + [False] * len(strays)


@pytest.mark.parametrize("epochs", ["10", 0])
def test_a_refused_params_yaml_leaves_the_files_as_they_were(project: Path, epochs: Any) -> None:
    before = configs(project, CONTENT)
    content = copy.deepcopy(CONTENT)
    # The last variant, after all others are resolved.
    content["variants"]["ex4-comment"]["set"] = {"epochs": epochs}
    YAML(typ="safe").dump(content, project / "params.yaml")
    assert refused("plan").startswith("params.yaml: variants.ex4-comment.set.epochs: ")
    assert {path: (project / path).read_bytes() for path in before} == before


def test_as_a_command_it_ends_with_one_line_on_standard_error_and_code_1(project: Path, root: Path) -> None:
    text = (root / "params.yaml").read_text(encoding="utf-8")
    assert text.count("      batch_size: 5000\n") == 1
    (project / "params.yaml").write_text(
        text.replace("      batch_size: 5000\n", "      batch_size: many\n"), encoding="utf-8"
    )
    (project / "stages").symlink_to(root / "stages")
    ended = subprocess.run([sys.executable, "-m", "stages.plan"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == 'error: params.yaml: cases.ex4.as_posted.batch_size: "many"; accepted: a whole number\n'
    assert ended.stdout == ""
    assert not (project / "configs").exists()
