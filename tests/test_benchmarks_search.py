"""The benchmark of the search: its faults, its training, and its arithmetic."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import common, fault_data, faults, measures, quick, readme
from benchmarks.measures import Reached
from stages.base import files
from stages.config.fixes import Fix
from stages.config.resolve import under
from stages.config.strict import RefusedError
from stages.training.trainer import Trainer

SEEDS = (0, 1)
POSTED, ONE, TWO, BOTH = frozenset[str](), frozenset({"a"}), frozenset({"b"}), frozenset({"a", "b"})
MEANS = {POSTED: 0.2, ONE: 0.3, TWO: 0.9, BOTH: 1.0}


def score(point: frozenset[str], seed: int) -> float | None:
    """Return made-up scores: the seeds of a point differ by 0.1."""
    return None if "refused" in point else MEANS[point] + (0.05 if seed else -0.05)


def until(trainings: list[tuple[frozenset[str], int]], done: Any) -> Reached:
    return measures.until(trainings, SEEDS, score, len, done)


def both(*points: frozenset[str]) -> list[tuple[frozenset[str], int]]:
    return [(point, seed) for point in points for seed in SEEDS]


def test_a_target_is_reached_by_the_training_that_completes_a_good_point() -> None:
    target = measures.target_of(0.2, 1.0)
    assert target == pytest.approx(0.96)
    trainings = [*both(POSTED), (ONE, 0), (BOTH, 0), (BOTH, 1), *both(TWO)]
    assert until(trainings, lambda replay, point: replay.reaches(point, target)) == (5, 3, 1 + 2 + 2, True)
    assert until(both(POSTED, ONE), lambda replay, point: replay.reaches(point, target)) == (4, 2, 2, False)


def test_nothing_can_be_dropped_once_every_smaller_set_has_failed() -> None:
    def known(target: float, trainings: list[tuple[frozenset[str], int]]) -> Reached:
        return until(trainings, lambda replay, _: bool(replay.minimal(target, lambda point: True)))

    # With two fixes needed, each must have failed alone; that needs one seed each.
    assert known(0.96, [*both(POSTED, BOTH), (ONE, 0), (TWO, 0)]) == (6, 4, 2 + 2 + 1 + 1, True)
    assert not known(0.96, [*both(POSTED, BOTH), (ONE, 0)]).reached
    # With one fix enough, the set of both is not minimal, and as posted has failed.
    assert known(0.8, both(POSTED, BOTH, TWO)) == (6, 3, 2 + 2 + 1 + 1, True)


def test_points_that_were_given_up_have_one_seed_below_the_target() -> None:
    trainings = [*both(POSTED, BOTH), (ONE, 0), (TWO, 0)]
    assert measures.given_up(trainings, SEEDS, score, 0.8) == {ONE}
    assert measures.given_up(trainings, SEEDS, score, 0.9) == {ONE, TWO}


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"set": {"layers.output.activation": "softmax", "layers.output.units": 3}}, {"ACH", "LCN"}),
        ({"set": {"loss": "mse", "targets": "one_hot", "optimizer": "adam"}}, {"LCH", "CPP", "OCH"}),
        ({"multiply": {"optimizer.learning_rate": 10, "epochs": 10, "layers.*.l2": 0.1}}, {"HLR", "HNE", "RCW"}),
        ({"insert": {"more": {"units": 2}}, "remove": ["dropout"]}, {"LRM", "LAD"}),
        ({"set": {"layers.*.kernel_initializer": "he_normal", "batch_size": 8}}, {"WCI", "HBS"}),
    ],
)
def test_a_fix_stands_for_the_codes_of_its_settings(changes: dict[str, Any], codes: set[str]) -> None:
    assert measures.codes_of(Fix.model_validate({"why": "", **changes})) == codes


def test_units_count_as_a_part_of_the_architecture() -> None:
    assert measures.agreement({"LCN", "OCH"}, {"MWA", "ACH"}) == (0.5, 0.5, True)
    assert measures.best_agreement([{"OCH"}, {"ACH"}], {"ACH", "LCH"}) == (0.5, 1.0, True)


TEXTS = {
    "XOR, 6 rows | literal rows [1,1],[0,0],[1,0],[0,1],[1,1],[0,0] -> 0,0,1,1,0,0": ((6, 2), (6,)),
    "AND, 4 rows | generated": ((4, 2), (4,)),
    "5 rows | literal rows [73,80,75]->152, [93,88,93]->185, [1,2,3]->4": ((3, 3), (3,)),
    "2 rows: 1 -> 1, 2 -> 0 | generated": ((2, 1), (2,)),
    "y = 5x^2 + N(0,1)^3, x = 0..5 step 0.1 (50 rows) | generated": ((50, 1), (50,)),
    "y = x^2 on x = 0,1,2,3 with features (x^2, x) | generated": ((4, 2), (4,)),
    "y = x/2 on 5 points .5,1,.4,5,25 | generated": ((5, 1), (5,)),
    "3 classes | sklearn make_classification(40,9,n_classes=3,n_informative=4) (not available)": ((40, 9), (40,)),
    "30 inputs U(-1,1), target = input[1], 40 rows | generated": ((40, 30), (40,)),
}


@pytest.mark.parametrize(("text", "shapes"), TEXTS.items())
def test_a_text_gives_examples(text: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    name, _, how = text.partition(" | ")
    made = fault_data.examples({"name": name, "how": how}, {}, Path("missing"))
    assert (made.x["train"].shape, made.y["train"].shape) == shapes


def test_a_formula_has_the_values_that_it_says() -> None:
    made = fault_data.examples({"name": "y = 2x^2 - 1, x = 0..4", "how": "generated"}, {}, Path("missing"))
    assert made.y["train"].tolist() == [2 * x**2 - 1 for x in made.x["train"][:, 0]]


ENTRY: dict[str, Any] = {
    "id": "one",
    "source": "https://example.org/1",
    "dataset": {"name": "Iris", "how": "scikit-learn load_iris"},
    "fault_types_basis": "benchmark",
    "ground_truth_trust": "high",
    "symptom": "does not learn",
    "as_posted": {
        "layers": [
            {"units": 8, "activation": "relu", "init": "uniform", "l2": 0.001},
            {"type": "BatchNormalization"},
            {"units": 3, "activation": "softmax", "init": "glorot_uniform", "l2": None},
        ],
        "loss": "categorical_crossentropy",
        "optimizer": "Adam",
        "learning_rate": None,
        "batch_size": 16,
        "epochs": 20,
        "input_scaling": "StandardScaler",
        "label_encoding": "one-hot 3",
    },
    "published_fix": None,
    "fault_codes": ["HNE"],
}


def test_a_fault_that_is_not_recognized_is_left_out_with_the_reason(tmp_path: Path) -> None:
    unknown = ENTRY | {"id": "two", "dataset": {"name": "a lost file", "how": "unknown"}}
    files.write_json(tmp_path / "faults.json", [ENTRY, unknown])
    found, skipped = faults.read(tmp_path / "faults.json", tmp_path / "mnist.npz")
    assert [fault.id for fault in found] == ["one"]
    assert "a lost file" in skipped["two"]


def test_the_short_training_learns_what_whichfix_learns(tmp_path: Path) -> None:
    fault = faults.fault_of(0, ENTRY, {}, tmp_path)
    network = under(fault.case.as_posted, "3")
    trainer = Trainer(network, fault.data)
    expected = [trainer.run(seed).scores["test"] for seed in SEEDS]
    assert quick.Training(network, fault.data, SEEDS).run() == pytest.approx(expected, abs=1e-6)


def test_the_short_training_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    fault = faults.fault_of(0, ENTRY, {}, tmp_path)
    network = under(fault.case.as_posted, "3").model_copy(update={"loss": {"name": "hinge"}})
    with pytest.raises(RefusedError):
        quick.Training(network, fault.data, SEEDS)


def test_the_document_says_what_was_measured() -> None:
    text = (common.ROOT / readme.SEARCH).read_text(encoding="utf-8")
    assert readme.section(text, "search") == readme.search_part()
    if readme.search_part():
        settings = files.read_json(common.RESULTS / "search.json")["settings"]
        for said in (f"pool of {settings['pool']} points", f"some {settings['most_seconds']:g}\n", "at least 0.05"):
            assert said in text
