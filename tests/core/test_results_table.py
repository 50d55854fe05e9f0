import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import terminal
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from stages.core import files, params, results_table

ALONE = {"low": None, "high": None}


@pytest.fixture(scope="module")
def metrics(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = files.read_json(root / "reports" / "metrics.json")
    return found


@pytest.fixture(scope="module")
def rows(settings: params.Params, metrics: dict[str, Any]) -> list[results_table.Row]:
    return results_table.rows(settings, metrics)


def printed(rows: list[results_table.Row], width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(results_table.table(rows))
    return console.export_text().splitlines()


@pytest.mark.parametrize(
    ("figure", "sign", "expected"),
    [
        ({"mean": 0.6218, "low": 0.5248, "high": 0.7188}, "", "62.2 ± 9.7"),
        ({"mean": 0.94, **ALONE}, "", "94.0"),
        ({"mean": 0.84, "low": 0.8, "high": 0.88}, "+", "+84.0 ± 4.0"),
        ({"mean": -0.0149, "low": -0.02, "high": -0.0098}, "+", "-1.5 ± 0.5"),
        ({"mean": -0.0001, **ALONE}, "+", "0.0"),
        ({"mean": None, **ALONE}, "", "–"),
        (None, "+", "–"),
    ],
)
def test_a_figure_is_its_mean_and_margin_in_percent(figure: Any, sign: str, expected: str) -> None:
    assert results_table.percent(figure, sign) == expected


@given(st.floats(0, 1), st.floats(0, 0.5))
def test_what_is_shown_is_within_half_a_unit_of_its_last_digit(mean: float, margin: float) -> None:
    shown = results_table.percent({"mean": mean, "low": mean - margin, "high": mean + margin})
    first, second = map(float, shown.split(" ± "))
    assert first == pytest.approx(100 * mean, abs=0.0501)
    assert second == pytest.approx(100 * margin, abs=0.0501)


def test_a_row_for_every_variant_and_baseline_in_the_order_of_params_yaml(
    rows: list[results_table.Row], settings: params.Params, metrics: dict[str, Any]
) -> None:
    names = [row.name for row in rows]
    assert sorted(names) == sorted(metrics)
    assert [name for name in names if name in settings.variants] == list(settings.variants)
    assert [row.name for row in rows if row.begins] == [f"{case}-as_posted" for case in settings.cases]


def test_what_is_not_measured_yet_has_no_row(settings: params.Params, metrics: dict[str, Any]) -> None:
    held = {name: entry for name, entry in metrics.items() if name.startswith("ex4-") and name != "ex4-as_posted"}
    rows = results_table.rows(settings, held)
    assert sorted(row.name for row in rows) == sorted(held)
    assert [row.begins for row in rows] == [True] + [False] * (len(held) - 1)


def test_what_diverged_says_so(settings: params.Params, metrics: dict[str, Any]) -> None:
    changed = metrics | {"mnist-fixed": metrics["mnist-fixed"] | {"diverged": 0.4}}
    assert "mnist-fixed (40% diverged)" in [row.name for row in results_table.rows(settings, changed)]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_from_80_columns_on_each_row_is_one_line_with_its_means_below_each_other(
    rows: list[results_table.Row], width: int
) -> None:
    lines = printed(rows, width)
    points = set()
    for row in rows:
        (line,) = (line for line in lines if f" {row.name} " in line)
        assert f" {row.train} " in line
        assert f" {row.test} " in line
        assert f" {row.gain} " in line
        points.add(line.index(".", len(row.name) + 2))
    assert len(points) == 1


def test_in_60_columns_names_are_folded_and_figures_whole(rows: list[results_table.Row]) -> None:
    lines = printed(rows, 60)
    assert max(map(len, lines)) <= 60
    assert "…" not in "".join(lines)
    first = "".join(line.split("  ")[0 if line[0] != " " else 1].strip() for line in lines[5:])
    for row in rows:
        assert row.name in first
        assert any(f" {row.train} " in line and f" {row.test} " in line for line in lines)


PROGRAM = """
import json
from pathlib import Path
from stages.core import errors, params, results_table
def main():
    results_table.show(params.load(), json.loads(Path("reports/metrics.json").read_bytes()))
    print("Pr\\u00fcfung")
errors.run(main)
"""


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "latin-1"}],
    ids=str,
)
def test_no_encoding_ends_a_stage_that_prints(root: Path, variables: dict[str, str]) -> None:
    dropped = {"PYTHONIOENCODING", "PYTHONUTF8", "LC_ALL"}
    environment = {name: value for name, value in terminal.environment().items() if name not in dropped}
    command = [sys.executable, "-c", PROGRAM]
    ended = subprocess.run(command, cwd=root, env=environment | variables, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    table, _, name = ended.stdout.strip().rpartition(b"\n")
    assert table.isascii()
    assert b" +/- " in table
    assert name in (b"Pr?fung", "Prüfung".encode("latin-1"))


def test_in_a_terminal_it_is_as_wide_as_that_and_in_ci_plain(root: Path) -> None:
    command = [sys.executable, "-c", PROGRAM]
    shown = terminal.shown(command, root, terminal.environment(), 60)
    assert max(map(len, terminal.plain(shown).splitlines())) <= 60
    assert terminal.COLOUR.search(shown)
    assert "\x1b" not in terminal.shown(command, root, terminal.environment(CI="1"), 60)
