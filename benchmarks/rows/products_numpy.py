"""Only the matrix products of the training, by NumPy's BLAS with every instruction set of the processor."""

import numpy as np

from benchmarks.rows import protocol


def train(problem: protocol.Problem) -> protocol.Arrays:
    """Take all turns of `problem`; return no weights, because nothing is learned."""
    inputs, kernels = problem.inputs, problem.kernels
    size = min(problem.batch_size, len(inputs))
    values, gradients = ([np.empty((size, units), np.float32) for units in problem.units] for _ in range(2))
    of_kernels = [np.empty_like(kernel) for kernel in kernels]
    for orders in problem.turns():
        for _ in orders:
            for start in range(0, len(inputs), size):
                batch = inputs[start : start + size]
                n = len(batch)
                below = [batch, *(value[:n] for value in values)]
                for place, kernel in enumerate(kernels):
                    np.dot(below[place], kernel, below[place + 1])
                gradient = below[-1]
                for place in reversed(range(len(kernels))):
                    np.dot(below[place].T, gradient, of_kernels[place])
                    if place:
                        gradient = np.dot(gradient, kernels[place].T, gradients[place - 1][:n])
    return []


if __name__ == "__main__":
    protocol.main(train)
