"""A small project with made-up runs, evaluated by the real `evaluate`: what `track` reads."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stages import evaluate
from stages.base import files
from stages.config.network import Network
from stages.config.planned import PlannedCase
from stages.data import prepared
from stages.data.exercise4 import exercise_rows
from stages.training import runs
from stages.training.runs import Run

ROOT = Path(__file__).parents[2]
CASE = "digits"
EPOCHS = 3
SIZES = {"train": 40, "validation": 20, "test": 30}
SEEDS = (0, 3)
DATA = {"file": "data/raw/mnist.npz", "recipe": "mnist", "validation_split": 0.33}
NETWORK: dict[str, Any] = {
    "input_scale": 0.00392156862745098,
    "hidden_units": [6],
    "hidden_activation": "relu",
    "output_units": 10,
    "output_activation": "softmax",
    "initializer": {"name": "glorot_uniform"},
    "loss": "categorical_crossentropy",
    "keras": "3",
    "optimizer": {"name": "sgd", "learning_rate": 0.01},
    "l2": 0.0,
    "batch_size": 32,
    "epochs": EPOCHS,
}
ADAM = {"optimizer": {"name": "adam", "learning_rate": 0.001}}
BATCH = {"batch_size": 16}
# Name -> folder, fixes, further settings, seeds, subset of the data, mean score.
VARIANTS: dict[str, tuple[str, list[str], dict[str, Any], tuple[int, ...], dict[int, int] | None, float]] = {
    "as_posted": ("as_posted", [], {}, SEEDS, None, 0.2),
    "fixed": ("fixed", ["adam", "small_batches"], {}, SEEDS, None, 0.9),
    "diverging": ("diverging", ["adam"], {"l2": 9.0}, SEEDS, None, 0.95),
    "two_digits": ("two_digits", [], {}, (3,), {0: 2, 1: 3}, 0.6),
}
# Top-level runs of the case, and their children.
TOP_RUNS = sorted([*VARIANTS, "logistic_regression", "fixes"])
N_CHILDREN = sum(len(seeds) for _, _, _, seeds, _, _ in VARIANTS.values())
N_RUNS = len(TOP_RUNS) + N_CHILDREN


def raw_digits(n: int) -> np.ndarray:
    """Return made-up digits, uint8 [n, 28, 28]."""
    return np.random.default_rng(7).integers(0, 256, (n, 28, 28)).astype(np.uint8)


def weights(network: Network, features: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    sizes = [features, *network.hidden_units, network.output_units]
    names = [*(f"hidden_{index}" for index in range(len(network.hidden_units))), "output"]
    arrays = {}
    for name, inputs, outputs in zip(names, sizes, sizes[1:], strict=False):
        arrays[f"{name}.kernel"] = random.normal(size=(inputs, outputs)).astype(network.dtype)
        arrays[f"{name}.bias"] = random.normal(size=outputs).astype(network.dtype)
    return arrays


def answers(network: Network, arrays: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return what a network with one hidden layer of ReLU answers, computed without Keras."""
    hidden = np.maximum(network.input_scale * x @ arrays["hidden_0.kernel"] + arrays["hidden_0.bias"], 0)
    outputs = hidden @ arrays["output.kernel"] + arrays["output.bias"]
    labels: np.ndarray = outputs.argmax(axis=1).astype(np.uint8)
    return labels


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
    side = data.get("side", 28)
    prepared.write(files.prepared_path(case), x, y, 10, side, "columns" if recipe == "exercise4" else "rows")
    files.write_archive(files.RAW_MNIST, {"x_test": images["test"]})
    sha256 = files.sha256(files.prepared_path(case))

    def network(settings: Mapping[str, Any]) -> dict[str, Any]:
        return NETWORK | dict(settings)

    def train(folder: str, seed: int, resolved: Network, subset: dict[int, int] | None, score: float) -> None:
        diverged = folder == "diverging"
        splits = ["train"] if subset else list(SIZES)
        history = random.uniform(0.1, 0.9, (EPOCHS, 4))
        history[-1, 0] = np.inf if diverged else history[-1, 0]
        arrays = weights(resolved, x["train"].shape[1], random)
        rows = {split: x[split][: sum(subset.values())] if subset else x[split] for split in splits}
        run = Run(
            seed=seed,
            history=history,
            scores={split: score + random.uniform(-0.02, 0.02) for split in splits},
            losses={split: np.nan if diverged else random.uniform() for split in splits},
            predicted={split: answers(resolved, arrays, rows[split]) for split in splits},
            confidence=None if subset else np.full(SIZES["test"], 0.5, np.float32),
            weights=arrays,
            steps=30,
        )
        facts: dict[str, Any] = {"key": "", "network": resolved.model_dump(mode="json"), "subset": None, "fixes": []}
        runs.write(files.run_path(case, folder, seed), run, facts | {"data_sha256": sha256})

    fixes: dict[str, dict[str, Any]] = {"adam": ADAM, "small_batches": BATCH}
    points = {"as_posted": [], "p-adam": ["adam"], "p-batches": ["small_batches"], "fixed": [*fixes]}
    planned: dict[str, Any] = {
        "name": case,
        "title": "Why does it not learn?",
        "source": "https://example.org/1",
        "judged_by": "test",
        "keras": ("3",),
        "seeds": SEEDS,
        "as_posted": {key: value for key, value in NETWORK.items() if key != "keras"},
        "fixes": [{"name": name, "why": f"because of {name}", "set": value} for name, value in fixes.items()],
        "variants": [],
        "points": [{"fixes": names, "keras": "3", "folder": folder} for folder, names in points.items()],
        "baselines": ["logistic_regression"],
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
        planned["variants"].append(variant | {"network": network(changed), "subset": chosen})
        for seed in seeds:
            train(folder, seed, Network.model_validate(network(changed)), subset, score)
    for folder, score in (("p-adam", 0.5), ("p-batches", 0.3)):
        for seed in SEEDS:
            train(folder, seed, Network.model_validate(network({})), None, score)
    baseline = {"n_iter": 9, "scores": dict.fromkeys(SIZES, 0.7), "losses": dict.fromkeys(SIZES, 0.4)}
    predicted = {f"predicted_{split}": labels for split, labels in y.items()}
    files.write_archive(files.BASELINES / case / "logistic_regression.npz", {"result.json": baseline, **predicted})
    settings = {"input_scale": 1.0, "C": 1.0, "max_iter": 9, "one_vs_all": False}
    files.write_json(files.config_path(case, "baselines"), {"baselines": {"logistic_regression": settings}})
    files.write_json(files.config_path(case, "data"), data)
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
