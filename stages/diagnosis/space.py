"""The points among which a case is searched: which are allowed, and what they cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from stages.config import fixes as changes
from stages.config.fixes import Fix
from stages.config.network import PostedNetwork
from stages.config.resolve import under
from stages.config.strict import RefusedError
from stages.diagnosis.families import Family, family_of
from stages.training.orders import rows_per_epoch

Point = frozenset[str]
"""A set of fixes, by name; as posted is the empty one."""

# A point may take so many times the steps of as posted, and so many steps unless as posted takes more.
MOST_TIMES, MOST_STEPS = 100, 2_000_000


@dataclass(frozen=True)
class Space:
    """The combinations of the fixes of a case.

    `fixes` are their names in the order of the case, `families` says what each of them changes, and `excluded` has the
    pairs of alternatives. `n_examples` is the number of training examples.
    """

    posted: PostedNetwork
    changes: Mapping[str, Fix]
    families: Mapping[str, Family]
    excluded: frozenset[Point]
    n_examples: int
    _known: dict[Point, int | None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def fixes(self) -> tuple[str, ...]:
        """Return the names of the fixes, in order."""
        return tuple(self.changes)

    def network(self, point: Point) -> PostedNetwork:
        """Return the network of `point`.

        Raises
        ------
        RefusedError
            If the fixes together make no network.
        """
        return changes.apply(self.posted, {name: fix for name, fix in self.changes.items() if name in point}, {})

    def steps(self, point: Point) -> int:
        """Return the number of gradient evaluations that a run of `point` takes at most.

        Raises
        ------
        RefusedError
            If `point` is no network, or no batch can be filled.
        """
        network = under(self.network(point), "3")
        if network.by_tnc:
            return int(network.optimizer["max_function_calls"])
        try:
            rows = rows_per_epoch(network, self.n_examples)
        except ValueError as error:
            raise RefusedError(str(error), "a smaller batch_size", "batch_size") from None
        return (network.epochs or 0) * math.ceil(rows / (network.batch_size or rows))

    def allowed(self, point: Point) -> bool:
        """Return whether `point` has no alternatives, is a network, and is not too dear."""
        if any(pair <= point for pair in self.excluded):
            return False
        steps = self._cost(point)
        posted = self._cost(frozenset())
        if not point or steps is None or posted is None:
            return steps is not None
        return steps <= min(MOST_TIMES * posted, max(MOST_STEPS, posted))

    def _cost(self, point: Point) -> int | None:
        """Return the steps of `point`, None if it is refused."""
        if point not in self._known:
            try:
                self._known[point] = self.steps(point)
            except RefusedError:
                self._known[point] = None
        return self._known[point]


def space_of(posted: PostedNetwork, fixes: Mapping[str, Fix], n_examples: int) -> Space:
    """Return the combinations of `fixes` of a network that is trained with `n_examples` examples."""
    families = {name: family_of(fix, posted) for name, fix in fixes.items()}
    return Space(posted, dict(fixes), families, frozenset(changes.alternatives(posted, fixes)), n_examples)
