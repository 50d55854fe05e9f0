"""Cells of a case: trained side by side, the same numbers whatever the execution, and the same as a variant's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import attribute
from stages.core import files, params
from stages.core.digits import Dataset
from stages.core.training import Trainer


@pytest.fixture(scope="module")
def configs(settings: params.Params) -> params.CellConfigs:
    """The four cells of two fixes of the real ex4, two seeds, two epochs."""
    case = settings.cases["ex4"]
    chosen = {name: case.fixes[name] for name in ("scaled_l2", "mini_batches")}
    short = case.as_posted.model_copy(update={"epochs": 2, "batch_size": 40})
    asked = case.model_copy(update={"fixes": chosen, "as_posted": short})
    return params.cell_configs(settings.model_copy(update={"cases": {"ex4": asked}, "seeds": (0, 3)}))["ex4"]


@pytest.fixture(scope="module")
def data() -> Dataset:
    """70 made-up examples of 16 values whose digit shows in one of them."""
    generator = np.random.default_rng(0)
    labels = generator.integers(10, size=70).astype(np.uint8)
    examples = (generator.random((70, 16)) + 3 * (np.arange(16) == labels[:, None])).astype(np.float32)
    return {"x_train": examples[:50], "y_train": labels[:50], "x_test": examples[50:], "y_test": labels[50:]}


@pytest.fixture(scope="module")
def tables(configs: params.CellConfigs, data: Dataset) -> list[pd.DataFrame]:
    return attribute.train_cells(configs, data, params.Execution(backend="loky", workers=2))


def test_bit_i_of_a_cells_place_says_whether_fix_i_is_on(configs: params.CellConfigs) -> None:
    assert [cell.fixes for cell in configs.cells] == [
        (),
        ("scaled_l2",),
        ("mini_batches",),
        ("scaled_l2", "mini_batches"),
    ]


@pytest.mark.parametrize(("backend", "workers"), [("loky", 1), ("threading", 3)])
def test_results_do_not_depend_on_backend_or_workers(
    configs: params.CellConfigs, data: Dataset, tables: list[pd.DataFrame], backend: str, workers: int
) -> None:
    execution = params.Execution.model_validate({"backend": backend, "workers": workers})
    for one, other in zip(tables, attribute.train_cells(configs, data, execution), strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_a_cell_gives_what_the_trainer_gives(
    configs: params.CellConfigs, data: Dataset, tables: list[pd.DataFrame]
) -> None:
    run = Trainer(configs.cells[3].run, data).run(3)
    row = tables[3].set_index("seed").loc[3]
    assert row["train_accuracy"] == run.final["train"].accuracy
    assert row["test_accuracy"] == run.final["test"].accuracy
    assert row["final_loss"] == run.history[-1].loss


def test_the_table_has_a_row_a_cell_and_seed(configs: params.CellConfigs, tables: list[pd.DataFrame]) -> None:
    table = attribute.cells_table(configs, tables)
    assert list(table.columns) == [
        *("case", "scaled_l2", "mini_batches", "seed"),
        *("train_accuracy", "test_accuracy", "final_loss", "diverged"),
    ]
    assert table[["scaled_l2", "mini_batches", "seed"]].to_numpy().tolist() == [
        *([False, False, 0], [False, False, 3]),
        *([True, False, 0], [True, False, 3]),
        *([False, True, 0], [False, True, 3]),
        *([True, True, 0], [True, True, 3]),
    ]


def test_effects_are_of_the_rows_of_the_table(configs: params.CellConfigs, tables: list[pd.DataFrame]) -> None:
    table = attribute.cells_table(configs, tables)
    table["test_accuracy"] = table["scaled_l2"] * 0.25 + table["mini_batches"] * 0.5
    fixes = attribute.effects(configs, table)["test_accuracy"]["fixes"]
    assert (fixes["scaled_l2"]["shapley"]["mean"], fixes["mini_batches"]["shapley"]["mean"]) == (0.25, 0.5)


@pytest.mark.parametrize("case", ["mnist", "ex4"])
def test_a_cell_that_equals_a_variant_has_its_committed_numbers(root: Path, settings: params.Params, case: str) -> None:
    cells = files.read_csv(root / "attribution" / case / "cells.csv")
    metrics = files.read_json(root / "reports/metrics.json")
    equal = {
        name: variant
        for name, variant in settings.variants.items()
        if variant.case == case and not variant.set and variant.seeds is None
    }
    assert f"{case}-fixed" in equal
    for name, variant in equal.items():
        on = np.all([cells[fix] == (fix in variant.fixes) for fix in settings.cases[case].fixes], axis=0)
        rows = cells[on].set_index("seed")
        for figure in ("train_accuracy", "test_accuracy", "final_loss"):
            assert {str(seed): value for seed, value in rows[figure].items()} == metrics[name][figure]["per_seed"]
