"""configs/cells/<case>.json and prepared data -> attribution/<case>/: every cell of a case, and each fix's effects."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.core import bars, errors, execution, files, inputs, params, progress, statistics, tasks, timings

ACCURACIES = ("train_accuracy", "test_accuracy")
# For each worker: with fewer, one might wait long for another at the end.
LEAST_SHARES = 4
# Of the bootstrap; the runs have seeds of their own.
RNG_SEED = 0


def train_cells(
    configs: params.CellConfigs,
    data: Mapping[str, np.ndarray],
    settings: params.Execution,
    on_cell: Callable[[int, pd.DataFrame], None] = lambda row, table: None,
    notes: progress.Notes = progress.NOBODY,
) -> list[pd.DataFrame]:
    """Train every cell, side by side: the columns of `tasks.train_cells` as tables, in the order of `configs`.

    `on_cell(row, table)` is called for each cell when it and those trained with it have ended, in whatever order.
    """
    tables: dict[int, pd.DataFrame] = {}

    def on_result(place: int, result: tuple[dict[int, dict[str, list[Any]]], dict[str, float]]) -> None:
        cells, seconds = result
        timings.add_worker(seconds)
        for row, columns in cells.items():
            tables[row] = pd.DataFrame(columns)
            on_cell(row, tables[row])

    # A cell has no curve, so the validation split would be evaluated after each epoch for nothing.
    needed = {name: array for name, array in data.items() if not name.endswith("_validation")}
    runs = {row: cell.run for row, cell in enumerate(configs.cells)}
    given = [partial(tasks.train_cells, share, configs.seeds, notes) for share in shares(runs, settings.workers)]
    execution.run(given, needed, settings, on_result)
    return [tables[row] for row in range(len(configs.cells))]


def shares(runs: Mapping[int, params.RunConfig], workers: int | None) -> list[dict[int, params.RunConfig]]:
    """`runs` as they are given to `workers`: those that share a program together, what takes longest first.

    Each for itself where the programs are too few to keep the workers busy to the end, or `workers` is not known.
    """
    programs: dict[str, dict[int, params.RunConfig]] = {}
    for row, run in runs.items():
        programs.setdefault(run.program, {})[row] = run
    given = list(programs.values())
    if workers is None or len(given) < LEAST_SHARES * workers:
        given = [{row: run} for row, run in runs.items()]
    # What takes longest comes first, or all would wait for it at the end.
    return sorted(given, key=lambda share: max(map(work, share.values())), reverse=True)


def work(run: params.RunConfig) -> tuple[int, int]:
    """Orders runs on the same data by how long they take: by units and epochs, of equals by how small batches are."""
    return (run.epochs or 0) * sum(run.hidden_units), -(run.batch_size or 0)


def cells_table(configs: params.CellConfigs, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row a cell and seed: the case, a boolean a fix, then the columns of `tasks.train_cells`."""
    named = []
    for cell, table in zip(configs.cells, tables, strict=True):
        on = {fix: fix in cell.fixes for fix in configs.fixes}
        named.append(table.assign(case=configs.case, **on)[["case", *configs.fixes, *table.columns]])
    return pd.concat(named, ignore_index=True)


def effects(configs: params.CellConfigs, cells: pd.DataFrame) -> dict[str, Any]:
    """`statistics.effects` of the fixes on each accuracy, from the rows of `cells_table`."""
    shape = (len(configs.cells), len(configs.seeds))
    return {
        name: statistics.effects(configs.fixes, cells[name].to_numpy().reshape(shape), RNG_SEED) for name in ACCURACIES
    }


def main() -> None:
    """Train every cell of the case that the command line names and attribute its gain to the fixes."""
    parameters = params.load()
    parser = argparse.ArgumentParser(prog="python -m stages.attribute", description=__doc__)
    parser.add_argument("case", choices=parameters.cases, type=params.key_of)
    case = parser.parse_args().case
    configs = inputs.read_cells(case)
    data = inputs.read_prepared(case, parameters.cases[case].dataset)

    done = [0] * len(configs.cells)
    with bars.bar(f"{case}, cells x seeds", len(configs.cells) * len(configs.seeds)) as bar:

        def on_runs(row: int, ended: int) -> None:
            # A cell's last note may come after its result, and of other machines no note comes.
            done[row] = max(done[row], ended)
            bar.to(sum(done))

        def on_cell(row: int, table: pd.DataFrame) -> None:
            on_runs(row, len(table))
            name = " + ".join(configs.cells[row].fixes) or "as posted"
            means = ", ".join(f"{column.removesuffix('_accuracy')} {table[column].mean():.4f}" for column in ACCURACIES)
            diverged = f" ({table['diverged'].sum()} of {len(table)} diverged)" if table["diverged"].any() else ""
            progress.say(f"{case} {name}: accuracy {means}{diverged}")

        with progress.notes(on_runs) as notes:
            cells = cells_table(configs, train_cells(configs, data, parameters.execution, on_cell, notes))

    folder = Path("attribution") / case
    files.write_csv(folder / "cells.csv", cells)
    files.write_json(folder / "effects.json", effects(configs, cells))
    progress.wrote(folder, cells=len(configs.cells), seeds=len(configs.seeds))


if __name__ == "__main__":
    errors.run(main)
