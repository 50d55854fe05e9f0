"""Time `dvc repro` after an edit of params.yaml, and with nothing to do.

Run `dvc repro` first: a fresh clone of HEAD gets its results from the DVC cache of this working copy. Each round sets
learning rates that were not trained before. The time ends when the new numbers are in reports/ and in MLflow.
"""

import argparse
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks import common
from stages.base import files
from stages.base.console import say
from stages.base.errors import one_line
from stages.tracking.content import rounded

GOALS = {"edit of a variant (ex4 fixed)": 10.0, "edit of a variant (mnist fixed)": 12.0, "nothing to do": 1.4}
GOALS_PER_RUN = {"edit of a fix (ex4 adam)": 0.5}

Edit = Callable[[Any, float], None]


def edit_variant(case: str) -> Edit:
    """Return an edit of the learning rate of the variant `fixed` of `case`; only the runs of this variant change."""

    def edit(params: Any, rate: float) -> None:
        params["cases"][case]["variants"]["fixed"]["set"] = {"optimizer": {"name": "adam", "learning_rate": rate}}

    return edit


def edit_fix(params: Any, rate: float) -> None:
    """Set the learning rate of the fix `adam` of ex4; the runs of every point with this fix change."""
    params["cases"]["ex4"]["fixes"]["adam"]["set"] = {"optimizer": {"name": "adam", "learning_rate": rate}}


def edit_as_posted(params: Any, rate: float) -> None:
    """Set the learning rate of ex4 as posted; the runs that keep the posted optimizer change."""
    params["cases"]["ex4"]["as_posted"]["optimizer"]["learning_rate"] = rate


# Title -> edit, case, and the variant that must have new numbers afterwards.
EDITS: dict[str, tuple[Edit, str, str]] = {
    "edit of a variant (ex4 fixed)": (edit_variant("ex4"), "ex4", "fixed"),
    "edit of a variant (mnist fixed)": (edit_variant("mnist"), "mnist", "fixed"),
    "edit of a fix (ex4 adam)": (edit_fix, "ex4", "comment_scaled_l2"),
    "edit of the network as posted (ex4 learning rate)": (edit_as_posted, "ex4", "as_posted"),
}


def final_loss(folder: Path, case: str, variant: str) -> float:
    """Return the mean final loss of a variant from reports/results, which any change of its training moves."""
    variants = files.read_json(folder / files.result_path(case))["variants"]
    return next(float(entry["final_loss"]["mean"]) for entry in variants if entry["name"] == variant)


def in_store(folder: Path, value: float) -> bool:
    """Return whether the MLflow store of the clone has a metric of this value, which it rounds."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        return bool(database.execute("SELECT 1 FROM latest_metrics WHERE value = ?", (rounded(value),)).fetchone())


def measure_edit(folder: Path, variables: Mapping[str, str], title: str, rate: float) -> dict[str, Any]:
    """Edit params.yaml in `folder` and time `dvc repro`.

    Raises
    ------
    RuntimeError
        If the numbers are not new afterwards, or not in MLflow.
    """
    edit, case, variant = EDITS[title]
    path, before = folder / files.PARAMS, final_loss(folder, case, variant)
    params = common.read_yaml(path)
    edit(params, rate)
    common.write_yaml(path, params)
    log = folder / "runs.log"
    trained_before = _lines(log)
    measured = common.run([*common.DVC, "repro"], folder, variables)
    after = final_loss(folder, case, variant)
    if after == before or not in_store(folder, after):
        raise RuntimeError(f"{title}: the final loss of {variant} is not new, or not in MLflow")
    return _record(measured) | {"runs": _lines(log) - trained_before}


def measure_idle(folder: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """Time `dvc repro` with nothing to do.

    Raises
    ------
    RuntimeError
        If it runs another stage than `track`, which looks at the store every time.
    """
    record = _record(common.run([*common.DVC, "repro"], folder, variables))
    others = record["stages"].keys() - {"track"}
    if others:
        raise RuntimeError(f"with nothing to do, dvc repro ran {', '.join(sorted(others))}")
    return record


def measure_empty() -> dict[str, Any]:
    """Time `dvc repro` of a pipeline without stages, which is what DVC itself takes."""
    with tempfile.TemporaryDirectory() as name:
        folder, variables = Path(name), common.environment()
        subprocess.run(["git", "init", "--quiet", name], check=True)
        (folder / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
        common.run([*common.DVC, "init", "--quiet"], folder, variables)
        measured = common.run([*common.DVC, "repro"], folder, variables)
        return {"seconds": measured.seconds, "peak_bytes": measured.peak_bytes, "stages": {}}


def _lines(log: Path) -> int:
    return len(log.read_text(encoding="utf-8").splitlines()) if log.is_file() else 0


def _record(measured: common.Measured) -> dict[str, Any]:
    return {
        "seconds": measured.seconds,
        "peak_bytes": measured.peak_bytes,
        "stages": common.stage_seconds(measured),
    }


def main() -> None:
    """Measure every edit and `dvc repro` without one, in turn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    rounds = parser.parse_args().rounds

    idle, empty = "nothing to do", "`dvc repro` of a pipeline without stages"
    records: dict[str, list[dict[str, Any]]] = {title: [] for title in (*EDITS, idle, empty)}
    with common.clone() as (folder, variables):
        common.finished_clone(folder, variables)
        for number in range(1, rounds + 1):
            records[idle].append(measure_idle(folder, variables))
            records[empty].append(measure_empty())
            for title in EDITS:
                records[title].append(measure_edit(folder, variables, title, round(0.001 + 0.0001 * number, 4)))

    figures = {title: common.spread([record["seconds"] for record in found]) for title, found in records.items()}
    for title, found in records.items():
        stages = {stage: f"{seconds:.1f} s" for stage, seconds in found[-1]["stages"].items()}
        say(f"{title}: {found[-1].get('runs', 0)} runs trained; " + ", ".join(map(" ".join, stages.items())))
    common.save(
        "edits",
        {"rounds": rounds, "goals": GOALS, "goals_per_run": GOALS_PER_RUN, "figures": figures, "records": records},
    )


if __name__ == "__main__":
    with one_line():
        main()
