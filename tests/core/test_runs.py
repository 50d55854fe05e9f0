import dataclasses

import numpy as np
import pytest

from stages.core.runs import Epoch, Evaluation, Run

FINAL = Evaluation(0.5, 1.0, np.zeros(2, np.uint8), np.ones(2, np.float32))
RUN = Run(0, [Epoch(0.5, 1.0, None, None)], {"train": FINAL}, {"output.bias": np.zeros(2, np.float32)}, 1)


def test_a_run_of_finite_numbers_has_not_diverged() -> None:
    assert not RUN.diverged


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_run_has_diverged_when_any_loss_or_weight_is_not_finite(value: float) -> None:
    assert dataclasses.replace(RUN, history=[*RUN.history, Epoch(value, 1.0, None, None)]).diverged
    assert dataclasses.replace(RUN, final={"train": dataclasses.replace(FINAL, loss=value)}).diverged
    assert dataclasses.replace(RUN, weights={"output.bias": np.array([0, value], np.float32)}).diverged


def test_a_run_has_diverged_when_its_validation_loss_was_not_finite() -> None:
    assert not dataclasses.replace(RUN, history=[Epoch(0.5, 1.0, 0.5, 1.0)]).diverged
    assert dataclasses.replace(RUN, history=[Epoch(0.5, 1.0, np.inf, 1.0), *RUN.history]).diverged
