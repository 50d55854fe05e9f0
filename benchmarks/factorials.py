"""Train every combination of the fixes of small real faults, and replay the search against all their scores.

`python -m benchmarks.factorials` trains the faults of factorials.yaml that benchmarks/results/factorials.json lacks;
with names, it trains these again. Then it shows what the search finds, beside the smallest sets that there are.
"""

from stages.base import processor

if __name__ == "__main__":
    processor.apply()  # before NumPy is imported

import argparse
import gc
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_iris, make_classification

from benchmarks.common import RESULTS, read_yaml
from stages.base import files
from stages.base.console import say
from stages.base.errors import one_line
from stages.config.fixes import Fix
from stages.config.network import PostedNetwork
from stages.config.resolve import under
from stages.data.prepared import Facts, Prepared
from stages.diagnosis.found import Found
from stages.diagnosis.scores import AS_POSTED, SMALLEST_GAIN, TOLERANCE
from stages.diagnosis.search import Search
from stages.diagnosis.space import Point, Space, space_of

FAULTS, PATH = Path(__file__).with_suffix(".yaml"), RESULTS / "factorials.json"
SEEDS = (0, 1, 2)
# With fewer examples, a fault is judged by the examples that its network is trained on.
FEWEST_SPLIT, VALIDATION_SHARE = 50, 0.3

Table = tuple[np.ndarray, np.ndarray]
"""Inputs [n, features], and classes or values [n]."""


def xor_of_six_rows() -> Table:
    """Return exclusive or, with two rows twice."""
    return np.array([[1, 1], [0, 0], [1, 0], [0, 1], [1, 1], [0, 0]]), np.array([0, 0, 1, 1, 0, 0])


def xor_of_four_rows() -> Table:
    """Return exclusive or."""
    inputs, wanted = xor_of_six_rows()
    return inputs[:4], wanted[:4]


def square() -> Table:
    """Return 5 x² with noise."""
    x = np.arange(0, 5, 0.1)
    return x[:, np.newaxis], 5 * x**2 + np.random.default_rng(0).normal(size=len(x)) ** 3


def iris() -> Table:
    """Return Fisher's iris."""
    return load_iris(return_X_y=True)  # type: ignore[no-any-return]


def eleven_rows() -> Table:
    """Return rows around four centers; the rows of the post are not kept."""
    random = np.random.default_rng(0)
    y = np.arange(11) % 4
    return np.rint(random.normal(0, 3, (4, 3))[y] + random.normal(0, 0.7, (11, 3))), y


def polynomial() -> Table:
    """Return a polynomial of the fifth degree."""
    x = np.arange(0, 10, 0.05)
    return x[:, np.newaxis], 0.05 * np.polyval([0.00474359, -0.1384615, 1.4912, -7.273893, 15.72807, 0], x)


def sine() -> Table:
    """Return a sine, both scaled to 0..1."""
    x = np.sort(np.random.default_rng(0).uniform(-10, 10, 1000))
    return (x[:, np.newaxis] + 10) / 20, (np.sin(x) + 1) / 2


def exams() -> Table:
    """Return three exam scores and the final one."""
    return np.array([[73, 80, 75], [93, 88, 93], [89, 91, 90], [96, 98, 100], [73, 66, 70]]), np.array(
        [152.0, 185, 180, 196, 142]
    )


def letters() -> Table:
    """Return codes of letters; the class says whether the first is the later one."""
    random = np.random.default_rng(0)
    x = random.integers(65, 71, (21, 3))
    return x, (x[:, 0] > x[:, 2]).astype(int)


def five_features() -> Table:
    """Return the data that the benchmark of faults has chosen."""
    return make_classification(1000, 5, random_state=0)  # type: ignore[no-any-return]


def halves() -> Table:
    """Return five numbers and their halves."""
    x = np.array([0.5, 1, 0.4, 5, 25])
    return x[:, np.newaxis], x / 2


DATA: dict[str, Callable[[], Table]] = {
    made.__name__: made
    for made in (xor_of_six_rows, xor_of_four_rows, square, iris, eleven_rows, polynomial, sine, exams, letters)
} | {"five_features": five_features, "halves": halves}


class Fault(NamedTuple):
    """A fault with its points and its data."""

    name: str
    space: Space
    data: Prepared


def faults() -> Iterator[Fault]:
    """Yield the faults of factorials.yaml."""
    for name, entry in read_yaml(FAULTS).items():
        data = prepared(entry["task"], *DATA[entry["data"]]())
        fixes = {fix: Fix.model_validate({"why": "To count.", **settings}) for fix, settings in entry["fixes"].items()}
        posted = PostedNetwork.model_validate(entry["as_posted"])
        yield Fault(name, space_of(posted, fixes, len(data.y["train"])), data)


def prepared(task: Any, inputs: np.ndarray, wanted: np.ndarray) -> Prepared:
    """Return data; a validation split is drawn if there are enough examples."""
    order = np.random.default_rng(0).permutation(len(inputs))
    cut = round(VALIDATION_SHARE * len(inputs)) if len(inputs) >= FEWEST_SPLIT else 0
    rows = {"train": order[cut:], **({"validation": order[:cut]} if cut else {})}
    x = {split: inputs[chosen].astype(np.float32) for split, chosen in rows.items()}
    if task == "regression":
        y = {split: wanted[chosen].astype(np.float64)[:, np.newaxis] for split, chosen in rows.items()}
        return Prepared(x, y, Facts(task=task, classes=["y"]))
    y = {split: wanted[chosen].astype(np.uint8) for split, chosen in rows.items()}
    names = [str(number) for number in range(int(wanted.max()) + 1)]
    return Prepared(x, y, Facts(task=task, classes=names, values=[float(name) for name in names]))


def points(space: Space) -> list[Point]:
    """Return every point that is allowed, smaller ones first."""
    names = space.fixes
    every = (frozenset(chosen) for size in range(len(names) + 1) for chosen in combinations(names, size))
    return [point for point in every if space.allowed(point)]


def measured(fault: Fault) -> dict[str, list[float] | None]:
    """Return the scores of all points by their names, one per seed; None if Keras refuses the point."""
    from stages.training.trainer import Trainer

    networks = {point: under(fault.space.network(point), "3") for point in points(fault.space)}
    split = "validation" if "validation" in fault.data.y else "train"
    programs: dict[str, list[Point]] = {}
    for point, network in networks.items():
        programs.setdefault(network.program, []).append(point)
    scores: dict[str, list[float] | None] = {}
    for group in programs.values():
        try:
            trainer = Trainer(networks[group[0]], fault.data)
        except ValueError as error:
            say(f"refused: {name_of(group[0])}: {str(error).splitlines()[0]}")
            scores |= dict.fromkeys(map(name_of, group))
            continue
        for point in group:
            trainer.configure(networks[point])
            scores[name_of(point)] = [finite(trainer.run(seed).scores[split]) for seed in SEEDS]
        del trainer
        gc.collect()  # a compiled program has references to itself
    return scores


def finite(score: float) -> float:
    """Return a score as a search counts it, to 6 digits: below -1 or not finite, it is -1."""
    return round(max(-1.0, score), 6) if math.isfinite(score) else -1.0


def name_of(point: Point) -> str:
    """Return the name of `point` in the file."""
    return " ".join(sorted(point))


class Replay(NamedTuple):
    """A search against the scores of all points.

    `smallest` are the smallest sets that repair. `good` says that the first repair of the search repairs too, and
    `small` that it is as small as these. Of the points that the search trained, `repairing` do repair, and of these it
    has given up `given_up` after one seed. `n_points` counts all points that are allowed.
    """

    found: Found
    smallest: list[Point]
    good: bool
    small: bool
    repairing: int = 0
    given_up: int = 0
    n_points: int = 0


def replay(space: Space, scores: Mapping[Point, list[float] | None], budget: int = 40) -> Replay:
    """Search in `space`; on fresh seeds, a point has the scores of the three seeds in turn."""
    search = Search(space, SEEDS, budget)
    while wanted := search.ask():
        told = {(point, seed): scores[point] for point, seed in wanted}
        search.tell({key: None if row is None else row[key[1] % len(SEEDS)] for key, row in told.items()})
    found = search.found()
    means = {point: fmean(row) for point, row in scores.items() if row}
    best, posted = max(means.values()), means[AS_POSTED]
    repairs = [point for point, mean in means.items() if mean >= best - TOLERANCE * (best - posted)]
    if best - posted < SMALLEST_GAIN:
        return Replay(found, [], not found.repairs, not found.repairs)
    size = min(map(len, repairs))
    first = found.repairs[0] if found.repairs else None
    smallest = [point for point in repairs if len(point) == size]
    trained = [point for point in found.points if point in repairs]
    lost = sum(not search.scores.complete(point) and not search.scores.seems_to_repair(point) for point in trained)
    return Replay(
        found, smallest, first in repairs, first is not None and len(first) <= size, len(trained), lost, len(scores)
    )


def replays() -> dict[str, Replay]:
    """Return a replay of every fault that was measured."""
    known = files.read_json(PATH)["faults"]
    return {
        fault.name: replay(fault.space, {frozenset(point.split()): row for point, row in known[fault.name].items()})
        for fault in faults()
        if fault.name in known
    }


def main() -> None:
    """Train what is missing, and replay the search."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("faults", nargs="*", help="train these again")
    again = parser.parse_args().faults
    known = files.read_json(PATH)["faults"] if PATH.exists() else {}
    for fault in faults():
        if fault.name in again or fault.name not in known:
            known[fault.name] = measured(fault)
            files.write_json(PATH, {"seeds": list(SEEDS), "faults": known})
            say(f"{fault.name}: {len(known[fault.name])} points")
    found = replays()
    for name, row in found.items():
        repair = ", ".join(sorted(row.found.repairs[0])) if row.found.repairs else "none"
        verdict = "as good and as small" if row.good and row.small else "as good" if row.good else "not as good"
        say(f"{name}: {repair} ({len(row.found.points)} points, {row.found.trainings} trainings): {verdict}")
    both = sum(row.good and row.small for row in found.values())
    say(f"as good and as small as the best of all points in {both} of {len(found)} faults")
    say(
        f"given up after one seed: {sum(row.given_up for row in found.values())} "
        f"of {sum(row.repairing for row in found.values())} points that repair"
    )


if __name__ == "__main__":
    with one_line():
        main()
