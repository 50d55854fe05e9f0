"""The order of the training examples in each epoch, and how they fall into batches."""

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np

from stages.config.examples import Buffer, Shuffle
from stages.config.network import Network


class Epoch(NamedTuple):
    """The examples of an epoch.

    `rows` are their numbers, int32 [rows_per_epoch]. `place` is the place of the short batch among the batches of the
    epoch, whose examples are the last ones of `rows`.
    """

    rows: np.ndarray
    place: int


def rows_per_epoch(network: Network, n_examples: int) -> int:
    """Return how many examples an epoch has.

    Raises
    ------
    ValueError
        If a batch is larger than the data, and what fills no batch is to be left out.
    """
    size = network.batch_size or n_examples
    if network.drop_remainder and size > n_examples:
        raise ValueError(f"batch_size {size} with drop_remainder leaves no batch of {n_examples} examples")
    if network.steps_per_epoch:
        return network.steps_per_epoch * size
    return n_examples - n_examples % size if network.drop_remainder else n_examples


def epochs(network: Network, n_examples: int, generator: np.random.Generator) -> Iterator[Epoch]:
    """Yield the examples of each epoch, without end."""
    size = min(network.batch_size or n_examples, n_examples)
    length = rows_per_epoch(network, n_examples)
    while network.shuffle == "batches":
        full, rest = divmod(length, size)
        places = generator.permutation(full + (rest > 0))
        rows = (places[places < full, np.newaxis] * size + np.arange(size)).ravel()
        # The short batch is the last one of the file, wherever it comes.
        place = int(np.argmax(places)) if rest else full
        yield Epoch(np.concatenate([rows, np.arange(full * size, length)]).astype(np.int32), place)
    whole = n_examples - n_examples % size if network.drop_remainder else n_examples
    passes = (order[:whole] for order in orders(network.shuffle, n_examples, generator))
    stream = chain.from_iterable(passes)
    while True:
        rows = np.fromiter(stream, np.int32, length) if network.steps_per_epoch else next(passes)
        yield Epoch(rows, length // size)


def orders(shuffle: Shuffle, n_examples: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield an order of the examples, int32 [n_examples], per pass, without end."""
    while True:
        if isinstance(shuffle, Buffer):
            order = buffered(n_examples, shuffle.buffer, generator)
        else:
            order = generator.permutation(n_examples) if shuffle else np.arange(n_examples)
        yield order.astype(np.int32)


def buffered(n_examples: int, size: int, generator: np.random.Generator) -> np.ndarray:
    """Return an order, int64 [n_examples], in which each example is drawn from the next `size` ones that are left.

    The buffer of tf.data: an example that is drawn makes room for the next one of the file.
    """
    size = min(size, n_examples)
    waiting = list(range(size))
    # While examples come in, any of the buffer is drawn; then the buffer runs empty.
    sizes = np.concatenate([np.full(n_examples - size, size), np.arange(size, 0, -1)])
    drawn = []
    for coming, place in enumerate(generator.integers(sizes).tolist(), start=size):
        drawn.append(waiting[place])
        if coming < n_examples:
            waiting[place] = coming
        else:
            waiting[place] = waiting[-1]
            waiting.pop()
    return np.array(drawn)
