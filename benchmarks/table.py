"""The scores that all methods of the search benchmark share: each network is trained once per group of seeds."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.faults import Fault
from stages.base import files
from stages.config.fixes import Fix
from stages.config.network import Network, PostedNetwork
from stages.config.resolve import under
from stages.config.strict import RefusedError
from stages.diagnosis.search import fresh_seeds
from stages.diagnosis.space import Point, Space, space_of

# Raise this number whenever scores may change.
VERSION = 1
SEEDS = (0, 1, 2)
FRESH = fresh_seeds(SEEDS)
# Estimated seconds of three seeds: dearer points are refused to every method, and dearer faults are left out.
MOST_SECONDS, MOST_SECONDS_POSTED = 4.0, 2.0
# Seconds after which a training is given up, in case the estimate is wrong. They are those of one thread: threads of a
# matrix product that wait for each other on a busy machine take processor time, too.
LIMIT = 60.0


class MissingError(LookupError):
    """A training that is not in the table."""


class Entry(NamedTuple):
    """The outcome of trainings of a network with several seeds: a score per seed, None if it is refused."""

    scores: tuple[float, ...] | None
    seconds: float
    steps: int


@dataclass(frozen=True)
class Cheap(Space):
    """A space without the points that are too dear for the benchmark."""

    n_features: int = 1
    _seconds: dict[Point, float] = field(default_factory=dict, compare=False, repr=False)

    def allowed(self, point: Point) -> bool:
        """Return whether `point` is allowed, and is cheap enough."""
        return super().allowed(point) and self.seconds(point) <= MOST_SECONDS

    def seconds(self, point: Point) -> float:
        """Return an estimate of the seconds of a training of `point` with three seeds."""
        if point not in self._seconds:
            self._seconds[point] = seconds(self.network(point), self.n_examples, self.n_features)
        return self._seconds[point]

    def weights(self, point: Point) -> int:
        """Return the number of weights of the kernels of `point`."""
        widths = [self.n_features, *(layer["units"] for layer in self.network(point).dense)]
        return sum(before * after for before, after in pairwise(widths))


def seconds(network: PostedNetwork, n_examples: int, n_features: int) -> float:
    """Return an estimate of the seconds of a training with three seeds, on one core."""
    from benchmarks import quick

    return quick.cost(under(network, "3"), n_examples, n_features, len(SEEDS))


def cheap(fault: Fault, fixes: Mapping[str, Fix]) -> Cheap:
    """Return the space of `fixes` for a fault."""
    n_examples, n_features = len(fault.data.y["train"]), fault.data.x["train"][0].size
    plain = space_of(fault.case.as_posted, fixes, n_examples)
    return Cheap(plain.posted, plain.changes, plain.families, plain.excluded, n_examples, n_features=n_features)


class Table:
    """The scores of the networks of a fault, kept as lines of JSON in `folder`."""

    def __init__(self, fault: Fault, folder: Path, *, train: bool = True) -> None:
        self.fault, self.train = fault, train
        self.path = folder / f"{fault.id}.jsonl"
        self.trained = 0
        self.entries: dict[str, Entry] = {}
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                scores = None if row["scores"] is None else tuple(row["scores"])
                self.entries[row["key"]] = Entry(scores, row["seconds"], row["steps"])

    def of(self, network: PostedNetwork, seeds: tuple[int, ...] = SEEDS, note: Any = None) -> Entry:
        """Return what trainings of `network` gave; train it if it is new. `note` is kept in the file."""
        resolved = under(network, "3")
        key = key_of(resolved, self.fault.data.sha256, seeds)
        if key not in self.entries:
            if not self.train:
                raise MissingError(f"{self.fault.id}: {note}")
            entry = trained(resolved, self.fault, seeds)
            row = {"key": key, "point": note, "seeds": list(seeds), **entry._asdict()}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            self.entries[key] = entry
            self.trained += len(seeds)
        return self.entries[key]


def key_of(network: Network, sha256: str, seeds: tuple[int, ...]) -> str:
    """Return the digest of all that decides scores."""
    deciding = json.dumps([VERSION, network.brief(), sha256, seeds], sort_keys=True)
    return hashlib.sha256(deciding.encode()).hexdigest()[:24]


def trained(network: Network, fault: Fault, seeds: tuple[int, ...]) -> Entry:
    """Train `network` with `seeds` at once."""
    from benchmarks import quick

    start = time.thread_time()
    steps = space_of(network, {}, len(fault.data.y["train"])).steps(frozenset())
    try:
        training = quick.Training(network, fault.data, seeds)
        scores: tuple[float, ...] | None = tuple(training.run(lambda: time.thread_time() - start < LIMIT))
    except (RefusedError, TimeoutError, ValueError):
        scores = None
    return Entry(scores, round(time.thread_time() - start, 3), steps)


class Scorer:
    """The scores of the points of a space, by seed, from a table."""

    def __init__(self, space: Cheap, table: Table) -> None:
        self.space, self.table = space, table

    def entry(self, point: Point, seeds: tuple[int, ...] = SEEDS) -> Entry:
        """Return what trainings of `point` gave."""
        return self.table.of(self.space.network(point), seeds, sorted(point))

    def __call__(self, point: Point, seed: int) -> float | None:
        """Return the score of `point` with one seed, None if it is refused."""
        seeds = SEEDS if seed in SEEDS else FRESH
        scores = self.entry(point, seeds).scores
        return None if scores is None else max(-1.0, scores[seeds.index(seed)])

    def mean(self, point: Point, seeds: tuple[int, ...] = SEEDS) -> float:
        """Return the mean score of `point`, -1 if it is refused."""
        return mean(self.entry(point, seeds))

    def compute(self, point: Point) -> float:
        """Return the gradient steps of one run of `point` times its weights."""
        return float(self.space.steps(point) * self.space.weights(point))


def mean(entry: Entry) -> float:
    """Return the mean score of an entry, where no score is below -1; -1 if it is refused."""
    return -1.0 if entry.scores is None else sum(max(-1.0, score) for score in entry.scores) / len(entry.scores)


def symptoms(fault: Fault, folder: Path) -> Any:
    """Return the symptoms of a short training as posted, as `suggest` has them; they are kept in `folder`."""
    path = folder / f"{fault.id}.symptoms.json"
    if not path.is_file():
        from stages.recording.suggested import shortened
        from stages.training.trainer import Trainer

        network = shortened(fault.case.as_posted, fault.data)
        assert network is not None
        try:
            found = Trainer(under(network, "3"), fault.data).run(SEEDS[0]).symptoms
        except ValueError as error:  # Keras refuses it
            found = {"refused": " ".join(str(error).split())[:200]}
        files.write_json(path, found)
    return files.read_json(path)


def check(fault: Fault, scorer: Scorer, point: Point, folder: Path) -> dict[str, float]:
    """Return the mean score of `point` by this table, and by whichfix's own training; both are kept in `folder`."""
    path = folder / f"{fault.id}.check.json"
    network = under(scorer.space.network(point), "3")
    key = key_of(network, fault.data.sha256, SEEDS)
    known: dict[str, dict[str, float]] = files.read_json(path) if path.is_file() else {}
    if key not in known and scorer.table.train:
        from stages.training.trainer import Trainer

        trainer = Trainer(network, fault.data)
        scores = [list(trainer.run(seed).scores.values())[-1] for seed in SEEDS]
        known[key] = {"quick": scorer.mean(point), "whichfix": mean(Entry(tuple(scores), 0.0, 0))}
        files.write_json(path, known)
    return known.get(key, {})
