"""docs/params.md has every key of params.yaml, with examples and lines of Keras that are accepted."""

import ast
import inspect
from functools import reduce
from typing import Any

from documented import ROOT
from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from stages.config.strict import Strict
from stages.tools import params_page

SECTIONS = params_page.read_words()
TEXT = (ROOT / params_page.PAGE).read_text(encoding="utf-8")


def test_the_page_is_that_of_the_schema() -> None:
    assert params_page.page(SECTIONS) == TEXT, "run `python -m stages params_page`"


def below(kind: type[BaseModel]) -> dict[str, type[BaseModel]]:
    found = {each.__name__: each for each in kind.__subclasses__()}
    return found | {name: each for child in found.values() for name, each in below(child).items()}


def refused(model: type[BaseModel], content: dict[str, Any]) -> set[Any]:
    """Return the keys whose values are refused, among them required keys that are missing."""
    try:
        model.model_validate(content)
    except ValidationError as error:
        return {place for each in error.errors() for place in each["loc"][:1]}
    return set()


def test_every_example_is_accepted() -> None:
    models = below(Strict)
    for section in SECTIONS:
        for key, words in section.get("keys", {}).items() if "model" in section else ():
            example = {key: YAML(typ="safe", pure=True).load(words["example"])}
            assert key not in refused(models[section["model"]], example), words


def test_keras_has_every_argument_that_the_page_names() -> None:
    from stages.training.keras import keras, tf

    modules = [keras, keras.layers, keras.initializers, keras.regularizers, keras.losses, keras.callbacks, tf.data]
    modules += [keras.optimizers, keras.optimizers.schedules, keras.utils]
    found = {"model": keras.Model, **{name: each for module in modules for name, each in vars(module).items()}}
    tables = [block.splitlines() for block in TEXT.split("\n\n") if block.split("\n")[0].endswith("| Keras |")]
    code = [row.rpartition(" | ")[2].strip(" |`") for table in tables for row in table[2:]]
    calls = [node for line in code for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call)]
    assert len(calls) > 100
    for call in calls:
        first, *rest = ast.unparse(call.func).split(".")
        accepted = inspect.signature(reduce(getattr, rest, found[first])).parameters
        assert {argument.arg for argument in call.keywords} <= accepted.keys(), ast.unparse(call)
