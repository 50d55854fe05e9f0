"""PyTorch on the CPU: a plain loop with fused Adam. The examples are gathered once per epoch."""

import torch
from torch.nn.functional import cross_entropy

from benchmarks.rows import protocol


def train(problem: protocol.Problem) -> protocol.Arrays:
    """Train for all turns of `problem`; return the weights."""
    torch.set_num_threads(1)
    # As XLA does: denormal numbers are slow on some processors.
    torch.set_flush_denormal(True)
    layers = [part for kernel in problem.kernels for part in (torch.nn.Linear(*kernel.shape), torch.nn.ReLU())]
    model = torch.nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), problem.weights, strict=True):
            # PyTorch keeps kernels as [outputs, inputs].
            parameter.copy_(torch.from_numpy(array.T))
    # Keras's epsilon, because PyTorch's default is smaller.
    optimizer = torch.optim.Adam(model.parameters(), lr=problem.learning_rate, eps=1e-7, fused=True)
    inputs = torch.from_numpy(problem.inputs)
    labels = torch.from_numpy(problem.labels.astype("int64"))
    for orders in problem.turns():
        for order in torch.from_numpy(orders):
            epoch = (inputs, labels) if problem.full_batch else (inputs.index_select(0, order), labels[order])
            for examples, targets in zip(*(array.split(problem.batch_size) for array in epoch), strict=True):
                optimizer.zero_grad(set_to_none=True)
                cross_entropy(model(examples), targets).backward()
                optimizer.step()
    return [parameter.detach().numpy().T for parameter in model.parameters()]


if __name__ == "__main__":
    protocol.main(train)
