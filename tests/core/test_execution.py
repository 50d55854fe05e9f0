import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from stages.core import execution, params


def after(delay: float, data: dict[str, int]) -> tuple[float, int, int]:
    time.sleep(delay)
    return delay, data["value"], os.getpid()


def run(tasks: Sequence[Callable[[Any], Any]], data: Any, backend: str) -> tuple[list[Any], list[Any]]:
    """The results, and the pairs that are told meanwhile."""
    told: list[tuple[int, Any]] = []
    settings = params.Execution.model_validate({"backend": backend, "workers": 2})
    results = execution.run(tasks, data, settings, lambda place, result: told.append((place, result)))
    return results, told


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_results_are_told_as_they_come_and_given_in_the_order_of_their_tasks(backend: str) -> None:
    tasks = [partial(after, delay) for delay in (1.0, 0.0, 0.0)]
    results, told = run(tasks, {"value": 5}, backend)
    assert [(delay, value) for delay, value, _ in results] == [(1.0, 5), (0.0, 5), (0.0, 5)]
    assert sorted(told) == list(enumerate(results))
    assert told[-1][0] == 0
    assert (os.getpid() in {process for *_, process in results}) == (backend == "threading")


def test_an_error_of_a_task_is_that_of_the_whole() -> None:
    with pytest.raises(KeyError):
        run([partial(after, 0.0)], {}, "threading")
