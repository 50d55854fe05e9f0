"""The order of rows that a stream of batches delivers: none is recorded as another."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from stages.recording import record


def batches(rows: Sequence[np.ndarray]) -> list[record.Batch]:
    """Return batches of the rows of a table of 100, by their numbers."""
    x = np.random.default_rng(3).normal(size=(100, 2))
    return [record.batch_of(x[each], np.asarray(each)) for each in rows]


def passes(number: int, size: int, kept: int, order: str) -> list[np.ndarray]:
    """Return the numbers of the rows in each batch of several passes."""
    random = np.random.default_rng(5)
    rows: list[np.ndarray] = []
    for _ in range(number):
        mixed = random.permutation(100) if order == "rows" else np.arange(100)
        if order == "nearly":
            mixed = np.argsort(np.arange(100) + random.uniform(0, 8, 100))
        parts = [mixed[start : start + size] for start in range(0, kept, size)]
        rows += [parts[place] for place in random.permutation(len(parts))] if order == "batches" else parts
    return rows


@pytest.mark.parametrize(
    ("size", "kept", "order", "shuffle", "dropped"),
    [
        (100, 100, "none", False, False),
        (30, 100, "none", False, False),
        (25, 100, "batches", "batches", False),
        (30, 100, "rows", True, False),
        (16, 96, "rows", True, True),
    ],
)
def test_passes_over_a_table_are_told_from_their_batches(
    size: int, kept: int, order: str, shuffle: bool | str, dropped: bool
) -> None:
    found = record.stream_order(batches(passes(6, size, kept, order)), whole=False)
    assert found is not None
    assert (found.batch_size, found.passes, found.shuffle, found.drop_remainder) == (size, 6, shuffle, dropped)
    assert sorted(np.ravel(record.joined(found.batches)[1])) == list(range(100))


def test_rows_that_move_only_a_little_are_refused() -> None:
    with pytest.raises(record.Refused, match="changes a little"):
        record.stream_order(batches(passes(6, 10, 100, "nearly")), whole=True)


def test_rows_that_are_drawn_with_replacement_are_stored_as_they_came() -> None:
    random = np.random.default_rng(7)
    drawn = [random.integers(0, 100, 16) for _ in range(30)]
    assert record.stream_order(batches(drawn), whole=False) is None
    found = record.stream_order(batches(drawn), whole=True)
    assert found is not None
    assert (found.shuffle, found.passes, found.batch_size) == (False, 1, 16)
    assert np.array_equal(record.joined(found.batches)[1], np.concatenate(drawn))


def test_a_generator_may_write_each_batch_into_the_same_array() -> None:
    x, y = np.empty((10, 2)), np.arange(10)

    def fill() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number in range(3):
            x[:] = number
            yield x, y

    assert [batch[0][0, 0] for batch in record.read_pass(fill(), "the generator")] == [0, 1, 2]


def test_a_rate_is_the_shortest_float32() -> None:
    assert record.short_float(np.float32(0.0001)) == 0.0001
    assert record.short_float(9.999999747378752e-05) == 0.0001
