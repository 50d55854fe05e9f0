"""Static pictures by Matplotlib, drawn without a display: PNG for MLflow, and SVG for the README and MLflow."""

# ruff: noqa: E402, because Matplotlib is imported after it is told what not to read.

import io
import logging
import os
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from stages.base.errors import UserError

# Matplotlib refuses to be imported with a name or a file that it does not know, and logs what it thinks of the latter.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
try:
    import matplotlib as mpl
except UnicodeDecodeError:
    # Only here: the file of the current folder comes before the one that the environment names.
    raise UserError("matplotlibrc: not UTF-8; expected settings of Matplotlib; move it out of this folder") from None
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.analysis.intervals import CONFIDENCE
from stages.analysis.path import path_to_repair
from stages.analysis.results import BaselineResult, CaseResult, Effects, Estimate, VariantResult
from stages.config.network import WHEN
from stages.page.words import SCORES, label

mpl.rcdefaults()  # a matplotlibrc of the user's must not change a picture

# Okabe and Ito's blue and vermilion, which any color vision tells apart.
COLORS = {"training": "#0072B2", "validation": "#D55E00"}
DPI = 110

BLUE, ORANGE, GREY, INK, MUTED, LINE = "#0a64ad", "#b8480a", "#8c96a3", "#1d2129", "#59616d", "#dcdfe4"
SVG_SETTINGS: dict[Any, Any] = {
    # Letters as outlines look the same with any fonts. The font is Matplotlib's own.
    "svg.fonttype": "path",
    "svg.hashsalt": "whichfix",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
}
# By default, the metadata hold a time and a version.
METADATA = {"Date": None, "Creator": None}
ROW = 0.36
# Of a confusion matrix with names and numbers in it.
MOST_CLASSES = 30
TITLE_WIDTH = 52
LABEL_WIDTH = 24


def png(figure: Figure) -> bytes:
    """Return `figure` as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def learning_curves(title: str, curves: pd.DataFrame, score: str, unit: str = "epoch") -> bytes:
    """Return a PNG of `score` and loss by epoch: the mean over seeds, and a band from lowest to highest seed.

    `curves` are the rows of one variant in reports/curves/<case>.csv; `unit` is what its epochs count.
    """
    figure = Figure(figsize=(9, 3.6))
    # Margins by hand, because a layout that finds them draws everything three times.
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.14, top=0.88, wspace=0.25)
    figure.suptitle(title).set_parse_math(False)
    panels: list[Axes] = list(figure.subplots(1, 2))
    for axes, name in zip(panels, (score, "loss"), strict=True):
        for split, prefix in (("training", ""), ("validation", "validation_")):
            rows = curves[curves["figure"] == f"{prefix}{name}"]
            if rows.empty:
                continue
            epoch = rows["epoch"].to_numpy()
            # A marker shows a value that has no finite neighbor, and therefore no line.
            axes.plot(epoch, rows["mean"].to_numpy(), ".-", ms=3, color=COLORS[split], label=split)
            low, high = rows["low"].to_numpy(), rows["high"].to_numpy()
            axes.fill_between(epoch, low, high, color=COLORS[split], alpha=0.2, lw=0)
        axes.set(xlabel=unit, ylabel=SCORES.get(name, name))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    # Accuracies of several variants are compared side by side, so they have one scale.
    if score == "accuracy":
        panels[0].set_ylim(0, 1.02)
    panels[1].ticklabel_format(axis="y", useOffset=False)
    panels[0].legend(loc="best", frameon=False)
    return png(figure)


def confusion(title: str, counts: Sequence[Sequence[int]], names: Sequence[str]) -> bytes:
    """Return a PNG of confusion counts [classes, classes], in percent of the examples of each actual class."""
    table = np.array(counts)
    percentages = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(5.6, 5.6))
    margin = 0.1 if max(map(len, names)) <= 2 else 0.25
    figure.subplots_adjust(left=margin, right=0.97, bottom=margin, top=0.96)
    axes = figure.subplots()
    axes.imshow(percentages, cmap="Blues", vmin=0, vmax=100)
    for actual, row in enumerate(percentages if len(table) <= MOST_CLASSES else ()):
        for predicted, percentage in enumerate(row):
            if percentage >= 0.5:
                color = "white" if percentage > 55 else "#333333"
                axes.text(predicted, actual, f"{percentage:.0f}", ha="center", va="center", fontsize=8, color=color)
    if len(table) <= MOST_CLASSES:
        axes.set(xticks=range(len(table)), yticks=range(len(table)))
        rotation = 90 if max(map(len, names)) > 2 else 0
        for axis, turned in ((axes.xaxis, rotation), (axes.yaxis, 0)):
            labels = axis.set_ticklabels(
                [textwrap.shorten(name, 16, placeholder="…") for name in names], rotation=turned
            )
            for text in labels:
                text.set_parse_math(False)
    axes.set(xlabel="predicted", ylabel="actual")
    axes.set_title(title).set_parse_math(False)
    axes.tick_params(length=0)
    return png(figure)


def shapley(title: str, effects: Effects) -> bytes:
    """Return a PNG of what each fix is worth, with its bootstrap interval: its Shapley value, or its main effect."""
    values = {fix: of_fix.worth for fix, of_fix in effects.fixes.items()}
    figure = Figure(figsize=(7, 1.2 + 0.4 * len(values)))
    figure.subplots_adjust(left=0.24, right=0.96, bottom=0.5 / figure.get_figheight(), top=0.86)
    axes = figure.subplots()
    axes.barh(list(values), [value.mean or 0 for value in values.values()], color=COLORS["training"])
    for row, value in enumerate(values.values()):
        if value.low is not None and value.high is not None:
            axes.plot([value.low, value.high], [row, row], color="black", lw=1.5)
    axes.axvline(0, color="black", lw=0.8)
    axes.invert_yaxis()
    axes.set_title(title).set_parse_math(False)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def _steps(result: CaseResult, keras: str) -> list[tuple[str, Estimate]]:
    """Return the rows of a waterfall, as posted first: a label and the score after the step.

    They are the greedy path to all fixes or, if the fixes are searched, the path to the repair.
    """
    if keras in result.effects:
        effects = result.effects[keras][result.judged_by]
        greedy = [(f"+ {step.fix}", step.score) for step in effects.greedy_path]
        return [("as posted", effects.as_posted), *greedy]
    return [
        ("\n".join(textwrap.wrap(f"+ {', '.join(step.added)}", LABEL_WIDTH, max_lines=2, placeholder=" …")), step.score)
        if step.added
        else ("as posted", step.score)
        for step in path_to_repair(result, keras)
    ]


def _waterfall(axes: Axes, result: CaseResult, keras: str) -> None:
    """Draw one row per step: the score after the step, with its interval."""
    steps = _steps(result, keras)
    rows = [(steps[0][0], 0.0, steps[0][1], GREY)]
    for (_, before), (name, score) in pairwise(steps):
        start = before.mean or 0.0
        rows.append((name, start, score, BLUE if (score.mean or 0.0) >= start else ORANGE))
    for row, (name, start, score, color) in enumerate(rows):
        end = score.mean or 0.0
        axes.barh(row, end - start, left=start, height=0.62, color=color)
        reach = max(start, end)
        if score.low is not None and score.high is not None:
            axes.plot([score.low, score.high], [row, row], color=INK, lw=1.2, solid_capstyle="butt")
            reach = max(reach, score.high)
        if row:
            axes.plot([start, start], [row - 1.31, row + 0.31], color=GREY, lw=0.8)
        # Right of the bar if there is room, else left of it, else beyond the axis.
        place, side = (reach + 0.02, "left") if reach < 0.86 else (start - 0.02, "right")
        if side == "right" and place < 0.12:
            place, side = 1.02, "left"
        axes.text(place, row, f"{100 * end:.1f}%", va="center", ha=side, fontsize=9, color=INK)
        axes.text(-0.02, row, name, va="center", ha="right", fontsize=9, color=INK)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.45, -0.55), yticks=[], xticks=[0, 0.25, 0.5, 0.75, 1])
    axes.set_xticklabels(["0", "25", "50", "75", "100%"], fontsize=8)
    interval = "" if steps[0][1].low is None else f": mean over seeds, {CONFIDENCE:.0%} interval"
    axes.set_xlabel(label(result, result.judged_by) + interval, fontsize=8.5)
    axes.grid(axis="x", color=LINE, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    title = f"{textwrap.fill(result.title, TITLE_WIDTH)}\nKeras {keras} ({WHEN[keras]})"
    heading = axes.set_title(title, loc="left", x=-0.52, fontsize=10, fontweight="bold", color=INK, pad=8)
    heading.set_parse_math(False)  # two $ in a title are not a formula


def waterfall(results: Sequence[CaseResult], keras: str | None = None) -> bytes:
    """Return an SVG of the way from as posted to all fixes or, for searched fixes, to the repair.

    It has a column per case, and a row per condition or one for `keras`. Its background is white, so that it can be
    read on a dark page too. Its bytes are equal on every machine.
    """
    columns = [result.keras if keras is None else (keras,) for result in results]
    n_rows = max(map(len, columns))
    n_steps = [
        max(len(_steps(result, keras)) for keras in conditions)
        for result, conditions in zip(results, columns, strict=True)
    ]
    row_height = 1.15 + ROW * max(n_steps)
    with mpl.rc_context(SVG_SETTINGS):
        figure = Figure(figsize=(5.2 * len(results), row_height * n_rows), facecolor="white")
        grid = figure.subplots(n_rows, len(results), squeeze=False)
        for column, (result, conditions) in enumerate(zip(results, columns, strict=True)):
            height = ROW * n_steps[column] / figure.get_figheight()
            for row, axes in enumerate(grid[:, column]):
                if row >= len(conditions):
                    axes.set_axis_off()
                    continue
                _waterfall(axes, result, conditions[row])
                top = 1 - (row * row_height + 0.55) / figure.get_figheight()
                axes.set_position(((column + 0.345) / len(results), top - height, 0.53 / len(results), height))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata=METADATA)
    return buffer.getvalue()


def tracked(
    result: CaseResult, measured: VariantResult | BaselineResult | str, curves: pd.DataFrame
) -> dict[str, bytes]:
    """Return the pictures of a variant, of a baseline, or of the case under a condition, as bytes by path.

    `curves` are the rows of reports/curves/<case>.csv.
    """
    if isinstance(measured, str) and measured not in result.effects:
        return {"path_to_repair.svg": waterfall([result], measured)}
    if isinstance(measured, str):
        effects = result.effects[measured][result.judged_by]
        kind = "Shapley values" if effects.complete else "Main effects"
        title = f"{kind}, {label(result, result.judged_by)}, Keras {measured}"
        shown = {"shapley.png": shapley(title, effects)} if effects.fixes else {}
        return {"greedy_path.svg": waterfall([result], measured), **shown}
    split = "test" if "test" in measured.scores else "train"
    title = f"{measured.label}: % of each row, {label(result, split)}"
    shown = {"confusion.png": confusion(title, measured.confusion, result.data.axis)}
    if isinstance(measured, VariantResult):
        unit = "function call" if measured.network["epochs"] is None else "epoch"
        rows = curves[curves["variant"] == measured.label]
        shown["learning_curves.png"] = learning_curves(measured.label, rows, result.score, unit)
    return shown
