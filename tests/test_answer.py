"""The answer at the terminal: the lines to change, what each change is worth, and what else was found."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import made_up
import made_up_search
import pytest
import samples
from documented import line
from project import plain_environment
from terminal import environment, plain, shown

from stages import answer
from stages.analysis.results import CaseResult
from stages.base import files
from stages.base.errors import UserError
from stages.page.answer_view import answer_view


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose params.yaml has the case ``small``, as the current folder."""
    monkeypatch.chdir(tmp_path)
    samples.write_params(samples.params_content())
    return tmp_path


def searched(*keras: str, **changes: Any) -> CaseResult:
    return made_up_search.searched(keras or ("3",)).model_copy(update={"case": "small", **changes})


def said(result: CaseResult, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Return what the command prints of `result`."""
    files.write_json(files.result_path("small"), result.model_dump(mode="json"))
    capsys.readouterr()
    answer.main("small", *options)
    return capsys.readouterr().out


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.usefixtures("folder")
def test_the_answer_has_the_score_before_and_after_the_lines_and_everything_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = said(searched(), capsys)
    assert "Three changes repair the network: the test accuracy goes from 11.2% to 96.5%." in text
    assert [line for line in text.splitlines() if line[:2] in ("- ", "+ ")] == [
        "+     keras.layers.Rescaling(1 / 255),",
        '-     keras.layers.Dense(1, activation="sigmoid"),',
        '+     keras.layers.Dense(10, activation="softmax"),',
        "-     optimizer=keras.optimizers.SGD(learning_rate=0.01),",
        "+     optimizer=keras.optimizers.Adam(learning_rate=0.001),",
        '-     loss="binary_crossentropy",',
        '+     loss="sparse_categorical_crossentropy",',
    ]
    assert "in 9 of 10 fresh seeds" in text
    places = [text.index(f"{name}   ") for name in ("softmax_output", "adam", "scaled_inputs")]
    assert places == sorted(places)
    whole = one_line(text)
    for expected in (
        "softmax_output 85.5 points (84.5 to 86.5). because of softmax_output",
        "also repairs softmax_output, scaled_inputs, higher_rate: 96.0%, in 9 of 10 fresh seeds",
        "adam (the optimizer adam and a rate of 0.001) or higher_rate (a rate of 0.1)",
        "nothing alone wider_hidden",
        "costs score smaller_batches",
        "not tried more_epochs",
        "10 combinations of 8 fixes in 26 trainings",
        "misleading Keras prints 50.0%, because it compares logits with 0.5.",
        "data 12% of the training rows are there twice.",
    ):
        assert expected in whole
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.usefixtures("folder")
def test_the_whole_script_is_printed_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(searched(), capsys, "--script")
    assert text == answer_view(searched(), "3").repaired
    compile(text, "<script>", "exec")


@pytest.mark.usefixtures("folder")
def test_without_a_repair_it_says_so_and_what_was_tried(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(searched(repairs={"3": ()}), capsys)
    assert "No tried combination of the fixes repairs the network; its test accuracy stays at 11.2%." in text
    assert "10 combinations of 8 fixes in 26 trainings" in text
    assert not [line for line in text.splitlines() if line[:2] in ("- ", "+ ")]
    assert "What is lost" not in text


@pytest.mark.usefixtures("folder")
def test_todays_answer_comes_first_and_another_one_of_2018_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    result = searched("2.2", "3")
    same = said(result, capsys)
    assert "repair the network today" in same
    assert "2018" not in same
    first, second = result.repairs["2.2"]
    other = one_line(said(result.model_copy(update={"repairs": {"3": (first,), "2.2": (second,)}}), capsys))
    assert "otherwise Three changes repair the network in 2018: the test accuracy goes from 11.2% to 96.0%" in other
    assert "96.0% (softmax_output, scaled_inputs, higher_rate)." in other


@pytest.mark.usefixtures("folder")
def test_a_case_without_a_search_names_what_does_nothing_by_its_effects(capsys: pytest.CaptureFixture[str]) -> None:
    of = made_up.result(made_up.by_names({"": 0.1, "a": 0.9, "b": 0.1, "ab": 0.9}))
    repair = searched().repairs["3"][0].model_copy(update={"fixes": ("a",), "worth": {}})
    text = one_line(said(of.model_copy(update={"case": "small", "repairs": {"3": (repair,)}}), capsys))
    assert "all 4 combinations of 2 fixes, with 2 seeds each" in text
    assert "nothing alone b" in text
    assert "in 9 of 10 seeds" in text
    assert "a not known. because of a" in text


@pytest.mark.usefixtures("folder")
def test_the_score_of_values_is_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    of = made_up.regression([-12.5, 0.8])
    result = searched(task="regression", data=of.data, variants=of.variants, repairs={"3": ()})
    assert "its test R² stays at 0.123" in said(result, capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smal"], "no case smal (did you mean small?); expected one of: "),
        (["small"], "reports/results/small.json is missing; run dvc repro"),
        (["small", "--folder", "elsewhere"], "elsewhere/params.yaml is missing; run in the folder that holds it"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(folder: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        answer.main(*arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_results_that_are_older_than_repairs_are_refused(folder: Path) -> None:
    files.write_json(files.result_path("small"), made_up.result([0.1, 0.9], repairs={}).model_dump(mode="json"))
    with pytest.raises(UserError, match=r"repairs: no Keras 3; .*; run dvc repro"):
        answer.main("small")


def test_at_a_terminal_the_lines_have_colors_and_the_rest_fits_the_width(
    folder: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(searched(), capsys)
    command = [sys.executable, "-m", "stages", "answer", "small", "--folder", str(folder)]
    text = shown(command, root, environment(), columns=80)
    assert "\x1b[32m+     keras.layers.Rescaling(1 / 255),\x1b[0m" in text
    assert '\x1b[31m-     keras.layers.Dense(1, activation="sigmoid"),\x1b[0m' in text
    assert max(map(len, plain(text).splitlines())) <= 80


def test_the_documented_answer_is_what_the_command_prints(root: Path) -> None:
    text = (root / "docs/your-network.md").read_text(encoding="utf-8")
    block = re.search(r"tests/test_answer.py compares it. -->\n```text\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    command = line("docs/your-network.md", "python -m stages answer mnist")
    ended = subprocess.run(
        command, cwd=root, env=plain_environment(), capture_output=True, encoding="utf-8", check=True
    )
    assert [row.rstrip() for row in ended.stdout.rstrip().splitlines()] == block[1].splitlines()
