"""A search finds the smallest repairs of made-up landscapes, and keeps its promises on all of them."""

import math
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnosis.landscapes import FAMILIES, Scorer, noisy, repaired_by, run, space
from stages.diagnosis.found import Found, leaders_of
from stages.diagnosis.scores import AS_POSTED
from stages.diagnosis.search import Search, fresh_seeds
from stages.diagnosis.space import Point

SEEDS = (0, 1, 2, 3, 4)


def search(scorer: Scorer, points: int = 40, **options: object) -> Found:
    return run(Search(space(**options), SEEDS, points), scorer).found()  # type: ignore[arg-type]


def sets(found: Found) -> list[set[str]]:
    return [set(point) for point in found.repairs]


@pytest.mark.parametrize("high", [1.0, 0.9])
@pytest.mark.parametrize(
    "wanted",
    [
        [{"sigmoid"}],
        [{"long"}],
        [{"sigmoid", "scaled"}],
        [{"sigmoid", "no_dropout"}],
        [{"relu", "fast"}],  # nothing helps alone
        [{"loss", "adam", "long"}],
        [{"fast"}, {"adam"}],
        [{"sigmoid", "fast"}, {"sigmoid", "adam"}],
        [{"loss", "scaled"}, {"wider"}],
    ],
)
def test_the_smallest_repairs_are_found_and_nothing_can_be_dropped_from_them(
    wanted: list[set[str]], high: float
) -> None:
    ended = run(Search(space(), SEEDS), noisy(repaired_by(*wanted, high=high), 0.004))
    found = ended.found()
    smallest = [each for each in wanted if len(each) == min(map(len, wanted))]
    assert [each for each in sets(found) if len(each) == len(smallest[0])] in (smallest, smallest[::-1])
    assert found.minimal
    assert not found.untried
    leaders = leaders_of(ended.scores, ended.fresh)
    assert {*found.left_out.values(), *found.repairs, *leaders, AS_POSTED} == set(found.confirmed)
    assert found.best in found.confirmed


def test_fixes_that_stand_for_each_other_do_nothing_or_hurt_are_named() -> None:
    found = search(repaired_by({"sigmoid", "fast"}, {"sigmoid", "adam"}, hurt={"deeper"}), 60)
    assert found.equivalents == (("adam", "fast"),)
    assert found.harmful == ("deeper",)
    assert set(found.idle) == set(FAMILIES) - {"deeper"}


def test_of_alternatives_the_better_one_is_found() -> None:
    found = search(repaired_by({"slow", "sigmoid"}))
    assert sets(found) == [{"slow", "sigmoid"}]


def test_what_is_good_already_has_no_repair() -> None:
    for score in (0.4, 1.0):
        found = search(lambda point, seed, score=score: score)  # type: ignore[misc]
        assert (found.repairs, found.best, found.minimal, found.confirmed) == ((), AS_POSTED, False, ())


def test_a_seed_that_fails_makes_a_repair_worse_but_not_unknown() -> None:
    """With one of three seeds dead, the mean of the repair is the best score that there is."""

    def score(point: Point, seed: int) -> float:
        return 1.0 if {"sigmoid", "fast"} <= point and seed % 3 != 2 else 0.1

    found = search(score)
    assert sets(found) == [{"sigmoid", "fast"}]
    assert found.minimal


def test_a_set_that_only_fresh_seeds_show_to_repair_takes_the_place_of_a_larger_one() -> None:
    def score(point: Point, seed: int) -> float:
        dead = seed in SEEDS and "relu" not in point
        return 1.0 if "sigmoid" in point and not dead else 0.1

    found = search(score)
    assert sets(found)[0] == {"sigmoid"}
    assert found.minimal


def test_a_point_that_is_best_by_luck_with_its_seeds_is_not_the_best_one() -> None:
    def score(point: Point, seed: int) -> float:
        lucky = point == {"sigmoid", "wider"}
        return 0.1 if "sigmoid" not in point else 0.8 if not lucky else 0.9 if seed in SEEDS else 0.5

    found = search(score)
    assert found.best == {"sigmoid"}
    assert sets(found)[0] == {"sigmoid"}


def test_if_the_best_points_do_not_hold_on_fresh_seeds_the_next_ones_are_measured() -> None:
    def score(point: Point, seed: int) -> float:
        lucky = seed in SEEDS and point & {"sigmoid", "relu", "loss", "adam", "scaled"}
        return 1.0 if lucky or "wider" in point else 0.5

    ended = run(Search(space(), SEEDS), score)
    found = ended.found()
    assert found.best == {"wider"}
    assert sets(found)[0] == {"wider"}
    leaders = leaders_of(ended.scores, ended.fresh)
    assert [point for point in leaders if "wider" in point] == leaders[-1:]


def test_what_only_fresh_seeds_show_to_fail_is_repaired() -> None:
    def score(point: Point, seed: int) -> float:
        return 1.0 if "sigmoid" in point else 0.5 if seed == 1005 else 0.993

    found = search(score)
    assert (sets(found), set(found.best), found.minimal) == ([{"sigmoid"}], {"sigmoid"}, True)


def test_fixes_that_each_help_a_little_are_combined() -> None:
    helping = {"relu", "fast", "deeper", "loss"}

    def score(point: Point, seed: int) -> float:
        return 0.1 if "sigmoid" not in point else 0.6 + 0.05 * len(helping & point) - 0.2 * ("scaled" in point)

    assert search(score).best >= helping | {"sigmoid"}


def test_what_keras_refuses_is_passed_over() -> None:
    def score(point: Point, seed: int) -> float | None:
        return None if ("sigmoid" in point) != ("loss" in point) else repaired_by({"sigmoid", "loss"})(point, seed)

    found = search(score)
    assert sets(found) == [{"sigmoid", "loss"}]
    assert found.minimal
    assert not any(("sigmoid" in point) != ("loss" in point) for point in found.points)


def test_what_keras_refuses_as_posted_is_repaired_too() -> None:
    found = search(lambda point, seed: 0.9 if "loss" in point else None)
    assert sets(found) == [{"loss"}]
    assert found.threshold == pytest.approx(0.9 * 0.95)
    assert not found.idle


def test_scores_that_are_not_finite_or_very_low_count_as_minus_one() -> None:
    def score(point: Point, seed: int) -> float:
        return 0.8 if "scaled" in point else [math.nan, -math.inf, -1e9][seed % 3]

    found = search(score)
    assert sets(found) == [{"scaled"}]
    assert found.path[0].score == -1
    assert found.threshold == pytest.approx(0.8 - 0.05 * 1.8)


names = st.sets(st.sampled_from(sorted(FAMILIES)), min_size=1, max_size=3)
landscapes = st.builds(
    lambda wanted, high, hurt, spread: noisy(repaired_by(*wanted, high=high, hurt=hurt), spread),
    st.lists(names, min_size=1, max_size=3),
    st.sampled_from([0.105, 0.7, 1.0]),
    names,
    st.sampled_from([0.0, 0.01, 0.1]),
)


@given(landscapes, st.integers(5, 60), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_a_search_keeps_its_promises(scorer: Scorer, budget: int, order: int) -> None:
    """Equal results in any order, no training twice, nothing excluded, within the budget, repairs that repair."""
    asked: list[tuple[Point, int]] = []
    refused = {"wider", "no_l2"}

    def score(point: Point, seed: int) -> float | None:
        asked.append((point, seed))
        return None if refused <= point else scorer(point, seed)

    def allowed(point: Point) -> bool:
        return not {"fast", "slow"} <= point

    made = run(Search(space(), SEEDS, budget), score)
    found = made.found()
    assert len(asked) == len(set(asked))
    assert all(allowed(point) for point, _ in asked)
    assert len(found.points) <= budget
    assert found.trainings == sum(seed in SEEDS[:3] for _, seed in asked if not refused <= _)
    assert run(Search(space(), SEEDS, budget), scorer_without_count(scorer, refused), order).found() == found
    for repair in found.repairs:
        fresh = fmean(scorer(repair, seed) or 0 for seed in fresh_seeds(SEEDS))
        assert fresh >= found.threshold - 1e-12 or made.scores.repairs(repair)
    assert not any(one < other for one in found.repairs for other in found.repairs)


def scorer_without_count(scorer: Scorer, refused: set[str]) -> Scorer:
    return lambda point, seed: None if refused <= point else scorer(point, seed)


def test_only_trainings_that_were_asked_for_are_taken() -> None:
    with pytest.raises(ValueError, match="asked for"):
        Search(space(), SEEDS).tell({(frozenset({"adam"}), 0): 0.5})
    assert len(fresh_seeds((1000, 1002))) == 10
    assert not {1000, 1002} & set(fresh_seeds((1000, 1002)))
