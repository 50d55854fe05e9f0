"""Which of the project's files a stage runs, and their digests."""

import ast
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
# Modules beside the stages that people run themselves: no stage of the pipeline depends on their code.
TOOLS = ("case", "classify")


def stage_modules() -> dict[str, Path]:
    """The module of every stage, by its name."""
    return {path.stem: path for path in sorted(PACKAGE.glob("*.py")) if path.stem not in ("__init__", *TOOLS)}


def digests(module: Path) -> dict[str, str]:
    """SHA-256 of every file that runs when `module` does, by its path from the root of the repository."""
    paths = sorted(closure(module))
    return {path.relative_to(PACKAGE.parent).as_posix(): sha256(path.read_bytes()).hexdigest() for path in paths}


def closure(module: Path) -> set[Path]:
    """The project's files that run when `module` does: what it imports, anywhere in it, and what these import."""
    found: set[Path] = set()
    waiting = {module}
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= (_imported(path) | _packages(path)) - found
    return found


def _packages(path: Path) -> set[Path]:
    """The ``__init__.py`` that are run before the module at `path`."""
    return {folder / "__init__.py" for folder in path.parents if folder.is_relative_to(PACKAGE)}


@cache
def _imported(path: Path) -> frozenset[Path]:
    names: set[str] = set()
    for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    inside = [name.split(".")[1:] for name in names if name.split(".")[0] == PACKAGE.name]
    files = [PACKAGE.joinpath(*parts).with_suffix(".py") for parts in inside if parts]
    return frozenset(file for file in files if file.is_file())


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Everything in `node` that can run, so not what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield child
            yield from _statements(child)
