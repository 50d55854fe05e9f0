"""Numbers that mislead are told with Keras's number and ours; a sound number is not blamed."""

from typing import Any

import keras
import numpy as np
import pytest

from stages.config.network import PostedNetwork
from stages.config.schema import Task
from stages.data import scoring
from stages.data.prepared import Facts, Prepared
from stages.diagnosis.misleading import misleading

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(300, 4)).astype(np.float32)
LOGITS = {"name": "binary_crossentropy", "from_logits": True}


def network(units: int, activation: str, loss: Any, **settings: Any) -> PostedNetwork:
    layers = {"output": {"units": units, "activation": activation}}
    return PostedNetwork.model_validate({"layers": layers, "loss": loss, "optimizer": "sgd", **settings})


def data(task: Task, y: np.ndarray, n_classes: int, values: list[float] | None = None, train: int = 200) -> Prepared:
    """Return 300 rows, of which the last ones, after `train`, are the validation split."""
    facts = Facts(task=task, classes=[f"class {place}" for place in range(n_classes)], values=values)
    splits = {"train": slice(None, train), "validation": slice(train, None)}
    return Prepared({s: X[rows] for s, rows in splits.items()}, {s: y[rows] for s, rows in splits.items()}, facts)


CLASSES = (X[:, 0] > 0.3).astype(np.uint8)
LABELS = (X[:, :3] > 0).astype(np.uint8)
VALUES = X[:, :1].astype(np.float64)
CASES: list[tuple[str, Task, np.ndarray, int, list[float] | None, str, Any]] = [
    ("accuracy_of_logits", "binary", CLASSES, 1, [0, 1], "linear", LOGITS),
    ("accuracy_of_labels", "multilabel", LABELS, 3, None, "sigmoid", "binary_crossentropy"),
    ("accuracy_of_values", "regression", VALUES, 1, None, "linear", "mse"),
    ("accuracy_of_other_labels", "binary", CLASSES, 1, [-1, 1], "tanh", "hinge"),
]


@pytest.mark.parametrize(
    ("kind", "task", "y", "units", "values", "activation", "loss"), CASES, ids=[c[0] for c in CASES]
)
def test_the_accuracy_that_keras_prints_stands_beside_the_score(
    kind: str, task: Task, y: np.ndarray, units: int, values: list[float] | None, activation: str, loss: Any
) -> None:
    # Weights with which every answer is right, so that the score is 1 whatever Keras prints.
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation)])
    kernel = np.eye(4, 3)[:, :units]
    bias = [-0.3] if task == "binary" else np.zeros(units)
    model.layers[0].set_weights([kernel, np.array(bias)])
    model.compile(loss="mse", metrics=["accuracy"])
    held = data(task, y, max(units, len(values or ())), values)
    given = held.given("validation")
    printed = float(model.evaluate(held.x["validation"], given, verbose=0)[1])
    outputs = model.predict(held.x["validation"], verbose=0)
    answers = {"binary": (outputs[:, 0] > 0).astype(int), "multilabel": outputs > 0.5, "regression": outputs}[task]
    score = next(iter(scoring.measures(task, held.y["validation"], answers, None).values()))
    assert score > 0.999 > 0.95 > printed
    posted = network(units, activation, loss)
    found = dict(misleading(task, posted, held, {"validation": printed}, {"validation": score}, {"validation": 0.5}))
    assert list(found) == [kind]
    name = "R²" if task == "regression" else "accuracy"
    assert f"Keras's validation accuracy of {printed:.2f} misleads; whichfix's {name} is 1.00." in found[kind]
    assert kind in dict(misleading(task, posted, held, None, None, None))


def test_a_sound_number_is_not_blamed() -> None:
    numbers = {"validation": 0.9}
    posted = network(1, "sigmoid", "binary_crossentropy")
    held = data("binary", CLASSES, 2, [0, 1])
    assert misleading("binary", posted, held, numbers, numbers, {"validation": 0.6}) == []


def test_a_score_of_the_most_frequent_class_is_told() -> None:
    rare = (np.arange(300) % 10 == 0).astype(np.uint8)
    posted = network(1, "sigmoid", "binary_crossentropy")
    ((kind, text),) = misleading("binary", posted, data("binary", rare, 2, [0, 1]), None, {"validation": 0.9}, None)
    assert kind == "no_better_than_the_floor"
    assert "has the accuracy 0.90. The validation accuracy of 0.90 says nothing about learning" in text


def test_a_validation_split_that_is_the_tail_of_sorted_rows_is_told() -> None:
    posted = network(1, "sigmoid", "binary_crossentropy")
    kinds = [
        dict(misleading("binary", posted, data("binary", np.sort(CLASSES), 2, [0, 1], train), None, None, None))
        for train in (295, 200)
    ]
    assert "of one class" in kinds[0]["validation_of_one_class"]
    assert "validation_of_one_class" in kinds[1]
    values = network(1, "linear", "mse")
    found = misleading("regression", values, data("regression", np.sort(VALUES, axis=0), 1), None, None, None)
    assert "validation_of_other_values" in dict(found)
