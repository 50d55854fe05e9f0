"""The order of the examples is what Keras and tf.data give, and what the configuration says."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
from samples import network
from scipy import stats

from stages.training import orders
from stages.training.keras import tf


def drawn(n_examples: int, count: int, seed: int = 0, **settings: Any) -> list[orders.Epoch]:
    """Return the first epochs of a network with `settings`."""
    return list(islice(orders.epochs(network(**settings), n_examples, np.random.default_rng(seed)), count))


def test_a_buffer_draws_each_order_as_often_as_that_of_tensorflow() -> None:
    n, draws = 5, 3000
    shuffled = tf.data.Dataset.range(n).shuffle(3, seed=2).repeat(draws).batch(n)
    theirs = [tuple(order) for order in shuffled.as_numpy_iterator()]

    def probability_of(size: int) -> float:
        random = np.random.default_rng(1)
        ours = [tuple(orders.buffered(n, size, random)) for _ in range(draws)]
        possible = sorted({*ours, *theirs})
        counts = [[found.count(order) for order in possible] for found in (ours, theirs)]
        return float(stats.chi2_contingency(counts).pvalue)

    assert probability_of(3) > 1e-4
    assert probability_of(4) < 1e-10


@pytest.mark.parametrize("size", [1, 4, 30, 1000])
def test_an_example_comes_at_most_a_buffer_before_its_place(size: int) -> None:
    order = orders.buffered(30, size, np.random.default_rng(0))
    assert sorted(order) == list(range(30))
    assert all(row - place < size for place, row in enumerate(order))


def test_batches_are_shuffled_whole_and_the_short_one_comes_anywhere() -> None:
    epochs = drawn(22, 40, batch_size=5, shuffle="batches")
    for epoch in epochs:
        assert sorted(epoch.rows) == list(range(22))
        assert all((np.diff(epoch.rows[start : start + 5]) == 1).all() for start in range(0, 20, 5))
        assert epoch.rows[20:].tolist() == [20, 21]
    assert {epoch.place for epoch in epochs} == set(range(5))
    assert len({epoch.rows.tobytes() for epoch in epochs}) > 15


def test_passes_follow_one_another_if_an_epoch_has_a_number_of_steps() -> None:
    rows = np.concatenate([epoch.rows for epoch in drawn(10, 5, batch_size=4, steps_per_epoch=2, shuffle=False)])
    assert rows.tolist() == [*range(10)] * 4
    rows = np.concatenate(
        [epoch.rows for epoch in drawn(10, 4, batch_size=4, steps_per_epoch=1, shuffle=False, drop_remainder=True)]
    )
    assert rows.tolist() == [*range(8)] * 2


def test_what_is_left_out_of_a_pass_is_drawn_anew() -> None:
    epochs = drawn(10, 30, batch_size=4, drop_remainder=True)
    assert all(len(set(epoch.rows)) == len(epoch.rows) == 8 for epoch in epochs)
    assert {row for epoch in epochs for row in epoch.rows} == set(range(10))


def test_a_batch_that_is_never_full_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size 40 with drop_remainder leaves no batch of 10 examples"):
        drawn(10, 1, batch_size=40, drop_remainder=True)
