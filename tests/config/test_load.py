"""Files that cannot be read as params.yaml, and files of `plan` that are missing or damaged."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from config.params_content import CONTENT, TEXT
from stages.base import files
from stages.base.errors import UserError
from stages.config import load
from stages.config.planned import PlannedBaselines, PlannedCase, PlannedRuns
from stages.config.resolve import planned


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty; expected a mapping of the keys seeds, "),
        ("- 1\n", "[1]; expected a mapping of the keys seeds, "),
        ("seeds: [", "line 1: expected the node content, but found '<stream end>'; expected plain YAML"),
        ("seeds: [0]\nseeds: [1]\n", 'line 2: the key "seeds" stands twice; expected plain YAML'),
        ("seeds:\n\t- 1\n", "line 2: a tab, where only spaces are allowed; expected plain YAML"),
        ("seeds: [0]\n", "execution: missing; expected a mapping of the keys backend, workers, scheduler"),
        ("a: b: c\n", "line 1: a colon in a text without quotes, or wrong indentation; expected plain YAML"),
        ("a: &a [0]\n", 'line 1: the anchor "a"; expected plain YAML'),
        ("a: 1\nb: *a\n", 'line 2: the anchor "a"; expected plain YAML'),
        ("? [a]\n: 1\n", "line 1: a mapping or a list as a key; expected plain YAML"),
        ("a: !!python/name:os.system {}\n", 'line 1: tag "tag:yaml.org,2002:python/name:os.system"; expected plain'),
        ("a: 2018-13-45\n", 'line 1: "2018-13-45" is not a timestamp; expected plain YAML'),
        ("a: \x00\n", "line 1: character 0x0; expected plain YAML"),
        (b"seeds:\n- \xff\xfe", "line 2: byte 0xff is not UTF-8; expected plain YAML"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_line(text: str | bytes, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load.validated(load.parsed(text if isinstance(text, bytes) else text.encode()))
    assert str(caught.value).startswith(f"params.yaml: {expected}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("units: 64", "units: [64]", "cases.mnist.as_posted.layers.hidden.units: [64]; expected a whole number"),
        ("judged_by: test", "judged_by: tests", 'cases.mnist.judged_by: "tests" (did you mean test?); expected '),
        ("workers: 2", "worker: 2", "execution.worker: unknown key (did you mean workers?); expected one of: "),
        ("layers.hidden.units: 256", "layers.hiden.units: 256", "cases.mnist.fixes.wider_hidden.set.layers.hiden."),
        (
            "fixed: {fixes: [",
            "fixed: {fixes: [wide, ",
            'cases.mnist.variants.fixed.fixes: "wide"; expected one of: softm',
        ),
        ("{0: 10, 1: 90}", "{0: 10, 11: 90}", "cases.ex4.variants.zeros_10.data.first_of_each_class.11: 11; "),
        ("of: zeros_10", "of: zero_10", 'cases.ex4.published."10 zeros of 100: 10%".of: "zero_10" (did you mean '),
        ("seeds: [0, ", "seeds: [zero, ", 'seeds.0: "zero"; expected a whole number'),
    ],
)
def test_a_refusal_names_the_line_and_what_was_meant(tmp_path: Path, before: str, after: str, expected: str) -> None:
    path, text = tmp_path / "params.yaml", TEXT.replace(before, after, 1)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load.read(path)
    (number,) = (number for number, line in enumerate(text.splitlines(), start=1) if after in line)
    assert str(caught.value).startswith(f"{path}: line {number}: {expected}")


def test_a_fraction_is_the_number_that_it_stands_for_and_names_have_hyphens_and_underscores() -> None:
    spelled = TEXT.replace("0.00392156862745098", "1/255")
    assert load.validated(load.parsed(spelled.encode())) == load.validated(CONTENT)
    renamed = TEXT.replace("fixed_wider", "lr-0_01")
    assert "lr-0_01" in load.validated(load.parsed(renamed.encode())).cases["mnist"].variants


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(f"\ufeff{TEXT}", encoding="utf-8")
    assert load.read(tmp_path / "params.yaml") == load.validated(CONTENT)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (Path.mkdir, "is not a file; expected YAML"),
        (os.mkfifo, "is not a file; expected YAML"),  # and nobody writes into it
        (str, "is missing; run in the folder that holds it"),
    ],
)
def test_what_is_not_a_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], object], problem: str) -> None:
    make(tmp_path / "params.yaml")
    with pytest.raises(UserError, match=rf"^\S+/params\.yaml {problem}$"):
        load.read(tmp_path / "params.yaml")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("project")
def test_the_files_of_plan_are_read_as_they_were_planned() -> None:
    params = load.validated(CONTENT)
    files.write_json(files.CASES, {"cases": list(params.cases)})
    for name, plan in planned(params).items():
        for part, content in plan._asdict().items():
            files.write_json(files.config_path(name, part), content.model_dump(mode="json"))
        assert load.read_planned(name, "runs", PlannedRuns) == plan.runs
        assert load.read_planned(name, "case", PlannedCase) == plan.case
        assert load.read_planned(name, "baselines", PlannedBaselines) == plan.baselines
        assert (
            load.read_data(name)
            == (plan.data.task, plan.data.data)
            == (params.cases[name].task, params.cases[name].data)
        )
    assert load.cases() == tuple(CONTENT["cases"])


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"runs": 1}', '{"runs": [], "more": 1}', "\x00"])
def test_a_damaged_file_of_plan_is_named_in_one_line(content: str) -> None:
    files.write_bytes(files.config_path("mnist", "runs"), content.encode())
    with pytest.raises(UserError) as caught:
        load.read_planned("mnist", "runs", PlannedRuns)
    assert re.match(r"configs/mnist/runs\.json: .*; expected what `plan` writes; delete it and run", str(caught.value))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.usefixtures("project")
def test_a_missing_file_of_plan_is_named_with_the_command_that_makes_it() -> None:
    with pytest.raises(UserError, match=r"^configs/cases\.json is missing; run `dvc repro`, which makes it$"):
        load.cases()
