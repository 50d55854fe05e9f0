"""Static figures: what they show, and that their bytes are equal on every machine."""

import hashlib
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import made_up
import made_up_search
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from stages.analysis.results import CaseResult, Effects, Estimate
from stages.page import figures

SVG = "{http://www.w3.org/2000/svg}svg"
SCORES = np.random.default_rng(3).uniform(0, 1, 8).round(3)
RESULTS = (
    made_up.result(SCORES),
    made_up.result([0.1, 0.4, 0.2, 0.95], title="Two & a < b", keras=("2.2", "3"), judged_by="train"),
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were drawn as a PNG."""
    seen: list[Figure] = []
    png = figures.png

    def kept(figure: Figure) -> bytes:
        seen.append(figure)
        return png(figure)

    monkeypatch.setattr(figures, "png", kept)
    return seen


def test_learning_curves_show_the_means_of_each_split_and_figure(drawn: list[Figure]) -> None:
    rows = [
        (figure, epoch, mean, mean - 0.1, mean + 0.1)
        for figure, means in (("accuracy", (0.2, 0.5)), ("validation_accuracy", (0.3, 0.4)), ("loss", (2.0, np.nan)))
        for epoch, mean in enumerate(means, 1)
    ]
    figures.learning_curves(
        "a title", pd.DataFrame(rows, columns=["figure", "epoch", "mean", "low", "high"]), "accuracy"
    )
    accuracy, loss = drawn[0].axes
    lines = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in accuracy.get_lines()}
    assert lines == {"training": [0.2, 0.5], "validation": [0.3, 0.4]}
    assert np.asarray(loss.get_lines()[0].get_ydata())[0] == 2.0
    assert (accuracy.get_xlabel(), accuracy.get_ylabel(), loss.get_ylabel()) == ("epoch", "accuracy", "loss")


def test_confusion_shows_percentages_of_the_actual_class(drawn: list[Figure]) -> None:
    counts = np.zeros((10, 10), int)
    counts[3, 5], counts[3, 3], counts[4, 4] = 1, 3, 7
    png = figures.confusion("a title", counts.tolist(), made_up.DIGITS)
    texts = {text.get_position(): text.get_text() for text in drawn[0].axes[0].texts}
    assert texts == {(5, 3): "25", (3, 3): "75", (4, 4): "100"}
    image = imread(io.BytesIO(png), format="png")
    assert image.shape[0] == image.shape[1] > 300
    assert mpl.get_backend(auto_select=False) in (None, "agg")


def test_shapley_values_are_bars_from_zero_with_their_intervals(drawn: list[Figure]) -> None:
    effects = made_up.result([0.0, 0.5, 0.0, 0.375]).effects["3"]["test"]
    values = {"a": Estimate(mean=0.5, low=0.25, high=0.75), "b": Estimate(mean=-0.125, low=None, high=None)}
    changed = {name: effects.fixes[name].model_copy(update={"shapley": value}) for name, value in values.items()}
    figures.shapley("a title", Effects(**dict(effects) | {"fixes": changed}))
    axes = drawn[0].axes[0]
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 0.5), (0, -0.125)]  # type: ignore[attr-defined]
    assert [np.asarray(line.get_xdata()).tolist() for line in axes.get_lines()] == [[0.25, 0.75], [0, 0]]


def test_of_alternatives_the_main_effects_are_drawn(drawn: list[Figure]) -> None:
    result = made_up.result([0.1, 0.4, 0.35, 0.0], measured=lambda row: row != 3)
    assert "shapley.png" in figures.tracked(result, "3", made_up.curves(result))
    axes = drawn[0].axes[0]
    assert axes.get_title() == "Main effects, test accuracy, Keras 3"
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.3, 0.25])  # type: ignore[attr-defined]


def test_many_classes_have_no_numbers_and_long_names_are_cut(drawn: list[Figure]) -> None:
    names = [f"a rather long name of class {number}" for number in range(31)]
    figures.confusion("a title", np.eye(31, dtype=int).tolist(), names)
    assert len(drawn[0].axes[0].texts) == 0
    figures.confusion("a title", np.eye(30, dtype=int).tolist(), names[:30])
    assert len(drawn[1].axes[0].texts) == 30
    assert {len(label.get_text()) for label in drawn[1].axes[0].get_xticklabels()} <= set(range(1, 17))


def test_a_regression_is_drawn_with_r2_and_tenths_and_below_zero(drawn: list[Figure]) -> None:
    result = made_up.regression([-0.5, 0.4])
    curves = made_up.curves(result)
    assert ET.fromstring(figures.waterfall([result])).tag == SVG
    shown = figures.tracked(result, result.variant("fixed", "3"), curves)
    assert set(shown) == {"confusion.png", "learning_curves.png"}
    confusion, learning = drawn
    assert confusion.axes[0].get_title() == "fixed: % of each row, test R²"
    assert [label.get_text() for label in confusion.axes[0].get_xticklabels()][:2] == ["tenth 1", "tenth 2"]
    assert [axes.get_ylabel() for axes in learning.axes] == ["R²", "loss"]


def test_the_svg_has_known_bytes_no_time_no_version_no_font_and_an_opaque_background() -> None:
    svg = figures.waterfall(RESULTS)
    assert svg == figures.waterfall(RESULTS)
    assert hashlib.sha256(svg).hexdigest() == "61ab6661b0cea05a39d0ff78adc3f63b49f688e7afc764fb79851c673955b1f9"
    text = svg.decode()
    assert ET.fromstring(text).tag == SVG
    assert not re.search(r"\d{4}-\d\d-\d\d|Matplotlib v|dc:date|dc:creator|<text", text)
    assert not re.search(r'href="(?!#)', text)
    assert "fill: #ffffff" in text.split('id="patch_1"')[1].split("</g>")[0]


@pytest.mark.parametrize(("n_fixes", "n_seeds"), [(0, 2), (1, 2), (2, 1), (6, 2)])
def test_any_number_of_fixes_and_a_single_seed_can_be_drawn(
    n_fixes: int, n_seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made_up, "FIXES", "abcdef")
    result = made_up.result(np.random.default_rng(0).uniform(0, 1, 2**n_fixes), n_seeds)
    assert ET.fromstring(figures.waterfall([result])).tag == SVG
    assert "greedy_path.svg" in figures.tracked(result, "3", made_up.curves(result))


@pytest.mark.parametrize("repairs", [{}, {"3": (), "2.2": ()}], ids=["repaired", "not repaired"])
def test_a_search_is_drawn_as_the_path_to_its_repair_or_to_its_best_point(repairs: dict[str, tuple[()]]) -> None:
    result = made_up_search.searched(("2.2", "3"), **({"repairs": repairs} if repairs else {}))
    assert ET.fromstring(figures.waterfall([result, made_up.result([0.1, 0.9])])).tag == SVG
    drawn = figures.tracked(result, "3", made_up.curves(result))
    assert [*drawn] == ["path_to_repair.svg"]
    assert ET.fromstring(drawn["path_to_repair.svg"]).tag == SVG


def test_a_title_is_text_whatever_it_holds() -> None:
    title = "$\\frac$ <a> --> & 'b'"
    assert ET.fromstring(figures.waterfall([made_up.result([0.1, 0.9], title=title)])).tag == SVG
    assert figures.confusion(title, [[1]], [title]).startswith(b"\x89PNG")


def test_variants_and_baselines_have_their_pictures_with_equal_bytes_twice() -> None:
    result = made_up.result([0.1, 0.9], finite=False, baselines=(made_up.baseline("logistic", 0.8),))
    curves = made_up.curves(result, finite=False)
    few, baseline = result.variant("few", "3"), result.baselines[0]
    assert set(figures.tracked(result, few, curves)) == {"confusion.png", "learning_curves.png"}
    assert set(figures.tracked(result, baseline, curves)) == {"confusion.png"}
    assert figures.tracked(result, few, curves) == figures.tracked(result, few, curves)


def test_the_committed_figure_shows_the_committed_results(root: Path) -> None:
    paths = [root / f"reports/results/{case}.json" for case in ("mnist", "ex4")]
    results = [CaseResult.model_validate_json(path.read_bytes()) for path in paths]
    assert figures.waterfall(results) == (root / "reports/figure.svg").read_bytes()
