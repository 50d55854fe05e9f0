"""Settings as text: nested keys joined by dots, and what a fix changes."""

from collections.abc import Mapping, Sequence
from typing import Any


def text(value: Any) -> str:
    """Return a setting for a reader: short numbers, lists without brackets, ``none`` for null."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(text, value)) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested `values` as dotted key -> text."""
    texts: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            texts |= flat(value, f"{prefix}{key}.")
        else:
            texts[f"{prefix}{key}"] = text(value)
    return texts


def changes(as_posted: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Return what `settings` change: (dotted key, value as posted, new value)."""
    posted = flat(as_posted)
    return tuple((key, posted.get(key, ""), new) for key, new in flat(settings).items() if posted.get(key) != new)
