"""A pseudo terminal: what a program shows to a person, byte for byte."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What TensorFlow prints while it starts, by whom: not what it raises.
NOISE = re.compile(r"^[IWE]\d{4} |absl::|oneDNN|computation_placer|cuda(rt|_)|TF-TRT|rebuild TensorFlow", re.MULTILINE)
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def environment(**variables: str) -> dict[str, str]:
    """The environment with nothing in it that says what a terminal can do, but for `variables`."""
    told = {"CI", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
    kept = {name: value for name, value in os.environ.items() if name not in told}
    return {**kept, "TERM": "xterm-256color", **variables}


def shown(command: list[str], folder: Path, variables: Mapping[str, str], columns: int = 80) -> str:
    """Return what `command`, run in `folder` with `variables` as its environment, writes to a terminal of `columns`."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(command, cwd=folder, env=dict(variables), stdin=end, stdout=end, stderr=end) as process:
        os.close(end)
        said = b""
        # The kernel's way to say that nobody is left who could write.
        try:
            while chunk := os.read(terminal, 65536):
                said += chunk
        except OSError:
            pass
        os.close(terminal)
    text = said.decode()
    assert process.returncode == 0, text
    return text


def plain(text: str) -> str:
    """`text` without escape sequences."""
    return ESCAPE.sub("", text)
