"""Run a person's script unchanged with the hook installed, and report how it ended: ``python child.py job.json``.

The file runs in the person's own Python. It imports nothing of whichfix; `record.py` and `old_names.py` are loaded by
path, so that a module of the person may have the same name.
"""

# Paths are compared as text with those of code objects, which pathlib would change.
# ruff: noqa: PTH100, PTH105, PTH118, PTH120, PTH123

from __future__ import annotations

import argparse
import builtins
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import traceback
import types
from collections.abc import Callable, Sequence
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON_2 = {
    "Missing parentheses in call to 'print'": "Python 2 print statement",
    "Missing parentheses in call to 'exec'": "Python 2 exec statement",
    "multiple exception types must be parenthesized": "Python 2 except clause",
    "leading zeros in decimal integer literals": "Python 2 octal number",
}


def load(name: str) -> Any:
    """Return a module of this folder, under a name that no module of the person has."""
    spec = importlib.util.spec_from_file_location(f"whichfix_{name}", os.path.join(HERE, f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class AfterImport(importlib.abc.MetaPathFinder):
    """A finder that calls functions once their modules are imported."""

    def __init__(self) -> None:
        self.functions: dict[str, list[Callable[[Any], None]]] = {}

    def add(self, name: str, function: Callable[[Any], None]) -> None:
        """Call `function` with the module `name` after its import."""
        if sys.modules.get(name) is not None:
            function(sys.modules[name])
        else:
            self.functions.setdefault(name, []).append(function)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec that the other finders give, with a loader that calls the functions."""
        functions = self.functions.get(name)
        if not functions:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, name, self)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any, name: str, finder: AfterImport):
        self.loader, self.name, self.finder = loader, name, finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        module: types.ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        self.loader.exec_module(module)
        for function in self.finder.functions.pop(self.name, []):
            function(module)


class Child:
    """The run of one script."""

    def __init__(self, job: dict[str, Any]):
        self.job = job
        self.script: str = job["script"]
        self.record = load("record")
        self.old_names = load("old_names")
        self.usage = ""

    def finish(self, report: dict[str, Any]) -> None:
        """Write the report and end the process at once, so that no other code of the script runs."""
        report = {**report, "old_names": self.record.HOOK.old_names}
        unfinished = f"{self.job['report']}.unfinished"
        with open(unfinished, "w", encoding="utf-8") as file:
            json.dump(report, file, ensure_ascii=False)
        os.replace(unfinished, self.job["report"])
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            try:
                if stream is not None:
                    stream.flush()
            except Exception:
                continue
        os._exit(0)

    def install(self) -> None:
        """Install the hook and the old names, to take effect when the script imports Keras."""
        hook = self.record.HOOK
        hook.path, hook.script, hook.script_name = self.job["recording"], self.script, self.job["shown"]
        hook.arguments, hook.number = list(self.job["arguments"]), int(self.job.get("fit", 1))
        hook.max_bytes = int(self.job.get("max_bytes", hook.max_bytes))
        hook.calls_seconds = float(self.job.get("calls_seconds", hook.calls_seconds))
        hook.run_on, hook.finish, hook.active = bool(self.job.get("run_on")), self.finish, True
        after = AfterImport()
        sys.meta_path.insert(0, after)
        for name in ("keras", "tf_keras"):
            after.add(name, self.record.watch_keras)
        after.add("tensorflow", self._tensorflow)
        after.add("joblib.parallel", _run_in_this_process)
        after.add("matplotlib", _keep_agg)
        self.old_names.install(hook, after.add, self.record.is_persons)
        builtins.input = self._input
        sys.dont_write_bytecode = True
        error = argparse.ArgumentParser.error

        def remember_usage(parser: argparse.ArgumentParser, message: str) -> Any:
            self.usage = message
            return error(parser, message)

        argparse.ArgumentParser.error = remember_usage  # type: ignore[method-assign,assignment]

    def _tensorflow(self, tf: Any) -> None:
        self.record.watch_tensorflow(tf)
        if tuple(map(int, tf.__version__.split(".")[:2])) < (2, 6):
            # Later TensorFlows import Keras from a package of its own.
            self.record.watch_keras(tf.keras)

    def _input(self, prompt: object = "") -> str:
        print(prompt, end="")
        self.finish({"input": self.record.persons_line()})
        return ""

    def run(self) -> None:
        """Run the script as `python script.py` does, and report how it ended."""
        folder = os.path.dirname(self.script)
        sys.path[0] = folder
        sys.argv = [self.job["shown"], *self.job["arguments"]]
        main = types.ModuleType("__main__")
        main.__dict__.update(__file__=self.script, __builtins__=builtins)
        sys.modules["__main__"] = main
        try:
            with open(self.script, "rb") as file:
                # Bytes, so that Python reads the coding line.
                code = compile(file.read(), self.script, "exec", dont_inherit=True)
            exec(code, main.__dict__)
        except SyntaxError as error:
            self.finish(self._syntax(error))
        except SystemExit as error:
            self._exited(error)
        except BaseException as error:
            self.finish(self._failure(error, f"{type(error).__name__}: {self.record.first_lines(error)}"))
        self._ended({})

    def _ended(self, more: dict[str, Any]) -> None:
        hook = self.record.HOOK
        if hook.loop is not None:
            hook.loop.end()
        self.finish({"ended": dict(hook.called), "by_hand": hook.by_hand, "trainings": hook.fits, **more})

    def _exited(self, error: SystemExit) -> None:
        if error.code in (None, 0):
            self._ended({"line": self._lines(error)[-1] if self._lines(error) else None})
        missing = "the following arguments are required: "
        if self.usage.startswith(missing):
            text = f"the script needs {self.usage[len(missing) :]}"
        elif self.usage:
            text = f"the script does not accept its arguments: {self.usage}"
        else:
            text = f"the script ended itself with exit code {error.code}"
        self.finish(self._failure(error, text))

    def _syntax(self, error: SyntaxError) -> dict[str, Any]:
        if error.filename != self.script and self._lines(error):
            return self._failure(error, f"SyntaxError: {error.msg} ({error.filename}, line {error.lineno})")
        for beginning, text in PYTHON_2.items():
            if str(error.msg).startswith(beginning):
                return {"failed": f"line {error.lineno}: {text}", "line": error.lineno, "called_from": None}
        return {"failed": f"{type(error).__name__}: {error.msg}", "line": error.lineno, "called_from": None}

    def _lines(self, error: BaseException) -> list[int]:
        frames = traceback.extract_tb(error.__traceback__)
        return [frame.lineno or 0 for frame in frames if self.record.is_persons(frame.filename)]

    def _failure(self, error: BaseException, text: str) -> dict[str, Any]:
        traceback.print_exception(type(error), error, error.__traceback__)
        frames = [each for each in traceback.extract_tb(error.__traceback__) if self.record.is_persons(each.filename)]
        deepest = frames[-1] if frames else None
        report: dict[str, Any] = {
            "failed": text,
            "line": deepest.lineno if deepest else None,
            "called_from": frames[-2].lineno if len(frames) > 1 else None,
        }
        if deepest is not None and deepest.filename != self.script:
            report["file"] = deepest.filename
        return report


def _run_in_this_process(parallel: Any) -> None:
    """Let joblib run its jobs in this process, where the hook sees them."""
    original = parallel.Parallel.__init__

    def init(self: Any, n_jobs: Any = None, *args: Any, **kwargs: Any) -> None:
        original(self, 1, *args, **kwargs)

    parallel.Parallel.__init__ = init


def _keep_agg(matplotlib: Any) -> None:
    """Let a script that asks for a window draw without one."""
    matplotlib.use = lambda *args, **kwargs: None


def main() -> None:
    """Run the script of the job file that is the first argument."""
    with open(sys.argv[1], encoding="utf-8") as file:
        child = Child(json.load(file))
    child.install()
    child.run()


if __name__ == "__main__":
    main()
