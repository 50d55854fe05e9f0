"""Learning curves as Vega-Lite: their data, and that they are valid and load nothing."""

import json

import altair as alt
import pandas as pd
import pytest

from stages.page import charts


def curves(figures: tuple[str, ...] = ("accuracy", "loss"), means: tuple[float, ...] = (0.25, 0.5)) -> pd.DataFrame:
    rows = [(figure, epoch, mean, mean / 2, mean * 2) for figure in figures for epoch, mean in enumerate(means, 1)]
    return pd.DataFrame(rows, columns=["figure", "epoch", "mean", "low", "high"])


def test_the_data_are_the_mean_and_the_band_of_both_splits() -> None:
    assert charts.curve_data(curves(("loss", "validation_loss", "accuracy")), "loss").splitlines() == [
        "epoch,training,training_low,training_high,validation,validation_low,validation_high",
        "1,0.25,0.125,0.5,0.25,0.125,0.5",
        "2,0.5,0.25,1,0.5,0.25,1",
    ]


def test_a_mean_that_is_not_finite_is_left_out_and_so_is_a_split_without_a_finite_one() -> None:
    data = charts.curve_data(curves(means=(1 / 3, float("inf"), float("nan"))), "loss")
    assert data.splitlines()[1:] == ["1,0.333333,0.166667,0.666667", "2,,,", "3,,,"]
    table = pd.concat([curves(("loss",)), curves(("validation_loss",), (float("nan"), float("inf")))])
    assert charts.splits_of(table, "loss") == ("training",)


@pytest.mark.parametrize("figure", ["accuracy", "r2", "loss"])
def test_a_curve_is_valid_vega_lite_with_equal_bytes_each_time(figure: str) -> None:
    specs = [charts.learning_curve(curves((figure, "loss")), figure, "epoch") for _ in range(2)]
    assert json.dumps(specs[0]) == json.dumps(specs[1])
    alt.LayerChart.from_dict(specs[0])


def test_a_curve_names_no_address_and_shows_its_unit_and_each_split() -> None:
    for figures, splits in ((("loss",), ["training"]), (("loss", "validation_loss"), ["training", "validation"])):
        spec = charts.learning_curve(curves(figures), "loss", "function call")
        assert "://" not in json.dumps(spec)
        assert spec["layer"][0]["encoding"]["x"]["title"] == "function call"
        assert [tooltip["title"] for tooltip in spec["layer"][-1]["encoding"]["tooltip"]] == ["function call", *splits]


def test_an_axis_of_accuracies_is_from_none_to_all_and_one_of_r2_is_as_long_as_its_values() -> None:
    scales = {
        figure: charts.learning_curve(curves((figure,)), figure, "epoch")["layer"][0]["encoding"]["y"]
        for figure in ("accuracy", "r2")
    }
    assert {figure: y["scale"] for figure, y in scales.items()} == {
        "accuracy": {"domain": [0, 1]},
        "r2": {"zero": False},
    }
    # The name stands above the axis, where its labels cannot reach it.
    assert charts.learning_curve(curves(("r2",)), "r2", "epoch")["title"] == "R²"
    assert scales["r2"]["title"] is None
