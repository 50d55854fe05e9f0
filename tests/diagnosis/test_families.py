"""The family of a fix comes from what it changes, in whatever way it is written."""

from typing import Any

import pytest

from stages.config.fixes import Fix
from stages.config.network import PostedNetwork
from stages.diagnosis.families import family_of

POSTED = PostedNetwork.model_validate(
    {
        "layers": {
            "first": {"units": 8, "activation": "tanh", "l2": 0.5},
            "norm": {"layer": "BatchNormalization"},
            "drop": {"layer": "Dropout", "rate": 0.5},
            "second": {"units": 4},
            "bend": {"layer": "LeakyReLU"},
            "output": {"units": 1},
            "squash": {"layer": "Activation", "activation": "softmax"},
        },
        "loss": "mse",
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "epochs": 3,
        "early_stopping": {"monitor": "loss"},
    }
)


@pytest.mark.parametrize(
    ("operations", "family"),
    [
        ({"set": {"layers.output.units": 3}}, "form"),
        ({"set": {"layers.output": {"units": 1, "activation": "sigmoid"}}}, "form"),
        ({"set": {"layers.squash.activation": "sigmoid"}}, "form"),
        ({"remove": ["squash"]}, "form"),
        ({"insert": {"end": {"after": "output", "units": 1}}}, "form"),
        ({"set": {"loss.from_logits": True}}, "form"),
        ({"set": {"targets": "one_hot"}}, "form"),
        ({"set": {"loss": "binary_crossentropy", "epochs": 30}}, "form"),
        ({"set": {"targets": "standardized"}}, "scaling"),
        ({"set": {"targets": {"scale": 0.1}}}, "scaling"),
        ({"set": {"inputs": {"scale": 0.1}}}, "scaling"),
        ({"set": {"layers.first.activation": "relu", "layers.second.activation": "relu"}}, "activation"),
        ({"set": {"layers.s*.activation": "relu"}}, "form"),  # squash is meant too
        ({"set": {"layers.first": {"units": 8, "activation": "relu", "l2": 0.5}}}, "activation"),
        ({"insert": {"relu": {"layer": "ReLU", "after": "first"}}}, "activation"),
        ({"remove": ["bend"]}, "activation"),
        ({"set": {"optimizer": "adam"}}, "optimizer"),
        ({"set": {"optimizer": {"name": "adam", "learning_rate": 0.01}}}, "optimizer"),
        ({"set": {"optimizer": {"name": "sgd", "learning_rate": 0.001}}}, "rate"),
        ({"multiply": {"optimizer.learning_rate": 10}}, "rate"),
        ({"multiply": {"epochs": 10}}, "epochs"),
        ({"set": {"batch_size": 8}}, "batch"),
        ({"multiply": {"layers.*.units": 4}}, "form"),
        ({"multiply": {"layers.first.units": 4}}, "width"),
        ({"insert": {"third": {"after": "second", "units": 4}}}, "depth"),
        ({"remove": ["second"]}, "depth"),
        ({"set": {"layers.*.kernel_initializer": "glorot_uniform"}}, "initializer"),
        ({"remove": ["drop"]}, "dropout"),
        ({"set": {"layers.*.rate": 0.1}}, "dropout"),
        ({"set": {"layers.*.l2": 0}}, "penalty"),
        ({"insert": {"more": {"layer": "BatchNormalization", "after": "second"}}}, "normalization"),
        ({"set": {"layers.norm.momentum": 0.9}}, "normalization"),
        ({"set": {"optimizer.momentum": 0.9, "optimizer.nesterov": True}}, "momentum"),
        ({"set": {"optimizer.clipnorm": 1}}, "clipping"),
        ({"set": {"class_weight": {0: 1, 1: 2}}}, "weights"),
        ({"set": {"shuffle": False}}, "order"),
        ({"set": {"early_stopping": None}}, "stopping"),
        ({"set": {"layers.first.use_bias": False}}, "other"),
    ],
)
def test_a_fix_has_the_first_family_of_all_settings_that_it_changes(operations: dict[str, Any], family: str) -> None:
    assert family_of(Fix.model_validate({"why": "", **operations}), POSTED) == family
