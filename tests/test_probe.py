from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from miniature import SEEDS, Miniature, refused
from ruamel.yaml import YAML

from stages import probe
from stages.core import files
from stages.core.errors import UserError
from stages.core.params import VariantConfig
from stages.core.training import Trainer

LABELS = np.array([5, 1, 0, 0, 1, 9, 1, 0], np.uint8)
DATA: dict[str, np.ndarray] = {
    "x_train": np.arange(16, dtype=np.float32).reshape(8, 2),
    "y_train": LABELS,
    "x_test": np.zeros((1, 2)),
}


def test_a_subset_is_the_first_zeros_and_then_the_first_ones() -> None:
    subset = probe.subset(DATA, zeros=2, examples=5)
    rows = [2, 3, 1, 4, 6]
    assert subset.keys() == {"x_train", "y_train"}
    assert subset["y_train"].tolist() == [0, 0, 1, 1, 1]
    assert np.array_equal(subset["x_train"], DATA["x_train"][rows])


@pytest.mark.parametrize(("zeros", "examples", "problem"), [(4, 5, "4 images of 0; "), (0, 4, "4 images of 1; ")])
def test_more_of_a_digit_than_there_are_is_refused(zeros: int, examples: int, problem: str) -> None:
    with pytest.raises(UserError, match=f"^params.yaml: probe: {problem}the training split has 3$"):
        probe.subset(DATA, zeros, examples)


@pytest.mark.parametrize(
    ("predicted", "digit", "share"),
    [([1, 1, 0, 1], 1, 0.75), ([0, 1, 1, 0], 0, 0.5), ([9, 9], 9, 1.0), ([3, 2, 7, 2, 7], 2, 0.4)],
)
def test_the_answer_is_the_digit_answered_most_and_the_smallest_of_equals(
    predicted: list[int], digit: int, share: float
) -> None:
    assert probe.answer(np.array(predicted, np.uint8)) == (digit, share)


def test_the_table_has_a_row_a_subset_and_seed(miniature: Miniature) -> None:
    table = files.read_csv(miniature.folder / "probe" / "probe.csv")
    assert miniature.written["probe"] == {"probe/probe.csv"}
    columns = ["zeros", "examples", "seed", "accuracy", "majority_digit", "answered_digit", "share_answered"]
    assert table.columns.tolist() == columns
    assert table[["zeros", "seed"]].to_numpy().tolist() == [[zeros, seed] for zeros in (1, 3) for seed in SEEDS]
    assert (table["examples"] == 4).all()
    assert table["majority_digit"].tolist() == [1, 1, 0, 0]


def test_a_row_is_the_case_as_posted_trained_on_the_subset(miniature: Miniature) -> None:
    config = VariantConfig.model_validate(files.read_json(miniature.folder / "configs" / "ex4-as_posted.json"))
    data = files.read_npz(miniature.folder / "data" / "prepared" / "ex4.npz")
    final = Trainer(config.run, probe.subset(data, 1, 4)).run(SEEDS[1]).final["train"]
    row = files.read_csv(miniature.folder / "probe" / "probe.csv").iloc[1]
    digit, share = probe.answer(final.predicted)
    assert (row["accuracy"], row["answered_digit"], row["share_answered"]) == (final.accuracy, digit, share)


def test_too_many_examples_end_as_one_line_and_leave_the_former_table(
    miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = YAML(typ="safe").load(miniature.folder / "params.yaml")
    # Of each digit there are four; the first of these subsets could be trained.
    content["probe"] = {"case": "ex4", "examples": 8, "zeros": [4, 5]}
    YAML(typ="safe").dump(content, tmp_path / "params.yaml")
    for name in ("configs", "data"):
        (tmp_path / name).symlink_to(miniature.folder / name)
    monkeypatch.chdir(tmp_path)
    files.write_csv(Path("probe/probe.csv"), pd.DataFrame({"of": ["last time"]}))
    before = Path("probe/probe.csv").read_bytes()
    assert refused("probe") == (
        "params.yaml: probe: 5 images of one digit; accepted: at most datasets.ex4.examples_per_digit, 4"
    )
    assert Path("probe/probe.csv").read_bytes() == before
