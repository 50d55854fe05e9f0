"""Every task is trained once, in units that share a program, and no bit depends on who is trained together."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from samples import configuration, dataset

from stages.base.errors import UserError
from stages.config.planned import Configuration
from stages.config.schema import Execution
from stages.training import pool
from stages.training.pool import Task, Trained, train_unit

DATA = dataset()
ADAM = {"name": "adam", "learning_rate": 0.1}


def tasks_of(*configurations: Configuration) -> list[Task]:
    return [Task(each, seed) for each in configurations for seed in each.seeds]


def bits(trained: Iterable[Trained]) -> dict[tuple[str, int], list[Any]]:
    """Return everything that was computed, by configuration and seed."""
    return {
        (each.task.configuration.folder, each.task.seed): [
            each.run.seed,
            each.run.losses,
            each.run.scores,
            [array.tobytes() for array in (each.run.history, *each.run.weights.values(), *each.run.predicted.values())],
        ]
        for each in trained
    }


TOGETHER = tasks_of(
    configuration("strong", l2=0.5, epochs=2, seeds=(0,)),
    configuration("weak", l2=1e-4, seeds=(1,)),
    configuration("fast", l2=0.5, epochs=2, optimizer=ADAM, seeds=(0,)),
    configuration("uniform", l2=0.5, epochs=2, initializer={"name": "uniform", "limit": 0.25}, seeds=(0,)),
)
SUBSETS = tasks_of(
    configuration("two_three", subset={0: 2, 1: 3}, seeds=(0, 1)),
    configuration("one_four", subset={0: 1, 1: 4}, seeds=(0,)),
)


@pytest.mark.parametrize("tasks", [TOGETHER, SUBSETS], ids=["networks", "subsets"])
def test_runs_that_are_trained_together_have_the_bits_of_runs_trained_alone(tasks: list[Task]) -> None:
    assert len(pool.units(tasks, DATA, 1)) == 1
    together = bits(train_unit(tasks, DATA))
    assert together == bits(trained for task in tasks for trained in train_unit([task], DATA))
    assert len({str(computed) for computed in together.values()}) == len(tasks)


def test_a_subset_is_the_first_examples_of_each_class_and_has_no_other_split() -> None:
    [trained] = train_unit(SUBSETS[:1], DATA)
    assert trained.run.predicted["train"].shape == (5,)
    assert trained.run.scores.keys() == {"train"}
    assert trained.run.confidence is None
    assert trained.seconds > 0


@pytest.mark.parametrize("workers", [1, 2, 3, 100])
def test_units_have_every_task_once_share_a_program_and_begin_with_the_longest(workers: int) -> None:
    tasks = [*TOGETHER, *SUBSETS, *tasks_of(configuration("wide", hidden_units=[900], epochs=50, seeds=range(20)))]
    units = pool.units(tasks, DATA, workers)
    assert sorted(tasks.index(task) for unit in units for task in unit) == list(range(len(tasks)))
    for unit in units:
        assert len({task.configuration.network.program for task in unit}) == 1
        assert len({task.configuration.subset is None for task in unit}) == 1
    seconds = [pool._seconds(unit, len(DATA.y["train"])) for unit in units]
    assert seconds == sorted(seconds, reverse=True)


def test_a_program_with_most_of_the_work_is_split_over_the_workers_and_no_other() -> None:
    long = tasks_of(configuration("long", hidden_units=[2000], epochs=100_000, seeds=range(8)))
    short = tasks_of(configuration("short", seeds=range(8)))
    assert sorted(map(len, pool.units([*long, *short], DATA, 4))) == [2, 2, 2, 2, 8]
    assert sorted(map(len, pool.units([*long, *short], DATA, 1))) == [8, 8]
    assert sorted(map(len, pool.units([*long[:2], *short], DATA, 4))) == [1, 1, 8]


@pytest.mark.parametrize(("backend", "workers"), [("threading", 1), ("loky", 2)])
def test_no_bit_depends_on_the_backend_or_the_number_of_workers(backend: Any, workers: int) -> None:
    tasks = [*TOGETHER[:2], *SUBSETS[:1]]
    trained = list(pool.train_all(tasks, DATA, Execution(backend=backend, workers=workers)))
    assert bits(trained) == bits(train_unit(TOGETHER[:2], DATA)) | bits(train_unit(SUBSETS[:1], DATA))
    assert len(trained) == len(tasks)


def test_an_error_of_a_run_ends_the_training() -> None:
    impossible = tasks_of(configuration("few", subset={0: 1000}))
    with pytest.raises(UserError, match="class 0 has"):
        list(pool.train_all(impossible, DATA, Execution(backend="threading", workers=2)))


def test_the_process_that_hands_out_units_imports_no_tensorflow(root: Path) -> None:
    program = "import sys; from stages import train; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    imported = set(ended.stdout.split())
    assert "stages.training.pool" in imported
    assert not imported & {"altair", "keras", "matplotlib", "mlflow", "scipy", "sklearn", "tensorflow"}
