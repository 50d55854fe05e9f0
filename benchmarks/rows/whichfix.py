"""Our compiled loop, as `stages.train` uses it, and the weights and orders that a run draws."""

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


def network_of(scale: float, hidden_units: int, batch_size: int, learning_rate: float, epochs: int) -> Network:
    """Return the network that every row trains, with the loss of today's Keras, which the other rows compute too."""
    return Network.model_validate(
        {
            "inputs": {"scale": scale},
            "layers": {
                "hidden": {"units": hidden_units, "activation": "relu"},
                "output": {"units": 10, "activation": "softmax"},
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
    hidden_units = problem.weights[0].shape[1]
    network = network_of(problem.scale, hidden_units, problem.batch_size, problem.learning_rate, n_turns * n_epochs)
    x, y = {"train": problem.examples}, {"train": problem.labels}
    facts = Facts(task="multiclass", classes=list("0123456789"), values=[float(digit) for digit in range(10)])
    # A call of the program trains the epochs of one turn.
    trainer_module.MOST_EPOCHS = n_epochs
    trainer = Trainer(network, Prepared(x, y, facts))
    turns = problem.turns()

    def on_epoch(number: int) -> None:
        if number % n_epochs == 0:
            next(turns, None)

    next(turns)
    run = trainer.run(SEED, on_epoch)
    return [run.weights[f"{layer}.{name}"] for layer in ("hidden", "output") for name in ("kernel", "bias")]


if __name__ == "__main__":
    protocol.main(train)
