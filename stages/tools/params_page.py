"""Write docs/params.md, the reference of params.yaml, from the schema and the words of params_page.yaml."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.base import console, files
from stages.config import names
from stages.config.schema import Params
from stages.config.strict import Missing, quote
from stages.page import keras_calls

PAGE = Path("docs/params.md")
WORDS = Path(__file__).with_name("params_page.yaml")
START = """\
# The keys of params.yaml

Every key of `params.yaml` with its type, its default and an example. A key that you leave out has its default. If the
default is none, the key does nothing unless you write it. The column *Keras* shows the example as code for Keras 3,
without module names. Names below a key are the layers, losses or optimizers that have the key. `<case>` and other
words in angle brackets are names that you choose. A number may be a fraction, such as `1/255`. [editing.md](editing.md)
says how to check an edit.

`python -m stages params_page` writes this page from the schema by which the stage `plan` checks the file.
"""
COLUMNS = ("key", "meaning", "type", "default", "example", "Keras")
MODULES = re.compile(r"\b(keras|tf)\.([a-z]+\.)*")

Section = Mapping[str, Any]
Row = dict[str, str]


def main() -> None:
    """Write the page."""
    files.write_bytes(PAGE, page(read_words()).encode())
    console.wrote(PAGE)


def read_words() -> list[Section]:
    """Return the sections of the page. Examples are texts, as they are written in YAML."""
    sections: list[Section] = YAML(typ="base", pure=True).load(WORDS)
    return sections


def page(sections: Sequence[Section]) -> str:
    """Return the page as Markdown.

    Raises
    ------
    ValueError
        If the sections describe other keys than the schema and Keras have.
    RefusedError
        If the example of a setting of Keras is refused.
    """
    schema = Params.model_json_schema()
    models = {**schema["$defs"], "Params": schema}
    links = {each["model"]: f"[{each['as']}](#{slug(each['title'])})" for each in sections if "as" in each}
    contents = " · ".join(f"[{each['title']}](#{slug(each['title'])})" for each in sections)
    texts = [START, f"{contents}\n"]
    for section in sections:
        group = section.get("group", "")
        rows = group_rows(section, group) if group else model_rows(section, models.pop(section["model"]), links)
        keys = section.get("keys", {})
        if unknown := sorted(keys.keys() - {each["key"].split("`")[1] for each in rows}):
            raise ValueError(f"{WORDS.name}: {section['title']}: unknown keys {', '.join(unknown)}")
        parts = [f"## {section['title']}\n"]
        if "path" in section:
            parts.append(f"{section['path']}\n")
        if "text" in section:
            found = names.described().get(group, ())
            parts.append(section["text"].format(names=listed(found), aliases=aliases(group)))
        texts.append("\n".join([*parts, *table(rows)]))
    if models:
        raise ValueError(f"{WORDS.name}: no section about {', '.join(sorted(models))}")
    return "\n".join(texts)


def slug(title: str) -> str:
    """Return the anchor that GitHub gives to a heading of letters, digits and spaces."""
    return title.lower().replace(" ", "-")


def listed(texts: Iterable[str]) -> str:
    """Return texts as code with commas between them."""
    return ", ".join(f"`{text}`" for text in texts)


def aliases(group: str) -> str:
    """Return a sentence about the other names that Keras has, or nothing."""
    others = names.described()["aliases"].get(group, {})
    return f"Other names: {', '.join(f'`{alias}` for `{name}`' for alias, name in others.items())}." if others else ""


def model_rows(section: Section, model: Mapping[str, Any], links: Mapping[str, str]) -> list[Row]:
    """Return a row per key of a model, of which `model` is the JSON schema."""
    rows = []
    for key, schema in model["properties"].items():
        words = section["keys"][key]
        value = Missing() if key in model.get("required", ()) else schema.get("default")
        rows.append(row(key, words, type=words.get("type") or type_of(schema, links), default=default(value)))
    return rows


def group_rows(section: Section, group: str) -> list[Row]:
    """Return a row per setting of a group of Keras, with the names that have it. Shared settings come first."""
    found = names.described()[group]
    owners: dict[str, tuple[str, Mapping[str, Any], list[str]]] = {}
    for owner, settings in found.items() if isinstance(found, Mapping) else ():
        for key, setting in settings.items():
            owners.setdefault(f"{key} {setting}", (key, setting, []))[2].append(owner)
    rows = []
    for key, setting, some in sorted(owners.values(), key=lambda each: (-len(each[2]), each[2][0], each[0])):
        words = section["keys"][key]
        if "keras" not in words:
            words = {
                **words,
                "keras": call(group, "adam" if "adam" in some else some[0], key, setting, words["example"]),
            }
        value = setting.get("default", Missing())
        rows.append(row(key, words, owned(some, found), type=type_of_setting(key, setting), default=default(value)))
    return rows


def row(key: str, words: Mapping[str, str], *of: str, **cells: str) -> Row:
    """Return the cells of a key, perhaps the key `of` something, by columns. A default in `words` comes first."""
    unit = f"; unit: {words['unit']}" if "unit" in words else ""
    code = MODULES.sub("", words.get("keras", ""))
    return {
        **cells,
        "key": "<br>".join([f"`{key}`", *of]),
        "meaning": words["means"],
        "type": cells["type"] + unit,
        "default": words.get("default", cells["default"]),
        "example": f"`{words['example']}`",
        "Keras": f"`{code}`" if code else "",
    }


def table(rows: Sequence[Row]) -> list[str]:
    """Return rows as the lines of a table, without columns that are empty."""
    columns = [column for column in COLUMNS if any(each.get(column) for each in rows)]
    lines = [columns, ["---"] * len(columns), *([each.get(column, "") for column in columns] for each in rows)]
    return [f"| {' | '.join(line)} |" for line in lines if columns] + [""] * bool(columns)


def default(value: Any) -> str:
    """Return a default in words."""
    if isinstance(value, Missing):
        return "required"
    if value in (None, [], {}):
        return "none"
    return f"`{value if isinstance(value, str) else quote(value)}`"


def type_of(schema: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """Return what a JSON schema takes, in words, without null if that is the default."""
    if "$ref" in schema:
        return links[schema["$ref"].rpartition("/")[2]]
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        kinds = [type_of(choice, links) for choice in choices if choice.get("type") != "null" or schema.get("default")]
        return ", or ".join(kinds)
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return listed(value if isinstance(value, str) else quote(value) for value in values)
    match schema["type"]:
        case "array":
            each = re.sub("^(text|whole number)", r"\1s", type_of(schema["items"], links))
            return f"list of {each}" + at_most(schema.get("maxItems"), "entries")
        case "object":
            each = type_of(schema["additionalProperties"], links)
            return f"mapping of a name to {each}" + at_most(schema.get("maxProperties"), "entries")
        case "string":
            return "text" + at_most(schema.get("maxLength"), "characters")
        case "boolean" | "null":
            return {"boolean": "true or false", "null": "null"}[schema["type"]]
    low, above = schema.get("minimum", -math.inf), schema.get("exclusiveMinimum")
    high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf) - 1)  # only whole numbers have the second
    return f"number above {above}" if above is not None else number(schema["type"], low, high)


def at_most(limit: int | None, unit: str) -> str:
    """Return a limit in words, or nothing."""
    return f", at most {limit:,} {unit}" if limit else ""


def type_of_setting(key: str, setting: Mapping[str, Any]) -> str:
    """Return what a setting of Keras takes, in words."""
    match setting["kind"]:
        case "activation" | "initializer" as kind:
            return f"[{kind}](#{kind}s)"
        case "text":
            return listed(names.MONITORS if key == "monitor" else names.WORDS[key])
        case "rate":
            return "number above 0, or [schedule](#schedules)"
        case "boolean":
            return "true or false"
        case "numbers":
            return "list of numbers"
    return number(setting["kind"], *names.LIMITS.get(key, (-math.inf, math.inf)))


def number(kind: str, low: float, high: float) -> str:
    """Return a kind of number and its limits in words."""
    words = {"integer": "whole number", "number": "number"}[kind]
    first, last = (f"{limit:,.0f}" if limit == round(limit, 0) else f"{limit:g}" for limit in (low, high))
    if math.isfinite(low):
        return f"{words}, {first} to {last}" if math.isfinite(high) else f"{words}, at least {first}"
    return f"{words}, at most {last}" if math.isfinite(high) else words


def owned(some: Sequence[str], found: Iterable[str]) -> str:
    """Return the names that have a setting, in words."""
    others = [name for name in found if name not in some]
    return f"all but {', '.join(others)}" if 0 < len(others) < len(some) / 3 else ", ".join(some)


def call(group: str, owner: str, key: str, setting: Mapping[str, Any], example: str) -> str:
    """Return the source code by which Keras 3 gets the example of a setting of `owner`."""
    value = names.checked(key, setting, YAML(typ="safe", pure=True).load(example))
    if group == "layers":
        return str(keras_calls.layer({"layer": owner, key: value}, named=False))
    if group == "losses":
        return str(keras_calls.loss({"name": owner, key: value}))
    if group == "initializers":
        return str(keras_calls.initializer({"name": owner, key: value}))
    if group == "optimizers":
        found = keras_calls.optimizer({"name": owner, "learning_rate": 0.01, key: value})
        kept = found.arguments if key in ("learning_rate", "decay") else found.arguments[1:]
        return str(keras_calls.Call(found.function, kept))
    function = {"early_stopping": "callbacks.EarlyStopping", "reduce_on_plateau": "callbacks.ReduceLROnPlateau"}
    argument = keras_calls.arguments({key: value})
    return str(keras_calls.Call(f"keras.{function.get(owner, f'optimizers.schedules.{owner}')}", argument))
