"""The result of a case has the figures of its runs and baselines, each paired and averaged as documented."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import samples
from samples import dataset

from stages.analysis import case as cases
from stages.analysis import intervals
from stages.analysis.results import CaseResult
from stages.config import load, resolve
from stages.training.runs import Run

DATA = dataset()
SEEDS = (0, 3)


def planned(content: dict[str, Any] | None = None) -> resolve.PlannedFiles:
    params = load.validated(content or samples.params_content())
    return resolve.plan_case("small", params.cases["small"], params.seeds)


PLANNED = planned()
RUNS: dict[str, list[Run]] = {
    each.folder: [
        replace(samples.untrained_run(each, seed, DATA), facts={"network": each.network.brief()})
        for seed in sorted(each.seeds)
    ]
    for each in PLANNED.runs.runs
}
PREDICTED = {f"predicted_{split}": (y + (np.arange(len(y)) % 4 == 0)) % 10 for split, y in DATA.y.items()}
BASELINE: dict[str, Any] = {
    "result.json": {
        "n_iter": 11,
        "scores": {split: float(np.mean(PREDICTED[f"predicted_{split}"] == y)) for split, y in DATA.y.items()},
        "losses": dict.fromkeys(DATA.y, 0.5),
        "measures": {split: {"accuracy": 0.75, "balanced_accuracy": 0.7} for split in DATA.y},
    },
    **PREDICTED,
}


@pytest.fixture(scope="module")
def result() -> CaseResult:
    baselines = {name: (settings, BASELINE) for name, settings in PLANNED.baselines.baselines.items()}
    return cases.case_result(PLANNED.case, DATA, RUNS, {}, baselines)


def scores_of(folder: str, split: str) -> dict[int, float]:
    return {run.seed: run.scores[split] for run in RUNS[folder]}


def test_a_variant_has_the_scores_losses_and_steps_of_its_runs(result: CaseResult) -> None:
    assert [variant.name for variant in result.variants] == ["as_posted", "fixed", "longer", "wild", "few"]
    for name in ("as_posted", "fixed"):
        variant = result.variant(name, "3")
        for split in ("train", "validation", "test"):
            own = scores_of(name, split)
            assert variant.scores[split] == intervals.figure(own, intervals.sampling(own.values(), len(DATA.y[split])))
            assert variant.losses[split].per_seed == {run.seed: run.losses[split] for run in RUNS[name]}
        assert variant.final_loss.per_seed == {run.seed: run.history[-1, 0] for run in RUNS[name]}
        assert variant.steps == 10
        assert variant.diverged == 0
        assert variant.network["epochs"] == 2
        printed = {run.seed: run.keras_accuracy["test"] for run in RUNS[name]}
        assert variant.keras_accuracy["test"].per_seed == printed
        balanced = {run.seed: run.measures["test"]["balanced_accuracy"] for run in RUNS[name]}
        assert variant.measures["test"]["balanced_accuracy"].per_seed == balanced


def test_gains_are_over_as_posted_with_the_same_seed(result: CaseResult) -> None:
    for split in ("train", "test"):
        posted, fixed = scores_of("as_posted", split), scores_of("fixed", split)
        expected = {seed: fixed[seed] - posted[seed] for seed in SEEDS}
        assert result.variant("fixed", "3").gain[split].per_seed == pytest.approx(expected)
        nothing = result.variant("as_posted", "3").gain[split]
        assert (nothing.mean, nothing.low, nothing.high) == (0, 0, 0)
    longer = result.variant("longer", "3")
    assert longer.seeds == (3,)
    assert longer.gain["test"].per_seed.keys() == {3}


def test_a_variant_that_diverged_has_scores_and_no_losses_and_says_so(result: CaseResult) -> None:
    wild = result.variant("wild", "3")
    assert (wild.diverged, wild.final_loss.mean) == (1, None)
    assert wild.losses["test"].per_seed == {0: None, 3: None}
    assert wild.scores["test"].finite
    assert wild.gain["test"].finite
    # A published number of it has nothing to agree with.
    assert [(number.of, number.agrees) for number in result.published if number.measured is None] == [("wild", False)]
    # Strict JSON gives it back.
    text = json.dumps(result.model_dump(mode="json"), allow_nan=False)
    assert CaseResult.model_validate_json(text) == result


def test_a_variant_on_a_subset_has_answers_and_neither_a_gain_nor_a_test_split(result: CaseResult) -> None:
    few = result.variant("few", "3")
    assert (few.subset, few.gain, list(few.scores)) == ({0: 2, 1: 3}, {}, ["train"])
    assert few.answers is not None
    assert sum(few.answers.values()) == len(SEEDS)
    assert sum(map(sum, few.confusion)) == 5 * len(SEEDS)
    assert few.recall[2:] == (None,) * 8


def test_confusion_counts_and_recall_are_over_the_test_answers_of_every_seed(result: CaseResult) -> None:
    for name in ("as_posted", "fixed"):
        counts = np.array(result.variant(name, "3").confusion)
        assert counts.sum(axis=1).tolist() == (2 * np.bincount(DATA.y["test"], minlength=10)).tolist()
        assert counts.trace() == sum(int((run.predicted["test"] == DATA.y["test"]).sum()) for run in RUNS[name])
        assert result.variant(name, "3").recall == tuple(counts.diagonal() / counts.sum(axis=1))


def test_a_baseline_has_single_values_with_their_sampling_interval(result: CaseResult) -> None:
    baseline, floor = result.baselines
    score, right = baseline.scores["test"], BASELINE["result.json"]["scores"]["test"]
    assert (score.mean, score.low, score.high, score.finite) == (right, None, None, True)
    assert score.sampling == intervals.sampling([right], len(DATA.y["test"]))
    assert (baseline.losses["train"].mean, baseline.n_iter, baseline.settings["max_iter"]) == (0.5, 11, 100)
    assert np.trace(baseline.confusion) == (PREDICTED["predicted_test"] == DATA.y["test"]).sum()
    assert (baseline.measures["test"]["balanced_accuracy"].mean, floor.name) == (0.7, "floor")
    assert result.published[2].measured == score.mean


def test_every_point_has_the_scores_of_its_runs_with_the_seeds_of_the_case(result: CaseResult) -> None:
    assert [point.fixes for point in result.points] == [(), ("softmax",), ("adam",), ("softmax", "adam")]
    assert [point.variants for point in result.points] == [("as_posted",), (), (), ("fixed",)]
    for point in result.points:
        assert point.scores["test"] == intervals.estimate(scores_of(point.folder, "test").values())
        assert point.diverged == 0
    full = {split: effects.full_gain.mean for split, effects in result.effects["3"].items()}
    assert full == {split: result.variant("fixed", "3").gain[split].mean for split in ("train", "test")}
    assert result.effects["3"]["test"].fixes.keys() == {"softmax", "adam"}


def test_the_result_describes_the_data_the_network_as_posted_and_what_each_fix_changes(result: CaseResult) -> None:
    assert result.data.rows == {"train": 70, "validation": 30, "test": 30}
    assert (result.data.features, result.data.inputs, result.data.pictures) == (12, None, False)
    assert result.data.classes == result.data.axis == tuple("0123456789")
    assert result.data.balance == tuple(np.bincount(DATA.y["train"]) / 70)
    assert (result.task, result.score) == ("multiclass", "accuracy")
    assert {name: digest.shape for name, digest in result.data.arrays.items() if name.endswith("train")} == {
        "x_train": (70, 12),
        "y_train": (70,),
    }
    softmax, adam = result.fixes
    assert softmax.changes == (("layers.output.activation", "sigmoid", "softmax"),)
    assert adam.changes == (("optimizer", "sgd", "adam"), ("optimizer.learning_rate", "0.001", "0.03"))
    assert result.as_posted["layers"][0] == {"name": "hidden", "units": 7, "activation": "relu"}


def test_the_fixed_variant_has_that_name_or_is_the_first_with_most_fixes_and_no_other_settings() -> None:
    def fixed_of(**variants: Any) -> str:
        content = samples.params_content()
        content["cases"]["small"] |= {"variants": variants, "published": []}
        return cases.fixed_variant(planned(content).case)

    both = {"fixes": ["softmax", "adam"]}
    assert fixed_of(a=both, fixed={"fixes": ["adam"]}) == "fixed"
    assert fixed_of(a={"fixes": ["adam"]}, longer=both | {"set": {"epochs": 5}}, b=both, c=both) == "b"
    assert fixed_of(few=both | {"data": {"first_of_each_class": {0: 1}}}) == "as_posted"
