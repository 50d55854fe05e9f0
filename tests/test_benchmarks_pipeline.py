"""The benchmarks measure what they say: their edits of params.yaml, their sizes, and the plain Keras script."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from samples import digits

from benchmarks import common, edits, growth, pipeline
from stages.base import files
from stages.config import load
from stages.data import prepared
from stages.data.prepared import Prepared


def test_the_script_is_extrapolated_to_all_epochs_of_all_the_runs_that_a_sample_stands_for() -> None:
    records = [
        {"stands_for": 5, "epochs": 10, "epoch": 2.0, "fixed": 1.0},
        {"stands_for": 1, "epochs": 0, "epoch": 0.0, "fixed": 7.0},
    ]
    assert pipeline.extrapolated(3.0, records) == {"seconds": 3 + 5 * 21 + 7, "sampled_runs": 2, "runs": 6}


@pytest.mark.parametrize("title", edits.EDITS)
def test_an_edit_is_accepted_and_changes_one_block(tmp_path: Path, title: str) -> None:
    edit, name, _ = edits.EDITS[title]
    content = common.read_yaml(common.ROOT / "params.yaml")
    edit(content, 0.0012)
    common.write_yaml(tmp_path / "params.yaml", content)
    before, after = (YAML(typ="safe").load(folder / "params.yaml") for folder in (common.ROOT, tmp_path))
    load.validated(after)
    old, new = before["cases"].pop(name), after["cases"].pop(name)
    assert after == before
    parts = ("as_posted", "fixes", "variants")
    changed = [new[part][key] for part in parts for key in new[part] if new[part][key] != old[part][key]]
    assert len(changed) == 1
    assert "0.0012" in str(changed[0])


PLANNING = common.environment() | {"PYTHONPATH": str(common.ROOT)}


def test_a_growth_is_measured_by_the_real_stage(tmp_path: Path) -> None:
    size = growth.SIZES["point"][-1]
    common.write_yaml(tmp_path / "params.yaml", growth.content("ex4", 2, {"epochs": 5}, size.bit_length() - 1))
    common.run([sys.executable, "-m", "stages", "plan"], tmp_path, PLANNING)
    assert [len(run["seeds"]) for run in files.read_json(tmp_path / "configs/ex4/runs.json")["runs"]] == [2] * size


def test_the_script_trains_every_configuration_and_says_what_each_stands_for(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = {split: random.random((40, 9), np.float32) for split in ("train", "validation", "test")}
    y = {split: np.arange(40, dtype=np.uint8) % 10 for split in x}
    prepared.write(tmp_path / files.prepared_path("ex4"), Prepared(x, y, digits(3, "columns")))
    params = common.read_yaml(common.ROOT / "params.yaml")
    case = params["cases"]["ex4"]
    case["as_posted"] |= {"epochs": 50, "batch_size": 20}
    fixes = {"scaled_l2": case["fixes"]["scaled_l2"]}
    assignment = case["variants"]["assignment"]
    assignment["set"]["optimizer"]["max_function_calls"] = 5
    few = {"data": {"first_of_each_class": {0: 1, 1: 3}}}
    baselines = {"regression": {"model": "LogisticRegression", "inputs": "raw", "C": 1.0, "max_iter": 5}}
    case |= {"fixes": fixes, "variants": {"assignment": assignment, "few": few}}
    case |= {"baselines": baselines, "published": [], "keras": ["2.2"]}
    params |= {"seeds": [0, 1, 2], "cases": {"ex4": case}}
    common.write_yaml(tmp_path / "params.yaml", params)
    common.run([sys.executable, "-m", "stages", "plan"], tmp_path, PLANNING)

    script = str(common.ROOT / "benchmarks/script.py")
    command = [sys.executable, script, "--epochs=2", "--every=2"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=common.environment(), capture_output=True, text=True, check=False, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    start, *records = [json.loads(line) for line in ended.stdout.splitlines()]
    assert start == {"start": True}
    # Every second configuration of a size stands for two: as posted also for `scaled_l2`.
    assert sorted((record["name"], record["stands_for"], record["epochs"]) for record in records) == [
        ("as_posted", 6, 50),
        ("assignment", 3, 0),
        ("few", 3, 50),
        ("floor", 1, 0),
        ("regression", 1, 0),
    ]
    assert all(record["fixed"] > 0 for record in records)
    assert all(record["epoch"] > 0 for record in records if record["epochs"])
