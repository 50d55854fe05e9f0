"""A case -> fixes for it, by rules, each with its reason from the case's own numbers, in params.yaml.

    python -m stages suggest my_case

The case is one of the current folder, of `mine/`, or of the clone. It is trained once as posted, and shortly.
"""

import argparse

from stages.base import console, files
from stages.recording import folder as folders
from stages.recording import suggested


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser("python -m stages suggest", description=(__doc__ or "").splitlines()[0])
    found.add_argument("--folder", metavar="PATH", help="the folder of the case (default: the current one, or mine/)")
    found.add_argument("--no-training", action="store_true", help="look at the configuration and the data alone")
    found.add_argument("name", help="the name of the case")
    return found


def main(*arguments: str) -> None:
    """Write fixes for a case, and print them.

    Raises
    ------
    UserError
        If there is no such case, or its data cannot be read. Nothing is written then.
    """
    options = parser().parse_args(arguments)
    folder = folders.of_case(options.name, options.folder)
    found = suggested.add(folder, options.name, training=not options.no_training)
    suggested.show(options.name, found)
    path = folders.shortest(folder / files.PARAMS)
    if found.new:
        console.say(f"wrote {len(found.new)} fixes to {path}: edit or delete them as you like")
    else:
        console.say(f"{path} stays as it is: there is no new fix")
    console.say(suggested.next_command(folder))
