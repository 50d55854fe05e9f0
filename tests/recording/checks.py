"""The tests of one half of the scripts. Each half is a test file of its own, so that two processes share the work."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recording.harness import (
    EXPECTED,
    OTHERS,
    TAKEN,
    Zygote,
    brief,
    by_itself,
    by_whichfix,
    differing,
    is_loop,
    line_of,
    translated,
)
from stages.base.errors import UserError
from stages.recording.case import RecordedCase
from stages.recording.recorded import Recording

# A half has the test of another training beside these.
__all__ = [
    "known",
    "pytest_generate_tests",
    "test_a_case_trained_by_whichfix_gives_what_the_script_gives",
    "test_a_recording_holds_what_the_script_trains",
    "test_the_comparison_notices_a_wrong_recording",
    "test_what_cannot_be_recorded_is_refused_with_its_line",
]

# Wrong recordings that the comparison must notice: a script, and the settings that are wrong.
MISREADINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "without decay": ("keras_two_decay.py", {"optimizer.decay": 0.0}),
    "sorted rows fully shuffled": ("dataset_sorted_small_buffer.py", {"shuffle": True}),
    "inputs standardized": ("houses_frame.py", {"inputs": "standardized"}),
    "weights drawn that the script sets": ("weights_by_hand.py", {"initial_weights": False}),
    "without weights of classes": ("rare_class.py", {"class_weight": None}),
    "without the smoothing of labels": ("functional_logits.py", {"loss.label_smoothing": 0.0}),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test its scripts of the half that the module names."""
    half = metafunc.module.HALF
    if "taken" in metafunc.fixturenames:
        metafunc.parametrize("taken", TAKEN[half::2])
    if "repeating" in metafunc.fixturenames:
        metafunc.parametrize("repeating", [script for script in TAKEN if "second" in EXPECTED[script]])
    if "other" in metafunc.fixturenames:
        metafunc.parametrize("other", OTHERS[half::2])
    if "misreading" in metafunc.fixturenames:
        names = [name for name, (script, _) in MISREADINGS.items() if script in TAKEN[half::2]]
        metafunc.parametrize("misreading", names)


class Known:
    """The recordings and trainings of the scripts of a half so far."""

    def __init__(self, zygote: Zygote) -> None:
        self.zygote = zygote
        self.cases: dict[str, tuple[Recording, RecordedCase]] = {}
        self.own: dict[str, dict[str, np.ndarray]] = {}

    def case(self, script: str) -> tuple[Recording, RecordedCase]:
        """Return the recording of `script`, and the case that it becomes."""
        if script not in self.cases:
            report = self.zygote.record(script)
            assert report.get("recorded") is True, f"{report}\n{self.zygote.log(script)}"
            self.cases[script] = translated(self.zygote.recording(script))
        return self.cases[script]

    def differing(self, script: str, changes: dict[str, Any]) -> dict[str, str]:
        """Return the numbers in which whichfix, after `changes`, and the script's own training differ."""
        _, case = self.case(script)
        if script not in self.own:
            self.own[script] = by_itself(self.zygote, script)
        return differing(self.own[script], by_whichfix(case, self.zygote.folder, changes, evaluated=is_loop(script)))


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    zygote = Zygote(tmp_path_factory.mktemp("scripts"))
    yield Known(zygote)
    zygote.close()


def test_a_recording_holds_what_the_script_trains(known: Known, taken: str) -> None:
    expected = EXPECTED[taken]
    recording, case = known.case(taken)
    assert brief(case.block["as_posted"]) == brief(expected["as_posted"])
    assert case.block["task"] == expected["task"]
    shapes = {name: list(array.shape) for name, array in case.arrays.items() if not name.startswith("weights/")}
    n_validation = len(case.arrays["y_validation"]) if "validation" in expected else 0
    assert shapes == {
        "x": expected["x"],
        "y": expected["y"],
        **({"sample_weight": expected["x"][:1]} if expected.get("sample_weight") else {}),
        **({"x_validation": expected["validation"]} if n_validation else {}),
        **({"y_validation": [n_validation, *expected["y"][1:]]} if n_validation else {}),
    }
    content = recording.content
    assert content["script"]["line"] == line_of(taken, expected["at"])
    assert content["call"]["kind"] == expected.get("kind", "fit")
    assert (content["call"]["count"] or 1) == expected.get("count", 1)
    assert content["arrays"]["x"]["columns"] == expected.get("columns")
    assert bool(content["old_names"]) == expected.get("old_names", False)


def test_another_training_of_a_script_is_recorded_on_demand(known: Known, repeating: str, tmp_path: Path) -> None:
    path = tmp_path / "second.zip"
    known.zygote.run(repeating, fit=2, recording=str(path))
    recording, case = translated(path)
    assert recording.content["call"]["number"] == 2
    assert brief(case.block["as_posted"]) == brief(
        {**EXPECTED[repeating]["as_posted"], **EXPECTED[repeating]["second"]}
    )


def test_a_case_trained_by_whichfix_gives_what_the_script_gives(known: Known, taken: str) -> None:
    if EXPECTED[taken].get("own") is False:
        pytest.skip("its own training does not run under today's Keras")
    assert known.differing(taken, {}) == {}


def test_the_comparison_notices_a_wrong_recording(known: Known, misreading: str) -> None:
    script, changes = MISREADINGS[misreading]
    assert known.differing(script, changes)


@pytest.mark.tried("scripts to record")
def test_what_cannot_be_recorded_is_refused_with_its_line(known: Known, other: str) -> None:
    expected = EXPECTED[other]
    report = known.zygote.record(other)
    text = " ".join(f"{key} {value}" for key, value in report.items())
    if report.get("recorded"):
        with pytest.raises(UserError) as error:
            translated(known.zygote.recording(other))
        text = str(error.value)
    else:
        assert not known.zygote.recording(other).exists()
    for part in expected.get("refused", expected.get("failed", ())):
        assert part in text
    if "at" in expected:
        assert re.search(rf"line {line_of(other, expected['at'])}\b", text)
    if "called_from" in expected:
        assert report["called_from"] == line_of(other, expected["called_from"])
    if "ended" in expected:
        assert {key: report["ended"].get(key) for key in expected["ended"]} == expected["ended"]
        assert report["by_hand"] == (line_of(other, expected["by_hand"]) if "by_hand" in expected else None)
