import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniature import Miniature

from stages.core import params, progress, tasks
from stages.core.training import Trainer

EXAMPLES: dict[str, np.ndarray] = {
    "x_train": np.random.default_rng(0).random((40, 16), dtype=np.float32),
    "y_train": np.arange(40, dtype=np.uint8) % 10,
    "x_test": np.random.default_rng(1).random((20, 16), dtype=np.float32),
    "y_test": np.arange(20, dtype=np.uint8) % 10,
}


@pytest.fixture
def config(miniature: Miniature) -> params.RunConfig:
    return miniature.parameters.run_of("ex4-fixed")


def test_seeds_give_their_runs_in_order_and_a_note_an_epoch(config: params.RunConfig) -> None:
    told: list[tuple[Any, ...]] = []
    with progress.notes(lambda *values: told.append(values)) as notes:
        runs, seconds, phases = tasks.train_seeds(config, (4, 2), notes, EXAMPLES)
    assert [run.seed for run in runs] == [4, 2] == list(seconds)
    expected = Trainer(config, EXAMPLES).run(2)
    assert all(np.array_equal(array, expected.weights[name]) for name, array in runs[1].weights.items())
    notes_of = {
        run.seed: [("epoch", run.seed, n, epoch.loss, epoch.accuracy) for n, epoch in enumerate(run.history, start=1)]
        for run in runs
    }
    assert told == [
        *notes_of[4],
        ("ended", 4, runs[0].summary),
        *notes_of[2],
        ("ended", 2, runs[1].summary),
    ]
    assert {"compile", "train"} <= phases.keys()


def test_a_cell_gives_a_row_a_seed_of_what_its_runs_come_to(config: params.RunConfig) -> None:
    told: list[tuple[int, int]] = []
    with progress.notes(lambda *values: told.append(values)) as notes:
        cells, phases = tasks.train_cells({7: config}, (1, 0), notes, EXAMPLES)
    assert told == [(7, 1), (7, 2)]
    trainer = Trainer(config, EXAMPLES)
    runs = [trainer.run(seed) for seed in (1, 0)]
    assert cells == {
        7: {
            "seed": [1, 0],
            "train_accuracy": [run.final["train"].accuracy for run in runs],
            "test_accuracy": [run.final["test"].accuracy for run in runs],
            "final_loss": [run.history[-1].loss for run in runs],
            "diverged": [False, False],
        }
    }
    assert {"compile", "train"} <= phases.keys()


def test_cells_that_share_a_program_come_to_what_each_does_by_itself(config: params.RunConfig) -> None:
    def changed(**values: object) -> params.RunConfig:
        return params.RunConfig.model_validate(config.model_dump() | values)

    configs = {
        3: changed(l2=0.5, epochs=2),
        1: changed(l2=1e-4, epochs=1),
        2: changed(l2=0.5, epochs=2, optimizer={"name": "adam", "learning_rate": 0.1}),
        0: changed(l2=0.5, epochs=2, initializer={"name": "uniform", "limit": 0.25}),
    }
    assert len({each.program for each in configs.values()}) == 1
    together, _ = tasks.train_cells(configs, (0, 1), progress.NOBODY, EXAMPLES)
    alone = {
        row: tasks.train_cells({row: each}, (0, 1), progress.NOBODY, EXAMPLES)[0][row] for row, each in configs.items()
    }
    assert together == alone
    assert len({str(columns["final_loss"]) for columns in together.values()}) == len(configs)


def test_a_worker_imports_neither_what_only_stages_use_nor_tensorflow_before_it_trains(root: Path) -> None:
    program = "import sys; from stages.core import execution, tasks; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    imported = set(ended.stdout.split())
    assert "stages.core.tasks" in imported
    slow = {"altair", "keras", "matplotlib", "mlflow", "pandas", "rich", "scipy", "sklearn", "tensorflow"}
    assert not imported & slow
