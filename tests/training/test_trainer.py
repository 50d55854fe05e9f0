"""The compiled loop learns and reports what `model.fit` does, and TNC what SciPy does on the exercise's cost."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from samples import ONE_SIGMOID, TNC, as_bytes, bits, dataset, network
from scipy.optimize import minimize
from scipy.special import expit, softmax

from stages.config.network import Network
from stages.data.prepared import Prepared
from stages.training import losses
from stages.training import model as models
from stages.training.keras import keras, tf
from stages.training.runs import Run
from stages.training.trainer import Trainer

# A small rate, because the last bit counts in the logit of a sigmoid near 1.
SGD = {"name": "sgd", "learning_rate": 0.02}
ADAM = {"name": "adam", "learning_rate": 0.01}
SIGMOIDS = {"output_activation": "sigmoid"}
UNIFORM = {"initializer": {"name": "uniform", "limit": 0.4}}

# Not ReLU: the outputs for an input that reaches no unit are the biases. Adam moves these by one rate, so that rounding
# would decide which is the largest.
GENTLE_ADAM = {"optimizer": ADAM, "hidden_activation": "tanh"}
CATEGORICAL = {"loss": "categorical_crossentropy"}
KERAS_3 = {"keras": "3"}
# Every loss under each version of Keras, every initializer, and every optimizer with and without a penalty.
TRAININGS: dict[str, dict[str, Any]] = {
    "binary_2.2-sgd-l2": ONE_SIGMOID | {"optimizer": SGD, "l2": 0.01},
    "binary_3-adam": ONE_SIGMOID | KERAS_3 | {"optimizer": ADAM},
    "categorical_2.2_of_sigmoids-sgd-l2": SIGMOIDS | CATEGORICAL | {"optimizer": SGD, "l2": 0.01},
    "categorical_3_of_sigmoids-adam": SIGMOIDS | CATEGORICAL | KERAS_3 | GENTLE_ADAM,
    "categorical_2.2-adam-l2": CATEGORICAL | GENTLE_ADAM | {"l2": 0.01},
    "categorical_3-sgd-uniform": CATEGORICAL | KERAS_3 | UNIFORM | {"optimizer": SGD},
    "sparse_2.2-adam": GENTLE_ADAM,
    "sparse_2.2-sgd-two_scaled_layers": {"optimizer": SGD, "hidden_units": [6, 5]}
    | {"hidden_activation": "tanh", "input_scale": 0.25},
    "sparse_3-sgd-l2": KERAS_3 | {"optimizer": SGD, "l2": 0.01},
    "summed-adam-l2": SIGMOIDS | {"loss": "summed_binary_crossentropy"} | GENTLE_ADAM | {"l2": 0.01},
    "full_batch": SIGMOIDS | CATEGORICAL | {"optimizer": SGD, "batch_size": 5000, "epochs": 3},
    "no_short_batch": GENTLE_ADAM | {"batch_size": 14, "epochs": 2},
}


def keras_loss(settings: Network) -> Any:
    """Return the loss of `settings` for Keras, which casts the targets of a loss that it does not know to floats."""
    if settings.keras == "3" and not settings.loss.startswith("summed"):
        return settings.loss
    loss, sparse = losses.loss_of(settings), settings.loss.startswith("sparse")
    return lambda targets, outputs: loss(tf.cast(targets, "int32") if sparse else targets, outputs)


def fit(settings: Network, data: Prepared, seed: int) -> tuple[list[np.ndarray], dict[str, list[float]]]:
    """Return the weights and history that `model.fit` gives from the same initial weights and order of examples."""
    n_features = data.x["train"].shape[1]
    regularizer = keras.regularizers.L2(settings.l2) if settings.l2 else None
    layers: list[tuple[int, str]] = [(units, settings.hidden_activation) for units in settings.hidden_units]
    layers.append((settings.output_units, settings.output_activation))
    dense = [keras.layers.Dense(units, name, kernel_regularizer=regularizer) for units, name in layers]
    model = keras.Sequential([keras.Input((n_features,)), *dense])
    weights, order = models.streams(seed)
    ours = models.build_model(settings, n_features)
    models.initialize(ours, settings, weights)
    model.set_weights(ours.get_weights())
    rate = settings.optimizer.model_dump()["learning_rate"]
    optimizer = keras.optimizers.SGD(rate) if settings.optimizer.name == "sgd" else keras.optimizers.Adam(rate)
    # Eagerly, because these few steps take less time than their compilation.
    model.compile(optimizer=optimizer, loss=keras_loss(settings), metrics=["accuracy"], run_eagerly=True)

    x = {split: data.x[split] * np.float32(settings.input_scale) for split in ("train", "validation")}
    y = {split: losses.targets_of(settings, data.y[split]) for split in ("train", "validation")}
    history: dict[str, list[float]] = {}
    for permutation in islice(models.epoch_orders(len(x["train"]), order), settings.epochs):
        epoch = model.fit(
            x["train"][permutation],
            y["train"][permutation],
            batch_size=settings.batch_size,
            validation_data=(x["validation"], y["validation"]),
            shuffle=False,
            verbose=0,
        )
        for figure, values in epoch.history.items():
            history.setdefault(figure, []).extend(values)
    return [np.asarray(weights) for weights in model.get_weights()], history


def initial_weights(settings: Network, seed: int) -> dict[str, NDArray[np.float64]]:
    model = models.build_model(settings, 12)
    models.initialize(model, settings, models.streams(seed)[0])
    layers = models.dense_layers(model)
    return {f"{layer.name}.{name}": getattr(layer, name).numpy() for layer in layers for name in ("kernel", "bias")}


def check_against_fit(settings: Network, data: Prepared) -> None:
    weights, history = fit(settings, data, seed=3)
    splits = ("train", "validation")
    pair = replace(data, x={split: data.x[split] for split in splits}, y={split: data.y[split] for split in splits})
    run = Trainer(settings, pair).run(3)
    for ours, expected in zip(run.weights.values(), weights, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
    expected = np.column_stack([history[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")])
    np.testing.assert_allclose(run.history, expected, rtol=1e-5, atol=1e-6)
    # The weights must have moved, or equal weights say nothing.
    start = initial_weights(settings, 3)
    assert all(np.abs(run.weights[name] - start[name]).max() > 1e-3 for name in start if name.endswith("kernel"))


@pytest.mark.parametrize("settings", TRAININGS.values(), ids=TRAININGS)
def test_the_loop_learns_and_reports_what_model_fit_does(settings: dict[str, Any]) -> None:
    check_against_fit(network(**settings), dataset())


@pytest.mark.parametrize("batch_size", [5000, 256])
def test_a_batch_of_all_or_of_most_examples_teaches_what_it_teaches_in_model_fit(batch_size: int) -> None:
    settings = SIGMOIDS | CATEGORICAL | {"optimizer": SGD, "l2": 0.5, "batch_size": batch_size}
    check_against_fit(network(**settings), dataset(265))


def forward(weights: Mapping[str, np.ndarray], x: np.ndarray, *, sigmoid: bool) -> NDArray[np.float64]:
    """Return the outputs of a network with one hidden layer of ReLU, in float64."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    hidden = np.maximum(x.astype(np.float64) @ w["hidden_0.kernel"] + w["hidden_0.bias"], 0)
    logits = hidden @ w["output.kernel"] + w["output.bias"]
    return np.asarray(expit(logits) if sigmoid else softmax(logits, axis=-1))


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    """A trainer of Adam on ten softmax outputs for three epochs, which compiles once for several tests."""
    return Trainer(network(epochs=3, l2=0.001), dataset())


@pytest.fixture(scope="module")
def run(trainer: Trainer) -> Run:
    return trainer.run(5)


def test_final_scores_losses_predictions_and_confidences_are_those_of_the_final_weights(run: Run) -> None:
    data = dataset()
    penalty = 0.001 * sum(float(np.sum(run.weights[f"{layer}.kernel"] ** 2)) for layer in ("hidden_0", "output"))
    for split, labels in data.y.items():
        outputs = forward(run.weights, data.x[split], sigmoid=False)
        assert run.predicted[split].dtype == np.uint8
        assert run.predicted[split].tolist() == outputs.argmax(axis=1).tolist()
        assert run.scores[split] == np.mean(run.predicted[split] == labels)
        expected = np.mean(-np.log(outputs[np.arange(len(labels)), labels])) + penalty
        assert run.losses[split] == pytest.approx(expected, rel=1e-5)
    assert run.confidence is not None
    np.testing.assert_allclose(run.confidence, outputs.max(axis=1), rtol=1e-5)


def test_a_history_has_a_row_per_epoch_and_ends_with_the_final_validation_figures(trainer: Trainer, run: Run) -> None:
    told: list[int] = []
    trainer.run(1, told.append)
    assert told == [1, 2, 3]
    assert run.history.shape == (3, 4)
    assert run.history[-1, 2:].tolist() == [run.losses["validation"], run.scores["validation"]]
    # 70 examples are four batches of 16 and a short one.
    assert run.steps == 15
    assert not run.diverged


def test_without_a_validation_split_its_columns_are_empty_and_that_is_no_divergence() -> None:
    run = Trainer(network(), dataset(validation=False)).run(0)
    assert run.scores.keys() == run.losses.keys() == run.predicted.keys() == {"train", "test"}
    assert np.isnan(run.history[:, 2:]).all()
    assert not run.diverged


def test_one_unit_answers_1_above_a_half_and_else_0_with_the_confidence_of_that_answer() -> None:
    data = dataset()
    trainer = Trainer(network(**ONE_SIGMOID | {"optimizer": SGD}), data)
    run = trainer.run(0)
    outputs = forward(run.weights, data.x["test"], sigmoid=True)[:, 0]
    assert run.predicted["test"].tolist() == (outputs > 0.5).astype(int).tolist()
    assert run.confidence is not None
    np.testing.assert_allclose(run.confidence, np.maximum(outputs, 1 - outputs), rtol=1e-5)
    assert run.scores["test"] == np.mean((outputs > 0.5) == data.y["test"])
    # Keras rounds an output of exactly a half to 0.
    for weights in trainer.model.weights:
        weights.assign(weights * 0)
    _, _, predicted, confidence = trainer._evaluate("test")
    assert not predicted.any()
    assert (confidence == 0.5).all()


def test_a_run_has_the_same_bits_whatever_its_trainer_trained_before(trainer: Trainer, run: Run) -> None:
    assert bits(trainer.run(6)) != bits(run)
    assert bits(trainer.run(5)) == bits(run)
    other = dataset()
    other = replace(other, x={split: x[::-1].copy() for split, x in other.x.items()})
    trainer.load(other)
    assert bits(trainer.run(5)) == bits(Trainer(trainer.network, other).run(5)) != bits(run)
    trainer.load(dataset())
    assert bits(trainer.run(5)) == bits(run)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"l2": 0.5, "optimizer": SGD}, {"l2": 0.01, "optimizer": SGD | {"learning_rate": 0.3}, "epochs": 2} | UNIFORM),
        (TNC | {"l2": 0.5}, TNC | {"l2": 0.5, "optimizer": {"name": "tnc", "max_function_calls": 7}}),
    ],
    ids=["keras", "tnc"],
)
def test_a_configured_trainer_gives_the_bits_of_a_new_one(before: dict[str, Any], after: dict[str, Any]) -> None:
    trainer = Trainer(network(**before), dataset())
    first = bits(trainer.run(3))
    trainer.configure(network(**after))
    assert bits(trainer.run(3)) == bits(Trainer(network(**after), dataset()).run(3)) != first
    trainer.configure(network(**before))
    assert bits(trainer.run(3)) == first


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        (
            {"l2": 0.001},
            [
                {"input_scale": 0.5},
                {"hidden_units": [9]},
                {"hidden_activation": "tanh"},
                {"output_activation": "sigmoid", "loss": "categorical_crossentropy"},
                {"loss": "categorical_crossentropy"},
                {"keras": "3"},
                {"optimizer": SGD},
                {"l2": 0.0},
                {"batch_size": 7},
            ],
        ),
        # In float64, the penalty is part of the program.
        (TNC | {"l2": 0.5}, [{"l2": 0.25}]),
    ],
    ids=["keras", "tnc"],
)
def test_a_trainer_refuses_a_network_that_needs_another_program(
    settings: dict[str, Any], changes: list[dict[str, Any]]
) -> None:
    trainer = Trainer(network(**settings), dataset())
    for change in changes:
        with pytest.raises(ValueError, match="needs another program"):
            trainer.configure(network(**settings | change))


def test_bytes_and_their_float_values_are_the_same_data() -> None:
    raw = as_bytes(dataset())
    floats = replace(raw, x={split: x.astype(np.float32) for split, x in raw.x.items()})
    settings = network(input_scale=1 / 255)
    assert bits(Trainer(settings, raw).run(0)) == bits(Trainer(settings, floats).run(0))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize(
    "settings",
    [
        {"keras": "3", "optimizer": {"name": "sgd", "learning_rate": 1e30}},
        ONE_SIGMOID | {"keras": "3", "optimizer": {"name": "sgd", "learning_rate": 1e30}},
        {"l2": 1e300},
        TNC | {"l2": 1e300},
    ],
    ids=["ten_outputs", "one_output", "penalty_beyond_float32", "tnc"],
)
def test_a_run_that_diverges_is_a_result(settings: dict[str, Any]) -> None:
    data = as_bytes(dataset())
    run = Trainer(network(**{"epochs": 4} | settings), data).run(0)
    assert run.diverged
    assert len(run.history) == 4 or settings["epochs"] is None
    for split, labels in data.y.items():
        assert not math.isfinite(run.losses[split])
        assert run.predicted[split].shape == labels.shape
        assert 0 <= run.scores[split] <= 1


class Exercise:
    """The exercise's cost with one hidden layer, in NumPy float64, as a function of a vector of all weights."""

    SHAPES = ((12, 7), (7,), (7, 10), (10,))

    def __init__(self, x: np.ndarray, y: np.ndarray, l2: float) -> None:
        self.x, self.l2 = x.astype(np.float64), l2
        self.y = (y[:, None] == np.arange(10)).astype(np.float64)
        self.costs: list[float] = []

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return cost and gradient."""
        ends = np.cumsum([math.prod(shape) for shape in self.SHAPES])
        pieces = np.split(vector, ends[:-1])
        w1, b1, w2, b2 = (piece.reshape(shape) for piece, shape in zip(pieces, self.SHAPES, strict=True))
        hidden = expit(self.x @ w1 + b1)
        h = expit(hidden @ w2 + b2)
        cost = -np.sum(self.y * np.log(h) + (1 - self.y) * np.log(1 - h)) / len(self.x)
        self.costs.append(float(cost + self.l2 * (np.sum(w1**2) + np.sum(w2**2))))
        delta2 = (h - self.y) / len(self.x)
        delta1 = delta2 @ w2.T * hidden * (1 - hidden)
        gradients = [self.x.T @ delta1 + 2 * self.l2 * w1, delta1.sum(0)]
        gradients += [hidden.T @ delta2 + 2 * self.l2 * w2, delta2.sum(0)]
        return self.costs[-1], np.concatenate([gradient.ravel() for gradient in gradients])


def test_tnc_takes_the_steps_that_scipy_takes_on_the_exercises_cost_in_numpy() -> None:
    data, settings = dataset(), network(**TNC | {"hidden_activation": "sigmoid"})
    trainer = Trainer(settings, data)
    exercise = Exercise(data.x["train"], data.y["train"], settings.l2)
    start = np.concatenate([array.ravel() for array in initial_weights(settings, 2).values()])
    expected = minimize(exercise, start, method="TNC", jac=True, options={"maxfun": 8}).x
    run = trainer.run(2)
    np.testing.assert_allclose(run.history[:, 0], exercise.costs, rtol=1e-7)
    np.testing.assert_allclose(np.concatenate([w.ravel() for w in run.weights.values()]), expected, atol=1e-5)
    assert run.steps == len(exercise.costs)
    assert run.losses["train"] == pytest.approx(exercise(expected)[0], rel=1e-7)
    assert run.losses["train"] < run.history[0, 0] - 0.1
    # A row has the figures of the weights of its function call.
    models.initialize(trainer.model, settings, models.streams(2)[0])
    assert run.history[0, 0] == pytest.approx(trainer._evaluate("train")[0], rel=1e-12)
    assert run.history[0, 2:].tolist() == list(trainer._evaluate("validation")[:2])
    assert bits(trainer.run(2)) == bits(run)
