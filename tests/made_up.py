"""Made-up results of a case, its curves and its pictures, from the scores of all combinations of its fixes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.analysis import attribution, intervals
from stages.analysis.repairs import threshold_of
from stages.analysis.results import (
    ArrayDigest,
    BaselineResult,
    CaseResult,
    DataResult,
    Effects,
    Figure,
    FixResult,
    PointResult,
    PublishedResult,
    RepairResult,
    VariantResult,
)

FIXES = "abcde"
SOURCE = "https://example.org/question"
DIGITS = tuple("0123456789")
CONFUSION = tuple(tuple(90 if row == column else 1 for column in range(10)) for row in range(10))
POSTED: dict[str, Any] = {"layers": [{"name": "output", "units": 10}], "loss": "mse", "optimizer": "sgd"}
SUBSET = {"subset": {0: 30, 1: 70}, "answers": {1: 2}, "gain": {}}


def names_of(row: int, n_fixes: int) -> tuple[str, ...]:
    """Return the fixes of a row of scores: bit i is set if fix i is on."""
    return tuple(FIXES[bit] for bit in range(n_fixes) if row >> bit & 1)


def by_names(scores: Mapping[str, float]) -> list[float]:
    """Return scores by the letters of the fixes that are on, ``{"": 0.1, "a": 0.2}``, as a list by row."""
    n_fixes = len(scores).bit_length() - 1
    return [scores["".join(names_of(row, n_fixes))] for row in range(len(scores))]


def single(value: float | None) -> Figure:
    """Return the figure of a baseline."""
    return Figure(mean=value, low=None, high=None, finite=value is not None)


def baseline(name: str, score: float, **changes: Any) -> BaselineResult:
    """Return a baseline with this score on every split."""
    made: dict[str, Any] = {"name": name, "settings": {"model": "LogisticRegression", "C": 1.0}, "n_iter": 7}
    made |= {"scores": {"train": single(score), "test": single(score)}, "measures": {"train": {}, "test": {}}}
    made |= {"losses": {"train": single(0.5), "test": single(0.5)}, "recall": (0.9,) * 10, "confusion": CONFUSION}
    return BaselineResult(**made | changes)


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
    made |= {"measures": {"train": {}, "test": {"balanced_accuracy": figure}}, "final_loss": figure, "steps": 9}
    made |= {"recall": (0.9,) * 10, "confusion": CONFUSION}
    made |= {"network": {"layers": [{"name": "output", "units": 10}], "optimizer": "sgd", "epochs": 3, "keras": "3"}}
    if changes.get("subset"):
        made |= {"scores": {"train": figure}, "measures": {"train": {}}}
    return VariantResult(**made | changes)


def data(**changes: Any) -> DataResult:
    """Return the data of a case of digits, 4 by 4 pixels."""
    made: dict[str, Any] = {"sha256": "0" * 64, "rows": {"train": 50, "test": 20}, "features": 16, "inputs": None}
    made |= {"classes": DIGITS, "balance": (0.1,) * 10, "axis": DIGITS, "pictures": True}
    made |= {"arrays": {"x_train": ArrayDigest(dtype="uint8", shape=(50, 16), sha256="1" * 64)}}
    return DataResult(**made | changes)


def result(
    scores: Sequence[float] | npt.NDArray[np.float64],
    n_seeds: int = 2,
    *,
    finite: bool = True,
    variants: Mapping[str, Sequence[str]] | None = None,
    keras: Sequence[str] = ("3",),
    measured: Callable[[int], bool] = lambda row: True,
    **changes: Any,
) -> CaseResult:
    """Return a case with fixes a, b, ... whose combinations score `scores` [2^k] with every seed under every condition.

    Only the rows that are `measured` are there; the others have alternatives in them. Besides `variants` (name ->
    fixes), it has as_posted, ``fixed`` with all fixes, ``short`` with one seed, and ``few`` on a subset of the data. If
    not `finite`, all runs diverged.
    """
    values = np.repeat(np.asarray(scores, float)[:, None], n_seeds, axis=1)
    n_fixes, seeds = len(values).bit_length() - 1, tuple(range(n_seeds))
    names = FIXES[:n_fixes]
    chosen = {row: of_seeds for row, of_seeds in enumerate(values.tolist()) if measured(row)}
    effects = attribution.effects(names, chosen, 0)
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
    made: dict[str, Any] = {
        "case": "made-up",
        "title": "A title",
        "source": SOURCE,
        "task": "multiclass",
        "data": data(),
        "as_posted": POSTED,
        "baselines": (),
        "judged_by": "test",
        "keras": tuple(keras),
        "seeds": seeds,
        "fixes": tuple(FixResult(name=name, why=f"because of {name}", changes=(("l2", "1", "0"),)) for name in names),
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
            for row, of_seeds in chosen.items()
        ),
        "refused": (),
        "effects": {version: {"train": effects, "test": effects} for version in keras},
        "repairs": {
            version: repairs_of(effects, chosen, {**POSTED, "keras": version, "optimizer": "adam"}) for version in keras
        },
        "published": (PublishedResult(**published, published=0.1, measured=0.2 if finite else None, agrees=False),),
        "fixed": "fixed" if names else "as_posted",
    }
    return CaseResult(**made | changes)


def repairs_of(
    effects: Effects, scores: Mapping[int, Sequence[float]], network: Mapping[str, Any]
) -> tuple[RepairResult, ...]:
    """Return the smallest sets that repair a network, from the scores by row and seed, each with this `network`."""
    threshold = threshold_of(effects)
    rows = {names_of(row, len(effects.fixes)): dict(enumerate(of_seeds)) for row, of_seeds in scores.items()}
    found = []
    for fixes in effects.smallest_sets if threshold is not None else ():
        figure = intervals.figure(rows[fixes])
        gain = intervals.figure({seed: score - rows[()][seed] for seed, score in rows[fixes].items()})
        without = {fix: rows.get(tuple(other for other in fixes if other != fix), {}) for fix in fixes}
        worth = {
            fix: intervals.bootstrap([rows[fixes][seed] - score for seed, score in of_seeds.items()], 0)
            for fix, of_seeds in without.items()
            if of_seeds
        }
        made: dict[str, Any] = {"fixes": fixes, "seeds": tuple(rows[fixes]), "threshold": threshold, "worth": worth}
        made |= {"scores": dict.fromkeys(("train", "test"), figure), "repaired": 1.0}
        made["gain"] = dict.fromkeys(("train", "test"), gain)
        found.append(RepairResult(**made, network=dict(network)))
    return tuple(found)


def regression(scores: Sequence[float], **changes: Any) -> CaseResult:
    """Return a case like `result` whose answers are values: its score is R², its confusion counts are by tenths."""
    axis = tuple(f"tenth {place}" for place in range(1, 11))
    described = data(classes=("price",), inputs=("area", "rooms"), features=2, balance=(), axis=axis, pictures=False)
    of = result(scores, task="regression", data=described, **changes)
    beside = {"mae": single(12.5), "rmse": single(20.25)}
    measures = {"measures": dict.fromkeys(("train", "test"), beside), "subset": None, "answers": None}
    kept = (variant.model_copy(update=measures) for variant in of.variants if not variant.subset)
    return of.model_copy(update={"variants": tuple(kept)})


def curves(of: CaseResult, *, finite: bool = True) -> pd.DataFrame:
    """Return three epochs of score and loss per variant; without `finite`, no loss is finite."""
    losses = (3.0, 2.0, 1.0) if finite else (np.nan, np.inf, np.nan)
    rows = [
        (variant.label, figure, epoch, value, value, value)
        for variant in of.variants
        for figure, values in ((of.score, (0.1, 0.2, 0.3)), ("loss", losses))
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
