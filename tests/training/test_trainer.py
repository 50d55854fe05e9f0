"""The compiled loop learns and reports what `model.fit` does, and TNC what SciPy does on the exercise's cost."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from samples import ONE_SIGMOID, TNC, UNIFORM, as_bytes, bits, dataset, layers, network
from scipy.optimize import minimize
from scipy.special import expit, softmax

from stages.config.network import Network
from stages.data.prepared import Prepared
from stages.training import model as models
from stages.training import programs
from stages.training.runs import Run
from stages.training.trainer import Trainer
from training.by_keras import fit

# A small rate, because the last bit counts in the logit of a sigmoid near 1.
SGD = {"name": "sgd", "learning_rate": 0.02}
ADAM = {"name": "adam", "learning_rate": 0.01}


def tanh(output: str = "softmax", **both: Any) -> dict[str, Any]:
    """Return layers without ReLU: the outputs for an input that reaches no unit are the biases.

    Adam moves these by one rate, so that rounding would decide which is the largest.
    """
    found = layers(output=output, **both)
    return found | {"hidden": found["hidden"] | {"activation": "tanh"}}


CATEGORICAL = {"loss": "categorical_crossentropy", "targets": "one_hot"}
PICTURES = dataset(n_features=9, side=3)
# Every loss of Keras 2.2 and 3 that the cases use, with and without a penalty.
TRAININGS: dict[str, dict[str, Any]] = {
    "binary_2.2-sgd-l2": {"loss": "binary_crossentropy", "layers": layers(outputs=1, output="sigmoid", l2=0.01)}
    | {"optimizer": SGD},
    "binary_3-adam": ONE_SIGMOID | {"keras": "3", "optimizer": ADAM},
    "categorical_2.2_of_sigmoids-sgd-l2": CATEGORICAL | {"layers": layers(output="sigmoid", l2=0.01), "optimizer": SGD},
    "categorical_3_of_sigmoids-adam": CATEGORICAL | {"layers": tanh("sigmoid"), "keras": "3", "optimizer": ADAM},
    "categorical_2.2-adam-l2": CATEGORICAL | {"layers": tanh(l2=0.01), "optimizer": ADAM},
    "sparse_2.2-adam": {"layers": tanh(), "optimizer": ADAM},
    "sparse_2.2-sgd-scaled": {"optimizer": SGD, "layers": tanh(), "inputs": {"scale": 0.25}},
    "sparse_3-sgd-l2": {"keras": "3", "optimizer": SGD, "layers": layers(l2=0.01)},
    "summed-adam-l2": {"loss": "summed_binary_crossentropy", "targets": "one_hot"}
    | {"layers": tanh("sigmoid", l2=0.01), "optimizer": ADAM},
    "full_batch": CATEGORICAL | {"layers": layers(output="sigmoid"), "optimizer": SGD, "batch_size": 5000, "epochs": 3},
    "32_layers": {"optimizer": SGD}
    | {
        "layers": {f"hidden_{number}": tanh(kernel_initializer="orthogonal")["hidden"] for number in range(31)}
        | {"output": tanh()["output"]}
    },
    "no_short_batch": {"layers": tanh(), "optimizer": ADAM, "batch_size": 14, "epochs": 2},
}


def initial_weights(settings: Network, seed: int, data: Prepared | None = None) -> dict[str, NDArray[np.float64]]:
    model = models.build_model(settings, data.shape if data else (12,))
    models.initialize(model, settings, models.streams(seed)[0], {})
    return {name: variable.numpy() for name, variable in models.weights_of(model, settings).items()}


def check_against_fit(settings: Network, data: Prepared) -> None:
    splits = ("train", "validation")
    pair = replace(data, x={split: data.x[split] for split in splits}, y={split: data.y[split] for split in splits})
    weights, history = fit(settings, pair, seed=3)
    run = Trainer(settings, pair).run(3)
    assert run.weights.keys() == weights.keys()
    for name, expected in weights.items():
        np.testing.assert_allclose(run.weights[name], expected, rtol=0, atol=1e-5, err_msg=name)
    expected = np.column_stack([history[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")])
    np.testing.assert_allclose(run.history, expected, rtol=1e-5, atol=1e-6)
    # The weights must have moved, or equal weights say nothing.
    start = initial_weights(settings, 3, data)
    assert all(np.abs(run.weights[name] - start[name]).max() > 1e-3 for name in start if name.endswith("kernel"))


@pytest.mark.parametrize("settings", TRAININGS.values(), ids=TRAININGS)
def test_the_loop_learns_and_reports_what_model_fit_does(settings: dict[str, Any]) -> None:
    check_against_fit(network(**settings), dataset())


@pytest.mark.parametrize("batch_size", [5000, 256])
def test_a_batch_of_all_or_of_most_examples_teaches_what_it_teaches_in_model_fit(batch_size: int) -> None:
    settings = CATEGORICAL | {"layers": layers(output="sigmoid", l2=0.5), "optimizer": SGD, "batch_size": batch_size}
    check_against_fit(network(**settings), dataset(265))


def forward(weights: Mapping[str, np.ndarray], x: np.ndarray, *, sigmoid: bool) -> NDArray[np.float64]:
    """Return the outputs of a network with one hidden layer of ReLU, in float64."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    hidden = np.maximum(x.astype(np.float64) @ w["hidden.kernel"] + w["hidden.bias"], 0)
    logits = hidden @ w["output.kernel"] + w["output.bias"]
    return np.asarray(expit(logits) if sigmoid else softmax(logits, axis=-1))


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    """A trainer of Adam on ten softmax outputs for three epochs, which compiles once for several tests."""
    return Trainer(network(epochs=3, layers=layers(l2=0.001)), PICTURES)


@pytest.fixture(scope="module")
def run(trainer: Trainer) -> Run:
    return trainer.run(5)


def test_final_scores_losses_predictions_and_confidences_are_those_of_the_final_weights(run: Run) -> None:
    data = PICTURES
    penalty = 0.001 * sum(float(np.sum(run.weights[f"{layer}.kernel"] ** 2)) for layer in ("hidden", "output"))
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
    # The loss is the same but for the order of its sum.
    final = [run.losses["validation"], run.scores["validation"]]
    assert run.history[-1, 2:].tolist() == pytest.approx(final, rel=1e-14)
    # 70 examples are four batches of 16 and a short one.
    assert run.steps == 15
    assert not run.diverged


def test_without_a_validation_split_its_columns_are_empty_and_that_is_no_divergence() -> None:
    run = Trainer(network(), dataset(validation=False)).run(0)
    assert run.scores.keys() == run.losses.keys() == run.predicted.keys() == {"train", "test"}
    assert np.isnan(run.history[:, 2:]).all()
    assert not run.diverged


def test_one_unit_answers_1_above_a_half_and_else_0_with_the_confidence_of_that_answer() -> None:
    data = PICTURES
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
    _, predicted, outputs = trainer._evaluate("test")
    assert not predicted.any()
    assert (outputs == 0.5).all()


def test_a_run_has_the_same_bits_whatever_its_trainer_trained_before(trainer: Trainer, run: Run) -> None:
    assert bits(trainer.run(6)) != bits(run)
    assert bits(trainer.run(5)) == bits(run)
    other = PICTURES
    other = replace(other, x={split: x[::-1].copy() for split, x in other.x.items()})
    trainer.load(other)
    assert bits(trainer.run(5)) == bits(Trainer(trainer.network, other).run(5)) != bits(run)
    trainer.load(PICTURES)
    assert bits(trainer.run(5)) == bits(run)


def test_one_program_trains_in_any_order(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs: Any = trainer.programs.epochs
    calls: list[tuple[Any, ...]] = []

    def recorded(*given: Any) -> Any:
        calls.append(given)
        return epochs(*given)

    monkeypatch.setattr(trainer.programs, "epochs", recorded)
    trainer.run(5)
    program = epochs.experimental_get_compiler_ir(*calls[0])(stage="hlo")
    # XLA would compile anew for each value of what is no parameter.
    for numbers in calls[0][0]:
        shape = ",".join(map(str, numbers.shape))
        assert re.search(rf"s32\[{shape}\]\S* parameter\(", program)


@pytest.mark.parametrize("large", [0, 30])
def test_no_bit_depends_on_which_weights_share_a_vector(
    large: int, trainer: Trainer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "LARGE", large)
    apart = Trainer(trainer.network, PICTURES)
    assert len(apart.programs.groups) > len(trainer.programs.groups)
    assert bits(apart.run(5)) == bits(run)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            {"layers": layers(l2=0.5), "optimizer": SGD},
            {"layers": layers(l2=0.01, kernel_initializer=UNIFORM), "optimizer": SGD | {"learning_rate": 0.3}}
            | {"epochs": 2, "shuffle": False},
        ),
        ({"class_weight": {0: 2.0}}, {"class_weight": {1: 0.5, 2: 3.0}}),
        ({"inputs": {"scale": 0.5}}, {"inputs": "standardized", "shuffle": "batches"}),
        (TNC, TNC | {"optimizer": {"name": "tnc", "max_function_calls": 7}}),
    ],
    ids=["keras", "weights", "inputs", "tnc"],
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
            {"layers": layers(l2=0.001)},
            [
                {"targets": "one_hot"},
                {"layers": layers(units=9, l2=0.001)},
                {"layers": tanh(l2=0.001)},
                {"layers": layers(l2=0.001, bias_l2=0.001)},
                {"loss": "categorical_crossentropy"},
                {"keras": "3"},
                {"optimizer": SGD},
                {"optimizer": ADAM | {"beta_1": 0.8}},
                {"optimizer": ADAM | {"decay": 0.1}},
                {"class_weight": {0: 2.0}},
                {"layers": layers()},
                {"batch_size": 7},
            ],
        ),
        # In float64, the penalty is part of the program.
        (TNC, [{"layers": layers(output="sigmoid", l2=0.25, kernel_initializer=UNIFORM, bias_initializer=UNIFORM)}]),
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
    settings = network(inputs={"scale": 1 / 255})
    assert bits(Trainer(settings, raw).run(0)) == bits(Trainer(settings, floats).run(0))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize(
    "settings",
    [
        {"keras": "3", "optimizer": {"name": "sgd", "learning_rate": 1e30}},
        ONE_SIGMOID | {"keras": "3", "optimizer": {"name": "sgd", "learning_rate": 1e30}},
        {"layers": layers(l2=1e300)},
        TNC | {"layers": layers(output="sigmoid", l2=1e300)},
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


SIGMOIDS = TNC["layers"] | {"hidden": TNC["layers"]["hidden"] | {"activation": "sigmoid"}}


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
    data, settings = dataset(), network(**TNC | {"layers": SIGMOIDS})
    trainer = Trainer(settings, data)
    exercise = Exercise(data.x["train"], data.y["train"], 0.001)
    start = np.concatenate([array.ravel() for array in initial_weights(settings, 2).values()])
    expected = minimize(exercise, start, method="TNC", jac=True, options={"maxfun": 8}).x
    run = trainer.run(2)
    np.testing.assert_allclose(run.history[:, 0], exercise.costs, rtol=1e-7)
    np.testing.assert_allclose(np.concatenate([w.ravel() for w in run.weights.values()]), expected, atol=1e-5)
    assert run.steps == len(exercise.costs)
    assert run.losses["train"] == pytest.approx(exercise(expected)[0], rel=1e-7)
    assert run.losses["train"] < run.history[0, 0] - 0.1
    # A row has the figures of the weights of its function call.
    models.initialize(trainer.model, settings, models.streams(2)[0], {})
    assert run.history[0, 0] == pytest.approx(trainer._evaluate("train")[0], rel=1e-12)
    loss, predicted, _ = trainer._evaluate("validation")
    assert run.history[0, 2:].tolist() == [loss, np.mean(predicted == data.y["validation"])]
    assert bits(trainer.run(2)) == bits(run)
