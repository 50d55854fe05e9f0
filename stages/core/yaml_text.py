"""An entry more in a mapping of a YAML text, every other byte as it was.

ruamel.yaml's round trip would keep comments, but sets lines, quotes and blanks anew; so the entry's own text is put
where the mapping ends.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
)
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

# Longer than any line: none is broken.
WIDTH = 1_000_000


@dataclass(frozen=True)
class _Place:
    """A mapping in a text: its style, the column of its keys, and where each key starts and its last value ends."""

    flow: bool
    column: int
    keys: tuple[int, ...]
    end: int


def insert(text: str, mapping: str, name: str, value: Mapping[str, Any]) -> str:
    """`text` with `value` under `name` as the last entry of the mapping that the key `mapping` at its top holds.

    Raises
    ------
    ValueError
        When there is no such mapping with an entry, or the entry cannot be put there without more being changed.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        place = _place(yaml.parse(text), mapping)
    except (AttributeError, KeyError, StopIteration) as error:
        raise ValueError(f"{mapping} is no mapping that is written out") from error
    if place is None:
        raise ValueError(f"{mapping} is no mapping that is written out")
    if place.flow:
        entry = f", {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"
        changed = text[: place.end] + entry + text[place.end :]
    else:
        changed = _inserted(text, place, name, value)
    expected = yaml.load(text)
    expected[mapping] = {**expected[mapping], name: value}
    try:
        is_expected = yaml.load(changed) == expected
    except YAMLError:
        is_expected = False
    if not is_expected:
        raise ValueError(f"{mapping} is written in a way that takes no entry at its end")
    return changed


def _inserted(text: str, place: _Place, name: str, value: Mapping[str, Any]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    at = _end_of_block(text, place)
    indent = " " * place.column
    lines = [f"{indent}{line}" if line else line for line in block(name, value).splitlines()]
    blanks = "\n\n" in text[place.keys[0] : place.keys[-1]].replace("\r\n", "\n") or len(place.keys) == 1
    if blanks and len(lines) > 1:
        lines.insert(0, "")
    before = newline if at and not text[:at].endswith("\n") else ""
    return text[:at] + before + newline.join(lines) + newline + text[at:]


def _end_of_block(text: str, place: _Place) -> int:
    """Where the line after the last one of a mapping in block style starts: its value's, or a comment's of its own."""
    at = place.end if text[: place.end].endswith("\n") else _next_line(text, place.end)
    start = at
    while start < len(text):
        end = _next_line(text, start)
        line = text[start:end]
        column = len(line) - len(line.lstrip(" "))
        if line.strip() and not (line.lstrip(" ").startswith("#") and column >= place.column):
            break
        start = end
        # Blank lines belong to what follows them.
        if line.strip():
            at = end
    return at


def _next_line(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _place(events: Iterator[Event], mapping: str) -> _Place | None:
    """Where the value of the key `mapping` of the first document is; None where it is no mapping of its own."""
    while not isinstance(event := next(events), CollectionStartEvent | ScalarEvent | AliasEvent):
        pass
    if not isinstance(event, MappingStartEvent):
        return None
    while isinstance(key := next(events), CollectionStartEvent | ScalarEvent | AliasEvent):
        if isinstance(key, CollectionStartEvent):
            _skip(events)
        value = next(events)
        if isinstance(key, ScalarEvent) and key.value == mapping:
            return _entries(events, bool(value.flow_style)) if isinstance(value, MappingStartEvent) else None
        if isinstance(value, CollectionStartEvent):
            _skip(events)
    return None


def _entries(events: Iterator[Event], flow: bool) -> _Place | None:
    keys, end, column = [], 0, 0
    while not isinstance(event := next(events), CollectionEndEvent):
        keys.append(event.start_mark.index)
        column = event.start_mark.column
        if isinstance(event, CollectionStartEvent):
            _skip(events)
        event = next(events)
        end = _skip(events, event) if isinstance(event, CollectionStartEvent) else event.end_mark.index
    return _Place(flow, column, tuple(keys), end) if keys else None


def _skip(events: Iterator[Event], start: Event | None = None) -> int:
    """Pass over a collection that has begun, and say where the last of its text ends."""
    depth, end = 1, start.end_mark.index if start else 0
    opened = [bool(start.flow_style) if isinstance(start, CollectionStartEvent) else False]
    while depth:
        event = next(events)
        if isinstance(event, CollectionStartEvent):
            depth += 1
            opened.append(bool(event.flow_style))
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
            # A block's end has no text of its own.
            if opened.pop():
                end = event.end_mark.index
        else:
            end = event.end_mark.index
    return end


def block(name: str, value: Mapping[str, Any]) -> str:
    """`value` under `name`, in the style of params.yaml: an entry a line, what is inside of an entry in its line."""
    yaml = YAML()
    yaml.width = WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    yaml.dump({name: _styled(value)}, stream)
    return stream.getvalue()


def _styled(value: Any) -> Any:
    """`value` with the styles of its parts: lists and innermost mappings in one line, quotes double where needed."""
    if isinstance(value, Mapping):
        styled = CommentedMap((key, _styled(one)) for key, one in value.items())
        if not any(isinstance(one, Mapping) for one in value.values()):
            styled.fa.set_flow_style()
        return styled
    if isinstance(value, Sequence) and not isinstance(value, str):
        listed = CommentedSeq(map(_styled, value))
        listed.fa.set_flow_style()
        return listed
    return DoubleQuotedScalarString(value) if isinstance(value, str) and _is_quoted(value) else value


def _is_quoted(text: str) -> bool:
    """Whether `text` without quotes would be something else, in a line of its own or among others."""
    stream = StringIO()
    yaml = YAML()
    yaml.width = WIDTH
    yaml.dump([text], stream)
    if stream.getvalue().startswith(("- '", '- "')):
        return True
    try:
        return bool(YAML(typ="safe", pure=True).load(f"a: {{b: {text}}}") != {"a": {"b": text}})
    except YAMLError:
        return True
