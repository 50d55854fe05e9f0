"""The arithmetic of the benchmarks, their edits of params.yaml, and the work of the plain Keras script."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from benchmarks import common, edits, growth, pipeline
from stages.base import files
from stages.config import load
from stages.data import prepared


def loaded(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def test_runs_and_stages_are_summed(tmp_path: Path) -> None:
    log = tmp_path / "runs.log"
    lines = [{"case": "a", "folder": "b", "seed": seed, "seconds": seconds} for seed, seconds in enumerate((1.5, 2.0))]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    assert pipeline.run_seconds(log) == [1.5, 2.0]
    assert pipeline.by_kind({"plan": 1.0, "train@a": 4.0, "train@b": 6.0}) == {
        "plan": {"stages": 1, "seconds": 1.0},
        "train": {"stages": 2, "seconds": 10.0},
    }


def test_the_script_is_extrapolated_to_all_epochs_of_all_the_runs_that_a_sample_stands_for() -> None:
    records = [
        {"stands_for": 5, "epochs": 10, "epoch": 2.0, "fixed": 1.0},
        {"stands_for": 1, "epochs": 0, "epoch": 0.0, "fixed": 7.0},
    ]
    assert pipeline.extrapolated(3.0, records) == {"seconds": 3 + 5 * 21 + 7, "sampled_runs": 2, "runs": 6}


def test_a_stage_lasts_until_dvc_turns_to_the_next() -> None:
    output = [
        (0.5, "Stage 'fetch' didn't change, skipping"),
        (1.0, "Running stage 'plan':"),
        (1.5, "> python -m stages plan"),
        (3.0, "Stage 'prepare@ex4' didn't change, skipping"),
        (4.0, "Running stage 'track':"),
    ]
    measured = common.Measured(seconds=6.0, peak_bytes=0, lines=output)
    assert common.stage_seconds(measured) == {"plan": 2.0, "track": 2.0}


def test_a_command_is_measured_with_the_processes_that_it_waits_for(tmp_path: Path) -> None:
    child = "x = bytearray(600 * 2**20)"
    command = f"import subprocess, sys; print('line'); subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    measured = common.run([sys.executable, "-c", command], tmp_path, common.environment())
    assert [line for _, line in measured.lines] == ["line"]
    # A small process measures here, because the peak is at least the memory of the process that measures.
    measure = (
        "import sys; from pathlib import Path; from benchmarks import common;"
        "print(common.run([sys.executable, '-c', sys.argv[1]], Path(), common.environment()).peak_bytes)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", measure, command], cwd=common.ROOT, capture_output=True, check=True, timeout=60
    )
    assert 600 * 2**20 < int(ended.stdout) < 900 * 2**20
    with pytest.raises(RuntimeError, match="ended with 3"):
        common.run([sys.executable, "-c", "raise SystemExit(3)"], tmp_path, common.environment())


def test_the_script_does_not_get_the_processor_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    assert common.environment().keys().isdisjoint({"OMP_NUM_THREADS", "XLA_FLAGS", "MLFLOW_TRACKING_URI"})


def test_results_name_no_host_and_no_folder() -> None:
    text = json.dumps(common.machine(), allow_nan=False)
    assert {"processor", "cores", "memory_bytes", "versions"} == common.machine().keys()
    assert str(Path.home()) not in text
    assert str(common.ROOT) not in text


@pytest.mark.parametrize("title", edits.EDITS)
def test_an_edit_is_accepted_changes_one_block_and_can_be_repeated(tmp_path: Path, title: str) -> None:
    edit, name, _ = edits.EDITS[title]
    before, path = loaded(common.ROOT / "params.yaml"), tmp_path / "params.yaml"
    content = common.read_yaml(common.ROOT / "params.yaml")
    for rate in (0.0011, 0.0012):
        edit(content, rate)
        common.write_yaml(path, content)
        content = common.read_yaml(path)
        after = loaded(path)
        load.validated(after)
        assert list(after)[-1] == "cases"
        case = after["cases"].pop(name)
        changed = [
            (part, key)
            for part in ("fixes", "variants")
            for key in case[part]
            if case[part][key] != before["cases"][name][part][key]
        ]
        assert len(changed) == 1
        assert str(rate) in str(case[changed[0][0]][changed[0][1]])
        assert after == {**before, "cases": {key: value for key, value in before["cases"].items() if key != name}}


def test_a_line_is_fitted_with_its_largest_deviation() -> None:
    exact = growth.fit([1, 2, 4], [5.0, 7.0, 11.0])
    assert exact == pytest.approx({"slope": 2, "constant": 3, "r_squared": 1, "largest_deviation": 0}, abs=1e-12)
    bent = growth.fit([0, 1, 2], [0.0, 3.0, 0.0])
    assert bent == pytest.approx({"slope": 0, "constant": 1, "r_squared": 0, "largest_deviation": 2}, abs=1e-12)


def test_a_growth_is_measured_by_the_real_stage_on_every_size(tmp_path: Path) -> None:
    for size in growth.SIZES["point"]:
        common.write_yaml(tmp_path / "params.yaml", growth.content("ex4", 2, {"epochs": 5}, size.bit_length() - 1))
        common.run([sys.executable, "-m", "stages", "plan"], tmp_path, planning())
        runs = files.read_json(tmp_path / "configs/ex4/runs.json")["runs"]
        assert len(runs) == size
        assert all(len(run["seeds"]) == 2 for run in runs)


def planning() -> dict[str, str]:
    return common.environment() | {"PYTHONPATH": str(common.ROOT)}


def test_the_script_trains_every_configuration_and_says_what_each_stands_for(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = {split: random.random((40, 9), np.float32) for split in ("train", "validation", "test")}
    y = {split: np.arange(40, dtype=np.uint8) % 10 for split in x}
    prepared.write(tmp_path / files.prepared_path("ex4"), x, y, 10, 3, "columns")
    params = common.read_yaml(common.ROOT / "params.yaml")
    case = params["cases"]["ex4"]
    case["as_posted"] |= {"epochs": 50, "batch_size": 20}
    fixes = {"scaled_l2": case["fixes"]["scaled_l2"]}
    assignment = case["variants"]["assignment"]
    assignment["set"]["optimizer"]["max_function_calls"] = 5
    few = {"data": {"first_of_each_class": {0: 1, 1: 3}}}
    baselines = {"regression": {"input_scale": 1.0, "C": 1.0, "max_iter": 5}}
    case |= {"fixes": fixes, "variants": {"assignment": assignment, "few": few}}
    case |= {"baselines": baselines, "published": []}
    params |= {"seeds": [0, 1, 2], "cases": {"ex4": case}}
    common.write_yaml(tmp_path / "params.yaml", params)
    common.run([sys.executable, "-m", "stages", "plan"], tmp_path, planning())

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
        ("regression", 1, 0),
    ]
    assert all(record["fixed"] > 0 for record in records)
    assert all(record["epoch"] > 0 for record in records if record["epochs"])
