"""A person's own script -> a case: run the script unchanged until it trains, and take what it trains.

    python -m stages record my_case train.py [arguments of the script]

The case and its data go to a folder of own cases, `mine/` by default, in which `dvc repro` measures it.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

from stages.base import console
from stages.base.errors import UserError
from stages.config.strict import shorten
from stages.recording import folder as folders
from stages.recording import process, recorded, suggested
from stages.recording.taken import write_case

ROOT = Path(__file__).resolve().parents[1]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser("python -m stages record", description=(__doc__ or "").splitlines()[0])
    found.add_argument("--python", default=sys.executable, metavar="PATH", help="a Python that runs the script")
    found.add_argument("--fit", type=int, default=1, metavar="N", help="record the Nth training of the script")
    found.add_argument("--timeout", type=float, default=10, metavar="MINUTES", help="end the script then (default: 10)")
    found.add_argument("--memory", type=float, metavar="GB", help="end a script that takes more (default: 80%% of all)")
    found.add_argument("--keras", choices=["2.2", "3"], default="3", help="whose losses measure the case (default: 3)")
    found.add_argument("--replace", action="store_true", help="replace the case of this name")
    found.add_argument("--folder", metavar="PATH", help="the folder of own cases (default: mine/)")
    found.add_argument("--no-suggestions", action="store_true", help="suggest no fixes, and train nothing")
    found.add_argument("--check", action="store_true", help="also train by the script and by whichfix, and compare")
    found.add_argument("name", help="the name of the case")
    found.add_argument("script", help="the script")
    found.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the script")
    return found


def main(*arguments: str) -> None:
    """Record a script.

    Raises
    ------
    UserError
        If the script cannot be recorded. Nothing is written then.
    """
    options = parser().parse_args(arguments)
    folder, script = folders.chosen(options.folder), Path(options.script)
    folders.check_name(folder, options.name, replace=options.replace)
    if not script.is_file():
        raise UserError(f"{script} is missing; expected a Python script")
    if options.fit < 1 or options.timeout <= 0:
        raise UserError(f"--fit {options.fit} --timeout {options.timeout:g}; expected at least 1, and above 0")
    where = folders.shortest(folder)
    before = changed_here()
    console.say(f"running {script} with {options.python} until it trains")
    console.say(f"its data stays on this machine, in {where}/data/own, which Git ignores")
    limits = process.Limits(options.timeout, options.memory * 1e9 if options.memory else process.all_memory())
    with tempfile.TemporaryDirectory(prefix="whichfix-") as name:
        temporary = Path(name)
        job = {
            "script": str(script.absolute()),
            "shown": options.script,
            "arguments": options.arguments,
            "recording": str(temporary / f"{options.name}.zip"),
            "fit": options.fit,
            "calls_seconds": 60,
            "run_on": options.check,
        }
        ended = process.run(options.python, job, temporary, limits)
        if written := changed_here() - before:
            console.say(f"{script} wrote into {ROOT}: {shorten(', '.join(sorted(written)))}; `git status` shows it all")
        if error := process.error_of(options.script, ended):
            if ended.report.keys().isdisjoint(("refused", "ended", "input")):
                tell_last_lines(options.script, temporary / "log.txt")
            raise error
        recording = recorded.read(temporary / f"{options.name}.zip")
        case = write_case(recording, options.name, folder, options.keras, replace=options.replace)
        (folder / "logs").mkdir(exist_ok=True)
        shutil.copyfile(temporary / "log.txt", folder / "logs" / f"{options.name}.txt")
    console.say(f"what the script printed: {where}/logs/{options.name}.txt")
    if not options.no_suggestions:
        suggested.add_to_new(folder, options.name)
    console.say(suggested.next_command(folder))
    if options.check:
        compare(folder, case, ended.report.get("history"))


def changed_here() -> set[str]:
    """Return the files of this clone that differ from its last commit or are new, by Git; none without Git."""
    command = ["git", "-C", str(ROOT), "status", "--porcelain", "--no-renames"]
    try:
        return {line[3:] for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines()}
    except OSError:
        return set()


def tell_last_lines(script: str, log: Path) -> None:
    """Print the last lines of a script that was not recorded."""
    if lines := process.last_lines(log):
        print(f"the last lines of {script}:", *(f"  {line}" for line in lines), sep="\n", file=sys.stderr, flush=True)


def compare(folder: Path, case: Any, history: Any) -> None:
    """Train the case with the seeds of its folder, and print its loss beside that of the script's own training."""
    if not history or not history.get("loss"):
        console.say("check: the script's own training gave no losses, so there is nothing to compare")
        return
    console.say("check: training the case with whichfix")
    # TensorFlow takes seconds to import, and only --check needs it.
    from stages.recording import check

    with chdir(folder):
        check.show(case, history["loss"])
