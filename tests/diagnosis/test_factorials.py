"""The search finds in full factorials of real faults what all their points say: a test against committed scores."""

from benchmarks import factorials


def test_the_first_repair_is_as_good_and_mostly_as_small_as_the_best_of_all_points() -> None:
    found = factorials.replays()
    assert len(found) >= 8
    assert all(row.good for row in found.values())
    assert all(row.found.minimal and len(row.found.points) <= 40 for row in found.values())
    assert sum(row.small for row in found.values()) >= 0.8 * len(found)
