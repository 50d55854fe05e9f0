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
        ("", "null; expected a mapping of the keys seeds, "),
        ("- 1\n", "[1]; expected a mapping of the keys seeds, "),
        ("seeds: [", "line 1: expected the node content, but found '<stream end>'; expected plain YAML"),
        ("seeds: [0]\nseeds: [1]\n", 'line 2: found duplicate key "seeds" with value '),
        ("a: b: c\n", "line 1: mapping values are not allowed here; expected plain YAML"),
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
