"""The symptoms of the runs of a network -> their means over seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stages.analysis.results import LayerSymptoms, Symptoms, SymptomsResult
from stages.training.runs import Run
from stages.training.symptoms import rounded


def symptoms_result(runs: Sequence[Run]) -> SymptomsResult | None:
    """Return the means of the symptoms of `runs`, None if a run has no symptoms.

    A value that is not finite in some seeds is the mean of the others, and None if there are no others.
    """
    found = [run.symptoms for run in runs]
    if not all(found):
        return None
    first_epochs = [symptoms["first_epoch"] for symptoms in found if symptoms["first_epoch"] is not None]
    steps = [symptoms["first_not_finite"] for symptoms in found if symptoms["first_not_finite"] is not None]
    return SymptomsResult(
        start=_means([symptoms["start"] for symptoms in found]),
        first_epoch=_means(first_epochs) if first_epochs else None,
        end=_means([symptoms["end"] for symptoms in found]),
        first_not_finite=min(steps, default=None),
    )


def _means(seeds: Sequence[Mapping[str, Any]]) -> Symptoms:
    by_layer = zip(*(symptoms["layers"] for symptoms in seeds), strict=True)
    layers = [LayerSymptoms(name=of_seeds[0]["name"], **_mean(of_seeds, "name")) for of_seeds in by_layer]
    return Symptoms(layers=tuple(layers), **_mean(seeds, "layers"))


def _mean(seeds: Sequence[Mapping[str, Any]], without: str) -> dict[str, float | None]:
    """Return the mean of every value, by key, except that of the key `without`."""
    return {key: _mean_of([symptoms[key] for symptoms in seeds]) for key in seeds[0] if key != without}


def _mean_of(values: Sequence[float | None]) -> float | None:
    finite = [value for value in values if value is not None]
    return rounded(math.fsum(finite) / len(finite)) if finite else None
