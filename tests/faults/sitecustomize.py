"""Python imports this at its start where its folder is on PYTHONPATH: it notes what a process writes, and breaks it.

The environment variable FAULT holds JSON. ``command``: the arguments of the process that is meant; every other is left
alone. ``log``: a file, to which each moment is added as a line of JSON, its kind and its paths. ``strike``, where there
is one: the kind of a moment, how many of that kind come before it, and what happens then:

- ``kill``: the process ends by SIGKILL;
- ``cut``: it ends by a signal as soon as it has written ``size`` bytes to a file;
- ``full``: it cannot write more than ``size`` bytes to a file;
- ``locked``: it cannot write in ``folder``, also not as root.
"""

import ctypes
import json
import os
import resource
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

FAULT: dict[str, Any] = json.loads(os.environ.get("FAULT", "{}"))
# Of Linux's capability.h: to write and to read what the mode of a file or folder forbids.
VERSION, OVERRIDE, SEARCH = 0x20080522, 1, 2

libc = ctypes.CDLL(None)


def drop_privileges() -> None:
    header = (ctypes.c_uint32 * 2)(VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()
    libc.capget(header, sets)
    sets[0] &= ~(1 << OVERRIDE | 1 << SEARCH)
    assert libc.capset(header, sets) == 0


def strike(how: str, size: int, folder: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "locked":
        drop_privileges()
        os.chmod(folder, 0o555)  # noqa: PTH101
    else:
        if how == "cut":
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            # Python's own function would do in the main thread only.
            libc.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def install(log: int, kind_struck: str = "", before: int = -1, how: str = "", size: int = 0, folder: str = "") -> None:
    """Note every moment in the file of the handle `log` until one is struck."""
    counts: Counter[str] = Counter()
    inside = tuple(os.path.realpath(name) for name in (os.getcwd(), os.environ["TMPDIR"]))  # noqa: PTH109

    def moment(kind: str, *paths: str) -> None:
        nonlocal how
        if how == "done" or not (not paths or os.path.abspath(paths[-1]).startswith(inside)):  # noqa: PTH100
            return
        os.write(log, (json.dumps([kind, *paths]) + "\n").encode())
        counts[kind] += 1
        if (kind, counts[kind] - 1) == (kind_struck, before):
            os.write(log, b'["struck"]\n')
            what, how = how, "done"
            strike(what, size, folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, (str, bytes)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                moment("open", os.fsdecode(path))
        elif event in ("os.mkdir", "os.remove", "os.rmdir"):
            moment(event, os.fsdecode(arguments[0]))
        elif event == "subprocess.Popen":
            moment("process")

    def renaming(rename: Callable[..., None]) -> Callable[..., None]:
        def renamed(source: Any, target: Any, **options: Any) -> None:
            moment("rename", os.fsdecode(source), os.fsdecode(target))
            rename(source, target, **options)
            moment("renamed", os.fsdecode(source), os.fsdecode(target))

        return renamed

    class Connection(sqlite3.Connection):
        def commit(self) -> None:
            moment("commit")
            super().commit()
            moment("committed")

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return connected(*arguments, **{"factory": Connection, **options})

    connected: Callable[..., sqlite3.Connection] = sqlite3.connect
    sqlite3.connect = sqlite3.dbapi2.connect = connect  # type: ignore[assignment]
    os.rename, os.replace = renaming(os.rename), renaming(os.replace)
    moment("start")
    sys.addaudithook(hook)


if FAULT and sys.orig_argv[1:] == FAULT["command"]:
    install(os.open(FAULT["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), *FAULT.get("strike", ()))
