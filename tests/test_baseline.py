import warnings
from pathlib import Path

import numpy as np
import pytest
from miniature import Miniature, call
from numpy.typing import NDArray
from samples import dataset
from scipy.optimize import minimize
from scipy.special import expit, log_softmax

from stages import baseline
from stages.core import files, params

PLAIN = params.Baseline(input_scale=1.0, C=0.5, max_iter=2000)
ONE_VS_ALL = PLAIN.model_copy(update={"one_vs_all": True})


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    return dataset(n_features=5)


def multinomial(x: NDArray[np.float64], y: np.ndarray, c: float) -> NDArray[np.float64]:
    """Weights [features + 1, 10] of least sum of log losses + ||w||^2 / (2 c), the last row an unpenalised bias."""
    targets = y[:, None] == np.arange(10)
    padded = np.column_stack([x, np.ones(len(x))])

    def cost(vector: NDArray[np.float64]) -> float:
        weights = vector.reshape(-1, 10)
        logs = log_softmax(padded @ weights, axis=1)
        return float(-np.sum(logs[targets]) + np.sum(weights[:-1] ** 2) / (2 * c))

    return np.asarray(minimize(cost, np.zeros(10 * padded.shape[1]), method="BFGS").x).reshape(-1, 10)


def one_vs_all(x: NDArray[np.float64], y: np.ndarray, c: float) -> NDArray[np.float64]:
    """The course's: ten binary classifiers, each of least m * J with lambda = 1 / c, the bias not penalised."""
    padded = np.column_stack([x, np.ones(len(x))])
    columns = []
    for digit in range(10):
        sign = np.where(y == digit, 1.0, -1.0)

        def cost(w: NDArray[np.float64], sign: NDArray[np.float64] = sign) -> float:
            return float(np.sum(np.logaddexp(0, -sign * (padded @ w))) + np.sum(w[:-1] ** 2) / (2 * c))

        columns.append(minimize(cost, np.zeros(padded.shape[1]), method="BFGS").x)
    return np.column_stack(columns)


@pytest.mark.parametrize("setting", [PLAIN, ONE_VS_ALL], ids=["multinomial", "one_vs_all"])
def test_it_is_the_logistic_regression_that_its_settings_say(
    data: dict[str, np.ndarray], setting: params.Baseline
) -> None:
    fitted = baseline.fit(setting, data)
    solve = one_vs_all if setting.one_vs_all else multinomial
    weights = solve(data["x_train"].astype(np.float64), data["y_train"], setting.C)
    for split, predicted in fitted.predicted.items():
        x, y = data[f"x_{split}"].astype(np.float64), data[f"y_{split}"]
        logits = np.column_stack([x, np.ones(len(x))]) @ weights
        odds = expit(logits) if setting.one_vs_all else np.exp(logits)
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        assert predicted.dtype == np.uint8
        assert predicted.tolist() == probabilities.argmax(axis=1).tolist()
        assert fitted.accuracy[split] == np.mean(predicted == y)
        assert fitted.loss[split] == pytest.approx(np.mean(-np.log(probabilities[np.arange(len(y)), y])), rel=1e-3)
    assert fitted.predicted.keys() == fitted.loss.keys() == {"train", "validation", "test"}


def test_one_vs_all_is_another_model_than_the_multinomial(data: dict[str, np.ndarray]) -> None:
    losses = [baseline.fit(setting, data).loss["train"] for setting in (PLAIN, ONE_VS_ALL)]
    assert abs(losses[0] - losses[1]) > 0.01


def test_a_smaller_c_is_a_stronger_penalty(data: dict[str, np.ndarray]) -> None:
    losses = [baseline.fit(PLAIN.model_copy(update={"C": c}), data).loss["train"] for c in (10.0, 0.5, 0.001)]
    assert losses == sorted(losses)
    # With next to no weights it answers with the shares of the digits.
    shares = np.bincount(data["y_train"]) / len(data["y_train"])
    assert losses[2] == pytest.approx(-np.sum(shares * np.log(shares)), rel=0.02)


def test_inputs_are_scaled_first(data: dict[str, np.ndarray]) -> None:
    raw = data | {name: np.rint(255 * x).astype(np.uint8) for name, x in data.items() if name[0] == "x"}
    divided = data | {name: raw[name].astype(np.float32) / 255 for name in raw if name[0] == "x"}
    scaled = baseline.fit(PLAIN.model_copy(update={"input_scale": 1 / 255}), raw)
    assert scaled.loss["test"] == pytest.approx(baseline.fit(PLAIN, divided).loss["test"], rel=1e-5)


@pytest.mark.parametrize("setting", [PLAIN, ONE_VS_ALL], ids=["multinomial", "one_vs_all"])
def test_to_end_at_max_iter_is_no_warning_but_told_by_n_iter(
    data: dict[str, np.ndarray], setting: params.Baseline
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = baseline.fit(setting.model_copy(update={"max_iter": 2}), data)
    assert fitted.n_iter == 2
    assert 2 < baseline.fit(setting, data).n_iter < 2000


def test_data_without_a_validation_split_gives_no_figures_of_one() -> None:
    assert baseline.fit(PLAIN, dataset(n_features=5, validation=False)).accuracy.keys() == {"train", "test"}


@pytest.mark.parametrize("case", ["mnist", "ex4"])
def test_the_stage_writes_a_row_a_model_and_split_and_the_predictions_behind_it(
    miniature: Miniature, case: str
) -> None:
    folder = miniature.folder / "baselines" / case
    assert miniature.written[f"baseline@{case}"] == {
        f"baselines/{case}/{name}" for name in ("final.csv", "predictions.npz")
    }
    final, arrays = files.read_csv(folder / "final.csv"), files.read_npz(folder / "predictions.npz")
    data = files.read_npz(miniature.folder / "data" / "prepared" / f"{case}.npz")
    splits = ["train", "validation", "test"] if case == "mnist" else ["train", "test"]
    models = miniature.parameters.cases[case].baselines
    assert final.columns.tolist() == ["model", "split", "loss", "accuracy", "n_iter"]
    assert final[["model", "split"]].to_numpy().tolist() == [[model, split] for model in models for split in splits]
    assert arrays.keys() == {f"{model}.predicted_{split}" for model in models for split in splits}
    for row in final.itertuples():
        predicted = arrays[f"{row.model}.predicted_{row.split}"]
        assert row.accuracy == np.mean(predicted == data[f"y_{row.split}"])


def test_an_unknown_case_is_refused_with_the_known_ones(
    miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").symlink_to(miniature.folder / "params.yaml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        call("baseline", "mnits")
    assert caught.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert all(word in message for word in ("mnits", "mnist", "ex4"))
