"""Print hashes of what this processor computes, as JSON: `python -m tests.bits mnist.npz`, from the repository's root.

It computes short forms of everything that the pipeline computes: the data of both cases, a training with every
optimizer and loss that a case uses and with wider hidden layers, and the baselines. With `--plain` it trains with the
layers of Keras as they are, whose bits depend on the caches of the processor. With `--fewer` it trains one loss per
optimizer, because an emulated processor is more than ten times as slow.
"""

from stages.base import processor

processor.apply()  # before anything imports NumPy, which reads its settings then

import dataclasses  # noqa: E402
import hashlib  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

from stages import baseline  # noqa: E402
from stages.config import load, resolve  # noqa: E402
from stages.config.data import Data, Exercise4Data, MnistData  # noqa: E402
from stages.config.network import Network  # noqa: E402
from stages.data import mnist  # noqa: E402
from stages.data.exercise4 import exercise4  # noqa: E402
from stages.data.prepared import Facts, Prepared, digits  # noqa: E402
from stages.training import trainer  # noqa: E402

FEW = 647  # 20 batches of 32 and a short one
# Further hidden units, each trained on few examples.
WIDER = {"mnist as_posted@2.2": 512, "ex4 as_posted@2.2": 256, "ex4 assignment@2.2": 512}


def digest(*arrays: np.ndarray) -> str:
    """Return the SHA-256 digest of the bytes of `arrays`."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def shortened(network: Network) -> Network:
    """Return `network` with just enough steps to spread a difference over all weights."""
    changes = {"optimizer": {"name": "tnc", "max_function_calls": 5}} if network.by_tnc else {"epochs": 2}
    return Network.model_validate({**network.model_dump(), **changes})


def widened(network: Network, units: int) -> Network:
    """Return `network` with so many hidden units."""
    first, *rest = network.model_dump()["layers"]
    return Network.model_validate({**network.model_dump(), "layers": [{**first, "units": units}, *rest]})


def prepare(raw: dict[str, np.ndarray], data: Data) -> Prepared:
    if isinstance(data, MnistData):
        return Prepared(*mnist.split(raw, data.validation_split), digits(28, "rows", mnist.CLASSES))
    assert isinstance(data, Exercise4Data)
    return Prepared(*exercise4(raw, data.examples_per_class, data.side), digits(data.side, "columns", mnist.CLASSES))


def own() -> dict[str, tuple[Network, Prepared]]:
    """Return networks of a person's own on made up data. Together they have most kinds of settings."""
    random = np.random.default_rng(3)
    x = {split: random.integers(0, 1000, (n, 9)).astype(np.float32) for split, n in (("train", 333), ("test", 50))}
    y = {split: (examples[:, :2] - examples[:, 2:4]).astype(np.float64) for split, examples in x.items()}
    values = Prepared(x, y, Facts(task="regression", classes=["a", "b"]))
    classes = dataclasses.replace(
        values,
        y={split: np.argmax(examples[:, :3], axis=1).astype(np.uint8) for split, examples in x.items()},
        facts=Facts(task="multiclass", classes=["a", "b", "c"], values=[0.0, 1.0, 2.0]),
    )

    def network(layers: dict[str, Any], **settings: Any) -> Network:
        common = {"inputs": "standardized", "keras": "3", "epochs": 3}
        return Network.model_validate({**common, "layers": layers, **settings})

    normalized = network(
        {
            "hidden": {"units": 40, "kernel_initializer": "he_normal", "activity_l2": 0.001},
            "norm": {"layer": "BatchNormalization"},
            "act": {"layer": "PReLU"},
            "drop": {"layer": "Dropout", "rate": 0.3},
            "output": {"units": 2},
        },
        targets="standardized",
        loss="huber",
        optimizer="nadam",
    )
    activated = network(
        {
            "first": {"units": 7, "activation": "gelu", "kernel_initializer": "orthogonal", "l1": 0.001},
            "second": {"units": 6, "activation": "mish", "kernel_initializer": "random_normal", "l2": 0.01},
            "norm": {"layer": "BatchNormalization", "scale": False, "beta_l2": 0.1},
            "elu": {"layer": "ELU"},
            "output": {"units": 3},
        },
        targets="one_hot",
        loss={"name": "categorical_crossentropy", "from_logits": True},
        class_weight={0: 2.0},
        # Without a short batch, there is less to compile.
        batch_size=111,
        optimizer={"name": "rmsprop", "centered": True, "momentum": 0.5, "clipnorm": 0.5}
        | {"learning_rate": {"name": "CosineDecay", "initial_learning_rate": 0.01, "decay_steps": 40}},
    )
    adadelta, adagrad = (
        network(
            {"hidden": {"units": 5, "activation": activation}, "output": {"units": 2}},
            targets="standardized",
            loss=loss,
            optimizer={"name": optimizer, "learning_rate": 0.1},
            batch_size=333,
        )
        for optimizer, activation, loss in (
            ("adadelta", "squareplus", "cosine_similarity"),
            ("adagrad", "selu", "log_cosh"),
        )
    )
    return {
        "own normalized": (normalized, values),
        "own activated": (activated, classes),
        "own adadelta": (adadelta, values),
        "own adagrad": (adagrad, values),
    }


def few(data: Prepared, longest: int) -> Prepared:
    """Return a few examples from all over each split that is longer than `longest`."""
    arrays = [
        {split: array[:: len(array) // FEW][:FEW] if len(array) > longest else array for split, array in part.items()}
        for part in (data.x, data.y)
    ]
    return dataclasses.replace(data, x=arrays[0], y=arrays[1])


def trained(network: Network, data: Prepared, *, probed: bool = True) -> str:
    """Return the digest of what training gives, with the symptoms only if `probed`."""
    made = trainer.Trainer(network, data)
    if not probed:
        made.probe.measure = lambda *of: {}  # type: ignore[method-assign]
    run = made.run(0)
    symptoms = np.frombuffer(json.dumps([run.symptoms, run.keras_accuracy]).encode(), np.uint8)
    return digest(run.history[:, :2], *run.weights.values(), *run.predicted.values(), symptoms)


def main() -> None:
    """Compute and print."""
    if "--plain" in sys.argv:
        del trainer.LAYERS["Dense"], trainer.LAYERS["BatchNormalization"]
    params = load.read()
    raw = mnist.read(Path(sys.argv[1]))
    hashes: dict[str, str] = {}
    kinds: set[str] = set()
    for name, case in params.cases.items():
        data = prepare(raw, case.data)
        for split, x in data.x.items():
            hashes[f"prepare {name} {split}"] = digest(x, data.y[split])
        # The full batch of exercise 4 is a long sum, so its training split stays whole.
        examples = few(data, 5000)
        for configuration in resolve.plan_case(name, case, params.seeds).runs.runs:
            network = shortened(configuration.network)
            kind: set[str] = {network.optimizer["name"]}
            if "--fewer" not in sys.argv:
                kind.add(f"{network.loss['name']} {network.keras}")
            if configuration.subset or kind <= kinds:
                continue
            kinds |= kind
            title = f"{name} {configuration.folder}"
            hashes[f"train {title}"] = trained(network, examples)
            if title in WIDER:
                hashes[f"train {title}, wider"] = trained(widened(network, WIDER[title]), few(data, 0), probed=False)
        for kind_of_model, settings in (case.baselines or {}).items():
            fitted = baseline.fit(settings.model_copy(update={"max_iter": 30}), few(data, 0))
            losses = np.array(list(fitted.losses.values()))
            hashes[f"baseline {name} {kind_of_model}"] = digest(losses, *fitted.predicted.values())
    for name, (network, data) in own().items():
        hashes[f"train {name}"] = trained(network, data)
    print(json.dumps(hashes, indent=2))


if __name__ == "__main__":
    main()
