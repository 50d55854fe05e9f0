"""Names and arguments of Keras 1 and 2, TensorFlow 1 and the libraries of their time, which today's versions lack.

`install` lets a script find them, and says which it used. Nothing is replaced that the installed version still has.
The file imports nothing of whichfix.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import itertools
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

# Where the modules of Keras 1 and 2 are in today's Keras, below the package.
KERAS_MODULES = {
    "layers": ("layers.core", "layers.normalization", "layers.advanced_activations", "layers.noise", "layers.merge",
               "layers.convolutional", "layers.pooling", "layers.recurrent", "layers.embeddings", "layers.wrappers",
               "layers.local", "layers.experimental", "layers.experimental.preprocessing", "layers.preprocessing",
               "layers.normalization_v2", "layers.cudnn_recurrent", "layers.core.dense", "engine.topology",
               "engine.base_layer", "engine.input_layer", "layers.normalization.batch_normalization", "legacy.layers"),
    "utils": ("utils.np_utils", "utils.vis_utils", "utils.generic_utils", "utils.data_utils", "utils.io_utils",
              "utils.layer_utils", "utils.visualize_util", "utils.all_utils", "utils.training_utils"),
    "models": ("engine", "engine.training", "engine.sequential", "engine.network", "engine.functional"),
    "optimizers": ("optimizer_v2", "optimizer_v2.adam", "optimizer_v2.gradient_descent", "optimizer_v2.rmsprop",
                   "optimizer_v2.adagrad", "optimizer_v2.adadelta", "optimizer_v2.nadam", "optimizer_v2.adamax",
                   "optimizers.adam", "optimizers.adam_v2", "optimizers.gradient_descent_v2", "optimizers.rmsprop_v2",
                   "optimizers.sgd", "optimizers.rmsprop", "optimizer_v2.optimizer_v2", "optimizers.optimizer_v2"),
    "optimizers.schedules": ("optimizer_v2.learning_rate_schedule", "optimizers.learning_rate_schedule"),
    "backend": ("backend.tensorflow_backend", "backend.common"),
    "initializers": ("initializations",),
    "losses": ("objectives",),
    "callbacks": ("callbacks.callbacks", "callbacks.tensorboard_v1"),
    "preprocessing.text": ("preprocessing.text",),
    "preprocessing.image": ("preprocessing.image",),
    "preprocessing.sequence": ("preprocessing.sequence",),
}  # fmt: skip
KERAS_TARGETS = {old: new for new, olds in KERAS_MODULES.items() for old in olds}
# The names under which Keras can be imported, the longest first. Keras 3 has two: what `keras` and `tf.keras` mean.
KERAS_ROOTS = ("keras._tf_keras.keras", "tensorflow.compat.v1.keras", "tensorflow.compat.v2.keras", "tensorflow.keras",
               "tf_keras", "keras")  # fmt: skip
# Modules of other libraries.
MODULES = {
    "sklearn.cross_validation": "sklearn.model_selection",
    "sklearn.grid_search": "sklearn.model_selection",
    "sklearn.learning_curve": "sklearn.model_selection",
    "sklearn.externals.joblib": "joblib",
    "sklearn.externals": "sklearn.utils",
    "sklearn.datasets.samples_generator": "sklearn.datasets",
    "sklearn.datasets.base": "sklearn.datasets",
    "sklearn.preprocessing.data": "sklearn.preprocessing",
    "sklearn.preprocessing.label": "sklearn.preprocessing",
    "sklearn.preprocessing.imputation": "sklearn.preprocessing",
    "sklearn.metrics.classification": "sklearn.metrics",
    "sklearn.metrics.regression": "sklearn.metrics",
    "sklearn.utils.testing": "sklearn.utils",
    "pandas.tools.plotting": "pandas.plotting",
    "cPickle": "pickle",
    "StringIO": "io",
    "Queue": "queue",
    "urllib2": "urllib.request",
}
# Modules that draw, show progress or log. If one is not installed, it does nothing.
INERT = ("seaborn", "matplotlib", "tqdm", "IPython", "plotly", "wandb", "livelossplot", "google.colab", "keras_tqdm",
         "ann_visualizer", "graphviz", "pydot", "bokeh", "altair", "termcolor", "colorama", "prettytable", "tabulate",
         "mpl_toolkits", "missingno", "tensorboard", "tensorboardcolab", "pydot_ng", "pydotplus", "visualkeras",
         "comet_ml", "neptune", "mlflow", "hvplot", "yellowbrick", "jupyterthemes", "ipywidgets", "pyfiglet",
         "tensorflow_docs", "keras_visualizer", "tqdm_joblib")  # fmt: skip
LAYER_ARGUMENTS = {
    "output_dim": "units", "init": "kernel_initializer", "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer", "W_constraint": "kernel_constraint", "b_constraint": "bias_constraint",
    "bias": "use_bias",
}  # fmt: skip
ARGUMENTS: dict[str, dict[str, str | None]] = {
    "Dense": dict(LAYER_ARGUMENTS),
    "Dropout": {"p": "rate"},
    "GaussianDropout": {"p": "rate"},
    "GaussianNoise": {"sigma": "stddev"},
    "LeakyReLU": {"alpha": "negative_slope"},
    "PReLU": {"init": "alpha_initializer"},
    "BatchNormalization": {"mode": None, "gamma_init": "gamma_initializer", "beta_init": "beta_initializer",
                           "fused": None, "renorm": None, "virtual_batch_size": None},
    "Conv2D": {"border_mode": "padding", "subsample": "strides", "dim_ordering": None, **LAYER_ARGUMENTS,
               "output_dim": "filters", "nb_filter": "filters"},
    "Conv1D": {"border_mode": "padding", "subsample_length": "strides", "nb_filter": "filters",
               "filter_length": "kernel_size", **LAYER_ARGUMENTS, "output_dim": "filters", "input_length": None},
    "MaxPooling2D": {"border_mode": "padding", "dim_ordering": None},
    "LSTM": dict(LAYER_ARGUMENTS), "GRU": dict(LAYER_ARGUMENTS), "SimpleRNN": dict(LAYER_ARGUMENTS),
    "Embedding": {"init": "embeddings_initializer", "input_length": None, "dropout": None},
}  # fmt: skip
CALLBACK_ARGUMENTS: dict[str, dict[str, str | None]] = {
    "ReduceLROnPlateau": {"epsilon": "min_delta"},
    "ModelCheckpoint": {"period": None},
    "TensorBoard": {"write_grads": None, "batch_size": None, "embeddings_layer_names": None, "embeddings_data": None},
}
FIT_ARGUMENTS: dict[str, str | None] = {
    "nb_epoch": "epochs", "show_accuracy": None, "workers": None, "nb_worker": None, "use_multiprocessing": None,
    "pickle_safe": None, "max_queue_size": None, "max_q_size": None, "nb_val_samples": None,
}  # fmt: skip
OPTIMIZERS = ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "Adamax", "Nadam", "Ftrl")
NUMPY = {"float": float, "int": int, "bool": bool, "object": object, "str": str, "complex": complex, "long": int,
         "unicode": str, "float_": "float64", "complex_": "complex128", "Inf": "inf", "infty": "inf", "Infinity": "inf",
         "NaN": "nan", "NAN": "nan", "product": "prod", "cumproduct": "cumprod", "alltrue": "all", "sometrue": "any",
         "unicode_": "str_", "string_": "bytes_", "row_stack": "vstack", "trapz": "trapezoid", "in1d": "isin",
         "round_": "round"}  # fmt: skip


# How scripts call the modules.
SHORT = {"numpy": "np", "tensorflow": "tf", "keras._tf_keras.keras": "tf.keras"}


class Names:
    """The old names that a script has used, and what the shims need to know of the hook."""

    def __init__(self, hook: Any, is_persons: Callable[[str], bool]):
        self.hook, self.is_persons = hook, is_persons
        # The file of the finder that stands before all others.
        self.import_file = sys._getframe(2).f_code.co_filename

    def used(self, name: str) -> None:
        """Note that the script used an old name."""
        if name not in self.hook.old_names:
            self.hook.old_names.append(name)

    def called_by_person(self) -> bool:
        """Return whether a file of the person, not a library, imports the module that is looked for."""
        frame: types.FrameType | None = sys._getframe(1)
        while frame is not None and (frame.f_code.co_filename.startswith("<frozen") or frame.f_code.co_filename in (
            __file__, self.import_file)):  # fmt: skip
            frame = frame.f_back
        return frame is not None and self.is_persons(frame.f_code.co_filename)

    def arguments(self, values: dict[str, Any], renamed: Mapping[str, str | None]) -> dict[str, Any]:
        """Return keyword arguments under today's names, without those that have no meaning any more."""
        kept = {}
        for name, value in values.items():
            if name in renamed:
                self.used(name)
                if renamed[name] is not None:
                    kept[str(renamed[name])] = value
            else:
                kept[name] = value
        return kept


def install(hook: Any, after: Callable[[str, Callable[[Any], None]], None], is_persons: Callable[[str], bool]) -> None:
    """Let scripts find old names from now on; `after` calls a function once a module is imported."""
    names = Names(hook, is_persons)
    sys.meta_path.append(Finder(names))
    for name, value in {"xrange": range, "unicode": str, "basestring": str, "long": int, "unichr": chr}.items():
        setattr(builtins, name, value)
    builtins.raw_input = lambda prompt="": builtins.input(prompt)  # type: ignore[attr-defined]
    builtins.get_ipython = lambda: Inert()  # type: ignore[attr-defined]
    builtins.display = print  # type: ignore[attr-defined]
    redirect_private_keras(names)
    for root in KERAS_ROOTS:
        for module in ("", *RENAMED):
            wanted = functools.partial(keras_name, root, module)
            after(f"{root}.{module}".rstrip("."), functools.partial(fall_back, wanted, names))
    for root in ("keras._tf_keras.keras", "tensorflow.keras"):
        after(f"{root}.backend", working_values)
    for root in ("keras", "tf_keras"):
        after(root, functools.partial(keras_arguments, names))
    after("tensorflow", functools.partial(tensorflow_1, names))
    after("numpy", functools.partial(fall_back, numpy_name, names))
    after("sklearn.preprocessing", functools.partial(sklearn_preprocessing, names))
    after("pandas", functools.partial(pandas_methods, names))
    after("matplotlib.style", styles)


def fall_back(wanted: Callable[[Any, Any, str], Any], names: Names, module: Any) -> None:
    """Let a module find old names by ``wanted(names, module, name)``, after its own."""
    before = getattr(module, "__getattr__", None)

    def find(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = wanted(names, module, name)
        if value is not None:
            names.used(f"{SHORT.get(module.__name__, module.__name__)}.{name}")
            return value
        if before is not None:
            return before(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    module.__getattr__ = find


# ---------------------------------------------------------------------------------------------------------------------
# Modules


class Inert:
    """A stand-in for what only draws or logs: every name, call and item of it is one again."""

    def __init__(self, *args: Any, **kwargs: Any):
        self._items = list(args[:1])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        # A decorator or a progress bar gives back what it is given.
        first = args[0] if len(args) == 1 and not kwargs else None
        return first if callable(first) else Inert(*args)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert()

    def __getitem__(self, key: Any) -> Any:
        return Inert()

    def __setitem__(self, key: Any, value: Any) -> None:
        return

    def __iter__(self) -> Iterator[Any]:
        # Around data, as tqdm; else a figure and its axes.
        return iter(self._items[0]) if self._items and hasattr(self._items[0], "__iter__") else iter((Inert(), Inert()))

    def __len__(self) -> int:
        return len(self._items[0]) if self._items and hasattr(self._items[0], "__len__") else 0

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *args: Any) -> None:
        return


class Finder(importlib.abc.MetaPathFinder):
    """The last finder: it is asked for modules that are not installed."""

    def __init__(self, names: Names):
        self.names = names

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of an old module, or of one that does nothing."""
        value = self._content(name)
        if value is None:
            return None
        return importlib.machinery.ModuleSpec(name, _Module(value), is_package=True)

    def _content(self, name: str) -> Any:
        root = next((root for root in KERAS_ROOTS if name.startswith(root + ".")), None)
        if root is not None:
            rest = name[len(root) + 1 :]
            if rest == "wrappers.scikit_learn":
                self.names.used(name)
                return wrappers(self.names, root)
            if rest == "wrappers":
                return types.SimpleNamespace()
            if rest in KERAS_TARGETS:
                self.names.used(name)
                return keras_module(root, KERAS_TARGETS[rest])
            return None
        if name in MODULES:
            self.names.used(name)
            target = importlib.import_module(MODULES[name])
            return cross_validation(target) if name == "sklearn.cross_validation" else target
        if name in ("scikeras", "scikeras.wrappers"):
            self.names.hook.note("scikeras is not installed; a small stand-in of it was used.")
            return wrappers(self.names, "keras", of_scikeras=True)
        if not self.names.called_by_person():
            return None
        known = next((each for each in INERT if name == each or name.startswith(each + ".")), None)
        if known is not None or name == "google":
            if known is not None:
                self.names.hook.note(f"{known} is not installed; it only draws or logs, so it did nothing.")
            return Inert()
        return None


def keras_module(root: str, name: str) -> Any:
    """Return a module of Keras; what only `tf.keras` still has, from there."""
    try:
        return importlib.import_module(f"{root}.{name}")
    except ImportError:
        return importlib.import_module(f"tensorflow.keras.{name}")


class _Module(importlib.abc.Loader):
    """A loader of modules whose names are those of another object."""

    def __init__(self, content: Any):
        self.content = content

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        content = self.content

        def find(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return getattr(content, name)

        module.__dict__["__getattr__"] = find
        if isinstance(content, types.ModuleType):
            public = getattr(content, "__all__", None) or [name for name in vars(content) if name[0] != "_"]
            module.__dict__["__all__"] = list(public)
        elif isinstance(content, Inert):
            module.__dict__["__all__"] = []


def redirect_private_keras(names: Names) -> None:
    """Let scripts that import `tensorflow.python.keras`, a private second Keras, have the public one."""
    original = builtins.__import__
    private = "tensorflow.python.keras"

    def find(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        persons = bool(globals) and names.is_persons(str(globals.get("__file__") or "<"))
        if level == 0 and persons and (name == private or name.startswith(private + ".")):
            names.used(private)
            public = importlib.import_module("tensorflow").keras
            sys.modules["tensorflow.python"].keras = public  # type: ignore[attr-defined]
            if fromlist:
                module = importlib.import_module("tensorflow.keras" + name[len(private) :])
                for each in fromlist:
                    if each != "*" and not hasattr(module, each):
                        importlib.import_module(f"{module.__name__}.{each}")
                return module
            return original("tensorflow", globals, locals, fromlist, level)
        return original(name, globals, locals, fromlist, level)

    builtins.__import__ = find


# ---------------------------------------------------------------------------------------------------------------------
# Keras


# Names of Keras 1 and 2 by module: today's name, or a function of the module that returns a substitute.
RENAMED: dict[str, dict[str, str]] = {
    "layers": {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU", "Convolution1D": "Conv1D"},
    "optimizers": {name.lower(): name for name in OPTIMIZERS},
    "regularizers": {"activity_l1": "l1", "activity_l2": "l2"},
    "initializers": {"normal": "RandomNormal", "uniform": "RandomUniform", "zero": "Zeros", "one": "Ones"},
    "constraints": {"nonneg": "NonNeg", "non_neg": "NonNeg", "unitnorm": "UnitNorm", "unit_norm": "UnitNorm"},
    "utils": {},
    "backend": {},
}
SUBSTITUTES: dict[str, dict[str, Callable[[Any], Any]]] = {
    "layers": {"ThresholdedReLU": lambda module: lambda theta=1.0, **rest: module.ReLU(threshold=theta, **rest)},
    "optimizers": dict.fromkeys(
        (f"{name}_v2" for name in ("adam", "gradient_descent", "rmsprop", "adagrad", "adadelta", "nadam", "adamax")),
        lambda module: module,
    ),
    "regularizers": {
        **dict.fromkeys(("l1l2", "activity_l1l2"), lambda module: functools.partial(l1_l2, module, 0.01, 0.01)),
        **dict.fromkeys(
            ("WeightRegularizer", "ActivityRegularizer"), lambda module: functools.partial(l1_l2, module, 0.0, 0.0)
        ),
    },
    "constraints": dict.fromkeys(
        ("maxnorm", "max_norm"),
        lambda module: lambda m=2, max_value=None, axis=0: module.MaxNorm(max_value or m, axis=axis),
    ),
    "utils": {
        "multi_gpu_model": lambda _: lambda model, *args, **kwargs: model,
        **dict.fromkeys(("plot", "print_summary"), lambda _: nothing),
    },
    "backend": {
        **dict.fromkeys(
            ("set_session", "set_image_dim_ordering", "set_learning_phase", "manual_variable_initialization"),
            lambda _: nothing,
        ),
        "image_dim_ordering": lambda _: lambda: "tf",
        "get_session": lambda _: Inert,
        "tensorflow_backend": lambda module: module,
        "common": lambda module: module,
        "tf": lambda _: importlib.import_module("tensorflow"),
        "get_value": lambda _: lambda variable: variable.numpy(),
        "set_value": lambda _: lambda variable, value: variable.assign(value),
        "log": lambda _: importlib.import_module("tensorflow").math.log,
    },
}


def nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""


def l1_l2(module: Any, default_l1: float, default_l2: float, l1: Any = None, l2: Any = None) -> Any:
    """Return a regularizer with the defaults of Keras 1."""
    return module.L1L2(l1=default_l1 if l1 is None else l1, l2=default_l2 if l2 is None else l2)


def keras_name(root: str, below: str, names: Names, module: Any, name: str) -> Any:
    """Return an old name of the module `below` a Keras, or an old module, such as ``keras.layers.core``."""
    old = f"{below}.{name}".lstrip(".")
    if name in RENAMED.get(below, ()):
        return getattr(module, RENAMED[below][name])
    if name in SUBSTITUTES.get(below, ()):
        return SUBSTITUTES[below][name](module)
    if old == "wrappers":
        return types.SimpleNamespace(scikit_learn=wrappers(names, root))
    if KERAS_TARGETS.get(old, old) != old:
        return keras_module(root, KERAS_TARGETS[old])
    if (root, below) == ("keras", "backend"):
        # Functions of tensors that Keras 3 keeps for `tf.keras` alone.
        return vars(importlib.import_module("tensorflow").keras.backend).get(name)
    return None


def working_values(backend: Any) -> None:
    """Let ``tf.keras.backend.set_value`` set a variable of Keras 3, whose own one fails."""
    if "keras.src" in sys.modules:
        for name in ("get_value", "set_value"):
            setattr(backend, name, SUBSTITUTES["backend"][name](backend))


def wrap(owner: Any, name: str, wrapper: Callable[..., Any], keep_signature: bool = True) -> None:
    """Replace a function or method by ``wrapper(original, ...)``."""
    original = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return wrapper(original, self, *args, **kwargs)

    # Keras looks for `self` among the arguments of constructors.
    setattr(owner, name, functools.update_wrapper(call, original) if keep_signature else method)


def rename(names: Names, owner: Any, name: str, renamed: Mapping[str, str | None]) -> None:
    """Let a function, method or constructor take old arguments."""

    def call(original: Any, *args: Any, **kwargs: Any) -> Any:
        return original(*args, **names.arguments(kwargs, renamed))

    # Keras reads the signature of constructors in two ways, which would differ. scikit-learn needs the signature.
    wrap(owner, name, call, keep_signature=name != "__init__" or owner.__module__.startswith("sklearn"))


# Names of losses that Keras 3 does not know.
OLD_LOSSES = {"kullback_leibler_divergence": "kl_divergence", "cosine_proximity": "cosine_similarity"}


def keras_arguments(names: Names, keras: Any) -> None:
    """Let Keras take the arguments and methods of Keras 1 and 2."""
    is_keras_3 = str(keras.__version__).startswith("3")
    for layer, renamed in ARGUMENTS.items():
        if layer == "LeakyReLU" and not is_keras_3:
            continue
        rename(names, getattr(keras.layers, layer), "__init__", renamed)
    for callback, renamed in CALLBACK_ARGUMENTS.items():
        rename(names, getattr(keras.callbacks, callback), "__init__", renamed)
    for optimizer in OPTIMIZERS:
        optimizer_arguments(names, keras, getattr(keras.optimizers, optimizer))
    keras_model(names, keras)
    if not is_keras_3:
        return
    checkpoint_paths(names, keras)
    keras.optimizers.Optimizer.lr = property(
        lambda self: self.learning_rate, lambda self, value: setattr(self, "learning_rate", value)
    )

    def initialize(original: Any, *args: Any, **kwargs: Any) -> None:
        shape = kwargs.pop("batch_input_shape", None)
        if shape is not None:
            names.used("batch_input_shape")
            kwargs["input_shape"] = tuple(shape[1:])
        original(*args, **kwargs)

    wrap(keras.layers.Layer, "__init__", initialize, keep_signature=False)
    for name in ("l1", "l2"):
        rename(names, getattr(keras.regularizers, name), "__init__", {"l": name})
    rename(names, keras.utils, "to_categorical", {"nb_classes": "num_classes"})


def optimizer_arguments(names: Names, keras: Any, optimizer: Any) -> None:
    """Let an optimizer take `lr` and `decay`."""

    def init(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        kwargs = names.arguments(kwargs, {"lr": "learning_rate", "schedule_decay": None})
        if kwargs.get("epsilon", 0) is None:
            # In Keras 2 this was the default, 1e-7.
            del kwargs["epsilon"]
        decay = kwargs.pop("decay", None)
        if decay:
            names.used("decay")
            bound = inspect.signature(original).bind(self, *args, **kwargs)
            bound.apply_defaults()
            rate = bound.arguments["learning_rate"]
            # The rule of Keras 1 and 2: rate / (1 + decay * step).
            kwargs["learning_rate"] = keras.optimizers.schedules.InverseTimeDecay(float(rate), 1, float(decay))
            args = args[1:]
        original(self, *args, **kwargs)
        if decay:
            names.hook.facts(self)["decay"] = float(decay)

    wrap(optimizer, "__init__", init, keep_signature=False)


def checkpoint_paths(names: Names, keras: Any) -> None:
    """Let ModelCheckpoint take the file names of Keras 2."""

    def init(original: Any, self: Any, filepath: Any, *args: Any, **kwargs: Any) -> None:
        ending = ".weights.h5" if kwargs.get("save_weights_only") else ".keras"
        path = str(filepath)
        if not path.endswith((".keras", ".weights.h5") if ending == ".keras" else ending):
            names.used("ModelCheckpoint(filepath)")
            path += ending
        original(self, path, *args, **kwargs)

    wrap(keras.callbacks.ModelCheckpoint, "__init__", init, keep_signature=False)


def keras_model(names: Names, keras: Any) -> None:
    """Let models take the arguments and methods of Keras 1 and 2."""
    model = keras.Model
    # The hook wrapped `fit` before; the new name is understood before it.
    rename(names, model, "compile", {"class_mode": None, "sample_weight_mode": None, "target_tensors": None})
    compile_model = model.compile

    @functools.wraps(compile_model)
    def compile_loss(self: Any, optimizer: Any = "rmsprop", loss: Any = None, *args: Any, **kwargs: Any) -> Any:
        if isinstance(loss, str) and loss in OLD_LOSSES:
            names.used(loss)
            loss = OLD_LOSSES[loss]
        return compile_model(self, optimizer, loss, *args, **kwargs)

    model.compile = compile_loss
    rename(names, model, "evaluate", {"show_accuracy": None, "workers": None, "use_multiprocessing": None})
    rename(names, model, "predict", {"workers": None, "use_multiprocessing": None, "max_queue_size": None})

    def fit(original: Any, *args: Any, **kwargs: Any) -> Any:
        history = original(*args, **names.arguments(kwargs, FIT_ARGUMENTS))
        for prefix in ("", "val_"):
            if f"{prefix}accuracy" in history.history:
                history.history.setdefault(f"{prefix}acc", history.history[f"{prefix}accuracy"])
        return history

    wrap(model, "fit", fit)
    new, tensors = model.__new__, {"input": "inputs", "output": "outputs"}
    model.__new__ = staticmethod(lambda cls, *args, **kwargs: new(cls, *args, **names.arguments(kwargs, tensors)))
    for kind in (model, *(kind for kind in model.__subclasses__() if kind.__name__ == "Functional")):
        rename(names, kind, "__init__", tensors)
    if hasattr(model, "fit_generator"):
        return

    def fit_generator(self: Any, generator: Any, steps_per_epoch: Any = None, epochs: int = 1, **kwargs: Any) -> Any:
        names.used("fit_generator")
        kwargs = {"epochs": epochs, **names.arguments(kwargs, {"nb_epoch": "epochs"})}
        if "samples_per_epoch" in kwargs:
            names.used("samples_per_epoch")
            generator, steps_per_epoch = counted_steps(generator, kwargs.pop("samples_per_epoch"))
        if "nb_val_samples" in kwargs:
            data = counted_steps(kwargs.get("validation_data"), kwargs.pop("nb_val_samples"))
            kwargs["validation_data"], kwargs["validation_steps"] = data
        return self.fit(generator, steps_per_epoch=steps_per_epoch, **kwargs)

    def predict_classes(self: Any, x: Any, batch_size: int = 32, verbose: int = 0, **kwargs: Any) -> Any:
        names.used("predict_classes")
        output = self.predict(x, batch_size=batch_size, verbose=verbose)
        return output.argmax(axis=-1) if output.shape[-1] > 1 else (output > 0.5).astype("int32")

    model.fit_generator = fit_generator
    model.predict_classes = predict_classes
    model.predict_proba = lambda self, x, **kwargs: self.predict(x, verbose=0)
    model.predict_generator = lambda self, generator, steps=None, **kwargs: self.predict(generator, steps=steps)
    model.evaluate_generator = lambda self, generator, steps=None, **kwargs: self.evaluate(generator, steps=steps)


def counted_steps(generator: Any, samples: int) -> tuple[Any, int | None]:
    """Return a generator and the number of its batches that have so many samples."""
    if not hasattr(generator, "__next__"):
        return generator, None
    first = next(generator)
    # Keras takes generators only, not every iterator.
    batches = (batch for batch in itertools.chain([first], generator))
    return batches, -(-int(samples) // len(first[0]))


def wrappers(names: Names, root: str, of_scikeras: bool = False) -> Any:
    """Return the classes that make a Keras model an estimator of scikit-learn, as Keras 1 and 2 had them."""
    import numpy as np
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    importlib.import_module("tensorflow" if root.startswith("tensorflow") else root)
    fit_names = ("batch_size", "epochs", "nb_epoch", "verbose", "callbacks", "validation_split", "validation_data",
                 "shuffle", "class_weight", "sample_weight", "initial_epoch", "steps_per_epoch")  # fmt: skip

    class Wrapper(BaseEstimator):  # type: ignore[misc]
        """An estimator that builds a model of Keras with each `fit`."""

        def __init__(self, build_fn: Any = None, **settings: Any):
            self.build_fn = settings.pop("model", None) if build_fn is None else build_fn
            self.settings = settings

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            """Return the settings."""
            return {"model" if of_scikeras else "build_fn": self.build_fn, **self.settings}

        def set_params(self, **settings: Any) -> Any:
            """Change settings."""
            for name in ("model", "build_fn"):
                self.build_fn = settings.pop(name, self.build_fn)
            self.settings = {**self.settings, **settings}
            return self

        def __sklearn_clone__(self) -> Any:
            return type(self)(self.build_fn, **self.settings)

        def _build(self) -> Any:
            build = self.build_fn if self.build_fn is not None else self.__call__
            if not isinstance(build, (types.FunctionType, types.MethodType)) and hasattr(build, "fit"):
                return build
            taken = inspect.signature(build).parameters
            settings = {name.split("model__")[-1]: value for name, value in self.settings.items()}
            model = build(**{name: value for name, value in settings.items() if name in taken})
            if getattr(model, "optimizer", None) is None and "loss" in self.settings:
                optimizer = self.settings.get("optimizer", "rmsprop")
                model.compile(optimizer=optimizer, loss=self.settings["loss"], metrics=self.settings.get("metrics"))
            return model

        def fit(self, x: Any, y: Any, **kwargs: Any) -> Any:
            """Build the model and train it."""
            self.model = self.model_ = self._build()
            return self._fit(x, y, **kwargs)

        def _fit(self, x: Any, y: Any, **kwargs: Any) -> Any:
            settings = {name.split("fit__")[-1]: value for name, value in self.settings.items()}
            settings = {name: value for name, value in settings.items() if name in fit_names}
            self.history = self.model.fit(x, y, **{**settings, **kwargs})
            return self

        def predict(self, x: Any, **kwargs: Any) -> Any:
            """Return the outputs of the model."""
            return np.squeeze(self.model.predict(x, verbose=0), axis=-1)

    class KerasClassifier(ClassifierMixin, Wrapper):  # type: ignore[misc]
        """A classifier."""

        def fit(self, x: Any, y: Any, **kwargs: Any) -> Any:
            """Number the classes, build the model and train it."""
            y = np.asarray(y)
            if y.ndim == 2 and y.shape[1] > 1:
                self.classes_ = np.arange(y.shape[1])
            else:
                self.classes_ = np.unique(y)
                y = np.searchsorted(self.classes_, y)
            self.model = self.model_ = self._build()
            loss = getattr(self.model.loss, "__name__", self.model.loss)
            if loss == "categorical_crossentropy" and y.ndim != 2:
                y = np.eye(len(self.classes_))[y]
            return self._fit(x, y, **kwargs)

        def predict(self, x: Any, **kwargs: Any) -> Any:
            """Return the classes."""
            output = self.model.predict(x, verbose=0)
            numbers = output.argmax(axis=-1) if output.shape[-1] > 1 else (output > 0.5).astype(int).ravel()
            return self.classes_[numbers]

        def predict_proba(self, x: Any, **kwargs: Any) -> Any:
            """Return the probabilities of the classes."""
            output = self.model.predict(x, verbose=0)
            return np.hstack([1 - output, output]) if output.shape[-1] == 1 else output

    class KerasRegressor(RegressorMixin, Wrapper):  # type: ignore[misc]
        """A regressor."""

    classes = {"KerasClassifier": KerasClassifier, "KerasRegressor": KerasRegressor, "BaseWrapper": Wrapper}
    return types.SimpleNamespace(**classes, wrappers=None)


# ---------------------------------------------------------------------------------------------------------------------
# TensorFlow 1


# The optimizers of TensorFlow 1: the class of Keras, the arguments in order, and defaults.
TF1_ARGUMENTS = {"beta1": "beta_1", "beta2": "beta_2", "use_nesterov": "nesterov", "decay": "rho"}
TF1_OPTIMIZERS: dict[str, tuple[str, tuple[str, ...], dict[str, float]]] = {
    "GradientDescent": ("SGD", ("learning_rate", "use_locking"), {}),
    "Momentum": ("SGD", ("learning_rate", "momentum", "use_locking", "name", "use_nesterov"), {}),
    "Adam": ("Adam", ("learning_rate", "beta1", "beta2", "epsilon"), {"learning_rate": 0.001, "epsilon": 1e-8}),
    "Adagrad": ("Adagrad", ("learning_rate", "initial_accumulator_value"), {"initial_accumulator_value": 0.1}),
    "Adadelta": ("Adadelta", ("learning_rate", "rho", "epsilon"), {"learning_rate": 0.001, "epsilon": 1e-8}),
    "RMSProp": (
        "RMSprop",
        ("learning_rate", "decay", "momentum", "epsilon", "use_locking", "centered"),
        {"rho": 0.9, "epsilon": 1e-10},
    ),
}


def tensorflow_1(names: Names, tf: Any) -> None:
    """Let TensorFlow 2 have the names of TensorFlow 1 that scripts with Keras use."""

    def optimizer(old: str, *args: Any, **kwargs: Any) -> Any:
        names.used(f"tf.train.{old}Optimizer")
        new, order, defaults = TF1_OPTIMIZERS[old]
        # Python 3.9 has no `zip(strict=...)`.
        arguments = {**dict(zip(order, args)), **kwargs}  # noqa: B905
        settings = {TF1_ARGUMENTS.get(key, key): value for key, value in arguments.items()}
        for key in ("use_locking", "name"):
            settings.pop(key, None)
        if old == "RMSProp":
            names.hook.note("tf.train.RMSPropOptimizer began with averages of 1, Keras's RMSprop begins with 0.")
        return getattr(tf.keras.optimizers, new)(**{**defaults, **settings})

    for old in TF1_OPTIMIZERS:
        create, name = functools.partial(optimizer, old), f"{old}Optimizer"
        # The classes of TensorFlow 1 are there, but Keras 3 does not take them.
        setattr(tf.compat.v1.train, name, create)
        if not hasattr(tf.train, name):
            setattr(tf.train, name, create)
    for name in ("disable_eager_execution", "disable_v2_behavior", "enable_eager_execution", "enable_v2_behavior"):
        setattr(tf.compat.v1, name, _noted(names, name))
    old_names: dict[str, Any] = {
        **dict.fromkeys(("Session", "InteractiveSession", "ConfigProto", "GPUOptions", "get_default_graph"), Inert),
        **dict.fromkeys(("reset_default_graph", "global_variables_initializer", "enable_eager_execution"), Inert),
        "set_random_seed": tf.random.set_seed,
        "log": tf.math.log,
        "to_float": lambda x: tf.cast(x, tf.float32),
        "div": tf.divide,
        "random_normal": tf.random.normal,
        "random_uniform": tf.random.uniform,
        "logging": tf.compat.v1.logging,
    }
    fall_back(lambda names, module, name: old_names.get(name), names, tf)
    if backend := sys.modules.get("tensorflow.python.keras.backend"):
        backend.set_session = nothing  # type: ignore[attr-defined]


def _noted(names: Names, name: str) -> Callable[..., None]:
    def pass_over(*args: Any, **kwargs: Any) -> None:
        names.used(f"tf.{name}")
        names.hook.note(f"tf.{name}() was passed over: today's Keras needs eager execution.")

    return pass_over


# ---------------------------------------------------------------------------------------------------------------------
# NumPy, scikit-learn, pandas, matplotlib


def numpy_name(names: Names, numpy: Any, name: str) -> Any:
    """Return a name that NumPy has lost."""
    value = NUMPY.get(name)
    if name == "asscalar":
        return lambda array: array.item()
    if name == "asfarray":
        return lambda array, dtype=float: numpy.asarray(array, dtype=dtype)
    return vars(numpy).get(value) if isinstance(value, str) else value


def cross_validation(model_selection: Any) -> Any:
    """Return `sklearn.cross_validation`, whose splitters were made with the rows and were iterables."""
    content = types.ModuleType("sklearn.cross_validation")
    content.__dict__.update({key: value for key, value in vars(model_selection).items() if key[0] != "_"})

    def splitter(name: str, with_labels: bool) -> Callable[..., Any]:
        def create(rows: Any, n_folds: int = 3, shuffle: bool = False, random_state: Any = None, **rest: Any) -> Any:
            import numpy as np

            folds = getattr(model_selection, name)(
                rest.get("k", n_folds), shuffle=shuffle, random_state=random_state if shuffle else None
            )
            rows = np.asarray(rows) if with_labels else np.zeros(int(rows))
            return list(folds.split(rows, rows if with_labels else None))

        return create

    content.KFold = splitter("KFold", False)  # type: ignore[attr-defined]
    content.StratifiedKFold = splitter("StratifiedKFold", True)  # type: ignore[attr-defined]
    return content


def sklearn_preprocessing(names: Names, preprocessing: Any) -> None:
    """Let scikit-learn have `Imputer`, and OneHotEncoder take `sparse`."""

    def imputer(missing_values: Any = "NaN", strategy: str = "mean", axis: int = 0, **rest: Any) -> Any:
        import numpy as np
        from sklearn.impute import SimpleImputer

        if axis:
            raise TypeError("Imputer(axis=1) is not known")
        return SimpleImputer(missing_values=np.nan if missing_values == "NaN" else missing_values, strategy=strategy)

    fall_back(lambda names, module, name: imputer if name == "Imputer" else None, names, preprocessing)
    encoder = preprocessing.OneHotEncoder
    if "sparse_output" in inspect.signature(encoder.__init__).parameters:
        rename(names, encoder, "__init__", {"sparse": "sparse_output"})


def pandas_methods(names: Names, pandas: Any) -> None:
    """Let pandas have the methods of its versions before 1."""
    frame, series = pandas.DataFrame, pandas.Series

    class Indexer:
        """Rows by label, and columns by label or by position."""

        def __init__(self, data: Any):
            self.data = data

        def _labels(self, key: Any) -> Any:
            names.used("ix")
            if isinstance(key, tuple) and not pandas.api.types.is_integer_dtype(self.data.columns.dtype):
                with contextlib.suppress(IndexError, TypeError):  # columns by label
                    return key[0], self.data.columns[key[1]]
            return key

        def __getitem__(self, key: Any) -> Any:
            return self.data.loc[self._labels(key)]

        def __setitem__(self, key: Any, value: Any) -> None:
            self.data.loc[self._labels(key)] = value

    def method(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            names.used(name)
            return function(self, *args, **kwargs)

        return call

    def append(self: Any, other: Any, ignore_index: bool = False, **rest: Any) -> Any:
        others = list(other) if isinstance(other, (list, tuple)) else [other]
        others = [
            frame([each]) if isinstance(each, (dict, series)) and isinstance(self, frame) else each for each in others
        ]
        return pandas.concat([self, *others], ignore_index=ignore_index)

    old: dict[str, Any] = {
        "as_matrix": lambda self, columns=None: (self if columns is None else self[columns]).values,
        "append": append,
        "iteritems": lambda self: self.items(),
        "applymap": lambda self, function: self.map(function),
        "sort": lambda self, columns=None, **kwargs: self.sort_values(columns, **kwargs),
        "convert_objects": lambda self, **kwargs: self.apply(pandas.to_numeric, errors="coerce"),
        "get_value": lambda self, row, column: self.at[row, column],
    }
    for kind in (frame, series):
        for name, function in old.items():
            if not hasattr(kind, name):
                setattr(kind, name, method(name, function))
        if not hasattr(kind, "ix"):
            kind.ix = property(Indexer)
    positional(names, frame, "drop", ("labels", "axis"))
    positional(names, frame, "dropna", ("axis",))
    rename_fill(names, frame)
    rename_fill(names, series)

    def read_csv(original: Any, path: Any, *args: Any, **kwargs: Any) -> Any:
        if args:
            names.used("read_csv(path, sep)")
            kwargs["sep"] = args[0]
        if kwargs.pop("delim_whitespace", False):
            names.used("delim_whitespace")
            kwargs["sep"] = r"\s+"
        if "error_bad_lines" in kwargs:
            kwargs["on_bad_lines"] = "error" if kwargs["error_bad_lines"] else "skip"
        dropped = ("error_bad_lines", "warn_bad_lines", "infer_datetime_format", "squeeze", "mangle_dupe_cols")
        return original(path, **names.arguments(kwargs, dict.fromkeys(dropped)))

    wrap(pandas, "read_csv", read_csv)


def positional(names: Names, kind: Any, method: str, parameters: tuple[str, ...]) -> None:
    """Let a method of pandas take arguments by position again."""

    def call(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        if len(args) == len(parameters):
            names.used(f"{method}({', '.join(parameters)})")
            return original(self, **dict(zip(parameters, args)), **kwargs)  # noqa: B905, Python 3.9
        return original(self, *args, **kwargs)

    wrap(kind, method, call)


def rename_fill(names: Names, kind: Any) -> None:
    """Let `fillna` take a method again."""

    def call(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        method = kwargs.pop("method", None)
        if method is None:
            return original(self, *args, **kwargs)
        names.used("fillna(method)")
        filled = self.ffill() if method in ("ffill", "pad") else self.bfill()
        if kwargs.get("inplace"):
            self[:] = filled
            return None
        return filled

    wrap(kind, "fillna", call)


def styles(style: Any) -> None:
    """Let a script draw in a style that matplotlib has lost."""

    def use(original: Any, name: Any) -> None:
        with contextlib.suppress(OSError):
            original(name)

    wrap(style, "use", use)
