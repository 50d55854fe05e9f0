"""Time `dvc repro` after an edit of one variant in params.yaml, and with nothing to do.

`python -m benchmarks.edits`, where `dvc repro` has ended: a fresh clone of this repository's HEAD gets its results from
the DVC cache here. From saving the edit until the new numbers are in reports/ and in MLflow. Each edit sets a value
that was never trained, so that nothing comes from a cache.
"""

import argparse
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import common
from stages.core import files

EDIT_GOAL, IDLE_GOAL = 20.0, 1.5
VARIANTS = ("mnist-fixed", "ex4-fixed")
# What shows in any change of a training, as an accuracy may not.
FIGURE = "final_loss"


def edited(content: str, variant: str, learning_rate: float) -> str:
    """params.yaml with Adam's learning rate of `variant` set on its one line, and all else as it is.

    Raises
    ------
    ValueError
        When `variant` is not on one line of `content`.
    """
    setting = f"set: {{optimizer: {{name: adam, learning_rate: {learning_rate:g}}}}}"
    line = rf"^(  {re.escape(variant)}: {{case: \w+, fixes: \[[^]\n]*\])[^\n]*}}$"
    result, count = re.subn(line, lambda found: f"{found[1]}, {setting}}}", content, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"params.yaml: {count} lines of variant {variant}; expected one")
    return result


def reported(folder: Path, variant: str) -> float:
    """The mean of `FIGURE` of `variant` in reports/metrics.json."""
    return float(files.read_json(folder / "reports/metrics.json")[variant][FIGURE]["mean"])


def stored(folder: Path, value: float) -> bool:
    """Whether the MLflow store holds a run whose `FIGURE` is `value`."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        rows = database.execute("SELECT value FROM latest_metrics WHERE key = ?", (FIGURE,)).fetchall()
    return (value,) in rows


def measure_edit(folder: Path, variables: Mapping[str, str], variant: str, learning_rate: float) -> dict[str, Any]:
    """Edit `variant` and run `dvc repro`.

    Raises
    ------
    RuntimeError
        When what it left does not hold new numbers.
    """
    path, before = folder / "params.yaml", reported(folder, variant)
    content = edited(path.read_text(encoding="utf-8"), variant, learning_rate)
    path.write_text(content, encoding="utf-8")
    ran = common.run([*common.DVC, "repro"], folder, variables)
    after = reported(folder, variant)
    if after == before or not stored(folder, after):
        raise RuntimeError(f"{variant} with learning rate {learning_rate:g}: {FIGURE} is not new, or not in MLflow")
    stages = common.stage_seconds(ran)
    return {"variant": variant, "seconds": ran.seconds, "peak_bytes": ran.peak_bytes, "stages": stages}


def measure_idle(folder: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """Run `dvc repro` with nothing to do.

    Raises
    ------
    RuntimeError
        When it ran a stage beside `track`, which looks at the store every time.
    """
    ran = common.run([*common.DVC, "repro"], folder, variables)
    stages = common.stage_seconds(ran)
    if stages.keys() - {"track"}:
        raise RuntimeError(f"with nothing to do, dvc repro ran {', '.join(stages)}")
    return {"seconds": ran.seconds, "stages": stages}


def stages_table(title: str, measured: list[dict[str, Any]]) -> Table:
    """Seconds by stage of repeated measurements, the first to run first."""
    table = Table("stage", "median", "lowest", "highest", title=title)
    for stage in dict.fromkeys(stage for one in measured for stage in one["stages"]):
        table.add_row(stage, *common.shown(common.spread([one["stages"].get(stage, 0.0) for one in measured]), 2))
    rest = [one["seconds"] - sum(one["stages"].values()) for one in measured]
    table.add_row("DVC before and between", *common.shown(common.spread(rest), 2))
    table.add_row("all", *common.shown(common.spread([one["seconds"] for one in measured]), 2))
    return table


def main() -> None:
    """Measure both and print where the time goes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="edits of each variant, and as many runs with no edit")
    rounds = parser.parse_args().rounds

    edits: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
    with common.clone() as (folder, variables):
        common.finished_clone(folder, variables)
        idle = [measure_idle(folder, variables) for _ in range(rounds)]
        for number in range(1, rounds + 1):
            for variant, measured in edits.items():
                measured.append(measure_edit(folder, variables, variant, 0.001 + 0.0001 * number))

    console, figures = common.console(), {"nothing to do": common.spread([one["seconds"] for one in idle])}
    for variant, measured in edits.items():
        figures[f"edit of {variant}"] = common.spread([one["seconds"] for one in measured])
        console.print(stages_table(f"dvc repro after an edit of {variant}, seconds", measured))
    console.print(stages_table("dvc repro with nothing to do, seconds", idle))
    for name, row in figures.items():
        goal = IDLE_GOAL if name == "nothing to do" else EDIT_GOAL
        console.print(f"{name}: {row['median']:.2f} s; goal {goal:g} s: {common.verdict(row['median'], goal)}")
    goals = {"edit": EDIT_GOAL, "nothing to do": IDLE_GOAL}
    result = {"settings": {"rounds": rounds}, "goals": goals, "figures": figures, "edits": edits, "idle": idle}
    common.save("edits", result)


if __name__ == "__main__":
    main()
