"""A case and its fixes -> networks, points, variants, and the folders of their runs."""

import copy
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.params_content import CONTENT, changed, refusal
from stages.base import files
from stages.config import load, names
from stages.config.data import Subset
from stages.config.network import Network
from stages.config.resolve import PlannedFiles, planned, points, resolve, under

PARAMS = load.validated(CONTENT)
PLANNED = planned(PARAMS)
CASES = sorted(CONTENT["cases"])


def with_variants(variants: dict[str, Any]) -> PlannedFiles:
    """Return the plan of mnist with these variants and nothing published."""
    content = changed("cases.mnist.variants", variants)
    content["cases"]["mnist"] |= {"published": [], "keras": ["2.2"]}
    return planned(load.validated(content))["mnist"]


def test_a_variant_is_as_posted_except_for_its_fixes_and_then_its_own_settings() -> None:
    assert resolve(PARAMS.cases["ex4"], ["mini_batches"], {"batch_size": 7}).batch_size == 7
    posted = PARAMS.cases["ex4"].as_posted
    network = next(variant.network for variant in PLANNED["ex4"].case.variants if variant.name == "assignment")
    assert [layer["l2"] for layer in posted.layers] == [1.0, 1.0]
    assert [layer["l2"] for layer in network.layers] == [0.0001, 0.0001]
    assert network.optimizer == names.named("optimizers", {"name": "tnc", "max_function_calls": 100})
    assert [layer["units"] for layer in network.layers] == [layer["units"] for layer in posted.layers]
    assert (network.inputs, network.targets) == (posted.inputs, posted.targets)


@given(name=st.sampled_from(CASES), data=st.data())
def test_the_order_of_fixes_does_not_matter(name: str, data: st.DataObject) -> None:
    case = PARAMS.cases[name]
    fixes = data.draw(st.lists(st.sampled_from(list(case.fixes)), unique=True))
    assert resolve(case, fixes, {}) == resolve(case, data.draw(st.permutations(fixes)), {})


@pytest.mark.parametrize("name", CASES)
def test_every_set_of_fixes_is_a_point_at_the_place_whose_bits_name_the_fixes(name: str) -> None:
    plan = PLANNED[name]
    fixes = [fix.name for fix in plan.case.fixes]
    networks = {run.folder: run.network for run in plan.runs.runs}
    assert len({point.folder for point in plan.case.points}) == len(plan.case.points) == 2 * 2 ** len(fixes)
    assert [point.keras for point in plan.case.points] == ["2.2"] * 2 ** len(fixes) + ["3"] * 2 ** len(fixes)
    for place, point in enumerate(plan.case.points):
        assert point.fixes == tuple(fix for i, fix in enumerate(fixes) if place >> i & 1)
        assert networks[point.folder] == under(resolve(PARAMS.cases[name], point.fixes, {}), point.keras)


@pytest.mark.parametrize("name", CASES)
def test_every_variant_and_point_finds_its_network_subset_and_seeds_in_its_folder(name: str) -> None:
    plan = PLANNED[name]
    names = list(dict.fromkeys(variant.name for variant in plan.case.variants))
    assert names == ["as_posted", *CONTENT["cases"][name]["variants"]]
    runs = {run.folder: run for run in plan.runs.runs}
    assert len(runs) == len(plan.runs.runs)
    for variant in plan.case.variants:
        run = runs[variant.folder]
        assert (run.network, run.subset) == (variant.network, variant.subset)
        assert set(variant.seeds) <= set(run.seeds)
    for point in plan.case.points:
        assert set(plan.case.seeds) <= set(runs[point.folder].seeds)
        assert runs[point.folder].fixes == point.fixes


def test_no_run_of_the_real_cases_is_trained_twice() -> None:
    counts = {name: sum(len(run.seeds) for run in plan.runs.runs) for name, plan in PLANNED.items()}
    # With the seeds of the file, unless a variant has its own.
    # mnist: 8 points, and one variant of a single seed; ex4: 32 points and 5 subsets, and assignment under 2.2 alone.
    assert counts == {"mnist": 2 * (8 * 5 + 1), "ex4": 2 * 37 * 5 + 5}


def test_equal_configurations_share_the_folder_of_the_first_variant_and_all_their_seeds() -> None:
    plan = with_variants(
        {
            "first": {"set": {"layers.hidden.units": 256}, "seeds": [7, 2]},
            "second": {"fixes": ["wider_hidden"]},
            "again": {"seeds": [3, 9]},
            "few": {"data": {"first_of_each_class": {3: 5}}},
        }
    )
    folders = {variant.name: variant.folder for variant in plan.case.variants}
    shared = {"as_posted": "as_posted", "first": "first", "second": "first", "again": "as_posted"}
    assert folders == {**shared, "few": "few"}
    runs = {run.folder: run for run in plan.runs.runs}
    assert (runs["as_posted"].subset, runs["few"].subset) == (None, Subset(first_of_each_class={3: 5}))
    assert runs["first"].seeds == (7, 2, 0, 1, 3, 4)
    assert runs["first"].fixes == ("wider_hidden",)
    assert runs["as_posted"].seeds == (0, 1, 2, 3, 4, 9)
    assert next(point.folder for point in plan.case.points if point.fixes == ("wider_hidden",)) == "first"


def test_under_one_condition_a_variant_is_called_by_its_name_and_under_several_by_both() -> None:
    one = with_variants({"few": {"data": {"first_of_each_class": {3: 5}}}})
    assert [variant.label for variant in one.case.variants] == ["as_posted", "few"]
    labels = [variant.label for variant in PLANNED["ex4"].case.variants]
    assert labels[:2] == ["as_posted@2.2", "as_posted@3"]
    assert [label for label in labels if label.startswith("assignment")] == ["assignment@2.2"]
    content = changed("cases.ex4.keras", ["2.2"])
    del content["cases"]["ex4"]["keras"]
    del content["cases"]["ex4"]["variants"]["assignment"]["keras"]
    assert {variant.network.keras for variant in planned(load.validated(content))["ex4"].case.variants} == {"3"}


def test_a_point_without_a_name_has_a_folder_that_depends_on_its_network_alone() -> None:
    point = next(point for point in PLANNED["mnist"].case.points if point.fixes == ("wider_hidden",))
    network = under(resolve(PARAMS.cases["mnist"], point.fixes, {}), "2.2")
    digest = hashlib.sha256(files.json_text(network.brief()).encode()).hexdigest()
    assert point.folder == f"p-{digest[:8]}"
    content = copy.deepcopy(CONTENT)
    content["cases"]["mnist"]["fixes"]["bigger"] = content["cases"]["mnist"]["fixes"].pop("wider_hidden")
    content["cases"]["mnist"]["variants"].pop("fixed_wider")
    content["cases"]["mnist"]["published"] = []
    renamed = planned(load.validated(content))["mnist"].case.points
    assert point.folder in [other.folder for other in renamed]


def test_whole_numbers_and_exponents_give_the_same_plan_as_decimals() -> None:
    assert load.parsed(b"[1e-3, 1E-4, 1e0]") == load.parsed(b"[0.001, 0.0001, 1.0]")
    content = changed("cases.ex4.as_posted.layers.hidden.l2", 1)
    assert planned(load.validated(content)) == PLANNED


RATES = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
NETWORKS = st.builds(
    lambda units, rate, l2, order: Network.model_validate(
        {
            **CONTENT["cases"]["mnist"]["as_posted"],
            "keras": "2.2",
            "layers": {name: {"units": n, "l2": l2} for name, n in zip(order, units, strict=False)},
            "optimizer": {"name": "sgd", "learning_rate": rate},
            "class_weight": {0: l2, 7: 1},
        }
    ),
    st.lists(st.integers(1, 1000), min_size=1, max_size=26),
    RATES | st.builds(lambda rate: {"name": "CosineDecay", "initial_learning_rate": rate, "decay_steps": 5}, RATES),
    st.floats(min_value=0, allow_infinity=False),
    st.permutations("abcdefghijklmnopqrstuvwxyz"),
)


@given(NETWORKS)
def test_a_network_survives_its_file_bit_for_bit_with_its_layers_in_order(network: Network) -> None:
    assert Network.model_validate_json(files.json_text(network.model_dump(mode="json"))) == network
    assert Network.model_validate_json(files.json_text(network.brief())) == network


def test_only_what_is_an_input_of_the_program_may_differ_between_runs_that_share_it() -> None:
    network = under(resolve(PARAMS.cases["ex4"], [], {}), "2.2")

    def program(l2: float = 1.0, units: int = 25, initializer: str = "glorot_uniform", **changes: Any) -> str:
        hidden = {"units": units, "activation": "sigmoid", "l2": l2, "kernel_initializer": initializer}
        layers = {"hidden": hidden, "output": {"units": 10, "activation": "sigmoid", "l2": 1.0}}
        return Network.model_validate({**network.model_dump(), "layers": layers, **changes}).program

    change: dict[str, Any]
    for change in (
        {"l2": 0.5},
        {"epochs": 3},
        {"initializer": "he_normal"},
        {"shuffle": False},
        {"shuffle": "batches"},
        {"inputs": {"scale": 0.5}},
        {"inputs": "standardized"},
        {"optimizer": {"name": "sgd", "learning_rate": 0.5}},
    ):
        assert program(**change) == network.program
    for change in (
        {"l2": 0.0},
        {"batch_size": 7},
        {"units": 26},
        {"keras": "3"},
        {"targets": "integer"},
        {"class_weight": {0: 2.0}},
        {"optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9}},
        {"optimizer": {"name": "adam", "learning_rate": 0.01}},
    ):
        assert program(**change) != network.program
    tnc: dict[str, Any] = {"optimizer": {"name": "tnc", "max_function_calls": 5}, "batch_size": None, "epochs": None}
    assert program(**tnc, l2=0.5) != program(**tnc, l2=1.0)


def test_alternatives_are_in_no_point_together_and_not_in_a_variant_either() -> None:
    content = changed("cases.ex4.fixes.sgd_faster", {"why": "", "set": {"optimizer.learning_rate": 0.1}})
    case = load.validated(content).cases["ex4"]
    found = list(points(case))
    assert len(found) == 3 * 2**4
    assert not any({"adam", "sgd_faster"} <= set(point) for point in found)
    variant = "cases.ex4.variants.fixed.fixes"
    content["cases"]["ex4"]["variants"]["fixed"]["fixes"].append("sgd_faster")
    expected = "adam and sgd_faster; expected one of the two: they set the same, so they are alternatives"
    assert refusal(content) == f"{variant}: {expected}"
