"""Fixes: what they do to a network as posted, and which of them are alternatives.

Within a point the operations apply by kind (remove, insert, set, multiply), never by the order in which fixes are
listed, because a point is a set. Settings are addressed by paths, such as ``layers.output.units``; one segment may be a
pattern over the names of layers: ``layers.*.l2`` stands for all layers that have this setting.
"""

import math
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from copy import deepcopy
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from stages.config import names
from stages.config.network import PostedNetwork
from stages.config.strict import (
    Number,
    RefusedError,
    Strict,
    Text,
    Values,
    WebAddress,
    did_you_mean,
    first_refusal,
    none_of,
    quote,
    shorten,
)

Tree = dict[str, Any]
Path = tuple[str, ...]

OPERATIONS = ("set", "multiply", "insert", "remove")


class Fix(Strict):
    """A named change to the posted configuration, with its reason, and perhaps the `source` of the advice.

    `set` gives settings new values, `multiply` scales numbers, `insert` adds layers (each says ``after`` or ``before``
    which layer), and `remove` takes layers out.
    """

    why: Text
    source: WebAddress | None = None
    set: Values = Field(default={})
    multiply: dict[str, Number] = Field(default={})
    insert: dict[str, dict[str, Any]] = Field(default={})
    remove: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _check_operations(self) -> Self:
        if not any(getattr(self, operation) for operation in OPERATIONS):
            raise RefusedError("a fix that changes nothing", f"one of: {', '.join(OPERATIONS)}")
        return self


def apply(posted: PostedNetwork, fixes: Mapping[str, Fix], overrides: Mapping[str, Any]) -> PostedNetwork:
    """Return `posted` changed by `fixes`, by name, and then by the settings `overrides`.

    Raises
    ------
    RefusedError
        If a path leads nowhere, or the result is no network. Its path is below the case, or for an override below the
        variant that has it.
    """
    tree = posted.tree()
    removed = {layer for fix in fixes.values() for layer in fix.remove}
    _insert_and_remove(tree, fixes, removed)
    places: dict[Path, Path] = {}
    for name, path, value in _in_order(fixes, "set"):
        place = ("fixes", name, "set", path)
        for found in _found(tree, path, place, removed):
            _put(tree, found, value, place)
            places[found] = place
    if any(fix.multiply for fix in fixes.values()):  # which needs the numbers that a name alone stands for
        tree = _checked(tree, fixes, places).tree()
    for name, path, factor in _in_order(fixes, "multiply"):
        place = ("fixes", name, "multiply", path)
        for found in _found(tree, path, place, removed):
            _put(tree, found, _product(_value(tree, found), factor, place), place)
            places[found] = place
    for path, value in overrides.items():
        here = ("set", path)
        for found in _found(tree, path, here, removed):
            _put(tree, found, value, here)
            places[found] = here
    return _checked(tree, fixes, places)


def alternatives(posted: PostedNetwork, fixes: Mapping[str, Fix]) -> set[frozenset[str]]:
    """Return the pairs of fixes that are never combined.

    They set one path, or paths of which one begins with the other, or multiply one number, or insert layers of one
    name. To set a whole layer is an alternative to its insertion; to set one of its settings is not.
    """
    tree = posted.tree()
    for name, fix in fixes.items():
        tree["layers"] |= {layer: _inserted(name, layer, settings) for layer, settings in fix.insert.items()}
    sets = {name: {found for path in fix.set for found in _concrete(tree, path)} for name, fix in fixes.items()}
    inserted = {name: {("layers", layer) for layer in fix.insert} for name, fix in fixes.items()}
    factors = {name: {found for path in fix.multiply for found in _concrete(tree, path)} for name, fix in fixes.items()}
    return {
        frozenset((first, second))
        for first, second in combinations(fixes, 2)
        if _meet(sets[first], sets[second])
        or _meet(sets[second], sets[first])
        or _meet(sets[first], inserted[second])
        or _meet(sets[second], inserted[first])
        or inserted[first] & inserted[second]
        or factors[first] & factors[second]
    }


def _meet(paths: AbstractSet[Path], others: AbstractSet[Path]) -> bool:
    """Return whether one of `others` is, or begins with, one of `paths`."""
    return any(other[: len(path)] == path for path in paths for other in others)


def _in_order(fixes: Mapping[str, Fix], operation: str) -> Iterator[tuple[str, str, Any]]:
    """Yield fix, path and value of an operation, in an order that does not depend on that of the fixes."""
    rows = [(path, name, value) for name, fix in fixes.items() for path, value in getattr(fix, operation).items()]
    for path, name, value in sorted(rows, key=lambda row: row[:2]):
        yield name, path, value


def _insert_and_remove(tree: Tree, fixes: Mapping[str, Fix], removed: set[str]) -> None:
    layers = tree["layers"]
    order = list(layers)
    for name, fix in fixes.items():
        for layer in fix.remove:
            if layer not in layers:
                raise none_of(layer, order, "fixes", name, "remove", kind="the layers")
    # Places are those of the layers as posted. Of two layers with one place, the first of the alphabet comes first.
    inserted = sorted(
        ((layer, settings, name) for name, fix in fixes.items() for layer, settings in fix.insert.items()),
        key=lambda row: row[0],
    )
    places: dict[tuple[Any, str], list[str]] = {}
    for layer, settings, name in inserted:
        place = ("fixes", name, "insert", layer)
        if layer in layers:
            raise RefusedError(quote(layer), "a name that no other layer has", *place)
        sides = [key for key in ("after", "before") if key in settings]
        if len(sides) != 1:
            raise RefusedError(f"{len(sides)} of after and before", "one of them, with the name of a layer", *place)
        if settings[sides[0]] not in order:
            raise none_of(settings[sides[0]], order, *place, sides[0], kind="the layers")
        layers[layer] = _inserted(name, layer, settings)
        places.setdefault((settings[sides[0]], sides[0]), []).append(layer)
    sequence = [
        each
        for layer in order
        for each in (*places.get((layer, "before"), ()), layer, *places.get((layer, "after"), ()))
    ]
    tree["layers"] = {layer: layers[layer] for layer in sequence if layer not in removed}


def _inserted(fix: str, layer: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the layer that `fix` inserts, with every setting."""
    try:
        return names.layer({key: value for key, value in settings.items() if key not in ("after", "before")})
    except RefusedError as refusal:
        raise refusal.below("fixes", fix, "insert", layer) from None


def _concrete(tree: Tree, path: str) -> list[Path]:
    """Return the paths that `path` stands for; a path without a pattern stands for itself."""
    segments = tuple(path.split("."))
    if segments[0] != "layers" or len(segments) < 2 or segments[1] in tree["layers"]:
        return [segments]
    setting = segments[2] if len(segments) > 2 else "layer"
    return [
        ("layers", name, *segments[2:])
        for name, layer in tree["layers"].items()
        if fnmatchcase(name, segments[1]) and setting in layer
    ]


def _found(tree: Tree, path: str, place: Path, removed: set[str]) -> list[Path]:
    """Return the paths that `path` stands for, all of which lead somewhere; none if their layer was removed."""
    segments = path.split(".")
    if segments[0] == "layers" and len(segments) > 1 and segments[1] in removed:
        return []
    paths = _concrete(tree, path)
    if not paths and any(fnmatchcase(layer, segments[1]) for layer in removed):
        return []
    if not paths:
        problem = quote(path) + did_you_mean(segments[1], tree["layers"])
        raise RefusedError(problem, f"a path to a setting; the layers are {', '.join(tree['layers'])}", *place)
    for found in paths:
        node: Any = tree
        for number, segment in enumerate(found):
            if not isinstance(node, Mapping) or segment not in node:
                known = ", ".join(map(str, node)) if isinstance(node, Mapping) else quote(node)
                where = ".".join(found[:number]) or "the network"
                question = did_you_mean(segment, node) if isinstance(node, Mapping) else ""
                raise RefusedError(
                    f"no {shorten(segment)}{question}", f"one of those that {where} has: {known}", *place
                )
            node = node[segment]
    return paths


def _value(tree: Tree, path: Path) -> Any:
    node: Any = tree
    for segment in path:
        node = node[segment]
    return node


def _put(tree: Tree, path: Path, value: Any, place: Path) -> None:
    if path == ("layers",) and not isinstance(value, Mapping):
        raise RefusedError(quote(value), "a mapping of names to layers", *place)
    _value(tree, path[:-1])[path[-1]] = deepcopy(value)


def _product(value: Any, factor: float, place: Path) -> Any:
    """Return `value` times `factor`: whole numbers stay whole, and a schedule is scaled as a whole."""
    if isinstance(value, Mapping) and "name" in value:
        scaled = {
            key: _product(value[key], factor, place) for key in ("initial_learning_rate", "values") if key in value
        }
        if scaled:
            return {**value, **scaled}
    if isinstance(value, list):
        return [each * factor for each in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError(f"{quote(value)} times {factor:g}", "the path of a number", *place)
    product = value * factor
    if not isinstance(value, int):
        return product
    if not math.isfinite(product):
        raise RefusedError(f"{quote(value)} times {factor:g}", "a smaller factor", *place)
    return max(1, round(product))


def _checked(tree: Tree, fixes: Mapping[str, Fix], places: Mapping[Path, Path]) -> PostedNetwork:
    try:
        return PostedNetwork.model_validate(tree)
    except ValidationError as error:
        refusal = first_refusal(error, tree)
        path = refusal.path
        # The longest path that a fix or a variant has set says which line to edit.
        for length in range(len(path), 0, -1):
            if path[:length] in places:
                raise RefusedError(refusal.problem, refusal.expected, *places[path[:length]], *path[length:]) from None
        if any(place[0] == "set" for place in places.values()):
            raise refusal.below("set") from None
        if len(fixes) == 1:
            raise RefusedError(refusal.problem, refusal.expected, "fixes", next(iter(fixes))) from None
        problem = f"{' and '.join(fixes)} together: {refusal.problem}"
        raise RefusedError(problem, refusal.expected, "fixes") from None
