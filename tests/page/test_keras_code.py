"""Rendered scripts say the whole configuration, and a diff of two of them is what changes."""

import contextlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from training.test_fit import data_of

from page.rendered import case_data, in_two
from page.tried import POSTS, TRIED, network_of, script_of
from stages.base import files
from stages.config import names
from stages.config.network import Network
from stages.data import prepared
from stages.data.prepared import Prepared
from stages.page import keras_calls, keras_code
from stages.training import model as models
from stages.training.answers import statistics
from stages.training.losses import class_name

FOUND = names.described()
# Settings that a script of one network cannot have, or that Keras takes only with others.
LEFT_OUT = ("decay", "learning_rate", "warmup_target", "baseline")


def values(key: str, setting: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of values of a setting."""
    match setting["kind"]:
        case "boolean":
            return st.booleans()
        case "activation":
            return st.sampled_from(FOUND["activations"])
        case "initializer":
            # These two are for matrices.
            return named("initializers", *(() if key == "kernel_initializer" else ("identity", "orthogonal")))
        case "integer":
            return st.integers(1, 9)
        case "text":
            return st.sampled_from(names.MONITORS if key == "monitor" else names.WORDS[key])
        case "numbers":
            return st.just([1.0, 2.0] if key == "boundaries" else [0.5, 0.25, 0.125])
    if key == "learning_rate_power":
        return st.just(-0.25)
    return st.floats(0.001, 0.9).map(lambda value: float(np.float32(round(value, 3))))


def chosen(known: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of some settings, among them those that have no default."""
    required = {key: values(key, each) for key, each in known.items() if "default" not in each}
    optional = {key: values(key, each) for key, each in known.items() if "default" in each and key not in LEFT_OUT}
    return st.fixed_dictionaries(required, optional=optional)


def named(group: str, *left_out: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of what has a name and settings."""
    left_out = (names.OWN_LOSS, names.OWN_OPTIMIZER, *left_out)
    return st.sampled_from([name for name in FOUND[group] if name not in left_out]).flatmap(
        lambda name: chosen(FOUND[group][name]).map(lambda found: {"name": name, **found})
    )


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Draw a network from the whole schema."""
    kinds = draw(st.lists(st.sampled_from(list(FOUND["layers"])), max_size=4))
    layers = {
        f"layer_{place}": {"layer": kind, **draw(chosen(FOUND["layers"][kind]))} for place, kind in enumerate(kinds)
    }
    layers["output"] = draw(chosen(FOUND["layers"]["Dense"]))
    rate = st.one_of(st.just(0.03), named("schedules"))
    optimizer = draw(named("optimizers")) | {"learning_rate": draw(rate), "decay": draw(st.sampled_from([0.0, 0.5]))}
    found = {
        "layers": layers,
        "loss": draw(named("losses")),
        "optimizer": optimizer,
        "inputs": draw(st.sampled_from(["raw", "standardized", {"scale": 1 / 255}, {"scale": 0.3, "offset": -1.0}])),
        "batch_size": draw(st.integers(1, 50)),
        "epochs": draw(st.integers(1, 50)),
        "shuffle": draw(st.sampled_from([True, False, "batches", {"buffer": 7}])),
        "drop_remainder": draw(st.booleans()),
        "steps_per_epoch": draw(st.sampled_from([None, 4])),
        "class_weight": draw(st.sampled_from([None, {0: 2.0, 1: 0.5}])),
        "early_stopping": draw(st.one_of(st.none(), chosen(FOUND["callbacks"]["early_stopping"]))),
        "reduce_on_plateau": draw(st.one_of(st.none(), chosen(FOUND["callbacks"]["reduce_on_plateau"]))),
        "keras": "3",
    }
    try:
        return Network.model_validate(found)
    except ValidationError:
        assume(False)
        raise


def short(config: Any) -> Any:
    """Return a configuration of Keras without names and dtypes, its numbers as float32 holds them."""
    if isinstance(config, Mapping) and config.get("class_name") == "__tensor__":
        return short(config["config"]["value"])
    if isinstance(config, Mapping) and config.get("class_name") in ("L1", "L2", "L1L2"):
        return short({"l1": 0.0, "l2": 0.0, **config["config"]})
    if isinstance(config, Mapping):
        left_out = ("name", "dtype", "registered_name", "build_config", "module")
        return {key: short(value) for key, value in config.items() if key not in left_out}
    if isinstance(config, list | tuple):
        return [short(each) for each in config]
    return float(np.float32(config)) if isinstance(config, float) else config


def without_initializers(config: Mapping[str, Any]) -> Any:
    return short({key: value for key, value in config.items() if not key.endswith("_initializer")})


DATA: Prepared = data_of("multiclass")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the prepared data of the case that the scripts are of."""
    found = tmp_path_factory.mktemp("scripts")
    prepared.write(found / files.prepared_path("tried"), DATA)
    return found


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
@given(networks())
def test_a_script_builds_what_the_trainer_builds(folder: Path, network: Network) -> None:
    import keras

    try:
        expected = models.build_model(network, DATA.shape, statistics(network, DATA).inputs)
        wanted = models.build_optimizer(network)
    except (ValueError, TypeError):  # what Keras refuses
        assume(False)
    first, second = in_two(script_of(network, DATA, "validation"))
    found: dict[str, Any] = {}
    with contextlib.chdir(folder):
        exec(first, found)
    model = found["model"]
    n_prepared = 0 if network.inputs == "raw" else 1
    assert len(model.layers) == len(network.layers) + n_prepared
    for layer, other in zip(model.layers, expected.layers[1 - n_prepared :], strict=True):
        assert type(layer) is type(other)
        if layer.get_config().get("mean") is None and not hasattr(layer, "adapt_mean"):
            assert without_initializers(layer.get_config()) == without_initializers(other.get_config())
    for layer, own in zip(model.layers[n_prepared:], network.layers, strict=True):
        for key in (key for key in own if key.endswith("_initializer")):
            kind = getattr(keras.initializers, own[key]["name"].title().replace("_", ""))
            settings_of = {name: value for name, value in own[key].items() if name != "name"}
            assert short(getattr(layer, key).get_config()) == short(kind(**settings_of).get_config())
    assert short(model.optimizer.get_config()) == short(wanted.get_config())
    kind = getattr(keras.losses, class_name(network.loss["name"]))
    loss = {key: value for key, value in network.loss.items() if key != "name"}
    if isinstance(model.loss, str):
        assert keras.losses.get(model.loss) is kind().fn
        assert short(kind(**loss).get_config()) == short(kind().get_config())
    else:
        assert short(model.loss.get_config()) == short(kind(**loss).get_config())
    called: dict[str, Any] = {}
    found["model"] = SimpleNamespace(
        fit=lambda *_, **options: called.update(options),
        evaluate=lambda *_: None,
        predict=lambda x: np.zeros((len(x), 3)),
    )
    exec(second, found)
    assert called["epochs"] == network.epochs
    assert called.get("steps_per_epoch") == network.steps_per_epoch
    callbacks = {type(each).__name__: each for each in called.get("callbacks", ())}
    own_callbacks = {"EarlyStopping": network.early_stopping, "ReduceLROnPlateau": network.reduce_on_plateau}
    assert callbacks.keys() == {name for name, each in own_callbacks.items() if each}
    for name, each in callbacks.items():
        for key, value in (own_callbacks[name] or {}).items():
            assert getattr(each, key) == value or abs(getattr(each, key)) == value, key


def test_keras_takes_every_loss_as_a_script_writes_it() -> None:
    import keras

    for name in FOUND["losses"].keys() - {names.OWN_LOSS}:
        assert keras.losses.get(eval(str(keras_calls.loss(name)), {"keras": keras})), name


def test_rendered_scripts_are_clean(tmp_path: Path) -> None:
    for place, name in enumerate((*POSTS, *TRIED)):
        (tmp_path / f"script_{place}.py").write_text(script_of(*network_of(name)), encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,B,UP", "--line-length", "100"]
    ended = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(networks(), networks())
def test_a_diff_holds_exactly_what_changes(before: Network, after: Network) -> None:
    case = case_data(DATA, "validation")
    assert keras_code.diff(before, before, case) == []
    assume(before != after)
    rows = keras_code.diff(before, after, case, context=1000)
    for network, mark in ((before, "-"), (after, "+")):
        of_script = [row[2:] for row in rows if row[0] in (mark, " ")]
        lines = keras_code.script(network, case).splitlines()
        assert of_script == lines[: len(of_script)]
        assert lines[len(of_script)].startswith("outputs = ")


CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a rate": (
        {"optimizer": {"name": "adam", "learning_rate": 0.01}},
        [
            f"{mark}     optimizer=keras.optimizers.Adam(learning_rate={rate}),"
            for mark, rate in (("-", 1e-3), ("+", 0.01))
        ],
    ),
    "epochs": ({"epochs": 30}, ["-     epochs=3,", "+     epochs=30,"]),
    "inputs": ({"inputs": {"scale": 1 / 255}}, ["+     keras.layers.Rescaling(1 / 255),"]),
    "class weights": ({"class_weight": {0: 2.0}}, ["+     class_weight={0: 2.0},"]),
    "one-hot targets": (
        {"targets": "one_hot"},
        [f"+ y_{split} = keras.utils.to_categorical(y_{split}, 10)" for split in ("train", "test")],
    ),
    "standardized inputs": (
        {"inputs": "standardized"},
        ["+ ", "+ normalize = keras.layers.Normalization()", "+ normalize.adapt(x_train)", "+     normalize,"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_a_setting_is_a_change_of_its_line(name: str) -> None:
    network, data, judged_by = network_of("mnist as posted")
    changes, expected = CHANGES[name]
    changed = network_of("mnist as posted", **changes)[0]
    rows = keras_code.diff(network, changed, case_data(data, judged_by))
    assert [row for row in rows if row[0] in "+-"] == expected


WATCHED = {"early_stopping": {"monitor": "accuracy"}}
UNSAID: dict[str, tuple[str, dict[str, Any], str]] = {
    "an optimizer of SciPy": (
        "mnist as posted",
        {"optimizer": {"name": "tnc", "max_function_calls": 30}, "batch_size": None, "epochs": None},
        "# In place of SciPy's TNC, which takes 30 function calls",
    ),
    "a loss of 2018": ("mnist as posted", {"keras": "2.2"}, "# Today's loss; that of Keras 2.2"),
    "another accuracy": ("signs by their hinge", WATCHED, "# whichfix monitors the score at the end"),
    "no accuracy": ("values in scale", WATCHED, "# The number that whichfix monitors"),
}


@pytest.mark.parametrize("name", UNSAID)
def test_a_script_says_in_a_comment_what_keras_has_in_another_form(name: str) -> None:
    of, changes, comment = UNSAID[name]
    network, data, judged_by = network_of(of)
    changed = Network.model_validate({**network.model_dump(), **changes})
    script = script_of(changed, data, judged_by)
    assert script.count(comment) == 1
    compile(script, "<script>", "exec")
    assert comment not in script_of(network, data, judged_by)
