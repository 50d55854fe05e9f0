"""Learning curves as Vega-Lite, drawn in the browser in the colours of the page's style sheet."""

import math
from functools import cache
from typing import Any

import altair as alt
import pandas as pd

# Colours are the style sheet's, so they change with light and dark, and on paper.
COLOURS = {"training": "var(--blue)", "validation": "var(--orange)"}
PREFIXES = {"training": "", "validation": "validation_"}
FORMATS = {"accuracy": ".1%", "loss": ".5~g"}
AXIS_FORMATS = {"accuracy": ".0%", "loss": ".5~g"}
HEIGHT = 150


def splits_of(curves: pd.DataFrame, figure: str) -> tuple[str, ...]:
    """The splits that `curves` have a finite `figure` on."""
    present = set(curves.loc[curves["mean"].abs() < math.inf, "figure"])
    return tuple(split for split, prefix in PREFIXES.items() if prefix + figure in present)


def curve_data(curves: pd.DataFrame, figure: str) -> str:
    """The rows of one variant in reports/curves/<case>.csv for `figure` (accuracy or loss), as CSV: a row an epoch.

    Six digits of each value; where the mean is not finite the values are left out.
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
    """Vega-Lite: `figure` by epoch, the mean over seeds with a band from the lowest seed to the highest.

    `curves` as in `curve_data`; `unit` is what an epoch counts. It has no text for those who do not
    see it: the page has, beside it.
    """
    data = {"values": curve_data(curves, figure), "format": {"type": "csv"}}
    return {**_design(figure, unit, splits_of(curves, figure)), "data": data}


# Altair checks what it makes against the whole grammar, so each of the few designs is made once.
@cache
def _design(figure: str, unit: str, splits: tuple[str, ...]) -> dict[str, Any]:
    across: dict[str, Any] = {
        "title": unit,
        "scale": alt.Scale(nice=False, zero=False),
        "axis": alt.Axis(tickMinStep=1),
    }
    base = alt.Chart(alt.InlineData("")).encode(x=alt.X("epoch:Q", **across))
    shared: dict[str, Any] = {
        "title": figure,
        "scale": alt.Scale(domain=[0, 1]) if figure == "accuracy" else alt.Scale(zero=False),
        "axis": alt.Axis(format=AXIS_FORMATS[figure], tickCount=4),
    }
    marks: list[alt.Chart] = []
    texts = {}
    for split in splits:
        y = alt.Y(f"{split}_low:Q", **shared)
        marks.append(base.mark_area(color=COLOURS[split], opacity=0.2).encode(y=y, y2=f"{split}_high:Q"))
        marks.append(base.mark_line(color=COLOURS[split]).encode(y=alt.Y(f"{split}:Q", **shared)))
        mean, low, high = (f"format(datum.{split}{end}, '{FORMATS[figure]}')" for end in ("", "_low", "_high"))
        band = f"(datum.{split}_low == datum.{split}_high ? '' : ' (' + {low} + ' to ' + {high} + ')')"
        texts[f"{split}_text"] = f"isValid(datum.{split}) ? {mean} + {band} : 'not finite'"
    # Columns to point at, one an epoch: what a selection by nearness shows is numbers alone, for a fault of Vega-Lite.
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
        .properties(width="container", height=HEIGHT)
        .configure(background="transparent", font="inherit")
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
    # It names a version and an address, and nothing reads it.
    del spec["$schema"]
    return spec
