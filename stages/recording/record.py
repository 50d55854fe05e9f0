"""The hook: read what a Keras script trains when training starts, and write it to one file.

The file imports nothing of whichfix and needs only NumPy and Keras (Keras 3, tf-keras or Keras 2), so it also runs in
your own environment. In a notebook, copy this file beside the notebook, then::

    import record
    record.next_fit("my_case.zip")     # best before the cells that build the data and the network
    model.fit(...)                     # as before: the file is written and the cell ends

``python -m stages add my_case my_case.zip`` makes a case of the file. `child.py` uses the hook to record a script.

Contents, in the order in which a recording uses them:

1. How a recording ends             Refused, Failed, Recorded, guarded
2. State of the hook                Hook, next_fit
3. Lines of the person's files      is_persons, persons_line, loops_around
4. Values as plain JSON             short_float, plain, to_numpy
5. Watching Keras and TensorFlow    watch_keras, watch_tensorflow
6. The network                      Network
7. Optimizer, loss and callbacks    optimizer_entry, loss_entry, callback_entry
8. Rows and their order             batch_of, Order, stream_order
9. What `fit` is passed             training_order
10. How often the script trains     trained_by, several_fits
11. The recording                   Recording
12. Calls of `fit`                  record_fit
13. Loops of `train_on_batch`       Loop
"""

# ruff: noqa: B905 (Python 3.9 has no `zip(strict=...)`)

from __future__ import annotations

import ast
import collections
import contextlib
import dis
import functools
import hashlib
import importlib
import inspect
import io
import itertools
import json
import linecache
import math
import platform
import re
import sys
import sysconfig
import time
import types
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# --- 1. How a recording ends ---


class Refused(Exception):  # noqa: N818, a name for the person
    """A training that cannot be recorded: the line of the person's script, and the reason in words."""

    def __init__(self, reason: str, line: int | None = None):
        self.line = line or persons_line()
        super().__init__(f"line {self.line}: {reason}" if self.line and not reason.startswith("line") else reason)

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints instead of a traceback."""
        return [f"Not recorded: {self}"]


class Failed(Exception):  # noqa: N818, not an error of the hook
    """An error of Keras that the person's own training would raise."""


class Recorded(BaseException):
    """The end of a cell whose training was recorded. `except Exception` does not catch it."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints instead of a traceback."""
        return [str(self)]


def first_lines(error: BaseException) -> str:
    """Return the beginning of an error's text."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if lines and lines[0].startswith("in user code"):
        # TensorFlow puts lines of its own before the error.
        lines = [line for line in lines if re.match(r"\w+(Error|Exception): ", line)] or lines[-1:]
    return " ".join(lines[:4])[:600]


@contextlib.contextmanager
def failing() -> Iterator[None]:
    """Turn errors of Keras inside the block into `Failed`."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        raise Failed(f"{type(error).__name__}: {first_lines(error)}") from error


def guarded(function: Callable[..., Any], *arguments: Any, goes_on: bool) -> None:
    """Call a function of the hook, and report how the recording ended unless it `goes_on`."""
    report: dict[str, Any] = {"recorded": True, "history": None}
    try:
        function(*arguments)
        if goes_on:
            return
    except Refused as refusal:
        report = {"refused": str(refusal), "line": refusal.line}
    except Failed as failure:
        frames = persons_frames()
        outer = frames[1].f_lineno if len(frames) > 1 and frames[0].f_code.co_name != "<module>" else None
        report = {"failed": str(failure), "line": persons_line(), "called_from": outer}
    except Exception as error:
        text = f"the hook cannot read this training ({type(error).__name__}: {first_lines(error)})"
        report = {"refused": text, "line": persons_line()}
    finish(report)


def finish(report: dict[str, Any]) -> None:
    """End the recording: a child ends its process, in a notebook the cell ends."""
    if HOOK.finish is not None:
        HOOK.finish(report)
        return
    HOOK.active = False
    if "recorded" in report:
        raise Recorded(f"{HOOK.path} was written. Next: python -m stages add {Path(HOOK.path).stem} {HOOK.path}")
    if "refused" in report:
        raise Refused(report["refused"], report["line"])


# --- 2. State of the hook ---


@dataclass
class Hook:
    """The request for a recording, and everything that was seen so far."""

    path: str = ""
    # The script, and its path as the person wrote it; None in a notebook.
    script: str | None = None
    script_name: str | None = None
    arguments: list[str] = field(default_factory=list)
    number: int = 1  # of the training that is recorded
    max_bytes: float = 2e9
    calls_seconds: float = 60.0
    run_on: bool = False  # the script's own training goes on after it was recorded
    finish: Callable[[dict[str, Any]], None] | None = None  # ends the process; None in a notebook

    active: bool = False
    busy: bool = False  # Keras or the hook is at work: calls are not the person's
    fits: int = 0
    called: collections.Counter[str] = field(default_factory=collections.Counter)
    by_hand: int | None = None  # the line that opens a gradient tape
    old_names: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    kerases: list[Any] = field(default_factory=list)  # the packages of Keras that are watched
    loop: Loop | None = None
    trained_line: int | None = None  # of the loop, while it is recorded after its end
    read_batches: list[Batch] = field(default_factory=list)  # from a generator, which cannot be read again
    _facts: dict[int, tuple[Any, dict[str, Any]]] = field(default_factory=dict)

    def facts(self, thing: Any) -> dict[str, Any]:
        """Return what was seen of an object, to read and to change. The object need not be hashable.

        `line`: the line that created it. `added_loss`: the line of its `add_loss`. `drawn`: the digest of a weight as
        it was drawn. `compiled`: the arguments of `compile`. `decay` of an optimizer of Keras 2. `derivation` of a
        Dataset.
        """
        reference, facts = self._facts.get(id(thing), (None, {}))
        if reference is None or reference() is not thing:
            facts = {}
            self._facts[id(thing)] = (weakref.ref(thing), facts)
        return facts

    def note(self, sentence: str) -> None:
        """Keep a sentence for the person."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Pass over calls of Keras inside the block."""
        before, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = before


HOOK = Hook()


def next_fit(path: str, fit: int = 1, max_bytes: float = 2e9, calls_seconds: float = 60.0) -> None:
    """Record the next training, or number `fit` from now, to `path`.

    Call it before the cells that build the data and the network if you can: then the hook also sees how a Dataset is
    shuffled and whether weights are set. A loop of `train_on_batch` is recorded for at most `calls_seconds`.
    """
    HOOK.path, HOOK.number, HOOK.fits = str(Path(path).absolute()), fit, 0
    HOOK.max_bytes, HOOK.calls_seconds = max_bytes, calls_seconds
    HOOK.active, HOOK.busy, HOOK.loop, HOOK.notes = True, False, None, []
    if "tensorflow" in sys.modules:
        watch_tensorflow(sys.modules["tensorflow"])
        watch_keras(sys.modules["tensorflow"].keras)
    for name in ("keras", "tf_keras"):
        if name in sys.modules:
            watch_keras(sys.modules[name])
    if not HOOK.kerases:
        watch_keras(importlib.import_module("keras"))


# --- 3. Lines of the person's files ---


@functools.cache
def is_persons(filename: str) -> bool:
    """Return whether a file is the person's own: neither a library's nor the hook's."""
    path, here = Path(filename), Path(__file__).absolute().parent
    if not path.is_absolute() or path.suffix not in ("", ".py", ".txt") or "__autograph_generated" in filename:
        return filename.startswith("<ipython-input")
    own = path.parent == here and path.name in ("record.py", "old_names.py", "child.py")
    installed = not {"site-packages", "dist-packages"}.isdisjoint(path.parts)
    return not own and not installed and not path.is_relative_to(sysconfig.get_path("stdlib"))


def stack() -> Iterator[types.FrameType]:
    """Yield the frames of all callers, the deepest first."""
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def persons_frames() -> list[types.FrameType]:
    """Return the frames of the person's files on the stack, the deepest first."""
    return [frame for frame in stack() if is_persons(frame.f_code.co_filename)]


def script_frame() -> types.FrameType | None:
    """Return the deepest frame of the person's script; of another file of the person if the script has none."""
    frames = persons_frames()
    of_script = [frame for frame in frames if HOOK.script in (None, frame.f_code.co_filename)]
    return next(iter([*of_script, *frames]), None)


def persons_line() -> int | None:
    """Return the line of the person's script that runs now or trained last; None outside of it."""
    frame = script_frame()
    return HOOK.trained_line or (frame.f_lineno if frame else None)


def nodes_of(frame: types.FrameType) -> list[Any]:
    """Return the nodes of the syntax tree of a frame's file or cell, outer nodes first; none without a source."""
    try:
        return list(ast.walk(ast.parse("".join(linecache.getlines(frame.f_code.co_filename)))))
    except (SyntaxError, ValueError):
        return []


def statement(frame: types.FrameType) -> str:
    """Return the source of the call that a frame is at, on one line."""
    lines, line = linecache.getlines(frame.f_code.co_filename), frame.f_lineno
    starting = [node for node in nodes_of(frame) if isinstance(node, ast.stmt) and node.lineno == line]
    ends = [node.end_lineno or 0 for node in starting if isinstance(node, (ast.Expr, ast.Assign, ast.Return))]
    text = " ".join(each.strip() for each in lines[line - 1 : max([line, *ends])])
    return text if len(text) <= 300 else text[:297] + "..."


def loops_around(frame: types.FrameType) -> list[ast.For | ast.While]:
    """Return the loops around the line that `frame` is at, inside its function, the outermost first."""
    loops: list[ast.For | ast.While] = []
    for node in nodes_of(frame):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and is_inside(frame, node):
            loops = []
        elif isinstance(node, (ast.For, ast.While)) and is_inside(frame, node):
            loops.append(node)
    return loops


def is_inside(frame: types.FrameType, node: Any) -> bool:
    """Return whether a frame is on a line of a loop or function."""
    return bool(node.lineno <= frame.f_lineno <= node.body[-1].end_lineno)


# --- 4. Values as plain JSON ---


def short_float(value: Any) -> float:
    """Return the shortest decimal that is the same float32; a value that is no float32 stays as it is."""
    number = float(value)
    with np.errstate(over="ignore"):
        single = np.float32(number)
    return float(str(single)) if np.isfinite(single) and float(single) == number else number


def package(thing: Any) -> str:
    """Return the first part of the name of the module that a class, a function or an object's class comes from."""
    kind = thing if isinstance(thing, (type, types.FunctionType, types.BuiltinFunctionType)) else type(thing)
    return str(getattr(kind, "__module__", "") or "").split(".")[0]


def is_own(thing: Any) -> bool:
    """Return whether a class, function or object is not of Keras or TensorFlow."""
    return package(thing) not in ("keras", "tf_keras", "tensorflow", "keras_core")


def name_of(thing: Any) -> str:
    """Return the name of a function, or of an object's class; a name is its own."""
    return thing if isinstance(thing, str) else str(getattr(thing, "__name__", type(thing).__name__))


def plain(value: Any) -> Any:
    """Return a setting as plain JSON; objects of Keras as their class and settings."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return short_float(value)
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict) and "class_name" in value:  # an object as Keras saves it
        config = value.get("config") or {}
        own = {"own": True} if value.get("registered_name") and value.get("module") is None else {}
        return (
            {"class": value["class_name"], "settings": settings_of(config), **own}
            if isinstance(config, dict)
            else config
        )
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if is_tensor(value):
        return plain(to_numpy(value).tolist())
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, functools.partial)):
        return {"class": "function", "own": is_own(value), "name": name_of(value)}
    return described(value)


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration of Keras as plain JSON, without the seed: each run of whichfix has a seed of its own."""
    return {key: plain(value) for key, value in config.items() if key not in ("name", "dtype", "seed")}


def described(thing: Any) -> dict[str, Any]:
    """Return an object of Keras (initializer, regularizer, schedule, ...) as its class and settings."""
    own = {"own": True} if is_own(thing) or not hasattr(thing, "get_config") else {}
    return {"class": type(thing).__name__, "settings": {} if own else settings_of(thing.get_config()), **own}


def is_tensor(value: Any) -> bool:
    """Return whether a value is an array or a tensor."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def to_numpy(value: Any) -> np.ndarray:
    """Return a tensor, variable, table, sparse matrix or list as an array."""
    if hasattr(value, "detach"):  # PyTorch
        value = value.detach().cpu()
    for method in ("toarray", "to_numpy", "numpy"):  # SciPy, pandas, TensorFlow
        if hasattr(value, method):
            return np.asarray(getattr(value, method)())
    return np.asarray(value)


def flat(value: Any) -> list[Any]:
    """Return a nested list, tuple or mapping as a flat list."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [each for inner in value for each in flat(inner)]
    return [] if value is None else [value]


def digest(*values: np.ndarray) -> str:
    """Return a checksum of the shapes and bytes of arrays."""
    found = hashlib.sha1()
    for value in values:
        found.update(str((value.shape, value.dtype)).encode() + np.ascontiguousarray(value).tobytes())
    return found.hexdigest()


# --- 5. Watching Keras and TensorFlow ---


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


def arguments_of(method: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return all arguments of a call of a method by name, with defaults and without `self`."""
    bound = inspect.signature(method).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(itertools.islice(bound.arguments.items(), 1, None))


def watch_keras(keras: Any) -> None:
    """Watch the layers, weights and training of a Keras package from now on."""
    if not hasattr(keras, "Model") or any(known.Model is keras.Model for known in HOOK.kerases):
        return
    HOOK.kerases.append(keras)
    wrap(keras.layers.Layer, "__init__", _init)
    wrap(keras.callbacks.Callback, "__init__", _init)
    wrap(keras.layers.Layer, "add_weight", _add_weight)
    wrap(keras.layers.Layer, "add_loss", _add_loss)
    wrap(keras.Model, "compile", _compile)
    wrap(keras.Model, "fit", _fit)
    wrap(keras.Model, "train_on_batch", _train_on_batch)
    for name in ("evaluate", "predict"):
        wrap(keras.Model, name, functools.partial(_counted, name))


def watch_tensorflow(tf: Any) -> None:
    """Watch the Datasets and gradient tapes of TensorFlow from now on."""
    for name in (
        *("map", "filter", "batch", "padded_batch", "unbatch", "shuffle", "repeat", "prefetch", "cache", "take"),
        *("skip", "with_options", "apply", "concatenate", "flat_map", "interleave", "shard", "window", "enumerate"),
        *("rebatch", "snapshot", "ragged_batch", "take_while", "scan"),
    ):
        wrap(tf.data.Dataset, name, functools.partial(_derive, name))
    wrap(tf.GradientTape, "__init__", _open_tape)


def _init(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    original(self, *args, **kwargs)
    HOOK.facts(self).setdefault("line", persons_line())


def _add_weight(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    variable = original(self, *args, **kwargs)
    # A variable of Keras 3 has no value yet while a function of TensorFlow is traced.
    if getattr(variable, "_value", variable) is not None:
        with contextlib.suppress(Exception):  # nor has a variable of Keras 2
            HOOK.facts(variable)["drawn"] = digest(to_numpy(variable))
    return variable


def _add_loss(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    if is_persons(sys._getframe(2).f_code.co_filename):
        HOOK.facts(self)["added_loss"] = persons_line()
    return original(self, *args, **kwargs)


def _compile(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    HOOK.called["compile"] += not HOOK.busy
    result = original(self, *args, **kwargs)
    HOOK.facts(self)["compiled"] = arguments_of(original, self, *args, **kwargs)
    return result


def _counted(name: str, original: Any, self: Any, /, *args: Any, **kwargs: Any) -> Any:
    HOOK.called[name] += not HOOK.busy
    with HOOK.at_work():
        return original(self, *args, **kwargs)


def _derive(name: str, original: Any, self: Any, /, *args: Any, **kwargs: Any) -> Any:
    dataset = original(self, *args, **kwargs)
    HOOK.facts(dataset)["derivation"] = Derivation(self, name, arguments_of(original, self, *args, **kwargs))
    return dataset


def _open_tape(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    if HOOK.by_hand is None and is_persons(sys._getframe(2).f_code.co_filename):
        HOOK.by_hand = persons_line()
    original(self, *args, **kwargs)


# --- 6. The network ---

# Methods that decide what is trained. If a class overrides one of them, the compiled loss says nothing.
TRAINING_METHODS = ("train_step", "compute_loss", "make_train_function", "train_on_batch", "test_step", "fit_generator")
# Settings that the shapes decide, and settings that are off.
LEFT_OUT = ("name", "dtype", "trainable", "batch_input_shape", "batch_shape", "input_shape", "registered_name")
OFF_BY_DEFAULT = ("lora_rank", "lora_alpha", "quantization_config")
# Random weights and several traces tell what happens between layers, so that no two functions agree by chance.
N_TRACES = 7


class Call(NamedTuple):
    """A call of a layer: what the layer took and what it gave. The output of the model is the last, without a layer."""

    layer: Any
    took: Any
    gave: Any


class Network:
    """The layers of a model in the order in which data passes, as JSON."""

    def __init__(self, model: Any, x: np.ndarray):
        self.model, self.keras = model, keras_of(model)
        self.entries: list[dict[str, Any]] = []
        self.layers: list[tuple[str, Any]] = []  # the layers of the entries, and their names
        # The layers get their weights when data passes for the first time.
        run_model(model, x, training=False)
        traces = [self._trace(x, seed) for seed in range(N_TRACES)]
        for layer in model._flatten_layers():
            if "added_loss" in HOOK.facts(layer):
                raise Refused(f"{layer.name} adds a loss of its own (add_loss)", HOOK.facts(layer)["added_loss"])
        layers = [[call.layer for call in trace] for trace in traces]
        if any(each != layers[0] for each in layers):
            raise Refused("the network does not always use the same layers")
        if len(layers[0]) == 1:
            raise Refused(f"{type(model).__name__} is a network without layers of Keras")
        self._follow(x, traces)
        metrics = [each for metric in getattr(model, "metrics", []) for each in getattr(metric, "variables", [])]
        known = {id(each) for each in [*metrics, *(each for _, layer in self.layers for each in layer.weights)]}
        outside = [variable_part(each) for each in model.trainable_weights if id(each) not in known]
        if outside:
            raise Refused(f"the network has weights outside of its line of layers: {', '.join(outside[:4])}")

    def weights(self) -> Iterator[tuple[str, Any, Any]]:
        """Yield the weights of floats: the name in the file, the layer and the variable."""
        for name, layer in self.layers:
            if type(layer).__name__ != "Normalization":
                for variable in filter(is_weight, layer.weights):
                    yield f"weights/{name}.{variable_part(variable)}", layer, variable

    def _trace(self, x: np.ndarray, seed: int) -> list[Call]:
        """Return the calls of the layers with random weights; with zeros, different layers would give the same."""
        random = np.random.RandomState(seed)
        variables = list(getattr(self.model, "variables", self.model.weights))
        before = [to_numpy(variable).copy() for variable in variables]
        try:
            for variable in variables:
                if is_weight(variable) and variable_part(variable) in ("kernel", "bias", "embeddings"):
                    shape = tuple(variable.shape)
                    variable.assign(random.normal(0, 1 / np.sqrt(shape[0] if len(shape) > 1 else 9), shape))
            return calls_of(self.keras, self.model, x)
        finally:
            for variable, value in zip(variables, before):
                variable.assign(value)

    def _follow(self, x: np.ndarray, traces: list[list[Call]]) -> None:
        """Add the layers and what happens between them; refuse a network whose layers are not in a line."""
        kinds = ", ".join(dict.fromkeys(type(call.layer).__name__ for call in traces[0][:-1]))
        before: list[Any] = [x] * len(traces)
        for calls in zip(*traces):
            layer, took, gave = calls[0]
            kind = type(layer).__name__
            problem = f"{kind} does not take what the layer before it gives"
            if not is_tensor(took) or not is_tensor(gave):
                raise Refused(f"not a line of layers: {kind} takes or gives several tensors ({kinds})")
            if layer is None:
                problem = "its output is not what its last layer gives"
            elif layer.weights and any(each is layer for _, each in self.layers):
                raise Refused(f"the network uses the layer {layer.name} twice")
            # Keras makes a column of inputs of one axis.
            if self.layers or x.ndim > 1 or to_numpy(took).size != x.size:
                self._link(list(zip(before, (call.took for call in calls))), f"{problem} ({kinds})")
            if layer is not None:
                self._add(layer, sizes(took), sizes(gave))
            before = [call.gave for call in calls]

    def _link(self, pairs: list[tuple[Any, Any]], problem: str) -> None:
        """Add the activation or flattening that turns the first tensor of each pair into the second."""
        if all(are_equal(before, after) for before, after in pairs):
            return
        took, gave = (sizes(tensor) for tensor in pairs[0])
        flattened = [(to_numpy(before).reshape(len(before), -1), after) for before, after in pairs]
        if len(took) > 1 and all(are_equal(*pair) for pair in flattened):
            self._append("flatten", "Flatten", {}, took, gave)
            return
        name = activation_between(self.keras, pairs) if self.entries else None
        if name is None:
            raise Refused(f"the network is not a line of layers: {problem}")
        self._append("activation", "Activation", {"activation": name}, took, gave)

    def _add(self, layer: Any, took: list[int], gave: list[int]) -> None:
        computed = str(getattr(layer, "compute_dtype", "float32"))
        if "float" in computed and computed != "float32":
            raise Refused(f"the layer {layer.name} computes in {computed}; whichfix computes in float32")
        settings = layer_settings(self.keras, layer)
        if settings.get("axis") in ([-1], [len(took)]):
            settings["axis"] = -1
        name = self._append(layer.name, type(layer).__name__, settings, took, gave, layer)
        self.layers.append((name, layer))

    def _append(
        self, name: str, kind: str, settings: dict[str, Any], took: list[int], gave: list[int], layer: Any = None
    ) -> str:
        """Add an entry, and return its name, which no other entry has."""
        if any(entry["name"] == name for entry in self.entries):
            name = f"{name}_{sum(entry['class'] == kind for entry in self.entries)}"
        line = None if layer is None else HOOK.facts(layer).get("line")
        entry = {"name": name, "class": kind, "own": is_own(layer) if layer is not None else False, "line": line}
        shapes = {"input_shape": took, "output_shape": gave}
        self.entries.append({**entry, "settings": settings, **shapes, "trainable": getattr(layer, "trainable", True)})
        return name


def keras_of(model: Any) -> Any:
    """Return the Keras package that a model belongs to."""
    return next(keras for keras in HOOK.kerases if isinstance(model, keras.Model))


def refuse_model(model: Any) -> None:
    """Refuse a model whose class says itself how it is trained, and a model with several inputs or outputs."""
    own = set(vars(model)).union(*(vars(kind) for kind in type(model).__mro__ if is_own(kind)))
    for name in TRAINING_METHODS:
        if name in own:
            kind = type(model).__name__
            raise Refused(f"trains {kind}, a class with its own {name}, which need not train the compiled loss")
    for word in ("input", "output"):
        names = [str(each.name).split(":")[0].split("/")[0] for each in flat(getattr(model, f"{word}s", None))]
        if len(names) > 1:
            text = f"the network has {len(names)} {word}s ({', '.join(names)})"
            raise Refused(f"{text}; whichfix trains networks with one {word}")


def run_model(model: Any, x: np.ndarray, training: bool) -> Any:
    """Return the output of a model; its `call` need not have the argument `training`."""
    takes_training = "training" in inspect.signature(model.call).parameters
    return model(x, training=training) if takes_training else model(x)


def calls_of(keras: Any, model: Any, x: np.ndarray) -> list[Call]:
    """Run the model on a few rows, and return the calls of its layers in order, and its output as the last."""
    original = keras.layers.Layer.__call__
    calls: list[Call] = []
    inside = False

    @functools.wraps(original)
    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal inside
        if inside or is_container(keras, layer) or type(layer).__name__ == "InputLayer":
            return original(layer, *args, **kwargs)
        inside = True
        try:
            output = original(layer, *args, **kwargs)
        finally:
            inside = False
        tensors = [each for each in args if each is not None]
        calls.append(Call(layer, tensors[0] if len(tensors) == 1 else tensors, output))
        return output

    keras.layers.Layer.__call__ = call
    try:
        output = flat(run_model(model, x, training=True))
    finally:
        keras.layers.Layer.__call__ = original
    if len(output) != 1:
        raise Refused(f"the network has {len(output)} outputs; whichfix trains networks with one output")
    return [*calls, Call(None, output[0], output[0])]


def is_container(keras: Any, layer: Any) -> bool:
    """Return whether a layer only holds other layers, which are recorded in its place."""
    has_layers = is_own(layer) and bool(list(layer._flatten_layers(include_self=False, recursive=False)))
    return has_layers or isinstance(layer, keras.Model)


def sizes(tensor: Any) -> list[int]:
    """Return the shape of a tensor without the batch."""
    return [int(size) for size in tensor.shape[1:]]


def are_equal(first: Any, second: Any) -> bool:
    """Return whether two tensors are the same one, or have the same values."""
    if first is second:
        return True
    a, b = to_numpy(first), to_numpy(second)
    return a.shape == b.shape and bool(np.array_equal(a.astype(b.dtype), b, equal_nan=b.dtype.kind == "f"))


def activation_between(keras: Any, pairs: list[tuple[Any, Any]]) -> str | None:
    """Return the name of Keras's activation that turns the first tensor of each pair into the second."""
    # Short names are the usual ones: elu rather than celu, relu rather than relu6.
    for name in sorted(dir(keras.activations), key=len):
        with contextlib.suppress(Exception):  # not a function of tensors, or not of this shape
            values = [(to_numpy(getattr(keras.activations, name)(before)), to_numpy(after)) for before, after in pairs]
            if all(a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in values):
                return name
    return None


def named_activation(keras: Any, function: Any) -> Any:
    """Return an activation by the name of the function of Keras that gives the same, else as an own function."""
    name = name_of(function)
    if function is None or getattr(keras.activations, name, None) is function:
        return function and name
    if isinstance(function, keras.layers.Layer):
        return described(function)
    # Values on both sides of the bends of relu6 and the hard sigmoids.
    tensor = tensor_of(keras, (np.linspace(-8, 8, 63).reshape(7, 9) + 0.01).astype("float32"))
    found = None
    with contextlib.suppress(Exception):  # any error of the person's function
        found = activation_between(keras, [(tensor, function(tensor))])
    return found or {"class": "function", "own": True, "name": name}


def tensor_of(keras: Any, values: np.ndarray) -> Any:
    """Return an array as a tensor of Keras."""
    return (keras.ops.convert_to_tensor if hasattr(keras, "ops") else keras.backend.constant)(values)


def layer_settings(keras: Any, layer: Any) -> dict[str, Any]:
    """Return the settings of a layer as JSON; none if the layer does not tell them: it is refused by its name."""
    config: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    with contextlib.suppress(Exception):
        config = layer.get_config()
    for key, value in config.items():
        if key in LEFT_OUT or (value is None and key in OFF_BY_DEFAULT):
            continue
        if key == "activation":
            settings[key] = named_activation(keras, getattr(layer, key, value))
        else:
            is_object = key.endswith(("initializer", "regularizer", "constraint"))
            settings[key] = plain(getattr(layer, key, value) if is_object else value)
    if type(layer).__name__ == "Normalization":
        settings.update({key: plain(to_numpy(getattr(layer, key)).ravel()) for key in ("mean", "variance")})
    return settings


def variable_part(variable: Any) -> str:
    """Return the last part of a variable's name, such as ``kernel``."""
    return str(getattr(variable, "path", None) or variable.name).split("/")[-1].split(":")[0]


def is_weight(variable: Any) -> bool:
    """Return whether a variable is a weight of floats, not a counter or the state of a random generator."""
    return "float" in str(variable.dtype) and "seed" not in variable_part(variable)


def is_drawn(layer: Any, variable: Any) -> bool:
    """Return whether a variable still has the values that its initializer drew."""
    value, drawn = to_numpy(variable), HOOK.facts(variable).get("drawn")
    if drawn is not None:
        return bool(drawn == digest(value))
    # The hook came after the layer was built, as in a notebook. In Keras 3 an initializer draws the same again.
    initializer = getattr(layer, variable_part(variable) + "_initializer", None)
    if initializer is not None and np.array_equal(to_numpy(initializer(value.shape, dtype="float32")), value):
        return True
    HOOK.note("The hook did not see all weights drawn: call next_fit before the network is built.")
    return False


# --- 7. Optimizer, loss and callbacks ---

# Callbacks of Keras that change nothing in the training.
HARMLESS = (
    *("ModelCheckpoint", "TensorBoard", "CSVLogger", "History", "ProgbarLogger", "BaseLogger", "RemoteMonitor"),
    *("BackupAndRestore", "TerminateOnNaN", "TqdmCallback"),
)
WATCHING = {
    "EarlyStopping": ("monitor", "patience", "mode", "baseline", "restore_best_weights", "start_from_epoch"),
    "ReduceLROnPlateau": ("monitor", "factor", "patience", "mode", "cooldown", "min_lr"),
}
# An own callback changes the training if it sets one of these attributes, or names one of these methods.
SET_ATTRIBUTES = ("stop_training", "learning_rate", "lr", "trainable", "rate", "momentum")
CHANGING_METHODS = (
    *("set_weights", "set_value", "assign", "assign_add", "assign_sub", "load_weights", "stop_training", "setattr"),
    *("apply_gradients", "train_on_batch", "fit"),
)
# Losses of Keras that an own function may equal.
LOSSES = (
    *("MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "LogCosh"),
    *("Huber", "Poisson", "KLDivergence", "Hinge", "SquaredHinge", "CategoricalHinge", "CosineSimilarity"),
    *("BinaryFocalCrossentropy", "CategoricalFocalCrossentropy"),
)
LOSSES_OF_LOGITS = ("BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy")


def compiled(model: Any, key: str) -> list[Any]:
    """Return the losses, weights of losses or metrics that a model was compiled with."""
    arguments = HOOK.facts(model).get("compiled")
    if arguments is None:  # compiled before the hook came
        config: dict[str, Any] = getattr(model, "get_compile_config", dict)() or {}
        arguments = {**config, "loss": getattr(model, "loss", None)}
    return flat(arguments.get(key))


def optimizer_entry(keras: Any, model: Any) -> dict[str, Any]:
    """Return the optimizer of a compiled model as JSON; refuse a state that a new training cannot have."""
    optimizer = model.optimizer
    kind, steps = type(optimizer).__name__, int(to_numpy(optimizer.iterations))
    settings, decay = settings_of(optimizer.get_config()), HOOK.facts(optimizer).get("decay")
    rate = settings.setdefault("learning_rate", settings.pop("lr", None))
    if decay is not None:
        settings.update(learning_rate=rate["settings"]["initial_learning_rate"], decay=short_float(decay))
    elif isinstance(rate, dict):
        rate["own"] = not hasattr(keras.optimizers.schedules, rate["class"])
    if steps and (kind != "SGD" or settings.get("momentum") or isinstance(rate, dict)):
        raise Refused(f"trains a network further: whichfix cannot start {kind} from its state after {steps} steps")
    if steps:
        HOOK.note(f"The optimizer is at step {steps}; whichfix starts it anew, which is the same for plain SGD.")
    return {"class": kind, "own": is_own(optimizer), "settings": settings, "steps_done": steps}


def current_rate(model: Any) -> float | None:
    """Return the learning rate of a model's optimizer; None for a schedule."""
    with contextlib.suppress(TypeError, ValueError):
        return short_float(to_numpy(getattr(model.optimizer, "learning_rate", None)))
    return None


def loss_entry(keras: Any, model: Any, batch: Batch, last: str, weighted: bool) -> dict[str, Any]:
    """Return the loss of a compiled model as JSON: by name, as a class with settings, or as an own function.

    `batch` holds the first rows, `last` is the activation of the last layer; `weighted` says that rows have weights.
    """
    losses = compiled(model, "loss")
    if compiled(model, "loss_weights") not in ([], [1]):
        raise Refused("the loss has a weight (loss_weights); whichfix has none")
    if len(losses) != 1:
        raise Refused(f"the network was compiled with {len(losses)} losses; whichfix trains networks with one loss")
    loss = losses[0]
    name, entry = name_of(loss), {"own": False, "settings": {}, "line": None}
    if isinstance(loss, str):
        return {**entry, "name": loss}
    if package(loss) != "tensorflow" and not is_own(loss):
        if not isinstance(loss, keras.losses.Loss):
            return {**entry, "name": name}
        if not is_own(getattr(loss, "fn", loss)):
            return {**entry, **loss_described(loss)}
    code = getattr(loss, "__code__", None)
    entry["line"] = code.co_firstlineno if code and is_persons(code.co_filename) else None
    # A function that returns the loss of the whole batch weighs all rows alike.
    known = None if weighted else known_loss(keras, model, loss, batch, last)
    return {**entry, **known, "own_name": name} if known else {**entry, "name": name, "own": True}


def known_loss(keras: Any, model: Any, loss: Any, batch: Batch, last: str) -> dict[str, Any] | None:
    """Return the loss of Keras that gives what an own one gives for the first batch and for three random ones."""
    candidates = [getattr(keras.losses, name)() for name in LOSSES if hasattr(keras.losses, name)]
    for name, logits in itertools.product(LOSSES_OF_LOGITS, (False, True)):
        candidates.append(getattr(keras.losses, name)(from_logits=logits))
    wrapper = next(kind for kind in keras.losses.MeanSquaredError.__mro__ if kind.__name__ == "LossFunctionWrapper")
    x, y = batch[:2]
    pairs = [(y, to_numpy(model(x)))]
    random = np.random.RandomState(7)
    for _ in range(3):
        output = random.normal(0, 1.5, pairs[0][1].shape)
        if last == "softmax":
            output = np.exp(output) / np.exp(output).sum(-1, keepdims=True)
        elif last == "sigmoid":
            output = 1 / (1 + np.exp(-output))
        pairs.append((y[random.permutation(len(y))], output.astype("float32")))

    def values_of(function: Any) -> list[float]:
        with contextlib.suppress(Exception):  # many losses do not take targets of this shape
            return [float(to_numpy(function(*(tensor_of(keras, each) for each in pair)))) for pair in pairs]
        return [np.nan]

    wanted = values_of(loss if isinstance(loss, keras.losses.Loss) else wrapper(loss))
    for candidate in candidates:
        values = values_of(candidate)
        if np.isfinite(values).all() and np.allclose(values, wanted, rtol=1e-5, atol=1e-7):
            return loss_described(candidate)
    return None


def loss_described(loss: Any) -> dict[str, Any]:
    """Return a loss of Keras as its class and settings."""
    settings = {key: value for key, value in settings_of(loss.get_config()).items() if key != "fn"}
    if settings.get("reduction") == "auto":
        settings["reduction"] = "sum_over_batch_size"
    return {"class": type(loss).__name__, "settings": settings}


def callback_entry(model: Any, callback: Any, epochs: int) -> dict[str, Any]:
    """Return a callback as JSON; refuse an own one that changes the training."""
    kind = type(callback).__name__
    settings: dict[str, Any] = {}
    matters = False
    if is_own(callback) or kind == "LambdaCallback":
        refuse_changes(callback)
    elif kind in WATCHING:
        settings = {key: plain(getattr(callback, key)) for key in WATCHING[kind] if hasattr(callback, key)}
        # Keras turns the sign of min_delta if smaller is better.
        settings["min_delta"] = abs(plain(callback.min_delta))
        direction = {"less": "min", "greater": "max"}.get(name_of(getattr(callback, "monitor_op", None)), "auto")
        settings.setdefault("mode", direction)
        matters = True
    elif kind == "LearningRateScheduler":
        settings["rates"] = scheduled_rates(model, callback.schedule, epochs)
        matters = any(rate != current_rate(model) for rate in settings["rates"])
    else:
        matters = kind not in HARMLESS
    line = HOOK.facts(callback).get("line")
    return {"class": kind, "own": is_own(callback), "settings": settings, "line": line, "matters": matters}


def refuse_changes(callback: Any) -> None:
    """Refuse an own callback that changes the training, or that is an own version of one that does."""
    name, kinds = type(callback).__name__, type(callback).__mro__
    # A LambdaCallback holds its functions as attributes.
    values = itertools.chain(vars(callback).values(), *(vars(kind).values() for kind in kinds if is_own(kind)))
    for function in values:
        change = change_in(function.__code__) if isinstance(function, types.FunctionType) else None
        if change:
            raise Refused(f"the callback {name} changes the training ({change[0]} in line {change[1]})", change[1])
    for kind in kinds:
        if not is_own(kind) and kind.__name__ not in (*HARMLESS, "LambdaCallback", "Callback"):
            raise Refused(f"the callback {name} is an own version of {kind.__name__}")


def change_in(code: types.CodeType) -> tuple[str, int] | None:
    """Return what a callback's code sets that changes the training, and the line; None if it only reads."""
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        # Python 3.13 has the line in `line_number`; before, `starts_line` had it.
        line = getattr(instruction, "line_number", instruction.starts_line) or line
        sets = instruction.opname == "STORE_ATTR" and instruction.argval in SET_ATTRIBUTES
        calls = "LOAD" in instruction.opname and instruction.argval in CHANGING_METHODS
        if sets or calls:
            return str(instruction.argval), line
    inner = (change_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return next(filter(None, inner), None)


def scheduled_rates(model: Any, schedule: Callable[..., Any], epochs: int) -> list[float | None]:
    """Return the learning rate of each epoch by the function of a LearningRateScheduler."""
    rates = [current_rate(model)]
    for epoch in range(epochs):
        try:
            rate = schedule(epoch, rates[-1])
        except TypeError:  # the older form has one argument
            rate = schedule(epoch)
        rates.append(short_float(np.float32(to_numpy(rate))))
    return rates[1:]


# --- 8. Rows and their order ---

# At most so many batches are read from one source.
MOST_BATCHES = 200_000
# Rows of a batch or of a whole table: x, y and perhaps a weight per row.
Batch = tuple[np.ndarray, ...]


def batch_of(*parts: Any) -> Batch:
    """Return x, y and perhaps weights as arrays; refuse what is no table."""
    x, y, weight = (*parts, None, None)[:3]
    if y is None or len(parts) > 3:
        raise Refused("trains on data that is not (x, y) or (x, y, sample_weight)")
    named = (("x", x), ("y", y), ("sample_weight", weight))
    batch = tuple(as_array(value, name) for name, value in named if value is not None)
    if len({len(part) for part in batch}) > 1:
        raise Refused(
            f"x and y have {' and '.join(str(len(part)) for part in batch)} rows: Keras does not train with them"
        )
    return batch


def as_array(value: Any, name: str) -> np.ndarray:
    """Return one input or target as an array; refuse several, and values that are neither numbers nor text."""
    items = list(value.values()) if isinstance(value, dict) else value
    if isinstance(items, (list, tuple)) and len(items) and hasattr(items[0], "shape"):
        # Keras takes a list of arrays as several inputs, and a list of NumPy's numbers as values.
        arrays = [item for item in items if np.ndim(item)]
        if arrays and len(items) > 1:
            names = f" ({', '.join(map(str, value))})" if isinstance(value, dict) else ""
            word = {"x": "inputs", "y": "targets"}.get(name, name)
            raise Refused(f"passes {len(items)} {word}{names}; whichfix trains networks with one")
        value = arrays[0] if arrays else [to_numpy(item) for item in items]
    problem = f"{name}, a {type(value).__name__}, is no table of numbers or text with rows of one length"
    try:
        array = to_numpy(value)
    except ValueError as error:
        raise Refused(problem) from error
    if array.ndim and array.dtype == object:
        values = array.ravel().tolist()
        is_text = all(isinstance(each, (str, bytes)) for each in values)
        if not is_text and not all(isinstance(each, (bool, int, float, np.number, np.bool_)) for each in values):
            raise Refused(problem)
        array = array.astype(str if is_text else float)
    if array.ndim == 0:
        raise Refused(problem)
    return array


def rows_of(batch: Batch, rows: Any) -> Batch:
    """Return some rows, by their numbers or as a slice."""
    return tuple(part[rows] for part in batch)


def bytes_of(batches: Iterable[Batch]) -> int:
    """Return the number of bytes."""
    return sum(part.nbytes for batch in batches for part in batch)


def keys_of(batch: Batch) -> list[int]:
    """Return a hash of each row."""
    tables = [np.ascontiguousarray(part).reshape(len(part), -1) for part in batch]
    return [hash(b"".join(part.tobytes() for part in row)) for row in zip(*tables)]


def joined(batches: list[Batch]) -> Batch:
    """Return the rows of all batches."""
    if len({tuple(part.shape[1:] for part in batch) for batch in batches}) > 1:
        raise Refused("batches with rows of different shapes")
    return batches[0] if len(batches) == 1 else tuple(map(np.concatenate, zip(*batches)))


@dataclass
class Order:
    """Rows to be stored, and the order in which training takes them."""

    batches: list[Batch]
    batch_size: int
    shuffle: Any = False  # True, False, "batches" or {"buffer": rows}
    drop_remainder: bool = False
    steps_per_epoch: int | None = None
    steps: int = 0  # batches per pass
    passes: int = 1  # whole passes that were read
    rest: int = 0  # batches after them

    def __post_init__(self) -> None:
        self.steps = self.steps or len(self.batches)

    @property
    def n_rows(self) -> int:
        """Return the number of rows to be stored."""
        return sum(len(batch[0]) for batch in self.batches)

    def is_full(self) -> bool:
        """Return whether each batch of a pass has as many rows as the first."""
        return self.drop_remainder or self.n_rows == self.steps * self.batch_size


def order_as_read(batches: list[Batch], **settings: Any) -> Order:
    """Return the order of batches as they were read; refuse batches of several sizes, apart from a short last one."""
    lengths = [len(batch[0]) for batch in batches]
    if any(length != lengths[0] for length in lengths[:-1]) or lengths[-1] > lengths[0]:
        raise Refused(f"batches of different sizes ({', '.join(map(str, lengths[:6]))}, ...); whichfix has one size")
    return Order(batches, lengths[0], **settings)


def stream_order(batches: list[Batch], whole: bool) -> Order | None:
    """Return the order of a stream of batches; None if it has not been read far enough to tell.

    If no pass comes again, a `whole` stream is stored as it is: every batch, in order.
    """
    keys = [keys_of(batch) for batch in batches]
    order = order_of(batches, keys, period_of(keys) or steps_without_repetition(keys))
    if order is None and whole:
        order = order_as_read(batches)
        if len(batches) > 1 and len(set(itertools.chain(*keys))) < sum(map(len, keys)):
            drawn = "The rows are drawn anew for each batch"
            HOOK.note(f"{drawn}: the recording holds the {len(batches)} batches of this run, in order.")
    return order


def period_of(keys: list[list[int]]) -> int | None:
    """Return the number of batches after which the same rows come again, in any order; None if they do not."""
    sums = np.cumsum(np.array([0, *(sum(each) % 2**64 for each in keys)], dtype="uint64"))
    for period in range(1, len(keys) // 2 + 1):
        passes = np.diff(sums[::period])
        if (passes == passes[0]).all():
            return period
    return None


def steps_without_repetition(keys: list[list[int]]) -> int:
    """Return the number of batches before the first that has a row of an earlier batch."""
    seen: set[int] = set()
    for number, each in enumerate(keys):
        if seen.intersection(each):
            return number
        seen.update(each)
    return len(keys)


def order_of(batches: list[Batch], keys: list[list[int]], steps: int) -> Order | None:
    """Return the order of passes of `steps` batches each; None if they have no order that whichfix has.

    `keys` are hashes of the rows of each batch.
    """
    n_passes, rest = divmod(len(batches), steps)
    if n_passes < 2:
        return None
    order = order_as_read(batches[:steps], passes=n_passes, rest=rest)
    passes = [keys[start : start + steps] for start in range(0, n_passes * steps, steps)]
    rows = [list(itertools.chain(*each)) for each in passes]
    is_random = all(is_random_order(rows[0], other) for other in rows[1:6])
    if all(sorted(each) == sorted(rows[0]) for each in rows):
        if steps == 1 or all(each == passes[0] for each in passes):
            return order
        if all(sorted(each) == sorted(passes[0]) for each in passes):
            return replace(order, shuffle="batches")
        if is_random:
            return replace(order, shuffle=True)
        raise Refused("the order of the rows changes a little from pass to pass; whichfix shuffles all rows or none")
    # Each pass may be a new permutation without the rows that fill no batch. Three passes or more show all rows.
    known: set[int] = set()
    parts = []
    for number, each in enumerate(keys[: n_passes * steps]):
        new_rows = [row for row, key in enumerate(each) if key not in known]
        if new_rows:
            last_new = number
            parts.append(rows_of(batches[number], new_rows))
        known.update(each)
    n_rows = steps * order.batch_size
    distinct = all(len(set(each)) == len(each) == n_rows for each in rows)
    complete = n_passes >= 3 and last_new < (n_passes - 1) * steps and n_rows < len(known) < n_rows + order.batch_size
    if not (distinct and complete and is_random):
        return None
    return replace(order, batches=parts, shuffle=True, drop_remainder=True)


def is_random_order(first: list[int], second: list[int]) -> bool:
    """Return whether the rows of a second pass have random places in the first, as in a new permutation."""
    places: dict[int, list[int]] = {}
    for place, key in enumerate(first):
        places.setdefault(key, []).append(place)
    found = np.array([places[key].pop() for key in second if places.get(key)])
    if len(found) < 30 or len(places) < 2:
        return True
    steps, error = np.arange(len(found)), 1 / np.sqrt(len(found))
    # A random permutation moves a row by a third of the length on average.
    moved = np.abs(found - steps).mean() / len(found)
    return bool(abs(np.corrcoef(steps, found)[0, 1]) < 5 * error and moved > 1 / 3 - 2 * error)


# --- 9. What `fit` is passed ---


class Collection:
    """Batches from one source, within the limits; a batch that comes again is kept once."""

    def __init__(self, source: str):
        self.source = source
        self.batches: list[Batch] = []
        self._known: dict[str, Batch] = {}
        self._size = 0

    def add(self, batch: Batch) -> None:
        """Add a batch, as a copy: the source may write the next batch into the same array."""
        key = digest(*batch)
        if key not in self._known:
            self._known[key] = tuple(part.copy() for part in batch)
            self._size += bytes_of([batch])
            if self._size > HOOK.max_bytes:
                raise Refused(f"{self.source} has more than {HOOK.max_bytes / 1e9:g} GB")
        self.batches.append(self._known[key])
        if len(self.batches) > MOST_BATCHES:
            raise Refused(f"{self.source} has more than {MOST_BATCHES} batches in one pass")

    def read(self, elements: Iterable[Any], most: int | None = None) -> list[Batch]:
        """Add the next batches of a generator, Dataset or Sequence, at most `most`, and return all batches."""
        for element in itertools.islice(elements, most):
            batch = batch_of(*(element if isinstance(element, (list, tuple)) else [element]))
            if len(batch[0]):
                self.add(batch)
        return self.batches


def read_pass(elements: Iterable[Any], source: str, most: int | None = None) -> list[Batch]:
    """Return the batches of one pass, at most `most`."""
    batches = Collection(source).read(elements, most)
    if not batches:
        raise Refused(f"{source} has no rows")
    return batches


def with_steps(order: Order, steps: int | None, epochs: int, endless: bool = False, blended: bool = False) -> Order:
    """Set the steps per epoch; `endless` if a pass follows the other, `blended` if batches span passes."""
    if steps is not None and not endless and steps > order.steps:
        HOOK.note(f"steps_per_epoch is {steps}, but the data ends after {order.steps} batches, which are an epoch.")
        steps = None
    if steps is None or (steps == order.steps and not blended):
        return order
    ends_evenly = endless or epochs * steps <= order.steps or order.steps % steps == 0
    if not ends_evenly or not (blended or order.is_full()):
        raise Refused(f"trains epochs of {steps} batches, but a pass has {order.steps}, and the last one is short")
    return replace(order, steps_per_epoch=steps)


class Derivation(NamedTuple):
    """How a Dataset was derived from another: the name of the method and its arguments."""

    parent: Any
    name: str
    arguments: dict[str, Any]


def lineage_of(dataset: Any) -> tuple[Any, list[Derivation]]:
    """Return the Dataset that another one goes back to, and the steps between them, as far as the hook saw them."""
    steps: list[Derivation] = []
    while (step := HOOK.facts(dataset).get("derivation")) is not None:
        steps.insert(0, step)
        dataset = step.parent
    return dataset, steps


def derived(dataset: Any, steps: Iterable[Derivation]) -> Any:
    """Return the Dataset that the steps make of another."""
    for step in steps:
        dataset = getattr(dataset, step.name)(**step.arguments)
    return dataset


def dataset_order(dataset: Any, steps: int | None, epochs: int) -> Order:
    """Return the rows of a Dataset and their order; refuse an order that whichfix does not have."""
    root, lineage = lineage_of(dataset)
    names = [step.name for step in lineage]
    counts = [step.arguments["count"] for step in lineage if step.name == "repeat"]
    if counts and steps is None:
        raise Refused("trains on a repeated Dataset without steps_per_epoch")
    if counts and "shuffle" in names[names.index("repeat") :]:
        raise Refused("trains on a Dataset that is repeated before it is shuffled, so that its passes mix")
    if not counts and steps is not None and int(to_numpy(dataset.cardinality())) < 0:
        return read_stream(iter(dataset), steps, epochs, "the Dataset")
    once = [step for step in lineage if step.name != "repeat"]
    # Derived only once: a second Dataset with the same seed begins with the same order.
    dataset = derived(root, once) if counts else dataset
    passes = [read_pass(dataset, "the Dataset") for _ in range(2)]
    if keys_of(joined(passes[0])) == keys_of(joined(passes[1])):
        order = order_as_read(passes[0])
    elif "shuffle" in names:
        order = shuffled_order(root, once)
    else:
        raise Refused("the Dataset has other rows or another order each time, and the hook did not see how it was made")
    if not counts or steps is None:
        return with_steps(order, steps, epochs)
    blended = not order.is_full() and bool({"batch", "padded_batch"} & set(names[names.index("repeat") :]))
    times = np.inf if any(count is None or count < 0 for count in counts) else np.prod(counts)
    most = times * (order.n_rows / order.batch_size if blended else order.steps)
    if epochs * steps > most:
        raise Refused(f"trains {epochs} epochs of {steps} batches on a Dataset that ends after {most:g} batches")
    return with_steps(order, steps, epochs, endless=True, blended=blended)


def shuffled_order(root: Any, lineage: list[Derivation]) -> Order:
    """Return the rows of a shuffled Dataset in the order before its last shuffle, and the buffer of the shuffle."""
    shuffle = next(step for step in reversed(lineage) if step.name == "shuffle")
    place = lineage.index(shuffle)
    before, after = lineage[:place], lineage[place + 1 :]
    names = {step.name for step in after} - {
        "map",
        "prefetch",
        "cache",
        "batch",
        "padded_batch",
        "with_options",
        "apply",
    }
    if names:
        words = ", ".join(sorted(names))
        raise Refused(f"trains on a Dataset with {words} after a shuffle, so that other rows train in each epoch")
    of_batches = any(step.name in ("batch", "padded_batch") for step in before)
    drop = any(step.arguments.get("drop_remainder") for step in lineage)
    if drop and not of_batches:
        # The rows that fill no batch in this pass train in others.
        whole = {"drop_remainder": False}
        after = [s._replace(arguments={**s.arguments, **whole}) if "batch" in s.name else s for s in after]
    base = derived(root, [*before, *after])
    order, again = (order_as_read(read_pass(base, "the Dataset"), drop_remainder=drop) for _ in range(2))
    if drop:
        order.steps = order.n_rows // order.batch_size
    buffer = int(shuffle.arguments["buffer_size"] or -1)
    covers = buffer < 0 or buffer >= (order.steps if of_batches else order.n_rows)
    first, second = (keys_of(joined(each.batches)) for each in (order, again))
    if first != second and not (covers and sorted(first) == sorted(second)):
        raise Refused("trains on a Dataset that is shuffled twice or draws rows anew")
    if of_batches and not covers:
        raise Refused(f"trains on a Dataset that shuffles {order.steps} batches with a buffer of {buffer}")
    order.shuffle = "batches" if of_batches else True if covers else {"buffer": buffer}
    return order


def read_stream(stream: Iterator[Any], steps: int, epochs: int, source: str) -> Order:
    """Return the rows of a generator and their order, reading no further than needed."""
    total, began, collection = steps * epochs, time.monotonic(), Collection(source)
    order = None
    while order is None:
        wanted = min(max(2 * len(collection.batches), 2 * steps), total)
        HOOK.read_batches = batches = collection.read(stream, wanted - len(collection.batches))
        if len(batches) < wanted:
            raise Refused(f"{source} ended after {len(batches)} of {total} batches")
        if time.monotonic() - began > 2 * HOOK.calls_seconds and wanted < total:
            raise Refused(f"{source} has rows that do not come again: {wanted} of {total} batches were read")
        order = stream_order(batches, whole=wanted == total)
    if order.steps == total and epochs > 1 and not any("drawn anew" in note for note in HOOK.notes):
        HOOK.note(f"No row comes again: the recording holds the {total} batches of this run, in order.")
    return with_steps(replace(order, passes=1, rest=0), steps, epochs, endless=True)


def sequence_order(sequence: Any, shuffle: bool) -> Order:
    """Return the rows of a Sequence and their order."""
    source = type(sequence).__name__
    batches: list[Batch] = []
    steps = len(sequence)
    # Four passes tell more than two, but may take too much memory.
    while len(batches) < 2 * steps or (len(batches) < 4 * steps and bytes_of(batches) < HOOK.max_bytes / 4):
        if batches:
            sequence.on_epoch_end()
        batches += read_pass((sequence[number] for number in range(steps)), source)
    order = order_of(batches, [keys_of(batch) for batch in batches], steps)
    if order is None or len(sequence) != steps:
        raise Refused(f"{source} has other rows in each epoch: whichfix cannot follow it")
    if order.shuffle is False and shuffle and steps > 1:
        order.shuffle = "batches"
    return replace(order, passes=1, rest=0)


def array_order(arguments: dict[str, Any]) -> tuple[Order, Batch | None]:
    """Return the rows of arrays passed to `fit` and their order, and the rows that `validation_split` holds out."""
    rows, validation = batch_of(arguments["x"], arguments.get("y"), arguments.get("sample_weight")), None
    split = split_of(arguments)
    if split:
        n_train = int(len(rows[0]) * (1 - split))
        if not 0 < n_train < len(rows[0]):
            raise Refused(f"validation_split={split:g} of {len(rows[0])} rows leaves no rows on one side")
        rows, validation = rows_of(rows, slice(n_train)), rows_of(rows, slice(n_train, None))
    # In Keras 2 `shuffle="batch"` moves whole batches.
    shuffle = "batches" if arguments.get("shuffle") == "batch" else bool(arguments.get("shuffle", True))
    size = int(arguments.get("batch_size") or 32)
    return Order([rows], size, shuffle, steps=-(-len(rows[0]) // size)), validation


def split_of(arguments: dict[str, Any]) -> float:
    """Return the fraction of rows that `fit` holds out for validation."""
    return float(arguments.get("validation_split") or 0) if arguments.get("validation_data") is None else 0.0


def source_of(value: Any) -> str:
    """Return what `fit` was passed: a "Dataset", a "Sequence", a "generator", or "arrays"."""
    tf = sys.modules.get("tensorflow")
    if tf is not None and isinstance(value, tf.data.Dataset):
        return "Dataset"
    if any(isinstance(value, keras.utils.Sequence) for keras in HOOK.kerases):
        return "Sequence"
    return "generator" if hasattr(value, "__next__") and not hasattr(value, "shape") else "arrays"


def training_order(arguments: dict[str, Any]) -> tuple[Order, Batch | None]:
    """Return the rows that `fit` was passed and their order, and the rows that validate."""
    x, steps, validation = arguments["x"], arguments.get("steps_per_epoch"), None
    steps = None if steps is None else int(steps)
    epochs = int(arguments.get("epochs") or 1) - int(arguments.get("initial_epoch") or 0)
    source = source_of(x)
    if source != "arrays" and split_of(arguments):
        raise Refused(f"passes validation_split with a {source}: Keras splits arrays only")
    if source == "Dataset":
        order = dataset_order(x, steps, epochs)
    elif source == "Sequence":
        order = with_steps(sequence_order(x, bool(arguments.get("shuffle", True))), steps, epochs)
    elif source == "generator" and steps is not None:
        order = read_stream(x, steps, epochs, "the generator")
    elif source == "generator":
        if epochs > 1:
            raise Refused(f"trains {epochs} epochs on a generator without steps_per_epoch")
        HOOK.read_batches = read_pass(x, "the generator")
        order = order_as_read(HOOK.read_batches)
    else:
        order, validation = array_order(arguments)
        order = with_steps(order, steps, epochs)
    if arguments.get("validation_data") is not None:
        size = int(arguments.get("validation_batch_size") or arguments.get("batch_size") or 32)
        validation = validation_rows(arguments["validation_data"], arguments.get("validation_steps"), size)
    return order, validation


def validation_rows(data: Any, steps: int | None, batch_size: int) -> Batch:
    """Return the rows of `validation_data` in any of its forms."""
    source = source_of(data)
    if source == "arrays":
        rows = batch_of(*(data if isinstance(data, (list, tuple)) else [data]))
        return rows_of(rows, slice(steps and steps * batch_size))
    is_endless = source == "generator" or (source == "Dataset" and int(to_numpy(data.cardinality())) == -1)
    if steps is None and is_endless:
        raise Refused("validation_data has no end, and validation_steps is missing")
    elements = (data[number] for number in range(len(data))) if source == "Sequence" else data
    return joined(read_pass(elements, "validation_data", steps))


# --- 10. How often the script trains ---


# Functions around the iterable of a loop that keep its length, and calls that run nothing of the person's.
KEEPING_LENGTH = ("enumerate", "list", "tuple", "sorted", "reversed", "zip", "tqdm", "tqdm.tqdm")
HARMLESS_CALLS = re.compile(r"range|xrange|len|int|get_n_splits|\w*(Fold|Split)")


def trained_by() -> tuple[str | None, int | None]:
    """Return which class of scikit-learn's style calls `fit`, inside of what, and how often it will."""
    wrapper = outer = None
    count: int | None = None
    for frame in stack():
        values, function = frame.f_locals, frame.f_code.co_name
        owner = values.get("self")
        name = type(owner).__name__
        if wrapper is None and re.match(r"(Keras|SKLearn)\w*(Classifier|Regressor|Transformer)$|BaseWrapper$", name):
            wrapper = name
        if not str(frame.f_globals.get("__name__")).startswith("sklearn."):
            continue
        if function in ("cross_validate", "cross_val_predict"):
            count = int(values["cv"].get_n_splits(values["X"], values["y"], values.get("groups")))
        if function in ("cross_validate", "cross_val_predict", "cross_val_score"):
            outer = function
        elif function == "evaluate_candidates":
            # A grid search trains each candidate on each split, and the best one once more.
            outer, count = name, values["n_candidates"] * values["n_splits"] + bool(values["self"].refit)
        elif function == "fit" and name == "Pipeline" and outer is None:
            outer = "Pipeline"
    return (" in ".join(filter(None, (wrapper, outer))) or None), count


def turns_of(loop: ast.For | ast.While, frame: types.FrameType) -> int | None:
    """Return how often a loop of the person turns, if its iterable tells it without running anything."""
    if isinstance(loop, ast.While):
        return None
    node = loop.iter
    while isinstance(node, ast.Call) and ast.unparse(node.func) in KEEPING_LENGTH and node.args:
        node = node.args[0]
    if isinstance(node, (ast.List, ast.Tuple)):
        return len(node.elts)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "split":
        # A splitter of scikit-learn.
        node.func.attr = "get_n_splits"
    calls = [ast.unparse(each.func).split(".")[-1] for each in ast.walk(node) if isinstance(each, ast.Call)]
    if not all(HARMLESS_CALLS.fullmatch(name) for name in calls):
        return None
    with contextlib.suppress(Exception):  # such as a name that the loop has changed, or a generator
        value = eval(ast.unparse(node), frame.f_globals, frame.f_locals)
        return value if isinstance(value, int) else len(value)
    return None


def is_fit_call(node: Any, frame: types.FrameType) -> bool:
    """Return whether a call in the script's source looks like the training of a network."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    receiver = ast.unparse(node.func.value)
    value = frame.f_locals.get(receiver, frame.f_globals.get(receiver))
    is_model = any(isinstance(value, keras.Model) for keras in HOOK.kerases)
    words = {"epochs", "nb_epoch", "batch_size", "validation_data", "validation_split", "callbacks", "verbose"}
    has_words = not words.isdisjoint(keyword.arg for keyword in node.keywords)
    return node.func.attr == "fit_generator" or (node.func.attr == "fit" and (is_model or has_words))


def several_fits(count: int | None, in_loop: bool) -> tuple[int | None, str | None]:
    """Return how often the script trains, None if that cannot be told, and a sentence if it is more than once.

    `count` is how often scikit-learn trains. If `train_on_batch` is called `in_loop`, the loops around it train once.
    """
    frame = script_frame()
    if frame is None:
        return count, None
    line = frame.f_lineno
    calls = [node for node in nodes_of(frame) if is_fit_call(node, frame)]
    others = sorted({node.lineno for node in calls if not node.lineno <= line <= (node.end_lineno or 0)})
    turns = [] if in_loop else [turns_of(loop, each) for each in persons_frames() for loop in loops_around(each)]
    total = None if None in turns else math.prod(filter(None, turns)) * (count or 1)
    parts = []
    if turns:
        parts.append(f"line {line} trains {f'{total} times, ' if total else ''}in a loop")
    elif (count or 1) > 1:
        parts.append(f"line {line} trains {count} times")
    if others:
        lines = " and ".join(filter(None, (", ".join(map(str, others[:-1])), str(others[-1]))))
        parts.append(f"{f'line {lines} trains' if len(others) == 1 else f'lines {lines} train'} too")
        total = total and total + len(others)
    if not parts or total == 1:
        return total or 1, None
    which = {1: "the first", 2: "the second", 3: "the third"}.get(HOOK.number, f"number {HOOK.number}")
    return total, f"{', and '.join(parts)}; {which} is recorded"


# --- 11. The recording ---


class Recording:
    """All that is written to the file, gathered in the order in which it becomes known."""

    def __init__(self, model: Any, kind: str, first: Batch, weighted: bool):
        """Describe the network; `first` is the first batch, and `weighted` says that rows have weights."""
        keras, frame = keras_of(model), script_frame()
        tensorflow = getattr(sys.modules.get("tensorflow"), "__version__", None)
        if model.optimizer is None:
            raise Failed("RuntimeError: the model was not compiled")
        by, count = trained_by()
        total, several = several_fits(count, in_loop=kind == "train_on_batch")
        few = rows_of(first, slice(32))
        with failing():
            network = Network(model, few[0])
        drawn = all(is_drawn(layer, variable) for _, layer, variable in network.weights())
        self.arrays = {} if drawn else {name: to_numpy(variable) for name, _, variable in network.weights()}
        output = network.entries[-1]
        last = output["settings"].get("activation") or output["class"].lower()
        script = {"path": HOOK.script_name, "arguments": HOOK.arguments, "line": persons_line()}
        self.json: dict[str, Any] = {
            "format": 1,
            "versions": {
                "python": platform.python_version(),
                "keras": str(getattr(keras, "__version__", tensorflow)),
                "keras_package": keras.__name__.split(".")[0] if keras.__name__.startswith("keras") else keras.__name__,
                "numpy": np.__version__,
                "tensorflow": tensorflow,
            },
            "script": {**script, "text": statement(frame) if frame else ""},
            "call": {"kind": kind, "by": by, "number": HOOK.number, "count": total, "several": several},
            "layers": network.entries,
            "input_shape": network.entries[0]["input_shape"],
            "weights": "initializers" if drawn else "set",
            "optimizer": optimizer_entry(keras, model),
            "loss": loss_entry(keras, model, few, last, weighted),
            "metrics": [str(getattr(each, "name", None) or name_of(each)) for each in compiled(model, "metrics")],
            "callbacks": [],
            "overridden": [],
            "old_names": HOOK.old_names,
            "notes": HOOK.notes,
            "partial": None,
        }

    def add_rows(
        self, order: Order, epochs: int, validating: Batch | None, columns: dict[str, Any], **settings: Any
    ) -> None:
        """Add the rows and how they are trained; `columns` are the names of the columns of x and y."""
        rows = joined(order.batches)
        orders = ("batch_size", "shuffle", "steps_per_epoch", "drop_remainder")
        self.json["fit"] = {
            **{key: getattr(order, key) for key in orders},
            "epochs": epochs,
            "initial_epoch": 0,
            "validation": None,
            "validation_split": 0.0,
            "class_weight": None,
            "sample_weight": len(rows) == 3,
            **settings,
        }
        for suffix, parts in (("", rows), ("_validation", validating or ())):
            self.arrays.update({name + suffix: part for name, part in zip(("x", "y", "sample_weight"), parts)})
        self.json["arrays"] = {
            name: {"dtype": str(array.dtype), "shape": list(array.shape), "columns": columns.get(name)}
            for name, array in self.arrays.items()
            if not name.startswith("weights/")
        }

    def write(self) -> None:
        """Write the file, whole or not at all."""
        size = bytes_of([tuple(self.arrays.values())])
        if size > HOOK.max_bytes:
            raise Refused(f"the arrays have {size / 1e9:.1f} GB; at most {HOOK.max_bytes / 1e9:g} GB are recorded")
        unfinished = Path(f"{HOOK.path}.unfinished")
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as file:
            file.writestr("recording.json", json.dumps(self.json, indent=1, ensure_ascii=False))
            for name, array in self.arrays.items():
                buffer = io.BytesIO()
                np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
                file.writestr(f"{name}.npy", buffer.getvalue())
        unfinished.replace(HOOK.path)


# --- 12. Calls of `fit` ---


def _fit(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    if HOOK.busy or not HOOK.active:
        return original(self, *args, **kwargs)
    if HOOK.loop is not None:
        HOOK.loop.end()
    HOOK.fits += 1
    with HOOK.at_work():
        if HOOK.fits == HOOK.number:
            arguments = arguments_of(original, self, *args, **kwargs)
            guarded(record_fit, self, arguments, goes_on=HOOK.run_on)
            if HOOK.run_on:
                run_on(original, self, arguments)
        return original(self, *args, **kwargs)


def record_fit(model: Any, arguments: dict[str, Any]) -> None:
    """Record a call of `fit` with all its arguments."""
    refuse_model(model)
    epochs, begin = int(arguments.get("epochs") or 1), int(arguments.get("initial_epoch") or 0)
    order, validation = training_order(arguments)
    first = rows_of(order.batches[0], slice(order.batch_size))
    weights, split = arguments.get("class_weight"), split_of(arguments)
    if weights is not None and not isinstance(weights, dict):
        raise Refused(f"passes class_weight={weights!r:.60}: Keras takes a weight per class")
    recording = Recording(model, called_kind(), first, len(first) == 3 or weights is not None)
    recording.add_rows(
        order,
        epochs - begin,
        validation,
        {name: columns_of(arguments.get(name)) for name in ("x", "y")},
        validation=None if validation is None else "split" if split else "data",
        validation_split=split,
        class_weight=None if weights is None else {str(plain(key)): short_float(weights[key]) for key in weights},
    )
    if begin:
        HOOK.note(f"initial_epoch is {begin}: {epochs - begin} of {epochs} epochs are trained.")
    if arguments.get("validation_freq") not in (None, 1):
        HOOK.note(f"validation_freq={arguments['validation_freq']} is left out: whichfix validates after each epoch.")
    callbacks = arguments.get("callbacks")
    for callback in flat(getattr(callbacks, "callbacks", callbacks)):
        if type(callback).__name__ not in ("History", "ProgbarLogger", "BaseLogger"):
            recording.json["callbacks"].append(callback_entry(model, callback, epochs))
    if not HOOK.run_on and first[1].dtype.kind not in "US":
        # Keras itself says whether these rows can be trained. Only a Dataset keeps float64.
        long = "float64" if source_of(arguments["x"]) == "Dataset" else "float32"
        with failing():
            model.train_on_batch(*(part.astype(long) if part.dtype == float else part for part in first[:2]))
    recording.write()


def called_kind() -> str:
    """Return the method of the model that the person called."""
    callers = itertools.takewhile(lambda frame: not is_persons(frame.f_code.co_filename), stack())
    return "fit_generator" if any(frame.f_code.co_name == "fit_generator" for frame in callers) else "fit"


def columns_of(value: Any) -> list[str] | None:
    """Return the names of the columns of a pandas frame or series."""
    if package(value) != "pandas":
        return None
    names = getattr(value, "columns", [getattr(value, "name", None)])
    return [str(name) for name in names] if None not in list(names) else None


def run_on(original: Any, model: Any, arguments: dict[str, Any]) -> None:
    """Train as the script wrote it, and report the history."""
    batches, rest = HOOK.read_batches, arguments["x"]
    if batches:
        # Keras takes generators only, not every iterator.
        arguments = {**arguments, "x": (element for element in itertools.chain(batches, rest))}
    history = original(model, **arguments).history
    finish({"recorded": True, "history": {name: [float(value) for value in each] for name, each in history.items()}})


# --- 13. Loops of `train_on_batch` ---


def _train_on_batch(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    if HOOK.busy or not HOOK.active:
        return original(self, *args, **kwargs)
    with HOOK.at_work():
        guarded(train_step, self, arguments_of(original, self, *args, **kwargs), goes_on=True)
        if HOOK.loop is not None and HOOK.loop.is_due():
            HOOK.loop.end(f"stopped after {len(HOOK.loop.collection.batches)} calls of train_on_batch")
        return original(self, *args, **kwargs)


def train_step(model: Any, arguments: dict[str, Any]) -> None:
    """Add a call of `train_on_batch` to its loop."""
    batch = batch_of(arguments["x"], arguments.get("y"), arguments.get("sample_weight"))
    if arguments.get("class_weight") is not None:
        raise Refused("passes class_weight to train_on_batch; whichfix follows it in fit only")
    if HOOK.loop is not None and HOOK.loop.model is not model:
        if HOOK.loop.turns:
            raise Refused(f"trains another network in the loop that trains the one of line {HOOK.loop.line}")
        HOOK.loop.end()
    if HOOK.loop is None:
        HOOK.fits += 1
        HOOK.loop = Loop(model, batch)
    HOOK.loop.add(batch)


class Loop:
    """The training of one model by calls of `train_on_batch`, which goes on while its loop turns."""

    def __init__(self, model: Any, first: Batch):
        self.model, self.optimizer, self.rate = model, model.optimizer, current_rate(model)
        self.line, self.began = persons_line(), time.monotonic()
        self.collection = Collection("the loop")
        self.recording: Recording | None = None
        if HOOK.fits == HOOK.number:
            refuse_model(model)
            self.recording = Recording(model, "train_on_batch", first, len(first) == 3)
        loops = [(frame, loop) for frame in persons_frames() for loop in reversed(loops_around(frame))]
        self.turns = bool(loops)
        if loops:
            self._watch(*loops[-1])

    def _watch(self, frame: types.FrameType, loop: ast.For | ast.While) -> None:
        """Call `end` when `frame` leaves the lines of the loop."""
        before, raised = sys.gettrace(), False

        def trace(frame: types.FrameType, event: str, _: Any) -> Any:
            nonlocal raised
            inside = event != "return" and (event != "line" or is_inside(frame, loop))
            if inside:
                raised = event == "exception"
                return trace
            frame.f_trace = None
            sys.settrace(before)
            if not (event == "return" and raised):
                self.end()
            elif HOOK.finish is None:
                # An error leaves the cell: the training has failed.
                HOOK.loop = None
            return None

        frame.f_trace = trace
        # A frame is traced only while tracing is on; other functions are not traced.
        sys.settrace(lambda *_: None)

    def add(self, batch: Batch) -> None:
        """Keep a batch that is about to be trained."""
        if self.recording is None:
            return
        if self.model.optimizer is not self.optimizer or current_rate(self.model) != self.rate:
            raise Refused("trains in a loop that changes the optimizer or its learning rate: whichfix cannot follow it")
        self.collection.add(batch)

    def is_due(self) -> bool:
        """Return whether the loop has gone on for as long as allowed."""
        late = time.monotonic() - self.began > HOOK.calls_seconds
        return (late or len(self.collection.batches) >= MOST_BATCHES) and not HOOK.run_on

    def end(self, partial: str | None = None) -> None:
        """Write the recording of the calls so far and report."""
        HOOK.loop = None
        if self.recording is None:
            return
        HOOK.trained_line = self.line
        try:
            with HOOK.at_work():
                guarded(self._record, self.recording, partial, goes_on=HOOK.run_on)
                if HOOK.run_on:
                    loss = flat(self.model.evaluate(*joined(self.collection.batches)[:2], verbose=0))[0]
                    finish({"recorded": True, "history": {"loss": [float(loss)]}})
        finally:
            HOOK.trained_line = None

    def _record(self, recording: Recording, partial: str | None) -> None:
        batches = self.collection.batches
        order = stream_order(batches, whole=True)
        assert order is not None
        recording.json["call"]["calls"] = len(batches)
        recording.json["partial"] = partial
        if order.rest:
            HOOK.note(f"The last {order.rest} of {len(batches)} calls fill no pass and are left out.")
        recording.add_rows(order, order.passes, None, {})
        recording.write()
