"""The symptoms of a variant are the means over its seeds."""

from dataclasses import replace

import numpy as np
import pytest
from samples import configuration, dataset, symptoms_at, untrained_run

from stages.analysis.symptoms import symptoms_result
from stages.training.runs import Run

DATA = dataset()


def run(seed: int, rate: float = 0.01) -> Run:
    return untrained_run(configuration(optimizer={"name": "sgd", "learning_rate": rate}), seed, DATA)


def test_symptoms_are_means_over_seeds_and_none_is_what_a_layer_cannot_have() -> None:
    found = symptoms_result([run(0), run(1), run(5)])
    assert found is not None
    hidden, output = found.end.layers
    assert (hidden.name, hidden.dead, hidden.saturated) == ("hidden", 0.2, None)
    assert (hidden.gradient, output.gradient, output.dead, output.update) == (3, 2, None, None)
    assert (found.end.spread, found.end.most_frequent, found.first_not_finite) == (2.2, 0.5, None)
    assert found.first_epoch is not None
    assert found.first_epoch.spread is None


def test_values_that_are_not_finite_in_some_seeds_leave_the_mean_of_the_others_and_the_first_step_is_told() -> None:
    lost = run(1, rate=1e30)
    lost = replace(lost, symptoms={**lost.symptoms, "end": symptoms_at(1, spread=None), "first_epoch": None})
    found = symptoms_result([run(0), lost, run(2, rate=1e30)])
    assert found is not None
    assert found.end.spread == pytest.approx(np.mean([0.2, 2.2]))
    assert found.end.layers[0].gradient == 2
    assert found.first_not_finite == 7
    # A run of TNC has no first epoch.
    of_tnc = symptoms_result([lost])
    assert of_tnc is not None
    assert of_tnc.first_epoch is None
