"""CaseResult -> parameters, metrics, tags and artifacts of the runs in MLflow. Without MLflow.

Metrics named ``epoch/...`` are curves with a step per epoch, ``interval/...`` are the bounds beside a mean,
``recall/<class>`` is the share of a class's test examples that are answered correctly,
``symptom/<moment>.<layer>.<name>`` is a symptom of a layer, and ``symptom/<moment>.<name>`` is one of the outputs. All
others are figures of the final weights. MLflow folds the charts of what has the same prefix before the slash.

MLflow shows a metric as it is stored, so a metric has six digits; the results of DVC have all of them. The score and
the gain with their intervals are tags, because a metric is one number. MLflow has no form for a value that is not
finite: it is left out and named in the tag ``not_finite``.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stages.analysis import settings
from stages.analysis.results import BaselineResult, CaseResult, Figure, VariantResult
from stages.training.runs import Run, figures

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = "mlflow.note.content"
STALE = "whichfix.stale"
# An R² below this says no more than that the network is of no use.
LOWEST = -10.0

Metric = tuple[str, float, int]
MaybeMetric = tuple[str, float | None, int]


@dataclass(frozen=True)
class Content:
    """The content of one run.

    `metrics` are (name, value, step). `artifacts` maps a path to bytes, `tables` a path that ends in .json to columns.
    `seconds` is the wall time, None if it is not known.
    """

    params: dict[str, str]
    metrics: list[Metric]
    tags: dict[str, str]
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    tables: Mapping[str, dict[str, list[Any]]] = field(default_factory=dict)
    seconds: float | None = None


def rounded(value: float) -> float:
    """Return `value` with six digits; a whole number stays as it is."""
    return value if value.is_integer() else float(f"{value:.6g}")


def finite(metrics: Iterable[MaybeMetric]) -> tuple[list[Metric], dict[str, str]]:
    """Return the finite values of `metrics`, rounded, and the tag that names the others."""
    kept: list[Metric] = []
    lost: list[str] = []
    for name, value, step in metrics:
        if value is None or not math.isfinite(value):
            lost.append(name)
        else:
            kept.append((name, rounded(float(value)), step))
    return kept, {"not_finite": ", ".join(dict.fromkeys(lost))} if lost else {}


def gain_name(split: str) -> str:
    """Return the name of the gain on a split."""
    return "gain" if split == "test" else f"{split}_gain"


def percent(value: float | None, sign: str = "") -> str:
    """Return a score in percent, or a gain with `sign` "+" in points, such as ``62.2``."""
    if value is None:
        return "–"
    return f"below {100 * LOWEST:.0f}" if value < LOWEST else f"{100 * value:{sign}z.1f}"


def interval(figure: Figure | None, sign: str = "") -> str:
    """Return a mean in percent and half its interval, such as ``62.2 ± 9.7``."""
    mean = figure.mean if figure else None
    # A t interval is symmetric.
    half = figure.high - mean if figure and figure.high is not None and mean is not None else None
    return percent(mean, sign) + ("" if half is None else f" ± {100 * half:.1f}")


def score_tags(result: CaseResult) -> tuple[str, str]:
    """Return the names of the tags with the score and the gain on the split by which the case is judged."""
    return f"{result.judged_by} {result.score}", f"{result.judged_by} gain"


def shown_scores(
    result: CaseResult, measured: VariantResult | BaselineResult, seed: int | None = None
) -> dict[str, str]:
    """Return the score and the gain as tags, such as ``62.4 ± 9.8%``: means with their intervals, or of one seed."""
    score_name, gain_tag = score_tags(result)
    gain = measured.gain if isinstance(measured, VariantResult) else {}
    tags = {}
    for name, by_split, sign, unit in ((score_name, measured.scores, "", "%"), (gain_tag, gain, "+", " points")):
        figure = by_split.get(result.judged_by)
        if figure:
            tags[name] = (interval(figure, sign) if seed is None else percent(figure.per_seed.get(seed), sign)) + unit
    # Without a mean there is nothing to show.
    return {name: text for name, text in tags.items() if not text.startswith("–")}


def named_figures(measured: VariantResult | BaselineResult, score: str) -> dict[str, Figure]:
    """Return the figures of a variant or baseline by their names in MLflow, in the order in which they are shown."""
    named = {f"{split}_{score}": figure for split, figure in measured.scores.items()}
    named |= {
        f"{split}_{name}": figure
        for split, beside in measured.measures.items()
        for name, figure in beside.items()
        if name != score
    }
    named |= {f"{split}_loss": loss for split, loss in measured.losses.items()}
    if isinstance(measured, VariantResult):
        named |= {gain_name(split): gain for split, gain in measured.gain.items()}
        named |= {f"{split}_keras_accuracy": figure for split, figure in measured.keras_accuracy.items()}
        named["final_loss"] = measured.final_loss
    # MLflow's page lists metrics in the order in which they were logged.
    first = ("gain", f"test_{score}", "train_gain", f"train_{score}", f"validation_{score}")
    return {name: named[name] for name in [*first, *sorted(named.keys() - {*first})] if name in named}


def summary(measured: VariantResult | BaselineResult, score: str) -> list[MaybeMetric]:
    """Return the means of a variant or baseline, then their intervals and the recall of each class."""
    figures = named_figures(measured, score)
    bounds = [
        (f"interval/{name}{kind}_{side}", bound, 0)
        for name, figure in figures.items()
        for kind, interval in (("", (figure.low, figure.high)), ("_sampling", figure.sampling or (None, None)))
        for side, bound in zip(("low", "high"), interval, strict=True)
        if bound is not None
    ]
    recall = [(f"recall/{label}", share, 0) for label, share in enumerate(measured.recall) if share is not None]
    return [*((name, figure.mean, 0) for name, figure in figures.items()), *bounds, *recall]


def symptoms(measured: VariantResult) -> list[MaybeMetric]:
    """Return the symptoms of a variant that have a value."""
    moments: dict[str, Any] = measured.symptoms.model_dump() if measured.symptoms else {}
    first = moments.pop("first_not_finite", None)
    metrics: list[MaybeMetric] = [] if first is None else [("symptom/first_not_finite", first, 0)]
    for moment, found in moments.items():
        outputs = {"": found} if found else {}
        layers = {f"{layer.pop('name')}.": layer for layer in outputs.get("", {}).pop("layers", ())}
        metrics += [
            (f"symptom/{moment}.{part}{name}", value, 0)
            for part, values in (outputs | layers).items()
            for name, value in values.items()
            if value is not None
        ]
    return metrics


def question(result: CaseResult) -> str:
    """Return a link to the question of a case, or its title, for a description."""
    return f"Question: [{result.title}]({result.source})" if result.source else result.title


def description(result: CaseResult, variant: VariantResult) -> str:
    """Return what a variant changes, in Markdown."""
    seeds = len(variant.seeds)
    scores = ", ".join(f"{name} {value}" for name, value in shown_scores(result, variant).items())
    about = f"**{scores}.** " if scores else ""
    about += f"Means of {seeds} seeds." if seeds > 1 else f"Seed {variant.seeds[0]} alone."
    about += f" Trained with the losses of Keras {variant.keras}."
    if variant.diverged:
        about += f" {round(variant.diverged * seeds)} of {seeds} runs diverged."
    if variant.subset:
        parts = ", ".join(f"{n} examples of {label}" for label, n in variant.subset.items())
        about += f" Trained on the first {parts}."
    why = {fix.name: fix.why for fix in result.fixes}
    changes = [f"- **{name}**: {why[name]}" for name in variant.fixes]
    changes += [f"- `{key}: {json.dumps(value)}`" for key, value in variant.set.items()]
    return "\n".join([about, "", "As posted, with" if changes else "As posted.", *changes, "", question(result)])


def variant_content(
    result: CaseResult,
    variant: VariantResult,
    curves: "pd.DataFrame",
    seconds: Mapping[int, float],
    pictures: Mapping[str, bytes],
) -> Content:
    """Return the parent run of a variant.

    `curves` are its rows of reports/curves/<case>.csv, `seconds` the wall times of its trainings by seed, and
    `pictures` its pictures by path.
    """
    rows = zip(curves["figure"], curves["mean"], curves["epoch"], strict=True)
    metrics: list[MaybeMetric] = [
        *summary(variant, result.score),
        ("diverged", variant.diverged, 0),
        ("steps", variant.steps, 0),
        *symptoms(variant),
    ]
    metrics += [(f"answers/{label}", n, 0) for label, n in (variant.answers or {}).items()]
    metrics += [(f"epoch/{figure}", mean, int(epoch)) for figure, mean, epoch in rows]
    tags = {DESCRIPTION: description(result, variant), **shown_scores(result, variant)}
    wall_time = sum(seconds[seed] for seed in variant.seeds) if set(variant.seeds) <= seconds.keys() else None
    own = {"seeds": ", ".join(map(str, variant.seeds))}
    return _trained(result, variant, own, metrics, wall_time, tags, pictures)


def seed_content(result: CaseResult, variant: VariantResult, run: Run, seconds: Mapping[int, float]) -> Content:
    """Return the child run of one seed. `run` is its run file, `seconds` are as for `variant_content`."""
    named = ((name, figure.per_seed) for name, figure in named_figures(variant, result.score).items())
    metrics: list[MaybeMetric] = [(name, values[run.seed], 0) for name, values in named if run.seed in values]
    metrics += [("diverged", run.diverged, 0), ("steps", run.steps, 0)]
    columns = figures(result.score)
    measured = columns if "validation" in run.scores else columns[:2]
    for figure, values in zip(measured, run.history.T.tolist(), strict=False):
        metrics += [(f"epoch/{figure}", value, epoch) for epoch, value in enumerate(values, start=1)]
    tags = shown_scores(result, variant, run.seed)
    return _trained(result, variant, {"seed": str(run.seed)}, metrics, seconds.get(run.seed), tags, {})


def _trained(
    result: CaseResult,
    variant: VariantResult,
    own: dict[str, str],
    metrics: list[MaybeMetric],
    seconds: float | None,
    tags: Mapping[str, str],
    pictures: Mapping[str, bytes],
) -> Content:
    """Return the run of a variant or seed; `own` are the parameters by which its seeds are told apart."""
    kept, lost = finite([*metrics, *([] if seconds is None else [("train_seconds", seconds, 0)])])
    params = {"case": result.case, "variant": variant.name, "fixes": ", ".join(variant.fixes) or "none"}
    params |= {} if variant.subset is None else {"subset": json.dumps(variant.subset)}
    params |= {"inputs": "raw"} | settings.flat(_one_line(variant.network)) | own
    # To filter runs by.
    fixes = {f"fix.{fix.name}": "yes" if fix.name in variant.fixes else "no" for fix in result.fixes}
    return Content(params, kept, {**tags, **lost, **fixes}, pictures, seconds=seconds)


def _one_line(network: Mapping[str, Any]) -> dict[str, Any]:
    """Return a network whose scale of the inputs is text: MLflow's plots compare only what all runs have."""
    inputs = network.get("inputs")
    return {**network, "inputs": f"scale {inputs['scale']:.6g}"} if isinstance(inputs, Mapping) else {**network}


def baseline_content(result: CaseResult, baseline: BaselineResult, pictures: Mapping[str, bytes]) -> Content:
    """Return the run of a baseline; `pictures` are by path."""
    metrics, tags = finite([*summary(baseline, result.score), ("iterations", baseline.n_iter, 0)])
    params = {"case": result.case, "baseline": baseline.name, **settings.flat(baseline.settings)}
    text = f"A model of scikit-learn on the same splits.\n\n{question(result)}"
    return Content(params, metrics, {DESCRIPTION: text, **shown_scores(result, baseline), **tags}, pictures)
