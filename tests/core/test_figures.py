"""Figures: what they show, read back from what is drawn."""

import io

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.image import imread

from stages.core import figures


def curves(figure: str, mean: list[float]) -> pd.DataFrame:
    """Rows of reports/curves/<case>.csv with a band of 0.1 on either side."""
    values = np.array(mean)
    epochs = range(1, len(mean) + 1)
    return pd.DataFrame({"figure": figure, "epoch": epochs, "mean": values, "low": values - 0.1, "high": values + 0.1})


def test_learning_curves_show_the_means_of_each_split_and_figure() -> None:
    table = pd.concat(
        [
            curves("accuracy", [0.2, 0.5]),
            curves("validation_accuracy", [0.3, 0.4]),
            curves("loss", [2.0, 1.0]),
        ]
    )
    accuracy, loss = figures.learning_curves("a title", table).axes
    drawn = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in accuracy.get_lines()}
    assert drawn == {"training": [0.2, 0.5], "validation": [0.3, 0.4]}
    assert [np.asarray(line.get_ydata()).tolist() for line in loss.get_lines()] == [[2.0, 1.0]]
    assert (accuracy.get_xlabel(), accuracy.get_ylabel(), loss.get_ylabel()) == ("epoch", "accuracy", "loss")


def test_learning_curves_of_a_run_that_diverged_can_be_drawn() -> None:
    table = pd.concat([curves("accuracy", [0.1, 0.1]), curves("loss", [1e30, np.nan])])
    assert figures.png(figures.learning_curves("diverged", table))


def test_confusion_shows_percentages_of_the_actual_digit() -> None:
    counts = np.zeros((10, 10), int)
    counts[3, 5], counts[3, 3] = 1, 3
    counts[4, 4] = 7
    (axes,) = figures.confusion("a title", counts).axes
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(5, 3): "25", (3, 3): "75", (4, 4): "100"}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted digit", "actual digit")


def test_a_figure_is_a_png_without_a_display() -> None:
    image = imread(io.BytesIO(figures.png(figures.confusion("a title", np.eye(10, dtype=int)))), format="png")
    assert image.shape[0] == image.shape[1] > 300
    assert "matplotlib.pyplot" not in vars(figures)
    assert mpl.get_backend(auto_select=False) in (None, "agg")


def test_shapley_values_are_bars_from_zero_with_their_intervals() -> None:
    values = {"a": {"mean": 0.5, "low": 0.25, "high": 0.75}, "b": {"mean": -0.125, "low": None, "high": None}}
    effects = {"fixes": {fix: {"shapley": value} for fix, value in values.items()}}
    axes = figures.shapley("a title", effects).axes[0]
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 0.5), (0, -0.125)]  # type: ignore[attr-defined]
    drawn = [np.asarray(line.get_xdata()).tolist() for line in axes.get_lines()]
    assert drawn == [[0.25, 0.75], [0, 0]]
