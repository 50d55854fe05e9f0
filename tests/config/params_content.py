"""The content of the real params.yaml, and changed copies of it."""

import copy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.base.errors import UserError
from stages.config import load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
# To be copied before it is changed.
CONTENT: dict[str, Any] = YAML(typ="safe").load(TEXT)
ABSENT = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return a copy with `value` at the dotted `path`, or without that key if `value` is ABSENT."""
    content = copy.deepcopy(CONTENT)
    *parents, last = (int(key) if key.isdigit() else key for key in path.split("."))
    node: Any = content
    for key in parents:
        node = node[key]
    if value is ABSENT:
        del node[last]
    elif isinstance(node, list) and last == len(node):
        node.append(value)
    else:
        node[last] = value
    return content


def refusal(content: Any) -> str:
    """Return the error for `content`, without the name of the file."""
    with pytest.raises(UserError) as caught:
        load.validated(content)
    message = str(caught.value)
    assert message.startswith("params.yaml: ")
    assert len(message.splitlines()) == 1
    return message.removeprefix("params.yaml: ")
