"""The matrix products of the training alone, compiled as the pipeline compiles."""

import stages  # noqa: F401  # isort: skip  # before NumPy, which reads its settings when it is imported

from typing import Any

from benchmarks.rows import protocol
from stages.core.backend import compiled, tf


def products(inputs: tf.Tensor, kernel: tf.Tensor, output_kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The five products of a step: two forward, three backward, what they hand on taken as it comes."""
    hidden = inputs @ kernel
    outputs = hidden @ output_kernel
    hidden_gradient = tf.matmul(outputs, output_kernel, transpose_b=True)
    return tf.matmul(inputs, hidden_gradient, transpose_a=True), tf.matmul(hidden, outputs, transpose_a=True)


def train(problem: protocol.Problem) -> protocol.Arrays:
    """Take all turns of `problem`; nothing is learned, so no weights are returned."""
    n_examples = len(problem.labels)
    size = min(problem.batch_size, n_examples)
    rest = n_examples % size

    def epoch(inputs: tf.Tensor, kernel: tf.Tensor, output_kernel: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        # What a step gives takes the place of what the step before gave, so that none can be left out.
        last = tf.zeros_like(kernel), tf.zeros_like(output_kernel)

        def turn(step: tf.Tensor, _: Any) -> tuple[tf.Tensor, Any]:
            batch = tf.slice(inputs, [step * size, 0], [size, kernel.shape[0]])
            return step + 1, products(batch, kernel, output_kernel)

        _, last = tf.while_loop(lambda step, _: step < n_examples // size, turn, (tf.constant(0), last))
        return [last, products(inputs[-rest:], kernel, output_kernel)] if rest else [last]

    program = compiled(epoch)
    kernel, _, output_kernel, _ = (tf.constant(array) for array in problem.weights)
    inputs = tf.constant(problem.inputs)
    for orders in problem.turns():
        for _ in orders:
            program(inputs, kernel, output_kernel)
    return []


if __name__ == "__main__":
    protocol.main(train)
