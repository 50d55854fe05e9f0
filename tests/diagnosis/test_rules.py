"""The catalogue of rules: what each kind of fault is told, and that every suggestion can be measured."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from stages.config import fixes, names
from stages.config.network import PostedNetwork
from stages.config.schema import Case, Name, Task
from stages.config.strict import RefusedError
from stages.data import own
from stages.data.prepared import Prepared
from stages.diagnosis.look import Suggestion
from stages.diagnosis.rules import MOST, suggest

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(400, 6)).astype(np.float32)
TARGETS: dict[str, np.ndarray] = {
    "binary": np.arange(400) * 7919 % 2,
    "multiclass": np.arange(400) * 7919 % 5 % 3,
    "one_hot": np.eye(3)[np.arange(400) * 7919 % 5 % 3],
    "multilabel": RANDOM.integers(0, 2, (400, 3)),
    "regression": RANDOM.normal(size=400),
}
FORMS: dict[str, tuple[int, str, Any]] = {
    "binary": (1, "sigmoid", "binary_crossentropy"),
    "multiclass": (3, "softmax", "sparse_categorical_crossentropy"),
    "one_hot": (3, "softmax", "categorical_crossentropy"),
    "multilabel": (3, "sigmoid", "binary_crossentropy"),
    "regression": (1, "linear", "mean_squared_error"),
}
RATE = {"name": "adam", "learning_rate": 0.001}


def prepared(task: Task, x: np.ndarray, y: np.ndarray) -> Prepared:
    """Return data whose test split is the training split."""
    names = list("abcdefghij"[: np.size(y[0])])
    labels, raw, facts = own.answers(Path("a.npz"), task, {"train": y, "test": y}, names)
    return Prepared(dict.fromkeys(labels, x.astype(np.float32)), labels, facts, "", raw)


def suggested(
    kind: str,
    posted: Mapping[str, Any] = {},
    x: np.ndarray = X,
    y: np.ndarray | None = None,
    symptoms: Mapping[str, Any] | None = None,
) -> tuple[Case, dict[str, Suggestion]]:
    """Return a case and its suggestions by name: a healthy network of this kind, with the settings `posted`.

    `hidden` is a list of layers between the input and the output, and `output` are settings of the output layer.
    """
    units, activation, loss = FORMS[kind]
    hidden = posted.get("hidden", [{"units": 16, "activation": "relu"}])
    layers = {f"hidden_{place}": layer for place, layer in enumerate(hidden)}
    layers["output"] = {"units": units, "activation": activation, **posted.get("output", {})}
    layers |= posted.get("behind", {})
    own_settings = {key: value for key, value in posted.items() if key not in ("hidden", "output", "behind")}
    task = "multiclass" if kind == "one_hot" else kind
    case = Case.model_validate(
        {
            "title": "A network",
            "task": task,
            "data": {"file": "data/own/a.npz", "given": ["test"]},
            "judged_by": "test",
            "as_posted": {"layers": layers, "loss": loss, "optimizer": RATE, "epochs": 100, **own_settings},
            "fixes": {},
        }
    )
    data = prepared(case.task, x, TARGETS[kind] if y is None else y)
    return case, {each.name: each for each in suggest(case, data, symptoms)}


def after(case: Case, found: Mapping[str, Suggestion], *chosen: str) -> PostedNetwork:
    return fixes.apply(case.as_posted, {name: found[name].fix for name in chosen}, {})


@pytest.mark.parametrize("kind", FORMS)
def test_a_healthy_network_gets_popular_advice_alone(kind: str) -> None:
    _, found = suggested(kind)
    assert {name for name, each in found.items() if not each.control} == set()
    assert {"epochs_x10", "more_units", "tanh_hidden", "rate_x10", "rate_tenth"} <= set(found)
    assert all("as a control" in each.fix.why for each in found.values())


DATA: dict[str, dict[str, np.ndarray]] = {
    "scales": {"x": X * [1, 1, 1, 1, 1, 9000]},
    "means": {"x": X + 70},
    "huge": {"x": X * 900},
    "pixels": {"x": RANDOM.integers(0, 256, (400, 64))},
    "matrices": {"x": RANDOM.normal(size=(400, 2, 3))},
    "signs": {"y": 2 * TARGETS["binary"] - 1},
    "from_one": {"y": TARGETS["multiclass"] + 1},
    "sorted": {"y": np.sort(TARGETS["binary"])},
    "rare": {"y": (np.arange(400) % 20 == 0).astype(int)},
    "positive": {"y": np.abs(TARGETS["regression"])},
    "large": {"y": 900 * TARGETS["regression"]},
}
KINDS: list[dict[str, Any]] = YAML(typ="safe").load(Path(__file__).with_name("kinds.yaml").read_text(encoding="utf-8"))
DECAYING = {"name": "ExponentialDecay", "initial_learning_rate": 0.001, "decay_steps": 1, "decay_rate": 0.9}


@pytest.mark.parametrize("kind", [pytest.param(each, id=f"{each['what']}: {each['fix']}") for each in KINDS])
def test_each_kind_of_fault_is_told_its_fix(kind: dict[str, Any]) -> None:
    data = DATA.get(kind.get("data", ""), {})
    case, found = suggested(kind["network"], kind.get("posted", {}), data.get("x", X), data.get("y"))
    assert not found[kind["fix"]].control
    before, changed = case.as_posted, after(case, found, kind["fix"])
    for key, value in kind.get("gives", {}).items():
        assert list(settings_of(changed, key)).count(value) > list(settings_of(before, key)).count(value)


def settings_of(network: PostedNetwork, key: str) -> Iterator[Any]:
    """Yield what a network has under `key`: as its own setting, of its optimizer, its loss or a layer."""
    content = network.model_dump()
    for part in (content, content["optimizer"], content["loss"], *content["layers"]):
        if key in part and not (key == "name" and "layer" in part):
            yield part[key]


LAYER = {"name": "hidden_0", "dead": 0.0, "saturated": None, "gradient": 0.1, "update": 0.001}
FINE = {"layers": [LAYER], "saturated": 0.0, "spread": 0.9, "target_spread": 1.0, "most_frequent": 0.6}


@pytest.mark.parametrize(
    ("moment", "changes", "layer", "name", "why"),
    [
        ("end", {}, {"dead": 0.875}, "leaky_relu_hidden", "88% of the ReLUs of hidden_0 are 0 for every example"),
        (
            "end",
            {},
            {"saturated": 0.9},
            "relu_hidden",
            "90% of the values of hidden_0 are where its activation is flat",
        ),
        ("first_epoch", {}, {"update": 0.4}, "rate_tenth", "changes the weights of a layer by 40%"),
        ("start", {}, {"update": 1e-6}, "rate_x100", "changes the weights of every layer by 0.0001% at most"),
        ("end", {"spread": 0.001}, {}, "rate_x10", "the outputs vary 1,000 times less than the targets"),
        (
            "first_epoch",
            {"saturated": 1.0, "most_frequent": 1.0},
            {},
            "rate_tenth",
            "100% of the outputs are at the end",
        ),
    ],
)
def test_symptoms_are_evidence(
    moment: str, changes: dict[str, Any], layer: dict[str, Any], name: str, why: str
) -> None:
    activation = "tanh" if name == "relu_hidden" else "relu"
    symptoms = {"start": FINE, "first_epoch": FINE, "end": FINE, "first_not_finite": None}
    posted = {"hidden": [{"units": 16, "activation": activation}]}
    _, healthy = suggested("regression", posted, symptoms=symptoms)
    assert {each for each in healthy if not healthy[each].control} == set()
    symptoms[moment] = {**FINE, "layers": [{**LAYER, **layer}], **changes}
    _, found = suggested("regression", posted, symptoms=symptoms)
    assert not found[name].control
    assert why in found[name].fix.why


def test_a_loss_that_is_not_finite_asks_for_smaller_steps() -> None:
    _, found = suggested(
        "regression", symptoms={"start": FINE, "end": None, "first_epoch": None, "first_not_finite": 3}
    )
    assert "not finite from step 3 on" in found["rate_hundredth"].fix.why
    assert not found["clipped_gradients"].control


def test_the_published_repair_of_an_exclusive_or_is_a_set_of_suggestions() -> None:
    x, y = np.array([[1, 1], [0, 0], [1, 0], [0, 1]]), np.array([0, 0, 1, 1])
    layers = {"hidden": [{"units": 2, "activation": "sigmoid"}], "output": {"activation": "softmax"}}
    posted = {**layers, "loss": "mse", "optimizer": {"name": "sgd", "learning_rate": 0.001}, "epochs": 20}
    case, found = suggested("binary", posted, x, y)
    network = after(case, found, "sigmoid_output", "rate_x100", "epochs_x100", "relu_hidden")
    assert network.layers[-1]["activation"] == "sigmoid"
    assert network.optimizer["learning_rate"] == pytest.approx(0.1)
    assert network.epochs == 2000
    assert len(found) >= 8


def test_fixes_that_stand_for_each_other_are_alternatives_and_parts_combine() -> None:
    case, found = suggested("binary", {"output": {"activation": "linear"}})
    excluded = fixes.alternatives(case.as_posted, {name: each.fix for name, each in found.items()})
    assert frozenset(("sigmoid_output", "from_logits")) in excluded
    case, found = suggested("regression", {"output": {"activation": "softmax"}}, y=900 * TARGETS["regression"])
    network = after(case, found, "linear_output", "standardized_targets", "rate_x10")
    assert (network.layers[-1]["activation"], network.targets) == ("linear", "standardized")


DENSE = st.fixed_dictionaries(
    {"units": st.integers(1, 40), "activation": st.sampled_from(list(names.described()["activations"]))},
    optional={
        "kernel_initializer": st.sampled_from(["zeros", "random_normal", "he_normal", "ones"]),
        "l2": st.sampled_from([0.0, 1e-5, 0.3]),
        "activity_l1": st.just(0.1),
        "use_bias": st.booleans(),
    },
)
OTHER = st.sampled_from(
    [
        {"layer": "Dropout", "rate": 0.5},
        {"layer": "BatchNormalization"},
        {"layer": "Activation", "activation": "relu"},
        {"layer": "LeakyReLU"},
        {"layer": "Softmax"},
        {"layer": "Flatten"},
    ]
)
OPTIMIZER = st.sampled_from(
    [
        {"name": name, **more}
        for name in names.described()["optimizers"]
        if name != names.OWN_OPTIMIZER
        for more in ({}, {"learning_rate": 1e-9}, {"learning_rate": 7.0, "clipnorm": 0.01}, {"decay": 0.5})
    ]
    + [{"name": "sgd", "learning_rate": DECAYING, "momentum": 0.99}, {"name": "adamw", "weight_decay": 0.3}]
)
POSTED = st.fixed_dictionaries(
    {
        "layers": st.tuples(st.lists(st.one_of(DENSE, OTHER), max_size=6), DENSE, st.lists(OTHER, max_size=2)),
        "loss": st.sampled_from(list(names.described()["losses"])),
        "optimizer": OPTIMIZER,
        "batch_size": st.integers(1, 2000),
        "epochs": st.integers(1, 2000),
    },
    optional={
        "inputs": st.sampled_from(["standardized", {"scale": 0.001, "offset": -1.0}]),
        "targets": st.sampled_from(["integer", "one_hot", "standardized", {"scale": 0.01}]),
        "shuffle": st.sampled_from([False, {"buffer": 3}, "batches"]),
        "class_weight": st.sampled_from([{0: 1.0, 1: 0.0}, {0: 3.0}]),
        "early_stopping": st.just({"patience": 2}),
        "drop_remainder": st.booleans(),
    },
)
SYMPTOMS = st.none() | st.fixed_dictionaries(
    {
        "start": st.none() | st.just({}),
        "first_epoch": st.none(),
        "end": st.fixed_dictionaries(
            {
                "layers": st.lists(
                    st.fixed_dictionaries(
                        {"name": st.sampled_from(["layer_0", "layer_1"])}
                        | dict.fromkeys(("dead", "saturated", "gradient", "update"), st.none() | st.floats(0, 1))
                    )
                ),
                "spread": st.none() | st.floats(0, 1e30),
                "target_spread": st.none() | st.floats(0, 1e30),
            }
        ),
        "first_not_finite": st.none() | st.integers(0, 9),
    }
)


@given(
    posted=POSTED, kind=st.sampled_from(list(FORMS)), rows=st.integers(2, 60), scale=st.sampled_from([0, 1e-6, 1, 1e6]),
    symptoms=SYMPTOMS,
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_any_case_of_the_schema_gets_suggestions_that_can_be_measured(
    posted: dict[str, Any], kind: str, rows: int, scale: float, symptoms: dict[str, Any] | None
) -> None:
    before, output, behind = posted["layers"]
    layers = {f"layer_{place}": layer for place, layer in enumerate([*before, output, *behind])}
    task = "multiclass" if kind == "one_hot" else kind
    content = {"title": "", "task": task, "data": {"file": "data/own/a.npz"}, "judged_by": "train", "fixes": {}}
    try:
        case = Case.model_validate({**content, "as_posted": {**posted, "layers": layers}})
    except ValueError:
        return
    data = prepared(case.task, X[:rows] * scale, TARGETS[kind][-rows:])
    found = suggest(case, data, symptoms)
    assert found == suggest(case, data, symptoms)
    assert 5 <= len(found) <= MOST
    named = {each.name: each.fix for each in found}
    assert len(named) == len(found)
    excluded = fixes.alternatives(case.as_posted, named)
    for each in found:
        TypeAdapter(Name).validate_python(each.name)
        assert each.fix.why
        assert (each.fix.source or "").startswith("https://")
        assert fixes.apply(case.as_posted, {each.name: each.fix}, {}) != case.as_posted
    for pair in combinations(named, 2):
        if frozenset(pair) not in excluded:
            try:
                fixes.apply(case.as_posted, {name: named[name] for name in pair}, {})
            except RefusedError as refusal:
                raise AssertionError(pair) from refusal
