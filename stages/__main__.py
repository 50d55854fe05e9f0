"""Run a stage, a command or a tool: `python -m stages <name> [case]`, for example `python -m stages train mnist`."""

import sys

from stages.base import processor

processor.apply()  # before anything imports NumPy, which reads its settings then

import importlib  # noqa: E402
import inspect  # noqa: E402
import io  # noqa: E402
import warnings  # noqa: E402
from contextlib import nullcontext  # noqa: E402

from stages.base import lifetime  # noqa: E402
from stages.base.errors import UserError, one_line  # noqa: E402

STAGES = ("plan", "fetch", "prepare", "train", "baseline", "evaluate", "report", "track")
COMMANDS = ("record", "add", "suggest", "answer", "preview", "doctor")
TOOLS = ("keras_names", "params_page", "settings")
NAMES = STAGES + COMMANDS + TOOLS


def main(arguments: list[str]) -> None:
    """Call the `main` of the stage, command or tool that the command line names.

    Raises
    ------
    UserError
        If there is none of this name, or the number of arguments is wrong.
    """
    if sys.flags.optimize > 1:
        raise UserError("Python leaves out texts that Altair reads; unset PYTHONOPTIMIZE, which is 2")
    name, *rest = arguments or [""]
    if name not in NAMES:
        raise UserError(f"{name or 'no stage'}; expected python -m stages with one of: {', '.join(NAMES)}")
    module = importlib.import_module(f"stages.tools.{name}" if name in TOOLS else f"stages.{name}")
    parameters = inspect.signature(module.main).parameters
    reads_all = any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters.values())
    if not reads_all and len(rest) != len(parameters):
        usage = " ".join(["python -m stages", name, *(f"<{parameter}>" for parameter in parameters)])
        raise UserError(f"{name}: {len(rest)} arguments; expected {usage}")
    with lifetime.turn(arguments) if name in STAGES else nullcontext():
        module.main(*rest)


if __name__ == "__main__":
    # A locale may lack a letter of a title. A sign takes its place, because no stage may end over what it prints.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    # No warning of a library ends a stage, even if PYTHONWARNINGS asks for that.
    if any(option.startswith("error") for option in sys.warnoptions):
        warnings.simplefilter("ignore")
    lifetime.end_in_order()
    with one_line():
        main(sys.argv[1:])
