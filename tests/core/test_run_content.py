"""What a run shows, made of results; how it gets there is tested with the stage."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages.core import figures, params, run_content
from stages.core.params import VariantConfig

FIGURE = {"mean": 0.5, "low": 0.4, "high": 0.6, "finite": True, "sampling": {"low": 0.3, "high": 0.7}}
ENTRY: dict[str, Any] = {
    "diverged": 0.0,
    "gain": {"mean": 0.25, "low": None, "high": None, "finite": True, "per_seed": {"0": 0.25}},
    "recall": {"0": 1.0, "1": None},
    "test_accuracy": FIGURE,
    "train_accuracy": FIGURE,
    "train_loss": {"mean": None, "low": None, "high": None, "finite": False},
}


@pytest.fixture
def config(settings: params.Params) -> VariantConfig:
    return params.variant_configs(settings)["ex4-assignment"]


def test_nested_settings_are_flattened_and_written_as_json() -> None:
    nested = {"optimizer": {"name": "adam", "learning_rate": 1e-3}, "hidden_units": [64], "epochs": None}
    assert run_content.flatten(nested) == {
        "optimizer.name": "adam",
        "optimizer.learning_rate": "0.001",
        "hidden_units": "[64]",
        "epochs": "null",
    }


def test_values_that_are_not_finite_are_left_out_named_and_counted() -> None:
    values = [("loss", 1.0, 1), ("loss", np.nan, 2), ("loss", -np.inf, 3), ("gain", None, 0), ("accuracy", 0.5, 1)]
    kept, tags = run_content.finite(values)
    assert kept == [("loss", 1.0, 1), ("accuracy", 0.5, 1)]
    assert tags == {"not_finite": "loss (2 values), gain"}
    assert run_content.finite(values[:1]) == ([("loss", 1.0, 1)], {})


def test_gain_and_accuracies_come_first_and_what_explains_them_last() -> None:
    metrics = run_content.summary(ENTRY)
    assert metrics == [
        ("gain", 0.25, 0),
        ("test_accuracy", 0.5, 0),
        ("train_accuracy", 0.5, 0),
        ("diverged", 0.0, 0),
        ("train_loss", None, 0),
        *(
            (f"interval/{split}_accuracy{kind}", value, 0)
            for split in ("test", "train")
            for kind, value in {"_low": 0.4, "_high": 0.6, "_sampling_low": 0.3, "_sampling_high": 0.7}.items()
        ),
        ("recall/0", 1.0, 0),
    ]


def test_a_description_says_the_result_and_every_change(settings: params.Params, config: VariantConfig) -> None:
    case = settings.cases["ex4"]
    text = run_content.variant_description(config, case, ENTRY)
    accuracy = "accuracy **0.5000** (0.4000 to 0.6000)"
    assert text.startswith(f"Training {accuracy}, test {accuracy}, gain **+0.2500**.\n")
    assert f"- **scaled_l2**: {case.fixes['scaled_l2'].why}" in text
    assert '- `optimizer: {"name": "tnc", "max_function_calls": 100}`' in text
    # What a fix changes is said by its reason.
    assert "- `l2" not in text
    assert f"[{case.title}]({case.source})" in text


def test_as_posted_is_described_as_just_that(settings: params.Params) -> None:
    config = params.variant_configs(settings)["mnist-as_posted"]
    assert "As posted.\n" in run_content.variant_description(config, settings.cases["mnist"], ENTRY)


@pytest.mark.parametrize(("seconds", "total"), [({"0": 1.0, "3": 2.0}, 3.0), ({"0": 1.0}, None), ({}, None)])
def test_wall_time_is_told_where_that_of_every_seed_is_known(
    settings: params.Params,
    config: VariantConfig,
    seconds: dict[str, float],
    total: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(figures, "png", lambda figure: b"")
    two_seeds = config.model_copy(update={"seeds": (0, 3)})
    curves = pd.DataFrame({"figure": ["accuracy"], "epoch": 1, "mean": 0.5, "low": 0.5, "high": 0.5})
    counts = np.eye(10, dtype=int)
    content = run_content.variant(two_seeds, settings.cases["ex4"], ENTRY, curves, counts, seconds)
    assert content.seconds == total
    assert [value for name, value, _ in content.metrics if name == "train_seconds"] == ([total] if total else [])


@pytest.mark.parametrize("validation", [True, False])
def test_a_seed_without_a_validation_split_is_not_said_to_have_diverged(
    settings: params.Params, config: VariantConfig, validation: bool
) -> None:
    nothing = [np.nan, np.nan]
    history = pd.DataFrame(
        {"seed": 0, "epoch": [1, 2], "loss": [2.0, 1.0], "accuracy": [0.1, 0.2]}
        | {"validation_loss": nothing, "validation_accuracy": nothing}
    )
    splits = ["train", "validation", "test"] if validation else ["train", "test"]
    final = pd.DataFrame({"seed": 0, "split": splits, "diverged": False, "gradient_evaluations": 8})
    content = run_content.seed(config, settings.cases["ex4"], 0, ENTRY, history, final, {})
    assert ("not_finite" in content.tags) == validation
    assert [item for item in content.metrics if item[0] == "epoch/loss"] == [("epoch/loss", 2, 1), ("epoch/loss", 1, 2)]
    assert ("gradient_evaluations", 8, 0) in content.metrics
    assert ("gain", 0.25, 0) in content.metrics
