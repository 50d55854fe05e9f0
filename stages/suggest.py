"""A case -> fixes for it, by rules, each with its reason from the case's own numbers, in params.yaml.

    python -m stages suggest my_case

The case is one of the current folder, of `mine/`, or of the clone. It is trained once as posted, and shortly.
"""

import argparse
from pathlib import Path

from stages.base import console, files
from stages.base.errors import UserError
from stages.config import load
from stages.recording import folder as folders
from stages.recording import suggested


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser("python -m stages suggest", description=(__doc__ or "").splitlines()[0])
    found.add_argument("--folder", metavar="PATH", help="the folder of the case (default: the current one, or mine/)")
    found.add_argument("--no-training", action="store_true", help="look at the configuration and the data alone")
    found.add_argument("name", help="the name of the case")
    return found


def folder_of(name: str, folder: str | None) -> Path:
    """Return the folder whose params.yaml has the case `name`: `folder`, or the current one, `mine/`, or the clone.

    Raises
    ------
    UserError
        If none has it.
    """
    places = [Path(folder).absolute()] if folder else [folders.chosen(None), Path.cwd(), folders.CLONE]
    cases: list[str] = []
    for place in dict.fromkeys(places):
        if (place / files.PARAMS).is_file():
            found = load.read(place / files.PARAMS).cases
            if name in found:
                return place
            cases += [case for case in found if case not in cases]
    looked = " and ".join(folders.shortest(place / files.PARAMS) for place in dict.fromkeys(places))
    raise UserError(f"{looked}: no case {name}; expected one of: {', '.join(cases) or 'none is there yet'}")


def main(*arguments: str) -> None:
    """Write fixes for a case, and print them.

    Raises
    ------
    UserError
        If there is no such case, or its data cannot be read. Nothing is written then.
    """
    options = parser().parse_args(arguments)
    folder = folder_of(options.name, options.folder)
    found = suggested.add(folder, options.name, training=not options.no_training)
    suggested.show(options.name, found)
    path = folders.shortest(folder / files.PARAMS)
    if found.new:
        console.say(f"wrote {len(found.new)} fixes to {path}: edit or delete them as you like")
    else:
        console.say(f"{path} stays as it is: there is no new fix")
    console.say(suggested.next_command(folder))
