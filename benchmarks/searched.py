"""Time a searched case from `record` to `answer`, and Optuna with `model.fit` for the same number of trainings.

The case is the example of docs/your-network.md, in a fresh clone of HEAD. Optuna trains a part of the number, and the
rest is extrapolated. `pip install optuna==5.0.0` first.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import common
from stages.base.errors import one_line

CASE, SCRIPT = "tumors", "examples/tumors.py"
GOALS = {"from record to answer, s": "at most 120", "Optuna and model.fit / whichfix": "at least 10"}


def measure_case(clone: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """Record, search and answer in `clone`; return the seconds of each command and the number of trainings."""
    stages, mine = [sys.executable, "-m", "stages"], clone / "mine"
    measured = {
        "record": common.run([*stages, "record", CASE, SCRIPT], clone, variables),
        "dvc repro": common.run([*common.DVC, "repro"], mine, variables),
        "answer": common.run([*stages, "answer", CASE], mine, variables),
    }
    return {
        "seconds": {name: one.seconds for name, one in measured.items()},
        "peak_bytes": {name: one.peak_bytes for name, one in measured.items()},
        "stages": common.stage_seconds(measured["dvc repro"]),
        "trainings": len((mine / "runs.log").read_text(encoding="utf-8").splitlines()),
    }


def measure_optuna(clone: Path, variables: Mapping[str, str], sample: int) -> dict[str, float]:
    """Return the seconds until the first training, and of one training."""
    command = [sys.executable, "-m", "benchmarks.optuna_fit", CASE, f"--trainings={sample}"]
    path = {"PYTHONPATH": f"{common.ROOT}:{variables.get('PYTHONPATH', '')}"}
    measured = common.run(command, clone / "mine", {**variables, **path})
    (start, _), *trained = [(at, line) for at, line in measured.lines if line.startswith(("ready", "trained"))]
    return {"start": start, "training": (trained[-1][0] - start) / len(trained), "sample": len(trained)}


def main() -> None:
    """Measure both in turn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--sample", type=int, default=60, help="how many trainings Optuna runs")
    arguments = parser.parse_args()
    rounds = []
    for _ in range(arguments.rounds):
        with common.clone() as (folder, variables):
            case = measure_case(folder, variables)
            rounds.append({"whichfix": case, "optuna": measure_optuna(folder, variables, arguments.sample)})
    ours = [sum(each["whichfix"]["seconds"].values()) for each in rounds]
    others = [each["optuna"]["start"] + each["whichfix"]["trainings"] * each["optuna"]["training"] for each in rounds]
    figures = {
        "from record to answer, s": common.spread(ours),
        "Optuna and model.fit, extrapolated, s": common.spread(others),
        "Optuna and model.fit / whichfix": common.spread([o / w for o, w in zip(others, ours, strict=True)]),
    }
    common.save("searched", {"goals": GOALS, "figures": figures, "rounds": rounds})


if __name__ == "__main__":
    with one_line():
        main()
