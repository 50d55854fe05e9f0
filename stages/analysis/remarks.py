"""The network as posted and its data -> numbers that mislead, and what no fix repairs."""

from collections.abc import Mapping, Sequence

from stages.analysis.results import BaselineResult, Figure, Remark, VariantResult
from stages.config.planned import PlannedCase
from stages.config.schema import FLOOR
from stages.data.prepared import Prepared
from stages.diagnosis.data_warnings import warnings
from stages.diagnosis.misleading import misleading


def means(figures: Mapping[str, Figure]) -> dict[str, float]:
    """Return the means of `figures` that are finite."""
    return {split: figure.mean for split, figure in figures.items() if figure.mean is not None}


def misleading_numbers(
    case: PlannedCase, data: Prepared, posted: VariantResult, baselines: Sequence[BaselineResult]
) -> tuple[Remark, ...]:
    """Return what to know of the numbers that Keras prints of the network as posted."""
    floor = next((means(baseline.scores) for baseline in baselines if baseline.name == FLOOR), None)
    found = misleading(case.task, case.as_posted, data, means(posted.keras_accuracy), means(posted.scores), floor)
    return tuple(Remark(kind=kind, text=text) for kind, text in found)


def data_warnings(case: PlannedCase, data: Prepared, baselines: Sequence[BaselineResult]) -> tuple[Remark, ...]:
    """Return what is odd about the data. The first baseline but the floor is the linear model."""
    floor = next((means(baseline.scores) for baseline in baselines if baseline.name == FLOOR), None)
    linear = next((means(baseline.scores) for baseline in baselines if baseline.name != FLOOR), None)
    return tuple(Remark(kind=kind, text=text) for kind, text in warnings(case.task, data, floor, linear))
