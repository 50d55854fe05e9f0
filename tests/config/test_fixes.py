"""The operations of a fix: set, multiply, insert and remove, in any order of the fixes."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.config import fixes
from stages.config.fixes import Fix
from stages.config.network import PostedNetwork
from stages.config.strict import RefusedError

SCHEDULE = {"name": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}
PIECES = {"name": "PiecewiseConstantDecay", "boundaries": [5], "values": [0.4, 0.2]}


def posted(**changes: Any) -> PostedNetwork:
    """Return a network with the layers first, second, drop and output."""
    layers = {
        "first": {"units": 8, "activation": "relu", "l2": 0.5},
        "second": {"units": 4, "l2": 0.25},
        "drop": {"layer": "Dropout", "rate": 0.5},
        "output": {"units": 1, "activation": "sigmoid"},
    }
    settings = {"layers": layers, "loss": "mse", "optimizer": {"name": "sgd", "learning_rate": 0.1}, "epochs": 3}
    return PostedNetwork.model_validate({**settings, **changes})


POSTED = posted()


def fix(**operations: Any) -> Fix:
    return Fix.model_validate({"why": "", **operations})


def changed(*chosen: Fix, network: PostedNetwork = POSTED, overrides: dict[str, Any] | None = None) -> PostedNetwork:
    return fixes.apply(network, {f"fix_{place}": each for place, each in enumerate(chosen)}, overrides or {})


def units(network: PostedNetwork) -> dict[str, Any]:
    return {layer["name"]: layer.get("units") for layer in network.layers}


def layers(network: PostedNetwork) -> list[str]:
    return [layer["name"] for layer in network.layers]


def refusal(*chosen: Fix, network: PostedNetwork = POSTED, overrides: dict[str, Any] | None = None) -> str:
    with pytest.raises(RefusedError) as caught:
        changed(*chosen, network=network, overrides=overrides)
    return caught.value.line("params.yaml").removeprefix("params.yaml: ")


def test_set_gives_one_setting_or_a_whole_mapping_another_value_and_leaves_the_others() -> None:
    network = changed(fix(set={"layers.first.units": 16, "optimizer.momentum": 0.9, "epochs": 7}))
    assert (units(network)["first"], network.optimizer["momentum"], network.epochs) == (16, 0.9, 7)
    assert network.optimizer["learning_rate"] == 0.1
    assert changed(fix(set={"optimizer": "sgd"})).optimizer["learning_rate"] == 0.01  # replaced, so the default
    output = changed(fix(set={"layers.output": {"units": 3}})).layers[-1]
    assert (output["name"], output["units"], output["activation"]) == ("output", 3, "linear")


@pytest.mark.parametrize(
    ("pattern", "l2", "rate"), [("layers.*.l2", [0, 0, 0], 0.5), ("layers.f*.l2", [0, 0.25, 0], 0.5)]
)
def test_a_pattern_means_the_layers_that_have_the_setting(pattern: str, l2: list[float], rate: float) -> None:
    network = changed(fix(set={pattern: 0}))
    assert [layer["l2"] for layer in network.dense] == l2
    assert network.layers[2]["rate"] == rate
    assert [layer["l2"] for layer in changed(fix(multiply={"layers.*.l2": 2})).dense] == [1.0, 0.5, 0.0]


def test_multiply_keeps_whole_numbers_whole_and_at_least_one() -> None:
    network = changed(fix(multiply={"layers.*.units": 1.6, "epochs": 10, "optimizer.learning_rate": 0.1}))
    assert units(network) == {"first": 13, "second": 6, "drop": None, "output": 2}
    assert network.epochs == 30
    assert network.optimizer["learning_rate"] == pytest.approx(0.01)
    assert units(changed(fix(multiply={"layers.first.units": 0.001})))["first"] == 1


def test_multiply_scales_the_rates_of_a_schedule_and_not_its_steps() -> None:
    for schedule, expected in (
        (SCHEDULE, {**SCHEDULE, "initial_learning_rate": 0.05, "staircase": False}),
        (PIECES, {**PIECES, "values": [0.2, 0.1]}),
    ):
        network = posted(optimizer={"name": "sgd", "learning_rate": schedule})
        halved = changed(fix(multiply={"optimizer.learning_rate": 0.5}), network=network)
        assert halved.optimizer["learning_rate"] == expected


def test_a_set_and_a_multiply_combine_and_the_factor_comes_last() -> None:
    both = (fix(set={"optimizer": "adam"}), fix(multiply={"optimizer.learning_rate": 10}))
    assert changed(*both).optimizer["learning_rate"] == changed(*both[::-1]).optimizer["learning_rate"] == 0.01


def test_layers_are_inserted_beside_the_posted_ones_and_in_the_order_of_the_alphabet_at_one_place() -> None:
    near = fix(insert={"z": {"after": "first", "layer": "ReLU"}, "y": {"before": "output", "units": 2}})
    assert layers(changed(near)) == ["first", "z", "second", "drop", "y", "output"]
    for side, expected in (("after", ["first", "a", "b", "second"]), ("before", ["a", "b", "first", "second"])):
        a = fix(insert={"a": {side: "first", "layer": "ReLU"}})
        b = fix(insert={"b": {side: "first", "layer": "BatchNormalization"}})
        assert layers(changed(a, b))[:4] == layers(changed(b, a))[:4] == expected


def test_layers_are_removed_and_a_layer_may_be_inserted_beside_a_removed_one() -> None:
    without = fix(remove=["drop", "second"])
    beside = fix(insert={"new": {"after": "drop", "units": 5}})
    assert layers(changed(without)) == ["first", "output"]
    assert layers(changed(without, beside)) == layers(changed(beside, without)) == ["first", "new", "output"]
    assert layers(changed(without, fix(remove=["drop"]))) == ["first", "output"]


def test_a_path_into_a_layer_that_another_fix_removes_does_nothing() -> None:
    for operation in (
        fix(set={"layers.drop.rate": 0.1}),
        fix(multiply={"layers.drop.rate": 2}),
        fix(set={"layers.d*.rate": 0.1}),
    ):
        assert changed(operation, fix(remove=["drop"])) == changed(fix(remove=["drop"]))


def test_the_settings_of_a_variant_come_last() -> None:
    chosen = fix(set={"layers.first.units": 16}), fix(multiply={"layers.first.units": 2})
    assert units(changed(*chosen, overrides={"layers.first.units": 5}))["first"] == 5


FIXES = [
    fix(set={"layers.*.activation": "tanh"}),
    fix(set={"optimizer": "adam", "loss": "mae"}),
    fix(multiply={"optimizer.learning_rate": 3, "layers.*.units": 2}),
    fix(multiply={"epochs": 2}, set={"batch_size": 8}),
    fix(insert={"b": {"after": "first", "units": 3}, "c": {"before": "second", "layer": "ReLU"}}),
    fix(insert={"a": {"after": "first", "layer": "BatchNormalization"}}),
    fix(remove=["second"]),
    fix(set={"layers.second.l2": 1.0}),
    fix(set={"inputs": "standardized", "class_weight": {0: 2}}),
]
BY_NAME = {f"fix_{place}": each for place, each in enumerate(FIXES)}


@given(st.data())
def test_a_point_is_a_set(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(BY_NAME)), unique=True))
    order = data.draw(st.permutations(names))
    first, second = ({name: BY_NAME[name] for name in each} for each in (names, order))
    assert fixes.apply(POSTED, first, {}) == fixes.apply(POSTED, second, {})
    assert fixes.alternatives(POSTED, first) == fixes.alternatives(POSTED, second) == set()


@pytest.mark.parametrize(
    ("first", "second", "are_alternatives"),
    [
        ({"set": {"loss": "mae"}}, {"set": {"loss": "huber"}}, True),
        ({"set": {"optimizer": "adam"}}, {"set": {"optimizer.momentum": 0.9}}, True),
        ({"set": {"layers.*.l2": 0}}, {"set": {"layers.first.l2": 1}}, True),
        ({"set": {"layers.*.l2": 0}}, {"set": {"layers.first.l1": 1}}, False),
        ({"set": {"layers.first": {"units": 1}}}, {"set": {"layers.f*.units": 1}}, True),
        ({"set": {"layers.first.units": 1}}, {"set": {"layers.second.units": 1}}, False),
        ({"multiply": {"epochs": 2}}, {"multiply": {"epochs": 3}}, True),
        ({"multiply": {"layers.*.units": 2}}, {"multiply": {"layers.first.units": 3}}, True),
        ({"multiply": {"epochs": 2}}, {"set": {"epochs": 3}}, False),
        ({"insert": {"a": {"after": "first", "units": 1}}}, {"insert": {"a": {"after": "first", "units": 2}}}, True),
        ({"insert": {"a": {"after": "first", "units": 1}}}, {"insert": {"b": {"after": "first", "units": 1}}}, False),
        ({"insert": {"a": {"after": "first", "units": 1}}}, {"set": {"layers.*.units": 2}}, False),
        ({"insert": {"a": {"after": "first", "units": 1}}}, {"set": {"layers": {"b": {"units": 2}}}}, True),
        ({"remove": ["drop"]}, {"remove": ["drop"]}, False),
        ({"remove": ["drop"]}, {"set": {"layers.drop.rate": 0.1}}, False),
    ],
)
def test_fixes_that_set_or_multiply_the_same_are_alternatives(
    first: dict[str, Any], second: dict[str, Any], are_alternatives: bool
) -> None:
    pair = {"one": fix(**first), "two": fix(**second)}
    assert fixes.alternatives(POSTED, pair) == ({frozenset(pair)} if are_alternatives else set())


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        (
            {"set": {"optimizer.learning_rat": 1}},
            "set.optimizer.learning_rat: no learning_rat (did you mean learning_rate",
        ),
        (
            {"set": {"epoch": 1}},
            "set.epoch: no epoch (did you mean epochs?); expected one of those that the network has",
        ),
        (
            {"set": {"layers.frst.units": 1}},
            'set.layers.frst.units: "layers.frst.units" (did you mean first?); expected a path to a setting; the',
        ),
        ({"set": {"layers.*.unit": 1}}, 'set.layers.*.unit: "layers.*.unit"; expected a path to a setting; the layers'),
        (
            {"set": {"layers.drop.units": 1}},
            "set.layers.drop.units: no units; expected one of those that layers.drop has",
        ),
        ({"set": {"epochs.more": 1}}, "set.epochs.more: no more; expected one of those that epochs has: 3"),
        ({"set": {"": 1}}, "set.: no ; expected one of those that the network has"),
        ({"set": {"layers": 5}}, "set.layers: 5; expected a mapping of names to layers"),
        ({"set": {"layers": {}}}, "set.layers: {}; expected 1 to 64 layers"),
        ({"set": {"epochs": 0}}, "set.epochs: 0; expected a number of at least 1"),
        ({"set": {"layers.first.units": 0}}, "set.layers.first.units: 0; expected a whole number of at least 1"),
        ({"set": {"layers.first": {"unit": 3}}}, "set.layers.first.unit: unknown key (did you mean units?); expected"),
        (
            {"set": {"optimizer": {"name": "sgd", "lr": 1}}},
            "set.optimizer.lr: unknown key (did you mean learning_rate?); ex",
        ),
        ({"set": {"inputs": {"scale": 0}}}, "set.inputs.scale: 0; expected a number above 0"),
        ({"multiply": {"loss": 2}}, "multiply.loss: {"),
        (
            {"multiply": {"layers.first.activation": 2}},
            'multiply.layers.first.activation: "relu" times 2; expected the path',
        ),
        (
            {"multiply": {"layers.first.use_bias": 2}},
            "multiply.layers.first.use_bias: true times 2; expected the path of",
        ),
        (
            {"multiply": {"optimizer.learning_rate": -1}},
            "multiply.optimizer.learning_rate: -0.1; expected a number above",
        ),
        (
            {"multiply": {"layers.first.units": 1e308}},
            "multiply.layers.first.units: 8 times 1e+308; expected a smaller",
        ),
        ({"remove": ["third"]}, 'remove: "third"; expected one of the layers: first, second, drop, output'),
        ({"insert": {"a": {"units": 1}}}, "insert.a: 0 of after and before; expected one of them, with the name of a"),
        ({"insert": {"a": {"after": "x", "units": 1}}}, 'insert.a.after: "x"; expected one of the layers: first, '),
        ({"insert": {"first": {"after": "drop", "units": 1}}}, 'insert.first: "first"; expected a name that no other'),
        ({"insert": {"a": {"after": "drop", "unit": 1}}}, "insert.a.unit: unknown key (did you mean units?); expected"),
    ],
)
def test_an_impossible_operation_is_refused_at_its_key(operations: dict[str, Any], expected: str) -> None:
    assert refusal(fix(**operations)).startswith(f"fixes.fix_0.{expected}")
    network = {"fix_0": fix(**operations)}
    if "insert" in operations and "unit" in str(operations["insert"]).split("'"):
        with pytest.raises(RefusedError, match="unknown key") as caught:
            fixes.alternatives(POSTED, network)
        assert caught.value.path == ("fixes", "fix_0", "insert", "a", "unit")


def test_a_number_too_large_for_json_is_refused() -> None:
    assert "expected" in refusal(
        fix(multiply={"optimizer.learning_rate": 1.7e308}),
        fix(set={"optimizer.momentum": 0.1}),
        network=posted(optimizer={"name": "sgd", "learning_rate": 1e10}),
    )


def test_a_refused_setting_of_a_variant_is_named_as_its_own() -> None:
    assert refusal(overrides={"layers.first.units": 0}).startswith("set.layers.first.units: 0; expected a whole number")
    assert refusal(overrides={"epoch": 1}).startswith("set.epoch: no epoch (did you mean epochs?)")


def test_fixes_that_are_possible_alone_but_not_together_are_named_with_the_setting() -> None:
    scheduled = fix(set={"optimizer.learning_rate": SCHEDULE})
    message = refusal(scheduled, fix(set={"reduce_on_plateau": {}}))
    assert message == (
        "fixes: fix_0 and fix_1 together: reduce_on_plateau with a schedule; expected a learning_rate that is a number"
    )


@pytest.mark.parametrize("operations", [{}, {"set": {}}, {"remove": []}])
def test_a_fix_that_changes_nothing_is_refused(operations: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=re.escape("a fix that changes nothing; expected one of: set, multiply, insert")
    ):
        fix(**operations)
