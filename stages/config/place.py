"""The place of a value in params.yaml: its line, and its path as a person would name it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from stages.config.strict import quote, shorten


def line_of(node: Node | None, path: Sequence[str]) -> int:
    """Return the line of the last key of `path` that the YAML below `node` has, counted from 1."""
    line = 1
    for step in path:
        for key, mark, value in _children(node):
            if key == step:
                node, line = value, 1 + mark.line
                break
        else:
            break
    return line


def _children(node: Node | None) -> Iterator[tuple[str, Any, Node]]:
    """Yield each child of a mapping or list: its key or index as `strict.step` has it, where it begins, and itself."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield shorten(key.value), key.start_mark, value
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield str(index), value.start_mark, value


def named_path(content: Any, path: Sequence[str]) -> tuple[str, ...]:
    """Return `path` with the claim of a published number instead of its index."""
    if tuple(path[:1]) == ("cases",) and tuple(path[2:3]) == ("published",) and len(path) > 3:
        try:
            number = content["cases"][path[1]]["published"][int(path[3])]
        except (LookupError, TypeError, ValueError):
            return tuple(path)
        claim = number.get("claim") if isinstance(number, Mapping) else None
        if isinstance(claim, str):
            return (*path[:3], quote(claim), *path[4:])
    return tuple(path)
