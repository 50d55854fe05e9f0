"""A recording that was made in a notebook -> a case.

python -m stages add my_case my_case.zip
"""

import argparse
from pathlib import Path

from stages.base import console
from stages.recording import folder as folders
from stages.recording import recorded, suggested
from stages.recording.taken import write_case


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser("python -m stages add", description=(__doc__ or "").splitlines()[0])
    found.add_argument("--keras", choices=["2.2", "3"], default="3", help="whose losses measure the case (default: 3)")
    found.add_argument("--replace", action="store_true", help="replace the case of this name")
    found.add_argument("--no-suggestions", action="store_true", help="suggest no fixes, and train nothing")
    found.add_argument("--folder", metavar="PATH", help="the folder of own cases (default: mine/)")
    found.add_argument("name", help="the name of the case")
    found.add_argument("recording", help="the file that record.next_fit wrote")
    return found


def main(*arguments: str) -> None:
    """Make a case of a recording.

    Raises
    ------
    UserError
        If the file is no recording, or holds what cannot be a case. Nothing is written then.
    """
    options = parser().parse_args(arguments)
    folder = folders.chosen(options.folder)
    folders.check_name(folder, options.name, replace=options.replace)
    recording = recorded.read(Path(options.recording))
    write_case(recording, options.name, folder, options.keras, replace=options.replace)
    if not options.no_suggestions:
        suggested.add_to_new(folder, options.name)
    console.say(suggested.next_command(folder))
