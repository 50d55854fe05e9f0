"""The pipeline's trainings as the plain Keras script that people would write, timed on a sample of its runs.

`python benchmarks/script.py`, in a folder in which `dvc repro` has ended: it uses nothing of the pipeline but its
configurations and its prepared data. Each configuration is trained with one seed and a few epochs. A line of JSON each:

- `stands_for`: the runs of the whole script that this one stands for, such as its seeds;
- `epochs`: of each of these runs; `fixed`: seconds of a run beside its epochs (build, compile, trace, evaluate);
  `epoch`: seconds of an epoch, the median of those after the first. A logistic regression and a minimisation by SciPy
  are run whole, and have no epochs.

The first line comes when the imports are done and the data is read.
"""

import argparse
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
import tensorflow as tf
import yaml
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

Data = dict[str, np.ndarray]


class Stopwatch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Seconds of each epoch, its validation included."""

    def on_train_begin(self, logs: object = None) -> None:
        """Start."""
        self.seconds: list[float] = []
        self.last = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        """Take the time."""
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now


def summed_binary_crossentropy(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """The exercise's cost, which Keras has only as a mean."""
    return tf.cast(tf.shape(outputs)[-1], outputs.dtype) * keras.losses.binary_crossentropy(targets, outputs)


def splits_of(config: dict[str, Any], data: Data) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split -> scaled examples and the targets that the loss takes."""
    splits = {}
    for split in ("train", "validation", "test"):
        if f"x_{split}" in data:
            x, y = data[f"x_{split}"].astype("float32") * config["input_scale"], data[f"y_{split}"]
            one_hot = config["loss"] in ("categorical_crossentropy", "summed_binary_crossentropy")
            splits[split] = (x, keras.utils.to_categorical(y, 10) if one_hot else y)
    return splits


def build(config: dict[str, Any], n_features: int) -> keras.Sequential:
    """The network, not compiled."""
    limit = config["initializer"].get("limit")

    def dense(units: int, activation: str) -> keras.layers.Dense:
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=keras.initializers.RandomUniform(-limit, limit) if limit else "glorot_uniform",
            bias_initializer=keras.initializers.RandomUniform(-limit, limit) if limit else "zeros",
            kernel_regularizer=keras.regularizers.L2(config["l2"]) if config["l2"] else None,
        )

    hidden = [dense(units, config["hidden_activation"]) for units in config["hidden_units"]]
    return keras.Sequential(
        [keras.Input((n_features,)), *hidden, dense(config["output_units"], config["output_activation"])]
    )


def fit(config: dict[str, Any], data: Data, most_epochs: int) -> dict[str, float]:
    """Train by `model.fit` for a few epochs, evaluate, and say what a run and an epoch cost."""
    start = time.perf_counter()
    keras.utils.set_random_seed(0)
    splits = splits_of(config, data)
    model = build(config, data["x_train"].shape[1])
    kind = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[config["optimizer"]["name"]]
    loss = summed_binary_crossentropy if config["loss"] == "summed_binary_crossentropy" else config["loss"]
    model.compile(kind(config["optimizer"]["learning_rate"]), loss, metrics=["accuracy"])
    watch = Stopwatch()
    model.fit(
        *splits["train"],
        batch_size=config["batch_size"],
        epochs=min(most_epochs, config["epochs"]),
        validation_data=splits.get("validation"),
        callbacks=[watch],
        verbose=0,
    )
    for x, y in splits.values():
        model.evaluate(x, y, verbose=0)
    epoch = statistics.median(watch.seconds[1:] or watch.seconds)
    fixed = time.perf_counter() - start - epoch * len(watch.seconds)
    return {"epochs": config["epochs"], "epoch": epoch, "fixed": max(fixed, 0.0)}


def minimise(config: dict[str, Any], data: Data) -> dict[str, float]:
    """Train by SciPy's TNC around TensorFlow's gradient, whole."""
    start = time.perf_counter()
    keras.utils.set_random_seed(0)
    splits = splits_of(config, data)
    x, y = splits["train"]
    model = build(config, x.shape[1])
    model.compile(loss=summed_binary_crossentropy, metrics=["accuracy"])
    variables = model.trainable_variables
    cuts = np.cumsum([np.prod(variable.shape) for variable in variables])[:-1].astype(int)

    @tf.function  # type: ignore[untyped-decorator]
    def gradient() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(summed_binary_crossentropy(y, model(x, training=True)))
            loss += tf.add_n(model.losses) if model.losses else 0.0
        return loss, tape.gradient(loss, variables)

    def assign(vector: np.ndarray) -> None:
        for variable, values in zip(variables, np.split(vector, cuts), strict=True):
            variable.assign(values.reshape(variable.shape))

    def value_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
        assign(vector)
        loss, gradients = gradient()
        return float(loss), np.concatenate([one.numpy().ravel() for one in gradients]).astype(np.float64)

    first = np.concatenate([variable.numpy().ravel() for variable in variables]).astype(np.float64)
    options = {"maxfun": config["optimizer"]["max_function_calls"]}
    assign(minimize(value_and_gradient, first, method="TNC", jac=True, options=options).x)
    for x, y in splits.values():
        model.evaluate(x, y, verbose=0)
    return {"epochs": 0, "epoch": 0.0, "fixed": time.perf_counter() - start}


def regress(baseline: dict[str, Any], data: Data) -> dict[str, float]:
    """Fit scikit-learn's logistic regression, whole."""
    start = time.perf_counter()
    splits = splits_of({"input_scale": baseline["input_scale"], "loss": "sparse"}, data)
    model = LogisticRegression(C=baseline["C"], max_iter=baseline["max_iter"])
    model = OneVsRestClassifier(model) if baseline.get("one_vs_all") else model
    model.fit(*splits["train"])
    for x, y in splits.values():
        model.score(x, y)
    return {"epochs": 0, "epoch": 0.0, "fixed": time.perf_counter() - start}


def train(config: dict[str, Any], data: Data, most_epochs: int) -> dict[str, float]:
    """What a run of `config` costs."""
    return minimise(config, data) if config["optimizer"]["name"] == "tnc" else fit(config, data, most_epochs)


def every(cells: list[dict[str, Any]], step: int) -> Iterator[tuple[int, dict[str, Any], float]]:
    """Place, configuration and how many cells it stands for, of every `step`-th cell.

    Counted among cells of equal batch size, epochs and units, which take about equally long.
    """
    groups = defaultdict(list)
    for place, cell in enumerate(cells):
        config = cell["run"]
        groups[str([config[key] for key in ("batch_size", "epochs", "hidden_units", "output_units")])].append(place)
    for group in groups.values():
        chosen = group[::step]
        for place in chosen:
            yield place, cells[place]["run"], len(group) / len(chosen)


def two_digits(data: Data, zeros: int, examples: int) -> Data:
    """The first `zeros` training images of zero and as many of one as make it `examples`."""
    rows = np.concatenate(
        [np.flatnonzero(data["y_train"] == 0)[:zeros], np.flatnonzero(data["y_train"] == 1)[: examples - zeros]]
    )
    return {"x_train": data["x_train"][rows], "y_train": data["y_train"][rows]}


def records(data: dict[str, Data], most_epochs: int, step: int) -> Iterator[dict[str, Any]]:
    """What each sampled run costs, and how many it stands for."""
    parameters = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    for path in sorted(Path("configs").glob("*.json")):
        variant = json.loads(path.read_text(encoding="utf-8"))
        cost = train(variant["run"], data[variant["case"]], most_epochs)
        yield {"kind": "variant", "name": path.stem, "stands_for": len(variant["seeds"]), **cost}
    for path in sorted(Path("configs/cells").glob("*.json")):
        cells = json.loads(path.read_text(encoding="utf-8"))
        for place, config, stands_for in every(cells["cells"], step):
            cost = train(config, data[path.stem], most_epochs)
            name = f"{path.stem}-{place}"
            yield {"kind": "cell", "name": name, "stands_for": stands_for * len(cells["seeds"]), **cost}
    probe = parameters["probe"]
    asked = json.loads(Path(f"configs/{probe['case']}-as_posted.json").read_text(encoding="utf-8"))
    for zeros in probe["zeros"]:
        cost = train(asked["run"], two_digits(data[probe["case"]], zeros, probe["examples"]), most_epochs)
        yield {"kind": "probe", "name": f"{zeros}_zeros", "stands_for": len(asked["seeds"]), **cost}
    for case, block in parameters["cases"].items():
        for name, baseline in block.get("baselines", {}).items():
            cost = regress(baseline, data[case])
            yield {"kind": "baseline", "name": f"{case}-{name}", "stands_for": 1, **cost}


def main() -> None:
    """Print a line of JSON a sampled run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--epochs", type=int, default=3, help="the most that a run is sampled with")
    parser.add_argument("--every", type=int, default=1, help="sample only every N-th cell of each kind")
    arguments = parser.parse_args()
    data = {path.stem: dict(np.load(path)) for path in Path("data/prepared").glob("*.npz")}
    print(json.dumps({"kind": "start"}), flush=True)
    for record in records(data, arguments.epochs, arguments.every):
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
