"""Made-up spaces and scores, whose smallest repairs are known."""

import random
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from stages.config.fixes import Fix
from stages.config.network import PostedNetwork
from stages.diagnosis.families import Family
from stages.diagnosis.search import Search
from stages.diagnosis.space import Point, Space

Scorer = Callable[[Point, int], float | None]

POSTED = PostedNetwork.model_validate({"layers": {"output": {"units": 1}}, "loss": "mse", "optimizer": "sgd"})
FIX = Fix.model_validate({"why": "", "set": {"epochs": 2}})
FAMILIES: dict[str, Family] = {
    "sigmoid": "form",
    "loss": "form",
    "scaled": "scaling",
    "adam": "optimizer",
    "relu": "activation",
    "glorot": "initializer",
    "wider": "width",
    "deeper": "depth",
    "long": "epochs",
    "fast": "rate",
    "slow": "rate",
    "batches": "batch",
    "no_dropout": "dropout",
    "no_l2": "penalty",
}


class MadeUp(Space):
    """A space in which the fixes have the families of their names, and each point takes 10 steps."""

    def steps(self, point: Point) -> int:
        return 10


def space(names: Iterable[str] = FAMILIES, excluded: Iterable[Iterable[str]] = (("fast", "slow"),)) -> MadeUp:
    chosen = list(names)
    pairs = frozenset(pair for each in excluded if (pair := frozenset(each)) <= set(chosen))
    return MadeUp(POSTED, dict.fromkeys(chosen, FIX), {name: FAMILIES[name] for name in chosen}, pairs, 10)


def repaired_by(*sets: Iterable[str], low: float = 0.1, high: float = 1.0, hurt: Iterable[str] = ()) -> Scorer:
    """Return scores that are `high` at points that contain one of `sets`, else `low`; fixes that hurt cost a tenth."""
    wanted, costly = [frozenset(each) for each in sets], frozenset(hurt)

    def score(point: Point, seed: int) -> float:
        return (high if any(each <= point for each in wanted) else low) - 0.1 * len(costly & point)

    return score


def noisy(scorer: Scorer, spread: float) -> Scorer:
    """Return the scores with noise of standard deviation `spread` on those above 0.2."""

    def score(point: Point, seed: int) -> float | None:
        value = scorer(point, seed)
        chance = random.Random(f"{sorted(point)} {seed}")
        return value if value is None or value < 0.2 else value + chance.gauss(0, spread)

    return score


def run(search: Search, scorer: Scorer, seed: int | None = None) -> Search:
    """Run `search` to its end; with `seed`, the scores come in any order and any number at a time."""
    chance = random.Random(seed)
    while wanted := search.ask():
        told = wanted if seed is None else chance.sample(wanted, chance.randint(1, len(wanted)))
        search.tell(cast(Mapping[tuple[Point, int], float | None], {each: scorer(*each) for each in told}))
    return search
