"""Facts of prepared data that rules look at: statistics, never values of rows."""

from dataclasses import dataclass

import numpy as np

from stages.config.examples import Scale
from stages.config.network import PostedNetwork
from stages.data.prepared import Prepared

# Statistics of columns are those of at most so many training examples, evenly spaced.
MOST_ROWS = 20_000


@dataclass(frozen=True)
class InputFacts:
    """Inputs of the training split, as the first layer sees them.

    `ratio` is the largest standard deviation of a column divided by the smallest one, without constant columns, and 1
    for pictures, whose rim hardly varies; `offset` is the largest mean, in standard deviations of its column; `square`
    is the mean squared length of an example. `pixels` says that the inputs are whole numbers from 0 to 255, `standard`
    that every column has about mean 0 and deviation 1.
    """

    columns: int
    shape: tuple[int, ...]
    constant: int
    smallest: float
    largest: float
    ratio: float
    offset: float
    square: float
    pixels: bool
    standard: bool


@dataclass(frozen=True)
class TargetFacts:
    """Targets of the training split, as the loss sees them.

    `columns` is their number per example. For classes, `encoding` is ``index`` if they are 0, 1, 2 and so on, in one
    column, ``columns`` if there is a column per class, and ``numbers`` otherwise; `values` are those of one column.
    For values, `deviation` is the largest standard deviation, `offset` the largest mean in standard deviations, and
    `outside` the share of values outside of 0 to 1 and of -1 to 1, and the share below 0.
    """

    columns: int
    encoding: str
    values: tuple[float, ...]
    deviation: float
    smallest: float
    offset: float
    outside: tuple[float, float, float]


@dataclass(frozen=True)
class DataFacts:
    """Facts of the data of a case. `shares` are those of the classes, empty for labels and values."""

    rows: int
    n_classes: int
    inputs: InputFacts
    targets: TargetFacts
    shares: tuple[float, ...]
    sorted: bool


def facts_of(posted: PostedNetwork, data: Prepared) -> DataFacts:
    """Return the facts of `data` as the network `posted` takes them."""
    labels = data.y["train"]
    classes = data.facts.task in ("binary", "multiclass")
    counts = np.bincount(labels, minlength=data.n_classes) if classes else np.zeros(0)
    return DataFacts(
        rows=len(labels),
        n_classes=data.n_classes,
        inputs=_inputs(posted, data),
        targets=_targets(posted, data),
        shares=tuple(counts / len(labels)) if classes else (),
        sorted=classes and in_order(labels),
    )


def in_order(labels: np.ndarray) -> bool:
    """Return whether the classes come one after the other, or almost: far fewer changes than by chance."""
    if len(labels) < 10:
        return False
    shares = np.bincount(labels) / len(labels)
    by_chance = (len(labels) - 1) * (1 - float(np.sum(shares**2)))
    return float(np.count_nonzero(labels[1:] != labels[:-1])) < 0.2 * by_chance


def evenly(rows: np.ndarray) -> np.ndarray:
    """Return at most `MOST_ROWS` of `rows`, evenly spaced, in float64."""
    chosen = rows[:: -(-len(rows) // MOST_ROWS)]
    return chosen.reshape(len(chosen), -1).astype(np.float64)


def _inputs(posted: PostedNetwork, data: Prepared) -> InputFacts:
    x = evenly(data.x["train"])
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    varied = deviation > 1e-9 * np.maximum(1.0, np.abs(mean))
    whole = bool((x >= 0).all() and (x <= 255).all() and (x == np.rint(x)).all())
    pixels = whole and x.shape[1] >= 16 and float(x.max()) > 100
    bounded = x.shape[1] >= 64 and float(x.min()) >= 0 and float(x.max()) <= 1
    factor = 1.0
    if posted.inputs == "standardized":
        mean, deviation = mean * 0, np.where(varied, 1.0, 0.0)
    elif isinstance(posted.inputs, Scale):
        factor = posted.inputs.scale
        mean = mean * factor + getattr(posted.inputs, "offset", 0.0)
    some = deviation[varied] * factor if varied.any() else np.ones(1)
    means = np.abs(mean[varied]) if varied.any() else np.zeros(1)
    return InputFacts(
        columns=x.shape[1],
        shape=data.shape,
        constant=int(np.sum(~varied)),
        smallest=float(some.min()),
        largest=float(some.max()),
        ratio=1.0 if pixels or bounded or data.side else float(some.max() / some.min()),
        offset=float((means / some).max()),
        square=float(np.sum(mean**2 + (deviation * factor) ** 2)),
        pixels=pixels and posted.inputs == "raw",
        standard=bool((means < 0.2).all() and (abs(some - 1) < 0.25).all()),
    )


def _targets(posted: PostedNetwork, data: Prepared) -> TargetFacts:
    given = evenly(data.given("train"))
    columns = given.shape[1]
    values = tuple(data.facts.values or range(data.n_classes)) if columns == 1 else ()
    encoding = "columns" if columns > 1 else "index" if values == tuple(range(len(values))) else "numbers"
    if posted.targets == "integer":
        encoding, columns, values = "index", 1, tuple(range(data.n_classes))
    elif posted.targets == "one_hot":
        encoding, columns, values = "columns", data.n_classes, ()
    elif posted.targets == "standardized":
        deviation = given.std(axis=0)
        given = (given - given.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
        encoding, values = "numbers" if columns == 1 else "columns", ()
    elif isinstance(posted.targets, Scale):
        given = given * posted.targets.scale
        encoding, values = "numbers" if columns == 1 else "columns", ()
    deviation = given.std(axis=0)
    some = deviation[deviation > 0] if (deviation > 0).any() else np.ones(1)
    return TargetFacts(
        columns=columns,
        encoding=encoding,
        values=tuple(map(float, values)),
        deviation=float(some.max()),
        smallest=float(some.min()),
        offset=float((np.abs(given.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)).max()),
        outside=(
            float(np.mean((given < 0) | (given > 1))),
            float(np.mean(np.abs(given) > 1)),
            float(np.mean(given < 0)),
        ),
    )
