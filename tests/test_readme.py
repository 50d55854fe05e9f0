"""What the README says is what the pipeline wrote, and its commands are the ones that CI runs."""

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.readme import BEGIN, END, section
from stages.core import files, params
from stages.core.results_table import percent

# The README is about these; a case of one's own is in the results too.
SHIPPED = ("ex4", "mnist")


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def metrics(root: Path) -> dict[str, Any]:
    result: dict[str, Any] = files.read_json(root / "reports/metrics.json")
    return result


def test_every_row_of_the_table_holds_the_measured_figures(readme: str, metrics: dict[str, Any]) -> None:
    rows = re.findall(r"^\| `([^`]+)` \| [^|]* \| ([^|]+) \| ([^|]+) \|$", readme, re.MULTILINE)
    assert len(rows) >= 10
    for name, train, test in rows:
        entry = metrics[name]
        assert (name, train, test) == (name, percent(entry["train_accuracy"]), percent(entry["test_accuracy"]))


@pytest.mark.parametrize("case", SHIPPED)
def test_the_table_has_every_variant_and_baseline(readme: str, metrics: dict[str, Any], case: str) -> None:
    names = [name for name in metrics if name.startswith(f"{case}-")]
    assert names
    for name in names:
        assert f"| `{name}` |" in readme


def test_every_percentage_in_the_text_is_in_the_table_or_was_published(readme: str, settings: params.Params) -> None:
    table = "\n".join(line for line in readme.splitlines() if line.startswith("|"))
    published = {f"{100 * number.value:g}" for case in settings.cases.values() for number in case.published} | {
        "11",
        "95",
    }
    text = "\n".join(line for line in readme.splitlines() if not line.startswith("|"))
    for number in re.findall(r"(\d+(?:\.\d+)?)%", text):
        assert number in published or re.search(rf"[| ]{re.escape(number)}[ |]", table), number


def test_the_section_on_performance_is_what_the_benchmarks_wrote(readme: str) -> None:
    assert readme.partition(BEGIN)[2].partition(END)[0] == section()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("kills of", "`kill -9` at {} moments"),
        ("damaged inputs of", "{} files that stages read"),
        ("hostile downloads", "{} mirrors, indexes and wheels"),
        ("hostile params.yaml", "{} files `params.yaml`"),
    ],
)
def test_the_section_on_reliability_has_the_counts_of_the_tests(readme: str, root: Path, kind: str, says: str) -> None:
    counts: dict[str, int] = files.read_json(root / "tests/counts.json")
    number = sum(count for name, count in counts.items() if name.startswith(kind))
    assert number > 0
    assert says.format(f"{number:,}") in readme


@pytest.mark.parametrize("last", ["dvc repro", "pytest"])
def test_ci_runs_the_command_of_the_readme(root: Path, readme: str, last: str) -> None:
    commands = re.findall(rf"^python3 -m venv .* && {last}$", readme, re.MULTILINE)
    assert len(commands) == 1
    ci = (root / ".ci/run").read_text(encoding="utf-8")
    assert re.search(rf"readme '?{last}'?\)", ci)


def test_every_file_and_folder_that_the_readme_names_is_there(root: Path, readme: str) -> None:
    for name in re.findall(r"\]\(((?!http)[^)]+)\)|`((?:stages|tests|reports|benchmarks|\.ci)/[\w./]*)`", readme):
        path = next(part for part in name if part)
        assert (root / path).exists(), path


def test_variants_that_the_readme_suggests_are_accepted(root: Path, readme: str) -> None:
    from ruamel.yaml import YAML

    suggested = next(block for block in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL) if "case:" in block)
    content = YAML(typ="safe").load(root / "params.yaml")
    added = YAML(typ="safe").load(suggested)
    assert not added.keys() & content["variants"].keys()
    content["variants"] |= added
    params.Params.model_validate(content)
