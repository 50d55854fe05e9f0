"""scikit-learn's `MLPClassifier`, with one call of `partial_fit` per epoch."""

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.rows import protocol


def train(problem: protocol.Problem) -> protocol.Arrays:
    """Train for all turns of `problem`; return the weights."""
    inputs, labels = problem.inputs, problem.labels
    model = MLPClassifier(
        hidden_layer_sizes=problem.units[:-1],
        alpha=0,
        batch_size=problem.batch_size,
        learning_rate_init=problem.learning_rate,
        epsilon=1e-7,
        # Its own shuffle gathers batch by batch, which takes longer.
        shuffle=False,
        random_state=0,
    )
    # It creates its weights in the first step. Replace them, and drop the optimizer to start anew.
    model.partial_fit(inputs[: problem.batch_size], labels[: problem.batch_size], classes=np.arange(problem.units[-1]))
    del model._optimizer
    trained = [array for layer in zip(model.coefs_, model.intercepts_, strict=True) for array in layer]
    for array, start in zip(trained, problem.weights, strict=True):
        array[...] = start
    for orders in problem.turns():
        for order in orders:
            if problem.full_batch:
                model.partial_fit(inputs, labels)
            else:
                model.partial_fit(inputs[order], labels[order])
    return trained


if __name__ == "__main__":
    protocol.main(train)
