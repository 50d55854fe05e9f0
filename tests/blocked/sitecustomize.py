"""Refuse every connection to another machine. Python imports this module if its folder is on PYTHONPATH.

Each refused connection is noted in the file that the environment variable CONNECTIONS names. Sockets in the file
system of this machine, by which its processes speak to each other, are allowed.
"""

import os
import socket
import sys
from pathlib import Path
from typing import Any

WITH_ADDRESS = {"socket.connect", "socket.sendmsg", "socket.sendto"}
BY_NAME = {"socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname"}


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise PermissionError if the audit event of the interpreter is an attempt to connect."""
    if event not in WITH_ADDRESS | BY_NAME:
        return
    if event in WITH_ADDRESS and arguments[0].family == socket.AF_UNIX:
        return
    with Path(os.environ["CONNECTIONS"]).open("a", encoding="utf-8") as notes:
        notes.write(f"{sys.orig_argv}: {event} {arguments}\n")
    raise PermissionError(f"{event} is blocked")


sys.addaudithook(refuse)
