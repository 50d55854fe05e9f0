"""A process that has imported what most scripts import, and forks a child for each job: imports are paid for once.

A line of its standard input is a job, a line of its standard output the exit status of the child and its seconds of
processor time. The client starts it from a string, so that its frames are no file of a person to the hook.
"""

import importlib.util
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import matplotlib.pyplot  # noqa: F401
import pandas  # noqa: F401
import scipy.sparse  # noqa: F401
import sklearn.datasets
import sklearn.model_selection
import sklearn.preprocessing  # noqa: F401
import tensorflow  # noqa: F401


def module(path: str) -> Any:
    """Return the module in the file at `path`."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def run(job: dict[str, Any]) -> None:
    """Become the child of `job`; does not return."""
    try:
        signal.alarm(job["seconds"])
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
            os.dup2(descriptor, target)
        os.chdir(job["folder"])
        child = module(job["child"]).Child(job)
        child.install()
        if job.get("own_fit"):
            module(job["own_fit"]).install(child)
        child.run()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


print("ready", flush=True)
for line in sys.stdin:
    if not (process := os.fork()):
        run(json.loads(line))
    _, status, used = os.wait4(process, 0)
    print(os.waitstatus_to_exitcode(status), round(used.ru_utime + used.ru_stime, 1), flush=True)
