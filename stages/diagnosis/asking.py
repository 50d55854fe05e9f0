"""The search of a case: its planned fixes -> the runs that it asks for, under each condition."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from stages.base import files
from stages.config.network import Keras, Network
from stages.config.planned import Configuration, PlannedSearch, PlannedVariant
from stages.config.resolve import under
from stages.data.prepared import Prepared
from stages.diagnosis.found import Found
from stages.diagnosis.search import Search
from stages.diagnosis.space import Point, space_of
from stages.training.runs import Refusal

Variant = Configuration | PlannedVariant


def identity(network: Network) -> str:
    """Return canonical JSON of a network: equal ones have the same runs."""
    return files.json_text(network.brief())


class Asking:
    """A search under the condition `keras`, whose points are configurations in folders.

    `named` maps the identity of a network to the variant that it is, of which a point takes folder and fixes.
    """

    def __init__(self, planned: PlannedSearch, keras: Keras, named: Mapping[str, Variant], data: Prepared) -> None:
        self.keras = keras
        self.split = planned.judged_by if planned.judged_by in data.y else "train"
        self.names = tuple(entry.name for entry in planned.fixes)
        fixes = {entry.name: entry.fix for entry in planned.fixes}
        self.space = space_of(planned.as_posted, fixes, len(data.y["train"]))
        self.search = Search(self.space, planned.seeds, planned.points)
        self.asked: set[Point] = set()
        self._named = named

    def network(self, point: Point) -> Network:
        """Return the network of a point."""
        return under(self.space.network(point), self.keras)

    def fixes(self, point: Point) -> tuple[str, ...]:
        """Return the fixes of a point in the order of params.yaml."""
        return tuple(name for name in self.names if name in point)

    def configuration(self, point: Point, seeds: tuple[int, ...]) -> Configuration:
        """Return what to train for a point. Its folder is named by a hash of its network, if it is no variant."""
        network = self.network(point)
        variant = self._named.get(identity(network))
        folder = f"p-{hashlib.sha256(identity(network).encode()).hexdigest()[:16]}"
        return Configuration(
            folder=variant.folder if variant else folder,
            fixes=variant.fixes if variant else self.fixes(point),
            network=network,
            subset=None,
            seeds=seeds,
        )

    def ask(self) -> list[tuple[Point, Configuration, int]]:
        """Return the runs that the search wants now: point, configuration and seed; nothing at the end."""
        asked = self.search.ask()
        seeds: dict[Point, list[int]] = {}
        for point, seed in asked:
            seeds.setdefault(point, []).append(seed)
        self.asked |= seeds.keys()
        configurations = {point: self.configuration(point, tuple(of_point)) for point, of_point in seeds.items()}
        return [(point, configurations[point], seed) for point, seed in asked]

    def tell(self, scores: Mapping[tuple[Point, int], float | None]) -> None:
        """Take the scores of runs; None if Keras refuses one."""
        self.search.tell(scores)

    def found(self) -> Found:
        """Return what the search has found."""
        return self.search.found()


def score_of(scores: Mapping[str, float] | Refusal, split: str) -> float | None:
    """Return the score on `split` of the `scores` of a run, None if Keras refused it."""
    return None if isinstance(scores, Refusal) else scores[split]


def searches(planned: PlannedSearch | None, variants: Sequence[Variant], data: Prepared) -> Iterator[Asking]:
    """Yield the search under each condition; nothing if every point is trained. A point may be one of `variants`."""
    if planned is None:
        return
    named = {identity(variant.network): variant for variant in variants if variant.subset is None}
    for keras in planned.keras:
        yield Asking(planned, keras, named, data)
