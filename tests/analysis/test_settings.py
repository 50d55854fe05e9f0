"""Settings are shown as dotted keys, and a fix by what it changes."""

import samples

from stages.analysis import settings


def test_nested_settings_are_dotted_keys_and_what_has_a_name_is_shown_by_it() -> None:
    network = {
        "layers": [{"name": "hidden", "units": 25, "l2": 0.5}, {"name": "output", "units": 10}],
        "optimizer": {"name": "adam", "learning_rate": 0.001},
        "class_weight": {0: 1.0, 1: 2.5},
        "batch_size": None,
    }
    assert settings.flat(network) == {
        "layers.hidden.units": "25",
        "layers.hidden.l2": "0.5",
        "layers.output.units": "10",
        "optimizer": "adam",
        "optimizer.learning_rate": "0.001",
        "class_weight.0": "1",
        "class_weight.1": "2.5",
        "batch_size": "none",
    }


def test_a_layer_may_be_called_name() -> None:
    assert settings.flat({"layers": [{"name": "name", "units": 3}]}) == {"layers.name.units": "3"}


def test_a_change_shows_a_default_that_another_setting_replaces_and_nothing_that_is_equal() -> None:
    before = samples.network(optimizer="sgd").tree()
    after = samples.network(optimizer={"name": "sgd", "momentum": 0.9}, shuffle=False).tree()
    assert sorted(settings.changes(before, after)) == [
        ("optimizer.momentum", "0", "0.9"),
        ("shuffle", "True", "False"),
    ]
    assert settings.changes(before, before) == ()
