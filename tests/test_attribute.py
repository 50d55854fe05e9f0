"""Cells of a case: trained side by side, the same numbers whatever the execution, and the same as a variant's."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import servers
from ruamel.yaml import YAML

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


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster of two workers, in processes of their own that speak TCP."""

    address: str
    workers: list[subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with servers.dask_scheduler(folder) as address, ExitStack() as stack:
        yield Cluster(address, [stack.enter_context(servers.dask_worker(address, folder)) for _ in range(2)])


def test_bit_i_of_a_cells_place_says_whether_fix_i_is_on(configs: params.CellConfigs) -> None:
    assert [cell.fixes for cell in configs.cells] == [
        (),
        ("scaled_l2",),
        ("mini_batches",),
        ("scaled_l2", "mini_batches"),
    ]


def test_cells_that_share_a_program_are_trained_together_where_enough_others_keep_the_workers_busy(
    settings: params.Params,
) -> None:
    runs = {row: cell.run for row, cell in enumerate(params.cell_configs(settings)["ex4"].cells)}
    together = attribute.shares(runs, 2)
    assert all(len({run.program for run in share.values()}) == 1 for share in together)
    assert len(together) == len({run.program for run in runs.values()}) == len(runs) / 2
    first = [max(map(attribute.work, share.values())) for share in together]
    assert first == sorted(first, reverse=True)
    for workers in (len(together), None):
        alone = attribute.shares(runs, workers)
        assert all(len(share) == 1 for share in alone)
        assert [row for share in alone for row in share] == sorted(
            runs, key=lambda row: attribute.work(runs[row]), reverse=True
        )


@pytest.mark.parametrize(("backend", "workers"), [("loky", 1), ("threading", 3)])
def test_results_do_not_depend_on_backend_or_workers(
    configs: params.CellConfigs,
    data: Dataset,
    tables: list[pd.DataFrame],
    backend: str,
    workers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One worker trains both cells of a program together.
    monkeypatch.setattr(attribute, "LEAST_SHARES", 2)
    execution = params.Execution.model_validate({"backend": backend, "workers": workers})
    for one, other in zip(tables, attribute.train_cells(configs, data, execution), strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.usefixtures("limited")
def test_on_a_cluster_the_table_is_the_same_to_the_bit(
    configs: params.CellConfigs, data: Dataset, tables: list[pd.DataFrame], cluster: Cluster
) -> None:
    told: list[tuple[str, ...]] = []
    half = configs.model_copy(update={"cells": configs.cells[:2]})
    settings = params.Execution(backend="dask", scheduler=cluster.address)
    trained = attribute.train_cells(half, data, settings, lambda row, table: told.append(half.cells[row].fixes))
    for one, other in zip(tables[:2], trained, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert sorted(told) == sorted(cell.fixes for cell in half.cells)


@pytest.mark.usefixtures("limited")
def test_a_worker_that_is_killed_half_way_costs_time_alone(
    root: Path,
    configs: params.CellConfigs,
    data: Dataset,
    tables: list[pd.DataFrame],
    cluster: Cluster,
    tmp_path: Path,
) -> None:
    content = YAML(typ="safe").load(root / "params.yaml") | {"execution": {"backend": "dask"}}
    YAML(typ="safe").dump(content, tmp_path / "params.yaml")
    files.write_json(tmp_path / "configs/cells/ex4.json", configs.model_dump(mode="json"))
    files.write_npz(tmp_path / "data/prepared/ex4.npz", data)
    environment = servers.PLAIN | {"PYTHONPATH": str(root), "DASK_SCHEDULER_ADDRESS": cluster.address}
    command = [sys.executable, "-m", "stages.attribute", "ex4"]
    said, complaints = tmp_path / "said", tmp_path / "complaints"
    with (
        said.open("wb") as stdout,
        complaints.open("wb") as stderr,
        servers.server(command, tmp_path, env=environment, stdout=stdout, stderr=stderr) as stage,
    ):
        servers.wait_until(lambda: said.stat().st_size > 0, stage)
        servers.kill(cluster.workers[0])
        assert stage.poll() is None
        assert stage.wait() == 0
    assert complaints.read_text(encoding="utf-8") == ""
    *lines, last = said.read_text(encoding="utf-8").splitlines()
    assert last == f"wrote attribution/ex4 (cells: {len(configs.cells)}, seeds: {len(configs.seeds)})"
    names = [" + ".join(cell.fixes) or "as posted" for cell in configs.cells]
    assert sorted(line.partition(":")[0] for line in lines) == sorted(f"ex4 {name}" for name in names)
    table = attribute.cells_table(configs, tables)
    files.write_csv(tmp_path / "expected.csv", table)
    files.write_json(tmp_path / "expected.json", attribute.effects(configs, table))
    for written, expected in {"cells.csv": "expected.csv", "effects.json": "expected.json"}.items():
        assert (tmp_path / "attribution/ex4" / written).read_bytes() == (tmp_path / expected).read_bytes()


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
