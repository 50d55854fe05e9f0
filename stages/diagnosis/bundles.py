"""The points with which a search begins: bundles of fixes that are switched on together."""

from collections.abc import Sequence

from stages.diagnosis.families import Family
from stages.diagnosis.space import Point, Space

# The bundles of families that are tried first, all of whose fixes are switched on together.
SMALL: tuple[Family, ...] = ("form", "scaling")
# A later fix is left out if it makes the bundle too dear.
BIG: tuple[Family, ...] = (
    *SMALL,
    "optimizer",
    "activation",
    "initializer",
    "epochs",
    "rate",
    "stopping",
    "width",
    "depth",
)
# All fixes of these families go into a bundle, and the first one of every other family.
TOGETHER: tuple[Family, ...] = ("form", "scaling", "initializer", "stopping")
REGULARIZATION: tuple[Family, ...] = ("dropout", "penalty", "clipping", "weights")


class Bundles:
    """The bundles of fixes of a space, and what it takes to vary them."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def bundle(self, families: Sequence[Family]) -> Point:
        """Return fixes of `families` together: of alternatives the first, and none with which it is refused.

        All fixes of a family in `TOGETHER` are in it, and one of every other family.
        """
        point: Point = frozenset()
        for family in families:
            for fix in self.rates() if family == "rate" else self.of(family):
                if self.space.allowed(point | {fix}):
                    point |= {fix}
                    if family not in TOGETHER:
                        break
        return point

    def of(self, *families: Family) -> list[str]:
        """Return the fixes of `families`, in order."""
        return [fix for fix in self.space.fixes if self.space.families[fix] in families]

    def rates(self) -> list[str]:
        """Return the fixes of the learning rate, those first that raise it.

        If more of them lower it, the rate is likely to be too high, and they stay in order; but not if there is another
        optimizer, which comes with a rate of its own.
        """
        rates = self.of("rate")
        lowered = sum(self.factor(fix) < 1 for fix in rates)
        if self.of("optimizer") or lowered <= sum(self.factor(fix) > 1 for fix in rates):
            rates.sort(key=lambda fix: self.factor(fix) <= 1)
        return rates

    def factor(self, fix: str) -> float:
        """Return by how much a fix multiplies a setting, 1 if it multiplies none."""
        return max(self.space.changes[fix].multiply.values(), default=1.0)

    def switched(self, point: Point, fix: str) -> Point:
        """Return `point` with `fix` switched off if it is on, else on, without its alternatives."""
        if fix in point:
            return point - {fix}
        return point - {other for pair in self.space.excluded if fix in pair for other in pair} | {fix}

    def variants(self, big: Point) -> list[Point]:
        """Return the big bundle with other epochs, with a rate of the other direction, and with less regularization."""
        rates = self.rates()
        up = any(self.factor(fix) > 1 for fix in rates if fix in big)
        others = [fix for fix in rates if fix not in big]
        others.sort(key=lambda fix: (self.factor(fix) > 1) == up)
        rest = big
        for fix in self.of(*REGULARIZATION):
            if self.space.allowed(rest | {fix}):
                rest |= {fix}
        epochs = [fix for fix in self.of("epochs") if fix not in big]
        exchanged = [self.switched(big, fix) for fix in (*epochs[:1], *others[:1])]
        return [*(exchanged or [big - frozenset(rates)]), rest]
