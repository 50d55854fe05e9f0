"""`model.fit` as people write it."""

from typing import Any

import keras
import numpy as np

from benchmarks.rows import protocol


def train(problem: protocol.Problem, **compilation: Any) -> protocol.Arrays:
    """Train for all turns of `problem`, with further arguments of `model.compile`; return the weights."""
    keras.utils.set_random_seed(0)
    *hidden, outputs = problem.units
    model = keras.Sequential(
        [
            keras.Input(problem.kernels[0].shape[:1]),
            *(keras.layers.Dense(units, activation="relu") for units in hidden),
            keras.layers.Dense(outputs, activation="softmax"),
        ]
    )
    model.set_weights(problem.weights)
    optimizer = keras.optimizers.Adam(problem.learning_rate)
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"], **compilation)
    inputs = problem.inputs
    # Keras shuffles the examples itself.
    for orders in problem.turns():
        model.fit(inputs, problem.labels, batch_size=problem.batch_size, epochs=len(orders), verbose=0)
    return [np.asarray(array) for array in model.get_weights()]


if __name__ == "__main__":
    protocol.main(train)
