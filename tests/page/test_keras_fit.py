"""Every rendered script, run by plain `model.fit`, gives the score and the loss that whichfix gives.

This also checks the trainer as a whole, from outside: the scripts share no code with it.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recording.harness import differing

from page.rendered import by_keras, by_whichfix
from page.tried import POSTS, TRIED, layers, network_of, script_of


@cache
def measured(name: str) -> dict[str, np.ndarray]:
    """Return what whichfix reports for what is tried, one value per seed."""
    return by_whichfix(*network_of(name))


@pytest.mark.parametrize("name", [*POSTS, *TRIED])
def test_a_rendered_script_gives_what_whichfix_reports(name: str, tmp_path: Path) -> None:
    network, data, judged_by = network_of(name)
    found = by_keras(script_of(network, data, judged_by), data, tmp_path)
    assert differing(measured(name), found) == {}


# A script with another setting than whichfix was told.
CONTROLS: dict[str, tuple[str, dict[str, Any]]] = {
    "a tenth of the rate": ("mnist repaired", {"optimizer": {"name": "adam", "learning_rate": 0.0001}}),
    "small inputs": ("signs by their hinge", {"inputs": {"scale": 0.01}}),
    "without the weights of classes": ("codes in columns", {"class_weight": None}),
    "whole shuffles": ("classes through a buffer", {"shuffle": True}),
    "without decay": ("a decayed rate", {"optimizer": {"name": "sgd", "learning_rate": 0.02}}),
    "twice the penalty": ("ex4 as posted", {"layers": layers(10, "sigmoid", 25, "sigmoid", l2=2.0)}),
    "another loss": ("the exercise's loss", {"loss": "binary_crossentropy"}),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_a_script_with_another_setting_is_noticed(control: str, tmp_path: Path) -> None:
    name, changes = CONTROLS[control]
    network, data, judged_by = network_of(name, **changes)
    assert differing(measured(name), by_keras(script_of(network, data, judged_by), data, tmp_path))
