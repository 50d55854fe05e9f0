"""configs/<case>/baselines.json and prepared data -> baselines/<case>/: scikit-learn beside the networks."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.multiclass import OneVsRestClassifier

from stages.base import console, files
from stages.base.errors import UserError
from stages.config import load, schema
from stages.config.examples import Rescale
from stages.config.planned import PlannedBaselines
from stages.data import prepared, scoring
from stages.data.prepared import Prepared


@dataclass(frozen=True)
class Fitted:
    """A fitted baseline: per split its answers (as those of a run), its loss, its score and what stands beside it.

    The loss is the mean log loss of classes, the mean squared error of values, and NaN for several labels. `n_iter` is
    the number of iterations of the solver, the largest if a model has several solvers, and 0 without a solver.
    """

    predicted: dict[str, np.ndarray]
    losses: dict[str, float]
    measures: dict[str, dict[str, float]]
    n_iter: int

    @property
    def scores(self) -> dict[str, float]:
        """Return the score by split."""
        return {split: next(iter(named.values())) for split, named in self.measures.items()}


def model_of(baseline: schema.Baseline, task: schema.Task) -> Any:
    """Return the model of scikit-learn.

    The solver of a logistic regression is lbfgs with the penalty ``||w||^2 / (2 C)`` on a summed loss, so C is 1/lambda
    of the course. The intercept is not penalized. It is multinomial, or one binary model per class.
    """
    match baseline:
        case schema.Ridge():
            return Ridge(alpha=baseline.alpha)
        case schema.Floor():
            return DummyRegressor() if task == "regression" else DummyClassifier()
    model = LogisticRegression(C=baseline.C, max_iter=baseline.max_iter)
    return OneVsRestClassifier(model) if baseline.one_vs_all or task == "multilabel" else model


def inputs_of(baseline: schema.Baseline, data: Prepared) -> dict[str, np.ndarray]:
    """Return what the model reads, float32 [n, features], by split.

    float32 takes two thirds of the time of float64 and gives the same accuracy.
    """
    flat = {split: x.reshape(len(x), -1).astype(np.float32) for split, x in data.x.items()}
    how = "raw" if isinstance(baseline, schema.Floor) else baseline.inputs
    if isinstance(how, Rescale):
        return {split: x * np.float32(how.scale) + np.float32(how.offset) for split, x in flat.items()}
    if how == "raw":
        return flat
    wide = flat["train"].astype(np.float64)
    mean, deviation = np.mean(wide, axis=0), np.std(wide, axis=0)
    deviation[deviation == 0] = 1
    return {split: ((x - mean) / deviation).astype(np.float32) for split, x in flat.items()}


def fit(baseline: schema.Baseline, data: Prepared) -> Fitted:
    """Fit `baseline` on the training split and evaluate it on every split.

    Raises
    ------
    UserError
        If the model is not for the task.
    """
    task = data.facts.task
    if isinstance(baseline, schema.Ridge) != (task == "regression") and not isinstance(baseline, schema.Floor):
        raise UserError(
            f"a baseline {baseline.model} with task {task}; expected LogisticRegression or Ridge, by the task"
        )
    x, model = inputs_of(baseline, data), model_of(baseline, task)
    # The floor is compared with scores, in which every example counts the same.
    weighted = data.sample_weight is not None and not isinstance(baseline, schema.Floor)
    weights = {"sample_weight": data.sample_weight} if weighted else {}
    with warnings.catch_warnings(), config_context(enable_metadata_routing=weighted):
        if weights and isinstance(model, OneVsRestClassifier):
            model.estimator.set_fit_request(sample_weight=True)
        # To end at max_iter is a setting here, and n_iter reports it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x["train"], data.y["train"], **weights)
    solvers = getattr(model, "estimators_", [model])
    n_iter = max(int(np.max(n)) if (n := getattr(solver, "n_iter_", None)) is not None else 0 for solver in solvers)
    predicted, losses, measures = {}, {}, {}
    for split, actual in data.y.items():
        probabilities = model.predict_proba(x[split]) if task in ("binary", "multiclass") else None
        if probabilities is not None:
            answers = model.classes_[np.argmax(probabilities, axis=1)].astype(actual.dtype)
            if len(model.classes_) < data.n_classes:  # the training split has not every class
                every = np.zeros((len(actual), data.n_classes), probabilities.dtype)
                every[:, model.classes_] = probabilities
                losses[split] = float(log_loss(actual, every, labels=range(data.n_classes)))
            else:
                losses[split] = float(log_loss(actual, probabilities, labels=model.classes_))
        else:
            answers = np.reshape(model.predict(x[split]), actual.shape)
            answers = answers.astype(np.float32 if task == "regression" else np.uint8)
            losses[split] = float(np.mean((answers - actual) ** 2)) if task == "regression" else float("nan")
        ranking = probabilities[:, -1] if probabilities is not None else None
        predicted[split], measures[split] = answers, scoring.measures(task, actual, answers, ranking)
    return Fitted(predicted, losses, measures, n_iter)


def main(case: str) -> None:
    """Fit every baseline of `case`."""
    baselines = load.read_planned(case, "baselines", PlannedBaselines).baselines
    data = prepared.read(files.prepared_path(case))
    folder = files.BASELINES / case
    folder.mkdir(parents=True, exist_ok=True)
    with console.bar(f"{case}, baselines", len(baselines)) as bar:
        for name, baseline in baselines.items():
            fitted = fit(baseline, data)
            described = {
                "n_iter": fitted.n_iter,
                "scores": fitted.scores,
                "losses": {split: files.finite_or_none(loss) for split, loss in fitted.losses.items()},
                "measures": fitted.measures,
            }
            arrays = {f"predicted_{split}": predicted for split, predicted in fitted.predicted.items()}
            files.write_archive(folder / f"{name}.npz", {"result.json": described, **arrays})
            bar.advance()
            scores = ", ".join(f"{split} {score:.4f}" for split, score in fitted.scores.items())
            console.say(f"{case} {name}: {schema.SCORES[data.facts.task]} {scores}")
    console.wrote(folder, baselines=len(baselines))
