"""The runs of the pipeline as the plain Keras script that people would write, timed on a sample.

`python benchmarks/script.py` in a folder in which `dvc repro` has ended. It uses only the configurations and the
prepared data of the pipeline. It trains each configuration with one seed and a few epochs and prints a line of JSON:

- `stands_for`: the number of runs of the whole script that this one stands for, such as its seeds;
- `epochs`: the epochs of each of these runs;
- `epoch`: seconds per epoch, the median of all epochs but the first;
- `fixed`: seconds of a run apart from its epochs (build, compile, trace, evaluate). A logistic regression and a
  minimization by SciPy are run whole, and have no epochs.

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
from scipy.optimize import minimize
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

Data = dict[str, np.ndarray]


class Stopwatch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Seconds of each epoch, including its validation."""

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
    """Return the exercise's cost, which Keras has only as a mean."""
    return tf.cast(tf.shape(outputs)[-1], outputs.dtype) * keras.losses.binary_crossentropy(targets, outputs)


def splits_of(network: dict[str, Any], data: Data) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return scaled examples, and the targets for the loss, by split."""
    splits = {}
    for split in ("train", "validation", "test"):
        if f"x_{split}" in data:
            x, y = data[f"x_{split}"].astype("float32"), data[f"y_{split}"]
            x = x * network["inputs"]["scale"] if isinstance(network.get("inputs"), dict) else x
            one_hot = network.get("targets") == "one_hot"
            splits[split] = (x, keras.utils.to_categorical(y, 10) if one_hot else y)
    return splits


def build(network: dict[str, Any], n_features: int) -> keras.Sequential:
    """Return the network, not compiled."""

    def dense(layer: dict[str, Any]) -> keras.layers.Dense:
        uniform = layer["kernel_initializer"]["name"] == "random_uniform"
        return keras.layers.Dense(
            layer["units"],
            activation=layer["activation"],
            kernel_initializer=keras.initializers.RandomUniform(-0.12, 0.12) if uniform else "glorot_uniform",
            bias_initializer=keras.initializers.RandomUniform(-0.12, 0.12) if uniform else "zeros",
            kernel_regularizer=keras.regularizers.L2(layer["l2"]) if layer["l2"] else None,
        )

    return keras.Sequential([keras.Input((n_features,)), *map(dense, network["layers"])])


def fit(network: dict[str, Any], data: Data, most_epochs: int) -> dict[str, float]:
    """Train by `model.fit` for a few epochs, evaluate, and return what a run and an epoch cost."""
    start = time.perf_counter()
    keras.utils.set_random_seed(0)
    splits = splits_of(network, data)
    model = build(network, data["x_train"].shape[1])
    kind = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[network["optimizer"]["name"]]
    name = network["loss"]["name"]
    loss = summed_binary_crossentropy if name == "summed_binary_crossentropy" else name
    model.compile(kind(network["optimizer"]["learning_rate"]), loss, metrics=["accuracy"])
    watch = Stopwatch()
    model.fit(
        *splits["train"],
        batch_size=network["batch_size"],
        epochs=min(most_epochs, network["epochs"]),
        validation_data=splits.get("validation"),
        callbacks=[watch],
        verbose=0,
    )
    for x, y in splits.values():
        model.evaluate(x, y, verbose=0)
    epoch = statistics.median(watch.seconds[1:] or watch.seconds)
    fixed = time.perf_counter() - start - epoch * len(watch.seconds)
    return {"epochs": network["epochs"], "epoch": epoch, "fixed": max(fixed, 0.0)}


def minimize_by_tnc(network: dict[str, Any], data: Data) -> dict[str, float]:
    """Train to the end by SciPy's TNC with TensorFlow's gradient."""
    start = time.perf_counter()
    keras.utils.set_random_seed(0)
    splits = splits_of(network, data)
    x, y = splits["train"]
    model = build(network, data["x_train"].shape[1])
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
        return float(loss), np.concatenate([array.numpy().ravel() for array in gradients]).astype(np.float64)

    first = np.concatenate([variable.numpy().ravel() for variable in variables]).astype(np.float64)
    options = {"maxfun": network["optimizer"]["max_function_calls"]}
    assign(minimize(value_and_gradient, first, method="TNC", jac=True, options=options).x)
    for x, y in splits.values():
        model.evaluate(x, y, verbose=0)
    return {"epochs": 0, "epoch": 0.0, "fixed": time.perf_counter() - start}


def regress(baseline: dict[str, Any], data: Data) -> dict[str, float]:
    """Fit the baseline of scikit-learn to the end."""
    start = time.perf_counter()
    splits = splits_of(baseline, data)
    if baseline["model"] == "Floor":
        model = DummyClassifier()
    else:
        model = LogisticRegression(C=baseline["C"], max_iter=baseline["max_iter"])
        model = OneVsRestClassifier(model) if baseline["one_vs_all"] else model
    model.fit(*splits["train"])
    for x, y in splits.values():
        model.score(x, y)
    return {"epochs": 0, "epoch": 0.0, "fixed": time.perf_counter() - start}


def train(run: dict[str, Any], data: Data, most_epochs: int) -> dict[str, float]:
    """Return what a run of a planned configuration costs."""
    network, subset = run["network"], run["subset"]
    if subset:
        labels = data["y_train"]
        counts = subset["first_of_each_class"].items()
        rows = np.concatenate([np.flatnonzero(labels == int(label))[:count] for label, count in counts])
        data = {"x_train": data["x_train"][rows], "y_train": labels[rows]}
    return minimize_by_tnc(network, data) if network["optimizer"]["name"] == "tnc" else fit(network, data, most_epochs)


def sample(runs: list[dict[str, Any]], step: int) -> Iterator[tuple[dict[str, Any], float]]:
    """Yield every `step`-th configuration, and the number of runs that it stands for.

    Configurations of equal size, which take about equally long, are counted together.
    """
    groups = defaultdict(list)
    for run in runs:
        sizes = [run["network"][key] for key in ("batch_size", "epochs")]
        sizes += [layer["units"] for layer in run["network"]["layers"]]
        groups[str([*sizes, len(run["seeds"]), run["subset"]])].append(run)
    for group in groups.values():
        chosen = group[::step]
        for run in chosen:
            yield run, len(run["seeds"]) * len(group) / len(chosen)


def records(data: dict[str, Data], most_epochs: int, step: int) -> Iterator[dict[str, Any]]:
    """Yield what each sampled run costs, and how many runs it stands for."""
    for case, arrays in data.items():
        planned = [json.loads(Path(f"configs/{case}/{name}.json").read_text("utf-8")) for name in ("runs", "baselines")]
        for run, stands_for in sample(planned[0]["runs"], step):
            cost = train(run, arrays, most_epochs)
            yield {"case": case, "name": run["folder"], "stands_for": stands_for, **cost}
        for name, baseline in planned[1]["baselines"].items():
            yield {"case": case, "name": name, "stands_for": 1, **regress(baseline, arrays)}


def main() -> None:
    """Print a line of JSON per sampled run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--epochs", type=int, default=3, help="at most this many epochs per sampled run")
    parser.add_argument("--every", type=int, default=1, help="sample only every N-th configuration of each size")
    arguments = parser.parse_args()
    data = {path.stem: dict(np.load(path)) for path in sorted(Path("data/prepared").glob("*.npz"))}
    print(json.dumps({"start": True}), flush=True)
    for record in records(data, arguments.epochs, arguments.every):
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
