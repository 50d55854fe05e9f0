"""Means over seeds with their intervals, as results hold them.

Scores, gains and effects are fractions of 1. A mean over seeds that is not finite is None.
"""

from pydantic import BaseModel, ConfigDict


class Result(BaseModel):
    """A part of a result."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(Result):
    """A mean over seeds with its 95% interval.

    `low` and `high` are None for a single seed. All three are None, and `finite` is false, if a value is not finite.
    """

    mean: float | None
    low: float | None
    high: float | None
    finite: bool = True


class Figure(Estimate):
    """An estimate with the value of each seed; `per_seed` is empty for a baseline, which has no seed.

    `sampling` is the Wilson interval for the mean score: how far another sample of examples might move it.
    """

    per_seed: dict[int, float | None] = {}
    sampling: tuple[float, float] | None = None
