"""Which points a search may ask for."""

from typing import Any

from stages.config.fixes import Fix
from stages.config.network import PostedNetwork
from stages.diagnosis.space import Space, space_of


def made(fixes: dict[str, dict[str, Any]], **changes: Any) -> Space:
    settings = {"layers": {"output": {"units": 1}}, "loss": "mse", "optimizer": "sgd", "epochs": 3, "batch_size": 10}
    posted = PostedNetwork.model_validate({**settings, **changes})
    chosen = {name: Fix.model_validate({"why": "", **operations}) for name, operations in fixes.items()}
    return space_of(posted, chosen, 95)


def test_a_point_is_refused_if_it_has_alternatives_or_makes_no_network_or_takes_100_times_the_steps() -> None:
    space = made(
        {
            "long": {"multiply": {"epochs": 10}},
            "small_batches": {"set": {"batch_size": 1}},
            "fast": {"multiply": {"optimizer.learning_rate": 10}},
            "slow": {"multiply": {"optimizer.learning_rate": 0.1}},
            "without": {"remove": ["output"]},
            "longest": {"multiply": {"epochs": 101}},
        }
    )
    assert (space.steps(frozenset()), space.steps(frozenset({"long", "small_batches"}))) == (30, 30 * 95)
    refused = [{"fast", "slow"}, {"without"}, {"longest"}, {"long", "small_batches", "fast", "slow"}]
    assert [space.allowed(frozenset(point)) for point in refused] == [False] * 4
    assert space.allowed(frozenset({"long", "small_batches", "fast"}))
    assert space.network(frozenset({"long", "fast"})).epochs == 30


def test_two_million_steps_are_the_most_unless_as_posted_takes_more() -> None:
    longer: dict[str, dict[str, Any]] = {"long": {"multiply": {"epochs": 10}}, "adam": {"set": {"optimizer": "adam"}}}
    assert not made(longer, epochs=30_000).allowed(frozenset({"long"}))
    dear = made(longer, epochs=300_000)
    assert dear.allowed(frozenset())
    assert dear.allowed(frozenset({"adam"}))
    assert not dear.allowed(frozenset({"long"}))
