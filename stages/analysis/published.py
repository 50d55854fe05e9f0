"""Published numbers beside the measured ones."""

import math
from collections.abc import Iterator, Mapping, Sequence

from stages.analysis.results import BaselineResult, Figure, PublishedResult, VariantResult
from stages.base.files import finite_or_none
from stages.config.schema import Published
from stages.training.runs import Run, figures


def compare(
    published: Published,
    variants: Sequence[VariantResult],
    baselines: Sequence[BaselineResult],
    runs: Mapping[tuple[str, str], Sequence[Run]],
    score: str,
) -> Iterator[PublishedResult]:
    """Yield `published` beside the measured value of its baseline, or of its variant under each condition.

    `runs` are by the name and the condition of a variant; `score` is the name of the score.
    With `from_epoch` every epoch from that one on counts, of every run; the value farthest from the published one is
    returned. The two agree if the measured value is within the tolerance. A tolerance of half a unit of the last
    printed digit says that the value rounds to what was printed.
    """
    columns = figures(score)
    everything: list[VariantResult | BaselineResult] = [*variants, *baselines]
    for measured in everything:
        if measured.name != published.of:
            continue
        keras = measured.keras if isinstance(measured, VariantResult) else None
        values = (
            [_mean(measured, published.figure)]
            if published.from_epoch is None or keras is None
            else [
                float(value)
                for run in runs[measured.name, keras]
                for value in run.history[published.from_epoch - 1 :, columns.index(published.figure)]
            ]
        )
        farthest = max(values, key=lambda value: abs(value - published.value) if math.isfinite(value) else math.inf)
        yield PublishedResult(
            claim=published.claim,
            source=published.source,
            of=published.of,
            keras=keras,
            figure=published.figure,
            published=published.value,
            measured=finite_or_none(farthest),
            tolerance=published.tolerance,
            agrees=abs(farthest - published.value) <= published.tolerance,
        )


def _mean(result: VariantResult | BaselineResult, figure: str) -> float:
    """Return the mean of a figure such as test_accuracy, train_loss, final_loss, gain or train_gain."""
    found: Figure
    if figure == "final_loss":
        assert isinstance(result, VariantResult)
        found = result.final_loss
    elif figure in ("gain", "train_gain"):
        assert isinstance(result, VariantResult)
        found = result.gain["train" if figure == "train_gain" else "test"]
    else:
        split, _, kind = figure.partition("_")
        found = (result.losses if kind == "loss" else result.scores)[split]
    return math.nan if found.mean is None else found.mean
