"""Print the processor settings for a shell: `eval "$(python -m stages settings)"` before a Dask worker is started."""

import shlex

from stages.base.processor import SETTINGS


def main() -> None:
    """Print an `export` per setting."""
    for name, value in SETTINGS.items():
        print(f"export {name}={shlex.quote(value)}")
