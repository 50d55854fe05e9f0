"""Every layer, activation, initializer, loss, optimizer, schedule and callback trains as `model.fit` trains it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.config import names
from stages.config.network import Network
from stages.config.schema import Task
from stages.data.prepared import Facts, Prepared
from stages.training.trainer import Trainer
from training.by_keras import fit

FOUND = names.described()
ROWS = {"train": 44, "validation": 21}
# Settings of optimizers, none of them at its default. A large epsilon keeps rounding from deciding a step.
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01, "clipnorm": 0.5},
    "adam": {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "amsgrad": True, "clipvalue": 0.2},
    "adamw": {"learning_rate": 0.01, "weight_decay": 0.1, "beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}
    | {"amsgrad": True, "global_clipnorm": 0.5},
    "nadam": {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3},
    "adamax": {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3},
    "rmsprop": {"learning_rate": 0.01, "rho": 0.7, "momentum": 0.3, "epsilon": 1e-3, "centered": True},
    "adagrad": {"learning_rate": 0.05, "initial_accumulator_value": 0.3, "epsilon": 1e-3},
    "adadelta": {"learning_rate": 0.5, "rho": 0.8, "epsilon": 1e-3},
    "ftrl": {"learning_rate": 0.05, "learning_rate_power": -0.4, "initial_accumulator_value": 0.2, "beta": 0.1}
    | {"l1_regularization_strength": 0.001, "l2_regularization_strength": 0.01}
    | {"l2_shrinkage_regularization_strength": 0.01},
    "lion": {"learning_rate": 0.002, "beta_1": 0.8, "beta_2": 0.9, "weight_decay": 0.1},
}
LOSSES: dict[str, dict[str, Any]] = {
    "binary_crossentropy": {"label_smoothing": 0.1},
    "binary_focal_crossentropy": {"gamma": 1.5, "alpha": 0.3, "apply_class_balancing": True, "from_logits": True},
    "categorical_crossentropy": {"label_smoothing": 0.2, "from_logits": True},
    "categorical_focal_crossentropy": {"gamma": 1.5, "alpha": 0.5},
    "categorical_generalized_cross_entropy": {"q": 0.4},
    "huber": {"delta": 0.3},
    "sparse_categorical_crossentropy": {"from_logits": True},
}
SCHEDULES: dict[str, dict[str, Any]] = {
    "CosineDecay": {"initial_learning_rate": 0.01, "decay_steps": 7, "warmup_target": 0.1, "warmup_steps": 3},
    "ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.7, "staircase": True},
    "InverseTimeDecay": {"initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.7},
    "PiecewiseConstantDecay": {"boundaries": [2, 4], "values": [0.1, 0.05, 0.01]},
    "PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 4, "power": 2.0, "cycle": True},
}
# What a loss needs: the activation of the outputs, the task, and the targets.
SPARSE = {"sparse_categorical_crossentropy", "categorical_generalized_cross_entropy"}
SOFTMAX = {"categorical_crossentropy", "categorical_focal_crossentropy", "categorical_hinge", "kl_divergence"}
INITIALIZERS: dict[str, dict[str, Any]] = {"constant": {"value": 0.1}, "random_normal": {"stddev": 0.2}}
INITIALIZERS |= {"variance_scaling": {"scale": 0.5, "mode": "fan_avg", "distribution": "untruncated_normal"}}


def data_of(task: Task, units: int = 3) -> Prepared:
    """Return random examples of six features, and answers that depend on them."""
    random = np.random.default_rng(5)
    x = {split: random.normal(size=(n, 6)).astype(np.float32) for split, n in ROWS.items()}
    rule = random.normal(size=(6, units))
    scores = {split: examples @ rule for split, examples in x.items()}
    facts = Facts(task=task, classes=[str(i) for i in range(units)])
    if task == "regression":
        y = {split: np.abs(values).astype(np.float64) for split, values in scores.items()}
    elif task == "multilabel":
        y = {split: (values > 0).astype(np.uint8) for split, values in scores.items()}
    else:
        y = {split: np.argmax(values, axis=1).astype(np.uint8) for split, values in scores.items()}
        facts = facts.model_copy(update={"values": [float(i) for i in range(units)]})
    return Prepared(x, y, facts)


def head(loss: str) -> tuple[str, Task, str]:
    """Return the activation of the outputs, the task and the targets that fit a loss."""
    if loss in SPARSE:
        return "softmax", "multiclass", "raw"
    if loss in SOFTMAX:
        return "softmax", "multiclass", "one_hot"
    if loss.startswith("binary"):
        return "sigmoid", "multilabel", "raw"
    if "hinge" in loss:
        return "tanh", "multilabel", "raw"
    return "softplus", "regression", "raw"


def network(loss: Any = "mean_squared_error", **changes: Any) -> tuple[Network, Prepared]:
    """Return a network with a hidden layer for data that fit its loss, and these data."""
    name = loss if isinstance(loss, str) else loss["name"]
    activation, task, targets = head(name)
    if not isinstance(loss, str) and loss.get("from_logits"):
        activation = "linear"
    values: dict[str, Any] = {
        "layers": {"hidden": {"units": 5, "activation": "tanh"}, "output": {"units": 3, "activation": activation}},
        "targets": targets,
        "loss": loss,
        "keras": "3",
        "optimizer": {"name": "sgd", "learning_rate": 0.05},
        "batch_size": 16,
        "epochs": 3,
        "shuffle": False,
    }
    return Network.model_validate(values | changes), data_of(task)


def check(network: Network, data: Prepared, tolerance: float = 1e-5) -> None:
    """Compare the weights and the losses of the compiled loop with those of `model.fit`."""
    run = Trainer(network, data).run(3)
    weights, history = fit(network, data, 3)
    assert run.weights.keys() == weights.keys()
    for name, expected in weights.items():
        scale = max(1e-2, float(np.abs(expected).max()))
        np.testing.assert_allclose(run.weights[name], expected, rtol=0, atol=tolerance * scale, err_msg=name)
    np.testing.assert_allclose(run.history[:, 0], history["loss"], rtol=1e-4, atol=1e-6)
    if "validation" in data.y:
        np.testing.assert_allclose(run.history[:, 2], history["val_loss"], rtol=1e-4, atol=1e-6)


def test_every_name_of_keras_is_tried() -> None:
    assert OPTIMIZERS.keys() == FOUND["optimizers"].keys() - {names.OWN_OPTIMIZER}
    assert SCHEDULES.keys() == FOUND["schedules"].keys()
    tried = {key for loss in LOSSES.values() for key in loss}
    assert tried | {"ignore_class"} == {key for loss in FOUND["losses"].values() for key in loss}
    common = {"weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "decay"}
    for name, chosen in OPTIMIZERS.items():
        assert FOUND["optimizers"][name].keys() - chosen.keys() <= common, name
    assert common - {"decay"} <= {key for chosen in OPTIMIZERS.values() for key in chosen}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_with_all_its_settings(name: str) -> None:
    check(*network(optimizer={"name": name, **OPTIMIZERS[name]}))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_any_of_these_settings_the_weights_are_others(name: str) -> None:
    """The comparison with `model.fit` fails if the compiled loop ignores a setting."""
    chosen, data = network(optimizer={"name": name, **OPTIMIZERS[name]})
    expected, _ = fit(chosen, data, 3)
    for left_out in OPTIMIZERS[name]:
        rest = {key: value for key, value in OPTIMIZERS[name].items() if key != left_out}
        weights, _ = fit(network(optimizer={"name": name, **rest})[0], data, 3)
        apart = max(float(np.abs(weights[key] - expected[key]).max()) for key in expected)
        assert apart > 1e-4, left_out


ACTIVATIONS = [name for name in FOUND["activations"] if name not in ("hard_swish", "swish")]
WITH_SEEDS = [name for name in FOUND["initializers"] if name not in ("identity", "ones", "zeros")]


@pytest.mark.parametrize("place", range(len(FOUND["losses"]) - 1))
def test_every_loss_activation_and_initializer(place: int) -> None:
    loss = [name for name in FOUND["losses"] if name != names.OWN_LOSS][place]
    activations = [ACTIVATIONS[(2 * place + i) % len(ACTIVATIONS)] for i in range(2)]
    initializer = WITH_SEEDS[place % len(WITH_SEEDS)]
    chosen, data = network({"name": loss, **LOSSES.get(loss, {})})
    first = {"units": 7, "activation": activations[0], "kernel_initializer": {"name": initializer}}
    first["kernel_initializer"] |= INITIALIZERS.get(initializer, {})
    second = {"units": 6, "activation": activations[1]}
    output = {key: value for key, value in chosen.layers[-1].items() if key != "name"}
    widened = {"first": first, "second": second, "output": output}
    check(Network.model_validate({**chosen.model_dump(), "layers": widened}), data)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule(name: str) -> None:
    check(*network(optimizer={"name": "sgd", "learning_rate": {"name": name, **SCHEDULES[name]}}))


LAYERS: dict[str, dict[str, Any]] = {
    "normalized": {
        "hidden": {"units": 8, "use_bias": False},
        "norm": {
            "layer": "BatchNormalization",
            "momentum": 0.7,
            "epsilon": 0.01,
            "gamma_l1": 0.01,
        },
        "act": {"layer": "Activation", "activation": "relu"},
        "norm_2": {"layer": "BatchNormalization", "center": False, "beta_l2": 0.1},
    },
    "dropped": {
        "hidden": {"units": 8, "activation": "tanh"},
        "drop": {"layer": "Dropout", "rate": 0.4},
        "leaky": {"layer": "LeakyReLU", "negative_slope": 0.2},
        "elu": {"layer": "ELU", "alpha": 0.7},
    },
    "penalized": {
        "hidden": {"units": 8, "activation": "tanh", "l1": 0.01, "l2": 0.02, "bias_l2": 0.03, "activity_l1": 0.001},
        "prelu": {"layer": "PReLU", "alpha_initializer": {"name": "constant", "value": 0.2}, "alpha_l2": 0.1},
        "wide": {"units": 4, "l2": 0.05, "activity_l2": 0.01, "bias_initializer": {"name": "constant", "value": 0.5}},
        "relu": {"layer": "ReLU", "max_value": 1.5, "negative_slope": 0.1, "threshold": 0.05},
    },
    "deep": {f"hidden_{place}": {"units": 6, "activation": "tanh"} for place in range(8)}
    | {"flat": {"layer": "Flatten"}, "soft": {"layer": "Softmax"}},
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name: str) -> None:
    layers = LAYERS[name] | {"output": {"units": 3, "activation": "softplus"}}
    # In a short batch, which is filled up, Dropout draws other masks than in Keras.
    size = ROWS["train"] // 4 if name == "dropped" else 16
    rate = {"name": "sgd", "learning_rate": 0.02}
    check(*network(layers=layers, inputs="standardized", optimizer=rate, batch_size=size))


CHANGES: dict[str, dict[str, Any]] = {
    "early_stopping": {"epochs": 8, "early_stopping": {"monitor": "val_loss", "patience": 1, "min_delta": 0.5}},
    "best_weights": {"epochs": 8, "optimizer": {"name": "sgd", "learning_rate": 0.9}}
    | {"early_stopping": {"monitor": "val_loss", "patience": 3, "restore_best_weights": True}},
    "plateau": {"epochs": 6}
    | {"reduce_on_plateau": {"monitor": "loss", "factor": 0.2, "patience": 1, "min_delta": 0.2, "min_lr": 1e-3}},
    "decay": {"optimizer": {"name": "sgd", "learning_rate": 0.1, "decay": 0.3}},
    "shuffled": {"shuffle": True, "inputs": {"scale": 0.5, "offset": -0.25}, "targets": "standardized"},
    "batches": {"shuffle": "batches", "epochs": 5},
    "whole_batches": {"shuffle": "batches", "drop_remainder": True},
    "buffer": {"shuffle": {"buffer": 7}, "drop_remainder": True},
    "steps": {"shuffle": True, "steps_per_epoch": 4},
    "steps_of_a_file": {"shuffle": False, "steps_per_epoch": 2, "drop_remainder": True},
    "one_large_batch": {"steps_per_epoch": 2, "batch_size": 100},
}


@pytest.mark.parametrize("name", CHANGES)
def test_callbacks_decay_and_shuffling(name: str) -> None:
    changed, data = network(**CHANGES[name])
    check(changed, data)


def test_class_weights_and_sample_weights() -> None:
    chosen, data = network("sparse_categorical_crossentropy", class_weight={0: 3.0, 2: 0.25})
    check(chosen, data)
    chosen, data = network()
    weight = np.random.default_rng(2).uniform(0, 3, ROWS["train"]).astype(np.float32)
    check(chosen, replace(data, sample_weight=weight))


MISMATCHES: dict[str, tuple[str, int, str, Task, tuple[int, ...]]] = {
    "one sigmoid for three classes": ("binary_crossentropy", 1, "sigmoid", "multiclass", ()),
    "softmax on one unit": ("mean_squared_error", 1, "softmax", "multiclass", ()),
    "a column against three outputs": ("mean_squared_error", 3, "linear", "multiclass", (1,)),
    "sigmoid for values": ("mean_squared_error", 3, "sigmoid", "regression", ()),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_a_mismatch_that_keras_trains_is_trained(name: str) -> None:
    loss, units, activation, task, shape = MISMATCHES[name]
    data = data_of(task)
    if task == "multiclass":
        raw = {split: labels.astype(np.float32).reshape(-1, *shape) for split, labels in data.y.items()}
        data = replace(data, raw=raw)
    chosen, _ = network(loss, targets="raw")
    layers = {"hidden": {"units": 5, "activation": "tanh"}, "output": {"units": units, "activation": activation}}
    check(Network.model_validate({**chosen.model_dump(), "layers": layers}), data)


def test_what_keras_refuses_is_refused_with_its_reason() -> None:
    chosen, data = network("categorical_crossentropy", targets="raw")
    raw = {split: labels.astype(np.float32) for split, labels in data.y.items()}
    with pytest.raises(ValueError, match=r"shape|rank"):
        Trainer(chosen, replace(data, raw=raw)).run(0)


SMALL = st.floats(0.001, 0.3).map(lambda value: round(value, 4))
CHOICES = {
    "activation": st.sampled_from(["linear", "relu", "tanh", "sigmoid", "selu", "softplus", "gelu", "leaky_relu"]),
    "between": st.sampled_from(
        [
            {"layer": "Dropout", "rate": 0.3},
            {"layer": "BatchNormalization", "momentum": 0.8},
            {"layer": "LeakyReLU"},
            {"layer": "PReLU"},
            {"layer": "Activation", "activation": "tanh"},
        ]
    ),
}


@st.composite
def networks(draw: st.DrawFn) -> tuple[Network, Prepared]:
    """Draw a network of one to four layers, with settings from all over the schema."""
    loss = draw(st.sampled_from([name for name in FOUND["losses"] if name != names.OWN_LOSS]))
    chosen, data = network(loss)
    layers: dict[str, Any] = {}
    for place in range(draw(st.integers(1, 2))):
        layers[f"dense_{place}"] = {"units": draw(st.integers(2, 9)), "activation": draw(CHOICES["activation"])}
        for key in ("l1", "l2", "bias_l2", "activity_l2"):
            if draw(st.booleans()):
                layers[f"dense_{place}"][key] = draw(SMALL) / 10
        if draw(st.booleans()):
            layers[f"between_{place}"] = draw(CHOICES["between"])
    layers["output"] = {key: value for key, value in chosen.layers[-1].items() if key != "name"}
    optimizer = draw(st.sampled_from(list(OPTIMIZERS)))
    changes = {
        "layers": layers,
        "optimizer": {"name": optimizer, **OPTIMIZERS[optimizer]},
        "batch_size": draw(st.sampled_from([11, 16, 44, 100])),
        "inputs": draw(st.sampled_from(["raw", "standardized", {"scale": 0.5}])),
        "shuffle": draw(st.booleans()),
        "epochs": 2,
    }
    return Network.model_validate({**chosen.model_dump(), **changes}), data


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(networks())
def test_any_network_of_the_schema_trains_as_model_fit_trains_it(drawn: tuple[Network, Prepared]) -> None:
    # Rounding grows in a network that a step throws far, hence the wider margin.
    check(*drawn, tolerance=1e-4)


def test_dropout_drops_its_share_of_the_inputs_and_scales_the_others() -> None:
    layers = {"drop": {"layer": "Dropout", "rate": 0.3}, "output": {"units": 1}}
    chosen, data = network(layers=layers, loss="mean_squared_error")
    model = Trainer(chosen, data).model
    kept = np.asarray(model.get_layer("drop")(np.ones((2000, 50), np.float32), training=True))
    # Five standard deviations of the share of 100,000 independent draws.
    assert np.mean(kept == 0) == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / kept.size))
    np.testing.assert_allclose(kept[kept > 0], 1 / 0.7, rtol=1e-6)
    assert (np.asarray(model.get_layer("drop")(np.ones((3, 5), np.float32), training=False)) == 1).all()
