"""Settings as text: nested keys joined by dots, and what a fix changes."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.config.network import short


def text(value: Any) -> str:
    """Return a setting for a reader: short numbers, lists without brackets, ``none`` for null."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(text, value)) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested `values` as dotted key -> text. What has a name is shown by it: ``optimizer`` -> ``adam``."""
    texts: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
            value = {each["name"]: {part: own for part, own in each.items() if part != "name"} for each in value}
        if isinstance(value, Mapping):
            # Else a layer is called "name".
            named = isinstance(value.get("name"), str)
            texts |= {f"{prefix}{key}": text(value["name"])} if named else {}
            texts |= flat({part: own for part, own in value.items() if part != "name" or not named}, f"{prefix}{key}.")
        else:
            texts[f"{prefix}{key}"] = text(value)
    return texts


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Return what differs between two networks as trees: (dotted key, value before, value after).

    A setting that has Keras's default on one side alone shows it; one that is only on one side has no text there.
    """
    shown = flat(short(before)), flat(short(after))
    whole = flat(before), flat(after)
    keys = dict.fromkeys([*shown[1], *shown[0]])
    rows = ((key, *(some.get(key, full.get(key, "")) for some, full in zip(shown, whole, strict=True))) for key in keys)
    return tuple((key, old, new) for key, old, new in rows if old != new)
