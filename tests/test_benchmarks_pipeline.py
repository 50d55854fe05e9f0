"""The arithmetic of the benchmarks of the whole pipeline, and that the plain script trains what it is timed on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import common, edits, growth, pipeline
from stages.core import files, params

TIMINGS = {
    "plan": {"seconds": 1.0, "phases": {"import": 0.5, "write": 0.25}, "workers": []},
    "train@a": {"seconds": 4.0, "phases": {"import": 1.0}, "workers": [{"train": 2.0}, {"train": 1.0, "compile": 0.5}]},
    "train@b": {"seconds": 6.0, "phases": {"train": 5.0, "evaluate": 1.0}, "workers": []},
}


def test_the_breakdown_sums_the_stages_of_a_kind_and_the_processes_of_a_stage(tmp_path: Path) -> None:
    for stage, timing in TIMINGS.items():
        files.write_json(tmp_path / f"{stage}.json", timing)
    assert pipeline.breakdown(pipeline.read_timings(tmp_path)) == {
        "plan": {"stages": 1, "wall": 1.0, "import": 0.5, "write": 0.25},
        "train": {"stages": 2, "wall": 10.0, "import": 1.0, "compile": 0.5, "train": 8.0, "evaluate": 1.0},
    }


def test_the_floor_is_training_and_evaluation_over_the_workers() -> None:
    assert pipeline.floor(TIMINGS, 2) == 4.5
    assert pipeline.floor({}, 2) == 0


def test_the_script_is_extrapolated_to_all_epochs_of_all_the_runs_that_a_sample_stands_for() -> None:
    records = [
        {"stands_for": 5, "epochs": 10, "epoch": 2.0, "fixed": 1.0},
        {"stands_for": 1, "epochs": 0, "epoch": 0.0, "fixed": 7.0},
    ]
    assert pipeline.extrapolated(3.0, records) == {"seconds": 3 + 5 * 21 + 7, "sampled_runs": 2, "runs": 6}


def test_a_stage_lasts_until_dvc_turns_to_the_next() -> None:
    said = [
        (0.5, "Stage 'fetch' didn't change, skipping"),
        (1.0, "Running stage 'plan':"),
        (1.5, "> python -m stages.plan"),
        (3.0, "Stage 'prepare@ex4' didn't change, skipping"),
        (4.0, "Running stage 'track':"),
    ]
    assert common.stage_seconds(common.Ran(seconds=6.0, peak_bytes=0, lines=said)) == {"plan": 2.0, "track": 2.0}


def test_a_command_is_measured_with_the_processes_that_it_waits_for(tmp_path: Path, root: Path) -> None:
    child = "x = bytearray(600 * 2**20)"
    command = f"import subprocess, sys; print('said'); subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    ran = common.run([sys.executable, "-c", command], tmp_path, common.environment())
    assert [line for _, line in ran.lines] == ["said"]
    # Measured by a small process, as this one is not: the peak is at least that of the process that measures.
    measure = (
        "import sys; from pathlib import Path; from benchmarks import common;"
        "print(common.run([sys.executable, '-c', sys.argv[1]], Path(), common.environment()).peak_bytes)"
    )
    ended = subprocess.run([sys.executable, "-c", measure, command], cwd=root, capture_output=True, check=True)
    assert 600 * 2**20 < int(ended.stdout) < 900 * 2**20
    with pytest.raises(RuntimeError, match="ended with 3"):
        common.run([sys.executable, "-c", "raise SystemExit(3)"], tmp_path, common.environment())


def test_a_plain_script_is_not_bound_to_the_settings_of_the_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    assert common.environment().keys().isdisjoint({"OMP_NUM_THREADS", "XLA_FLAGS", "MLFLOW_TRACKING_URI"})


def test_the_machine_is_told_without_its_name_or_folders() -> None:
    text = json.dumps(common.machine(), allow_nan=False)
    assert {"processor", "cores", "memory_bytes", "versions"} == common.machine().keys()
    assert str(Path.home()) not in text
    assert str(common.ROOT) not in text


@pytest.mark.parametrize("variant", edits.VARIANTS)
def test_an_edit_changes_the_one_variant_and_can_be_repeated(
    root: Path, settings: params.Params, tmp_path: Path, variant: str
) -> None:
    content = (root / "params.yaml").read_text(encoding="utf-8")
    for rate in (0.0011, 0.0012):
        content = edits.edited(content, variant, rate)
        (tmp_path / "params.yaml").write_text(content, encoding="utf-8")
        after = params.load(tmp_path / "params.yaml")
        changed = {name for name in after.variants if after.run_of(name) != settings.run_of(name)}
        optimizer = after.run_of(variant).optimizer
        assert changed == {variant}
        assert isinstance(optimizer, params.Adam)
        assert optimizer.learning_rate == rate


def test_an_edit_of_a_variant_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="0 lines of variant mnist-none"):
        edits.edited("variants:\n", "mnist-none", 0.1)


def test_a_line_is_fitted_with_its_largest_deviation() -> None:
    exact = growth.fit([1, 2, 4], [5.0, 7.0, 11.0])
    assert exact == pytest.approx({"slope": 2, "constant": 3, "r_squared": 1, "largest_deviation": 0}, abs=1e-12)
    bent = growth.fit([0, 1, 2], [0.0, 3.0, 0.0])
    assert bent == pytest.approx({"slope": 0, "constant": 1, "r_squared": 0, "largest_deviation": 2}, abs=1e-12)


def test_every_point_of_the_growth_is_accepted_by_the_schema() -> None:
    for fixes in growth.FIXES:
        content = growth.content("ex4", 2, {"epochs": 5}, list(growth.SYNTHETIC)[:fixes])
        cells = params.cell_configs(params.Params.model_validate(content))["ex4"].cells
        assert len(cells) == len({cell.run.model_dump_json() for cell in cells}) == 2**fixes
    for seeds in growth.SEEDS:
        content = growth.content("mnist", seeds, {"epochs": 2}, ())
        assert len(params.Params.model_validate(content).seeds) == seeds


def test_the_script_trains_every_configuration_and_says_what_each_stands_for(
    settings: params.Params, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    data: dict[str, np.ndarray] = {
        name: random.random((40, 9), np.float32) for name in ("x_train", "x_validation", "x_test")
    }
    data |= {name.replace("x", "y", 1): np.arange(40, dtype=np.uint8) % 10 for name in list(data)}
    files.write_npz(tmp_path / "data/prepared/ex4.npz", data)
    run = settings.run_of("ex4-as_posted").model_dump(mode="json") | {"epochs": 50, "batch_size": 20}
    summed = settings.run_of("ex4-assignment").model_dump(mode="json")
    summed["optimizer"]["max_function_calls"] = 5
    for name, config in (("as_posted", run), ("assignment", summed)):
        files.write_json(tmp_path / f"configs/ex4-{name}.json", {"case": "ex4", "seeds": [0, 1, 2], "run": config})
    files.write_json(tmp_path / "configs/cells/ex4.json", {"seeds": [0, 1], "cells": [{"run": run}] * 3})
    baselines = {"regression": {"input_scale": 1.0, "C": 1.0, "max_iter": 5}}
    content: dict[str, Any] = {"probe": {"case": "ex4", "examples": 4, "zeros": [1]}}
    files.write_json(tmp_path / "params.yaml", content | {"cases": {"ex4": {"baselines": baselines}}})

    script = str(common.ROOT / "benchmarks/script.py")
    command = [sys.executable, script, "--epochs=2", "--every=2"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=common.environment(), capture_output=True, text=True, check=False, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    start, *records = [json.loads(line) for line in ended.stdout.splitlines()]
    assert start == {"kind": "start"}
    assert [(one["name"], one["stands_for"], one["epochs"]) for one in records] == [
        ("ex4-as_posted", 3, 50),
        ("ex4-assignment", 3, 0),
        ("ex4-0", 3, 50),
        ("ex4-2", 3, 50),
        ("1_zeros", 3, 50),
        ("ex4-regression", 1, 0),
    ]
    assert all(one["fixed"] > 0 for one in records)
    assert all(one["epoch"] > 0 for one in records if one["epochs"])
