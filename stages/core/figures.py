"""Figures as PNG, drawn without a display."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's blue and vermilion, told apart with any colour vision.
COLOURS = {"training": "#0072B2", "validation": "#D55E00"}
DPI = 110


def png(figure: Figure) -> bytes:
    """`figure` as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def learning_curves(title: str, curves: pd.DataFrame, unit: str = "epoch") -> Figure:
    """Accuracy and loss by epoch: the mean over seeds, and a band from the lowest to the highest seed.

    `curves` are the rows of one variant in reports/curves/<case>.csv; `unit` is what its epochs count.
    """
    figure = Figure(figsize=(9, 3.6))
    # Margins by hand: a layout that finds them draws everything three times.
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.14, top=0.88, wspace=0.25)
    figure.suptitle(title)
    panels: list[Axes] = list(figure.subplots(1, 2))
    for axes, figure_name in zip(panels, ("accuracy", "loss"), strict=True):
        for split, prefix in (("training", ""), ("validation", "validation_")):
            rows = curves[curves["figure"] == f"{prefix}{figure_name}"]
            if rows.empty:
                continue
            epoch = rows["epoch"].to_numpy()
            # A marker shows a value that has no finite neighbour, and so no line.
            axes.plot(epoch, rows["mean"].to_numpy(), ".-", ms=3, color=COLOURS[split], label=split)
            low, high = rows["low"].to_numpy(), rows["high"].to_numpy()
            axes.fill_between(epoch, low, high, color=COLOURS[split], alpha=0.2, lw=0)
        axes.set(xlabel=unit, ylabel=figure_name)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    # Accuracies of different variants are read side by side, so they share one scale.
    panels[0].set_ylim(0, 1.02)
    panels[1].ticklabel_format(axis="y", useOffset=False)
    panels[0].legend(loc="best", frameon=False)
    return figure


def confusion(title: str, counts: np.ndarray) -> Figure:
    """Confusion `counts` [10, 10] as percentages of the examples of each actual digit."""
    percentages = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(5.6, 5.6))
    figure.subplots_adjust(left=0.1, right=0.97, bottom=0.09, top=0.96)
    axes = figure.subplots()
    axes.imshow(percentages, cmap="Blues", vmin=0, vmax=100)
    for actual, row in enumerate(percentages):
        for predicted, percentage in enumerate(row):
            if percentage >= 0.5:
                colour = "white" if percentage > 55 else "#333333"
                axes.text(predicted, actual, f"{percentage:.0f}", ha="center", va="center", fontsize=8, color=colour)
    digits = range(len(counts))
    axes.set(xlabel="predicted digit", ylabel="actual digit", xticks=digits, yticks=digits, title=title)
    axes.tick_params(length=0)
    return figure


def shapley(title: str, effects: Mapping[str, Any]) -> Figure:
    """Shapley value of each fix with its bootstrap interval; `effects` as `statistics.effects` gives them."""
    values = {fix: of_fix["shapley"] for fix, of_fix in effects["fixes"].items()}
    figure = Figure(figsize=(7, 1.2 + 0.4 * len(values)))
    figure.subplots_adjust(left=0.24, right=0.96, bottom=0.5 / figure.get_figheight(), top=0.86)
    axes = figure.subplots()
    axes.barh(list(values), [value["mean"] for value in values.values()], color=COLOURS["training"])
    for row, value in enumerate(values.values()):
        if value["low"] is not None:
            axes.plot([value["low"], value["high"]], [row, row], color="black", lw=1.5)
    axes.axvline(0, color="black", lw=0.8)
    axes.invert_yaxis()
    axes.set_title(title)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
