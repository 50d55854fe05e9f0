"""A published number stands beside the measured value farthest from it, and agrees within its tolerance."""

import math
from typing import Any

import made_up
import numpy as np
import pytest

from stages.analysis.published import compare
from stages.analysis.results import Figure, PublishedResult
from stages.config.schema import Published
from stages.training.runs import Run


def published(**settings: Any) -> Published:
    defaults = {"claim": "c", "value": 0.5, "tolerance": 0.1, "source": "s", "of": "v", "figure": "test_accuracy"}
    return Published.model_validate(defaults | settings)


def of_losses(losses: list[float]) -> Run:
    history = np.array([[loss, 0.25, 0, 0] for loss in losses])
    return Run(0, history, {}, {}, {}, {}, None, {}, 1)


def of_epochs(histories: list[list[float]], **settings: Any) -> PublishedResult:
    runs = [of_losses(losses) for losses in histories]
    variant = made_up.variant("v", (), (0,), 0.5)
    [found] = compare(published(figure="loss", **settings), [variant], [], {("v", "3"): runs}, "accuracy")
    return found


def of_baseline(mean: float | None, **settings: Any) -> PublishedResult:
    figure = Figure(mean=mean, low=None, high=None, finite=mean is not None)
    other = Figure(mean=7.0, low=None, high=None)
    result = made_up.baseline("v", 0.5, scores={"train": other, "test": figure}, losses={"test": other})
    [found] = compare(published(**settings), [], [result], {}, "accuracy")
    return found


@pytest.mark.parametrize(("epoch", "farthest"), [(1, 9.0), (2, 4.0), (3, 4.0)])
def test_every_run_and_every_epoch_from_the_first_on_counts(epoch: int, farthest: float) -> None:
    found = of_epochs([[9.0, 2.0, 1.0], [8.0, 3.0, 4.0]], from_epoch=epoch, value=0.0, tolerance=4.5)
    assert (found.measured, found.agrees) == (farthest, epoch > 1)


@pytest.mark.parametrize(
    ("values", "measured", "agrees"),
    [
        ([0.45, 0.58, 0.5], 0.58, True),
        ([0.45, 0.39, 0.5], 0.39, False),
        ([0.5, math.inf], None, False),
        ([math.nan, 0.5], None, False),
    ],
)
def test_the_value_farthest_from_the_published_one_decides(
    values: list[float], measured: float | None, agrees: bool
) -> None:
    found = of_epochs([values], from_epoch=1)
    assert (found.measured, found.agrees) == (measured, agrees)


@pytest.mark.parametrize(("mean", "agrees"), [(0.45, True), (0.2, False), (None, False)])
def test_without_an_epoch_the_mean_over_seeds_of_the_named_split_and_figure_counts(
    mean: float | None, agrees: bool
) -> None:
    found = of_baseline(mean)
    assert (found.measured, found.agrees) == (mean, agrees)
    assert of_baseline(mean, figure="train_accuracy").measured == of_baseline(mean, figure="test_loss").measured == 7.0


def test_a_value_agrees_if_it_rounds_to_what_was_printed() -> None:
    printed = {"value": -55.0284, "tolerance": 0.00005, "from_epoch": 1}
    assert of_epochs([[-55.02837646263459]], **printed).agrees
    assert not of_epochs([[-55.02834]], **printed).agrees


def test_the_score_of_a_regression_is_called_r2() -> None:
    variant = made_up.variant("v", (), (0,), 0.5)
    [mean] = compare(published(figure="test_r2"), [variant], [], {}, "r2")
    assert (mean.measured, mean.agrees) == (0.5, True)
    by_epoch = published(figure="r2", from_epoch=1)
    [found] = compare(by_epoch, [variant], [], {("v", "3"): [of_losses([9.0])]}, "r2")
    assert found.measured == 0.25
