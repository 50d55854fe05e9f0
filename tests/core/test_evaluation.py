import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stages.core import evaluation, params
from stages.core.params import Published

NAN, INF = float("nan"), float("inf")


def final(accuracies: dict[int, float], *, losses: float = 1.0, diverged: tuple[int, ...] = ()) -> pd.DataFrame:
    """A final.csv with these test accuracies by seed; training accuracies are a tenth above."""
    rows = [
        (seed, split, losses, accuracy, seed in diverged, 7)
        for seed, test in accuracies.items()
        for split, accuracy in (("train", test + 0.1), ("test", test))
    ]
    return pd.DataFrame(rows, columns=["seed", "split", "loss", "accuracy", "diverged", "gradient_evaluations"])


def history(losses: dict[int, list[float]], validation: float = NAN) -> pd.DataFrame:
    """A history.csv with these losses by seed, an epoch after the other."""
    rows = [
        (seed, epoch, loss, 0.5 + epoch / 100, validation, validation)
        for seed, values in losses.items()
        for epoch, loss in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows, columns=["seed", "epoch", *evaluation.FIGURES])


COUNTS = np.diag(np.arange(10)) + np.eye(10, k=1, dtype=int)


def metrics(
    variant: pd.DataFrame, as_posted: pd.DataFrame, losses: dict[int, list[float]] | None = None
) -> dict[str, Any]:
    lines = history(losses or {0: [2.0, 1.5]})
    return evaluation.run_metrics(lines, variant, as_posted, COUNTS, {"train": 50, "test": 20})


def test_accuracies_and_losses_are_means_over_seeds_with_a_t_interval_and_each_seeds_value() -> None:
    found = metrics(final({0: 0.5, 3: 0.6, 4: 0.85}), final({0: 0.1, 3: 0.1, 4: 0.1}))
    expected = stats.ttest_1samp([0.5, 0.6, 0.85], 0).confidence_interval(0.95)
    assert found["test_accuracy"]["mean"] == pytest.approx(0.65)
    assert found["test_accuracy"]["low"] == pytest.approx(expected.low)
    assert found["test_accuracy"]["high"] == pytest.approx(expected.high)
    assert found["test_accuracy"]["per_seed"] == {"0": 0.5, "3": 0.6, "4": 0.85}
    assert found["train_accuracy"]["mean"] == pytest.approx(0.75)
    assert found["test_loss"]["mean"] == found["train_loss"]["mean"] == 1.0


def test_the_sampling_interval_is_that_of_the_mean_accuracy_on_the_examples_of_the_split() -> None:
    found = metrics(final({0: 0.5, 1: 0.6}), final({0: 0.1, 1: 0.1}))
    for split, accuracy, n in (("test", 0.55, 20), ("train", 0.65, 50)):
        expected = stats.binomtest(round(accuracy * n), n).proportion_ci(0.95, method="wilson")
        assert found[f"{split}_accuracy"]["sampling"] == pytest.approx({"low": expected.low, "high": expected.high})


def test_the_sampling_interval_does_not_depend_on_how_python_adds() -> None:
    # 8629.5 right answers; a sum of floats falls on one side of it or the other, by the version of Python.
    found = evaluation.sampling([0.8387, 0.9682, 0.8382, 0.8067], 10_000)
    expected = stats.binomtest(8630, 10_000).proportion_ci(0.95, method="wilson")
    assert found == {"low": expected.low, "high": expected.high}


def test_the_gain_is_paired_by_the_seeds_that_both_have() -> None:
    found = metrics(final({1: 0.5, 2: 0.7}), final({0: 0.9, 1: 0.1, 2: 0.2}))
    assert found["gain"]["per_seed"] == {"1": 0.4, "2": 0.5}
    assert found["gain"]["mean"] == pytest.approx(0.45)
    shifted = final({1: 0.5, 2: 0.7})
    shifted.loc[shifted["split"] == "train", "accuracy"] += 0.2
    assert metrics(shifted, final({1: 0.1, 2: 0.2}))["train_gain"]["per_seed"] == pytest.approx({"1": 0.6, "2": 0.7})


def test_as_posted_gains_nothing_over_itself() -> None:
    itself = final({0: 0.3, 1: 0.4})
    found = metrics(itself, itself)["gain"]
    assert (found["mean"], found["low"], found["high"]) == (0, 0, 0)


def test_the_final_loss_is_that_of_each_seeds_last_epoch_though_they_end_at_different_ones() -> None:
    found = metrics(final({0: 0.5, 1: 0.5}), final({0: 0.1}), {0: [3.0, 2.0, 1.0], 1: [9.0, 4.0]})
    assert found["final_loss"]["per_seed"] == {"0": 1.0, "1": 4.0}


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_loss_that_is_not_finite_is_null_beside_a_flag(value: float) -> None:
    found = metrics(final({0: 0.5}, losses=value, diverged=(0,)), final({0: 0.1}), {0: [1.0, value]})
    for figure in ("test_loss", "final_loss"):
        assert found[figure]["finite"] is False
        assert found[figure]["mean"] is None
        assert found[figure]["per_seed"] == {"0": None}
    assert found["test_accuracy"]["finite"] is True


def test_diverged_is_the_share_of_seeds_that_did() -> None:
    accuracies = dict.fromkeys(range(4), 0.5)
    assert metrics(final(accuracies), final(accuracies))["diverged"] == 0
    assert metrics(final(accuracies, diverged=(2,)), final(accuracies))["diverged"] == 0.25


def test_recall_is_by_digit_and_null_for_a_digit_that_does_not_occur() -> None:
    counts = COUNTS.copy()
    counts[4] = 0
    found = evaluation.run_metrics(
        history({0: [1.0]}), final({0: 0.5}), final({0: 0.1}), counts, {"train": 5, "test": 5}
    )
    assert found["recall"]["4"] is None
    assert found["recall"]["3"] == 3 / 4
    assert found["recall"]["9"] == 1
    assert found["gradient_evaluations"] == 7


def test_a_baseline_has_single_values_without_an_interval() -> None:
    rows = [("m", "train", 0.3, 0.9, 11), ("m", "test", 0.4, 0.8, 11)]
    table = pd.DataFrame(rows, columns=["model", "split", "loss", "accuracy", "n_iter"])
    found = evaluation.baseline_metrics(table, COUNTS, {"train": 50, "test": 20})
    accuracy = found["test_accuracy"]
    assert (accuracy["mean"], accuracy["low"], accuracy["high"], accuracy["finite"]) == (0.8, None, None, True)
    assert accuracy["sampling"]["low"] < 0.8 < accuracy["sampling"]["high"]
    assert found["train_loss"]["mean"] == 0.3
    assert found["n_iter"] == 11


def test_curves_have_the_mean_and_the_extremes_over_seeds_of_each_epoch() -> None:
    bands = evaluation.curves("v", history({0: [3.0, 2.0], 1: [5.0, 2.5]}, validation=0.25))
    assert set(bands["variant"]) == {"v"}
    assert set(bands["figure"]) == set(evaluation.FIGURES)
    losses = bands[bands["figure"] == "loss"].set_index("epoch")
    assert losses[["mean", "low", "high"]].to_numpy().tolist() == [[4.0, 3.0, 5.0], [2.25, 2.0, 2.5]]


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_curves_have_no_value_where_that_of_a_seed_is_not_finite(value: float) -> None:
    bands = evaluation.curves("v", history({0: [3.0, 2.0, value], 1: [5.0, value, 2.5]}))
    losses = bands[bands["figure"] == "loss"].set_index("epoch")[["mean", "low", "high"]]
    first, *others = losses.to_numpy()
    assert first.tolist() == [4.0, 3.0, 5.0]
    assert np.isnan(others).all()
    accuracy = bands[bands["figure"] == "accuracy"]
    assert np.isfinite(accuracy[["mean", "low", "high"]].to_numpy()).all()


def test_curves_leave_out_what_was_not_measured() -> None:
    assert set(evaluation.curves("v", history({0: [3.0]}))["figure"]) == {"loss", "accuracy"}


def test_curves_keep_a_loss_that_was_never_finite() -> None:
    lines = history({0: [NAN, NAN]}, validation=0.25).assign(validation_loss=NAN)
    bands = evaluation.curves("v", lines)
    assert set(bands["figure"]) == set(evaluation.FIGURES)
    assert bands[bands["figure"] == "loss"][["mean", "low", "high"]].isna().all(axis=None)


def test_the_confusion_table_has_a_row_a_pair_of_digits() -> None:
    table = evaluation.confusion_table(COUNTS)
    assert table.columns.tolist() == ["actual", "predicted", "count"]
    assert len(table) == 100
    for actual, predicted, count in table.to_numpy().tolist():
        assert count == COUNTS[actual, predicted]


def published(**settings: Any) -> Published:
    defaults = {"claim": "c", "value": 0.5, "tolerance": 0.1, "source": "s", "name": "v", "figure": "test_accuracy"}
    return Published.model_validate(defaults | settings)


HISTORIES = {"v": history({0: [9.0, 2.0, 1.0], 1: [8.0, 3.0, 4.0]})}
PROBE = pd.DataFrame({"zeros": [10, 10, 30], "accuracy": [0.2, 0.6, 0.9]})


@pytest.mark.parametrize(("epoch", "expected"), [(1, [9.0, 2.0, 1.0, 8.0, 3.0, 4.0]), (3, [1.0, 4.0])])
def test_of_the_history_every_seeds_figure_of_every_epoch_from_the_one_on_is_measured(
    epoch: int, expected: list[float]
) -> None:
    claim = published(figure="loss", from_epoch=epoch)
    assert evaluation.measured(claim, {}, HISTORIES, PROBE) == expected


def test_of_the_probe_the_mean_over_seeds_is_measured() -> None:
    claim = published(name="probe", figure="10_zeros")
    assert evaluation.measured(claim, {}, {}, PROBE) == pytest.approx([0.4])


@pytest.mark.parametrize("mean", [0.25, None])
def test_of_a_variant_the_mean_over_seeds_is_measured_where_there_is_one(mean: float | None) -> None:
    (found,) = evaluation.measured(published(), {"v": {"test_accuracy": {"mean": mean}}}, {}, PROBE)
    assert found == mean or (mean is None and math.isnan(found))


@pytest.mark.parametrize(
    ("values", "measured", "agrees"),
    [
        ([0.5], 0.5, True),
        ([0.45, 0.58, 0.5], 0.58, True),
        ([0.45, 0.39, 0.5], 0.39, False),
        ([0.5, INF], INF, False),
        ([0.5, NAN, 0.5], NAN, False),
        ([NAN, 0.9], NAN, False),
    ],
)
def test_the_value_farthest_from_the_published_one_stands_beside_it_and_decides(
    values: list[float], measured: float, agrees: bool
) -> None:
    row = evaluation.reference_row("case", published(), values)
    assert row["measured"] == pytest.approx(measured, nan_ok=True)
    assert row["agrees"] is agrees
    assert (row["case"], row["claim"], row["published"], row["tolerance"]) == ("case", "c", 0.5, 0.1)


def test_a_value_agrees_when_it_rounds_to_what_was_printed() -> None:
    claim = published(value=-55.0284, tolerance=0.00005)
    assert evaluation.reference_row("c", claim, [-55.02837646263459])["agrees"]
    assert not evaluation.reference_row("c", claim, [-55.02834])["agrees"]


def test_the_references_are_every_published_number_in_the_order_of_the_file(settings: params.Params) -> None:
    everything = {name: {figure: {"mean": 0.1} for figure in figures} for name, figures in settings.figures().items()}
    histories = {
        name: pd.DataFrame(
            {"epoch": [90], "loss": 0.1, "accuracy": 0.1, "validation_loss": 0.1, "validation_accuracy": 0.1}
        )
        for name in settings.curves()
    }
    probed = pd.DataFrame({"zeros": settings.probe.zeros, "accuracy": 0.1})
    table = evaluation.references(settings, everything, histories, probed)
    claims = [(name, claim.claim) for name, case in settings.cases.items() for claim in case.published]
    assert table[["case", "claim"]].to_numpy().tolist() == [list(pair) for pair in claims]
    assert (table["measured"] == 0.1).all()


def test_the_surest_wrong_answers_come_first_and_of_equals_the_first() -> None:
    actual, predicted = np.array([1, 2, 3, 4, 5, 6]), np.array([1, 0, 0, 0, 0, 0])
    confidence = np.array([1.0, 0.5, 0.9, NAN, 0.5, 0.7])
    assert evaluation.misread(actual, predicted, confidence).tolist() == [2, 5, 1, 4, 3]
    many = evaluation.misread(np.ones(50), np.zeros(50), np.linspace(0, 1, 50))
    assert many.tolist() == list(range(49, 49 - evaluation.MOST_PICTURES["misread"], -1))
    assert evaluation.misread(actual, actual, confidence).tolist() == []


def test_an_image_is_read_by_rows_and_that_of_the_exercise_by_columns() -> None:
    rows = np.array([[0, 51, 102, 255]], dtype=np.uint8)
    assert evaluation.digit_images(rows, "mnist").tolist() == [[[0, 51], [102, 255]]]
    assert evaluation.digit_images(np.array([[-0.1, 0.2, 0.4, 1.1]], np.float32), "ex4").tolist() == [
        [[0, 102], [51, 255]]
    ]


def test_weights_are_shaded_on_one_scale_with_zero_in_the_middle() -> None:
    kernel = np.array([[0.0, -2.0], [0.5, 1.0], [NAN, 9.0], [INF, -9.0]])
    images = evaluation.unit_images(kernel, 2.0, "mnist")
    assert images.dtype == np.uint8
    assert images.tolist() == [[[128, 160], [128, 128]], [[1, 192], [255, 1]]]
    wide = evaluation.unit_images(np.zeros((4, 300)), 1.0, "ex4")
    assert wide.shape == (evaluation.MOST_PICTURES["units"], 2, 2)


@pytest.mark.parametrize(
    ("kernels", "limit"),
    [([np.linspace(-1, 0, 101)], 0.99), ([np.zeros(3)], 1.0), ([np.full(9, NAN)], 1.0), ([np.ones(4), np.eye(2)], 1.0)],
)
def test_the_strongest_shade_is_for_all_but_the_largest_weights(kernels: list[np.ndarray], limit: float) -> None:
    assert evaluation.weight_limit(kernels) == pytest.approx(limit)


def test_a_digest_tells_an_array_from_another_and_not_its_layout() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = evaluation.digest(array)
    assert found["dtype"] == "float32"
    assert found["shape"] == [2, 3]
    assert found == evaluation.digest(np.asfortranarray(array))
    assert found["sha256"] != evaluation.digest(array + 1)["sha256"]
    assert evaluation.digest(array.astype(">f4"))["sha256"] == found["sha256"]


def test_the_probe_is_summed_up_by_number_of_zeros() -> None:
    columns = ["zeros", "examples", "seed", "accuracy", "majority_digit", "answered_digit", "share_answered"]
    rows = [(10, 100, 0, 0.9, 1, 1, 1.0), (10, 100, 1, 0.5, 1, 0, 1.0), (90, 100, 0, 0.9, 0, 0, 1.0)]
    table = evaluation.probe_table("ex4", pd.DataFrame(rows, columns=columns))
    assert table.to_dict("records") == [
        {
            "case": "ex4",
            "zeros": 10,
            "examples": 100,
            "seeds": 2,
            "mean": 0.7,
            "low": 0.5,
            "high": 0.9,
            "answer_zero": 1,
        },
        {
            "case": "ex4",
            "zeros": 90,
            "examples": 100,
            "seeds": 1,
            "mean": 0.9,
            "low": 0.9,
            "high": 0.9,
            "answer_zero": 1,
        },
    ]


def test_the_fixed_variant_is_named_so_or_has_the_most_fixes(settings: params.Params) -> None:
    assert evaluation.fixed_variant(settings, "ex4") == "ex4-fixed"
    left = {name: variant for name, variant in settings.variants.items() if name != "ex4-fixed"}
    fewer = settings.model_copy(update={"variants": left})
    assert evaluation.fixed_variant(fewer, "ex4") == "ex4-comment_scaled_l2"
    alone = settings.model_copy(update={"variants": {"ex4-as_posted": left["ex4-as_posted"]}})
    assert evaluation.fixed_variant(alone, "ex4") == "ex4-as_posted"
