"""A case, or a fix of a case, -> its block in the text of params.yaml. Every other byte of the text stays.

A block is put in by the positions that ruamel.yaml gives. The new text is then parsed: it must say what the old text
said and the new entry, or nothing is returned.
"""

import io
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from stages.base.errors import UserError
from stages.config import load
from stages.config.strict import printable, quote

# Mappings that have a line per key; all others stand in one line.
IN_LINES = ("as_posted", "fixes", "layers", "variants")
STEP = 2


def with_case(text: str, name: str, case: Mapping[str, Any], *, replace: bool = False) -> str:
    """Return the text of params.yaml with a case, as the last one or in the place of the case `name`.

    Raises
    ------
    UserError
        If there is a case `name` and `replace` is false, or the text is not YAML that a case can be put into.
    """
    return with_entries(text, ("cases",), {name: case}, replace=replace)


def with_fixes(text: str, case: str, fixes: Mapping[str, Any], *, replace: bool = False) -> str:
    """Return the text of params.yaml with `fixes` at the end of the fixes of `case`.

    Raises
    ------
    UserError
        As `with_case` does.
    """
    return with_entries(text, ("cases", case, "fixes"), fixes, replace=replace)


def with_entries(text: str, path: Sequence[str], entries: Mapping[str, Any], *, replace: bool = False) -> str:
    """Return `text` with `entries`, by name, in the mapping at `path`."""
    if not entries:
        return text
    names = ", ".join(entries)
    before = load.parsed(text.encode())
    place: Any = before
    for key in path:
        if not isinstance(place, dict) or key not in place:
            raise UserError(f"params.yaml: no {'.'.join(path)}; expected a mapping to put {names} into")
        place = place[key]
    if place is not None and not isinstance(place, dict):
        raise UserError(f"params.yaml: {'.'.join(path)} is {quote(place)}; expected a mapping")
    for name in entries:
        if place and name in place and not replace:
            raise UserError(f"params.yaml: {'.'.join((*path, name))} exists; expected another name, or --replace")
    found = spliced(text, path, entries)
    if not says(found, before, path, entries):
        expected = "the keys of a mapping in lines of their own, as in the params.yaml of this repository"
        raise UserError(printable(f"params.yaml: {names} cannot be put into {'.'.join(path)}; expected {expected}"))
    return found


def says(text: str, before: Any, path: Sequence[str], entries: Mapping[str, Any]) -> bool:
    """Return whether `text` says what `before` is, and the entries, in this order."""
    expected = deepcopy(before)
    parent = expected
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = {**(parent[path[-1]] or {}), **entries}
    try:
        # As text, in which the order of keys counts.
        return repr(load.parsed(text.encode())) == repr(expected)
    except UserError:
        return False


def spliced(text: str, path: Sequence[str], entries: Mapping[str, Any]) -> str:
    """Return `text` with the entries, before the check of what the new text says."""
    node: Node = YAML(typ="safe", pure=True).compose(text)
    column, in_flow = 0, in_braces(node)
    for key in path:
        key_node, node = next((k, v) for k, v in node.value if k.value == key)
        column = key_node.start_mark.column
        in_flow = in_flow or (isinstance(node, MappingNode) and in_braces(node) and bool(node.value))
    newline = "\r\n" if "\r\n" in text else "\n"
    pairs = node.value if isinstance(node, MappingNode) else []
    if in_flow:
        return spliced_in_flow(text, node, entries)
    if not pairs:
        start, end = node.start_mark.index, node.end_mark.index
        if isinstance(node, ScalarNode) and not node.value:  # nothing after the colon
            start = end = key_node.end_mark.index + 1
        before = text[:start].rstrip(" ")
        text = before + text[end:]
        lines = "".join(block(name, value, column + STEP, newline) for name, value in entries.items())
        return inserted(text, line_end(text, len(before)), lines, newline)
    indent = pairs[0][0].start_mark.column
    replaced = {key_node.value for key_node, _ in pairs} & entries.keys()
    lines = "".join(block(name, value, indent, newline) for name, value in entries.items() if name not in replaced)
    if lines:
        end = node.end_mark.index
        if text[end:].strip() not in ("", "..."):
            end = line_end(text, content_end(text, *pairs[-1]))
        text = inserted(text, end, lines, newline)
    for key_node, value_node in reversed(pairs):  # from the end, so that the positions before stay right
        if key_node.value in replaced:
            start = key_node.start_mark.index - key_node.start_mark.column
            end = line_end(text, content_end(text, key_node, value_node))
            entry = block(key_node.value, entries[key_node.value], indent, newline).rstrip("\r\n")
            text = text[:start] + entry + text[end:]
    return text


def spliced_in_flow(text: str, node: Node, entries: Mapping[str, Any]) -> str:
    """Return `text` with the entries in a mapping that stands in braces."""
    if isinstance(node, ScalarNode):
        start, end = node.start_mark.index, node.end_mark.index
        return f"{text[:start]} {{{pairs_in_flow(entries)}}}{text[end:]}"
    replaced = {key_node.value for key_node, _ in node.value} & entries.keys()
    if added := pairs_in_flow({name: value for name, value in entries.items() if name not in replaced}):
        end = content_end(text, *node.value[-1]) if node.value else node.start_mark.index + 1
        text = text[:end] + (", " if node.value else "") + added + text[end:]
    for key_node, value_node in reversed(node.value):
        if key_node.value in replaced:
            value = flow(entries[key_node.value])
            text = text[: value_node.start_mark.index] + value + text[value_node.end_mark.index :]
    return text


def pairs_in_flow(entries: Mapping[str, Any]) -> str:
    """Return entries in one line, without braces."""
    return ", ".join(f"{flow(name)}: {flow(value)}" for name, value in entries.items())


def in_braces(node: Node) -> bool:
    """Return whether a mapping or a list stands in braces or brackets."""
    return bool(getattr(node, "flow_style", False))


def content_end(text: str, key: Node, value: Node) -> int:
    """Return the position after the last character of an entry, without comments and blank lines after it."""
    while isinstance(value.value, list) and value.value and not in_braces(value):
        last = value.value[-1]
        key, value = last if isinstance(value, MappingNode) else (last, last)
    end: int = max(key.end_mark.index, value.end_mark.index if value.value or in_braces(value) else 0)
    return len(text[:end].rstrip())


def line_end(text: str, position: int) -> int:
    """Return the position of the end of the line at `position`, before its newline."""
    end = text.find("\n", position)
    if end < 0:
        return len(text)
    return end - 1 if text[:end].endswith("\r") else end


def inserted(text: str, position: int, entry: str, newline: str) -> str:
    """Return `text` with the lines `entry` after the line that ends at `position`, or before the line at `position`."""
    before, after = text[:position], text[position:]
    if before and not before.endswith("\n"):
        if after.startswith(("\n", "\r\n")):
            return before + newline + entry.rstrip("\r\n") + after
        return before + newline + entry + after
    return before + entry + after


def block(name: str, value: Any, indent: int, newline: str = "\n") -> str:
    """Return an entry as lines, its name at the column `indent`."""
    return "".join(f"{' ' * indent}{line}{newline}" for line in lines(name, value, top=True))


def lines(name: str, value: Any, *, top: bool = False) -> list[str]:
    """Return an entry as lines; its name stands at the column 0."""
    if isinstance(value, Mapping) and value and (top or name in IN_LINES):
        below = name in ("fixes", "variants")
        inner = [each for key, entry in value.items() for each in lines(key, entry, top=below)]
        return [f"{flow(name)}:", *(f"{' ' * STEP}{each}" for each in inner)]
    return [f"{flow(name)}: {flow(value)}"]


def flow(value: Any) -> str:
    """Return YAML in one line."""
    yaml = YAML()
    yaml.default_flow_style, yaml.width = True, 1_000_000
    text = io.StringIO()
    # A text alone would not be quoted as it must be in a mapping, and a mapping alone in a list has no braces.
    yaml.dump(value if isinstance(value, Mapping) else [value], text)
    found = text.getvalue().strip()
    return found if isinstance(value, Mapping) else found[1:-1]
