"""Only the matrix products of the training, compiled as our loop is compiled."""

from typing import Any

from benchmarks.rows import protocol
from stages.training.keras import compiled, tf


def products(inputs: tf.Tensor, kernel: tf.Tensor, output_kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the last two of the five products of a step, which need the other three."""
    hidden = inputs @ kernel
    outputs = hidden @ output_kernel
    hidden_gradient = tf.matmul(outputs, output_kernel, transpose_b=True)
    return tf.matmul(inputs, hidden_gradient, transpose_a=True), tf.matmul(hidden, outputs, transpose_a=True)


def train(problem: protocol.Problem) -> protocol.Arrays:
    """Take all turns of `problem`; return no weights, because nothing is learned."""
    n_examples = len(problem.labels)
    size = min(problem.batch_size, n_examples)
    rest = n_examples % size

    def epoch(inputs: tf.Tensor, kernel: tf.Tensor, output_kernel: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        # Each step overwrites the result of the step before, so that the compiler cannot leave a step out.
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
