"""Time `dvc repro` from an empty cache beside the same runs written as a plain Keras script.

`python -m benchmarks.pipeline`. Each round clones this repository's HEAD and runs `dvc repro --force` in it, `fetch`
included; then benchmarks/script.py, in the same clone, which samples its runs: its time is extrapolated. In turn, so
that a machine whose speed drifts slows both. The floor is what training and evaluation alone would take on all the
cores in use.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import common
from stages.core import files, params

RATIO_GOAL, FLOOR_GOAL = 10.0, 1.5
PHASES = ("import", "read", "compile", "train", "evaluate", "write")
# Of these phases the floor is made.
NEEDED = ("train", "evaluate")

Timings = Mapping[str, Mapping[str, Any]]


def read_timings(folder: Path) -> dict[str, dict[str, Any]]:
    """Stage, named as DVC names it -> ``seconds``, ``phases`` and ``workers`` of what it wrote to `folder`."""
    return {path.stem: files.read_json(path) for path in sorted(folder.glob("*.json"))}


def phases_of(timing: Mapping[str, Any]) -> Counter[str]:
    """Seconds by phase of one stage, summed over its own process and its workers."""
    total: Counter[str] = Counter()
    for process in (timing["phases"], *timing["workers"]):
        total.update(process)
    return total


def breakdown(timings: Timings) -> dict[str, dict[str, float]]:
    """Kind of stage -> how many, ``wall`` seconds of their processes, and processor-seconds by phase."""
    kinds: dict[str, Counter[str]] = {}
    for stage, timing in timings.items():
        kind = kinds.setdefault(stage.split("@")[0], Counter())
        kind.update({"stages": 1, "wall": timing["seconds"]})
        kind.update(phases_of(timing))
    return {kind: dict(figures) for kind, figures in kinds.items()}


def floor(timings: Timings, workers: int) -> float:
    """Seconds that training and evaluation alone would take, spread evenly over `workers`."""
    return sum(phases_of(timing)[phase] for timing in timings.values() for phase in NEEDED) / workers


def extrapolated(start: float, records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of the whole script, and the sample behind that, from `records` as benchmarks/script.py prints them.

    `start` is seconds until the first run.
    """
    costs = [one["stands_for"] * (one["fixed"] + one["epochs"] * one["epoch"]) for one in records]
    return {
        "seconds": start + sum(costs),
        "sampled_runs": len(records),
        "runs": sum(one["stands_for"] for one in records),
    }


def measure_ours(folder: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """One `dvc repro --force` in the fresh clone at `folder`."""
    ran = common.run([*common.DVC, "repro", "--force"], folder, variables)
    timings = read_timings(folder / "timings/stages")
    workers = params.load(folder / "params.yaml").execution.workers or common.cores()
    least = floor(timings, workers)
    return {
        "seconds": ran.seconds,
        "peak_bytes": ran.peak_bytes,
        "stages": common.stage_seconds(ran),
        "breakdown": breakdown(timings),
        "dvc_seconds": ran.seconds - sum(timing["seconds"] for timing in timings.values()),
        "workers": workers,
        "floor": least,
        "over_floor": ran.seconds / least if least else None,
    }


def measure_script(folder: Path, variables: Mapping[str, str], options: Sequence[str]) -> dict[str, Any]:
    """One run of the script in `folder`, where `dvc repro` has ended."""
    ran = common.run([sys.executable, str(common.ROOT / "benchmarks/script.py"), *options], folder, variables)
    (start, _), *lines = [(at, line) for at, line in ran.lines if line.startswith("{")]
    total = extrapolated(start, [json.loads(line) for _, line in lines])
    return total | {"sampling_seconds": ran.seconds, "peak_bytes": ran.peak_bytes}


def breakdown_table(ours: Mapping[str, Any]) -> Table:
    """Where the time of one `dvc repro` goes."""
    title = "Where the time of dvc repro goes: seconds of wall, then processor-seconds of all its processes"
    table = Table("stage", "stages", "wall", *PHASES, title=title)
    for kind, figures in sorted(ours["breakdown"].items(), key=lambda item: -float(item[1]["wall"])):
        table.add_row(kind, str(figures["stages"]), *(f"{figures.get(name, 0.0):.2f}" for name in ("wall", *PHASES)))
    total: Counter[str] = Counter()
    for figures in ours["breakdown"].values():
        total.update(figures)
    table.add_row("DVC itself", "", f"{ours['dvc_seconds']:.2f}")
    table.add_row("all", str(total["stages"]), f"{ours['seconds']:.2f}", *(f"{total[name]:.2f}" for name in PHASES))
    return table


def main() -> None:
    """Run both in turn; print their times, their ratio, the breakdown and the floor."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run")
    parser.add_argument("--epochs", type=int, default=3, help="the most that the script's runs are sampled with")
    parser.add_argument("--every", type=int, default=1, help="sample only every N-th cell of each kind")
    arguments = parser.parse_args()

    options = [f"--epochs={arguments.epochs}", f"--every={arguments.every}"]
    rounds = []
    for _ in range(arguments.rounds):
        with common.clone() as (folder, variables):
            ours = measure_ours(folder, variables)
            rounds.append({"ours": ours, "script": measure_script(folder, variables, options)})
    # The breakdown of one round adds up; medians of its parts would not.
    middle = sorted(rounds, key=lambda one: float(one["ours"]["seconds"]))[len(rounds) // 2]["ours"]
    figures = {
        "dvc repro, s": common.spread([one["ours"]["seconds"] for one in rounds]),
        "script, extrapolated, s": common.spread([one["script"]["seconds"] for one in rounds]),
        "script / dvc repro": common.spread([one["script"]["seconds"] / one["ours"]["seconds"] for one in rounds]),
    }
    if middle["floor"]:
        figures["floor, s"] = common.spread([one["ours"]["floor"] for one in rounds])
        figures["dvc repro / floor"] = common.spread([one["ours"]["over_floor"] for one in rounds])

    console, script = common.console(), rounds[0]["script"]
    table = Table("", "median", "lowest", "highest", title=f"The whole pipeline, rounds: {len(rounds)}")
    for name, row in figures.items():
        table.add_row(name, *common.shown(row, 2))
    console.print(table, breakdown_table(middle), sep="\n")
    console.print(
        f"script: {script['sampled_runs']} runs of at most {arguments.epochs} epochs sampled, of {script['runs']:.0f} "
        f"whole runs in its total; cells sampled: one in {arguments.every}"
    )
    ratio = figures["script / dvc repro"]["median"]
    console.print(f"goal, at least {RATIO_GOAL:g} times faster: {common.verdict(ratio, RATIO_GOAL, at_least=True)}")
    if middle["floor"]:
        over = figures["dvc repro / floor"]["median"]
        console.print(
            f"floor, training and evaluation on {middle['workers']} workers: {middle['floor']:.1f} s; "
            f"goal, within {FLOOR_GOAL:g} times of it: {common.verdict(over, FLOOR_GOAL)}"
        )
    result = {
        "settings": {"rounds": arguments.rounds, "epochs": arguments.epochs, "every": arguments.every},
        "goals": {"script / dvc repro": RATIO_GOAL, "dvc repro / floor": FLOOR_GOAL},
        "figures": figures,
        "rounds": rounds,
    }
    common.save("pipeline", result)


if __name__ == "__main__":
    main()
