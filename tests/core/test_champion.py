"""The model card of a champion."""

from typing import Any

import numpy as np
import pytest

from stages.core import champion, params
from stages.core.params import Params

ENTRY: dict[str, Any] = {
    "test_accuracy": {"mean": 0.5, "low": 0.4, "high": 0.6, "per_seed": {"0": 0.55, "1": 0.45}},
    "train_accuracy": {"mean": 0.75, "low": 0.7, "high": 0.8, "per_seed": {"0": 0.74, "1": 0.76}},
    "gain": {"mean": 0.25, "low": 0.2, "high": 0.3, "per_seed": {"0": 0.24, "1": 0.26}},
    "recall": {str(digit): 0.9 + digit / 1000 for digit in range(10)} | {"4": 0.125, "7": None},
}
DIGESTS = {name: {"shape": shape, "sha256": name * 3} for name, shape in (("x_train", [5, 400]), ("y_train", [5]))}


def facts(settings: Params, **changed: Any) -> champion.Facts:
    counts = 20 * np.eye(10, dtype=int)
    counts[4, 9], counts[2, 3] = 60, 5
    config = params.variant_configs(settings)["ex4-fixed"]
    given: dict[str, Any] = {
        "config": config,
        "seed": 0,
        "case": settings.cases["ex4"],
        "entry": ENTRY,
        "counts": counts,
        "digests": DIGESTS,
        "rivals": 7,
    }
    return champion.Facts(**given | changed)


def test_a_card_says_what_the_model_is_its_figures_its_data_and_where_it_fails(settings: Params) -> None:
    text = champion.card(facts(settings))
    assert text.startswith("# ex4-fixed, seed 0\n")
    assert "A 400-25-10 network" in text
    assert "of 7 variants" in text
    assert settings.cases["ex4"].source in text
    assert "| test accuracy | 0.5000 | 0.4000 to 0.6000 | 0.5500 |" in text
    assert "| gain | 0.2500 | 0.2000 to 0.3000 | 0.2400 |" in text
    for name, digest in DIGESTS.items():
        assert f"- `{name}` {digest['shape']}: `{digest['sha256']}`" in text
    assert "split, all seeds: 4 (12.5%), 0 (90.0%), 1 (90.1%)." in text
    assert "mistakes: 4 read as 9 (75.0%), 2 read as 3 (20.0%)." in text


def test_a_card_fits_into_mlflow(settings: Params) -> None:
    digest = {"shape": [60000, 784], "sha256": 64 * "f"}
    digests = {f"{letter}_{split}": digest for letter in "xy" for split in ("train", "validation", "test")}
    # What a description of MLflow's registry holds.
    assert len(champion.card(facts(settings, digests=digests))) < 5000


@pytest.mark.parametrize("name", ["gain", "train_accuracy"])
def test_a_figure_that_is_not_there_has_no_row(settings: Params, name: str) -> None:
    entry = ENTRY | {name: {"mean": None, "low": None, "high": None, "per_seed": {}}}
    lines = champion.card(facts(settings, entry=entry)).splitlines()
    assert len([line for line in lines if line.startswith("| ")]) == 4


def test_one_seed_has_no_interval(settings: Params) -> None:
    alone = {"mean": 0.5, "low": None, "high": None, "per_seed": {"0": 0.5}}
    assert "| test accuracy | 0.5000 |  | 0.5000 |" in champion.card(
        facts(settings, entry=ENTRY | {"test_accuracy": alone})
    )
