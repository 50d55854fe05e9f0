"""The own training of a script, ten times from ten seeds: what `model.fit` of the person's script gives.

It runs in a child of the zygote, after the old names are installed and with the hook switched off. The first `fit` is
called with its own arguments again and again, each time with weights drawn anew from the layers' initializers and with
the optimizer as it was. A loop of `train_on_batch` cannot be called again, so the whole script runs again.
"""

import itertools
import json
import os
import random
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

PARTS = ("kernel", "bias", "gamma", "beta", "alpha", "moving_mean", "moving_variance")


def install(child: Any) -> None:
    """Let `child` train its script by itself and write what it gives to ``job["results"]``."""
    import keras

    child.record.HOOK.active = False
    job, original = child.job, keras.Model.fit
    if job["loop"]:
        child.run = types.MethodType(run_again_and_again, child)
        return

    def fit(model: Any, *positional: Any, **options: Any) -> None:
        keras.Model.fit = original
        # Keras 1 and 2 took lists.
        arguments = [np.array(each) if isinstance(each, list) else each for each in positional]
        x = arguments.pop(0) if arguments else options.pop("x")
        steps, epochs = options.get("steps_per_epoch"), options.get("epochs", 1)
        batches = list(itertools.islice(x, steps * epochs)) if isinstance(x, types.GeneratorType) else []
        if not model.built:
            model(first_rows(batches[0] if batches else x))
        optimizer = model.optimizer
        optimizer.build(model.trainable_variables)
        if job["decay"]:
            add_decay(optimizer, job["decay"])
        before = [[each.numpy() for each in some] for some in (model.weights, optimizer.variables)]
        results = []
        for seed in job["seeds"]:
            for some, values in zip((model.weights, optimizer.variables), before, strict=True):
                for variable, value in zip(some, values, strict=True):
                    variable.assign(value)
            seed_all(seed)
            redraw(model, seed, job["weights_set"])
            data = (batch for batch in itertools.cycle(batches)) if batches else x
            history = original(model, data, *arguments, **options).history
            results.append(
                {"loss": history["loss"][-1], "validation": history.get("val_loss", [None])[-1], **score(model, job)}
            )
        write(results, job)

    keras.Model.fit = fit


def add_decay(optimizer: Any, decay: float) -> None:
    """Let the rate fall as in Keras 1 and 2, where Keras 3 ignores `decay`: rate / (1 + decay * step)."""
    import keras

    if not isinstance(optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        rate = float(optimizer.learning_rate)
        optimizer._learning_rate = keras.optimizers.schedules.InverseTimeDecay(rate, 1, decay)


def first_rows(x: Any) -> Any:
    """Return a few rows of what `fit` was given, to build an unbuilt network."""
    if isinstance(x, tuple):
        x = x[0]
    elif hasattr(x, "take"):
        x = next(iter(x))[0] if hasattr(x, "element_spec") else x
    elif hasattr(x, "__len__") and hasattr(x, "__getitem__") and not hasattr(x, "shape"):
        x = x[0][0]
    x = x.toarray() if hasattr(x, "toarray") else x
    return np.asarray(x[:2], np.float32)


def seed_all(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow."""
    import keras

    keras.utils.set_random_seed(seed)


def redraw(model: Any, seed: int, weights_set: bool) -> None:
    """Draw first weights and the seeds of masks; keep the weights if the script has set them."""
    numbers = np.random.default_rng(seed)
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign(numbers.integers(2**31, size=2))
        for part in PARTS:
            variable, initializer = getattr(layer, part, None), getattr(layer, f"{part}_initializer", None)
            if variable is None or initializer is None or weights_set:
                continue
            config = initializer.get_config()
            if "seed" in config:
                config["seed"] = int(numbers.integers(2**31))
            variable.assign(type(initializer).from_config(config)(variable.shape, variable.dtype))


def rows(job: dict[str, Any]) -> list[np.ndarray]:
    """Return x and y of the recording."""
    with zipfile.ZipFile(job["recording"]) as file:
        return [np.lib.format.read_array(file.open(f"{name}.npy")) for name in "xy"]


def score(model: Any, job: dict[str, Any]) -> dict[str, float]:
    """Return accuracy or R² on the training rows of the recording."""
    x, y = rows(job)
    found = np.asarray(model.predict(x, batch_size=500, verbose=0), np.float64)
    y = y.reshape(len(y), -1)
    if job["task"] == "regression":
        return {"score": float(np.mean(1 - ((found - y) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)))}
    if job["task"] == "multilabel" or found.shape[1] == 1:
        return {"score": float(np.mean((found > job["cut"]) == (y > 0)))}
    classes = y.argmax(1) if y.shape[1] > 1 else np.searchsorted(np.unique(y), y[:, 0])
    return {"score": float(np.mean(found.argmax(1) == classes))}


def run_again_and_again(child: Any) -> None:
    """Run the script once per seed, to its end, and evaluate the network that its loop has trained."""
    import keras

    trained: list[Any] = []
    original = keras.Model.train_on_batch

    def train_on_batch(model: Any, *arguments: Any, **options: Any) -> Any:
        trained[:] = [model]
        return original(model, *arguments, **options)

    keras.Model.train_on_batch = train_on_batch
    job, results = child.job, []
    code = compile(Path(child.script).read_bytes(), child.script, "exec", dont_inherit=True)
    for seed in job["seeds"]:
        seed_all(seed)
        random.seed(seed)
        exec(code, {"__name__": "__main__", "__file__": child.script})
        loss = trained[0].evaluate(*rows(job), verbose=0)
        loss = loss[0] if isinstance(loss, list) else loss
        results.append({"loss": float(loss), "validation": None, **score(trained[0], job)})
    write(results, job)


def write(results: list[dict[str, Any]], job: dict[str, Any]) -> None:
    """Write the numbers of each seed and end the process."""
    Path(job["results"]).write_text(json.dumps(results), encoding="utf-8")
    os._exit(0)
