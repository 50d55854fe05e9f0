"""Configurations over the whole schema, and data for them: what the tests of rendered scripts try."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from recording.harness import ROOT
from sklearn.datasets import load_digits
from training.test_fit import LAYERS

from page.rendered import case_data, own_data
from stages.config import load
from stages.config.network import Network, PostedNetwork
from stages.config.resolve import resolve
from stages.data import prepared
from stages.data.prepared import Prepared
from stages.page import keras_code

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
            return own_data("binary", x, {s: np.where(v[:, :1] > 0.8, 1, -1) for s, v in values.items()})
        case "bits":
            return own_data("binary", x, {s: (v[:, 0] > 0).astype(int) for s, v in values.items()})
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
    "signs as places": (
        "signs",
        {"layers": layers(1, "sigmoid"), "loss": "bce", "targets": "integer"}
        | {"inputs": {"scale": 0.5, "offset": -0.25}},
    ),
    "bits by their logits": (
        "bits",
        {
            "layers": layers(1, "linear"),
            "loss": {"name": "bce", "from_logits": True, "label_smoothing": 0.2},
            "optimizer": {"name": "adamw", "learning_rate": 0.03, "weight_decay": 0.5},
        },
    ),
    "columns": (
        "columns",
        ONE_HOT
        | {
            "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True, "clipnorm": 0.3},
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
            "drop_remainder": True,
            "batch_size": 20,
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
            "epochs": 8,
        },
    ),
    "codes as numbers": (
        "codes",
        VALUE
        | {
            "class_weight": {2: 0.1, 9: 3.0},
            "optimizer": schedule("PiecewiseConstantDecay", boundaries=[10, 20], values=[0.02, 0.01, 0.001]),
        },
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
            "optimizer": {"name": "ftrl", "learning_rate": 0.1, "l1_regularization_strength": 0.01},
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
            "epochs": 10,
            "loss": {"name": "huber", "delta": 0.5},
            "optimizer": {"name": "sgd", "learning_rate": 0.5},
            "early_stopping": {"monitor": "val_loss", "patience": 2, "restore_best_weights": True},
        },
    ),
    "a decayed rate": ("value", VALUE | {"optimizer": {"name": "sgd", "learning_rate": 0.02, "decay": 0.5}}),
    "weighted values": (
        "weighted values",
        VALUES
        | {
            "optimizer": {"name": "nadam", "learning_rate": 0.02},
            "epochs": 8,
            "reduce_on_plateau": {"monitor": "accuracy", "patience": 1, "min_delta": 0.5, "factor": 0.2},
        },
    ),
    "weighted values by steps and one output": (
        "weighted values",
        VALUE
        | {
            "optimizer": {"name": "lion", "learning_rate": 0.01},
            "steps_per_epoch": 12,
            "batch_size": 20,
            "shuffle": False,
        },
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
EVERY: dict[str, Any] = {"optimizer": {"name": "adam", "learning_rate": 0.03}, "batch_size": 16, "epochs": 3}


def network_of(name: str, **changes: Any) -> tuple[Network, Prepared, str]:
    """Return what is tried: a network, its data, and the split of the score."""
    if name in POSTS:
        case, point = name.split(maxsplit=1)
        posted = load.read(ROOT / "params.yaml").cases[case]
        fixes = posted.variants["fixed"].fixes if point == "repaired" else ()
        found, data, judged_by = resolve(posted, fixes, {}).brief(), "digits", posted.judged_by
        found |= {"epochs": 3 if "mnist" in name or point == "repaired" else 8}
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
    return keras_code.script(network, case_data(data, judged_by))
