import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from samples import ONE_SIGMOID, TNC, config, dataset
from scipy.optimize import approx_fprime, minimize
from scipy.special import expit, softmax

from stages.core import digits, losses, network, params
from stages.core.backend import keras, tf
from stages.core.digits import Dataset
from stages.core.params import RunConfig
from stages.core.runs import Run
from stages.core.training import PART, Trainer

# Gently, because one sigmoid near 1 has a logit in which the last bit counts.
SGD = {"name": "sgd", "learning_rate": 0.02}
ADAM = {"name": "adam", "learning_rate": 0.01}
SIGMOIDS = {"output_activation": "sigmoid"}

# Every loss that a configuration can name, under each semantics, with each output it is used with.
LOSSES: dict[str, dict[str, Any]] = {
    "binary_2.2": ONE_SIGMOID,
    "binary_3": ONE_SIGMOID | {"keras_semantics": "3"},
    "categorical_2.2_of_sigmoids": SIGMOIDS | {"loss": "categorical_crossentropy"},
    "categorical_3_of_sigmoids": SIGMOIDS | {"loss": "categorical_crossentropy", "keras_semantics": "3"},
    "categorical_2.2": {"loss": "categorical_crossentropy"},
    "categorical_3": {"loss": "categorical_crossentropy", "keras_semantics": "3"},
    "sparse_2.2": {"loss": "sparse_categorical_crossentropy"},
    "sparse_3": {"loss": "sparse_categorical_crossentropy", "keras_semantics": "3"},
    "summed": SIGMOIDS | {"loss": "summed_binary_crossentropy"},
}
# Not ReLU: for an input that reaches no unit the outputs are the biases, and Adam's first steps move these by one rate,
# so that rounding decides which is the largest.
GENTLE_ADAM = {"optimizer": ADAM, "hidden_activation": "tanh"}
# Every loss, and every optimizer with and without a penalty.
TRAININGS = {
    "binary_2.2-sgd-l2": LOSSES["binary_2.2"] | {"optimizer": SGD, "l2": 0.01},
    "binary_3-adam": LOSSES["binary_3"] | {"optimizer": ADAM},
    "categorical_2.2_of_sigmoids-sgd-l2": LOSSES["categorical_2.2_of_sigmoids"] | {"optimizer": SGD, "l2": 0.01},
    "categorical_3_of_sigmoids-adam": LOSSES["categorical_3_of_sigmoids"] | GENTLE_ADAM,
    "categorical_2.2-adam-l2": LOSSES["categorical_2.2"] | GENTLE_ADAM | {"l2": 0.01},
    "categorical_3-sgd": LOSSES["categorical_3"] | {"optimizer": SGD},
    "sparse_2.2-adam": LOSSES["sparse_2.2"] | GENTLE_ADAM,
    "sparse_2.2-sgd-two_scaled_layers": {
        "optimizer": SGD,
        "hidden_units": [6, 5],
        "hidden_activation": "tanh",
        "input_scale": 0.25,
    },
    "sparse_3-sgd-l2": LOSSES["sparse_3"] | {"optimizer": SGD, "l2": 0.01},
    "summed-adam-l2": LOSSES["summed"] | GENTLE_ADAM | {"l2": 0.01},
    "full_batch": LOSSES["categorical_2.2_of_sigmoids"] | {"optimizer": SGD, "batch_size": 5000, "epochs": 3},
    "no_short_batch": GENTLE_ADAM | {"batch_size": 14, "epochs": 2},
}


def of_its_own_targets(settings: RunConfig) -> losses.Loss:
    """The loss of `settings` for Keras, which casts the targets of a loss that it does not know to floats."""
    sparse = settings.loss.startswith("sparse")
    return lambda targets, outputs: losses.loss_of(settings)(tf.cast(targets, "int32") if sparse else targets, outputs)


def fit(settings: RunConfig, data: Dataset, seed: int) -> tuple[list[np.ndarray], dict[str, list[float]]]:
    """What Keras's own model.fit makes of the same initial weights and the same order of examples."""
    regularizer = keras.regularizers.L2(settings.l2) if settings.l2 else None
    model = keras.Sequential(
        [
            keras.Input((data["x_train"].shape[1],)),
            *(
                keras.layers.Dense(units, activation=settings.hidden_activation, kernel_regularizer=regularizer)
                for units in settings.hidden_units
            ),
            keras.layers.Dense(
                settings.output_units, activation=settings.output_activation, kernel_regularizer=regularizer
            ),
        ]
    )
    weights, order = network.streams(seed)
    ours = network.build_model(settings, data["x_train"].shape[1])
    network.initialize(ours, settings, weights)
    model.set_weights(ours.get_weights())
    rate = settings.optimizer.model_dump()["learning_rate"]
    optimizer = keras.optimizers.SGD(rate) if settings.optimizer.name == "sgd" else keras.optimizers.Adam(rate)
    named = settings.keras_semantics == "3" and not settings.loss.startswith("summed")
    loss = settings.loss if named else of_its_own_targets(settings)
    # Eagerly, because these few steps take less time than to trace them.
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"], run_eagerly=True)

    x = {split: data[f"x_{split}"] * np.float32(settings.input_scale) for split in ("train", "validation")}
    y = {split: losses.targets_of(settings, data[f"y_{split}"]) for split in ("train", "validation")}
    history: dict[str, list[float]] = {}
    for permutation in islice(network.epoch_orders(len(x["train"]), order), settings.epochs):
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


# Two whole parts, two and a short one, and a batch of each size in one epoch.
@pytest.mark.parametrize(
    ("n_examples", "batch_size"), [(2 * PART, 5000), (2 * PART + 9, 5000), (2 * PART + 9, 2 * PART)]
)
def test_a_batch_summed_in_parts_teaches_what_a_whole_one_does(n_examples: int, batch_size: int) -> None:
    settings = LOSSES["categorical_2.2_of_sigmoids"] | {"optimizer": SGD, "l2": 0.5, "batch_size": batch_size}
    check_against_fit(config(**settings), dataset(n_examples))


@pytest.mark.parametrize("settings", TRAININGS.values(), ids=TRAININGS)
def test_the_loop_learns_and_reports_what_model_fit_does(settings: dict[str, Any]) -> None:
    check_against_fit(config(**settings), dataset())


def check_against_fit(run_config: RunConfig, data: Dataset) -> None:
    weights, history = fit(run_config, data, seed=3)
    run = Trainer(run_config, {name: array for name, array in data.items() if "test" not in name}).run(3)
    for ours, expected in zip(run.weights.values(), weights, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
    for figure, theirs in (
        ("loss", history["loss"]),
        ("accuracy", history["accuracy"]),
        ("validation_loss", history["val_loss"]),
        ("validation_accuracy", history["val_accuracy"]),
    ):
        np.testing.assert_allclose([getattr(epoch, figure) for epoch in run.history], theirs, rtol=1e-5, atol=1e-6)
    # It must have learned something, or equal weights say nothing.
    start = initial_weights(run_config, 3)
    assert all(np.abs(run.weights[name] - start[name]).max() > 1e-3 for name in start if name.endswith("kernel"))


def initial_weights(settings: RunConfig, seed: int) -> dict[str, NDArray[np.float64]]:
    model = network.build_model(settings, 12)
    network.initialize(model, settings, network.streams(seed)[0])
    layers = network.dense_layers(model)
    return {f"{layer.name}.{name}": getattr(layer, name).numpy() for layer in layers for name in ("kernel", "bias")}


def forward(weights: Mapping[str, np.ndarray], x: np.ndarray, *, sigmoid: bool) -> NDArray[np.float64]:
    """The outputs of a network with one hidden layer of ReLU, in float64."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    hidden = np.maximum(x.astype(np.float64) @ w["hidden_0.kernel"] + w["hidden_0.bias"], 0)
    logits = hidden @ w["output.kernel"] + w["output.bias"]
    return np.asarray(expit(logits) if sigmoid else softmax(logits, axis=-1))


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    """Adam on ten softmax outputs for three epochs: it compiles once for all tests that need no more."""
    return Trainer(config(epochs=3, l2=0.001), dataset())


@pytest.fixture(scope="module")
def run(trainer: Trainer) -> Run:
    return trainer.run(5)


def test_the_final_figures_are_those_of_the_final_weights(run: Run) -> None:
    data = dataset()
    penalty = 0.001 * sum(float(np.sum(run.weights[f"{layer}.kernel"] ** 2)) for layer in ("hidden_0", "output"))
    for split, final in run.final.items():
        outputs = forward(run.weights, data[f"x_{split}"], sigmoid=False)
        labels = data[f"y_{split}"]
        assert final.predicted.dtype == np.uint8
        assert final.predicted.tolist() == outputs.argmax(axis=1).tolist()
        assert final.accuracy == pytest.approx(np.mean(outputs.argmax(axis=1) == labels), abs=1e-12)
        np.testing.assert_allclose(final.confidence, outputs.max(axis=1), rtol=1e-5)
        expected = np.mean(-np.log(outputs[np.arange(len(labels)), labels])) + penalty
        assert final.loss == pytest.approx(expected, rel=1e-5)


def test_one_unit_answers_1_above_a_half_and_else_0_with_the_confidence_of_that_answer() -> None:
    data = dataset()
    trainer = Trainer(config(**ONE_SIGMOID | {"optimizer": SGD}), data)
    run = trainer.run(0)
    outputs = forward(run.weights, data["x_test"], sigmoid=True)[:, 0]
    final = run.final["test"]
    assert final.predicted.tolist() == (outputs > 0.5).astype(int).tolist()
    np.testing.assert_allclose(final.confidence, np.maximum(outputs, 1 - outputs), rtol=1e-5)
    assert final.accuracy == np.mean((outputs > 0.5) == data["y_test"])
    # As Keras rounds, an output of exactly a half is a 0.
    for layer in network.dense_layers(trainer.model):
        layer.kernel.assign(layer.kernel * 0)
        layer.bias.assign(layer.bias * 0)
    half = trainer.evaluate("test")
    assert not half.predicted.any()
    assert (half.confidence == 0.5).all()
    # The answers so far were 1 with p, or had an equal choice; these are 0 with 1 - p.
    assert final.predicted.all()
    network.dense_layers(trainer.model)[-1].bias.assign([-2.0])
    zeros = trainer.evaluate("test")
    assert not zeros.predicted.any()
    np.testing.assert_allclose(zeros.confidence, expit(2), rtol=1e-6)


def test_a_run_has_an_epoch_for_every_epoch_and_a_gradient_for_every_step(trainer: Trainer, run: Run) -> None:
    assert len(run.history) == 3
    # 70 examples are four batches of 16 and a short one.
    assert trainer.steps_per_epoch == 5
    assert run.gradient_evaluations == 15
    assert not run.diverged


def test_the_last_validation_figures_are_those_of_the_final_weights(run: Run) -> None:
    assert run.history[-1].validation_loss == run.final["validation"].loss
    assert run.history[-1].validation_accuracy == run.final["validation"].accuracy


def test_every_epoch_is_told_of_as_it_ends(trainer: Trainer) -> None:
    told: list[tuple[int, float]] = []
    run = trainer.run(1, lambda number, epoch: told.append((number, epoch.loss)))
    assert told == [(number, epoch.loss) for number, epoch in enumerate(run.history, start=1)]


def test_data_without_a_validation_split_has_no_validation_figures() -> None:
    run = Trainer(config(), dataset(validation=False)).run(0)
    assert run.final.keys() == {"train", "test"}
    assert run.history[0].validation_loss is None
    assert run.history[0].validation_accuracy is None


def bits(run: Run) -> list[Any]:
    arrays = [*run.weights.values(), *(final.confidence for final in run.final.values())]
    return [run.history, [final.loss for final in run.final.values()], [array.tobytes() for array in arrays]]


def test_a_run_has_the_same_bits_whatever_its_trainer_trained_before(trainer: Trainer, run: Run) -> None:
    assert bits(trainer.run(6)) != bits(run)
    assert bits(trainer.run(5)) == bits(run)
    assert bits(Trainer(trainer.config, dataset()).run(5)) == bits(run)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"l2": 0.5, "optimizer": SGD}, {"l2": 0.01, "optimizer": SGD | {"learning_rate": 0.3}, "epochs": 2}),
        (TNC | {"l2": 0.5}, TNC | {"l2": 0.5, "optimizer": {"name": "tnc", "max_function_calls": 7}}),
    ],
)
def test_a_trainer_configured_anew_gives_the_bits_of_a_new_one(one: dict[str, Any], other: dict[str, Any]) -> None:
    trainer = Trainer(config(**one), dataset())
    first = bits(trainer.run(3))
    for settings in (other, one):
        trainer.configure(config(**settings))
        assert bits(trainer.run(3)) == bits(Trainer(config(**settings), dataset()).run(3))
    assert bits(trainer.run(3)) == first


@pytest.mark.parametrize(
    "change",
    [
        {"input_scale": 0.5},
        {"hidden_units": [9]},
        {"hidden_activation": "tanh"},
        {"output_activation": "sigmoid", "loss": "categorical_crossentropy"},
        {"loss": "categorical_crossentropy"},
        {"keras_semantics": "3"},
        {"optimizer": SGD},
        {"l2": 0.0},
        {"batch_size": 7},
        ONE_SIGMOID,
    ],
)
def test_a_trainer_refuses_a_configuration_that_needs_another_program(change: dict[str, Any]) -> None:
    settings = {"optimizer": ADAM, "l2": 0.5, "hidden_activation": "relu"}
    trainer = Trainer(config(**settings), dataset())
    with pytest.raises(ValueError, match="needs another program"):
        trainer.configure(config(**settings | change))
    trainer.configure(config(**settings | {"l2": 0.25}))


def test_a_penalty_in_float64_is_part_of_its_program() -> None:
    with pytest.raises(ValueError, match="needs another program"):
        Trainer(config(**TNC | {"l2": 0.5}), dataset()).configure(config(**TNC | {"l2": 0.25}))


def test_whole_bytes_and_their_float_values_are_the_same_data() -> None:
    raw = dataset() | {name: np.rint(255 * x).astype(np.uint8) for name, x in dataset().items() if name[0] == "x"}
    floats = raw | {name: x.astype(np.float32) for name, x in raw.items() if name[0] == "x"}
    settings = config(input_scale=1 / 255)
    assert bits(Trainer(settings, raw).run(0)) == bits(Trainer(settings, floats).run(0))


@pytest.mark.parametrize(
    "settings",
    [
        {"keras_semantics": "3", "optimizer": {"name": "sgd", "learning_rate": 1e30}},
        ONE_SIGMOID | {"keras_semantics": "3", "optimizer": {"name": "sgd", "learning_rate": 1e30}},
        {"l2": 1.0, "optimizer": {"name": "sgd", "learning_rate": 1e6}},
    ],
    ids=["ten_outputs", "one_output", "penalty"],
)
def test_a_run_that_diverges_is_a_result(settings: dict[str, Any]) -> None:
    data = dataset()
    raw = data | {name: np.rint(255 * x).astype(np.uint8) for name, x in data.items() if name[0] == "x"}
    run = Trainer(config(**settings, epochs=4), raw).run(0)
    assert run.diverged
    assert len(run.history) == 4
    for split, final in run.final.items():
        assert not math.isfinite(final.loss)
        assert final.predicted.shape == data[f"y_{split}"].shape
        assert 0 <= final.accuracy <= 1


def test_a_run_has_diverged_when_a_loss_or_a_weight_was_ever_not_finite(run: Run) -> None:
    def rewritten(loss: float = 1e30, final_loss: float = 1e30, weight: float = 1e30) -> Run:
        history = [replace(run.history[0], loss=loss), *run.history[1:]]
        final = run.final | {"test": replace(run.final["test"], loss=final_loss)}
        return replace(run, history=history, final=final, weights={"output.kernel": np.array([1.0, weight])})

    assert not rewritten().diverged
    for value in (math.nan, math.inf, -math.inf):
        assert rewritten(loss=value).diverged
        assert rewritten(final_loss=value).diverged
        assert rewritten(weight=value).diverged


class Exercise:
    """The exercise's cost with one hidden layer, in NumPy float64, of a vector of all weights."""

    def __init__(self, x: np.ndarray, y: np.ndarray, l2: float) -> None:
        self.x, self.l2 = x.astype(np.float64), l2
        self.y = (y[:, None] == np.arange(10)).astype(np.float64)

    def parts(self, vector: np.ndarray) -> list[np.ndarray]:
        shapes, parts, start = [(12, 7), (7,), (7, 10), (10,)], [], 0
        for shape in shapes:
            parts.append(vector[start : start + math.prod(shape)].reshape(shape))
            start += math.prod(shape)
        assert start == len(vector)
        return parts

    def cost(self, vector: np.ndarray) -> float:
        return self.cost_and_gradient(vector)[0]

    def cost_and_gradient(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        w1, b1, w2, b2 = self.parts(vector)
        n = len(self.x)
        hidden = expit(self.x @ w1 + b1)
        h = expit(hidden @ w2 + b2)
        cost = -np.sum(self.y * np.log(h) + (1 - self.y) * np.log(1 - h)) / n
        cost += self.l2 * (np.sum(w1**2) + np.sum(w2**2))
        delta2 = (h - self.y) / n
        delta1 = delta2 @ w2.T * hidden * (1 - hidden)
        parts = [
            self.x.T @ delta1 + 2 * self.l2 * w1,
            delta1.sum(0),
            hidden.T @ delta2 + 2 * self.l2 * w2,
            delta2.sum(0),
        ]
        return float(cost), np.concatenate([part.ravel() for part in parts])


@pytest.fixture(scope="module")
def assignment() -> Trainer:
    return Trainer(config(**TNC | {"hidden_activation": "sigmoid"}), dataset())


def test_tnc_takes_the_steps_that_it_takes_on_the_exercises_cost_in_numpy(assignment: Trainer) -> None:
    data, settings = dataset(), assignment.config
    exercise = Exercise(data["x_train"], data["y_train"], settings.l2)
    start = np.concatenate([array.ravel() for array in initial_weights(settings, 2).values()])
    # The gradient that stands as the reference is itself the slope of the cost.
    slope = approx_fprime(start, exercise.cost, 1e-7)
    np.testing.assert_allclose(exercise.cost_and_gradient(start)[1], slope, atol=1e-6)

    costs: list[float] = []

    def record(vector: np.ndarray) -> tuple[float, np.ndarray]:
        cost, gradient = exercise.cost_and_gradient(vector)
        costs.append(cost)
        return cost, gradient

    expected = minimize(record, start, method="TNC", jac=True, options={"maxfun": 8}).x
    run = assignment.run(2)
    np.testing.assert_allclose([epoch.loss for epoch in run.history], costs, rtol=1e-7)
    np.testing.assert_allclose(np.concatenate([w.ravel() for w in run.weights.values()]), expected, atol=1e-5)
    assert run.final["train"].loss == pytest.approx(exercise.cost(expected), rel=1e-7)
    assert run.final["train"].loss < run.history[0].loss - 0.1
    assert run.gradient_evaluations == len(costs)


def test_tnc_reports_each_function_call_of_its_own_weights(assignment: Trainer) -> None:
    first = assignment.run(2).history[0]
    network.initialize(assignment.model, assignment.config, network.streams(2)[0])
    assert first.loss == pytest.approx(assignment.evaluate("train").loss, rel=1e-12)
    assert first.accuracy == assignment.evaluate("train").accuracy
    assert first.validation_loss == assignment.evaluate("validation").loss


def test_tnc_has_the_same_bits_whatever_its_trainer_trained_before(assignment: Trainer) -> None:
    run = assignment.run(5)
    assert bits(assignment.run(6)) != bits(run)
    assert bits(assignment.run(5)) == bits(run)
    assert bits(Trainer(assignment.config, dataset()).run(5)) == bits(run)


def test_mnist_as_posted_prints_the_digits_of_the_post_from_epoch_2_on(
    settings: params.Params, raw_mnist: Dataset
) -> None:
    data = digits.mnist(raw_mnist, settings.datasets.mnist.validation_split)
    posted = settings.cases["mnist"].as_posted.model_copy(update={"epochs": 2})
    epoch = Trainer(posted, data).run(0).history[1]
    printed = (epoch.loss, epoch.accuracy, epoch.validation_loss, epoch.validation_accuracy)
    assert [f"{figure:.4f}" for figure in printed] == ["-55.0284", "0.1141", "-55.1361", "0.1088"]


def test_a_mean_of_losses_whose_sum_no_float_holds_is_their_mean() -> None:
    data = dataset()
    trainer = Trainer(config(**{**TNC, "hidden_units": [], "l2": 0.0}), data)
    (layer,) = network.dense_layers(trainer.model)
    layer.kernel.assign(np.full(layer.kernel.shape, 1e306))
    layer.bias.assign(np.zeros(layer.bias.shape))
    # Each of the nine wrong digits costs its logit.
    expected = 9e306 * data["x_train"].sum(axis=1, dtype=np.float64).mean()
    assert trainer.evaluate("train").loss == pytest.approx(expected)
