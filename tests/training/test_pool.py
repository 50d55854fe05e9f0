"""Every task is trained once, in units that share a program, and no bit depends on who is trained together."""

import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import samples
from samples import UNIFORM, configuration, dataset, layers

from stages.base.errors import UserError
from stages.config.planned import Configuration
from stages.config.schema import Execution
from stages.training import pool
from stages.training.pool import Task, Trained, train_unit
from stages.training.runs import Refusal, Run
from stages.training.workers import Work, Workers

DATA = dataset()
ADAM = {"name": "adam", "learning_rate": 0.1}


def tasks_of(*configurations: Configuration) -> list[Task]:
    return [Task(each, seed) for each in configurations for seed in each.seeds]


def bits(trained: Iterable[Trained]) -> dict[tuple[str, int], list[Any]]:
    """Return everything that was computed, by configuration and seed."""
    return {(each.task.configuration.folder, each.task.seed): samples.bits(run_of(each)) for each in trained}


def run_of(trained: Trained) -> Run:
    assert isinstance(trained.run, Run)
    return trained.run


TOGETHER = tasks_of(
    configuration("strong", layers=layers(l2=0.5), epochs=2, seeds=(0,)),
    configuration("weak", layers=layers(l2=1e-4, kernel_initializer=UNIFORM), seeds=(1,)),
    configuration("fast", layers=layers(l2=0.5), epochs=2, optimizer=ADAM, seeds=(0,)),
)
SUBSETS = tasks_of(
    configuration("two_three", subset={0: 2, 1: 3}, seeds=(1,)),
    configuration("one_four", subset={0: 1, 1: 4}, seeds=(0,)),
)


@pytest.fixture(scope="module")
def alone() -> list[Trained]:
    """Return each run as it is if it is trained alone."""
    return [trained for task in [*TOGETHER, *SUBSETS] for trained in train_unit([task], DATA)]


def test_runs_that_are_trained_together_have_the_bits_of_runs_trained_alone(alone: list[Trained]) -> None:
    for tasks in (TOGETHER, SUBSETS):
        assert len(pool.units(tasks, DATA, 1)) == 1
    expected = bits(alone)
    assert bits([*train_unit(TOGETHER, DATA), *train_unit(SUBSETS, DATA)]) == expected
    assert len({str(computed) for computed in expected.values()}) == len(TOGETHER) + len(SUBSETS)


def test_a_subset_is_the_first_examples_of_each_class_and_has_no_other_split(alone: list[Trained]) -> None:
    trained = alone[len(TOGETHER)]
    run = run_of(trained)
    assert run.predicted["train"].shape == (5,)
    assert run.scores.keys() == {"train"}
    assert run.confidence is None
    assert trained.seconds > 0


def test_units_have_every_task_once_share_a_program_and_only_the_longest_is_split() -> None:
    long = tasks_of(configuration("long", layers=layers(units=2000), epochs=100_000, seeds=range(8)))
    tasks = [*TOGETHER, *SUBSETS, *long, *tasks_of(configuration("short", layers=layers(units=9), seeds=range(8)))]
    units = pool.units(tasks, DATA, workers=4)
    assert sorted(tasks.index(task) for unit in units for task in unit) == list(range(len(tasks)))
    for unit in units:
        assert len({(task.configuration.network.program, task.configuration.subset is None) for task in unit}) == 1
    # The longest come first, because the other workers would wait for them at the end.
    assert [len(unit) for unit in units[:4]] == [2, 2, 2, 2]
    assert all(task in long for unit in units[:4] for task in unit)
    assert sorted(map(len, units[4:])) == [2, 3, 8]


@pytest.mark.parametrize(("programs", "pieces"), [(1, [4, 4]), (2, [8, 8]), (3, [8, 8, 4, 4])])
def test_a_program_is_compiled_twice_only_if_all_ends_sooner_by_that(programs: int, pieces: list[int]) -> None:
    long = [
        configuration(f"long_{number}", layers=layers(units=2000), optimizer=optimizer, epochs=100_000, seeds=range(8))
        for number, optimizer in enumerate(["sgd", "adam", "rmsprop"][:programs])
    ]
    units = pool.units([task for each in long for task in tasks_of(each)], DATA, workers=2)
    assert [len(unit) for unit in units] == pieces


@pytest.mark.parametrize(("backend", "workers"), [("threading", 1), ("loky", 2)])
def test_no_bit_depends_on_the_backend_or_the_number_of_workers(
    backend: Any, workers: int, alone: list[Trained]
) -> None:
    tasks = [*TOGETHER[:2], *SUBSETS[:1]]
    with pool.opened(DATA, Execution(backend=backend, workers=workers)) as train_all:
        # In two calls, because workers keep what they have compiled.
        trained = bits([*train_all(tasks[:1]), *train_all(tasks[1:])])
    assert trained == bits(each for each in alone if each.task in tasks)
    assert len(trained) == len(tasks)


def test_a_worker_gets_the_work_that_it_has_compiled_for_unless_it_has_too_much() -> None:
    def work(key: str, seconds: float = 0.01) -> Work[str]:
        return Work(key, seconds, lambda: (key, threading.get_ident()))

    with closing(Workers[str](2, "threading", kept=2, compiling=5.0)) as workers:
        first = dict(workers.run([work("a"), work("b")]))
        assert len(set(first.values())) == 2
        assert dict(workers.run([work("b"), work("a")])) == first
        assert {place for _, place in workers.run([work("a")] * 9)} == {first["a"]}
        assert {place for _, place in workers.run([work("a", seconds=10)] * 2)} == set(first.values())


def test_an_error_of_a_run_ends_the_training() -> None:
    impossible = tasks_of(configuration("few", subset={0: 1000}))
    opened = pool.opened(DATA, Execution(backend="threading", workers=2))
    with opened as train_all, pytest.raises(UserError, match="class 0 has"):
        list(train_all(impossible))


def test_the_process_that_hands_out_units_imports_no_tensorflow(root: Path) -> None:
    program = "import sys; from stages import train; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    imported = set(ended.stdout.split())
    assert "stages.training.pool" in imported
    assert not imported & {"altair", "keras", "matplotlib", "mlflow", "scipy", "sklearn", "tensorflow"}


def test_what_keras_refuses_is_a_result_with_its_reason_in_one_line() -> None:
    wrong = tasks_of(configuration("wrong", loss="categorical_crossentropy", seeds=(0, 1)))
    for trained in train_unit(wrong, DATA):
        assert isinstance(trained.run, Refusal)
        assert "one-hot" in trained.run.reason
        assert len(trained.run.reason.splitlines()) == 1
