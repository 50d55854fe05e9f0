"""The hook: read what a Keras script trains when training starts, and write it to one file.

The file imports nothing of whichfix and needs only NumPy and Keras (Keras 3, tf-keras or Keras 2), so it also runs in
your own environment. In a notebook, copy this file beside the notebook, then::

    import record
    record.next_fit("my_case.zip")     # best before the cells that build the data and the network
    model.fit(...)                     # as before: the file is written and the cell ends

``python -m stages add my_case my_case.zip`` makes a case of the file. `child.py` uses the hook to record a script.
"""

# Paths are compared as text with those of code objects, which pathlib would change.
# ruff: noqa: PTH100, PTH105, PTH117, PTH118, PTH119, PTH120, PTH122

from __future__ import annotations

import ast
import collections
import dis
import functools
import hashlib
import importlib
import inspect
import io
import json
import linecache
import os
import platform
import re
import sys
import sysconfig
import time
import types
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

FORMAT = 1
OWN_FILES = {
    os.path.join(os.path.dirname(os.path.abspath(__file__)), name) for name in ("record.py", "old_names.py", "child.py")
}
# Methods that decide what is trained, so that the compiled loss says nothing if a class overrides one of them.
TRAINING_METHODS = ("train_step", "compute_loss", "make_train_function", "train_on_batch", "test_step", "fit_generator")
# Callbacks of Keras that change nothing in the training.
HARMLESS = {"ModelCheckpoint", "TensorBoard", "CSVLogger", "History", "ProgbarLogger", "BaseLogger", "RemoteMonitor",
            "BackupAndRestore", "TerminateOnNaN", "TqdmCallback"}  # fmt: skip
# More batches than this are never read from one stream.
MOST_BATCHES = 200_000


class Refused(Exception):  # noqa: N818, a name for the person
    """A training that cannot be recorded: the reason in words, and the line of the person's script."""

    def __init__(self, reason: str, line: int | None = None):
        super().__init__(reason)
        self.line = line

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints instead of a traceback."""
        return [f"Not recorded: {self}"]


class Recorded(BaseException):
    """The end of a cell whose training was recorded. `except Exception` does not catch it."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints instead of a traceback."""
        return [str(self)]


# ---------------------------------------------------------------------------------------------------------------------
# Lines of the person's files


@functools.cache
def is_persons(filename: str) -> bool:
    """Return whether a file is the person's own: neither a library's nor the hook's."""
    if filename.startswith("<"):
        return filename.startswith("<ipython-input")
    if not os.path.isabs(filename) or (not filename.endswith((".py", ".txt")) and "." in os.path.basename(filename)):
        return False
    path = os.path.abspath(filename)
    parts = path.replace("\\", "/").split("/")
    if path in OWN_FILES or "site-packages" in parts or "dist-packages" in parts or "__autograph_generated" in path:
        return False
    library = {sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib")}
    return not any(path.startswith(folder + os.sep) for folder in library)


def persons_frames() -> list[types.FrameType]:
    """Return the frames of the person's files on the stack, the deepest first."""
    frame: types.FrameType | None = sys._getframe(1)
    frames = []
    while frame is not None:
        if is_persons(frame.f_code.co_filename):
            frames.append(frame)
        frame = frame.f_back
    return frames


def persons_line() -> int | None:
    """Return the line of the person's script that runs now or trained last; None outside of it."""
    if HOOK.trained_line is not None:
        return HOOK.trained_line
    frame = script_frame()
    return frame.f_lineno if frame else None


def script_frame() -> types.FrameType | None:
    """Return the deepest frame of the person's script; of another file of the person if the script has none."""
    frames = persons_frames()
    for frame in frames:
        if HOOK.script is None or frame.f_code.co_filename == HOOK.script:
            return frame
    return frames[0] if frames else None


def parsed(filename: str) -> ast.AST | None:
    """Return the syntax tree of a person's file or cell, None if it has no source."""
    try:
        return ast.parse("".join(linecache.getlines(filename)))
    except (SyntaxError, ValueError):
        return None


def statement(frame: types.FrameType) -> str:
    """Return the source of the call that a frame is at, on one line."""
    lines = linecache.getlines(frame.f_code.co_filename)
    tree = parsed(frame.f_code.co_filename)
    ends = [
        node.end_lineno or 0
        for node in (ast.walk(tree) if tree is not None else [])
        if isinstance(node, (ast.Expr, ast.Assign, ast.Return)) and node.lineno == frame.f_lineno
    ]
    text = " ".join(line.strip() for line in lines[frame.f_lineno - 1 : max([frame.f_lineno, *ends])])
    return text if len(text) <= 300 else text[:297] + "..."


def loops_around(frame: types.FrameType) -> list[ast.For | ast.While]:
    """Return the loops around the line that `frame` is at, inside its function, the outermost first."""
    tree = parsed(frame.f_code.co_filename)
    if tree is None:
        return []
    line, first = frame.f_lineno, frame.f_code.co_firstlineno
    function = None
    loops: list[ast.For | ast.While] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            lines = [node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]
            if min(lines) == first and frame.f_code.co_name in (getattr(node, "name", "<lambda>"),):
                function = node
    for node in ast.walk(function or tree):
        if isinstance(node, (ast.For, ast.While)) and node.body[0].lineno <= line <= (node.body[-1].end_lineno or 0):
            loops.append(node)
    if function is None and frame.f_code.co_name != "<module>":
        return []
    return sorted(loops, key=lambda loop: loop.lineno)


# ---------------------------------------------------------------------------------------------------------------------
# Values as plain JSON


def short_float(value: Any) -> float:
    """Return the shortest decimal that is the same float32; a value that is no float32 stays as it is."""
    number = float(value)
    with np.errstate(over="ignore"):
        single = np.float32(number)
    if np.isfinite(single) and float(single) == number:
        return float(str(single))
    return number


def package(thing: Any) -> str:
    """Return the first part of the name of the module that a class or function comes from."""
    kind = thing if isinstance(thing, (type, types.FunctionType, types.BuiltinFunctionType)) else type(thing)
    return str(getattr(kind, "__module__", "") or "").split(".")[0]


def is_own(thing: Any) -> bool:
    """Return whether a class, function or object is not of Keras or TensorFlow."""
    return package(thing) not in ("keras", "tf_keras", "tensorflow", "keras_core", "old_names")


def plain(value: Any, owner: Any = None) -> Any:
    """Return a setting as plain JSON; objects of Keras as their class and settings."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return short_float(value)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        if "class_name" in value:
            settings = value.get("config")
            if isinstance(settings, str):
                return settings
            kept = {key: plain(each) for key, each in (settings or {}).items() if key not in ("name", "dtype")}
            own = {"own": True} if value.get("registered_name") and value.get("module") is None else {}
            return {"class": value["class_name"], "settings": kept, **own}
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray) or (hasattr(value, "shape") and hasattr(value, "dtype")):
        return plain(to_numpy(value).tolist())
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, functools.partial)):
        return {"class": "function", "own": is_own(value), "name": getattr(value, "__name__", repr(value))}
    return described(value)


def described(thing: Any) -> dict[str, Any]:
    """Return an object of Keras (initializer, regularizer, schedule, ...) as its class and settings."""
    try:
        settings = thing.get_config()
    except Exception:
        return {"class": type(thing).__name__, "own": True, "settings": {}}
    kept = {key: plain(value) for key, value in settings.items() if key not in ("name", "dtype")}
    # Each run of whichfix draws from a seed of its own.
    kept.pop("seed", None)
    entry = {"class": type(thing).__name__, "settings": kept}
    return {**entry, "own": True} if is_own(thing) else entry


def to_numpy(value: Any) -> np.ndarray:
    """Return a tensor, variable, table, sparse matrix or list as an array."""
    if isinstance(value, np.ndarray):
        return value
    if type(value).__name__ in ("SparseTensor", "SparseTensorValue") and "tensorflow" in sys.modules:
        value = sys.modules["tensorflow"].sparse.to_dense(value)
    if hasattr(value, "to_dense") and "torch" in sys.modules:
        value = value.to_dense()
    if hasattr(value, "detach"):
        return np.asarray(value.detach().cpu().numpy())
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        return np.asarray(value.toarray())
    if hasattr(value, "to_numpy"):
        return np.asarray(value.to_numpy())
    if hasattr(value, "numpy"):
        return np.asarray(value.numpy())
    return np.asarray(value)


def columns_of(value: Any) -> list[str] | None:
    """Return the names of the columns of a pandas frame or series."""
    if package(value) != "pandas":
        return None
    if hasattr(value, "columns"):
        return [str(name) for name in value.columns]
    return [str(value.name)] if getattr(value, "name", None) is not None else None


# ---------------------------------------------------------------------------------------------------------------------
# What the hook remembers while the script runs


class Hook:
    """The state of a recording: what is to be recorded, and what was seen so far."""

    def __init__(self) -> None:
        self.path: str | None = None
        self.script: str | None = None
        self.shown: str | None = None
        self.arguments: list[str] = []
        self.number = 1
        self.max_bytes = 2_000_000_000
        self.calls_seconds = 60.0
        self.run_on = False
        # Called with a report when the recording has ended; it does not return.
        self.finish: Callable[[dict[str, Any]], None] = finish_in_notebook
        self.active = False
        self.busy = False
        self.fits = 0
        self.called: collections.Counter[str] = collections.Counter()
        self.by_hand: int | None = None
        self.old_names: list[str] = []
        self.notes: list[str] = []
        self.kerases: list[Any] = []
        self.lines: dict[int, tuple[Any, int | None]] = {}
        self.drawn: dict[int, tuple[Any, str]] = {}
        self.compiled: dict[int, tuple[Any, dict[str, Any]]] = {}
        self.added_losses: dict[int, tuple[Any, int | None]] = {}
        self.decays: dict[int, tuple[Any, float]] = {}
        self.datasets: dict[int, tuple[Any, Any, str, tuple[Any, ...], dict[str, Any]]] = {}
        self.loop: Loop | None = None
        # The line of a loop's call, while the hook records it after the loop.
        self.trained_line: int | None = None
        # The batches that were read from a generator, which cannot be read again.
        self.read_batches: list[Batch] = []

    def note(self, sentence: str) -> None:
        """Keep a sentence for the person."""
        if sentence not in self.notes:
            self.notes.append(sentence)


def remember(table: dict[int, tuple[Any, Any]], key: Any, value: Any) -> None:
    """Keep `value` for an object that may not be hashable, as long as the object lives."""
    table[id(key)] = (weakref.ref(key), value)


def remembered(table: dict[int, tuple[Any, Any]], key: Any) -> Any:
    """Return the value kept for an object; None if there is none."""
    reference, value = table.get(id(key), (None, None))
    return value if reference is not None and reference() is key else None


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace a method by ``wrapper(original, ...)``, once."""
    original = getattr(owner, name, None)
    if original is None or getattr(original, "recorder", False):
        return

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(original, self, *args, **kwargs)

    if name != "__init__":
        # Keras reads the signature of constructors in two ways, which would differ.
        functools.update_wrapper(method, original)
    method.recorder = True  # type: ignore[attr-defined]
    setattr(owner, name, method)


def watch_keras(keras: Any) -> None:
    """Watch the layers, weights and training of a Keras package from now on."""
    if not hasattr(keras, "Model") or any(known.Model is keras.Model for known in HOOK.kerases):
        return
    HOOK.kerases.append(keras)
    wrap(keras.layers.Layer, "__init__", _remember_line)
    wrap(keras.callbacks.Callback, "__init__", _remember_line)
    wrap(keras.layers.Layer, "add_weight", _add_weight)
    wrap(keras.layers.Layer, "add_loss", _add_loss)
    wrap(keras.Model, "compile", _compile)
    wrap(keras.Model, "fit", _fit)
    wrap(keras.Model, "train_on_batch", _train_on_batch)
    for name in ("evaluate", "predict"):
        wrap(keras.Model, name, functools.partial(_counted, name))


def watch_tensorflow(tf: Any) -> None:
    """Watch the Datasets and gradient tapes of TensorFlow from now on."""
    for name in ("map", "filter", "batch", "padded_batch", "unbatch", "shuffle", "repeat", "prefetch", "cache", "take",
                 "skip", "with_options", "apply", "concatenate", "flat_map", "interleave", "shard", "window",
                 "enumerate", "rebatch", "snapshot", "ragged_batch", "take_while", "scan"):  # fmt: skip
        wrap(tf.data.Dataset, name, functools.partial(_derive, name))
    if not getattr(tf.GradientTape, "recorder", False):

        class GradientTape(tf.GradientTape):  # type: ignore[misc]
            """A gradient tape that notes the line of the person's script that opens it."""

            recorder = True

            def __init__(self, *args: Any, **kwargs: Any):
                caller = sys._getframe(1).f_code.co_filename
                if HOOK.by_hand is None and is_persons(caller):
                    HOOK.by_hand = persons_line()
                super().__init__(*args, **kwargs)

        tf.GradientTape = GradientTape


def _remember_line(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    original(self, *args, **kwargs)
    if remembered(HOOK.lines, self) is None:
        remember(HOOK.lines, self, persons_line())


def _add_weight(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    variable = original(self, *args, **kwargs)
    # A variable made during symbolic tracing has no value yet.
    if getattr(variable, "_value", variable) is not None:
        try:
            remember(HOOK.drawn, variable, digest(to_numpy(variable)))
        except Exception:
            return variable
    return variable


def _add_loss(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    if is_persons(sys._getframe(2).f_code.co_filename):
        remember(HOOK.added_losses, self, persons_line() or 0)
    return original(self, *args, **kwargs)


def _compile(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    if not HOOK.busy:
        HOOK.called["compile"] += 1
    result = original(self, *args, **kwargs)
    bound = inspect.signature(original).bind(self, *args, **kwargs)
    bound.apply_defaults()
    remember(HOOK.compiled, self, dict(bound.arguments))
    return result


def _counted(name: str, original: Any, self: Any, /, *args: Any, **kwargs: Any) -> Any:
    if HOOK.busy:
        return original(self, *args, **kwargs)
    HOOK.called[name] += 1
    HOOK.busy = True
    try:
        return original(self, *args, **kwargs)
    finally:
        HOOK.busy = False


def _derive(name: str, original: Any, self: Any, /, *args: Any, **kwargs: Any) -> Any:
    result = original(self, *args, **kwargs)
    HOOK.datasets[id(result)] = (result, self, name, args, kwargs)
    return result


def digest(value: np.ndarray) -> str:
    """Return a checksum of an array's shape and bytes."""
    data = np.ascontiguousarray(value)
    return hashlib.sha1(str((data.shape, data.dtype)).encode() + data.tobytes()).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# The network


def keras_of(model: Any) -> Any:
    """Return the Keras package that a model belongs to."""
    for keras in HOOK.kerases:
        if isinstance(model, keras.Model):
            return keras
    raise Refused(f"{type(model).__name__} is not a model of Keras")


def own_layers(layer: Any) -> list[Any]:
    """Return the layers that an object holds in its attributes."""
    base = keras_of_layer(layer).layers.Layer
    found = []
    for key, value in vars(layer).items():
        if not key.startswith("_"):
            found += [
                each for each in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(each, base)
            ]
    return found


def keras_of_layer(layer: Any) -> Any:
    """Return the Keras package that a layer belongs to."""
    return next(keras for keras in HOOK.kerases if isinstance(layer, keras.layers.Layer))


class Call:
    """A call of a layer: what the layer took and what it gave."""

    def __init__(self, layer: Any, took: Any, gave: Any):
        self.layer, self.took, self.gave = layer, took, gave


def is_container(keras: Any, layer: Any) -> bool:
    """Return whether a layer only holds other layers, which are recorded in its place."""
    if isinstance(layer, keras.Model):
        return True
    inner = own_layers(layer) if is_own(layer) else []
    return bool(inner) and len(layer.weights) == sum(len(each.weights) for each in inner)


def calls_of(keras: Any, model: Any, x: Any) -> tuple[list[Call], Any]:
    """Run the model on a few rows, and return the calls of its layers in order and its output."""
    base = keras.layers.Layer
    original = base.__call__
    calls: list[Call] = []
    inside = [False]

    @functools.wraps(original)
    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if inside[0] or is_container(keras, layer) or (not args and not kwargs):
            return original(layer, *args, **kwargs)
        inside[0] = True
        try:
            output = original(layer, *args, **kwargs)
        finally:
            inside[0] = False
        tensors = [each for each in args if each is not None]
        calls.append(Call(layer, tensors[0] if len(tensors) == 1 else tensors, output))
        return output

    base.__call__ = call
    try:
        try:
            output = model(x, training=True)
        except TypeError:
            del calls[:]
            output = model(x)
    finally:
        base.__call__ = original
    return calls, output


def is_tensor(value: Any) -> bool:
    """Return whether a value is one array or tensor."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def equal(first: Any, second: Any) -> bool:
    """Return whether two tensors are the same one, or have the same values."""
    if first is second:
        return True
    a, b = to_numpy(first), to_numpy(second)
    return a.shape == b.shape and bool(np.array_equal(a, b.astype(a.dtype), equal_nan=a.dtype.kind == "f"))


def is_flattened(before: Any, after: Any) -> bool:
    """Return whether a tensor has the values of another in one row per example."""
    a, b = to_numpy(before), to_numpy(after)
    return a.ndim > 2 and b.ndim == 2 and a.size == b.size and np.array_equal(a.reshape(b.shape).astype(b.dtype), b)


def is_chain(calls: list[Call], output: Any) -> bool:
    """Return whether each layer takes the very tensor that the layer before it gave."""
    return all(second.took is first.gave for first, second in zip(calls, calls[1:])) and (  # noqa: B905, RUF007
        not calls or output is calls[-1].gave
    )


def activation_between(keras: Any, pairs: list[tuple[Any, Any]]) -> str | None:
    """Return the name of Keras's activation that turns the first tensor of each pair into the second."""
    for name in activation_names(keras):
        try:
            values = [(to_numpy(getattr(keras.activations, name)(before)), to_numpy(after)) for before, after in pairs]
        except Exception:
            continue
        if all(a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in values):
            return name
    return None


def activation_names(keras: Any) -> list[str]:
    """Return the names of Keras's activations, the common first."""
    common = ["linear", "relu", "sigmoid", "tanh", "softmax", "elu", "selu", "softplus", "softsign", "gelu", "silu"]
    skipped = {"get", "serialize", "deserialize"}
    others = [name for name in dir(keras.activations) if name[0] != "_" and name not in skipped]
    functions = [*common, *(name for name in others if name not in common)]
    return [name for name in functions if isinstance(getattr(keras.activations, name, None), types.FunctionType)]


def named_activation(keras: Any, function: Any) -> Any:
    """Return an activation by the name of the function of Keras that gives the same, else as an own function."""
    if function is None:
        return None
    for name in activation_names(keras):
        if getattr(keras.activations, name) is function:
            return name
    if isinstance(function, keras.layers.Layer):
        return described(function)
    # Values on both sides of the bends of relu6 and the hard sigmoids.
    samples = (np.linspace(-8, 8, 63).reshape(7, 9) + 0.01).astype("float32")
    convert = getattr(getattr(keras, "ops", None), "convert_to_tensor", None) or keras.backend.constant
    try:
        tensor = convert(samples)
        values = function(tensor)
        found = activation_between(keras, [(tensor, values)])
    except Exception:
        found = None
    return found or {"class": "function", "own": True, "name": getattr(function, "__name__", type(function).__name__)}


def refuse_overrides(keras: Any, model: Any) -> None:
    """Refuse a model whose class says itself how it is trained."""
    for kind in type(model).__mro__:
        if is_own(kind) and kind is not object:
            for name in TRAINING_METHODS:
                if name in vars(kind):
                    raise Refused(
                        f"line {persons_line()} trains {kind.__name__}, a class with its own {name}: what it trains is "
                        "not the compiled loss, so it cannot be recorded"
                    )
    for name in TRAINING_METHODS:
        if name in vars(model):
            raise Refused(f"line {persons_line()} trains a model whose {name} was replaced: it cannot be recorded")


def variable_part(variable: Any) -> str:
    """Return the last part of a variable's name, such as ``kernel``."""
    return str(getattr(variable, "path", None) or variable.name).split("/")[-1].split(":")[0]


def is_weight(variable: Any) -> bool:
    """Return whether a variable is a weight of floats, not a counter or the state of a random generator."""
    return "float" in str(variable.dtype) and "seed" not in variable_part(variable)


class Network:
    """The layers of a model in the order in which data passes, as JSON, and their weights."""

    def __init__(self, model: Any, x: Any):
        self.model = model
        self.keras = keras = keras_of(model)
        refuse_overrides(keras, model)
        self._refuse_several(model)
        self.entries: list[dict[str, Any]] = []
        self.leaves: list[tuple[str, Any]] = []
        model_call(model, x)
        self._trace(x)
        self._refuse_others()
        self.arrays: dict[str, np.ndarray] = {}
        for name, layer in self.leaves:
            if type(layer).__name__ != "Normalization":
                for variable in layer.weights:
                    if is_weight(variable):
                        self.arrays[f"weights/{name}.{variable_part(variable)}"] = to_numpy(variable)

    @staticmethod
    def _refuse_several(model: Any) -> None:
        for word in ("input", "output"):
            try:
                tensors = getattr(model, word + "s", None)
            except Exception:
                tensors = None
            names = [str(getattr(each, "name", "")).split(":")[0].split("/")[0] for each in flat(tensors)]
            if len(names) > 1:
                raise Refused(f"line {persons_line()} trains a network with {len(names)} {word}s ({', '.join(names)}): "
                              f"whichfix trains networks with one {word}")  # fmt: skip

    def _trace(self, x: Any) -> None:
        traces = [self._run(x, 0)]
        if not is_chain(*traces[0]):
            # Something between the layers must be told from its values: many, so that no two functions agree by chance.
            traces += [self._run(x, number) for number in range(1, 7)]
        kinds = [[call.layer for call in calls] for calls, _ in traces]
        if any(each != kinds[0] for each in kinds):
            raise Refused(f"line {persons_line()} trains a network that does not always use the same layers")
        self._follow([calls for calls, _ in traces], x, [output for _, output in traces])

    def _run(self, x: Any, number: int) -> tuple[list[Call], Any]:
        """Return the calls of the layers and the output, with random weights.

        With weights of zero, as a script may set them, different layers would give the same.
        """
        model = self.model
        variables = list(getattr(model, "variables", model.weights))
        values = [to_numpy(variable).copy() for variable in variables]
        random = np.random.RandomState(number)
        try:
            for variable in variables:
                if is_weight(variable) and variable_part(variable) in ("kernel", "bias", "embeddings"):
                    shape = tuple(variable.shape)
                    variable.assign(random.normal(0, 1 / np.sqrt(shape[0] if len(shape) > 1 else 9), shape))
            calls, output = calls_of(self.keras, model, x)
        finally:
            for variable, value in zip(variables, values):  # noqa: B905, older Pythons
                variable.assign(value)
        if isinstance(output, (list, tuple, dict)):
            if len(output) > 1:
                raise Refused(f"line {persons_line()} trains a network with {len(output)} outputs: "
                              "whichfix trains networks with one output")  # fmt: skip
            output = next(iter(output.values())) if isinstance(output, dict) else output[0]
        return [call for call in calls if type(call.layer).__name__ != "InputLayer"], output

    def _follow(self, traces: list[list[Call]], x: Any, outputs: list[Any]) -> None:
        current: list[Any] = [to_numpy(x)] * len(traces)
        seen: set[int] = set()
        calls = traces[0]
        for number, call in enumerate(calls):
            kind = type(call.layer).__name__
            if not is_tensor(call.took) or not is_tensor(call.gave):
                raise Refused(f"line {persons_line()} trains a network that is not a line of layers: {kind} takes "
                              f"or gives several tensors ({self._kinds(calls)})")  # fmt: skip
            took = [trace[number].took for trace in traces]
            if number or to_numpy(call.took).size != current[0].size or current[0].ndim > 1:
                self._link(current, took, f"{kind} does not take what the layer before it gives", calls)
            if id(call.layer) in seen and call.layer.weights:
                raise Refused(f"line {persons_line()} trains a network that uses the layer {call.layer.name} twice")
            seen.add(id(call.layer))
            self._add(call)
            current = [trace[number].gave for trace in traces]
        if not self.entries:
            raise Refused(
                f"line {persons_line()} trains {type(self.model).__name__}, a network without layers of Keras"
            )
        self._link(current, outputs, "its output is not what its last layer gives", calls)

    def _kinds(self, calls: list[Call]) -> str:
        return ", ".join(dict.fromkeys(type(call.layer).__name__ for call in calls))

    def _link(self, before: list[Any], after: list[Any], problem: str, calls: list[Call]) -> None:
        """Add the activation or flattening that a `call` puts between two layers; refuse anything else.

        `before` and `after` hold the tensors of each trace.
        """
        pairs = list(zip(before, after))  # noqa: B905, older Pythons
        if all(equal(second, first) for first, second in pairs):
            return
        shape = [int(size) for size in after[0].shape[1:]]
        if all(is_flattened(first, second) for first, second in pairs):
            self._append("flatten", "Flatten", {}, [int(size) for size in before[0].shape[1:]], shape, None)
            return
        name = activation_between(self.keras, pairs) if self.entries else None
        if name is None:
            raise Refused(f"line {persons_line()} trains a network that is not a line of layers: {problem} "
                          f"({self._kinds(calls)})")  # fmt: skip
        self._append("activation", "Activation", {"activation": name}, shape, shape, None)

    def _append(self, name: str, kind: str, settings: dict[str, Any], took: list[int], gave: list[int], line: Any,
                own: bool = False, trainable: bool = True) -> str:  # fmt: skip
        names = {entry["name"] for entry in self.entries}
        base = re.sub(r"[^A-Za-z0-9_-]", "_", name)
        base = base if base[:1].isalpha() else f"layer{base}"
        unique, number = base, 1
        while unique in names:
            unique, number = f"{base}_{number}", number + 1
        self.entries.append({"name": unique, "class": kind, "own": own, "line": line, "settings": settings,
                             "input_shape": took, "output_shape": gave, "trainable": trainable})  # fmt: skip
        return unique

    def _add(self, call: Call) -> None:
        layer = call.layer
        took, gave = list(call.took.shape)[1:], list(call.gave.shape)[1:]
        took, gave = [int(size) for size in took], [int(size) for size in gave]
        settings = self._settings(layer)
        if settings.get("axis") in ([-1], [len(took)]):
            settings["axis"] = -1
        line = remembered(HOOK.lines, layer)
        activation = getattr(layer, "activation", None)
        inner = activation if isinstance(activation, self.keras.layers.Layer) else None
        if inner is not None:
            settings["activation"] = "linear"
        name = self._append(
            layer.name, type(layer).__name__, settings, took, gave, line, is_own(layer), layer.trainable
        )
        self.leaves.append((name, layer))
        if inner is not None:
            name = self._append(inner.name, type(inner).__name__, self._settings(inner), gave, gave,
                                remembered(HOOK.lines, inner), is_own(inner), inner.trainable)  # fmt: skip
        computed = str(getattr(layer, "compute_dtype", "float32"))
        if "float" in computed and computed != "float32":
            raise Refused(f"the layer {layer.name} computes in {computed}: whichfix computes in float32", line)
        if remembered(HOOK.added_losses, layer) is not None:
            raise Refused(f"the layer {layer.name} adds a loss of its own", remembered(HOOK.added_losses, layer))

    def _settings(self, layer: Any) -> dict[str, Any]:
        try:
            config = layer.get_config()
        except Exception:
            return {}
        left_out = {"name", "dtype", "trainable", "batch_input_shape", "batch_shape", "input_shape", "registered_name"}
        settings: dict[str, Any] = {}
        for key, value in config.items():
            if key in left_out or (value is None and key in ("lora_rank", "lora_alpha", "quantization_config")):
                continue
            attribute = getattr(layer, key, value)
            if key == "activation":
                settings[key] = named_activation(self.keras, attribute)
            elif key.endswith(("initializer", "regularizer", "constraint")):
                settings[key] = plain(attribute)
            else:
                settings[key] = plain(value)
        if type(layer).__name__ == "Normalization":
            for key in ("mean", "variance"):
                settings[key] = [short_float(each) for each in to_numpy(getattr(layer, key)).ravel()]
        return settings

    def _refuse_others(self) -> None:
        """Refuse weights and losses that the layers in the line do not hold."""
        line = remembered(HOOK.added_losses, self.model)
        if line is not None:
            raise Refused("the network adds a loss of its own (add_loss)", line)
        held = {id(variable) for _, layer in self.leaves for variable in layer.weights}
        metrics = {
            id(each) for metric in getattr(self.model, "metrics", []) for each in getattr(metric, "variables", [])
        }
        outside = [variable_part(each) for each in self.model.trainable_weights
                   if id(each) not in held and id(each) not in metrics]  # fmt: skip
        if outside:
            raise Refused(f"line {persons_line()} trains a network with weights outside of its line of layers: "
                          f"{', '.join(outside[:4])}")  # fmt: skip

    def weights_are_drawn(self) -> bool:
        """Return whether every weight is as its initializer drew it."""
        return all(
            is_drawn(layer, variable)
            for _, layer in self.leaves
            if type(layer).__name__ != "Normalization"
            for variable in layer.weights
            if is_weight(variable)
        )


def model_call(model: Any, x: Any) -> None:
    """Run a model on a few rows, so that its layers have their weights."""
    try:
        model(x, training=False)
    except TypeError:
        model(x)


def is_drawn(layer: Any, variable: Any) -> bool:
    """Return whether the initializer of a layer could have drawn the values that a variable has now."""
    value = to_numpy(variable)
    before = remembered(HOOK.drawn, variable)
    if before is not None:
        return bool(before == digest(value))
    # The hook came after the layer was built, as in a notebook.
    initializer = getattr(layer, variable_part(variable) + "_initializer", None)
    if initializer is None:
        return False
    draws = [to_numpy(initializer(value.shape, dtype="float32")) for _ in range(5)]
    if any(np.array_equal(draw, value) for draw in draws):
        return True
    # In Keras 3 an initializer draws the same again.
    if np.array_equal(draws[0], draws[1]) or value.size < 2:
        return False
    sample = np.concatenate([draw.ravel() for draw in draws])
    spread, error = sample.std(), 5 * sample.std() * np.sqrt(1 / value.size + 1 / sample.size)
    return bool(
        abs(value.mean() - sample.mean()) <= error
        and abs(value.std() - spread) <= error
        and abs(value).max() <= 1.5 * abs(sample).max()
    )


def flat(value: Any) -> list[Any]:
    """Return a nested list, tuple or mapping as a flat list."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [each for inner in value.values() for each in flat(inner)]
    if isinstance(value, (list, tuple)):
        return [each for inner in value for each in flat(inner)]
    return [value]


# ---------------------------------------------------------------------------------------------------------------------
# Optimizer, loss and callbacks


def optimizer_entry(keras: Any, model: Any) -> dict[str, Any]:
    """Return the optimizer of a compiled model as JSON; refuse a state that a new training cannot have."""
    optimizer = model.optimizer
    if type(optimizer).__name__ == "LossScaleOptimizer":
        raise Refused("the network trains in mixed precision: whichfix computes in float32")
    try:
        config = optimizer.get_config()
    except Exception:
        config = {}
    settings = {key: plain(value) for key, value in config.items() if key not in ("name", "is_legacy_optimizer")}
    rate = settings.get("learning_rate", settings.pop("lr", None))
    if isinstance(rate, dict) and "class" in rate:
        rate["own"] = not hasattr(keras.optimizers.schedules, rate["class"])
    settings["learning_rate"] = rate
    decay = remembered(HOOK.decays, optimizer)
    if decay is not None:
        settings["learning_rate"] = rate["settings"]["initial_learning_rate"]
        settings["decay"] = short_float(decay)
    steps = int(to_numpy(optimizer.iterations))
    entry = {"class": type(optimizer).__name__, "own": is_own(optimizer), "settings": settings, "steps_done": steps}
    arguments = remembered(HOOK.compiled, model)
    if arguments is not None:
        entry["from_name"] = isinstance(arguments.get("optimizer"), str)
    if steps:
        memory = entry["class"] != "SGD" or settings.get("momentum") or settings.get("decay")
        if memory or isinstance(settings["learning_rate"], dict):
            raise Refused(f"line {persons_line()} trains a network further: its optimizer {entry['class']} keeps a "
                          f"state of {steps} steps, which whichfix cannot start from")  # fmt: skip
        HOOK.note(f"The optimizer is at step {steps}; whichfix starts it anew, which is the same for plain SGD.")
    return entry


def only(value: Any) -> Any:
    """Return the only item of a list or mapping, and any other value as it is."""
    if isinstance(value, dict) and len(value) == 1:
        return next(iter(value.values()))
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return value[0]
    return value


def loss_entry(keras: Any, model: Any, batch: Batch, last: str, weighted: bool) -> dict[str, Any]:
    """Return the loss of a compiled model as JSON: by name, as a class with settings, or as an own function.

    `batch` holds the first rows, `last` is the activation of the last layer; `weighted` says that rows have weights.
    """
    arguments = remembered(HOOK.compiled, model) or {}
    loss = only(arguments.get("loss", getattr(model, "loss", None)))
    if only(arguments.get("loss_weights")) not in (None, 1, 1.0):
        raise Refused("the loss has a weight (loss_weights): whichfix has none")
    if loss is None:
        raise Refused(f"line {persons_line()} trains a network that was compiled without a loss")
    if isinstance(loss, (list, tuple, dict)):
        raise Refused(f"line {persons_line()} trains a network with {len(loss)} losses")
    if isinstance(loss, str):
        return {"name": loss, "own": False, "settings": {}, "line": None}
    if not is_own(loss) and package(loss) != "tensorflow":
        if isinstance(loss, keras.losses.Loss):
            own = getattr(loss, "fn", None)
            if own is None or not is_own(own):
                return {**loss_described(loss), "own": False, "line": None}
        elif callable(loss) and hasattr(loss, "__name__"):
            return {"name": loss.__name__, "own": False, "settings": {}, "line": None}
    name = getattr(loss, "__name__", type(loss).__name__)
    code = getattr(loss, "__code__", None)
    line = code.co_firstlineno if code and is_persons(code.co_filename) else None
    known = known_loss(keras, model, loss, batch, last, weighted)
    if known is not None:
        return {**known, "own": False, "own_name": name, "line": line}
    return {"name": name, "own": True, "settings": {}, "line": line}


def loss_candidates(keras: Any) -> Iterator[Any]:
    """Yield the losses of Keras that an own function may equal."""
    names = ("MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError",
             "LogCosh", "Huber", "Poisson", "KLDivergence", "Hinge", "SquaredHinge", "CategoricalHinge",
             "CosineSimilarity", "BinaryFocalCrossentropy", "CategoricalFocalCrossentropy")  # fmt: skip
    for name in names:
        if hasattr(keras.losses, name):
            yield getattr(keras.losses, name)()
    for name in ("BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"):
        for from_logits in (False, True):
            yield getattr(keras.losses, name)(from_logits=from_logits)


def known_loss(keras: Any, model: Any, loss: Any, batch: Batch, last: str, weighted: bool) -> dict[str, Any] | None:
    """Return the loss of Keras that gives what an own one gives for the first batch and for three random ones."""
    random = np.random.RandomState(7)
    wrapper = next(kind for kind in keras.losses.MeanSquaredError.__mro__ if kind.__name__ == "LossFunctionWrapper")
    function = loss if isinstance(loss, keras.losses.Loss) else wrapper(loss)
    convert = getattr(getattr(keras, "ops", None), "convert_to_tensor", None) or keras.backend.constant
    if batch.y is None:
        return None
    outputs = to_numpy(model(batch.x))
    pairs = [(batch.y, outputs)]
    for number in range(3):
        values = random.normal(0, 1.5, outputs.shape)
        if last == "softmax":
            values = np.exp(values) / np.exp(values).sum(-1, keepdims=True)
        elif last == "sigmoid":
            values = 1 / (1 + np.exp(-values))
        rows = random.permutation(len(batch.y)) if number else slice(None)
        pairs.append((batch.y[rows], values.astype("float32")))

    def value(which: Any, y: Any, output: Any) -> float:
        return float(to_numpy(which(convert(y), convert(output))))

    try:
        wanted = [value(function, y, output) for y, output in pairs]
        by_row = function is loss or to_numpy(loss(convert(batch.y.astype("float32")), convert(outputs))).ndim > 0
        if weighted and not by_row:
            # A loss of the whole batch weighs all rows alike.
            return None
    except Exception:
        return None
    for candidate in loss_candidates(keras):
        try:
            found = [value(candidate, y, output) for y, output in pairs]
        except Exception:
            continue
        if np.isfinite(found).all() and np.allclose(found, wanted, rtol=1e-5, atol=1e-7):
            return loss_described(candidate)
    return None


def loss_described(loss: Any) -> dict[str, Any]:
    """Return a loss of Keras as its class and settings."""
    entry = described(loss)
    entry["settings"].pop("fn", None)
    if entry["settings"].get("reduction") == "auto":
        entry["settings"]["reduction"] = "sum_over_batch_size"
    return entry


def metric_names(model: Any) -> list[str]:
    """Return the names of the metrics that a model was compiled with."""
    arguments = remembered(HOOK.compiled, model)
    if arguments is None:
        try:
            arguments = model.get_compile_config() or {}
        except Exception:
            arguments = {}
    metrics = arguments.get("metrics") or []
    if isinstance(metrics, dict) and "class_name" not in metrics:
        metrics = list(metrics.values())
    names = []
    for each in metrics if isinstance(metrics, (list, tuple)) else [metrics]:
        if isinstance(each, (list, tuple)):
            names += [str(getattr(inner, "name", inner)) for inner in each]
        elif isinstance(each, dict):
            config = each.get("config")
            names.append(str(config.get("name", each.get("class_name")) if isinstance(config, dict) else config))
        else:
            names.append(each if isinstance(each, str) else str(getattr(each, "name", getattr(each, "__name__", ""))))
    return names


def callback_entry(keras: Any, model: Any, callback: Any, epochs: int) -> dict[str, Any]:
    """Return a callback as JSON; refuse an own one that changes the training."""
    kind = type(callback)
    own = is_own(callback)
    line = remembered(HOOK.lines, callback)
    entry: dict[str, Any] = {"class": kind.__name__, "own": own, "settings": {}, "line": line, "matters": False}
    keys = {
        "EarlyStopping": ("monitor", "patience", "min_delta", "mode", "baseline", "restore_best_weights",
                          "start_from_epoch"),
        "ReduceLROnPlateau": ("monitor", "factor", "patience", "min_delta", "mode", "cooldown", "min_lr"),
    }.get(kind.__name__, ())  # fmt: skip
    if not own and keys:
        settings = {key: plain(getattr(callback, key)) for key in keys if hasattr(callback, key)}
        # Keras turns the sign of min_delta if smaller is better.
        settings["min_delta"] = abs(settings["min_delta"])
        if "mode" not in settings:
            operation = getattr(getattr(callback, "monitor_op", None), "__name__", "")
            settings["mode"] = {"less": "min", "greater": "max"}.get(operation, "auto")
        return {**entry, "settings": settings, "matters": True}
    if not own and kind.__name__ == "LearningRateScheduler":
        rates = scheduled_rates(model, callback.schedule, epochs)
        first = current_rate(model)
        return {**entry, "settings": {"rates": rates}, "matters": any(rate != first for rate in rates)}
    if not own and kind.__name__ != "LambdaCallback":
        return {**entry, "settings": {}, "matters": kind.__name__ not in HARMLESS}
    parents = [each for each in kind.__mro__ if not is_own(each) and each.__name__ not in ("Callback", "object")]
    functions = [each for each in vars(callback).values() if isinstance(each, types.FunctionType)]
    for each in kind.__mro__:
        if is_own(each):
            functions += [value for value in vars(each).values() if isinstance(value, types.FunctionType)]
    for function in functions:
        found = changes_training(function.__code__)
        if found is not None:
            raise Refused(f"the callback {kind.__name__} changes the training ({found[0]} in line {found[1]}): "
                          "whichfix cannot follow it", found[1])  # fmt: skip
    if any(each.__name__ not in HARMLESS | {"LambdaCallback"} for each in parents):
        raise Refused(f"the callback {kind.__name__} is an own version of {parents[0].__name__}: "
                      "whichfix cannot follow it")  # fmt: skip
    return entry


def changes_training(code: types.CodeType) -> tuple[str, int | None] | None:
    """Return what a callback's code sets that changes the training, and the line; None if it only reads."""
    line: int | None = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        starts = instruction.starts_line
        line = starts if isinstance(starts, int) and not isinstance(starts, bool) else getattr(
            getattr(instruction, "positions", None), "lineno", line)  # fmt: skip
        sets = instruction.opname == "STORE_ATTR" and instruction.argval in (
            "stop_training", "learning_rate", "lr", "trainable", "rate", "momentum")  # fmt: skip
        calls = instruction.argval in (
            "set_weights", "set_value", "assign", "assign_add", "assign_sub", "load_weights", "stop_training",
            "setattr", "apply_gradients", "train_on_batch", "fit") and "LOAD" in instruction.opname  # fmt: skip
        if sets or calls:
            return str(instruction.argval), line
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found = changes_training(constant)
            if found is not None:
                return found
    return None


def current_rate(model: Any) -> float | None:
    """Return the learning rate of a model's optimizer; None for a schedule."""
    rate = getattr(model.optimizer, "learning_rate", None)
    try:
        return short_float(to_numpy(rate))
    except Exception:
        return None


def scheduled_rates(model: Any, schedule: Callable[..., Any], epochs: int) -> list[float]:
    """Return the learning rate of each epoch by the function of a LearningRateScheduler."""
    rate = current_rate(model)
    rates = []
    for epoch in range(epochs):
        try:
            value = schedule(epoch, rate)
        except TypeError:
            value = schedule(epoch)
        rate = short_float(np.float32(to_numpy(value)))
        rates.append(rate)
    return rates


# ---------------------------------------------------------------------------------------------------------------------
# The rows and their order


class Batch:
    """Rows of a batch or of a whole array: x, y and sample weights, as arrays."""

    def __init__(self, x: Any, y: Any = None, weight: Any = None):
        self.x = as_array(x, "x")
        self.y = None if y is None else as_array(y, "y")
        self.weight = None if weight is None else as_array(weight, "sample_weight")

    def parts(self) -> list[np.ndarray]:
        """Return the arrays that there are."""
        return [part for part in (self.x, self.y, self.weight) if part is not None]

    def size(self) -> int:
        """Return the number of bytes."""
        return sum(part.nbytes for part in self.parts())

    def picked(self, rows: Any, copy: bool = False) -> Batch:
        """Return some rows, by their numbers or as a slice."""
        parts = [None if part is None else part[rows] for part in (self.x, self.y, self.weight)]
        return Batch(*(part.copy() if copy and part is not None else part for part in parts))

    def first(self, number: int) -> Batch:
        """Return the first rows."""
        return self.picked(slice(number))

    def hashes(self) -> list[int]:
        """Return a hash of each row."""
        rows = len(self.x)
        if any(len(part) != rows for part in self.parts()):
            raise Refused(f"a batch has {rows} rows of x and {len(self.parts()[1])} of y")
        views = [np.ascontiguousarray(part).reshape(rows, -1) for part in self.parts()]
        return [hash(b"".join(view[row].tobytes() for view in views)) for row in range(rows)]


def as_array(value: Any, what: str) -> np.ndarray:
    """Return one input or target as an array; refuse several, and values that are neither numbers nor text."""
    if isinstance(value, dict) or (isinstance(value, (list, tuple)) and value and hasattr(value[0], "shape")):
        items = list(value.values()) if isinstance(value, dict) else list(value)
        shaped = [item for item in items if np.ndim(item) > 0]
        if len(items) > 1 and shaped:
            names = f" ({', '.join(map(str, value))})" if isinstance(value, dict) else ""
            word = "inputs" if what == "x" else "targets" if what == "y" else what
            raise Refused(f"line {persons_line()} passes {len(items)} {word}{names}: whichfix trains networks with one")
        value = items[0] if shaped else [to_numpy(item) for item in items]
    if type(value).__name__ in ("RaggedTensor", "RaggedTensorValue"):
        raise Refused(f"{what} is a ragged tensor: its rows have different lengths")
    try:
        array = to_numpy(value)
    except ValueError as error:
        raise Refused(f"{what} is no table: its rows have different lengths") from error
    if array.dtype == object:
        array = numbers_or_text(array, what)
    if array.ndim == 0:
        raise Refused(f"{what} is no array: {type(value).__name__}")
    return array


def numbers_or_text(array: np.ndarray, what: str) -> np.ndarray:
    """Return an array of objects as numbers, or as text."""
    values = array.ravel().tolist()
    if values and all(isinstance(each, (bool, int, float, np.number, np.bool_)) for each in values):
        return array.astype("float64")
    if values and all(isinstance(each, (str, bytes)) for each in values):
        return array.astype(str)
    raise Refused(f"{what} holds values that are neither numbers nor text, or rows of different lengths")


class Order:
    """Rows to be stored, and the order in which training takes them."""

    def __init__(self, batches: list[Batch], batch_size: int, shuffle: Any = False, drop_remainder: bool = False):
        self.batches = batches
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_remainder = drop_remainder
        self.steps_per_epoch: int | None = None
        # Batches per pass.
        self.steps = len(batches)
        self.passes = 1
        # Batches after the last whole pass.
        self.rest = 0
        # Whether the last batch of a pass has fewer rows.
        self.short = len(batches[-1].x) != batch_size

    def rows(self) -> Batch:
        """Return the batches as arrays."""
        if len(self.batches) == 1:
            return self.batches[0]
        parts = [[getattr(batch, part) for batch in self.batches] for part in ("x", "y", "weight")]
        try:
            return Batch(*(None if each[0] is None else np.concatenate(each) for each in parts))
        except ValueError as error:
            raise Refused("its batches have different shapes") from error

    def full(self) -> bool:
        """Return whether each batch of a pass has as many rows as the first."""
        return self.drop_remainder or not self.short


def batch_size_of(batches: list[Batch]) -> int:
    """Return the batch size; refuse batches of several sizes, apart from a short last one."""
    sizes = [len(batch.x) for batch in batches]
    if any(size != sizes[0] for size in sizes[:-1]) or sizes[-1] > sizes[0]:
        some = ", ".join(map(str, sizes[:6]))
        raise Refused(
            f"line {persons_line()} trains with batches of different sizes ({some}, ...): whichfix has one size"
        )
    return sizes[0]


def is_random_order(first: list[int], second: list[int]) -> bool:
    """Return whether the rows of a second pass have random places in the first, as in a new permutation."""
    places: dict[int, list[int]] = collections.defaultdict(list)
    for place, key in enumerate(first):
        places[key].append(place)
    found = [places[key].pop() for key in second if places[key]]
    if len(found) < 30 or len(set(first)) < 2:
        return True
    steps = np.arange(len(found))
    moved = np.abs(np.asarray(found) - steps).mean() / len(found)
    correlation = np.corrcoef(steps, found)[0, 1]
    # A random permutation moves a row by a third of the length on average.
    return bool(abs(correlation) < 5 / np.sqrt(len(found)) and moved > 1 / 3 - 2 / np.sqrt(len(found)))


MODULUS = 2**64


def period_of(keys: list[list[int]]) -> int | None:
    """Return the number of batches after which the same rows come again, in any order; None if they do not."""
    sums = [0]
    for each in keys:
        # The square keeps two rows from making up for two others.
        sums.append((sums[-1] + sum(key * key * 2654435761 + key for key in each)) % MODULUS)
    count = len(keys)
    for period in range(1, count // 2 + 1):
        first = (sums[period] - sums[0]) % MODULUS
        if (sums[2 * period] - sums[period]) % MODULUS == first and all(
            (sums[start + period] - sums[start]) % MODULUS == first for start in range(0, count - period + 1, period)
        ):
            return period
    return None


def repeating_order(batches: list[Batch], keys: list[list[int]]) -> Order | None:
    """Return the order of a stream of batches whose passes have the same rows; None if there are no such passes."""
    period = period_of(keys)
    if period is None:
        return None
    order = Order(batches[:period], batch_size_of(batches[:period]))
    order.passes, order.rest = divmod(len(batches), period)
    passes = [keys[start : start + period] for start in range(0, order.passes * period, period)]
    if all(each == passes[0] for each in passes):
        return order
    if period == 1:
        HOOK.note("The rows come in another order in each call; in a single batch the order does not matter.")
        return order
    if all(sorted(each) == sorted(passes[0]) for each in passes):
        order.shuffle = "batches"
        return order
    joined = [[key for batch in each for key in batch] for each in passes]
    if not all(is_random_order(joined[0], other) for other in joined[1:6]):
        raise Refused(f"line {persons_line()} trains rows whose order changes a little from pass to pass: "
                      "whichfix shuffles all rows or none")  # fmt: skip
    order.shuffle = True
    return order


def dropping_order(batches: list[Batch], keys: list[list[int]]) -> Order | None:
    """Return the order of a stream whose passes are new permutations without the rows that fill no batch."""
    size = len(batches[0].x)
    if any(len(batch.x) != size for batch in batches):
        return None
    passes: list[list[int]] = [[]]
    seen: set[int] = set()
    for number, each in enumerate(keys):
        if len(set(each)) < len(each):
            return None
        if seen.intersection(each):
            passes.append([])
            seen = set()
        passes[-1].append(number)
        seen.update(each)
    whole = passes[:-1] if len(passes[-1]) < len(passes[0]) else passes
    per_pass = len(whole[0])
    if len(whole) < 3 or any(len(each) != per_pass for each in whole):
        return None
    known: set[int] = set()
    parts: list[Batch] = []
    for each in whole:
        new_rows = 0
        for number in each:
            fresh = [row for row, key in enumerate(keys[number]) if key not in known]
            known.update(keys[number])
            new_rows += len(fresh)
            if fresh:
                batch = batches[number]
                parts.append(batch.picked(fresh))
    if new_rows or len(known) // size != per_pass or len(known) == per_pass * size:
        return None
    joined = [[key for number in each for key in keys[number]] for each in whole]
    if not all(is_random_order(joined[0], other) for other in joined[1:6]):
        return None
    order = Order(parts, size, shuffle=True, drop_remainder=True)
    order.steps, order.passes, order.rest = per_pass, len(whole), len(batches) - len(whole) * per_pass
    return order


def stream_order(batches: list[Batch], whole: bool) -> Order | None:
    """Return the order of a stream of batches; None if it has not been read far enough to tell.

    If no rows come again, a `whole` stream is stored as it is: every batch, in order.
    """
    keys = [batch.hashes() for batch in batches]
    order = repeating_order(batches, keys) or dropping_order(batches, keys)
    if order is None and whole:
        order = Order(batches, batch_size_of(batches))
        known = {key for each in keys for key in each}
        if len(known) < sum(map(len, keys)) and len(batches) > 1:
            HOOK.note(f"The rows are drawn anew for each batch: the recording holds the {len(batches)} batches of this "
                      "run, in order.")  # fmt: skip
    return order


# ---------------------------------------------------------------------------------------------------------------------
# Reading what `fit` was given


def is_dataset(value: Any) -> bool:
    """Return whether a value is a tf.data.Dataset."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and hasattr(tf, "data") and isinstance(value, tf.data.Dataset)


def is_sequence(value: Any) -> bool:
    """Return whether a value is a Sequence (PyDataset) of Keras."""
    return any(
        isinstance(value, getattr(keras.utils, name))
        for keras in HOOK.kerases
        for name in ("Sequence", "PyDataset")
        if hasattr(keras.utils, name)
    )


def is_stream(value: Any) -> bool:
    """Return whether a value delivers batches one after the other and never begins again."""
    return hasattr(value, "__next__") and not hasattr(value, "shape")


def is_loader(value: Any) -> bool:
    """Return whether a value is a DataLoader of PyTorch."""
    return package(value) == "torch" and hasattr(value, "batch_size") and hasattr(value, "dataset")


def batch_of(element: Any) -> Batch:
    """Return what a generator, Dataset or Sequence delivers as a batch."""
    if isinstance(element, dict) or not isinstance(element, (list, tuple)):
        raise Refused(f"line {persons_line()} trains on batches without targets")
    if not 2 <= len(element) <= 3:
        raise Refused(f"line {persons_line()} trains on batches of {len(element)} parts")
    return Batch(*element)


def take(elements: Iterable[Any], most: int | None, what: str) -> list[Batch]:
    """Return the next batches, at most `most`; refuse more bytes than allowed."""
    batches: list[Batch] = []
    known: dict[str, Batch] = {}
    size = 0
    if most is not None and most <= 0:
        return batches
    for element in elements:
        batch = batch_of(element)
        if not len(batch.x):
            continue
        # A batch that comes again is kept once.
        key = "".join(digest(part) for part in batch.parts())
        if key not in known:
            known[key] = batch
            size += batch.size()
        batches.append(known[key])
        if size > HOOK.max_bytes:
            raise Refused(f"{what} delivers more than {HOOK.max_bytes / 1e9:g} GB")
        if len(batches) > MOST_BATCHES:
            raise Refused(f"{what} delivers more than {MOST_BATCHES} batches in one pass")
        if most is not None and len(batches) >= most:
            break
    return batches


def pass_order(passes: list[list[Batch]]) -> Order | None:
    """Return the order of passes that each begin anew, such as those of a Dataset; None if it cannot be told."""
    if not passes[0]:
        raise Refused(f"line {persons_line()} trains on data without rows")
    keys = [[batch.hashes() for batch in each] for each in passes]
    order = Order(passes[0], batch_size_of(passes[0]))
    if all(each == keys[0] for each in keys):
        return order
    joined = [sorted(key for batch in each for key in batch) for each in keys]
    stream = [batch for each in passes for batch in each]
    if all(each == joined[0] for each in joined):
        found = repeating_order(stream, [key for each in keys for key in each])
        return found if found is not None and found.steps == len(passes[0]) else None
    return dropping_order(stream, [key for each in keys for key in each])


def sequence_order(sequence: Any, shuffle: bool) -> Order:
    """Return the rows of a Sequence and their order."""
    what = type(sequence).__name__
    length = len(sequence)

    def next_pass() -> list[Batch]:
        return take((sequence[number] for number in range(length)), None, what)

    passes = [next_pass()]
    for _ in range(1 if sum(batch.size() for batch in passes[0]) > HOOK.max_bytes // 8 else 3):
        sequence.on_epoch_end()
        passes.append(next_pass())
    order = pass_order(passes)
    if order is None:
        raise Refused(f"{what} delivers other rows in each epoch: whichfix cannot follow it")
    if order.shuffle is False and shuffle and order.steps > 1:
        order.shuffle = "batches"
    order.passes, order.rest = 1, 0
    return order


class Lineage:
    """How a Dataset was made: its steps, as far as the hook saw them."""

    def __init__(self, dataset: Any):
        self.steps: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.parents: list[Any] = []
        found = HOOK.datasets.get(id(dataset))
        while found is not None and found[0] is dataset:
            dataset = found[1]
            self.steps.insert(0, (found[2], found[3], found[4]))
            self.parents.insert(0, dataset)
            found = HOOK.datasets.get(id(dataset))
        self.root = dataset

    def names(self) -> list[str]:
        """Return the names of the steps."""
        return [name for name, _, _ in self.steps]

    def argument(self, number: int, place: int, key: str, default: Any = None) -> Any:
        """Return an argument of a step."""
        _, positional, keywords = self.steps[number]
        value = positional[place] if len(positional) > place else keywords.get(key, default)
        return value if value is None or isinstance(value, bool) else plain(value)

    def without(self, left_out: Iterable[int], whole: bool = False) -> Any:
        """Return the Dataset made anew without some steps; `whole` keeps the rows that fill no batch."""
        dataset = self.root
        for number, (name, positional, keywords) in enumerate(self.steps):
            if number in left_out:
                continue
            if whole and name in ("batch", "padded_batch"):
                keywords = {**keywords, "drop_remainder": False}
                positional = positional[:1]
            dataset = getattr(dataset, name)(*positional, **keywords)
        return dataset


def dataset_order(dataset: Any, steps: int | None, epochs: int) -> Order:
    """Return the rows of a Dataset and their order; refuse an order that whichfix does not have."""
    lineage = Lineage(dataset)
    names = lineage.names()
    repeats = [number for number, name in enumerate(names) if name == "repeat"]
    counts = [lineage.argument(number, 0, "count") for number in repeats]
    endless = any(count is None or count < 0 for count in counts)
    shuffles = [number for number, name in enumerate(names) if name == "shuffle"]
    if endless and steps is None:
        raise Refused(f"line {persons_line()} trains on a Dataset without an end and without steps_per_epoch")
    if endless and any(repeat < shuffle for repeat in repeats for shuffle in shuffles):
        raise Refused(f"line {persons_line()} trains on a Dataset that is repeated before it is shuffled, so that its "
                      "passes mix: whichfix cannot follow it")  # fmt: skip
    once = lineage.without(repeats) if repeats else dataset
    if not repeats and steps is not None and int(to_numpy(dataset.cardinality())) < 0:
        return read_stream(iter(dataset), steps, epochs, "the Dataset")
    passes = [take(once, None, "the Dataset") for _ in range(2)]
    if [batch.hashes() for batch in passes[0]] == [batch.hashes() for batch in passes[1]]:
        order = Order(passes[0], batch_size_of(passes[0]))
    elif shuffles:
        order = shuffled_dataset(lineage, shuffles, repeats)
    else:
        found = pass_order([*passes, *(take(once, None, "the Dataset") for _ in range(2))])
        if found is None or len(found.rows().x) < 100:
            raise Refused(f"line {persons_line()} trains on a Dataset that delivers other rows or another order each "
                          "time, and the hook did not see how: whichfix cannot follow it")  # fmt: skip
        order = found
    times = (
        int(np.prod([count for count in counts if count is not None and count > 0])) if counts and not endless else 1
    )
    batches = [number for number, name in enumerate(names) if name in ("batch", "padded_batch")]
    blended = bool(repeats and batches and repeats[0] < batches[-1]) and not order.full()
    return with_steps(order, steps, epochs, times, endless, blended)


def with_steps(order: Order, steps: int | None, epochs: int, times: int, endless: bool, blended: bool) -> Order:
    """Set the steps per epoch of rows that are repeated `times`, or without end; `blended` if batches span passes."""
    order.passes, order.rest = 1, 0
    whole = order.full() or blended
    if steps is None and times > 1:
        if blended or not order.full():
            raise Refused(f"line {persons_line()} trains epochs of {times} passes with short batches between them")
        order.steps_per_epoch = order.steps * times
    elif steps is not None and (steps != order.steps or blended):
        total = order.steps * times
        if not endless and steps >= total:
            HOOK.note(f"steps_per_epoch is {steps}, but the data ends after {total} batches: an epoch is {total}.")
            return with_steps(order, None, epochs, times, endless, blended)
        enough = endless or epochs * steps <= total or total % steps == 0
        if not whole or not enough:
            raise Refused(f"line {persons_line()} trains epochs of {steps} batches, a pass has {order.steps}: with its "
                          "short batches whichfix cannot follow it")  # fmt: skip
        order.steps_per_epoch = steps
    return order


def shuffled_dataset(lineage: Lineage, shuffles: list[int], repeats: list[int]) -> Order:
    """Return the rows of a shuffled Dataset in the order before the shuffle, and the buffer of the shuffle."""
    line = persons_line()
    names = lineage.names()
    last = shuffles[-1]
    after = set(names[last + 1 :]) - {
        "map",
        "prefetch",
        "cache",
        "batch",
        "padded_batch",
        "repeat",
        "with_options",
        "apply",
    }
    if after:
        words = ", ".join(sorted(after))
        raise Refused(f"line {line} trains on a Dataset with {words} after a shuffle that draws anew "
                      "in every pass, so that other rows train in each epoch")  # fmt: skip
    base = lineage.without({last, *repeats})
    passes = [take(base, None, "the Dataset") for _ in range(2)]
    order = Order(passes[0], batch_size_of(passes[0]))
    order.drop_remainder = any(
        name in ("batch", "padded_batch")
        and bool(lineage.argument(number, {"batch": 1}.get(name, 3), "drop_remainder"))
        for number, name in enumerate(names)
    )
    buffer = lineage.argument(last, 0, "buffer_size")
    if any(name in ("batch", "padded_batch") for name in names[:last]):
        length, word = len(passes[0]), "batches"
    else:
        length, word = sum(len(batch.x) for batch in passes[0]), "rows"
    if order.drop_remainder and word == "rows":
        # The rows that fill no batch in this pass train in others.
        undropped = lineage.without({last, *repeats}, whole=True)
        size, full_batches = order.batch_size, order.steps
        order = Order(take(undropped, None, "the Dataset"), size, drop_remainder=True)
        order.steps, length = full_batches, sum(len(batch.x) for batch in order.batches)
        passes = [order.batches, take(undropped, None, "the Dataset")]
    covers = buffer is None or buffer < 0 or buffer >= length
    keys = [[key for batch in each for key in batch.hashes()] for each in passes]
    if keys[0] != keys[1] and not (covers and sorted(keys[0]) == sorted(keys[1])):
        raise Refused(f"line {line} trains on a Dataset that is shuffled twice or draws rows anew: whichfix cannot "
                      "follow it")  # fmt: skip
    if word == "batches":
        if not covers:
            raise Refused(f"line {line} trains on a Dataset that shuffles {length} batches with a buffer of {buffer}")
        order.shuffle = "batches"
    else:
        order.shuffle = True if covers else {"buffer": int(buffer)}
    return order


def read_stream(stream: Iterator[Any], steps: int, epochs: int, what: str) -> Order:
    """Return the rows of a generator and their order, reading no further than needed."""
    total = steps * epochs
    began = time.monotonic()
    batches = take(stream, min(2 * steps, total), what)
    order = None
    while True:
        whole = len(batches) >= total
        # Passes that lose rows are told from three of them.
        if len(batches) >= 2 * steps or whole:
            order = stream_order(batches, whole)
        if order is not None or whole:
            break
        if time.monotonic() - began > 2 * HOOK.calls_seconds:
            raise Refused(f"{what} delivers rows that do not come again: {len(batches)} of {total} batches were read")
        more = take(stream, min(max(len(batches), 2 * steps), total - len(batches)), what)
        if not more:
            raise Refused(f"{what} ended after {len(batches)} of {total} batches")
        batches += more
        if sum(batch.size() for batch in {id(batch): batch for batch in batches}.values()) > HOOK.max_bytes:
            raise Refused(f"{what} delivers more than {HOOK.max_bytes / 1e9:g} GB")
    HOOK.read_batches = batches
    if order is None:
        raise Refused(f"{what} delivers rows in an order that whichfix cannot follow")
    if order.steps == len(batches) and order.passes == 1:
        order.passes, order.rest = 1, 0
        if epochs > 1 and not any("drawn anew" in note for note in HOOK.notes):
            HOOK.note(f"No row comes again: the recording holds the {len(batches)} batches of this run, in order.")
        if order.steps != steps:
            if not order.full():
                raise Refused(f"{what} ends with a short batch")
            order.steps_per_epoch = steps
        return order
    return with_steps(order, steps, epochs, 1, True, False)


class Failed(Exception):  # noqa: N818, not an error of the hook
    """An error of Keras that the person's own training would raise."""


def array_order(arguments: dict[str, Any]) -> tuple[Order, Batch | None]:
    """Return the rows of arrays given to `fit` and their order, and the rows that `validation_split` holds out."""
    if arguments.get("y") is None:
        raise Refused(f"line {persons_line()} trains without targets (y)")
    rows = Batch(arguments["x"], arguments["y"], arguments.get("sample_weight"))
    if len({len(part) for part in rows.parts()}) > 1:
        lengths = " and ".join(str(len(part)) for part in rows.parts())
        raise Refused(f"line {persons_line()} passes x and y with {lengths} rows: Keras does not train with them")
    if rows.size() > HOOK.max_bytes:
        raise Refused(f"x and y have {rows.size() / 1e9:.1f} GB; at most {HOOK.max_bytes / 1e9:g} GB are recorded")
    validation = None
    split = float(arguments.get("validation_split") or 0)
    if split and arguments.get("validation_data") is None:
        train = int(len(rows.x) * (1 - split))
        if not 0 < train < len(rows.x):
            raise Refused(f"validation_split={split:g} of {len(rows.x)} rows leaves no rows on one side")
        validation = rows.picked(slice(train, None))
        rows = rows.first(train)
    order = Order([rows], int(arguments.get("batch_size") or 32))
    shuffle = arguments.get("shuffle", True)
    # In Keras 2 `shuffle="batch"` moves whole batches.
    order.shuffle = "batches" if shuffle == "batch" else bool(shuffle)
    count = len(rows.x)
    order.steps, order.short = -(-count // order.batch_size), count % order.batch_size > 0
    return order, validation


def validation_rows(data: Any, steps: int | None, batch_size: int) -> Batch | None:
    """Return the rows of `validation_data` in any of its forms."""
    if data is None:
        return None
    if is_dataset(data) or is_stream(data) or is_sequence(data) or is_loader(data):
        if steps is None and is_stream(data):
            raise Refused("validation_data is a generator without validation_steps")
        if steps is None and is_dataset(data) and int(to_numpy(data.cardinality())) == -1:
            raise Refused("validation_data is a Dataset without an end, and validation_steps is missing")
        source = (data[number] for number in range(len(data))) if is_sequence(data) else data
        batches = take(source, steps, "validation_data")
        return Order(batches, len(batches[0].x)).rows() if batches else None
    if not isinstance(data, (list, tuple)) or not 2 <= len(data) <= 3:
        raise Refused(f"validation_data is a {type(data).__name__} that the hook cannot read")
    rows = Batch(*data)
    return rows if steps is None else rows.first(steps * batch_size)


def training_order(arguments: dict[str, Any]) -> tuple[Order, Batch | None]:
    """Return the rows that `fit` was given and their order, and the rows that validate."""
    x, epochs, steps = arguments["x"], int(arguments.get("epochs") or 1), arguments.get("steps_per_epoch")
    steps = None if steps is None else int(steps)
    turns = epochs - int(arguments.get("initial_epoch") or 0)
    validation = None
    delivered = is_dataset(x) or is_sequence(x) or is_loader(x) or is_stream(x)
    if delivered and arguments.get("validation_split") and arguments.get("validation_data") is None:
        raise Refused(
            f"line {persons_line()} passes validation_split with a {type(x).__name__}: Keras splits arrays only"
        )
    if is_dataset(x):
        order = dataset_order(x, steps, turns)
    elif is_sequence(x):
        order = with_steps(sequence_order(x, bool(arguments.get("shuffle", True))), steps, turns, 1, False, False)
    elif is_loader(x):
        found = pass_order([take(x, None, "the DataLoader") for _ in range(4)])
        if found is None:
            raise Refused("the DataLoader delivers other rows in each epoch: whichfix cannot follow it")
        order = with_steps(found, steps, turns, 1, False, False)
    elif is_stream(x):
        if steps is None:
            if turns > 1:
                raise Refused(f"line {persons_line()} trains {turns} epochs on a generator without steps_per_epoch")
            batches = take(x, None, "the generator")
            HOOK.read_batches = batches
            order = Order(batches, batch_size_of(batches))
        else:
            order = read_stream(x, steps, turns, "the generator")
    else:
        order, validation = array_order(arguments)
        order = with_steps(order, steps, turns, 1, False, False)
    if arguments.get("validation_data") is not None:
        size = int(arguments.get("validation_batch_size") or arguments.get("batch_size") or 32)
        validation = validation_rows(arguments["validation_data"], arguments.get("validation_steps"), size)
    return order, validation


# ---------------------------------------------------------------------------------------------------------------------
# How often the script trains, and by what


def stack_names() -> list[tuple[types.FrameType, str, str]]:
    """Return the frames on the stack with their modules and functions, the deepest first."""
    frame: types.FrameType | None = sys._getframe(1)
    names = []
    while frame is not None:
        names.append((frame, str(frame.f_globals.get("__name__", "")), frame.f_code.co_name))
        frame = frame.f_back
    return names


def trained_by() -> tuple[str | None, int | None]:
    """Return which class of scikit-learn's style calls `fit`, inside of what, and how often it will."""
    wrapper = outer = None
    count: int | None = None
    for frame, module, function in stack_names():
        owner = frame.f_locals.get("self")
        name = type(owner).__name__
        if wrapper is None and re.match(r"(Keras|SKLearn)\w*(Classifier|Regressor|Transformer)$|BaseWrapper$", name):
            wrapper = name
        if module.startswith("sklearn."):
            if function in ("cross_val_score", "cross_val_predict", "cross_validate"):
                outer = function
                if function != "cross_val_score":
                    count = splits_of(frame)
            elif function == "fit" and name.endswith("SearchCV"):
                outer = name
                count = search_count(owner, frame)
            elif function == "fit" and name == "Pipeline" and outer is None:
                outer = "Pipeline"
    if wrapper is None:
        return (outer, count) if outer else (None, None)
    return (f"{wrapper} in {outer}" if outer else wrapper), count


def splits_of(frame: types.FrameType) -> int | None:
    """Return the number of splits of a cross-validation of scikit-learn that is running in `frame`."""
    values = frame.f_locals
    splitter = values.get("cv_orig", values.get("cv"))
    try:
        if isinstance(splitter, int):
            return splitter
        if splitter is None:
            return 5
        return int(splitter.get_n_splits(values.get("X"), values.get("y"), values.get("groups")))
    except Exception:
        return None


def search_count(search: Any, frame: types.FrameType) -> int | None:
    """Return how often a grid search trains: each candidate on each split, and the best once more."""
    selection = importlib.import_module("sklearn.model_selection")
    grid = getattr(search, "param_grid", None)
    candidates = len(selection.ParameterGrid(grid)) if grid is not None else getattr(search, "n_iter", None)
    x, y = frame.f_locals.get("X"), frame.f_locals.get("y")
    try:
        splits = int(selection.check_cv(search.cv, y, classifier=True).get_n_splits(x, y))
    except Exception:
        return None
    if not isinstance(candidates, int):
        return None
    return candidates * splits + (1 if getattr(search, "refit", False) else 0)


def turns_of(loop: ast.AST, frame: types.FrameType) -> int | None:
    """Return how often a loop of the person turns, if its iterable tells it without running anything."""
    if not isinstance(loop, ast.For):
        return None

    def value(node: ast.AST) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return frame.f_locals.get(node.id, frame.f_globals.get(node.id))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return getattr(value(node.value), node.attr, None)
        if isinstance(node, (ast.List, ast.Tuple)):
            return [None] * len(node.elts)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            inner = [value(each) for each in node.args]
            if node.func.id in ("range", "xrange"):
                return range(*inner)
            if node.func.id in ("enumerate", "list", "sorted", "reversed", "tqdm", "tuple"):
                return inner[0]
            if node.func.id == "zip":
                return min(inner, key=len)
            if node.func.id == "len":
                return len(inner[0])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "split":
            splitter = value(node.func.value)
            if splitter is None and isinstance(node.func.value, ast.Call):
                keywords = {each.arg: value(each.value) for each in node.func.value.keywords}
                return range(int(keywords.get("n_splits", 5)))
            return range(int(splitter.get_n_splits(*[value(each) for each in node.args])))
        return None

    try:
        return len(value(loop.iter))
    except Exception:
        return None


def is_fit_call(node: ast.AST, frame: types.FrameType) -> bool:
    """Return whether a call in the script's source looks like the training of a network."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if node.func.attr == "fit_generator":
        return True
    if node.func.attr != "fit":
        return False
    receiver = node.func.value
    if isinstance(receiver, ast.Name):
        value = frame.f_locals.get(receiver.id, frame.f_globals.get(receiver.id))
        if value is not None and any(isinstance(value, keras.Model) for keras in HOOK.kerases):
            return True
    words = {"epochs", "nb_epoch", "batch_size", "validation_data", "validation_split", "callbacks", "verbose"}
    return bool(words & {keyword.arg for keyword in node.keywords})


def several_fits(count: int | None, in_loop: bool) -> tuple[int | None, str | None]:
    """Return how often the script trains, None if that cannot be told, and a sentence if it is more than once.

    If training is `in_loop` by `train_on_batch`, the loops around the call are one training.
    """
    frame = script_frame()
    if frame is None:
        return count, None
    line = frame.f_lineno
    which = {1: "the first", 2: "the second", 3: "the third"}.get(HOOK.number, f"number {HOOK.number}")
    tree = parsed(frame.f_code.co_filename)
    calls: list[Any] = [node for node in ast.walk(tree) if is_fit_call(node, frame)] if tree is not None else []
    others = sorted({node.lineno for node in calls} - {line})
    others = [each for each in others if not any(node.lineno == each and node.lineno <= line <= (node.end_lineno or 0)
                                                 for node in calls)]  # fmt: skip
    loops = [] if in_loop else [(each, loop) for each in persons_frames() for loop in loops_around(each)]
    turns = [turns_of(loop, each) for each, loop in loops]
    total = count
    if turns:
        total = None if None in turns else int(np.prod([turn for turn in turns if turn is not None])) * (count or 1)
    parts = []
    if loops:
        parts.append(f"line {line} trains {f'{total} times, ' if total else ''}in a loop")
    elif count is not None and count > 1:
        parts.append(f"line {line} trains {count} times")
    if others:
        all_but_last = ", ".join(map(str, others[:-1]))
        lines = f"lines {all_but_last} and {others[-1]}" if all_but_last else f"line {others[0]}"
        parts.append(f"{lines} {'trains' if len(others) == 1 else 'train'} too")
        if total is not None or not loops:
            total = (total or 1) + len(others)
    if not parts or total == 1:
        return total or 1, None
    return total, f"{', and '.join(parts)}; {which} is recorded"


# ---------------------------------------------------------------------------------------------------------------------
# The recording


class Recording:
    """All that is written to the file, gathered in the order in which it becomes known."""

    def __init__(self, model: Any, kind: str, first: Batch, weighted: bool):
        self.model, self.keras = model, keras_of(model)
        frame = script_frame()
        if model.optimizer is None:
            raise Failed(f"RuntimeError: line {persons_line()} trains a model that was not compiled")
        by, count = trained_by()
        total, several = several_fits(count, in_loop=kind == "train_on_batch")
        try:
            self.network = Network(model, first.first(32).x)
        except (Refused, Failed):
            raise
        except Exception as error:
            raise Failed(f"{type(error).__name__}: {first_lines(error)}") from error
        drawn = self.network.weights_are_drawn()
        entries = self.network.entries
        last = entries[-1]["settings"].get("activation") or entries[-1]["class"].lower()
        self.arrays: dict[str, np.ndarray] = {} if drawn else dict(self.network.arrays)
        self.json: dict[str, Any] = {
            "format": FORMAT,
            "versions": versions(self.keras),
            "script": {
                "path": HOOK.shown,
                "arguments": HOOK.arguments,
                "line": frame.f_lineno if frame else None,
                "text": statement(frame) if frame else "",
            },
            "call": {"kind": kind, "by": by, "number": HOOK.number, "count": total, "several": several},
            "layers": entries,
            "input_shape": entries[0]["input_shape"],
            "weights": "initializers" if drawn else "set",
            "optimizer": optimizer_entry(self.keras, model),
            "loss": loss_entry(self.keras, model, first, last if isinstance(last, str) else "", weighted),
            "metrics": metric_names(model),
            "fit": {},
            "callbacks": [],
            "arrays": {},
            "overridden": [],
            "old_names": HOOK.old_names,
            "notes": HOOK.notes,
            "partial": None,
        }

    def add_rows(self, order: Order, epochs: int, validating: Batch | None, **settings: Any) -> None:
        """Add the rows and how they are trained."""
        rows = order.rows()
        self.json["fit"] = {
            "batch_size": order.batch_size,
            "epochs": epochs,
            "initial_epoch": 0,
            "shuffle": order.shuffle,
            "steps_per_epoch": order.steps_per_epoch,
            "drop_remainder": order.drop_remainder,
            "validation": None,
            "validation_split": 0.0,
            "class_weight": None,
            "sample_weight": rows.weight is not None,
            **settings,
        }
        self.arrays.update(named_arrays(rows, ""))
        if validating is not None:
            self.arrays.update(named_arrays(validating, "_validation"))

    def describe_arrays(self, columns: dict[str, list[str] | None]) -> None:
        """Add the shapes, dtypes and columns of the arrays."""
        self.json["arrays"] = {
            name: {"dtype": str(array.dtype), "shape": list(array.shape), "columns": columns.get(name)}
            for name, array in self.arrays.items()
            if not name.startswith("weights/")
        }

    def write(self, path: str) -> None:
        """Write the file, whole or not at all."""
        size = sum(array.nbytes for array in self.arrays.values())
        if size > HOOK.max_bytes:
            raise Refused(f"the arrays have {size / 1e9:.1f} GB; at most {HOOK.max_bytes / 1e9:g} GB are recorded")
        unfinished = f"{path}.unfinished"
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as file:
            file.writestr("recording.json", json.dumps(self.json, indent=1, ensure_ascii=False))
            for name, array in self.arrays.items():
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
                file.writestr(f"{name}.npy", buffer.getvalue())
        os.replace(unfinished, path)


def named_arrays(rows: Batch, suffix: str) -> dict[str, np.ndarray]:
    """Return arrays under their names in the file."""
    parts = {"x": rows.x, "y": rows.y, "sample_weight": rows.weight}
    return {name + suffix: part for name, part in parts.items() if part is not None}


def first_lines(error: BaseException) -> str:
    """Return the beginning of an error's text."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if lines and lines[0].startswith("in user code"):
        # TensorFlow sets the lines of its own before the error.
        lines = [line for line in lines if re.match(r"\w+(Error|Exception): ", line)] or lines[-1:]
    return " ".join(lines[:4])[:600]


def versions(keras: Any) -> dict[str, Any]:
    """Return the versions that the script runs with."""
    tf = sys.modules.get("tensorflow")
    return {
        "python": platform.python_version(),
        "keras": str(getattr(keras, "__version__", getattr(tf, "__version__", ""))),
        "keras_package": "keras" if keras.__name__.startswith("keras") else keras.__name__,
        "numpy": np.__version__,
        "tensorflow": getattr(tf, "__version__", None),
    }


def class_weights(value: Any) -> dict[str, float] | None:
    """Return the class weights as JSON."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Refused(f"line {persons_line()} passes class_weight={value!r:.60}: Keras takes a weight per class")
    return {str(plain(key)): short_float(weight) for key, weight in value.items()}


def called_kind() -> str:
    """Return the method of the model that the person called."""
    for frame, _, function in stack_names():
        if function == "fit_generator":
            return "fit_generator"
        if is_persons(frame.f_code.co_filename):
            break
    return "fit"


def as_delivered(part: np.ndarray, source: Any) -> np.ndarray:
    """Return an array with the dtype in which `fit` delivers it: only a Dataset keeps float64."""
    return part if part.dtype != np.float64 or is_dataset(source) else part.astype("float32")


def record_fit(model: Any, arguments: dict[str, Any]) -> None:
    """Record a call of `fit`, as far as its training begins."""
    refuse_overrides(keras_of(model), model)
    Network._refuse_several(model)
    kind, epochs = called_kind(), int(arguments.get("epochs") or 1)
    begin = int(arguments.get("initial_epoch") or 0)
    order, validation = training_order(arguments)
    first = order.batches[0].first(order.batch_size)
    recording = Recording(model, kind, first, first.weight is not None or arguments.get("class_weight") is not None)
    split = float(arguments.get("validation_split") or 0)
    by_split = bool(split) and arguments.get("validation_data") is None and validation is not None
    recording.add_rows(
        order,
        epochs - begin,
        validation,
        validation="split" if by_split else "data" if validation is not None else None,
        validation_split=split if by_split else 0.0,
        class_weight=class_weights(arguments.get("class_weight")),
    )
    if begin:
        HOOK.note(f"initial_epoch is {begin}: {epochs - begin} of {epochs} epochs are trained.")
    if arguments.get("validation_freq") not in (None, 1):
        HOOK.note(f"validation_freq={arguments['validation_freq']} is left out: whichfix validates after each epoch.")
    callbacks = arguments.get("callbacks")
    callbacks = getattr(callbacks, "callbacks", callbacks)
    callbacks = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
    for callback in flat(list(callbacks)):
        if type(callback).__name__ not in ("History", "ProgbarLogger", "BaseLogger"):
            recording.json["callbacks"].append(callback_entry(recording.keras, model, callback, epochs))
    columns = {"x": columns_of(arguments["x"]), "y": columns_of(arguments.get("y"))}
    recording.describe_arrays(columns)
    # Keras itself says whether these rows can be trained.
    if not HOOK.run_on and first.y is not None and first.y.dtype.kind not in "US":
        try:
            model.train_on_batch(*(as_delivered(part, arguments["x"]) for part in (first.x, first.y)))
        except Exception as error:
            raise Failed(f"{type(error).__name__}: {first_lines(error)}") from error
    recording.write(str(HOOK.path))


def _fit(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    if HOOK.busy or not HOOK.active:
        return original(self, *args, **kwargs)
    if HOOK.loop is not None:
        HOOK.loop.end()
    HOOK.fits += 1
    bound = inspect.signature(original).bind(self, *args, **kwargs)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    arguments.pop("self", None)
    HOOK.busy = True
    try:
        if HOOK.fits == HOOK.number:
            guarded(record_fit, self, arguments, goes_on=HOOK.run_on)
            if HOOK.run_on:
                run_on(original, self, arguments)
        return original(self, *args, **kwargs)
    finally:
        HOOK.busy = False


def guarded(function: Callable[..., Any], *arguments: Any, goes_on: bool) -> None:
    """Call a function of the hook, and report how the recording ended unless it `goes_on`."""
    line = persons_line()
    try:
        function(*arguments)
    except Refused as refusal:
        report = {"refused": str(refusal), "line": refusal.line or line}
    except Failed as failure:
        frames = persons_frames()
        outer = frames[1].f_lineno if len(frames) > 1 and frames[0].f_code.co_name != "<module>" else None
        report = {"failed": str(failure), "line": line, "called_from": outer}
    except Exception as error:
        report = {"refused": f"the hook cannot read this training ({type(error).__name__}: {first_lines(error)})",
                  "line": line}  # fmt: skip
        if os.environ.get("WHICHFIX_DEBUG"):
            raise
    else:
        if goes_on:
            return
        report = {"recorded": True, "history": None}
    HOOK.finish(report)


def run_on(original: Any, model: Any, arguments: dict[str, Any]) -> None:
    """Train as the script wrote it, and report the history."""
    batches, rest = HOOK.read_batches, arguments["x"]

    def again() -> Iterator[Any]:
        for batch in batches:
            yield tuple(batch.parts())
        yield from rest

    if batches:
        arguments = {**arguments, "x": again()}
    history = original(model, **arguments)
    values = {name: [float(value) for value in each] for name, each in history.history.items()}
    HOOK.finish({"recorded": True, "history": values})


# ---------------------------------------------------------------------------------------------------------------------
# Loops of train_on_batch


class Loop:
    """The training of one model by calls of `train_on_batch`, which goes on while its loop turns."""

    def __init__(self, model: Any, first: Batch, wanted: bool, weighted: bool):
        self.model, self.wanted = model, wanted
        self.line = persons_line()
        self.began = time.monotonic()
        self.batches: list[Batch] = []
        self.known: dict[str, Batch] = {}
        self.size = 0
        self.calls = 0
        self.class_weight: Any = None
        self.rate = current_rate(model)
        self.optimizer = model.optimizer
        self.recording = Recording(model, "train_on_batch", first, weighted) if wanted else None
        # The innermost loop around the call tells whether two networks are trained in turn.
        self.inner: tuple[types.FrameType, ast.For | ast.While, int] | None = None
        outermost: tuple[types.FrameType, ast.For | ast.While] | None = None
        for frame in persons_frames():
            loops = loops_around(frame)
            if loops:
                self.inner = self.inner or (frame, loops[-1], frame.f_lineno)
                outermost = (frame, loops[0])
        if outermost is not None:
            self._watch(*outermost)

    def _watch(self, frame: types.FrameType, loop: ast.For | ast.While) -> None:
        """Let `end` be called when `frame` leaves the lines of the loop."""
        before, first, last = sys.gettrace(), loop.lineno, loop.body[-1].end_lineno or loop.lineno

        raised = [False]

        def trace(frame: types.FrameType, event: str, _: Any) -> Any:
            if event == "return" and raised[0]:
                # An error leaves the function: the training has failed, unless the script goes on.
                frame.f_trace = None
                sys.settrace(before)
                if HOOK.finish is finish_in_notebook:
                    HOOK.loop = None
                return None
            raised[0] = event == "exception"
            if event == "return" or (event == "line" and not first <= frame.f_lineno <= last):
                frame.f_trace = None
                sys.settrace(before)
                self.end()
                return None
            return trace

        frame.f_trace = trace
        # A frame is traced only while tracing is on; other functions are not traced.
        sys.settrace(lambda *_: None)

    def add(self, batch: Batch, class_weight: Any) -> None:
        """Keep a batch that is about to be trained."""
        if self.model.optimizer is not self.optimizer or current_rate(self.model) != self.rate:
            raise Refused(f"line {persons_line()} trains in a loop that changes the optimizer or its learning rate: "
                          "whichfix cannot follow it")  # fmt: skip
        if self.calls and class_weight != self.class_weight:
            raise Refused(f"line {persons_line()} trains with other class weights from call to call")
        self.class_weight = class_weight
        self.calls += 1
        key = "".join(digest(part) for part in batch.parts())
        if key not in self.known:
            # The script may write the next batch into the same array.
            self.known[key] = batch.picked(slice(None), copy=True)
            self.size += batch.size()
            if self.size > HOOK.max_bytes:
                raise Refused(f"the loop trains on more than {HOOK.max_bytes / 1e9:g} GB")
        self.batches.append(self.known[key])

    def is_due(self) -> bool:
        """Return whether the loop has gone on for as long as allowed."""
        late = time.monotonic() - self.began > HOOK.calls_seconds or self.calls >= MOST_BATCHES
        return late and not HOOK.run_on

    def other(self, model: Any) -> None:
        """Take notice that another model is trained; refuse two that are trained in turn."""
        if self.inner is not None:
            frame, loop, line = self.inner
            inside = any(each is frame for each in persons_frames())
            body = loop.body[-1].end_lineno or loop.lineno
            if inside and loop.lineno <= frame.f_lineno <= body and (frame.f_lineno != line or self.calls == 1):
                raise Refused(f"lines {line} and {frame.f_lineno} train two networks in turn: whichfix trains one")
        self.end()

    def end(self, partial: str | None = None) -> None:
        """Write the recording of the calls so far and report."""
        HOOK.loop = None
        if not self.wanted or self.recording is None:
            return
        busy, HOOK.busy, HOOK.trained_line = HOOK.busy, True, self.line
        try:
            guarded(self._record, self.recording, partial, goes_on=HOOK.run_on)
            if HOOK.run_on:
                rows = Order(self.batches, len(self.batches[0].x)).rows()
                loss = flat(self.model.evaluate(rows.x, rows.y, verbose=0))[0]
                HOOK.finish({"recorded": True, "history": {"loss": [float(loss)]}})
        finally:
            HOOK.busy, HOOK.trained_line = busy, None

    def _record(self, recording: Recording, partial: str | None) -> None:
        order = stream_order(self.batches, whole=True)
        if order is None:
            raise Refused("the loop trains rows in an order that whichfix cannot follow")
        recording.json["call"]["calls"] = self.calls
        recording.json["partial"] = partial
        if order.rest:
            HOOK.note(f"The last {order.rest} of {self.calls} calls fill no pass and are left out.")
        recording.add_rows(order, order.passes, None, class_weight=class_weights(self.class_weight))
        recording.describe_arrays({})
        recording.write(str(HOOK.path))


def _train_on_batch(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    if HOOK.busy or not HOOK.active:
        return original(self, *args, **kwargs)
    bound = inspect.signature(original).bind(self, *args, **kwargs)
    bound.apply_defaults()
    HOOK.busy = True
    try:
        guarded_step(self, dict(bound.arguments))
        return original(self, *args, **kwargs)
    finally:
        HOOK.busy = False


def guarded_step(model: Any, arguments: dict[str, Any]) -> None:
    """Add a call of `train_on_batch` to its loop; report if the recording ends."""
    guarded(_step, model, arguments, goes_on=True)
    loop = HOOK.loop
    if loop is not None and loop.is_due():
        loop.end(f"stopped after {loop.calls} calls of train_on_batch")


def _step(model: Any, arguments: dict[str, Any]) -> None:
    batch = Batch(arguments["x"], arguments.get("y"), arguments.get("sample_weight"))
    if batch.y is None:
        raise Refused(f"line {persons_line()} trains without targets (y)")
    if HOOK.loop is not None and HOOK.loop.model is not model:
        HOOK.loop.other(model)
    if HOOK.loop is None:
        HOOK.fits += 1
        weighted = batch.weight is not None or arguments.get("class_weight") is not None
        HOOK.loop = Loop(model, batch, HOOK.fits == HOOK.number, weighted)
    if HOOK.loop.wanted:
        HOOK.loop.add(batch, arguments.get("class_weight"))


# ---------------------------------------------------------------------------------------------------------------------
# Notebooks


def finish_in_notebook(report: dict[str, Any]) -> None:
    """End the cell with what became of the recording."""
    HOOK.active = False
    if "recorded" in report:
        name = os.path.splitext(os.path.basename(str(HOOK.path)))[0]
        raise Recorded(f"{HOOK.path} was written. Next: python -m stages add {name} {HOOK.path}")
    if "refused" in report:
        raise Refused(report["refused"], report["line"])


HOOK = Hook()


def next_fit(path: str, fit: int = 1, max_bytes: int = 2_000_000_000, calls_seconds: float = 60.0) -> None:
    """Record the next training, or number `fit` from now, to `path`.

    Call it before the cells that build the data and the network if you can: then the hook also sees how a Dataset is
    shuffled and whether weights are set. A loop of `train_on_batch` is recorded for at most `calls_seconds`.
    """
    HOOK.path, HOOK.number, HOOK.fits = os.path.abspath(path), fit, 0
    HOOK.max_bytes, HOOK.calls_seconds = max_bytes, calls_seconds
    HOOK.active, HOOK.busy, HOOK.loop, HOOK.notes = True, False, None, []
    tf = sys.modules.get("tensorflow")
    if tf is not None:
        watch_tensorflow(tf)
        watch_keras(tf.keras)
    for name in ("keras", "tf_keras"):
        if name in sys.modules:
            watch_keras(sys.modules[name])
    if not HOOK.kerases:
        watch_keras(importlib.import_module("keras"))
