"""What a run in MLflow shows: results -> parameters, metrics, tags, description and artifacts, without MLflow.

Metrics named ``epoch/...`` are curves, a step an epoch; ``interval/...`` are the bounds beside a mean;
``recall/<digit>`` is the share of a digit's test examples answered right; all others are figures of the final weights.
A value that is not finite is left out and named in the tag ``not_finite``: MLflow's stores have no form for it.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stages.core import figures, files, readme_figure
from stages.core.params import Case, VariantConfig

# MLflow's page lists metrics in the order in which they were logged.
FIRST = ("gain", "test_accuracy", "train_gain", "train_accuracy", "validation_accuracy")


@dataclass(frozen=True)
class Content:
    """What one run shows.

    `metrics` are (name, value, step); `artifacts` maps a path to its bytes, `tables` a path ending in ``.json`` to a
    table; `seconds` is the wall time, None where it is not known.
    """

    parameters: dict[str, str]
    metrics: list[tuple[str, float, int]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    description: str = ""
    artifacts: dict[str, bytes] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    seconds: float | None = None


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested `values` as dotted key -> text; what is no text is written as JSON."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return flat


def finite(metrics: Iterable[tuple[str, float | None, int]]) -> tuple[list[tuple[str, float, int]], dict[str, str]]:
    """The finite values of `metrics`, and the tag that names those that are not and counts them."""
    kept: list[tuple[str, float, int]] = []
    lost: dict[str, int] = {}
    for name, value, step in metrics:
        if value is None or not math.isfinite(value):
            lost[name] = lost.get(name, 0) + 1
        else:
            kept.append((name, float(value), step))
    text = ", ".join(name if count == 1 else f"{name} ({count} values)" for name, count in lost.items())
    return kept, {"not_finite": text} if lost else {}


def summary(entry: Mapping[str, Any]) -> list[tuple[str, float | None, int]]:
    """The figures of an entry of reports/metrics.json, None for one that is not finite."""
    single: list[tuple[str, float | None, int]] = []
    grouped: list[tuple[str, float | None, int]] = []
    for name in sorted(entry, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name)):
        value = entry[name]
        if name == "recall":
            # None is no failure here: the test split may lack a digit.
            grouped += [(f"recall/{digit}", share, 0) for digit, share in value.items() if share is not None]
        elif isinstance(value, Mapping):
            single.append((name, value["mean"], 0))
            bounds = {"": value, "_sampling": value.get("sampling", {})}
            grouped += [
                (f"interval/{name}{kind}_{bound}", interval[bound], 0)
                for kind, interval in bounds.items()
                for bound in ("low", "high")
                if interval.get(bound) is not None
            ]
        else:
            single.append((name, value, 0))
    return single + grouped


def fix_tags(config: VariantConfig, case: Case) -> dict[str, str]:
    """``fix.<fix>`` of every fix of the case: ``yes`` or ``no``, to filter runs by."""
    return {f"fix.{name}": "yes" if name in config.fixes else "no" for name in case.fixes}


def interval_tag(entry: Mapping[str, Any]) -> dict[str, str]:
    """The 95% interval of the gain in one column of MLflow's page, where a metric has one number."""
    gain = entry.get("gain", {})
    return {} if gain.get("low") is None else {"gain_interval": f"{gain['low']:+.4f} to {gain['high']:+.4f}"}


def result_line(entry: Mapping[str, Any]) -> str:
    """The accuracies and gain of an entry of reports/metrics.json, for a description."""

    def text(label: str, figure: Mapping[str, Any], sign: str = "") -> str:
        interval = "" if figure["low"] is None else f" ({figure['low']:{sign}.4f} to {figure['high']:{sign}.4f})"
        return f"{label} **{figure['mean']:{sign}.4f}**{interval}"

    figures_shown = (("training accuracy", "train_accuracy", ""), ("test accuracy", "test_accuracy", ""))
    parts = [text(label, entry[name]) for label, name, _ in figures_shown if entry[name]["mean"] is not None]
    if "gain" in entry and entry["gain"]["mean"] is not None:
        parts.append(text("gain", entry["gain"], "+"))
    line = ", ".join(parts)
    return f"{line[:1].upper()}{line[1:]}."


def post(case: Case) -> str:
    """The question of `case`, for a description."""
    return f"Question: [{case.title}]({case.source})"


def variant_parameters(config: VariantConfig) -> dict[str, str]:
    """What a variant's run was configured with; `fixes` are by name, ``none`` as posted."""
    return {
        "case": config.case,
        "variant": config.variant,
        "dataset": config.dataset,
        "fixes": ", ".join(config.fixes) or "none",
        **flatten(config.run.model_dump(mode="json")),
    }


def variant_description(config: VariantConfig, case: Case, entry: Mapping[str, Any]) -> str:
    """What a variant changes and what came of it, in Markdown."""
    changed = {
        key: value
        for key, value in config.run.model_dump(mode="json").items()
        if value != case.as_posted.model_dump(mode="json")[key]
    }
    set_by_fixes = {key for name in config.fixes for key in case.fixes[name].set}
    n = len(config.seeds)
    seeds = f"Mean of {n} seeds (95% interval)." if n > 1 else f"Seed {config.seeds[0]} alone."
    seeds += _diverged(round(entry["diverged"] * n), n)
    lines = [result_line(entry), seeds, "", "As posted, with" if changed else "As posted."]
    lines += [f"- **{name}**: {case.fixes[name].why}" for name in config.fixes]
    lines += [f"- `{key}: {json.dumps(value)}`" for key, value in changed.items() if key not in set_by_fixes]
    return "\n".join([*lines, "", post(case)])


def variant(
    config: VariantConfig,
    case: Case,
    entry: Mapping[str, Any],
    curves: pd.DataFrame,
    counts: np.ndarray,
    seconds: Mapping[str, float],
) -> Content:
    """The parent run of a variant.

    Parameters
    ----------
    config : VariantConfig
        What plan resolved.
    case : Case
        The case that it belongs to.
    entry : mapping
        Its entry in reports/metrics.json.
    curves : DataFrame
        Its rows in reports/curves/<case>.csv.
    counts : ndarray
        Its confusion counts [10, 10], all seeds together.
    seconds : mapping
        Seed -> wall time of its training, where known.
    """
    columns = [curves[name].tolist() for name in ("figure", "mean", "epoch")]
    points = [(f"epoch/{name}", mean, epoch) for name, mean, epoch in zip(*columns, strict=True)]
    wall_time = sum(seconds.values()) if {str(seed) for seed in config.seeds} <= seconds.keys() else None
    metrics, tags = finite([*summary(entry), *points, *_seconds(wall_time)])
    unit = "function call" if config.run.optimizer.name == "tnc" else "epoch"
    return Content(
        variant_parameters(config) | {"seeds": json.dumps(list(config.seeds))},
        metrics,
        tags | fix_tags(config, case) | interval_tag(entry),
        variant_description(config, case, entry),
        {
            f"configs/{config.variant}.json": files.json_text(config.model_dump(mode="json")).encode(),
            "figures/learning_curves.png": figures.png(figures.learning_curves(config.variant, curves, unit)),
            "figures/confusion.png": figures.png(figures.confusion(f"{config.variant}: % of each digit, test", counts)),
        },
        seconds=wall_time,
    )


def seed(
    config: VariantConfig,
    case: Case,
    number: int,
    entry: Mapping[str, Any],
    history: pd.DataFrame,
    final: pd.DataFrame,
    seconds: Mapping[str, float],
) -> Content:
    """The child run of the seed `number`; `history` and `final` are what `train` wrote of all seeds."""
    rows = final[final["seed"] == number]
    # An empty cell is a value that is not finite, or one that a dataset without a validation split cannot have.
    absent = () if "validation" in set(rows["split"]) else ("validation_loss", "validation_accuracy")
    measured = history.columns.drop(["seed", "epoch", *absent]).tolist()
    own = str(number)
    figures_of_seed: dict[str, Any] = {
        name: {"mean": figure["per_seed"][own]}
        for name, figure in entry.items()
        if isinstance(figure, Mapping) and own in figure.get("per_seed", {})
    }
    figures_of_seed["diverged"] = float(rows["diverged"].any())
    figures_of_seed["gradient_evaluations"] = float(rows["gradient_evaluations"].max())
    points = [
        (f"epoch/{name}", value, epoch)
        for name in measured
        for epoch, value in history.loc[history["seed"] == number, ["epoch", name]].itertuples(index=False)
    ]
    wall_time = seconds.get(own)
    metrics, tags = finite([*summary(figures_of_seed), *points, *_seconds(wall_time)])
    parameters = variant_parameters(config) | {"seed": own}
    return Content(parameters, metrics, tags | fix_tags(config, case), seconds=wall_time)


def baseline(case_name: str, model: str, case: Case, entry: Mapping[str, Any], counts: np.ndarray) -> Content:
    """The run of the baseline `model` of a case; `entry` and `counts` as for a variant."""
    settings = case.baselines[model].model_dump(mode="json")
    metrics, tags = finite(summary(entry))
    kind = "one-vs-all" if case.baselines[model].one_vs_all else "multinomial"
    description = (
        f"scikit-learn's logistic regression, {kind}, on the same splits.\n\n{result_line(entry)}\n\n{post(case)}"
    )
    return Content(
        {"case": case_name, "baseline": model, "dataset": case.dataset, **flatten(settings)},
        metrics,
        tags,
        description,
        {
            "figures/confusion.png": figures.png(
                figures.confusion(f"{case_name}-{model}: % of each digit, test", counts)
            )
        },
    )


def probe(case_name: str, case: Case, table: pd.DataFrame) -> Content:
    """The run of the probe: means over seeds, a step for each number of zeros; `table` is probe/probe.csv."""
    means = table.groupby("zeros")[["accuracy", "share_answered"]].mean()
    points = [
        (f"zeros/{name}", mean, zeros)
        for name in ("accuracy", "share_answered")
        for zeros, mean in zip(means.index.tolist(), means[name].tolist(), strict=True)
    ]
    metrics, tags = finite(points)
    description = (
        f"As posted, on examples of two digits: the step is the number of zeros, the rest are ones.\n\n{post(case)}"
    )
    parameters = {"case": case_name, "dataset": case.dataset, "examples": str(table["examples"].iloc[0])}
    return Content(parameters, metrics, tags, description, tables={"probe.json": table})


def attribution(case_name: str, case: Case, cells: pd.DataFrame, effects: Mapping[str, Any]) -> Content:
    """The run of a case's attribution; `cells` and `effects` are cells.csv and effects.json of attribution/<case>/.

    A metric ``<accuracy>.<effect>/<fix>`` is an effect of a fix, whose interval is in the artifact effects.json; the
    accuracy that the case is judged by comes first.
    """
    points: list[tuple[str, float | None, int]] = []
    for accuracy in (case.judged_by, *sorted(effects.keys() - {case.judged_by})):
        points.append((f"{accuracy}.full_gain", effects[accuracy]["full_gain"]["mean"], 0))
        for fix, of_fix in effects[accuracy]["fixes"].items():
            points += [(f"{accuracy}.{effect}/{fix}", interval["mean"], 0) for effect, interval in of_fix.items()]
    if diverged := int(cells["diverged"].sum()):
        points.append(("diverged", diverged / len(cells), 0))
    metrics, tags = finite(points)
    first = effects[case.judged_by]
    enough = " or ".join(" + ".join(chosen) for chosen in first["smallest_sets"]) or "none"
    description = (
        f"Every combination of {len(case.fixes)} fixes; smallest sets with 95% of the full gain in "
        f"{case.judged_by.replace('_', ' ')}: {enough}.{_diverged(diverged, len(cells))}\n\n{post(case)}"
    )
    panel = readme_figure.Panel(case.title, case.judged_by.replace("_", " "), first)
    return Content(
        {"case": case_name, "dataset": case.dataset, "fixes": ", ".join(case.fixes)},
        metrics,
        tags,
        description,
        {
            "attribution/effects.json": files.json_text(effects).encode(),
            "figures/greedy_path.svg": readme_figure.svg([panel]),
            "figures/shapley.png": figures.png(figures.shapley(f"Shapley values, {panel.accuracy}", first)),
        },
        {"attribution/cells.json": cells},
    )


def references(case_name: str, case: Case, table: pd.DataFrame) -> Content:
    """The run of a case's published numbers; `table` has its rows of reports/references.csv."""
    agreeing = int(table["agrees"].sum())
    verdict = f"{agreeing} of {len(table)} agree within their tolerance"
    description = f"Published numbers beside the measured ones: {verdict}.\n\n{post(case)}"
    metrics = [("published", float(len(table)), 0), ("published_agreeing", float(agreeing), 0)]
    parameters = {"case": case_name, "dataset": case.dataset}
    return Content(parameters, metrics, {}, description, tables={"references.json": table})


def _diverged(count: int, runs: int) -> str:
    """How many of `runs` diverged, for a description; nothing where none did."""
    return f" {count} of {runs} runs diverged." if count else ""


def _seconds(wall_time: float | None) -> list[tuple[str, float | None, int]]:
    return [] if wall_time is None else [("train_seconds", wall_time, 0)]
