"""A baseline is the linear model that its settings say, or the floor, on the splits of a run."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
import samples
from numpy.typing import NDArray
from samples import as_bytes, dataset
from scipy.optimize import minimize
from scipy.special import expit, log_softmax

from stages import baseline
from stages.base import files
from stages.base.errors import UserError
from stages.config.examples import Rescale
from stages.config.schema import Floor, LogisticRegression, Ridge, Task
from stages.data.prepared import Facts, Prepared

PLAIN = LogisticRegression(model="LogisticRegression", inputs=Rescale(scale=1 / 255), C=0.5, max_iter=2000)
ONE_VS_ALL = PLAIN.model_copy(update={"one_vs_all": True})
DATA = as_bytes(dataset(n_features=5))
MODELS = pytest.mark.parametrize("settings", [PLAIN, ONE_VS_ALL], ids=["multinomial", "one_vs_all"])


def multinomial(x: NDArray[np.float64], y: np.ndarray, c: float) -> NDArray[np.float64]:
    """Return weights [features + 1, 10] of least summed log loss + ||w||^2 / (2 c); the last row is the free bias."""
    targets = y[:, None] == np.arange(10)
    padded = np.column_stack([x, np.ones(len(x))])

    def cost(vector: NDArray[np.float64]) -> float:
        weights = vector.reshape(-1, 10)
        logs = log_softmax(padded @ weights, axis=1)
        return float(-np.sum(logs[targets]) + np.sum(weights[:-1] ** 2) / (2 * c))

    return np.asarray(minimize(cost, np.zeros(10 * padded.shape[1]), method="BFGS").x).reshape(-1, 10)


def one_vs_all(x: NDArray[np.float64], y: np.ndarray, c: float) -> NDArray[np.float64]:
    """Return the course's ten binary classifiers, each minimizing m * J with lambda = 1 / c; the bias is free."""
    padded = np.column_stack([x, np.ones(len(x))])
    columns = []
    for label in range(10):
        sign = np.where(y == label, 1.0, -1.0)

        def cost(w: NDArray[np.float64], sign: NDArray[np.float64] = sign) -> float:
            return float(np.sum(np.logaddexp(0, -sign * (padded @ w))) + np.sum(w[:-1] ** 2) / (2 * c))

        columns.append(minimize(cost, np.zeros(padded.shape[1]), method="BFGS").x)
    return np.column_stack(columns)


@MODELS
def test_it_is_the_logistic_regression_that_its_settings_say(settings: LogisticRegression) -> None:
    fitted = baseline.fit(settings, DATA)
    solve = one_vs_all if settings.one_vs_all else multinomial
    weights = solve(DATA.x["train"] / 255.0, DATA.y["train"], settings.C)
    assert fitted.predicted.keys() == fitted.losses.keys() == {"train", "validation", "test"}
    for split, predicted in fitted.predicted.items():
        x, y = DATA.x[split] / 255.0, DATA.y[split]
        logits = np.column_stack([x, np.ones(len(x))]) @ weights
        odds = expit(logits) if settings.one_vs_all else np.exp(logits)
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        assert predicted.dtype == np.uint8
        assert predicted.tolist() == probabilities.argmax(axis=1).tolist()
        assert fitted.scores[split] == np.mean(predicted == y)
        assert fitted.losses[split] == pytest.approx(np.mean(-np.log(probabilities[np.arange(len(y)), y])), rel=1e-3)


@MODELS
def test_a_solver_that_ends_at_max_iter_says_so_by_n_iter_and_not_by_a_warning(settings: LogisticRegression) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert baseline.fit(settings.model_copy(update={"max_iter": 2}), DATA).n_iter == 2
    assert 2 < baseline.fit(settings, DATA).n_iter < 2000


@pytest.mark.parametrize(
    "change", [{"C": 1e12}, {"C": 1e-6}, {"C": 1e12, "one_vs_all": True}, {"inputs": Rescale(scale=1e6)}]
)
def test_extreme_settings_give_a_result_too(change: dict[str, object]) -> None:
    fitted = baseline.fit(PLAIN.model_copy(update={"max_iter": 20} | change), DATA)
    assert all(0 <= score <= 1 for score in fitted.scores.values())
    assert np.isfinite(list(fitted.losses.values())).all()


def made_up(task: Task, y: np.ndarray, n_classes: int) -> Prepared:
    """Return five inputs that tell what `y` is, with some noise, in two splits."""
    random = np.random.default_rng(2)
    x = np.column_stack([y.reshape(len(y), -1), random.normal(size=(len(y), 5))])[:, :5].astype(np.float32)
    half = len(y) // 2
    facts = Facts(task=task, classes=[str(place) for place in range(n_classes)])
    return Prepared({"train": x[:half], "test": x[half:]}, {"train": y[:half], "test": y[half:]}, facts)


REGRESSION = made_up("regression", np.random.default_rng(3).normal(10, 4, (60, 2)), 2)
MULTILABEL = made_up("multilabel", np.random.default_rng(3).integers(0, 2, (60, 3)).astype(np.uint8), 3)
BINARY = made_up("binary", (np.arange(60) % 3 == 0).astype(np.uint8), 2)
FLOOR = Floor(model="Floor")
DEFAULT = LogisticRegression(model="LogisticRegression")


def test_ridge_is_the_least_squares_that_its_settings_say() -> None:
    fitted = baseline.fit(Ridge(model="Ridge", inputs="raw", alpha=0.5), REGRESSION)
    x, y = (part["train"].astype(np.float64) for part in (REGRESSION.x, REGRESSION.y))
    centered = x - x.mean(axis=0)
    weights = np.linalg.solve(centered.T @ centered + 0.5 * np.eye(5), centered.T @ (y - y.mean(axis=0)))
    for split, predicted in fitted.predicted.items():
        expected = y.mean(axis=0) + (REGRESSION.x[split] - x.mean(axis=0)) @ weights
        assert predicted.dtype == np.float32
        np.testing.assert_allclose(predicted, expected, rtol=1e-3)
        assert fitted.losses[split] == pytest.approx(np.mean((predicted - REGRESSION.y[split]) ** 2))
    assert list(fitted.measures["test"]) == ["r2", "mae", "rmse"]
    assert fitted.n_iter == 0


def test_the_floor_is_the_most_frequent_class_or_the_mean() -> None:
    assert set(baseline.fit(FLOOR, BINARY).predicted["test"].tolist()) == {0}
    assert baseline.fit(FLOOR, BINARY).measures["test"]["auc"] == 0.5
    assert baseline.fit(FLOOR, REGRESSION).scores["train"] == pytest.approx(0, abs=1e-6)
    mean = REGRESSION.y["train"].mean(axis=0)
    np.testing.assert_allclose(baseline.fit(FLOOR, REGRESSION).predicted["test"][0], mean, rtol=1e-6)


def test_a_binary_case_has_an_area_under_the_curve_and_labels_are_fitted_one_by_one() -> None:
    assert baseline.fit(DEFAULT, BINARY).measures["test"]["auc"] > 0.99
    fitted = baseline.fit(DEFAULT, MULTILABEL)
    assert (fitted.predicted["test"].shape, fitted.predicted["test"].dtype.name) == ((30, 3), "uint8")
    assert fitted.scores["test"] > 0.95
    assert np.isnan(fitted.losses["test"])
    assert baseline.fit(FLOOR, MULTILABEL).predicted["test"].shape == (30, 3)


def test_standardized_inputs_are_those_of_the_training_split_and_a_constant_input_is_no_trouble() -> None:
    x = {split: np.column_stack([10 + 3 * part, np.full(len(part), 7)]) for split, part in BINARY.x.items()}
    read = baseline.inputs_of(DEFAULT, Prepared(x, BINARY.y, BINARY.facts))
    np.testing.assert_allclose(read["train"].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(read["train"].std(axis=0)[:-1], 1, rtol=1e-5)
    assert not read["test"][:, -1].any()


def test_a_class_that_the_training_split_has_not_is_answered_wrong_and_the_loss_is_finite() -> None:
    data = made_up("multiclass", np.repeat([0, 1, 2], 20).astype(np.uint8)[np.r_[0:30, 30:60]], 3)
    fitted = baseline.fit(DEFAULT, data)
    assert 2 not in fitted.predicted["test"]
    assert np.isfinite(fitted.losses["test"])


@pytest.mark.parametrize("task", ["binary", "multilabel", "regression"])
def test_an_example_of_weight_zero_is_as_if_it_were_left_out_and_the_floor_has_no_weights(task: str) -> None:
    data = {"binary": BINARY, "multilabel": MULTILABEL, "regression": REGRESSION}[task]
    linear = Ridge(model="Ridge") if task == "regression" else DEFAULT
    # What is standardized would depend on all examples.
    settings = linear.model_copy(update={"inputs": "raw"})
    weight = (np.arange(len(data.y["train"])) % 2 == 0).astype(np.float32)
    weighted = dataclasses.replace(data, sample_weight=weight)
    left = [{**part, "train": part["train"][weight > 0]} for part in (data.x, data.y)]
    expected = baseline.fit(settings, dataclasses.replace(data, x=left[0], y=left[1])).predicted["test"]
    found = baseline.fit(settings, weighted).predicted["test"]
    if task == "regression":
        np.testing.assert_allclose(found, expected, rtol=1e-3)
    else:
        assert np.mean(found == expected) > 0.98
    assert baseline.fit(FLOOR, weighted).measures == baseline.fit(FLOOR, data).measures


def test_a_model_of_another_task_is_refused() -> None:
    for settings, data in ((Ridge(model="Ridge"), BINARY), (DEFAULT, REGRESSION)):
        with pytest.raises(UserError, match=r"^a baseline .* with task .*; expected "):
            baseline.fit(settings, data)


def test_the_stage_writes_a_file_per_baseline_with_the_predictions_behind_its_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = dataset(validation=False)
    samples.write_params(samples.params_content())
    samples.write_data(data)
    baseline.main("small")
    assert sorted(path.name for path in (tmp_path / "baselines/small").iterdir()) == ["floor.npz", "logistic.npz"]
    path = tmp_path / "baselines/small/logistic.npz"
    members = files.read_archive(path)
    assert members.keys() == {"result.json", "predicted_train", "predicted_test"}
    assert members["result.json"].keys() == {"n_iter", "scores", "losses", "measures"}
    for split, score in members["result.json"]["scores"].items():
        assert score == np.mean(members[f"predicted_{split}"] == data.y[split])
    first = path.read_bytes()
    baseline.main("small")
    assert path.read_bytes() == first
