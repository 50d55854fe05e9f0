"""Learning curves as Vega-Lite, which the browser draws in the colors of the style sheet."""

import math
from functools import cache
from typing import Any

import altair as alt
import pandas as pd

from stages.page.words import SCORES

# The colors of the style sheet change with light and dark, and on paper.
COLORS = {"training": "var(--blue)", "validation": "var(--orange)"}
PREFIXES = {"training": "", "validation": "validation_"}
FORMATS = {"accuracy": ".1%", "r2": ".1%", "loss": ".5~g"}
AXIS_FORMATS = {"accuracy": ".0%", "r2": ".0%", "loss": ".5~g"}
HEIGHT = 150


def splits_of(curves: pd.DataFrame, figure: str) -> tuple[str, ...]:
    """Return the splits on which `curves` have a finite `figure`."""
    present = set(curves.loc[curves["mean"].abs() < math.inf, "figure"])
    return tuple(split for split, prefix in PREFIXES.items() if prefix + figure in present)


def curve_data(curves: pd.DataFrame, figure: str) -> str:
    """Return `figure` (accuracy, r2 or loss) of one variant in reports/curves/<case>.csv as CSV, one row per epoch.

    Values have six digits. They are left out if the mean is not finite.
    """
    columns = [
        curves[curves["figure"] == PREFIXES[split] + figure]
        .set_index("epoch")[["mean", "low", "high"]]
        .where(lambda values: values["mean"].abs() < math.inf)
        .set_axis([split, f"{split}_low", f"{split}_high"], axis=1)
        for split in splits_of(curves, figure)
    ]
    wide = pd.concat(columns, axis=1).sort_index()
    return wide.to_csv(float_format="%.6g", lineterminator="\n")


def learning_curve(curves: pd.DataFrame, figure: str, unit: str) -> dict[str, Any]:
    """Return `figure` by epoch as Vega-Lite: the mean over seeds, with a band from the lowest seed to the highest.

    `curves` are as in `curve_data`, and `unit` is what an epoch counts. The page has the text for readers who do not
    see the chart.
    """
    data = {"values": curve_data(curves, figure), "format": {"type": "csv"}}
    return {**_design(figure, unit, splits_of(curves, figure)), "data": data}


# Altair checks each chart against its whole grammar, so each of the few designs is made only once.
@cache
def _design(figure: str, unit: str, splits: tuple[str, ...]) -> dict[str, Any]:
    across: dict[str, Any] = {
        "title": unit,
        "scale": alt.Scale(nice=False, zero=False),
        "axis": alt.Axis(tickMinStep=1),
    }
    base = alt.Chart(alt.InlineData("")).encode(x=alt.X("epoch:Q", **across))
    shared: dict[str, Any] = {
        "title": None,
        "scale": alt.Scale(domain=[0, 1]) if figure == "accuracy" else alt.Scale(zero=False),
        "axis": alt.Axis(format=AXIS_FORMATS[figure], tickCount=4),
    }
    marks: list[alt.Chart] = []
    texts = {}
    for split in splits:
        y = alt.Y(f"{split}_low:Q", **shared)
        marks.append(base.mark_area(color=COLORS[split], opacity=0.2).encode(y=y, y2=f"{split}_high:Q"))
        marks.append(base.mark_line(color=COLORS[split]).encode(y=alt.Y(f"{split}:Q", **shared)))
        mean, low, high = (f"format(datum.{split}{end}, '{FORMATS[figure]}')" for end in ("", "_low", "_high"))
        band = f"(datum.{split}_low == datum.{split}_high ? '' : ' (' + {low} + ' to ' + {high} + ')')"
        texts[f"{split}_text"] = f"isValid(datum.{split}) ? {mean} + {band} : 'not finite'"
    # Columns to point at, one per epoch. Vega-Lite's selection of the nearest point can show numbers only.
    hover = alt.selection_point(name="hover", on="pointerover", clear="pointerout", empty=False)
    columns = (
        base.transform_calculate(**texts, left="datum.epoch - 0.5", right="datum.epoch + 0.5")
        .mark_rect(color="var(--muted)")
        .encode(
            x=alt.X("left:Q", **across),
            x2="right:Q",
            opacity=alt.condition(hover, alt.value(0.25), alt.value(0)),
            tooltip=[
                alt.Tooltip("epoch:Q", title=unit),
                *(alt.Tooltip(f"{split}_text:N", title=split) for split in splits),
            ],
        )
        .add_params(hover)
    )
    chart = (
        alt.layer(*marks, columns)
        # Above the axis, where its labels cannot reach it.
        .properties(width="container", height=HEIGHT, title=SCORES.get(figure, figure))
        # Vega measures labels in this font, for which "inherit" does not do.
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_title(anchor="start", frame="group", color="var(--muted)", fontWeight="normal", fontSize=11)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--muted)",
            titleColor="var(--muted)",
            titleFontWeight="normal",
            gridColor="var(--line)",
            domainColor="var(--line)",
            tickColor="var(--line)",
            labelFontSize=11,
            titleFontSize=11,
        )
    )
    spec: dict[str, Any] = chart.to_dict()
    # Nothing reads this address, which names a version.
    del spec["$schema"]
    return spec
