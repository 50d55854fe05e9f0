"""JAX on the CPU: one compiled program for the epochs of a turn with a donated state, and Adam written by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.rows import protocol

DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-7


def loss(weights: Any, inputs: Any, labels: Any) -> Any:
    """Return the mean cross-entropy of a batch."""
    *hidden, kernel, bias = weights
    for below, offset in zip(hidden[::2], hidden[1::2], strict=True):
        inputs = jax.nn.relu(inputs @ below + offset)
    logits = inputs @ kernel + bias
    of_labels = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - of_labels)


def train(problem: protocol.Problem) -> protocol.Arrays:
    """Train for all turns of `problem`; return the weights."""
    whole, size = len(problem.labels) // problem.batch_size, problem.batch_size

    def step(state: Any, batch: Any) -> Any:
        weights, means, squares, number = state
        # Convert here, because gathering bytes is faster than gathering floats.
        inputs = batch[0].astype(jnp.float32) * problem.scale
        value, gradients = jax.value_and_grad(loss)(weights, inputs, batch[1])
        number += 1
        rate = problem.learning_rate * jnp.sqrt(1 - SQUARE_DECAY**number) / (1 - DECAY**number)
        means = [m + (1 - DECAY) * (g - m) for m, g in zip(means, gradients, strict=True)]
        squares = [s + (1 - SQUARE_DECAY) * (g * g - s) for s, g in zip(squares, gradients, strict=True)]
        updates = [rate * m / (jnp.sqrt(s) + EPSILON) for m, s in zip(means, squares, strict=True)]
        weights = [w - update for w, update in zip(weights, updates, strict=True)]
        return (weights, means, squares, number), value

    def epoch(state: Any, examples: Any, labels: Any, order: Any) -> Any:
        gathered = (examples, labels) if problem.full_batch else (examples[order], labels[order])
        batches = tuple(array[: whole * size].reshape(whole, size, *array.shape[1:]) for array in gathered)
        state, losses = jax.lax.scan(step, state, batches)
        if len(order) % size:
            state, _ = step(state, tuple(array[whole * size :] for array in gathered))
        return state, losses

    def turn(state: Any, examples: Any, labels: Any, orders: Any) -> Any:
        return jax.lax.scan(lambda state, order: epoch(state, examples, labels, order), state, orders)

    compiled = jax.jit(turn, donate_argnums=0)
    weights, means, squares = ([jnp.array(factor * array) for array in problem.weights] for factor in (1, 0, 0))
    state = (weights, means, squares, jnp.float32(0))
    examples, labels = jnp.array(problem.examples), jnp.array(problem.labels, jnp.int32)
    for orders in problem.turns():
        state, _ = compiled(state, examples, labels, orders)
        jax.block_until_ready(state)
    return [np.asarray(array) for array in state[0]]


if __name__ == "__main__":
    protocol.main(train)
