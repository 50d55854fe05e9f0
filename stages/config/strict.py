"""Strict pydantic models whose refusals say where a value stands, what it is, and what is expected."""

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from stages.base import files
from stages.base.errors import UserError

BIDIRECTIONAL = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

NAME = "[A-Za-z][A-Za-z0-9_-]{0,63}"

# What each rule of pydantic expects. The braces are filled from the context of its error.
EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping of keys to values",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:.12g}",
    "int_type": "a whole number",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le:.12g}",
    "literal_error": "{expected}",
    "string_too_long": "text of at most {max_length} characters",
    "string_type": "text",
    "too_long": "at most {max_length}",
    "too_short": "{min_length} or more entries",
    "tuple_type": "a list",
}


# Names that people know from older Kerases and other libraries.
HABITS = {
    "lr": "learning_rate",
    "nb_epoch": "epochs",
    "output_dim": "units",
    "neurons": "units",
    "init": "kernel_initializer",
    "kernel_regularizer": "l2",
}
FRACTION = r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?/[0-9]{1,20}(\.[0-9]{0,20})?"


class RefusedError(ValueError):
    """A value that is refused. `path` leads from the place of the check to the value."""

    def __init__(self, problem: str, expected: str, *path: str) -> None:
        super().__init__(f"{problem}; expected {expected}")
        self.problem, self.expected, self.path = problem, expected, path

    def below(self, *path: str) -> "RefusedError":
        """Return this refusal as one from a check further up, at `path` from there."""
        return RefusedError(self.problem, self.expected, *path, *self.path)

    def line(self, file: str) -> str:
        """Return the refusal in one line that begins with the name of the file."""
        place = f"{file}: {'.'.join(map(shorten, self.path))}" if self.path else file
        return printable(f"{place}: {shorten(self.problem, 200)}; expected {shorten(self.expected, 600)}")


def fraction(value: Any) -> Any:
    """Return the number that a text such as ``1/255`` stands for, also in lists and mappings; other values stay."""
    if isinstance(value, Mapping):
        return {key: fraction(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [fraction(each) for each in value]
    if isinstance(value, str) and re.fullmatch(FRACTION, value):
        numerator, denominator = map(float, value.split("/"))
        return numerator / denominator if denominator else value
    return value


# After the limits of a number, or its JSON schema loses them.
OR_FRACTION = BeforeValidator(fraction)
Number = Annotated[float, OR_FRACTION]
# Values by the paths of settings.
Values = Annotated[dict[str, Any], OR_FRACTION]


class Missing:
    """A stand-in for a required key that is missing, so that the rule for its value says what is expected."""


class Strict(BaseModel):
    """A mapping of known keys to values of exact types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, value: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise RefusedError(quote(value), f"a mapping of the keys {', '.join(cls.model_fields)}")
        for key in value:
            if key not in cls.model_fields:
                problem = f"unknown key{did_you_mean(key, cls.model_fields)}"
                raise RefusedError(problem, f"one of: {', '.join(cls.model_fields)}", step(key))
        missing = {name: Missing() for name, field in cls.model_fields.items() if field.is_required()}
        return {**missing, **value}


def chosen_by(key: str, *kinds: type[Strict]) -> BeforeValidator:
    """Return a check that `key` of a mapping names one of `kinds`."""
    names = [get_args(kind.model_fields[key].annotation)[0] for kind in kinds]
    expected = f"one of: {', '.join(names)}"

    def check(value: Any) -> Any:
        if isinstance(value, kinds):
            return value
        if not isinstance(value, Mapping):
            raise RefusedError(quote(value), f"a mapping whose {key} is {expected}")
        if value.get(key) not in names:
            found = value.get(key, Missing())
            raise none_of(found, names, key)
        return value

    return BeforeValidator(check)


def matching(regex: str, expected: str) -> AfterValidator:
    """Return a check that a whole text matches `regex`."""

    def check(value: str) -> str:
        if not re.fullmatch(regex, value):
            raise RefusedError(quote(value), expected)
        return value

    return AfterValidator(check)


def _check_text(value: str) -> str:
    if not all(map(is_printable, value)):
        raise RefusedError(quote(value), "text in one line, without control characters")
    if "${" in value:
        raise RefusedError(quote(value), "text without ${, because DVC replaces what begins with it")
    return value


# MLflow's descriptions are made of these and take 8,000 characters.
Text = Annotated[str, Field(max_length=400), AfterValidator(_check_text)]

HOST = r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
# RFC 3986, without user and password, which do not belong into a file that people share.
WEB_ADDRESS = rf"https?://{HOST}(?:[/?#][A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*)?"
WebAddress = Annotated[
    str, Field(max_length=1000), matching(WEB_ADDRESS, "an address that begins with https:// or http://")
]


def first_refusal(error: ValidationError, content: Any) -> RefusedError:
    """Return the first error of pydantic about `content` as a refusal."""
    detail = error.errors()[0]
    path = []
    for number, key in enumerate(detail["loc"], start=1):
        is_missing = isinstance(detail["input"], Missing) and number == len(detail["loc"])
        # Pydantic's location has steps that the file does not have, such as the kind of an optimizer.
        is_inside = key in content if isinstance(content, Mapping) else isinstance(key, int)
        if is_inside:
            content = content[key]
        if is_inside or is_missing:
            path.append(step(key))
    context = detail.get("ctx", {})
    if isinstance(context.get("error"), RefusedError):
        return context["error"].below(*path)  # type: ignore[no-any-return]
    kind, value = detail["type"], detail["input"]
    template = EXPECTED.get(kind)
    expected = template.format(**context) if template else detail["msg"].removeprefix("Input should be ")
    problem = f"{len(value)} entries" if kind == "too_long" else quote(value)
    words = re.findall("'([^']*)'", expected) if kind == "literal_error" else []
    return RefusedError(problem + did_you_mean(value, words), expected + example(kind, value, words), *path)


def example(kind: str, value: Any, words: Sequence[str] = ()) -> str:
    """Return, in words, what is accepted instead of `value`, if a person seems to mean it; else nothing.

    `kind` is a rule of pydantic, and `words` are the texts that are accepted.
    """
    meant: Any = None
    if kind == "tuple_type" and isinstance(value, str | int | float):
        meant = [value]
    elif kind == "string_type" and isinstance(value, int | float):
        meant = quote(value)
    elif kind == "bool_type" and str(value).lower() in ("yes", "on", "1", "no", "off", "0"):
        meant = str(value).lower() in ("yes", "on", "1")
    elif kind == "literal_error" and str(value) in words:
        meant = str(value)
    elif kind in ("int_type", "float_type") and not isinstance(value, bool):
        inner = value[0] if isinstance(value, list) and len(value) == 1 else value
        with suppress(ValueError, TypeError, OverflowError):
            number = float(inner)
            if number.is_integer():
                meant = int(number)
            elif kind == "float_type" and math.isfinite(number):
                meant = number
    return "" if meant is None else f", such as {quote(meant)}"


def damaged(path: Path, error: ValidationError, stage: str, *member: str) -> UserError:
    """Return the first error of pydantic about the file at `path`, or about its `member`, which `stage` wrote."""
    detail = error.errors()[0]
    place = ".".join(map(str, detail["loc"])) or "content"
    return files.damaged(path, printable(": ".join((*member, place, detail["msg"]))), f"what `{stage}` writes")


def did_you_mean(value: Any, names: Iterable[str]) -> str:
    """Return a question for a word that is close to one of `names`, or nothing."""
    known = list(names)
    if not isinstance(value, str) or value in known:
        return ""
    by_lower = {name.lower(): name for name in reversed(known)}
    habit = HABITS.get(value.lower(), "")
    close = [habit] if habit in known else get_close_matches(value.lower(), by_lower, n=1)
    return f" (did you mean {by_lower.get(close[0], close[0])}?)" if close else ""


def none_of(value: Any, names: Iterable[str], *path: str, kind: str = "") -> RefusedError:
    """Return the refusal of a value that is none of `names`; `kind` says what they are, such as ``the layers``."""
    known = list(names)
    return RefusedError(
        quote(value) + did_you_mean(value, known), f"one of{kind and ' '}{kind}: {', '.join(known)}", *path
    )


def well_named(value: str) -> str:
    """Return, in words, a name that is like `value` and is accepted as one; nothing if there is none."""
    name = re.sub("[^A-Za-z0-9_-]+", "_", value).strip("_")
    name = f"with_{name}" if name[:1].isdigit() else name
    return f", such as {name}" if re.fullmatch(NAME, name) else ""


def step(key: Any) -> str:
    """Return `key` as a step of a key path."""
    return shorten(key) if isinstance(key, str) else quote(key)


def quote(value: Any) -> str:
    """Return `value` as params.yaml would have it, or its beginning."""
    if isinstance(value, Missing):
        return "missing"
    try:
        return shorten(json.dumps(value, ensure_ascii=False))
    except TypeError:
        return shorten(str(value))
    except ValueError:
        return "a number of thousands of digits"


def shorten(text: str, length: int = 80) -> str:
    """Return `text`, or its beginning if it has more than `length` characters."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def printable(text: str) -> str:
    """Return `text` in one line, with everything escaped that a terminal does not take for text."""
    return "".join(char if is_printable(char) else ascii(char)[1:-1] for char in " ".join(text.split()))


def is_printable(char: str) -> bool:
    """Return whether `char` is no control character, surrogate, line separator or change of writing direction."""
    return unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") and char not in BIDIRECTIONAL
