"""Small networks, synthetic data and a small project, for tests that train."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from stages import plan
from stages.base import files
from stages.config.data import Subset
from stages.config.network import Network
from stages.config.planned import Configuration
from stages.data import prepared, scoring
from stages.data.prepared import Facts, Order, Prepared
from stages.training.runs import Run


def layers(units: int = 7, outputs: int = 10, output: str = "softmax", **both: Any) -> dict[str, Any]:
    """Return the layers of a network with one hidden layer; `both` are settings of the two."""
    return {
        "hidden": {"units": units, "activation": "relu", **both},
        "output": {"units": outputs, "activation": output, **both},
    }


SETTINGS: dict[str, Any] = {
    "layers": layers(),
    "loss": "sparse_categorical_crossentropy",
    "keras": "2.2",
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "batch_size": 16,
    "epochs": 1,
}
ONE_SIGMOID: dict[str, Any] = {"layers": layers(outputs=1, output="sigmoid"), "loss": "binary_crossentropy"}
UNIFORM = {"name": "random_uniform", "minval": -0.12, "maxval": 0.12}
TNC: dict[str, Any] = {
    "targets": "one_hot",
    "layers": layers(output="sigmoid", l2=0.001, kernel_initializer=UNIFORM, bias_initializer=UNIFORM),
    "loss": "summed_binary_crossentropy",
    "optimizer": {"name": "tnc", "max_function_calls": 8},
    "batch_size": None,
    "epochs": None,
}


def network(**settings: Any) -> Network:
    """Return a network with one small hidden layer, trained for one epoch, with these other `settings`."""
    return Network.model_validate(SETTINGS | settings)


def digits(side: int | None = None, order: Order = "rows") -> Facts:
    """Return the facts of ten classes, of pictures if `side` is given."""
    facts = prepared.digits(side or 1, order, "0123456789")
    return facts if side else facts.model_copy(update={"image": None})


def configuration(folder: str = "as_posted", **settings: Any) -> Configuration:
    """Return a configuration without fixes, with `subset` and `seeds` of `settings`, and `network` of the rest."""
    subset, seeds = settings.pop("subset", None), settings.pop("seeds", (0,))
    fixes = settings.pop("fixes", ())
    return Configuration(
        folder=folder,
        fixes=fixes,
        network=network(**settings),
        subset=Subset(first_of_each_class=subset) if subset else None,
        seeds=seeds,
    )


def dataset(n_train: int = 70, n_features: int = 12, *, validation: bool = True, side: int | None = None) -> Prepared:
    """Return noisy examples around one center per class, float32 in 0 to 1.

    70 examples end with a short batch of 16. Two splits have one length, because each length is compiled for.
    """
    random = np.random.default_rng(1)
    centers = random.uniform(0, 1, (10, n_features))
    x, y = {}, {}
    for split, n in {"train": n_train, "validation": 30, "test": 30}.items():
        if split == "validation" and not validation:
            continue
        y[split] = np.concatenate([np.arange(10), random.integers(0, 10, n - 10)]).astype(np.uint8)
        noisy = centers[y[split]] + random.normal(0, 0.2, (n, n_features))
        x[split] = np.clip(noisy, 0, 1).astype(np.float32)
    return Prepared(x, y, digits(side), "0" * 64)


def as_bytes(data: Prepared) -> Prepared:
    """Return `data` with its examples as uint8, 0 to 255."""
    x = {split: np.rint(255 * values).astype(np.uint8) for split, values in data.x.items()}
    return replace(data, x=x)


def bits(run: Run) -> list[Any]:
    """Return everything that a run computed, for comparison to the last bit."""
    arrays = [run.history, *run.weights.values(), *run.predicted.values()]
    confidence = run.confidence.tobytes() if run.confidence is not None else None
    own = [run.seed, run.losses, run.scores, run.symptoms, run.keras_accuracy]
    return [*own, confidence, [array.tobytes() for array in arrays]]


def params_content() -> dict[str, Any]:
    """Return the content of a small params.yaml with one case, ``small``: two fixes, four named variants."""
    return {
        "seeds": [0, 3],
        "execution": {"backend": "threading", "workers": 1},
        "cases": {
            "small": {
                "title": "A small network",
                "source": "https://example.org/question",
                "task": "multiclass",
                "data": {"file": "data/raw/mnist.npz", "recipe": "mnist", "validation_split": 0.3},
                "judged_by": "test",
                "as_posted": {key: value for key, value in SETTINGS.items() if key != "keras"}
                | {"optimizer": {"name": "sgd", "learning_rate": 0.001}, "layers": layers(output="sigmoid")}
                | {"epochs": 2},
                "fixes": {
                    "softmax": {"why": "One class is right.", "set": {"layers.output.activation": "softmax"}},
                    "adam": {"why": "It is faster.", "set": {"optimizer": {"name": "adam", "learning_rate": 0.03}}},
                },
                "variants": {
                    "fixed": {"fixes": ["softmax", "adam"]},
                    "longer": {"fixes": ["adam"], "set": {"epochs": 4}, "seeds": [3]},
                    "wild": {"set": {"optimizer": {"name": "sgd", "learning_rate": 1e30}}},
                    "few": {"data": {"first_of_each_class": {0: 2, 1: 3}}},
                },
                "baselines": {"logistic": {"model": "LogisticRegression", "inputs": "raw", "C": 1.0, "max_iter": 100}},
                "published": [
                    {"claim": "10%", "value": 0.1, "tolerance": 0.05, "source": "the post", "of": "as_posted"}
                    | {"figure": "train_accuracy"},
                    {"claim": "loss 5", "value": 5.0, "tolerance": 0.5, "source": "the post", "of": "wild"}
                    | {"figure": "loss", "from_epoch": 2},
                    {"claim": "90%", "value": 0.9, "tolerance": 0.2, "source": "a comment", "of": "logistic"}
                    | {"figure": "test_accuracy"},
                ],
            }
        },
    }


def as_yaml(content: dict[str, Any]) -> str:
    """Return `content` as the text of params.yaml."""
    yaml, text = YAML(typ="safe"), io.StringIO()
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # cases must be the last key
    yaml.dump(content, text)
    return text.getvalue()


def write_params(content: dict[str, Any]) -> None:
    """Write params.yaml into the current folder, and what `plan` makes of it."""
    files.write_bytes(Path("params.yaml"), as_yaml(content).encode())
    plan.main()


def write_data(data: Prepared) -> None:
    """Write `data` as the prepared data of the case ``small``."""
    prepared.write(files.prepared_path("small"), data)


def symptoms_at(seed: int, **changes: Any) -> dict[str, Any]:
    """Return made-up symptoms of `layers` at a moment, different for each seed."""
    hidden = {"name": "hidden", "dead": 0.1 * seed, "saturated": None, "gradient": 1.0 + seed, "update": 0.01}
    output = {"name": "output", "dead": None, "saturated": 0.5, "gradient": 2.0, "update": None}
    outputs = {"saturated": 0.25, "spread": 0.2 + seed, "target_spread": 0.3, "most_frequent": 0.5}
    return {"layers": [hidden, output], **outputs, **changes}


def untrained_run(trained: Configuration, seed: int, data: Prepared) -> Run:
    """Return a run with random numbers instead of training; with a learning rate of 1e30 it diverges.

    It predicts more classes right if `trained` has more fixes.
    """
    part = data.first_of_each_class(trained.subset.first_of_each_class) if trained.subset else data
    random = np.random.default_rng([seed, len(trained.folder), len(trained.fixes)])
    wild = trained.network.optimizer.get("learning_rate") == 1e30
    chance = 0.1 + 0.4 * len(trained.fixes)
    predicted = {
        split: np.where(random.random(len(y)) < chance, y, random.integers(0, 10, len(y))).astype(np.uint8)
        for split, y in part.y.items()
    }
    history = random.random((trained.network.epochs or 1, 4))
    if wild:
        history[-1, 0] = np.nan
    if "validation" not in part.y:
        history[:, 2:] = np.nan
    features, output = data.x["train"].shape[1], trained.network.output_units
    measures = {split: scoring.measures("multiclass", y, predicted[split], None) for split, y in part.y.items()}
    return Run(
        seed=seed,
        history=history,
        scores={split: named["accuracy"] for split, named in measures.items()},
        measures=measures,
        losses={split: np.inf if wild else float(random.random()) for split in part.y},
        predicted=predicted,
        confidence=random.random(len(part.y["test"])).astype(np.float32) if "test" in part.y and data.side else None,
        weights={
            "hidden.kernel": random.normal(size=(features, 7)).astype(np.float32),
            "hidden.bias": np.zeros(7, np.float32),
            "output.kernel": random.normal(size=(7, output)).astype(np.float32),
            "output.bias": np.full(output, np.inf if wild else 0, np.float32),
        },
        steps=5 * len(history),
        symptoms={"start": symptoms_at(seed), "first_epoch": symptoms_at(seed, spread=None), "end": symptoms_at(seed)}
        | {"first_not_finite": 9 - seed if wild else None},
        keras_accuracy={split: 0.5 * named["accuracy"] for split, named in measures.items()},
    )
