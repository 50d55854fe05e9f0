"""Only the matrix products of the training, compiled as our loop is compiled."""

from collections.abc import Sequence
from typing import Any

from benchmarks.rows import protocol
from stages.training.keras import compiled, tf


def products(inputs: tf.Tensor, kernels: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return the gradients of the kernels, the last one first; they need all other products of a step."""
    values = [inputs]
    for kernel in kernels:
        values.append(values[-1] @ kernel)
    gradient, found = values.pop(), []
    for kernel in reversed(kernels):
        found.append(tf.matmul(values.pop(), gradient, transpose_a=True))
        if values:
            gradient = tf.matmul(gradient, kernel, transpose_b=True)
    return found


def train(problem: protocol.Problem) -> protocol.Arrays:
    """Take all turns of `problem`; return no weights, because nothing is learned."""
    n_examples = len(problem.labels)
    size = min(problem.batch_size, n_examples)
    rest = n_examples % size

    def epoch(inputs: tf.Tensor, *kernels: tf.Tensor) -> list[list[tf.Tensor]]:
        # Each step overwrites the result of the step before, so that the compiler cannot leave a step out.
        last = [tf.zeros_like(kernel) for kernel in reversed(kernels)]

        def turn(step: tf.Tensor, _: Any) -> tuple[tf.Tensor, Any]:
            batch = tf.slice(inputs, [step * size, 0], [size, kernels[0].shape[0]])
            return step + 1, products(batch, kernels)

        _, last = tf.while_loop(lambda step, _: step < n_examples // size, turn, (tf.constant(0), last))
        return [last, products(inputs[-rest:], kernels)] if rest else [last]

    program = compiled(epoch)
    kernels = [tf.constant(kernel) for kernel in problem.kernels]
    inputs = tf.constant(problem.inputs)
    for orders in problem.turns():
        for _ in orders:
            program(inputs, *kernels)
    return []


if __name__ == "__main__":
    protocol.main(train)
