"""Time `dvc repro` with an empty cache, and the same runs as a plain Keras script.

Each round makes a fresh clone of HEAD, runs `dvc repro --force` in it, and then benchmarks/script.py, which trains a
sample of the runs and extrapolates to all of them. The two alternate, so that a machine whose speed drifts slows both.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import common
from stages.base import files
from stages.base.console import say
from stages.base.errors import one_line

GOALS = {"dvc repro / floor": "at most 1.3", "script / dvc repro": "at least 20"}


def run_seconds(log: Path) -> list[float]:
    """Return the seconds of each run in runs.log; the first run of a program includes its compilation."""
    return [float(json.loads(line)["seconds"]) for line in log.read_text(encoding="utf-8").splitlines()]


def by_kind(seconds: Mapping[str, float], peaks: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Return number, seconds and peak memory in bytes of the stages, by the name before @."""
    kinds: dict[str, dict[str, float]] = defaultdict(lambda: {"stages": 0, "seconds": 0.0, "peak_bytes": 0})
    for stage, lasted in seconds.items():
        kind = kinds[stage.partition("@")[0]]
        kind["stages"] += 1
        kind["seconds"] += lasted
        kind["peak_bytes"] = max(kind["peak_bytes"], peaks[stage])
    return dict(kinds)


def extrapolated(start: float, records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the seconds of the whole script from its sample.

    `start` is the time until its first run; `records` are the lines that it prints.
    """
    costs = [record["stands_for"] * (record["fixed"] + record["epochs"] * record["epoch"]) for record in records]
    return {
        "seconds": start + sum(costs),
        "sampled_runs": len(records),
        "runs": sum(record["stands_for"] for record in records),
    }


def measure_pipeline(folder: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """Time one `dvc repro --force` in the fresh clone at `folder`.

    ``floor`` is the time of all runs, divided by the number of workers.

    Raises
    ------
    RuntimeError
        If a result is not that of the commit.
    """
    measured = common.run([*common.DVC, "repro", "--force"], folder, variables)
    common.run(["git", "diff", "--exit-code", "--stat"], folder, variables)
    stages, seconds = common.stage_seconds(measured), run_seconds(folder / "runs.log")
    workers = int(common.read_yaml(folder / files.PARAMS)["execution"]["workers"])
    return {
        "seconds": measured.seconds,
        "peak_bytes": measured.peak_bytes,
        "stages": by_kind(stages, common.stage_peaks(measured)),
        "dvc_seconds": measured.seconds - sum(stages.values()),
        "runs": len(seconds),
        "workers": workers,
        "floor": sum(seconds) / workers,
    }


def measure_script(folder: Path, variables: Mapping[str, str], options: Sequence[str]) -> dict[str, Any]:
    """Run the script in `folder`, in which `dvc repro` has ended, and extrapolate."""
    measured = common.run([sys.executable, str(common.ROOT / "benchmarks/script.py"), *options], folder, variables)
    (start, _), *lines = [(at, line) for at, line in measured.lines if line.startswith("{")]
    return extrapolated(start, [json.loads(line) for _, line in lines]) | {"sampling_seconds": measured.seconds}


def main() -> None:
    """Run both in turn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run")
    parser.add_argument("--epochs", type=int, default=3, help="at most this many epochs per sampled run of the script")
    parser.add_argument("--every", type=int, default=1, help="let the script sample only every N-th configuration")
    arguments = parser.parse_args()

    options = [f"--epochs={arguments.epochs}", f"--every={arguments.every}"]
    rounds = []
    for _ in range(arguments.rounds):
        with common.clone() as (folder, variables):
            pipeline = measure_pipeline(folder, variables)
            rounds.append({"pipeline": pipeline, "script": measure_script(folder, variables, options)})
    pairs = [(pair["pipeline"], pair["script"]) for pair in rounds]
    figures = {
        "dvc repro, s": common.spread([pipeline["seconds"] for pipeline, _ in pairs]),
        "floor, s": common.spread([pipeline["floor"] for pipeline, _ in pairs]),
        "dvc repro / floor": common.spread([pipeline["seconds"] / pipeline["floor"] for pipeline, _ in pairs]),
        "script, extrapolated, s": common.spread([script["seconds"] for _, script in pairs]),
        "script / dvc repro": common.spread([script["seconds"] / pipeline["seconds"] for pipeline, script in pairs]),
    }
    for kind, total in sorted(pairs[-1][0]["stages"].items(), key=lambda item: -float(item[1]["seconds"])):
        say(f"{kind}: {total['seconds']:.1f} s in {total['stages']} stages")
    result = {
        "settings": vars(arguments),
        "goals": GOALS,
        "figures": figures,
        "rounds": rounds,
    }
    common.save("pipeline", result)


if __name__ == "__main__":
    with one_line():
        main()
