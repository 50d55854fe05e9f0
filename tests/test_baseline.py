"""A baseline is the logistic regression that its settings say, on the splits of a run."""

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
from stages.config.schema import Baseline

PLAIN = Baseline(input_scale=1 / 255, C=0.5, max_iter=2000)
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
def test_it_is_the_logistic_regression_that_its_settings_say(settings: Baseline) -> None:
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
def test_a_solver_that_ends_at_max_iter_says_so_by_n_iter_and_not_by_a_warning(settings: Baseline) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert baseline.fit(settings.model_copy(update={"max_iter": 2}), DATA).n_iter == 2
    assert 2 < baseline.fit(settings, DATA).n_iter < 2000


@pytest.mark.parametrize("change", [{"C": 1e12}, {"C": 1e-6}, {"C": 1e12, "one_vs_all": True}, {"input_scale": 1e6}])
def test_extreme_settings_give_a_result_too(change: dict[str, float]) -> None:
    fitted = baseline.fit(PLAIN.model_copy(update={"max_iter": 20} | change), DATA)
    assert all(0 <= score <= 1 for score in fitted.scores.values())
    assert np.isfinite(list(fitted.losses.values())).all()


def test_the_stage_writes_a_file_per_baseline_with_the_predictions_behind_its_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = dataset(validation=False)
    samples.write_params(samples.params_content())
    samples.write_data(data)
    baseline.main("small")
    [path] = (tmp_path / "baselines/small").iterdir()
    members = files.read_archive(path)
    assert path.name == "logistic.npz"
    assert members.keys() == {"result.json", "predicted_train", "predicted_test"}
    assert members["result.json"].keys() == {"n_iter", "scores", "losses"}
    for split, score in members["result.json"]["scores"].items():
        assert score == np.mean(members[f"predicted_{split}"] == data.y[split])
    first = path.read_bytes()
    baseline.main("small")
    assert path.read_bytes() == first
