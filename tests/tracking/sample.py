"""A small project with made-up runs, evaluated by the real `evaluate`: what `track` reads."""

import os
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from stages import evaluate
from stages.base import files
from stages.config.examples import Rescale
from stages.config.network import Network
from stages.config.planned import PlannedCase
from stages.data import prepared
from stages.data.exercise4 import exercise_rows
from stages.data.prepared import Prepared
from stages.training import runs
from stages.training.runs import Run

ROOT = Path(__file__).parents[2]
CASE = "digits"
EPOCHS = 3
SIZES = {"train": 40, "validation": 20, "test": 30}
SEEDS = (0, 3)
DATA = {"file": "data/raw/mnist.npz", "recipe": "mnist", "validation_split": 0.33}
NETWORK: dict[str, Any] = {
    "inputs": {"scale": 0.00392156862745098},
    "targets": "one_hot",
    "layers": {"hidden": {"units": 6, "activation": "relu"}, "output": {"units": 10, "activation": "softmax"}},
    "loss": "categorical_crossentropy",
    "keras": "3",
    "optimizer": {"name": "sgd", "learning_rate": 0.01},
    "batch_size": 32,
    "epochs": EPOCHS,
}
ADAM = {"optimizer": {"name": "adam", "learning_rate": 0.001}}
BATCH = {"batch_size": 16}
# Name -> folder, fixes, further settings, seeds, subset of the data, mean score.
VARIANTS: dict[str, tuple[str, list[str], dict[str, Any], tuple[int, ...], dict[int, int] | None, float]] = {
    "as_posted": ("as_posted", [], {}, SEEDS, None, 0.2),
    "fixed": ("fixed", ["adam", "small_batches"], {}, SEEDS, None, 0.9),
    "diverging": ("diverging", ["adam"], {"layers.hidden.l2": 9.0}, SEEDS, None, 0.95),
    "two_digits": ("two_digits", [], {}, (3,), {0: 2, 1: 3}, 0.6),
}
BASELINES = ["logistic_regression", "floor"]
# Top-level runs of the case in the order of params.yaml, and their children.
TOP_NAMES = ["case table", *VARIANTS, *(f"baseline: {name}" for name in BASELINES)]
TOP_RUNS = sorted(TOP_NAMES)
N_CHILDREN = sum(len(seeds) for _, _, _, seeds, _, _ in VARIANTS.values())
N_RUNS = len(TOP_RUNS) + N_CHILDREN


def raw_digits(n: int) -> np.ndarray:
    """Return made-up digits, uint8 [n, 28, 28]."""
    return np.random.default_rng(7).integers(0, 256, (n, 28, 28)).astype(np.uint8)


def network(settings: Mapping[str, Any]) -> Network:
    """Return `NETWORK` with other settings by their paths, such as ``layers.hidden.l2``."""
    tree: dict[str, Any] = deepcopy(NETWORK)
    for path, value in settings.items():
        *parents, last = path.split(".")
        node = tree
        for key in parents:
            node = node[key]
        node[last] = value
    return Network.model_validate(tree)


def weights(network: Network, features: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    arrays, inputs = {}, features
    for layer in network.dense:
        arrays[f"{layer['name']}.kernel"] = random.normal(size=(inputs, layer["units"])).astype(network.dtype)
        arrays[f"{layer['name']}.bias"] = random.normal(size=(layer["units"],)).astype(network.dtype)
        inputs = layer["units"]
    return arrays


def outputs(arrays: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return the outputs, before an activation, of a network with one hidden layer of ReLU, without Keras."""
    hidden = np.maximum(x @ arrays["hidden.kernel"] + arrays["hidden.bias"], 0)
    found: np.ndarray = hidden @ arrays["output.kernel"] + arrays["output.bias"]
    return found


def answers(network: Network, arrays: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return the classes that a network with one hidden layer of ReLU answers, computed without Keras."""
    scale = network.inputs.scale if isinstance(network.inputs, Rescale) else 1.0
    return np.asarray(np.argmax(outputs(arrays, scale * x), axis=1), np.uint8)


def write_project(case: str = CASE, data: dict[str, Any] = DATA) -> None:
    """Write the runs and the results of one case to the current folder."""
    random = np.random.default_rng(1)
    images = {split: raw_digits(size) for split, size in SIZES.items()}
    recipe = data["recipe"]
    x = {
        split: exercise_rows(array, data["side"]) if recipe == "exercise4" else array.reshape(len(array), -1)
        for split, array in images.items()
    }
    y = {split: (np.arange(size) % 10).astype(np.uint8) for split, size in SIZES.items()}
    facts = prepared.digits(data.get("side", 28), "columns" if recipe == "exercise4" else "rows", "0123456789")
    prepared.write(files.prepared_path(case), Prepared(x, y, facts))
    files.write_archive(files.RAW_MNIST, {"x_test": images["test"]})
    sha256 = files.sha256(files.prepared_path(case))

    def train(folder: str, seed: int, resolved: Network, subset: dict[int, int] | None, score: float) -> None:
        diverged = folder == "diverging"
        splits = ["train"] if subset else list(SIZES)
        history = random.uniform(0.1, 0.9, (EPOCHS, 4))
        history[-1, 0] = np.inf if diverged else history[-1, 0]
        arrays = weights(resolved, x["train"].shape[1], random)
        scores = {split: score + random.uniform(-0.02, 0.02) for split in splits}
        rows = {split: x[split][: sum(subset.values())] if subset else x[split] for split in splits}
        run = Run(
            seed=seed,
            history=history,
            scores=scores,
            measures={split: {"accuracy": each, "balanced_accuracy": each} for split, each in scores.items()},
            losses={split: np.nan if diverged else random.uniform() for split in splits},
            predicted={split: answers(resolved, arrays, rows[split]) for split in splits},
            confidence=None if subset else np.full(SIZES["test"], 0.5, np.float32),
            weights=arrays,
            steps=30,
        )
        described: dict[str, Any] = {"key": "", "network": resolved.brief(), "subset": None, "fixes": []}
        runs.write(files.run_path(case, folder, seed), run, described | {"data_sha256": sha256})

    def posted(resolved: Network) -> dict[str, Any]:
        return resolved.model_dump(mode="json", exclude={"keras"})

    fixes: dict[str, dict[str, Any]] = {"adam": ADAM, "small_batches": BATCH}
    points = {"as_posted": [], "p-adam": ["adam"], "p-batches": ["small_batches"], "fixed": [*fixes]}
    planned: dict[str, Any] = {
        "name": case,
        "title": "Why does it not learn?",
        "source": "https://example.org/1",
        "task": "multiclass",
        "judged_by": "test",
        "keras": ("3",),
        "seeds": SEEDS,
        "as_posted": posted(network({})),
        "fixes": [
            {"name": name, "why": f"because of {name}", "changed": posted(network(value))}
            for name, value in fixes.items()
        ],
        "variants": [],
        "points": [{"fixes": names, "keras": "3", "folder": folder} for folder, names in points.items()],
        "baselines": BASELINES,
        "published": [
            {
                "claim": claim,
                "value": value,
                "tolerance": 0.1,
                "source": "post",
                "of": "fixed",
                "figure": "test_accuracy",
            }
            for claim, value in (("90%", 0.9), ("10%", 0.1))
        ],
    }
    for name, (folder, names, settings, seeds, subset, score) in VARIANTS.items():
        changed = {key: value for fix in names for key, value in fixes[fix].items()} | settings
        variant = {"name": name, "label": name, "folder": folder, "fixes": names, "set": settings, "seeds": seeds}
        chosen = {"first_of_each_class": subset} if subset else None
        planned["variants"].append(variant | {"network": network(changed).model_dump(mode="json"), "subset": chosen})
        for seed in seeds:
            train(folder, seed, network(changed), subset, score)
    for folder, score in (("p-adam", 0.5), ("p-batches", 0.3)):
        for seed in SEEDS:
            train(folder, seed, network({}), None, score)
    predicted = {f"predicted_{split}": labels for split, labels in y.items()}
    for name, score in zip(BASELINES, (0.7, 0.1), strict=True):
        measures = {split: {"accuracy": score, "balanced_accuracy": score} for split in SIZES}
        fitted = {"n_iter": 9, "scores": dict.fromkeys(SIZES, score), "losses": dict.fromkeys(SIZES, 0.4)}
        path = files.BASELINES / case / f"{name}.npz"
        files.write_archive(path, {"result.json": fitted | {"measures": measures}, **predicted})
    models = [{"model": "LogisticRegression", "inputs": "raw", "C": 1.0, "max_iter": 9}, {"model": "Floor"}]
    settings = {"baselines": dict(zip(BASELINES, models, strict=True))}
    files.write_json(files.config_path(case, "baselines"), settings)
    files.write_json(files.config_path(case, "data"), {"task": "multiclass", "data": data})
    files.write_json(
        files.config_path(case, "case"), PlannedCase.model_validate(planned).model_dump(mode="json", by_alias=True)
    )
    files.write_json(files.CASES, {"cases": [case]})
    lines = [f'{{"case": "{case}", "folder": "fixed", "seed": {seed}, "seconds": 1.5}}\n' for seed in SEEDS]
    Path("runs.log").write_text("".join(lines) + '{"case": "di', encoding="utf-8")
    evaluate.main(case)


def edit_result(change: Any, case: str = CASE) -> None:
    """Apply `change` to the result of `case`, as another evaluation would."""
    path = files.result_path(case)
    content = files.read_json(path)
    change(content)
    files.write_json(path, content)


def environment(**variables: str) -> dict[str, str]:
    """Return an environment in which `python -m stages` is the code of this repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_"))}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept | {"PYTHONPATH": path} | variables
