"""The parts of a result that say what repairs a network: symptoms, repairs, the search for them, and remarks."""

from typing import Any

from stages.analysis.estimates import Estimate, Figure, Result


class LayerSymptoms(Result):
    """Symptoms of a layer with weights or an activation, None where the layer cannot have them.

    `dead` is the share of units that are zero for every example, `saturated` the share of values where the activation
    is flat, `gradient` the norm of the gradient of the kernel, and `update` the norm of the next update of the kernel
    divided by the norm of the kernel.
    """

    name: str
    dead: float | None
    saturated: float | None
    gradient: float | None
    update: float | None


class Symptoms(Result):
    """The state of a network at one moment of its training, on at most 1,000 training examples.

    `saturated` is the share of outputs at the end of their range, `spread` and `target_spread` the standard deviations
    of outputs and targets, as the loss sees them, and `most_frequent` the share of the most frequent answer. A value
    that is not finite is None.
    """

    layers: tuple[LayerSymptoms, ...]
    saturated: float | None
    spread: float | None
    target_spread: float | None
    most_frequent: float | None


class SymptomsResult(Result):
    """Symptoms at three moments, means over seeds; `first_epoch` is None for TNC, which has no epochs.

    `first_not_finite` is the first training step whose loss is not finite, in the seed where that comes first.
    """

    start: Symptoms
    first_epoch: Symptoms | None
    end: Symptoms
    first_not_finite: int | None


class RepairResult(Result):
    """A smallest set of fixes that repairs the network.

    It reaches the best score found, less 5% of the gain (`threshold`), on the split by which the case is judged. Its
    figures are over `seeds`, which a search has not used before. `repaired` is the share of these seeds in which it
    reaches the threshold, and `worth` maps each of its fixes to the score that is lost without it. `network` is its
    resolved configuration.
    """

    fixes: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: dict[str, Figure]
    gain: dict[str, Figure]
    threshold: float
    repaired: float
    worth: dict[str, Estimate]
    network: dict[str, Any]
    symptoms: SymptomsResult | None = None


class SearchStep(Result):
    """A point that improved on all points before it; `place` counts the trained points, from 1."""

    fixes: tuple[str, ...]
    place: int
    score: float


class SearchResult(Result):
    """A search among the combinations of the fixes.

    `points` is the number of trained points and `trainings` that of their runs, without those that confirm repairs.
    `error_rate` is the chance that a point as good as the best is given up after its first seeds. `path` has the
    improvements in order. `minimal` says that nothing can be dropped from the first repair. `equivalents` are groups of
    fixes that stand for each other in a repair, `idle` fixes do nothing alone, `harmful` ones lower the best score, and
    `untried` ones were in no trained point.
    """

    points: int
    trainings: int
    error_rate: float
    path: tuple[SearchStep, ...]
    minimal: bool
    equivalents: tuple[tuple[str, ...], ...]
    idle: tuple[str, ...]
    harmful: tuple[str, ...]
    untried: tuple[str, ...]


class Remark(Result):
    """A sentence about the data or about a number that is read, with a short `kind` such as ``duplicate_rows``."""

    kind: str
    text: str
