"""params.yaml -> `Params`, and the files of `plan` -> their types. A file that is refused ends in one line."""

import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError, MaxDepthExceededError
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

from stages.base import files
from stages.base.errors import UserError
from stages.config import checks
from stages.config.data import Exercise4Data, MnistData, OwnData
from stages.config.place import line_of, named_path
from stages.config.planned import PlannedCases, PlannedData, PlannedRecipes
from stages.config.schema import MOST_VARIANTS, Params, Task
from stages.config.strict import RefusedError, damaged, first_refusal, printable, quote, shorten

MOST_BYTES = 200_000
MOST_DEPTH = 20  # of mappings and lists in one another
MOST_ITEMS = 2000  # of a mapping or list, so that far too many are refused before they are all read

T = TypeVar("T")


def read(path: Path = files.PARAMS) -> Params:
    """Return the validated content of params.yaml.

    Raises
    ------
    UserError
        If the file is missing, too large or not YAML, or if a value is refused.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is not a file; expected YAML")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run in the folder that holds it") from None
    if len(content) > MOST_BYTES:
        raise UserError(f"{path}: more than {MOST_BYTES} bytes; expected YAML of at most that many")
    value, node = _parsed(content, path)
    return validated(value, path, node)


def cases() -> tuple[str, ...]:
    """Return the names of the cases that `plan` wrote, in the order of params.yaml."""
    return _read_json(files.CASES, TypeAdapter(PlannedCases)).cases


def recipes() -> tuple[str, ...]:
    """Return the recipes of all cases: own, mnist and exercise4."""
    return _read_json(files.RECIPES, TypeAdapter(PlannedRecipes)).recipes


def read_planned(case: str, name: str, kind: type[T]) -> T:
    """Return configs/<case>/<name>.json as `kind`.

    Raises
    ------
    UserError
        If the file is missing or is not what `plan` writes.
    """
    return _read_json(files.config_path(case, name), TypeAdapter(kind))


def read_data(case: str) -> tuple[Task, MnistData | Exercise4Data | OwnData]:
    """Return what configs/<case>/data.json says: the task and the data."""
    planned = read_planned(case, "data", PlannedData)
    return planned.task, planned.data


def _read_json(path: Path, adapter: TypeAdapter[T]) -> T:
    try:
        return adapter.validate_json(files.read_bytes(path))
    except ValidationError as error:
        raise damaged(path, error, "plan") from None


def parsed(content: bytes, path: Path = files.PARAMS) -> Any:
    """Return what the YAML says: text, numbers, truth values, dates, null, mappings and lists.

    Raises
    ------
    UserError
        If it is not YAML, or has an anchor, a tag of its own, a key twice, or too many levels.
    """
    return _parsed(content, path)[0]


def _parsed(content: bytes, path: Path) -> tuple[Any, Node | None]:
    """Return what the YAML says, and the nodes that know the lines."""
    expected = "plain YAML"
    # Without libyaml, so that the words of an error are the same on every machine.
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer, yaml.Constructor, yaml.max_depth = _Composer, _Constructor, MOST_DEPTH
    try:
        node = yaml.compose(content.decode())
        return node and yaml.constructor.construct_document(node), node
    except UnicodeDecodeError as error:
        line, problem = 1 + content.count(b"\n", 0, error.start), f"byte {content[error.start]:#x} is not UTF-8"
    except ReaderError as error:
        line, problem = 1 + content.decode().count("\n", 0, error.position), f"character {error.character:#x}"
    except MaxDepthExceededError as error:
        line, problem = 1 + error.problem_mark.line, f"more than {MOST_DEPTH} mappings and lists in one another"
    except _LongError as error:
        line, problem = 1 + error.problem_mark.line, str(error.problem)
        expected = f"at most {MOST_ITEMS}, and at most {MOST_VARIANTS} variants"
    except MarkedYAMLError as error:
        line, problem = 1 + error.problem_mark.line, plainly(str(error.problem))
    except KeyError:  # of the directive %YAML, which stands first
        line, problem = 1, "an unknown version of YAML"
    raise UserError(printable(f"{path}: line {line}: {shorten(problem, 200)}; expected {expected}"))


def plainly(problem: str) -> str:
    """Return what the YAML parser says, in the words of a person if the mistake is a common one."""
    if problem == r"found character '\t' that cannot start any token":
        return "a tab, where only spaces are allowed"
    if problem == "mapping values are not allowed here":
        return "a colon in a text without quotes, or wrong indentation"
    return re.sub(r"^found duplicate key (.*) with value .*", r"the key \1 stands twice", problem, flags=re.DOTALL)


class _LongError(ComposerError):
    """A mapping or list that is too long."""


class _Composer(Composer):
    """A composer that refuses anchors, by which a small file can become a large one, and keys that are not scalars.

    `path` has the document and the keys above the node that is composed.
    """

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self.path: list[str] = []

    def compose_node(self, parent: Node | None, index: Any) -> Any:
        event = self.parser.peek_event()
        if isinstance(parent, CollectionNode) and len(parent.value) == MOST_ITEMS:
            kind = "keys" if isinstance(parent, MappingNode) else "items"
            problem = f"{'.'.join(self.path[1:]) or 'the file'}: more than {MOST_ITEMS} {kind}"
            raise _LongError(None, None, problem, parent.start_mark)
        if getattr(event, "anchor", None) is not None:
            raise ComposerError(None, None, f"the anchor {quote(event.anchor)}", event.start_mark)
        self.path.append(str(getattr(index, "value", index)))
        node = super().compose_node(parent, index)
        self.path.pop()
        if isinstance(parent, MappingNode) and index is None and not isinstance(node, ScalarNode):
            raise ComposerError(None, None, "a mapping or a list as a key", event.start_mark)
        return node


class _Constructor(SafeConstructor):
    """A constructor of plain values, each of a size that Python can work with."""

    KINDS = ("bool", "float", "int", "map", "null", "seq", "str", "timestamp")

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        tag = str(node.tag)
        kind = tag.removeprefix("tag:yaml.org,2002:")
        if kind not in self.KINDS:
            raise ConstructorError(None, None, f"tag {quote(tag)}", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, OverflowError):
            raise ConstructorError(None, None, f"{quote(node.value)} is not a {kind}", node.start_mark) from None


def validated(content: Any, path: Path = files.PARAMS, node: Node | None = None) -> Params:
    """Return the parsed `content` of params.yaml as `Params`. With its `node`, an error has the line.

    Raises
    ------
    UserError
        If a value is refused.
    """
    try:
        if content is None:
            raise RefusedError("empty", f"a mapping of the keys {', '.join(Params.model_fields)}")
        params = Params.model_validate(content)
        if list(content)[-1] != "cases":
            expected = "cases as the last key, so that a case can be added at the end of the file"
            raise RefusedError("after cases", expected, list(content)[-1])
        checks.check(params)
    except ValidationError as error:
        refusal = first_refusal(error, content)
    except RefusedError as error:
        refusal = error
    else:
        return params
    file = f"{path}: line {line_of(node, refusal.path)}" if node else str(path)
    named = RefusedError(refusal.problem, refusal.expected, *named_path(content, refusal.path))
    raise UserError(named.line(file))
