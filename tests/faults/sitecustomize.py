"""Break a stage at a moment of its writing. Python imports this module at its start if its folder is on PYTHONPATH.

The environment variable FAULT holds JSON: ``command``, the arguments of the process to break (no other process is
touched), and ``log``, a file that gets one line per moment. A moment comes just before a file is opened for writing,
removed or renamed, or a folder is made, below one of the paths ``below``. ``moment`` is the number of the moment to
strike, from 0, and ``how`` is one of

- ``kill``: the process is killed;
- ``cut``: the process is killed as soon as it has written `SIZE` bytes to a file;
- ``full``: from now on no file can grow beyond `SIZE` bytes.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any

SIZE = 100
FAULT: dict[str, Any] = json.loads(os.environ.get("FAULT", "{}"))
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir")


def strike(how: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "cut":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Python ignores this signal, and its own function to change that works in the main thread only.
        ctypes.CDLL(None).signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def install() -> None:
    log = os.open(FAULT["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    folder = os.getcwd() + os.sep  # noqa: PTH109
    below = tuple(folder + path for path in FAULT.get("below", [""]))
    moments = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal moments
        writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not (writes or event in CHANGES) or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100
        if not path.startswith(below) or "__pycache__" in path:
            return
        number, moments = moments, moments + 1
        os.write(log, f"{event} {path.removeprefix(folder)}\n".encode())
        if number == FAULT.get("moment"):
            os.write(log, b"struck\n")
            strike(FAULT["how"])

    sys.addaudithook(hook)


if FAULT and sys.orig_argv[1:] == FAULT["command"]:
    install()
