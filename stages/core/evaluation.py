"""What the runs of a variant amount to: figures, curves, confusion counts, and published numbers beside them."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from stages.core import statistics
from stages.core.params import Dataset, Params, Published

FIGURES = ("loss", "accuracy", "validation_loss", "validation_accuracy")
MOST_PICTURES = {"misread": 20, "units": 100}
# Weights are shown by 127 shades to either side of zero; the few largest share the strongest.
ZERO_WEIGHT = 128
SHOWN_WEIGHTS = 0.99


def accuracies(final: pd.DataFrame, split: str) -> dict[int, float]:
    """Accuracy by seed on `split`, from the rows of final.csv; empty where there is no such split."""
    rows = final[final["split"] == split]
    return dict(zip(rows["seed"].tolist(), rows["accuracy"].tolist(), strict=True))


def sampling(accuracy: Iterable[float], n: int) -> dict[str, float]:
    """Wilson interval for the mean `accuracy` of networks on `n` examples: how far other examples might move it."""
    # In whole answers: a sum of floats ends elsewhere in another Python, and half an answer is rounded by it.
    correct = [round(value * n) for value in accuracy]
    low, high = statistics.wilson(round(Fraction(sum(correct), len(correct))), n)
    return {"low": low, "high": high}


def run_metrics(
    history: pd.DataFrame, final: pd.DataFrame, as_posted: pd.DataFrame, counts: np.ndarray, sizes: Mapping[str, int]
) -> dict[str, Any]:
    """The entry of a variant in reports/metrics.json.

    Parameters
    ----------
    history, final : DataFrame
        Of the variant, as `train` writes them.
    as_posted : DataFrame
        The final.csv of its case as posted.
    counts : ndarray
        Confusion counts [10, 10] on the test split, all seeds together.
    sizes : mapping
        Split -> number of examples.

    Returns
    -------
    dict
        ``<split>_accuracy`` and ``<split>_loss`` of the final weights, ``final_loss`` (the running loss of the last
        epoch), ``gain`` and ``train_gain`` over as posted (test and training accuracy): mean over seeds, 95% t
        interval, per seed. ``sampling`` is a Wilson interval beside the accuracies. ``recall`` by digit, the share
        of runs ``diverged``, and ``gradient_evaluations`` a run.
    """
    metrics: dict[str, Any] = {}
    for split in final["split"].unique():
        rows = final[final["split"] == split]
        for figure in ("accuracy", "loss"):
            metrics[f"{split}_{figure}"] = statistics.per_seed(rows["seed"], rows[figure])
        metrics[f"{split}_accuracy"]["sampling"] = sampling(rows["accuracy"], sizes[split])
    last = history[history["epoch"] == history.groupby("seed")["epoch"].transform("max")]
    metrics["final_loss"] = statistics.per_seed(last["seed"], last["loss"])
    for name, split in (("gain", "test"), ("train_gain", "train")):
        metrics[name] = statistics.paired_gain(accuracies(final, split), accuracies(as_posted, split))
    metrics["recall"] = {str(digit): share for digit, share in enumerate(statistics.recall(counts))}
    metrics["diverged"] = float(final.groupby("seed")["diverged"].any().mean())
    metrics["gradient_evaluations"] = int(final["gradient_evaluations"].max())
    return metrics


def baseline_metrics(final: pd.DataFrame, counts: np.ndarray, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The entry of a baseline: the figures of a variant, as far as a model without seeds has them.

    `final` holds the rows of one model, as `baseline` writes them; each figure is one value, so it has no interval.
    """
    metrics: dict[str, Any] = {}
    for row in final.to_dict("records"):
        metrics[f"{row['split']}_accuracy"] = {
            **statistics.estimate([row["accuracy"]]),
            "sampling": sampling([row["accuracy"]], sizes[row["split"]]),
        }
        metrics[f"{row['split']}_loss"] = statistics.estimate([row["loss"]])
    metrics["recall"] = {str(digit): share for digit, share in enumerate(statistics.recall(counts))}
    metrics["n_iter"] = int(final["n_iter"].max())
    return metrics


SUMMARY = ("train_accuracy", "test_accuracy", "gain", "train_gain", "train_loss", "test_loss")


def summary(entry: Mapping[str, Any]) -> dict[str, float | None]:
    """The means of an entry of reports/metrics.json: a row of `dvc metrics show`, which has no room for more."""
    return {figure: entry[figure]["mean"] for figure in SUMMARY if figure in entry}


def curves(variant: str, history: pd.DataFrame) -> pd.DataFrame:
    """Learning curves: a row an epoch and figure, with the mean over seeds and the lowest and highest seed.

    Where the value of a seed is not finite all three are missing: those of the other seeds would be another variant's.
    """
    # An accuracy is finite where a loss may never be.
    present = FIGURES if history["validation_accuracy"].notna().any() else FIGURES[:2]
    long = history.melt(["seed", "epoch"], present, var_name="figure")
    groups = long.assign(finite=np.isfinite(long["value"])).groupby(["figure", "epoch"])
    bands = groups["value"].agg(["mean", "min", "max"]).where(groups["finite"].all()).reset_index()
    bands.insert(0, "variant", variant)
    return bands.rename(columns={"min": "low", "max": "high"})


def confusion_table(counts: np.ndarray) -> pd.DataFrame:
    """Confusion counts [10, 10] as rows of actual digit, predicted digit and count."""
    actual, predicted = np.indices(counts.shape)
    return pd.DataFrame({"actual": actual.ravel(), "predicted": predicted.ravel(), "count": counts.ravel()})


def measured(
    published: Published, metrics: Mapping[str, Any], histories: Mapping[str, pd.DataFrame], probe: pd.DataFrame
) -> list[float]:
    """The measured values that stand beside a published one.

    Of the history every seed's figure of every epoch from `from_epoch` on; else one value: a mean over seeds.

    """
    if published.from_epoch is not None:
        history = histories[published.name]
        return history[history["epoch"] >= published.from_epoch][published.figure].tolist()
    if published.name == "probe":
        chosen = probe[probe["zeros"] == int(published.figure.removesuffix("_zeros"))]["accuracy"]
        return [float(chosen.mean())]
    mean = metrics[published.name][published.figure]["mean"]
    return [np.nan if mean is None else mean]


REFERENCE_COLUMNS = ["case", "claim", "published", "measured", "tolerance", "agrees", "source", "name", "figure"]


def reference_row(case: str, published: Published, values: list[float]) -> dict[str, Any]:
    """A row of reports/references.csv: of several measured values the one farthest from the published one.

    They agree when it is within the tolerance. A tolerance of half a unit of the last printed digit says that the
    value rounds to what was printed.
    """
    worst = max(values, key=lambda value: abs(value - published.value) if np.isfinite(value) else np.inf)
    return {
        "case": case,
        "claim": published.claim,
        "published": published.value,
        "measured": worst,
        "tolerance": published.tolerance,
        "agrees": bool(abs(worst - published.value) <= published.tolerance),
        "source": published.source,
        "name": published.name,
        "figure": published.figure,
    }


def references(
    parameters: Params, metrics: Mapping[str, Any], histories: Mapping[str, pd.DataFrame], probe: pd.DataFrame
) -> pd.DataFrame:
    """Every published number of params.yaml beside the measured one: the rows of reports/references.csv."""
    rows = [
        reference_row(case_name, published, measured(published, metrics, histories, probe))
        for case_name, case in parameters.cases.items()
        for published in case.published
    ]
    # Named here too, for a params.yaml without any.
    return pd.DataFrame(rows, columns=REFERENCE_COLUMNS)


def fixed_variant(parameters: Params, case: str) -> str:
    """The variant that stands for `case` fixed: ``<case>-fixed``, or else the first of those with the most fixes."""
    if f"{case}-fixed" in parameters.variants:
        return f"{case}-fixed"
    variants = {name: variant for name, variant in parameters.variants.items() if variant.case == case}
    return max(variants, key=lambda name: (len(variants[name].fixes), not variants[name].set))


def misread(actual: np.ndarray, predicted: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Rows of the wrong answers of one run, the most confident first; of equals the first of the data."""
    wrong = np.flatnonzero(actual != predicted)
    order = np.argsort(-np.nan_to_num(confidence[wrong], nan=-1.0), kind="stable")
    return wrong[order][: MOST_PICTURES["misread"]]


def as_images(rows: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Examples, or weights of the inputs, [n, side * side] as images [n, side, side]; `ex4` is unrolled by columns."""
    side = math.isqrt(rows.shape[1])
    images = rows.reshape(len(rows), side, side)
    return images.transpose(0, 2, 1) if dataset == "ex4" else images


def digit_images(examples: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Prepared examples as uint8 images, 0 to 255 as in MNIST; what the exercise's resize overshot is cut off."""
    scaled = examples if examples.dtype == np.uint8 else np.rint(np.clip(examples, 0, 1) * 255).astype(np.uint8)
    return as_images(scaled, dataset)


def weight_limit(kernels: Iterable[np.ndarray]) -> float:
    """The size of weight that the strongest shade stands for, in all of `kernels` alike; never zero."""
    sizes = np.abs(np.concatenate([kernel.ravel() for kernel in kernels]))
    sizes = sizes[np.isfinite(sizes)]
    return float(np.quantile(sizes, SHOWN_WEIGHTS, method="lower")) if sizes.any() else 1.0


def unit_images(kernel: np.ndarray, limit: float, dataset: Dataset) -> np.ndarray:
    """First-layer weights [features, units] as uint8 images [units, side, side]: 128 is zero, 1 and 255 are -+`limit`.

    A weight that is not finite is shown as zero.
    """
    clipped = np.clip(np.nan_to_num(kernel, posinf=0, neginf=0), -limit, limit)
    shades = np.rint(clipped / limit * (ZERO_WEIGHT - 1))
    shown = shades.T[: MOST_PICTURES["units"]] + ZERO_WEIGHT
    return as_images(shown.astype(np.uint8), dataset)


def digest(array: np.ndarray) -> dict[str, Any]:
    """What `array` is, and the SHA-256 digest of its elements in C order, little-endian."""
    elements = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    sha256 = hashlib.sha256(elements.tobytes()).hexdigest()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "sha256": sha256}


def probe_table(case: str, probe: pd.DataFrame) -> pd.DataFrame:
    """The probe by number of zeros: accuracy over seeds (mean, lowest, highest), and how many seeds answer zero.

    A seed's answer is the digit it gives most.
    """
    rows = [
        {
            "case": case,
            "zeros": zeros,
            "examples": int(group["examples"].iloc[0]),
            "seeds": len(group),
            "mean": statistics.estimate(group["accuracy"])["mean"],
            "low": group["accuracy"].min(),
            "high": group["accuracy"].max(),
            "answer_zero": int((group["answered_digit"] == 0).sum()),
        }
        for zeros, group in probe.groupby("zeros")
    ]
    return pd.DataFrame(rows)
