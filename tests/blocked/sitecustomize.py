"""Read by every Python that starts with this folder on PYTHONPATH: it can open no connection to another machine.

Each one tried is refused, and noted in the file that the variable CONNECTIONS names. Sockets of this machine's own
file system, which processes speak to each other by, are no such connections.
"""

import os
import socket
import sys
from pathlib import Path
from typing import Any

WITH_ADDRESS = {"socket.connect", "socket.sendmsg", "socket.sendto"}
BY_NAME = {"socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname"}


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Called by the interpreter for each of its audit events."""
    if event not in WITH_ADDRESS | BY_NAME:
        return
    if event in WITH_ADDRESS and arguments[0].family == socket.AF_UNIX:
        return
    with Path(os.environ["CONNECTIONS"]).open("a", encoding="utf-8") as notes:
        notes.write(f"{sys.orig_argv}: {event} {arguments}\n")
    raise PermissionError(f"{event} is blocked")


sys.addaudithook(refuse)
