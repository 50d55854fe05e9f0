"""Time the pipeline's training of mnist-fixed beside the script that people would write, as whole processes.

`python -m benchmarks.compare`, at the root, after `dvc repro`. The two run in turn, so that a machine whose speed
drifts slows both; each does the same work: five seeds, ten epochs, validation after each, start-up and compilation
included.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
SEEDS = ["0", "1", "2", "3", "4"]
COMMANDS = {
    "script (model.fit)": [sys.executable, str(ROOT / "benchmarks/script.py"), *SEEDS],
    "whichfix (stages.train)": [sys.executable, "-m", "stages.train", "mnist-fixed"],
}


def seconds(command: list[str]) -> float:
    """Wall time of `command`, run in a folder of its own so that no result of the pipeline is touched."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("configs", "data", "stages"):
            (Path(folder) / name).symlink_to(ROOT / name)
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return time.perf_counter() - start


def main() -> None:
    """Run both in turn and print their times and the ratio, pair by pair."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=3, help="how often each is run")
    pairs = parser.parse_args().pairs
    runs = [[seconds(command) for command in COMMANDS.values()] for _ in range(pairs)]
    table = Table("", "median", "lowest", "highest", title="Five seeds of mnist-fixed, whole process, seconds")
    for name, times in zip(COMMANDS, zip(*runs, strict=True), strict=True):
        table.add_row(name, *(f"{value:.1f}" for value in (statistics.median(times), min(times), max(times))))
    ratios = [script / ours for script, ours in runs]
    table.add_row("ratio", *(f"{value:.1f}" for value in (statistics.median(ratios), min(ratios), max(ratios))))
    Console().print(table)


if __name__ == "__main__":
    main()
