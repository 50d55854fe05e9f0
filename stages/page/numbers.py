"""Numbers and names as the page shows them."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stages.analysis.results import Estimate

# Shades of a confusion matrix, from none to all.
SHADES = 8
# Round steps between the ticks of an axis.
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0)
MOST_TICKS = 6
# An R² below this says no more than that the network is of no use.
LOWEST = -10.0
# Where a name or a line of code may go on in the next line: after an underscore, a dot or a bracket, and before an @.
BREAKS = re.compile(r'(?<=[_(=])(?=["\w])|(?<=\.)(?=[A-Za-z])|(?<=\w)(?=@)')
WORDS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


@dataclass(frozen=True)
class Axis:
    """A horizontal scale from `low` to `high` with a tick every `step`."""

    low: float
    high: float
    step: float

    @property
    def ticks(self) -> list[float]:
        """Return the round values from end to end."""
        return [self.low + number * self.step for number in range(round((self.high - self.low) / self.step) + 1)]

    def at(self, value: float) -> str:
        """Return the place of `value` in percent of the axis, within its ends, as CSS takes it."""
        place = 100 * (value - self.low) / (self.high - self.low)
        return f"{min(100.0, max(0.0, place)):.2f}%"

    def wide(self, first: float, second: float) -> str:
        """Return the distance between two values in percent of the axis."""
        return f"{abs(float(self.at(first)[:-1]) - float(self.at(second)[:-1])):.2f}%"


SCORE_AXIS = Axis(0.0, 1.0, 0.25)


def axis_of(estimates: Iterable[Estimate]) -> Axis:
    """Return the shortest axis of round ticks that holds zero and all `estimates` with their intervals."""
    values = [value for e in estimates for value in (e.mean, e.low, e.high) if value is not None]
    least, most = min([0.0, *values]), max([STEPS[0], *values])
    for step in STEPS:
        # Rounded, so that 0.3 / 0.1 is 3.
        low, high = math.floor(round(least / step, 9)), math.ceil(round(most / step, 9))
        if high - low < MOST_TICKS:
            break
    return Axis(low * step, high * step, step)


def typeset(value: float | None, form: str) -> str:
    """Return `value` in a format of Python with a minus sign; None stands for a value that is not finite."""
    return "not finite" if value is None or not math.isfinite(value) else f"{value:{form}}".replace("-", "−")


def percent(value: float | None, digits: int = 1) -> str:
    """Return 0.1141 as 11.4%; an R² can be far below zero."""
    if value is not None and value < LOWEST:
        return f"below {typeset(LOWEST, '.0%')}"
    return typeset(value, f".{digits}%")


def points(value: float | None) -> str:
    """Return percentage points with their sign: 0.1141 as +11.4, -0.0001 as 0.0."""
    text = typeset(None if value is None else 100 * value, "+.1f")
    return "0.0" if text in ("+0.0", "−0.0") else text


def number(value: float | None, digits: int = 4) -> str:
    """Return four decimals, as losses are printed; large numbers with a power of ten."""
    return typeset(value, f".{digits}f" if abs(value or 0) < 1e5 else ".2e")


def spelled(count: int) -> str:
    """Return a count for the beginning of a sentence: Two, 11."""
    return WORDS[count] if count < len(WORDS) else str(count)


def wrapped(text: str) -> Markup:
    """Return a name or a line of code that may be broken between its parts."""
    return Markup("<wbr>").join(BREAKS.split(str(text)))


def code(names: Sequence[str], last: str = "and") -> Markup:
    """Return names as code, joined as in a sentence: ``a``, ``b`` and ``c``."""
    marked = [Markup("<code>{}</code>").format(wrapped(name)) for name in names]
    if len(marked) < 2:
        return Markup("").join(marked)
    return Markup("{} {} {}").format(Markup(", ").join(marked[:-1]), last, marked[-1])


def shade(share: float) -> int:
    """Return the shade 0 ... `SHADES` of a share; 0 stands for none."""
    return math.ceil(share * SHADES)
