"""A Keras script as people post it -> the configuration of a run, or every line of it that whichfix cannot train.

The script is parsed and never run. What it leaves out is as Keras has it by default.
"""

import ast
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError

from stages.core.params import N_CLASSES, Case, RunConfig, resolve, shown
from stages.core.scripts import (
    HARMLESS,
    MNIST,
    TRAINING,
    Argument,
    Array,
    Made,
    Model,
    Problem,
    Reader,
    Ref,
    Unknown,
    is_number,
    plain,
)

# A script in a question has a few hundred lines at most.
MOST_BYTES = 200_000

LAYERS = ("Activation", "Dense", "Flatten", "Input", "InputLayer", "ReLU", "Rescaling", "Softmax")
LOSSES = ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy")
LOSS_CLASSES = {
    "BinaryCrossentropy": "binary_crossentropy",
    "CategoricalCrossentropy": "categorical_crossentropy",
    "SparseCategoricalCrossentropy": "sparse_categorical_crossentropy",
}
# Keras's default rates.
OPTIMIZERS = {"adam": 0.001, "sgd": 0.01}
ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax", "tanh")
GLOROT_UNIFORM = {"name": "glorot_uniform"}
UNIFORM_LIMIT = 0.05

# What the arguments are that a call is given by position.
DENSE = ("units", "activation", "use_bias", "kernel_initializer", "bias_initializer", "kernel_regularizer")
POSITIONS = {
    "Activation": ("activation",),
    "Dense": DENSE,
    "Input": ("shape",),
    "InputLayer": ("shape",),
    "Rescaling": ("scale", "offset"),
}
SHAPES = ("input_shape", "input_dim", "shape", "batch_input_shape", "batch_shape")
# What MNIST's loader gives.
ROLES = tuple(array.role for pair in MNIST for array in pair)
DEFAULTS: dict[str, Any] = {
    "input_scale": 1.0,
    "hidden_units": [64],
    "hidden_activation": "relu",
    "output_units": N_CLASSES,
    "output_activation": "softmax",
    "initializer": GLOROT_UNIFORM,
    "loss": "sparse_categorical_crossentropy",
    "keras_semantics": "2.2",
    "optimizer": {"name": "adam", "learning_rate": OPTIMIZERS["adam"]},
    "l2": 0.0,
    "batch_size": 32,
    "epochs": 10,
}


class UnreadableError(Exception):
    """Every problem of a script, by line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__(f"{len(self.problems)} problems")


@dataclass(frozen=True)
class Snippet:
    """What a script trains.

    Attributes
    ----------
    run
        The values of a `RunConfig`, as they stand in params.yaml.
    width
        The values of an example, None where the script does not say.
    semantics
        Why `run` has the `keras_semantics` that it has.
    assumed
        What the script leaves to Keras's defaults.
    validation
        What it says of its validation data, None where it has none; `validation_split` the share where it says one.
    """

    run: dict[str, Any]
    width: int | None
    semantics: str
    assumed: tuple[str, ...]
    validation: str | None
    validation_split: float | None


def read(text: str, width: int | None = None, semantics: str | None = None) -> Snippet:
    """What the script `text` trains, on examples of `width` values where that is known.

    Parameters
    ----------
    text
        The script. It is parsed only.
    width
        Of an example of the dataset.
    semantics
        The `keras_semantics` to take, whatever the script looks like.

    Raises
    ------
    UnreadableError
        With every problem of the script.
    """
    # Python's own ends of lines.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        with warnings.catch_warnings():
            # Of strings such as "\d", on stderr.
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        reader = Reader(text.split("\n"))
        reader.run(tree.body)
        return _snippet(reader, width, semantics)
    except SyntaxError as error:
        problem = Problem(error.lineno or 1, plain(str(error.msg)), "Python 3 that parses")
    except (RecursionError, MemoryError):
        problem = Problem(1, "nested too deeply", "a script of a few hundred lines")
    except ValueError as error:
        problem = Problem(1, plain(str(error)), "Python 3 that parses")
    raise UnreadableError([problem])


def _snippet(reader: Reader, width: int | None, semantics: str | None) -> Snippet:
    """What the script that `reader` has followed trains; see `read`."""
    fitted = [model for model in reader.models if model.fitted]
    for model in fitted[1:]:
        reader.problem(model.line, "a second model with fit", "one")
    if not fitted:
        accepted = "Sequential, compile and fit as statements outside of functions, loops and conditions"
        reader.problem(len(reader.lines), "no fit of a Sequential up to here", accepted)
        # What else is wrong is told too.
        fitted = [model for model in reader.models if model.layers or model.compiled][-1:]
    snippet = _Network(reader, fitted[0], semantics).read(width) if fitted else None
    if snippet is None or reader.problems:
        raise UnreadableError(reader.problems)
    return snippet


def _refusals(case: Case, overrides: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the schema refuses first of `case` with `overrides`: nothing, or path, problem and what is accepted."""
    try:
        resolve(case, (), overrides)
    except PydanticCustomError as error:
        return [dict(error.context or {})]
    return []


class _Network:
    """The configuration of a model that a script builds, compiles and fits."""

    def __init__(self, reader: Reader, model: Model, semantics: str | None) -> None:
        self.reader = reader
        self.model = model
        self.given_semantics = semantics
        self.problem = reader.problem
        self.assumed: list[str] = []
        # Where each value was found.
        self.lines: dict[str, int] = {}

    def read(self, width: int | None) -> Snippet:
        run: dict[str, Any] = {"input_scale": 1.0}
        layers = self.layers(run)
        self.compiled(run)
        x, validation, split = self.fitted(run)
        found = self.check_width(layers, x, width)
        run["input_scale"] = run["input_scale"] * (x.factor if x else 1.0)
        taken, why = self.reader.semantics()
        if self.given_semantics:
            taken, why = self.given_semantics, "given with --keras-semantics"
        run["keras_semantics"] = taken
        self.validate(run)
        ordered = {key: run[key] for key in RunConfig.model_fields if key in run}
        return Snippet(ordered, found, why, tuple(self.assumed), validation, split)

    def validate(self, run: Mapping[str, Any]) -> None:
        """Refuse what the schema refuses of `run`: each value, then all together."""
        # `resolve` reads no more of a case than this.
        posted = RunConfig.model_validate(DEFAULTS)
        case = Case.model_construct(as_posted=posted, fixes={})
        refused = []
        # A value alone need not fit the others of the case, so only what is wrong with itself is told.
        for overrides in ({key: value} for key, value in run.items() if value is not None):
            refused += [error for error in _refusals(case, overrides) if error["path"][1:]]
        if not refused and not self.reader.problems:
            refused = _refusals(case, run)
        for error in refused:
            key = ".".join(error["path"][1:])
            line = self.lines.get(key.partition(".")[0] or "loss", self.model.line)
            self.problem(line, f"{key}: {error['problem']}" if key else error["problem"], error["accepted"])

    # The layers

    def layers(self, run: dict[str, Any]) -> tuple[tuple[Any, ...] | None, bool, int]:
        """Put what the layers say into `run`; the shape of an example, whether it is flattened, and where that is."""
        shape: tuple[Any, ...] | None = None
        flattened, line = False, self.model.line
        dense: list[dict[str, Any]] = []
        for argument in self.model.layers:
            made = argument.value
            if not isinstance(made, Made):
                what = f"{self.reader.quoted(argument.line)}: a layer that is not read"
                self.problem(argument.line, what, f"a call of {', '.join(LAYERS)}")
                continue
            name = made.ref.name
            if name not in LAYERS:
                what = f"{plain(name)}: not a layer that whichfix trains"
                self.problem(made.line, what, ", ".join(LAYERS))
                continue
            given = self.layer(made)
            here = self.shape_of(given)
            if here is not None and not dense:
                shape, line = here, made.line
            match name:
                case "Dense":
                    dense.append(self.dense(given, made.line))
                case "Flatten":
                    flattened = flattened or not dense
                case "Input" | "InputLayer":
                    if name == "Input":
                        self.reader.new.append((made.line, "Input(...) in a Sequential"))
                case "Rescaling":
                    self.reader.new.append((made.line, "Rescaling"))
                    scale = given.get("scale", Argument(Unknown(made.line), made.line))
                    if dense:
                        self.problem(made.line, "Rescaling after a Dense", "Rescaling of the input")
                    elif not is_number(scale.value):
                        self.problem(scale.line, f"Rescaling: scale {self.reader.text(scale.value)}", "a number")
                    else:
                        run["input_scale"] *= scale.value
                        self.lines["input_scale"] = scale.line
                case _:
                    given.setdefault("activation", Argument(name.lower(), made.line))
                    self.activate(dense, self.activation(given["activation"]), made.line)
        if not dense:
            self.problem(self.model.line, "a network without Dense", "one Dense or more")
        else:
            self.summarize(dense, run)
        return shape, flattened, line

    def layer(self, made: Made) -> dict[str, Argument]:
        """The arguments of a layer."""
        name = made.ref.name
        positions = POSITIONS.get(name, ())
        wanted = (*(key for key in positions if key not in HARMLESS[name]), *SHAPES)
        return self.reader.arguments(name, positions, made.args, made.keywords, made.line, wanted)

    def shape_of(self, given: Mapping[str, Argument]) -> tuple[Any, ...] | None:
        """The shape of an example that a layer is given; sizes that are not known are None."""
        for name in SHAPES:
            if name in given:
                value = given[name].value
                # A number in brackets is no tuple, but Keras takes it for one.
                sizes = value if isinstance(value, tuple) else (value,)
                return tuple(size if type(size) is int else None for size in sizes[name.startswith("batch_") :])
        return None

    def dense(self, given: Mapping[str, Argument], line: int) -> dict[str, Any]:
        """What one Dense says, by the keys of a configuration."""
        missing = Argument(None, line)
        units = given.get("units", missing)
        if type(units.value) is not int:
            self.problem(units.line, f"Dense: units {self.reader.text(units.value)}", "a whole number")
            units = Argument(1, units.line)
        kernel, bias = given.get("kernel_initializer"), given.get("bias_initializer")
        return {
            "line": line,
            "units": units,
            "activation": self.activation(given.get("activation", missing)),
            "l2": Argument(*self.l2(given.get("kernel_regularizer", missing))),
            "initializer": self.initializer(kernel, bias, line),
        }

    def activation(self, argument: Argument) -> str:
        """The name of an activation; linear for what is refused."""
        value = argument.value
        if isinstance(value, Ref) and value.is_keras:
            value = value.name
        if value is None:
            return "linear"
        if value not in ACTIVATIONS:
            self.problem(argument.line, f"activation {self.reader.text(argument.value)}", ", ".join(ACTIVATIONS))
            return "linear"
        return str(value)

    def activate(self, dense: list[dict[str, Any]], activation: str, line: int) -> None:
        if not dense:
            self.problem(line, f"{activation} before the first Dense", "an activation after a Dense")
        elif dense[-1]["activation"] != "linear" and activation != "linear":
            what = f"{activation} after {dense[-1]['activation']}, with no Dense between"
            self.problem(line, what, "one activation for each Dense")
        elif activation != "linear":
            dense[-1] |= {"activation": activation, "line": line}

    def l2(self, argument: Argument) -> tuple[float, int]:
        """The factor of the penalty on a kernel, and its line."""
        value = argument.value
        if value is None:
            return 0.0, argument.line
        if value in ("l2", "L2"):
            return 0.01, argument.line
        if isinstance(value, Made) and value.ref.name in ("l2", "L2"):
            names = ("l", "l2") if "l" in value.keywords else ("l2",)
            given = self.reader.arguments("l2", names, value.args, value.keywords, value.line, names)
            factor = next(iter(given.values()), Argument(0.01, value.line))
            if is_number(factor.value):
                return float(factor.value), value.line
        elif isinstance(value, Made) and value.ref.name in ("l1_l2", "L1L2"):
            given = self.reader.arguments("l1_l2", ("l1", "l2"), value.args, value.keywords, value.line, ("l1", "l2"))
            factors = [given.get(name, Argument(0.01, value.line)).value for name in ("l1", "l2")]
            if all(map(is_number, factors)) and factors[0] == 0:
                return float(factors[1]), value.line
        self.problem(argument.line, f"kernel_regularizer {self.reader.text(value)}", "None, l2(a number)")
        return 0.0, argument.line

    def initializer(self, kernel: Argument | None, bias: Argument | None, line: int) -> Argument:
        """How the weights are drawn: uniformly within a limit both kernels and biases are, or not at all."""
        drawn = self.uniform(kernel)
        names = [one.value.ref.name if isinstance(one.value, Made) else one.value for one in (kernel, bias) if one]
        place = kernel.line if kernel else line
        if drawn is not None and bias is not None and self.uniform(bias) == drawn:
            return Argument({"name": "uniform", "limit": drawn}, place)
        if kernel and names[0] not in ("glorot_uniform", "GlorotUniform"):
            accepted = "glorot_uniform; RandomUniform(-a, a) for kernel and bias alike"
            self.problem(kernel.line, f"kernel_initializer {self.reader.text(kernel.value)}", accepted)
        elif bias and names[-1] not in ("zeros", "zero", "Zeros"):
            self.problem(bias.line, f"bias_initializer {self.reader.text(bias.value)}", "zeros")
        return Argument(GLOROT_UNIFORM, place)

    def uniform(self, argument: Argument | None) -> float | None:
        """The limit of a draw that is uniform around zero."""
        value = argument.value if argument else None
        if value in ("uniform", "random_uniform", "RandomUniform"):
            return UNIFORM_LIMIT
        if not isinstance(value, Made) or value.ref.name not in ("RandomUniform", "random_uniform"):
            return None
        ends = dict(zip(("minval", "maxval"), value.args, strict=False)) | dict(value.keywords)
        low = ends.get("minval", Argument(-UNIFORM_LIMIT, 0)).value
        high = ends.get("maxval", Argument(UNIFORM_LIMIT, 0)).value
        return float(high) if is_number(low) and is_number(high) and low == -high else None

    def summarize(self, dense: Sequence[dict[str, Any]], run: dict[str, Any]) -> None:
        """Put into `run` what all of `dense` say, when they say it alike."""
        *hidden, output = dense
        run["hidden_units"] = [layer["units"].value for layer in hidden]
        run["hidden_activation"] = hidden[0]["activation"] if hidden else "linear"
        run["output_units"] = output["units"].value
        run["output_activation"] = output["activation"]
        self.lines |= {"output_units": output["units"].line, "output_activation": output["line"]}
        if hidden:
            self.lines |= {"hidden_units": hidden[0]["units"].line, "hidden_activation": hidden[0]["line"]}
        for layer in hidden[1:]:
            if layer["activation"] != run["hidden_activation"]:
                what = f"activation {layer['activation']} of a hidden layer after {run['hidden_activation']}"
                self.problem(layer["line"], what, "one activation for all hidden layers")
        for key in ("initializer", "l2"):
            run[key] = dense[0][key].value
            self.lines[key] = dense[0][key].line
            for layer in dense[1:]:
                if layer[key].value != run[key]:
                    what = f"{key} {shown(layer[key].value)} of a layer after {shown(run[key])}"
                    self.problem(layer[key].line, what, "the same for every Dense")
        if all(layer["l2"].value == 0 for layer in dense):
            self.assumed.append("no penalty on weights")
        if run["initializer"] == GLOROT_UNIFORM:
            self.assumed.append("weights drawn as glorot_uniform")

    # compile and fit

    def compiled(self, run: dict[str, Any]) -> None:
        """Put loss and optimizer into `run`."""
        if self.model.compiled is None:
            line = self.model.fitted[0] if self.model.fitted else self.model.line
            self.problem(line, "a model without compile before fit", "compile(loss=..., optimizer=...)")
            return
        line, given = self.model.compiled
        loss = given.get("loss", Argument(None, line))
        self.lines["loss"] = loss.line
        run["loss"] = self.loss(loss)
        # Keras's default.
        optimizer = given.get("optimizer", Argument("rmsprop", line))
        self.lines["optimizer"] = optimizer.line
        run["optimizer"] = self.optimizer(optimizer)

    def loss(self, argument: Argument) -> str | None:
        value = argument.value
        if isinstance(value, Made) and value.ref.name in LOSS_CLASSES:
            self.reader.new.append((value.line, value.ref.name))
            self.reader.arguments("loss", ("from_logits",), value.args, value.keywords, value.line, ())
            return LOSS_CLASSES[value.ref.name]
        name = value.name if isinstance(value, Ref) and value.is_keras else value
        if name in LOSSES:
            return str(name)
        accepted = f"{', '.join(LOSSES)}, and {', '.join(LOSS_CLASSES)}"
        self.problem(argument.line, f"loss {self.reader.text(value)}", accepted)
        return None

    def optimizer(self, argument: Argument) -> dict[str, Any] | None:
        value = argument.value
        name = value.ref.name if isinstance(value, Made) else value.name if isinstance(value, Ref) else value
        kind = name.lower() if isinstance(name, str) else ""
        if kind not in OPTIMIZERS:
            what = f"optimizer {self.reader.text(value)}"
            self.problem(argument.line, what, ", ".join(OPTIMIZERS))
            return None
        rate: Any = OPTIMIZERS[kind]
        given: dict[str, Argument] = {}
        if isinstance(value, Made):
            positions = ("learning_rate", "beta_1", "beta_2") if kind == "adam" else ("learning_rate", "momentum")
            for old in ("lr", "decay"):
                if old in value.keywords:
                    self.reader.old.append((value.keywords[old].line, f"{old}="))
            keywords = {"learning_rate" if key == "lr" else key: one for key, one in value.keywords.items()}
            if "learning_rate" in value.keywords:
                self.reader.new.append((value.keywords["learning_rate"].line, "learning_rate="))
            given = self.reader.arguments(
                kind, positions, value.args, keywords, value.line, ("learning_rate",), "every optimizer"
            )
        if "learning_rate" in given:
            rate = given["learning_rate"].value
            self.lines["optimizer"] = given["learning_rate"].line
            if not is_number(rate):
                what = f"{kind}: learning_rate {self.reader.text(rate)}"
                self.problem(given["learning_rate"].line, what, "a number")
                return None
        else:
            self.assumed.append(f"{kind}'s learning_rate {rate}")
        return {"name": kind, "learning_rate": float(rate)}

    def fitted(self, run: dict[str, Any]) -> tuple[Array | None, str | None, float | None]:
        """Put batch size and epochs into `run`; what the network is fitted to, and the validation data."""
        if self.model.fitted is None:
            return None, None, None
        line, given = self.model.fitted
        for key, default in (("batch_size", 32), ("epochs", 1)):
            argument = given.get(key, Argument(None, line))
            self.lines[key] = argument.line
            run[key] = default
            if argument.value is None:
                self.assumed.append(f"{key} {default}")
            elif type(argument.value) is int:
                run[key] = argument.value
            else:
                self.problem(argument.line, f"fit: {key} {self.reader.text(argument.value)}", "a whole number")
        x = self.fitted_to(given.get("x"), line, "x")
        y = self.fitted_to(given.get("y"), line, "y")
        if x and y and x.role is not None and x.role == y.role:
            self.problem(line, "fit: the same as x and as y", "the images, then their labels")
        if "x" in given:
            self.lines.setdefault("input_scale", given["x"].line)
        if y and y.factor != 1:
            self.problem(given["y"].line, f"fit: labels times {y.factor:g}", "the digits, or their one-hot rows")
        split, held = given.get("validation_split"), given.get("validation_data")
        if split and is_number(split.value) and split.value:
            return x, f"validation_split {split.value:g}", float(split.value)
        if split and split.value is not None and not is_number(split.value):
            self.problem(split.line, f"fit: validation_split {self.reader.text(split.value)}", "a number")
        return x, "validation_data" if held and held.value is not None else None, None

    def fitted_to(self, argument: Argument | None, line: int, name: str) -> Array | None:
        if argument is None:
            self.problem(line, f"fit: without {name}", "fit(x, y, ...)")
            return None
        array = self.reader.array(argument.value)
        if array is None:
            made = getattr(argument.value, "line", argument.line)
            what = f"{self.reader.quoted(made)}: what fit has as {name} is made in a way that is not read"
            accepted = (
                "the data as loaded, divided or multiplied by a number, reshaped"
                if name == "x"
                else "the digits, or their one-hot rows"
            )
            self.problem(made, what, accepted)
        elif array.role in ROLES and array.role != TRAINING[name]:
            self.problem(argument.line, f"fit: {array.role} as {name}", TRAINING[name])
        return array

    def check_width(
        self, layers: tuple[tuple[Any, ...] | None, bool, int], x: Array | None, width: int | None
    ) -> int | None:
        """The values of an example as the network and the data have them, refused where they differ."""
        shape, flattened, line = layers
        data = x.shape[1:] if x and x.shape and len(x.shape) > 1 else None
        if not flattened and any(known and len(known) > 1 for known in (shape, data)):
            sizes = self.reader.text(shape if shape and len(shape) > 1 else data)
            what = f"examples of shape {sizes} and no Flatten: Dense would be of their last axis alone"
            self.problem(line, what, "Flatten(), or examples in one row")
            return None
        found = None
        for known in (shape, data):
            if known and None not in known:
                product = math.prod(known)
                if found is not None and product != found:
                    self.problem(line, f"a network of {found} inputs for examples of {product} values", "as many")
                found = product if found is None else found
        if found is not None and width is not None and found != width:
            self.problem(line, f"a network of {found} inputs", f"{width}, as the dataset has")
        return found
