"""Names and settings are those of the installed Keras, in each of its spellings, with its defaults."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.config import names
from stages.config.strict import RefusedError

ROOT = Path(__file__).parents[2]


def test_the_file_says_what_the_installed_keras_offers() -> None:
    from stages.training.described import describe

    stored = json.loads((ROOT / names.FILE).read_text(encoding="utf-8"))
    assert stored == describe(), "run `python -m stages keras_names`"


def test_reading_params_yaml_imports_no_keras() -> None:
    program = (
        "import sys; from stages.config import load; load.read(); print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


@pytest.mark.parametrize(
    ("group", "value", "name"),
    [
        ("optimizers", "Adam", "adam"),
        ("optimizers", "RMSprop", "rmsprop"),
        ("losses", "mse", "mean_squared_error"),
        ("losses", "MeanSquaredError", "mean_squared_error"),
        ("losses", {"name": "BCE", "from_logits": True}, "binary_crossentropy"),
        ("initializers", "GlorotUniform", "glorot_uniform"),
        ("initializers", {"name": "he_normal"}, "he_normal"),
        ("initializers", "normal", "random_normal"),
    ],
)
def test_a_name_may_have_any_spelling_of_keras(group: str, value: Any, name: str) -> None:
    assert names.named(group, value)["name"] == name


def test_what_is_left_out_has_the_default_of_keras() -> None:
    adam = names.named("optimizers", "adam")
    assert (adam["learning_rate"], adam["beta_2"], adam["clipnorm"], adam["decay"]) == (0.001, 0.999, None, 0.0)
    layer = names.layer({"units": 3})
    assert (layer["layer"], layer["activation"], layer["l2"], layer["use_bias"]) == ("Dense", "linear", 0.0, True)
    assert layer["kernel_initializer"]["name"] == "glorot_uniform"


def test_every_default_is_accepted_as_it_is_kept() -> None:
    for group in ("initializers", "losses", "optimizers", "schedules", "layers"):
        for settings in names.described()[group].values():
            for key, setting in settings.items():
                if "default" in setting:
                    value = names.checked(key, setting, setting["default"])
                    assert names.checked(key, setting, value) == value


def test_a_learning_rate_may_be_a_schedule() -> None:
    schedule = {"name": "PiecewiseConstantDecay", "boundaries": [10, 20], "values": [0.1, 0.05, 0.01]}
    assert names.named("optimizers", {"name": "sgd", "learning_rate": schedule})["learning_rate"] == schedule


RATE = "a number above 0, or a schedule: a mapping of name and settings"


@pytest.mark.parametrize(
    ("group", "value", "expected"),
    [
        (
            "optimizers",
            {"name": "adam", "learning_rat": 1},
            "learning_rat: unknown key (did you mean learning_rate?); ex",
        ),
        ("optimizers", "adm", 'name: "adm" (did you mean adam?); expected one of: '),
        ("optimizers", 5, "5; expected a name, or a mapping of name and settings"),
        ("optimizers", {}, "name: missing; expected one of: "),
        ("optimizers", {"name": "adam", "learning_rate": 0}, f"learning_rate: 0; expected {RATE}"),
        ("optimizers", {"name": "adam", "learning_rate": "fast"}, f'learning_rate: "fast"; expected {RATE}'),
        ("optimizers", {"name": "adam", "learning_rate": 10**400}, "learning_rate: 1000"),
        ("optimizers", {"name": "adam", "amsgrad": 1}, "amsgrad: 1; expected true or false"),
        ("optimizers", {"name": "adam", "clipnorm": "x"}, 'clipnorm: "x"; expected a number, or null'),
        ("optimizers", {"name": "adam", "clipnorm": 1, "clipvalue": 1}, "clipnorm and clipvalue; expected one of them"),
        ("optimizers", {"name": "sgd", "momentum": 2}, "momentum: 2; expected a number of at least 0 and at most 1"),
        (
            "optimizers",
            {"name": "ftrl", "learning_rate_power": 1},
            "learning_rate_power: 1; expected a number of at most 0",
        ),
        (
            "optimizers",
            {"name": "sgd", "learning_rate": {"name": "CosineDecay", "initial_learning_rate": 1}},
            "learning_rate.decay_steps: missing; expected a whole number of at least 1",
        ),
        (
            "optimizers",
            {"name": "sgd", "learning_rate": {"name": "PiecewiseConstantDecay", "boundaries": [1], "values": [1]}},
            "learning_rate.values: 1 boundaries with 1 values; expected one value more",
        ),
        ("losses", "crossentropy", 'name: "crossentropy" (did you mean binary_crossentropy?); expected one of: '),
        (
            "initializers",
            {"name": "variance_scaling", "mode": "x"},
            'mode: "x"; expected one of: fan_in, fan_out, fan_avg',
        ),
        ("initializers", {"name": "zeros", "x": 1}, "x: unknown key; expected one of: no settings"),
    ],
)
def test_an_unknown_name_or_setting_is_refused_with_a_close_one(group: str, value: Any, expected: str) -> None:
    with pytest.raises(RefusedError) as caught:
        names.named(group, value)
    assert caught.value.line("params.yaml").startswith(f"params.yaml: {expected}")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"layer": "Conv2D"}, 'layer: "Conv2D"; expected one of: Activation, BatchNormalization, Dense, '),
        ({"unit": 3}, "unit: unknown key (did you mean units?); expected one of: "),
        ({}, "units: missing; expected a whole number of at least 1 and at most 16384"),
        ({"units": 2.5}, "units: 2.5; expected a whole number"),
        ({"units": True}, "units: true; expected a whole number"),
        ({"units": 3, "activation": "rely"}, 'activation: "rely" (did you mean relu?); expected one of: '),
        ({"units": 3, "l2": -1}, "l2: -1; expected a number of at least 0"),
        ({"layer": "Dropout", "rate": 1.5}, "rate: 1.5; expected a number of at least 0 and at most 1"),
        (5, "5; expected a mapping of the settings of a layer"),
    ],
)
def test_a_layer_that_keras_has_not_is_refused(value: Any, expected: str) -> None:
    with pytest.raises(RefusedError) as caught:
        names.layer(value)
    assert caught.value.line("params.yaml").startswith(f"params.yaml: {expected}")


def test_a_callback_watches_what_is_measured() -> None:
    check = names.callback("early_stopping")
    assert check(None) is None
    settings = check({"patience": 3})
    assert settings is not None
    assert (settings["patience"], settings["monitor"]) == (3, "val_loss")
    with pytest.raises(RefusedError, match="expected one of: loss, accuracy, val_loss, val_accuracy"):
        check({"monitor": "auc"})
