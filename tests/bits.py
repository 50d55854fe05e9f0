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

import numpy as np  # noqa: E402

from stages import baseline  # noqa: E402
from stages.config import load, resolve  # noqa: E402
from stages.config.network import Network, Tnc  # noqa: E402
from stages.config.schema import Data, MnistData  # noqa: E402
from stages.data import mnist  # noqa: E402
from stages.data.exercise4 import exercise4  # noqa: E402
from stages.data.prepared import Prepared  # noqa: E402
from stages.training import trainer  # noqa: E402
from stages.training.keras import keras  # noqa: E402

FEW = 647  # 20 batches of 32 and a short one
# Further hidden units, each trained on few examples.
WIDER = {"mnist as_posted@2.2": 512, "ex4 as_posted@2.2": 256, "ex4 assignment@2.2": 512}


def digest(*arrays: np.ndarray) -> str:
    """Return the SHA-256 digest of the bytes of `arrays`."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def shortened(network: Network) -> Network:
    """Return `network` with just enough steps to spread a difference over all weights."""
    if isinstance(network.optimizer, Tnc):
        return network.model_copy(update={"optimizer": Tnc(name="tnc", max_function_calls=5)})
    return network.model_copy(update={"epochs": 2})


def prepare(raw: dict[str, np.ndarray], data: Data) -> Prepared:
    if isinstance(data, MnistData):
        return Prepared(*mnist.split(raw, data.validation_split), 10, 28, "rows", "")
    return Prepared(*exercise4(raw, data.examples_per_class, data.side), 10, data.side, "columns", "")


def few(data: Prepared, longest: int) -> Prepared:
    """Return a few examples from all over each split that is longer than `longest`."""
    arrays = [
        {split: array[:: len(array) // FEW][:FEW] if len(array) > longest else array for split, array in part.items()}
        for part in (data.x, data.y)
    ]
    return dataclasses.replace(data, x=arrays[0], y=arrays[1])


def trained(network: Network, data: Prepared) -> str:
    """Return the digest of what training gives."""
    run = trainer.Trainer(network, data).run(0)
    assert run.confidence is not None
    return digest(run.history[:, :2], *run.weights.values(), run.confidence)


def main() -> None:
    """Compute and print."""
    if "--plain" in sys.argv:
        trainer.Dense = keras.layers.Dense  # type: ignore[attr-defined]
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
            kind: set[str] = {network.optimizer.name}
            if "--fewer" not in sys.argv:
                kind.add(f"{network.loss} {network.keras}")
            if configuration.subset or kind <= kinds:
                continue
            kinds |= kind
            title = f"{name} {configuration.folder}"
            hashes[f"train {title}"] = trained(network, examples)
            if title in WIDER:
                wider = network.model_copy(update={"hidden_units": (WIDER[title],)})
                hashes[f"train {title}, wider"] = trained(wider, few(data, 0))
        for kind_of_model, settings in case.baselines.items():
            fitted = baseline.fit(settings.model_copy(update={"max_iter": 30}), few(data, 0))
            losses = np.array(list(fitted.losses.values()))
            hashes[f"baseline {name} {kind_of_model}"] = digest(losses, *fitted.predicted.values())
    print(json.dumps(hashes, indent=2))


if __name__ == "__main__":
    main()
