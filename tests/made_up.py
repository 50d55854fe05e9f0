"""Made-up results of a case, its curves and its pictures, from the scores of all combinations of its fixes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.analysis import attribution, intervals
from stages.analysis.results import CaseResult, FixResult, PointResult, PublishedResult, VariantResult

FIXES = "abcde"
REAL = CaseResult.model_validate_json(Path(__file__).parents[1].joinpath("reports/results/ex4.json").read_bytes())
SUBSET = {"subset": {0: 30, 1: 70}, "answers": {1: 2}, "gain": {}}


def names_of(row: int, n_fixes: int) -> tuple[str, ...]:
    """Return the fixes of a row of scores: bit i is set if fix i is on."""
    return tuple(FIXES[bit] for bit in range(n_fixes) if row >> bit & 1)


def by_names(scores: Mapping[str, float]) -> list[float]:
    """Return scores by the letters of the fixes that are on, ``{"": 0.1, "a": 0.2}``, as a list by row."""
    n_fixes = len(scores).bit_length() - 1
    return [scores["".join(names_of(row, n_fixes))] for row in range(len(scores))]


def variant(
    name: str, fixes: Sequence[str], seeds: Sequence[int], score: float, label: str = "", **changes: Any
) -> VariantResult:
    """Return a variant with this score on every split in all `seeds`, and a gain of half of it."""
    label = label or name
    figure = intervals.figure(dict.fromkeys(seeds, score), (0.05, 0.15))
    made: dict[str, Any] = {"name": name, "label": label, "folder": label, "keras": "3"}
    made |= {"fixes": tuple(fixes), "seeds": tuple(seeds), "set": {}, "diverged": 0.0}
    made |= {"scores": {"train": figure, "test": figure}, "losses": {}, "subset": None, "answers": None}
    made |= {"gain": dict.fromkeys(("train", "test"), intervals.figure(dict.fromkeys(seeds, score / 2)))}
    made |= {"network": REAL.variants[0].network | {"epochs": 3}}
    return REAL.variants[0].model_copy(update=made | changes)


def result(
    scores: Sequence[float] | npt.NDArray[np.float64],
    n_seeds: int = 2,
    *,
    finite: bool = True,
    variants: Mapping[str, Sequence[str]] | None = None,
    keras: Sequence[str] = ("3",),
    **changes: Any,
) -> CaseResult:
    """Return a case with fixes a, b, ... whose combinations score `scores` [2^k] with every seed under every condition.

    Besides `variants` (name -> fixes), it has as_posted, ``fixed`` with all fixes, ``short`` with one seed, and
    ``few`` on a subset of the data. If not `finite`, all runs diverged.
    """
    values = np.repeat(np.asarray(scores, float)[:, None], n_seeds, axis=1)
    n_fixes, seeds = len(values).bit_length() - 1, tuple(range(n_seeds))
    names = FIXES[:n_fixes]
    effects = attribution.effects(names, values, 0)
    points_of: dict[str, Sequence[str]] = {"as_posted": "", **(variants or {}), **({"fixed": names} if names else {})}
    diverged: dict[str, Any] = {} if finite else {"diverged": 1.0}
    named = []
    for version in keras:
        suffix = "" if len(keras) == 1 else f"@{version}"
        settings = {"keras": version, **diverged}
        named += [
            variant(name, fixes, seeds, 0.123 + 0.1 * number, name + suffix, **settings)
            for number, (name, fixes) in enumerate(points_of.items())
        ]
        named += [variant("short", names[:1], seeds[:1], 0.777, "short" + suffix, set={"epochs": 9}, **settings)]
        named += [variant("few", "", seeds, 0.7, "few" + suffix, keras=version, **SUBSET)]
    published: dict[str, Any] = {
        "claim": "10%",
        "source": "the post",
        "of": "as_posted",
        "keras": keras[0],
        "figure": "loss",
        "tolerance": 0.05,
    }
    return REAL.model_copy(
        update={
            "case": "made-up",
            "title": "A title",
            "judged_by": "test",
            "keras": tuple(keras),
            "seeds": seeds,
            "fixes": tuple(
                FixResult(name=name, why=f"because of {name}", changes=(("l2", "1", "0"),)) for name in names
            ),
            "variants": tuple(named),
            "points": tuple(
                PointResult(
                    fixes=names_of(row, n_fixes),
                    keras=version,
                    folder=f"{row}@{version}",
                    variants=tuple(name for name, on in points_of.items() if tuple(on) == names_of(row, n_fixes)),
                    scores=dict.fromkeys(("train", "test"), intervals.estimate(of_seeds)),
                    diverged=0 if finite else n_seeds,
                )
                for version in keras
                for row, of_seeds in enumerate(values)
            ),
            "effects": {version: {"train": effects, "test": effects} for version in keras},
            "published": (PublishedResult(**published, published=0.1, measured=0.2 if finite else None, agrees=False),),
            "fixed": "fixed" if names else "as_posted",
            **changes,
        }
    )


def curves(of: CaseResult, *, finite: bool = True) -> pd.DataFrame:
    """Return three epochs of accuracy and loss per variant; without `finite`, no loss is finite."""
    losses = (3.0, 2.0, 1.0) if finite else (np.nan, np.inf, np.nan)
    rows = [
        (variant.label, figure, epoch, value, value, value)
        for variant in of.variants
        for figure, values in (("accuracy", (0.1, 0.2, 0.3)), ("loss", losses))
        for epoch, value in enumerate(values, 1)
    ]
    return pd.DataFrame(rows, columns=["variant", "figure", "epoch", "mean", "low", "high"])


def pictures(of: CaseResult) -> dict[str, np.ndarray]:
    """Return two misread digits and five units of 4 by 4 pixels, of as_posted and the fixed variant."""
    random = np.random.default_rng(0)
    made: dict[str, np.ndarray] = {}
    for name in (each.label for each in of.variants if each.name in ("as_posted", of.fixed)):
        made |= {f"{name}.misread": random.integers(0, 256, (2, 4, 4)).astype(np.uint8)}
        made |= {f"{name}.label": np.array([1, 2], np.uint8), f"{name}.answer": np.array([3, 4], np.uint8)}
        made |= {f"{name}.confidence": np.array([0.9, 0.8]), f"{name}.largest_weight": np.array(0.5)}
        made |= {f"{name}.units": random.integers(1, 256, (5, 4, 4)).astype(np.uint8)}
    return made
