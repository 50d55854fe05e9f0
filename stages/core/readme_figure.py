"""The README's figure: the way from as posted to fixed, a panel a case, as SVG with the same bytes on every machine."""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.core.statistics import CONFIDENCE

BLUE, ORANGE, GREY, INK, MUTED, LINE = "#0a64ad", "#b8480a", "#8c96a3", "#1d2129", "#59616d", "#dcdfe4"
SETTINGS: dict[Any, Any] = {
    # Letters as outlines look the same whatever fonts the reader has; the font is Matplotlib's own.
    "svg.fonttype": "path",
    "svg.hashsalt": "whichfix",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
}
# They hold a time and a version.
METADATA = {"Date": None, "Creator": None}
ROW = 0.36
TITLE_WIDTH = 52


@dataclass(frozen=True)
class Panel:
    """A case: its title, the accuracy shown, and its effects on that accuracy (see `statistics.effects`)."""

    title: str
    accuracy: str
    effects: dict[str, Any]


def draw(axes: Axes, panel: Panel) -> None:
    """A waterfall: a row a step, and the accuracy after it with its interval."""
    path, start = panel.effects["greedy_path"], panel.effects["as_posted"]
    rows = [("as posted", 0.0, start, GREY)]
    before = start["mean"]
    for step in path:
        rows.append((f"+ {step['fix']}", before, step["accuracy"], BLUE if step["step"]["mean"] >= 0 else ORANGE))
        before = step["accuracy"]["mean"]
    for row, (label, left, accuracy, colour) in enumerate(rows):
        end = accuracy["mean"]
        axes.barh(row, end - left, left=left, height=0.62, color=colour)
        reach = max(left, end)
        if accuracy["low"] is not None:
            axes.plot([accuracy["low"], accuracy["high"]], [row, row], color=INK, lw=1.2, solid_capstyle="butt")
            reach = max(left, end, accuracy["high"])
        if row:
            axes.plot([left, left], [row - 1.31, row + 0.31], color=GREY, lw=0.8)
        # Beside the bar where there is room: right of it, else left of it, else beyond the axis.
        place, side = (reach + 0.02, "left") if reach < 0.86 else (left - 0.02, "right")
        if place < 0.12:
            place, side = 1.02, "left"
        axes.text(place, row, f"{100 * end:.1f}%", va="center", ha=side, fontsize=9, color=INK)
        axes.text(-0.02, row, label, va="center", ha="right", fontsize=9, color=INK)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.45, -0.55), yticks=[], xticks=[0, 0.25, 0.5, 0.75, 1])
    axes.set_xticklabels(["0", "25", "50", "75", "100%"], fontsize=8)
    interval = "" if start["low"] is None else f": mean over seeds, {CONFIDENCE:.0%} interval"
    axes.set_xlabel(panel.accuracy + interval, fontsize=8.5)
    axes.grid(axis="x", color=LINE, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    title = textwrap.fill(panel.title, TITLE_WIDTH)
    heading = axes.set_title(title, loc="left", x=-0.52, fontsize=10, fontweight="bold", color=INK, pad=8)
    # Two $ in a title are no formula.
    heading.set_parse_math(False)


def svg(panels: Sequence[Panel]) -> bytes:
    """The figure with all `panels` side by side, on white, so that it reads on a dark page too."""
    steps = max(len(panel.effects["greedy_path"]) for panel in panels)
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(5.2 * len(panels), 1.15 + ROW * (steps + 1)), facecolor="white")
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(grid, panels, strict=True):
            draw(axes, panel)
        width = 1 / len(panels)
        for number, axes in enumerate(grid):
            rows = len(panels[number].effects["greedy_path"]) + 1
            height = ROW * rows / figure.get_figheight()
            top = 1 - 0.55 / figure.get_figheight()
            axes.set_position((width * (number + 0.345), top - height, width * 0.53, height))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata=METADATA)
    return buffer.getvalue()
