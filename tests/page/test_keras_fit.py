"""Every rendered script, run by plain `model.fit`, gives the score and the loss that whichfix gives.

This also checks the trainer as a whole, from outside: the scripts share no code with it.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recording.harness import ROOT, differing
from sklearn.datasets import load_digits
from training.test_fit import LAYERS

from page.rendered import by_keras, by_whichfix, case_data, own_data
from stages.config import load
from stages.config.network import Network, PostedNetwork
from stages.config.resolve import resolve
from stages.data import prepared
from stages.data.prepared import Prepared

ROWS = {"train": 144, "validation": 40, "test": 150}
# Classes as a file may number them.
CODES = np.array([2, 5, 9])


@cache
def data_of(kind: str) -> Prepared:
    """Return data of a kind; their rows are sorted by their targets, so that the order of the examples matters."""
    if kind == "digits":
        return digits()
    random = np.random.default_rng(4)
    x = {split: random.normal(size=(n, 6)) for split, n in ROWS.items()}
    rule = random.normal(size=(6, 3))
    values = {split: np.tanh(rows) @ rule + random.normal(0, 0.3, (len(rows), 3)) for split, rows in x.items()}
    order = {split: np.lexsort((rows[:, 0], rows.argmax(axis=1))) for split, rows in values.items()}
    values = {split: rows[order[split]] for split, rows in values.items()}
    x = {split: (0.5 + rows * (1, 1, 1, 1, 1, 3))[order[split]].astype(np.float32) for split, rows in x.items()}
    weight = np.linspace(0.1, 2, ROWS["train"]).astype(np.float32)
    match kind:
        case "signs":
            return own_data("binary", x, {s: np.where(v[:, 0] > 0.8, 1, -1) for s, v in values.items()})
        case "column":
            return own_data("binary", x, {s: (v[:, :1] > 0).astype(int) for s, v in values.items()})
        case "columns":
            return own_data("multiclass", x, {s: np.eye(3)[v.argmax(1)] for s, v in values.items()})
        case "codes":
            return own_data("multiclass", x, {s: CODES[v.argmax(1)] for s, v in values.items()})
        case "classes":
            return own_data("multiclass", x, {s: v.argmax(1) for s, v in values.items()})
        case "images":
            squares = {s: np.repeat(rows[:, :, None], 2, axis=2) for s, rows in x.items()}
            return own_data("multiclass", squares, {s: v.argmax(1) for s, v in values.items()})
        case "first weights":
            known = own_data("multiclass", x, {s: v.argmax(1) for s, v in values.items()})
            first = {"hidden.kernel": random.normal(size=(6, 8)), "hidden.bias": np.full(8, 0.5)}
            first |= {"output.kernel": random.normal(size=(8, 3)), "output.bias": np.zeros(3)}
            return replace(known, first_weights={name: array.astype(np.float32) for name, array in first.items()})
        case "labels":
            return own_data("multilabel", x, {s: (v > 0).astype(int) for s, v in values.items()})
        case "value":
            return own_data("regression", x, {s: 7 + 4 * v[:, 0] for s, v in values.items()})
        case "values":
            return own_data("regression", x, {s: 2 + v[:, :2] for s, v in values.items()})
        case "weighted values":
            return own_data("regression", x, {s: 2 + v[:, :2] for s, v in values.items()}, weight)
    raise KeyError(kind)


def digits() -> Prepared:
    """Return scikit-learn's digits, 8 by 8 pixels of 0 to 255, as the cases of the posts have MNIST's."""
    found = load_digits()
    x, y = (found.data * 15.9375).round().astype(np.uint8), found.target.astype(np.uint8)
    cuts = {"train": slice(0, 500), "validation": slice(500, 600), "test": slice(600, 1100)}
    facts = prepared.digits(8, "rows", "0123456789")
    return Prepared({s: x[cut] for s, cut in cuts.items()}, {s: y[cut] for s, cut in cuts.items()}, facts)


def layers(outputs: int, activation: str, units: int = 8, hidden: str = "relu", **settings: Any) -> dict[str, Any]:
    """Return a network of one hidden layer."""
    return {
        "hidden": {"units": units, "activation": hidden, **settings},
        "output": {"units": outputs, "activation": activation},
    }


def schedule(name: str, **settings: Any) -> dict[str, Any]:
    return {"name": "sgd", "learning_rate": {"name": name, **settings}}


SPARSE: dict[str, Any] = {"layers": layers(3, "softmax"), "loss": "sparse_categorical_crossentropy"}
ONE_HOT: dict[str, Any] = {"layers": layers(3, "softmax"), "loss": "categorical_crossentropy"}
VALUE: dict[str, Any] = {"layers": layers(1, "linear"), "loss": "mean_squared_error"}
VALUES: dict[str, Any] = {"layers": layers(2, "linear"), "loss": "mean_squared_error"}
# The data, and the settings that are not those of every network here.
TRIED: dict[str, tuple[str, dict[str, Any]]] = {
    "signs by their hinge": ("signs", {"layers": layers(1, "tanh"), "loss": "hinge", "inputs": "standardized"}),
    "signs as numbers": ("signs", {"layers": layers(1, "linear"), "loss": "mse", "class_weight": {-1: 1, 1: 9}}),
    "signs as places": (
        "signs",
        {"layers": layers(1, "sigmoid"), "loss": "bce", "targets": "integer"}
        | {"inputs": {"scale": 0.5, "offset": -0.25}},
    ),
    "a column of logits": (
        "column",
        {
            "layers": layers(1, "linear"),
            "loss": {"name": "bce", "from_logits": True} | {"label_smoothing": 0.2},
            "optimizer": {"name": "adamw", "learning_rate": 0.03, "weight_decay": 0.5},
        },
    ),
    "a column of places": ("column", {"layers": layers(2, "softmax"), "loss": SPARSE["loss"], "targets": "integer"}),
    "columns": (
        "columns",
        ONE_HOT
        | {
            "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9} | {"nesterov": True, "clipnorm": 0.3},
            "layers": {
                "hidden": {"units": 8, "activation": "gelu"},
                "drop": {"layer": "Dropout", "rate": 0.5},
                "output": {"units": 3, "activation": "softmax"},
            },
        },
    ),
    "columns as places": (
        "columns",
        SPARSE
        | {
            "targets": "integer",
            "optimizer": {"name": "rmsprop", "learning_rate": 0.01},
            "layers": LAYERS["normalized"] | {"output": {"units": 3, "activation": "softmax"}},
        },
    ),
    "classes in order": (
        "classes",
        ONE_HOT
        | {
            "targets": "one_hot",
            "shuffle": False,
            "class_weight": {0: 1.0, 2: 8.0},
            "optimizer": schedule("ExponentialDecay", initial_learning_rate=0.5, decay_steps=9, decay_rate=0.6),
        },
    ),
    "classes through a buffer": (
        "classes",
        SPARSE
        | {
            "shuffle": {"buffer": 5},
            "class_weight": {0: 0.2, 2: 8.0},
            "optimizer": {"name": "sgd", "learning_rate": 0.3},
        },
    ),
    "codes in columns": ("codes", ONE_HOT | {"targets": "one_hot", "class_weight": {5: 6.0}}),
    "codes as places": (
        "codes",
        SPARSE
        | {
            "targets": "integer",
            "optimizer": {"name": "adamax", "learning_rate": 0.05},
            "early_stopping": {"monitor": "val_accuracy", "patience": 1, "min_delta": 0.05},
            "epochs": 12,
        },
    ),
    "codes as numbers": (
        "codes",
        VALUE | {"optimizer": schedule("PiecewiseConstantDecay", boundaries=[20, 40], values=[0.02, 0.01, 0.001])},
    ),
    "codes for more outputs": ("codes", {"layers": layers(10, "softmax"), "loss": SPARSE["loss"]}),
    "scaled classes": ("classes", VALUE | {"targets": {"scale": 0.5}}),
    "images": (
        "images",
        SPARSE
        | {
            "inputs": "standardized",
            "layers": {"flat": {"layer": "Flatten"}, **layers(3, "softmax")},
            "optimizer": schedule(
                "CosineDecay", initial_learning_rate=0.001, decay_steps=60, warmup_target=0.8, warmup_steps=10
            ),
        },
    ),
    "first weights": (
        "first weights",
        SPARSE
        | {
            "initial_weights": True,
            "optimizer": {"name": "ftrl"} | {"learning_rate": 0.1, "l1_regularization_strength": 0.01},
        },
    ),
    "labels in whole batches": (
        "labels",
        {
            "shuffle": "batches",
            "layers": LAYERS["penalized"] | {"output": {"units": 3, "activation": "sigmoid"}},
            "loss": "bce",
        },
    ),
    "labels by steps": (
        "labels",
        {
            "layers": layers(3, "linear", kernel_initializer={"name": "random_normal", "stddev": 1.0}),
            "loss": {"name": "binary_focal_crossentropy", "from_logits": True, "gamma": 1.5},
            "steps_per_epoch": 5,
            "drop_remainder": True,
            "batch_size": 50,
        },
    ),
    "a standardized value": (
        "value",
        VALUE
        | {
            "inputs": "standardized",
            "targets": "standardized",
            "epochs": 30,
            "loss": {"name": "huber", "delta": 0.5},
            "optimizer": {"name": "sgd", "learning_rate": 0.5},
            "early_stopping": {"monitor": "val_loss", "patience": 2, "restore_best_weights": True},
        },
    ),
    "a decayed rate": ("value", VALUE | {"optimizer": {"name": "sgd", "learning_rate": 0.02, "decay": 0.5}}),
    "an R² that is watched": (
        "value",
        VALUE
        | {
            "epochs": 12,
            "targets": {"scale": 0.1},
            "early_stopping": {"monitor": "val_accuracy", "patience": 1, "min_delta": 0.1},
        },
    ),
    "weighted values": (
        "weighted values",
        VALUES
        | {
            "optimizer": {"name": "nadam", "learning_rate": 0.02},
            "epochs": 12,
            "reduce_on_plateau": {"monitor": "loss", "patience": 1, "min_delta": 0.5, "factor": 0.2},
        },
    ),
    "weighted values by steps": (
        "weighted values",
        VALUES | {"steps_per_epoch": 12, "batch_size": 20, "shuffle": False},
    ),
    "values by one output": (
        "values",
        VALUE | {"optimizer": {"name": "lion", "learning_rate": 0.01}, "drop_remainder": True, "batch_size": 100},
    ),
    "values in scale": (
        "values",
        VALUES
        | {
            "targets": {"scale": 0.25},
            "layers": LAYERS["dropped"] | {"output": {"units": 2}},
            "optimizer": schedule("PolynomialDecay", initial_learning_rate=0.1, decay_steps=40, power=2.0),
        },
    ),
    "the exercise's loss": ("columns", ONE_HOT | {"loss": "summed_binary_crossentropy"}),
}
POSTS = ("mnist as posted", "mnist repaired", "ex4 as posted", "ex4 repaired")
EVERY: dict[str, Any] = {"optimizer": {"name": "adam", "learning_rate": 0.02}, "batch_size": 16, "epochs": 5}


def network_of(name: str, **changes: Any) -> tuple[Network, Prepared, str]:
    """Return what is tried: a network, its data, and the split of the score."""
    if name in POSTS:
        case, point = name.split(maxsplit=1)
        posted = load.read(ROOT / "params.yaml").cases[case]
        fixes = posted.variants["fixed"].fixes if point == "repaired" else ()
        found, data, judged_by = resolve(posted, fixes, {}).brief(), "digits", posted.judged_by
        found |= {"epochs": 3 if "mnist" in name or point == "repaired" else 20}
    else:
        data, own = TRIED[name]
        found, judged_by = EVERY | own, "test"
    network, known = Network.model_validate(found | changes | {"keras": "3"}), data_of(data)
    if not any(each and "val_" in each["monitor"] for each in (network.early_stopping, network.reduce_on_plateau)):
        known = without_validation(known)
    return network, known, judged_by


def without_validation(data: Prepared) -> Prepared:
    """Return `data` without the validation split, on which Keras takes long."""
    x, y, raw = ({s: rows for s, rows in some.items() if s != "validation"} for some in (data.x, data.y, data.raw))
    return replace(data, x=x, y=y, raw=raw)


def script_of(network: PostedNetwork, data: Prepared, judged_by: str) -> str:
    from stages.page import keras_code

    return keras_code.script(network, case_data(data, judged_by))


@cache
def measured(name: str) -> dict[str, np.ndarray]:
    """Return what whichfix reports for what is tried, one value per seed."""
    return by_whichfix(*network_of(name))


@pytest.mark.parametrize("name", [*POSTS, *TRIED])
def test_a_rendered_script_gives_what_whichfix_reports(name: str, tmp_path: Path) -> None:
    network, data, judged_by = network_of(name)
    found = by_keras(script_of(network, data, judged_by), data, tmp_path)
    assert differing(measured(name), found) == {}


# A script with another setting than whichfix was told.
CONTROLS: dict[str, tuple[str, dict[str, Any]]] = {
    "a tenth of the rate": ("mnist repaired", {"optimizer": {"name": "adam", "learning_rate": 0.0001}}),
    "small inputs": ("signs by their hinge", {"inputs": {"scale": 0.01}}),
    "raw targets": ("values in scale", {"targets": "raw"}),
    "without the weights of classes": ("codes in columns", {"class_weight": None}),
    "whole shuffles": ("classes through a buffer", {"shuffle": True}),
    "without decay": ("a decayed rate", {"optimizer": {"name": "sgd", "learning_rate": 0.02}}),
    "twice the penalty": ("ex4 as posted", {"layers": layers(10, "sigmoid", 25, "sigmoid", l2=2.0)}),
    "another loss": ("the exercise's loss", {"loss": "binary_crossentropy"}),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_a_script_with_another_setting_is_noticed(control: str, tmp_path: Path) -> None:
    name, changes = CONTROLS[control]
    network, data, judged_by = network_of(name, **changes)
    assert differing(measured(name), by_keras(script_of(network, data, judged_by), data, tmp_path))
