"""Search the fixes of real faults by whichfix, by random search and by Optuna's TPE, and compare them."""

import argparse
import hashlib
import os
import shutil
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import common, compare, fault_data, faults, measures, peers, table
from benchmarks.faults import Fault
from benchmarks.table import FRESH, SEEDS, MissingError, Scorer, Table
from stages.base import files, processor
from stages.base.console import say
from stages.base.errors import one_line
from stages.diagnosis.rules import suggest
from stages.diagnosis.scores import AS_POSTED
from stages.diagnosis.space import Point

PHASES = ("whichfix", "random", "tpe_first", "tpe", "eliminated", "targets", "check")
# So many faults go through all phases before the next ones.
CHUNK = 8
# What was trained, so that a search that was edited trains only what is new to it.
TABLES = common.RESULTS / "search_tables.zip"
# The code that decides the rows of the result.
DECIDING = (
    "stages/diagnosis/*.py",
    "benchmarks/quick*.py",
    *(f"benchmarks/{name}.py" for name in ("compare", "fault_data", "faults", "measures", "peers", "table")),
)


def scorer_of(fault: Fault, folder: Path, *, train: bool = True) -> Scorer:
    """Return the scorer of a fault, whose space are the fixes that the rules suggest."""
    found = suggest(fault.case, fault.data, table.symptoms(fault, folder))
    return Scorer(table.cheap(fault, {each.name: each.fix for each in found}), Table(fault, folder, train=train))


def fill(fault: Fault, folder: Path, phase: str) -> str:
    """Train what a phase needs and is not in the table; return what was done."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    warnings.simplefilter("ignore")
    scorer = scorer_of(fault, folder)
    if phase == "whichfix":
        for network in filter(None, (fault.case.as_posted, fault.fix)):
            for seeds in (SEEDS, FRESH):
                scorer.table.of(network, seeds, "as posted or published fix")
        peers.whichfix(scorer)
    if phase == "random":
        for point in peers.pool(scorer.space):
            scorer.entry(point)
    if phase in compare.METHODS and phase != "whichfix":
        list(compare.runs_of(scorer, phase))
    if phase == "targets":
        compare.row_of(fault, Scorer(scorer.space, scorer.table))
    if phase == "check":
        for point in checked(scorer):
            table.check(fault, scorer, point, folder)
    return f"{fault.id} {phase}: {scorer.table.trained} trained"


def checked(scorer: Scorer) -> list[Point]:
    """Return the points that whichfix itself trains too: as posted, unless Keras refuses it, and the first repair."""
    posted = [AS_POSTED] if scorer.entry(AS_POSTED).scores is not None else []
    return [*posted, *peers.whichfix(scorer)[1].repairs[:1]]


def run(found: Sequence[Fault], folder: Path, phases: Sequence[str], workers: int) -> None:
    """Fill the tables of the faults, in order."""
    # A process that was forked after TensorFlow's import can wait forever.
    with ProcessPoolExecutor(workers, get_context("spawn")) as executor:
        jobs = [
            executor.submit(fill, fault, folder, phase)
            for start in range(0, len(found), CHUNK)
            for phase in phases
            for fault in found[start : start + CHUNK]
        ]
        for job in as_completed(jobs):
            say(job.result())


def in_order(found: Sequence[Fault]) -> tuple[list[Fault], dict[str, str]]:
    """Return the faults that are cheap enough, and for each that is left out the reason.

    First come those that people labelled, those of low trust come last, and of these the cheapest first.
    """
    costs = {fault.id: table.cheap(fault, {}).seconds(AS_POSTED) for fault in found}
    left_out = {
        fault_id: f"a training as posted takes some {cost:.0f} s; at most {table.MOST_SECONDS_POSTED:g}"
        for fault_id, cost in costs.items()
        if cost > table.MOST_SECONDS_POSTED
    }
    kept = [fault for fault in found if fault.id not in left_out]

    def place(fault: Fault) -> tuple[bool, bool, float]:
        return fault.trust == "low", fault.basis != "benchmark", costs[fault.id]

    return sorted(kept, key=place), left_out


def code_of_rows() -> str:
    """Return the digest of the code that decides the rows of the result."""
    paths = sorted(path for pattern in DECIDING for path in common.ROOT.glob(pattern))
    return hashlib.sha256("".join(files.sha256(path) for path in paths).encode()).hexdigest()


def known(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a result that this code wrote, none if there is no such result."""
    result = files.read_json(path) if path.is_file() else {}
    rows: list[dict[str, Any]] = result["faults"] if result.get("code") == code_of_rows() else []
    return rows


def measured(found: Sequence[Fault], folder: Path) -> list[dict[str, Any]]:
    """Return the row of each fault whose tables are full enough."""
    rows = []
    for fault in found:
        if not (folder / f"{fault.id}.symptoms.json").is_file():
            continue
        try:
            scorer = scorer_of(fault, folder, train=False)
            row = compare.row_of(fault, scorer)
            pairs = [table.check(fault, scorer, point, folder) for point in checked(scorer)]
            rows.append(measures.rounded(row | {"check": [pair for pair in pairs if pair]}))
        except MissingError as error:
            say(f"not measured: {error}")
    return rows


def main() -> None:
    """Fill the tables, measure, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--faults", type=Path, required=True, help="the file of faults")
    parser.add_argument("--mnist", type=Path, default=Path("data/raw/mnist.npz"), help="MNIST, as `fetch` writes it")
    parser.add_argument("--cache", type=Path, default=Path("build/search"), help="the folder of the tables")
    parser.add_argument("--phases", nargs="*", default=PHASES, choices=PHASES, help="which tables are filled")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="measure the faults of the result again")
    parser.add_argument("--output", type=Path, default=common.RESULTS / "search.json")
    arguments = parser.parse_args()
    os.environ.update(processor.SETTINGS)  # for the processes that train
    if not arguments.cache.exists() and TABLES.exists():
        shutil.unpack_archive(TABLES, arguments.cache)
    arguments.cache.mkdir(parents=True, exist_ok=True)
    found, skipped = faults.read(arguments.faults, arguments.mnist)
    kept, left_out = in_order(found)
    for name, reason in (skipped | left_out).items():
        say(f"left out: {name}: {reason}")
    rows = [] if arguments.again else known(arguments.output)
    known_ids = {row["id"] for row in rows}
    wanted = [fault for fault in kept if fault.id not in known_ids]
    run(wanted, arguments.cache, arguments.phases, arguments.workers)
    rows = sorted([*rows, *measured(wanted, arguments.cache)], key=lambda row: row["index"])
    measured_ids = {row["id"] for row in rows}
    left_out |= {fault.id: "not run yet" for fault in kept if fault.id not in measured_ids}
    result = {
        "settings": {
            "seeds": len(SEEDS),
            "fresh_seeds": len(FRESH),
            "points": peers.POINTS,
            "pool": peers.POOL,
            "repetitions": {
                "random": compare.REPETITIONS,
                "eliminated": compare.ELIMINATIONS,
                "tpe": compare.TPE_REPETITIONS,
            },
            "most_seconds": table.MOST_SECONDS,
            "most_rows": fault_data.MOST_ROWS,
            "most_features": fault_data.MOST_FEATURES,
            "smallest_gain": compare.SMALLEST_GAIN,
        },
        "left_out": skipped | left_out,
        "faults": rows,
        "figures": measures.rounded(compare.figures(rows)),
    }
    files.write_json(arguments.output, {"machine": common.machine(), "code": code_of_rows(), **result})
    shutil.make_archive(str(TABLES.with_suffix("")), "zip", arguments.cache)
    say(f"wrote {arguments.output} and {TABLES}")


if __name__ == "__main__":
    with one_line():
        main()
