"""The compiled loop of the pipeline, as `stages.train` uses it, and the problem as the pipeline draws it."""

import stages  # noqa: F401  # isort: skip  # before NumPy, which reads its settings when it is imported

from itertools import islice

import numpy as np

from benchmarks.rows import protocol
from stages.core import network
from stages.core.params import RunConfig
from stages.core.runs import Epoch
from stages.core.training import Trainer

SEED = 0


def config(scale: float, hidden_units: int, batch_size: int, learning_rate: float, epochs: int) -> RunConfig:
    """The configuration that every row trains; its loss is that of today's Keras, which the others compute too."""
    return RunConfig.model_validate(
        {
            "input_scale": scale,
            "hidden_units": [hidden_units],
            "hidden_activation": "relu",
            "output_units": 10,
            "output_activation": "softmax",
            "initializer": {"name": "glorot_uniform"},
            "loss": "sparse_categorical_crossentropy",
            "keras_semantics": "3",
            "optimizer": {"name": "adam", "learning_rate": learning_rate},
            "l2": 0.0,
            "batch_size": batch_size,
            "epochs": epochs,
        }
    )


def draws(settings: RunConfig, n_features: int, n_examples: int) -> tuple[protocol.Arrays, np.ndarray]:
    """The first weights and the orders of all epochs, int32 [epochs, n_examples], that a `Trainer` draws for `SEED`."""
    weights, order = network.streams(SEED)
    model = network.build_model(settings, n_features)
    network.initialize(model, settings, weights)
    orders = islice(network.epoch_orders(n_examples, order), settings.epochs)
    return model.get_weights(), np.stack(list(orders))


def train(problem: protocol.Problem) -> protocol.Arrays:
    """Train for all turns of `problem`; return the weights."""
    n_turns, n_epochs, _ = problem.orders.shape
    hidden_units = problem.weights[0].shape[1]
    settings = config(problem.scale, hidden_units, problem.batch_size, problem.learning_rate, n_turns * n_epochs)
    trainer = Trainer(settings, {"x_train": problem.examples, "y_train": problem.labels})
    turns = problem.turns()

    def on_epoch(number: int, epoch: Epoch) -> None:
        if number % n_epochs == 0:
            next(turns, None)

    next(turns)
    run = trainer.run(SEED, on_epoch)
    return [run.weights[f"{layer}.{name}"] for layer in ("hidden_0", "output") for name in ("kernel", "bias")]


if __name__ == "__main__":
    protocol.main(train)
