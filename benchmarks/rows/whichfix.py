"""Our compiled loop, as `stages.train` uses it, and the weights and orders that a run draws."""

from collections.abc import Sequence
from itertools import islice

import numpy as np

from benchmarks.rows import protocol
from stages.config.network import Network
from stages.data.prepared import Facts, Prepared
from stages.training import model as models
from stages.training import orders
from stages.training import trainer as trainer_module
from stages.training.trainer import Trainer

SEED = 0


def network_of(scale: float, units: Sequence[int], batch_size: int, learning_rate: float, epochs: int) -> Network:
    """Return the network that every row trains, with the loss of today's Keras, which the other rows compute too."""
    return Network.model_validate(
        {
            "inputs": {"scale": scale},
            "layers": {
                f"layer_{place}": {"units": count, "activation": "relu" if place < len(units) else "softmax"}
                for place, count in enumerate(units, start=1)
            },
            "loss": "sparse_categorical_crossentropy",
            "keras": "3",
            "optimizer": {"name": "adam", "learning_rate": learning_rate},
            "batch_size": batch_size,
            "epochs": epochs,
        }
    )


def draws(network: Network, n_features: int, n_examples: int) -> tuple[protocol.Arrays, np.ndarray]:
    """Return the initial weights and the orders of all epochs, int32 [epochs, n_examples], of a run with `SEED`."""
    weights, order, _ = models.streams(SEED)
    model = models.build_model(network, (n_features,))
    models.initialize(model, network, weights, {})
    epochs = islice(orders.epochs(network, n_examples, order), network.epochs)
    return model.get_weights(), np.stack([epoch.rows for epoch in epochs])


def train(problem: protocol.Problem) -> protocol.Arrays:
    """Train for all turns of `problem`; return the weights."""
    n_turns, n_epochs, _ = problem.orders.shape
    network = network_of(problem.scale, problem.units, problem.batch_size, problem.learning_rate, n_turns * n_epochs)
    x, y = {"train": problem.examples}, {"train": problem.labels}
    classes = range(problem.units[-1])
    facts = Facts(task="multiclass", classes=list(map(str, classes)), values=list(map(float, classes)))
    # A call of the program trains the epochs of one turn.
    trainer_module.MOST_EPOCHS = n_epochs
    trainer = Trainer(network, Prepared(x, y, facts))
    turns = problem.turns()

    def on_epoch(number: int) -> None:
        if number % n_epochs == 0:
            next(turns, None)

    next(turns)
    run = trainer.run(SEED, on_epoch)
    return [run.weights[f"{layer['name']}.{name}"] for layer in network.layers for name in ("kernel", "bias")]


if __name__ == "__main__":
    protocol.main(train)
