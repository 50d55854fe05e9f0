"""The README and the docs say what the files say, and their commands and examples work."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from benchmarks import common, readme
from stages.__main__ import NAMES
from stages.analysis import results
from stages.config import load

ROOT = common.ROOT
DOCUMENTS = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def params() -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    return content


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> list[results.CaseResult]:
    monkeypatch.chdir(ROOT)
    return [results.read(name) for name in readme.CASES]


def test_the_table_of_scores_is_what_the_results_say(cases: list[results.CaseResult]) -> None:
    assert readme.section(text_of("README.md"), "results") == readme.results_part(cases)


def test_every_variant_and_baseline_of_the_table_is_described(cases: list[results.CaseResult]) -> None:
    for case in cases:
        variants = dict.fromkeys(variant.name for variant in case.variants if variant.subset is None)
        assert [*readme.DESCRIPTIONS[case.case]] == [*variants, *(baseline.name for baseline in case.baselines)]


def test_the_tables_of_the_benchmarks_are_what_they_measured() -> None:
    assert readme.section(text_of("docs/performance.md"), "benchmarks") == readme.benchmarks_part()
    assert readme.section(text_of("docs/scaling.md"), "scaling") == readme.scaling_part()


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= 160


def test_every_percentage_in_the_text_is_in_the_table_or_was_published(cases: list[results.CaseResult]) -> None:
    lines = text_of("README.md").splitlines()
    table = "\n".join(line for line in lines if line.startswith("|"))
    published = {f"{100 * number.published:g}" for case in cases for number in case.published}
    # The title of the MNIST question, and the level of the intervals.
    known = published | {"11", "95"}
    for number in re.findall(r"(\d+(?:\.\d+)?)%", "\n".join(line for line in lines if not line.startswith("|"))):
        assert number in known or re.search(rf"[| ]{re.escape(number)}[ |]", table), number


def test_the_suggested_variant_is_accepted(params: dict[str, Any]) -> None:
    (line,) = re.findall(r"`(\w+: \{fixes: \[.*?\}\})`", text_of("README.md"), re.DOTALL)
    suggested = YAML(typ="safe").load(line)
    case = params["cases"]["mnist"]
    assert not suggested.keys() & case["variants"].keys()
    changed = {**params, "cases": {"mnist": {**case, "variants": {**case["variants"], **suggested}}}}
    load.validated(changed)


def test_the_example_of_a_case_is_accepted(params: dict[str, Any]) -> None:
    (block,) = blocks("docs/architecture.md", "yaml")
    example = YAML(typ="safe").load(block)
    assert len(params["seeds"]) * 2 ** len(example["my_case"]["fixes"]) == 20
    load.validated({**params, "cases": {**params["cases"], **example}})


def test_ci_checks_results_as_the_readme_says() -> None:
    for name in ("README.md", ".ci/run", ".github/workflows/ci.yml"):
        assert re.search(r"dvc repro --force\b", text_of(name)), name


CACHED = ("confusion", "curves", "effects", "pictures")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_a_document_names_exists(name: str) -> None:
    text = text_of(name)
    links = [Path(name).parent / link.partition("#")[0] for link in re.findall(r"\]\((?!http)([^)#]+[^)]*)\)", text)]
    tops = r"stages|tests|reports|benchmarks|docs|\.ci"
    paths = [Path(path) for path in re.findall(rf"`((?:{tops})/[\w./-]*)`", text)]
    # In tables, packages of `stages` are named without it.
    paths += [Path("stages") / path for path in re.findall(r"`((?:config|training|analysis|base)/\w+\.py)`", text)]
    for path in links + paths:
        # In DVC's cache, so that they are missing in a fresh clone.
        assert path.parent.name in CACHED or path.name in CACHED or (ROOT / path).exists(), path


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_of_our_own_exists(name: str) -> None:
    text = text_of(name)
    for command in re.findall(r"python -m stages (\w+)", text):
        assert command in NAMES
    for command in re.findall(r"python -m benchmarks\.(\w+)", text):
        assert (ROOT / f"benchmarks/{command}.py").is_file()


def test_the_settings_of_the_experiments_exist(params: dict[str, Any]) -> None:
    overrides = re.findall(r"-S '([\w.]+)=", text_of("docs/sharing.md"))
    assert overrides
    for override in overrides:
        value: Any = params
        for key in override.split("."):
            value = value[key]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text_of(name), re.DOTALL)
