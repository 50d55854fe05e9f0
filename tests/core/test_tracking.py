"""Which runs a store should hold and lacks, decided without a store."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from stages.core import tracking
from stages.core.errors import UserError
from stages.core.tracking import Held, RunSpec, Stage, StoredRun

DATA = "data/prepared/digits.npz"
STAGES = {
    "train@digits-as_posted": Stage({DATA: "d0"}, {"runs/digits-as_posted": "r0"}),
    "baseline@digits": Stage({DATA: "d0"}, {"baselines/digits": "b0"}),
    "attribute@digits": Stage({DATA: "d0"}, {"attribution/digits": "a0"}),
    "probe": Stage({DATA: "d0", "stages/probe.py": "p"}, {"probe": "p0"}),
}
CONFIGS = {"digits-as_posted": {"case": "digits", "seeds": [0, 3], "run": {"l2": 0.5}}}
METRICS = {"digits-as_posted": {"gain": {"mean": 0.25}}, "digits-logistic": {"n_iter": 7}}
REFERENCES = [{"case": "digits", "claim": "10%", "measured": "0.1"}]


def specs(
    stages: dict[str, Stage] = STAGES,
    configs: dict[str, Any] = CONFIGS,
    metrics: dict[str, Any] = METRICS,
    references: list[dict[str, str]] = REFERENCES,
) -> dict[str, RunSpec]:
    return {spec.name: spec for spec in tracking.run_specs(stages, configs, metrics, references)}


def keys(**changed: Any) -> dict[str, str]:
    return {name: spec.key for name, spec in specs(**changed).items()}


def changes(chosen: Iterable[RunSpec], runs: list[StoredRun]) -> tracking.Changes:
    return tracking.changes(chosen, [], Held(runs, {}))


def held(chosen: dict[str, RunSpec]) -> list[StoredRun]:
    """The runs of a store that holds all of `chosen`."""
    runs = []
    for name, spec in chosen.items():
        runs.append(StoredRun(name, spec.key, finished=True))
        runs += [StoredRun(f"{name} {child.seed}", child.key, True, name) for child in spec.children]
    return runs


def test_a_run_is_wanted_for_every_variant_and_seed_baseline_probe_attribution_and_list_of_references() -> None:
    found = specs()
    assert {name: (spec.kind, spec.case, spec.stage) for name, spec in found.items()} == {
        "digits-as_posted": ("variant", "digits", "train@digits-as_posted"),
        "digits-logistic": ("baseline", "digits", "baseline@digits"),
        "digits-probe": ("probe", "digits", "probe"),
        "digits-attribution": ("attribution", "digits", "attribute@digits"),
        "digits-references": ("references", "digits", "evaluate"),
    }
    assert [child.seed for child in found["digits-as_posted"].children] == [0, 3]


def test_every_run_has_a_key_of_its_own_the_same_each_time() -> None:
    found = specs()
    all_keys = [spec.key for spec in found.values()] + [child.key for child in found["digits-as_posted"].children]
    assert len(set(all_keys)) == len(all_keys)
    assert keys() == keys()


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        ({"metrics": METRICS | {"digits-as_posted": {"gain": {"mean": 0.26}}}}, {"digits-as_posted"}),
        ({"metrics": METRICS | {"digits-logistic": {"n_iter": 8}}}, {"digits-logistic"}),
        (
            {"configs": {"digits-as_posted": CONFIGS["digits-as_posted"] | {"run": {"l2": 0.6}}}},
            {"digits-as_posted"},
        ),
        (
            {"stages": STAGES | {"train@digits-as_posted": Stage({DATA: "d0"}, {"runs/digits-as_posted": "r1"})}},
            {"digits-as_posted"},
        ),
        (
            {"stages": STAGES | {"baseline@digits": Stage({DATA: "d1"}, {"baselines/digits": "b0"})}},
            {"digits-logistic"},
        ),
        ({"stages": STAGES | {"probe": Stage({DATA: "d0"}, {"probe": "p1"})}}, {"digits-probe"}),
        ({"references": [REFERENCES[0] | {"measured": "0.2"}]}, {"digits-references"}),
        # Code is a dep too, and no result: the same figures from other code are the same run.
        ({"stages": STAGES | {"probe": Stage({DATA: "d0", "stages/probe.py": "q"}, {"probe": "p0"})}}, set()),
    ],
)
def test_a_changed_result_changes_the_key_of_what_shows_it_and_no_other(changed: Any, anew: set[str]) -> None:
    before, after = keys(), keys(**changed)
    assert {name for name in before if before[name] != after[name]} == anew


def test_a_changed_variant_is_wanted_with_all_its_seeds_anew() -> None:
    after = specs(metrics=METRICS | {"digits-as_posted": {"gain": {"mean": 0.26}}})["digits-as_posted"]
    before = specs()["digits-as_posted"]
    assert not {child.key for child in before.children} & {child.key for child in after.children}


def test_results_that_dvc_lock_does_not_know_are_refused() -> None:
    with pytest.raises(UserError, match=r"dvc\.lock has no stage 'train@digits-as_posted'"):
        specs(stages={name: stage for name, stage in STAGES.items() if not name.startswith("train")})


def test_the_stages_of_dvc_lock_are_read_with_their_hashes() -> None:
    lock: dict[str, Any] = {
        "schema": "2.0",
        "stages": {
            "probe": {
                "cmd": "x",
                "deps": [{"path": DATA, "hash": "md5", "md5": "d0", "size": 1}],
                "params": {"params.yaml": {"probe": 1}},
                "outs": [{"path": "probe", "hash": "md5", "md5": "p0.dir", "size": 2, "nfiles": 1}],
            },
            "track": {"cmd": "y"},
        },
    }
    expected = {"probe": Stage({DATA: "d0"}, {"probe": "p0.dir"}), "track": Stage({}, {})}
    assert tracking.locked_stages(lock["stages"]) == expected


def test_a_store_that_holds_all_lacks_nothing() -> None:
    assert not changes(specs().values(), held(specs()))


def test_an_empty_store_lacks_all() -> None:
    wanted = list(specs().values())
    assert changes(wanted, []) == tracking.Changes(missing=wanted)


def test_runs_of_earlier_results_stay() -> None:
    earlier = [StoredRun("old", "key of old", True), StoredRun("old child", "key of old child", True, "old")]
    assert not changes(specs().values(), held(specs()) + earlier)


def test_an_unfinished_run_is_replaced_with_its_children() -> None:
    chosen = specs()
    runs = [replace(run, finished=False) if run.run_id == "digits-as_posted" else run for run in held(chosen)]
    found = changes(chosen.values(), runs)
    assert found.missing == [chosen["digits-as_posted"]]
    assert set(found.leftovers) == {"digits-as_posted", "digits-as_posted 0", "digits-as_posted 3"}
    assert not found.children


@pytest.mark.parametrize("left", [True, False])
def test_a_child_that_is_gone_or_unfinished_is_added_under_its_parent(left: bool) -> None:
    chosen = specs()
    runs = [run for run in held(chosen) if run.run_id != "digits-as_posted 3"]
    child = chosen["digits-as_posted"].children[1]
    if left:
        runs.append(StoredRun("half", child.key, finished=False, parent_id="digits-as_posted"))
    found = changes(chosen.values(), runs)
    assert found == tracking.Changes(children=[("digits-as_posted", child)], leftovers=["half"] if left else [])


def test_children_of_a_deleted_parent_make_room_for_those_of_the_new_one() -> None:
    chosen = specs()
    found = changes(chosen.values(), [run for run in held(chosen) if run.run_id != "digits-as_posted"])
    assert found.missing == [chosen["digits-as_posted"]]
    assert set(found.leftovers) == {"digits-as_posted 0", "digits-as_posted 3"}


def entry(accuracy: float | None, diverged: float = 0.0) -> dict[str, Any]:
    return {"diverged": diverged, "test_accuracy": {"mean": accuracy}}


def models(metrics: dict[str, Any]) -> list[tracking.ModelSpec]:
    """The champions among variants with these metrics, of the case that their name starts with."""
    runs = [
        RunSpec(
            "variant",
            name.partition("-")[0],
            name,
            "",
            f"key of {name}",
            children=(RunSpec("seed", "", name, "", "", 3),),
        )
        for name in metrics
    ]
    baseline = RunSpec("baseline", "a", "a-baseline", "", "key of baseline")
    return tracking.model_specs([*runs, baseline], metrics)


def test_the_champion_of_a_case_is_its_variant_with_the_best_accuracy_and_its_first_seed() -> None:
    found = models({"a-x": entry(0.5), "a-y": entry(0.75), "b-x": entry(0.1), "a-z": entry(0.25)})
    assert [(model.name, model.run.name, model.seed) for model in found] == [
        ("whichfix-a", "a-y", 3),
        ("whichfix-b", "b-x", 3),
    ]


def test_of_equals_the_first_by_name_is_champion() -> None:
    (model,) = models({"a-y": entry(0.5), "a-x": entry(0.5)})
    assert model.run.name == "a-x"


def test_a_variant_that_diverged_or_has_no_accuracy_is_no_champion() -> None:
    assert models({"a-x": entry(0.9, diverged=0.2), "b-x": entry(None)}) == []


def test_a_model_is_missing_unless_its_champion_has_its_key() -> None:
    (model,) = models({"a-x": entry(0.5)})
    for champions, missing in (({}, [model]), ({model.name: "older"}, [model]), ({model.name: model.key}, [])):
        found = tracking.changes([], [model], Held([], champions))
        assert found == tracking.Changes(models=missing)
        assert bool(found) == bool(missing)


def test_the_key_of_a_model_is_its_runs_and_seeds() -> None:
    keys = {models({"a-x": entry(0.5)})[0].key, models({"a-y": entry(0.5)})[0].key}
    assert len(keys) == 2
    assert models({"a-x": entry(0.5)}) == models({"a-x": entry(0.5)})
