"""A Python script, never run -> the Sequential that it builds, compiles and fits, as far as names can be followed.

Names bound to numbers, layers, optimizers and arrays are followed from the first statement to the last, by the
signatures of Keras 1, 2 and 3. What cannot matter to training is passed over.
"""

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stages.core.params import N_CLASSES

# Larger numbers are of no network.
LARGEST = 1e15

KERAS = ("keras", "tensorflow", "tf", "tf_keras")
# What holds a network and is no Sequential.
OTHER_MODELS = ("Functional", "Graph", "KerasClassifier", "KerasRegressor", "Model", "load_model", "model_from_json")

# What the arguments are that a call is given by position.
COMPILE = ("optimizer", "loss", "metrics", "loss_weights")
FIT = ("x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split", "validation_data", "shuffle")
FIT_READ = ("x", "y", "batch_size", "epochs", "validation_split", "validation_data")
# Keras 1's names of what is named otherwise since.
RENAMED = {
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
    "bias": "use_bias",
    "init": "kernel_initializer",
    "nb_epoch": "epochs",
    "output_dim": "units",
}
# The values that leave training as it is, and the arguments that always do.
HARMLESS: dict[str, dict[str, tuple[Any, ...]]] = {
    "Activation": {"name": ()},
    "Dense": {
        "use_bias": (True,),
        "bias_regularizer": (None,),
        "activity_regularizer": (None,),
        "kernel_constraint": (None,),
        "bias_constraint": (None,),
        "lora_rank": (None,),
        "weights": (None,),
        "trainable": (True,),
        "dtype": (None, "float32"),
        "name": (),
    },
    "Flatten": {"data_format": (None, "channels_last"), "name": ()},
    "Input": {"batch_size": (None,), "dtype": (None, "float32"), "sparse": (False, None), "name": ()},
    "InputLayer": {"batch_size": (None,), "dtype": (None, "float32"), "sparse": (False, None), "name": ()},
    "ReLU": {"max_value": (None,), "negative_slope": (0,), "threshold": (0,), "name": ()},
    "Rescaling": {"offset": (0,), "name": ()},
    "Softmax": {"axis": (-1, 1), "name": ()},
    "Sequential": {"name": (), "trainable": (True,)},
    "adam": {
        "beta_1": (0.9,),
        "beta_2": (0.999,),
        "epsilon": (None, 1e-7),
        "amsgrad": (False,),
        "name": (),
    },
    "sgd": {"momentum": (0,), "nesterov": (False,), "name": ()},
    "every optimizer": {
        "decay": (0, None),
        "weight_decay": (None, 0),
        "clipnorm": (None,),
        "clipvalue": (None,),
        "global_clipnorm": (None,),
        "use_ema": (False,),
        "jit_compile": (),
    },
    "loss": {
        "from_logits": (False,),
        "label_smoothing": (0,),
        "axis": (-1,),
        "ignore_class": (None,),
        "reduction": ("auto", "sum_over_batch_size"),
        "name": (),
    },
    "compile": {
        "metrics": (),
        "weighted_metrics": (),
        "run_eagerly": (),
        "steps_per_execution": (),
        "jit_compile": (),
        "auto_scale_loss": (),
        "loss_weights": (None,),
        "sample_weight_mode": (None,),
    },
    "fit": {
        "verbose": (),
        "workers": (),
        "use_multiprocessing": (),
        "max_queue_size": (),
        "validation_batch_size": (),
        "validation_freq": (),
        "validation_steps": (),
        "show_accuracy": (),
        "callbacks": (None, ()),
        "shuffle": (True,),
        "class_weight": (None,),
        "sample_weight": (None,),
        "initial_epoch": (0,),
        "steps_per_epoch": (None,),
    },
}
# Methods of a model that leave what it learns in `fit` as it is.
LOOKS = (
    *("count_params", "evaluate", "get_config", "get_layer", "get_weights", "predict", "predict_classes"),
    *("predict_on_batch", "predict_proba", "save", "save_weights", "score", "summary", "test_on_batch", "to_json"),
    *("to_yaml", "export"),
)
# Functions that change how everything is computed or a network that is there, whatever they are given.
SETTERS = ("set_dtype_policy", "set_epsilon", "set_floatx", "set_global_policy", "set_learning_phase", "set_value")
# Functions and methods that change an array in its place.
IN_PLACE = ("append", "extend", "fill", "insert", "itemset", "partition", "put", "resize", "shuffle", "sort")
LOADERS = ("fetch_mldata", "fetch_openml", "genfromtxt", "load", "load_data", "loadmat", "loadtxt", "read_csv")
SAME_ARRAY = ("array", "asarray", "ascontiguousarray", "constant", "convert_to_tensor", "copy", "float32", "to_numpy")
ONE_HOT = ("to_categorical", "get_dummies", "one_hot")
FLOATS = ("float", "float32", "float64")

OLD_MODULES = ("keras.layers.convolutional", "keras.layers.core", "keras.utils.np_utils")
NEW_MODULES = ("tensorflow.keras", "tensorflow.python.keras", "tf_keras")
# Names of modules that questions use without their import.
MODULES = ("K", "keras", "layers", "np", "numpy", "pd", "plt", "regularizers", "tensorflow", "tf")


@dataclass(frozen=True, order=True)
class Problem:
    """A line of the script that is not read or cannot be trained, and what is accepted in its place."""

    line: int
    what: str
    accepted: str


@dataclass(frozen=True)
class Ref:
    """A name of another module, or one that nothing in the script binds."""

    path: str
    bound: bool

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.rpartition(".")[2]

    @property
    def root(self) -> str:
        """Its first part."""
        return self.path.partition(".")[0]

    @property
    def is_keras(self) -> bool:
        """Whether it may be one of Keras's: questions often leave imports out."""
        return self.root in KERAS or not self.bound


@dataclass(frozen=True)
class Argument:
    """What a call is given, and where."""

    value: Any
    line: int


@dataclass(frozen=True)
class Made:
    """What a call of Keras makes: a layer, an optimizer, a loss."""

    ref: Ref
    args: tuple[Argument, ...]
    keywords: Mapping[str, Argument]
    line: int


@dataclass(frozen=True)
class Array:
    """Data times `factor`; `shape` as far as it is known. Of `loaded` data a part by name is data too."""

    factor: float = 1.0
    shape: tuple[int | None, ...] | None = None
    loaded: bool = False


@dataclass(frozen=True)
class Unknown:
    """What is not followed, and the line that makes it."""

    line: int


@dataclass
class Model:
    """A Sequential as far as it is built."""

    line: int
    layers: list[Argument] = field(default_factory=list)
    compiled: tuple[int, dict[str, Argument]] | None = None
    fitted: tuple[int, dict[str, Argument]] | None = None


MNIST = (
    (Array(shape=(60_000, 28, 28)), Array(shape=(60_000,))),
    (Array(shape=(10_000, 28, 28)), Array(shape=(10_000,))),
)
OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


def plain(text: str, length: int = 80) -> str:
    """`text` in one line of at most `length` characters that no terminal takes for more than text."""
    line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in " ".join(text.split()))
    return line if len(line) <= length else f"{line[: length - 3]}..."


def is_number(value: Any) -> bool:
    """Whether `value` is a number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def constant(text: str) -> Any:
    """The number, or tuple of numbers, that an expression such as ``1/255`` is, None where it is something else."""
    try:
        value = Reader([]).evaluate(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    numbers = value if isinstance(value, tuple) else (value,)
    return value if all(map(is_number, numbers)) else None


class Reader:
    """The state of a script after each of its statements, and what was wrong so far."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self.names: dict[str, Any] = {}
        self.models: list[Model] = []
        self.problems: list[Problem] = []
        # What tells the version of Keras: (line, what).
        self.old: list[tuple[int, str]] = []
        self.new: list[tuple[int, str]] = []
        self.tensorflow: list[tuple[int, str]] = []
        self.imports: list[tuple[int, str]] = []

    def problem(self, line: int, what: str, accepted: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(line, what, accepted))

    def quoted(self, line: int) -> str:
        """The script's own `line`."""
        return plain(self.lines[line - 1]) if 0 < line <= len(self.lines) else "this line"

    # Statements

    def run(self, body: Iterable[ast.stmt]) -> None:
        """Follow the statements of `body`."""
        for node in body:
            self.statement(node)

    def statement(self, node: ast.stmt) -> None:
        """Follow one statement."""
        match node:
            case ast.Import():
                for alias in node.names:
                    self.imported(alias.name, node.lineno)
                    root = alias.name.partition(".")[0]
                    self.names[alias.asname or root] = Ref(alias.name if alias.asname else root, bound=True)
            case ast.ImportFrom():
                for alias in node.names:
                    path = f"{node.module or ''}.{alias.name}"
                    self.imported(path, node.lineno)
                    # What `*` brings is left unbound, and so may be Keras's.
                    if alias.name != "*":
                        self.names[alias.asname or alias.name] = Ref(path, bound=True)
            case ast.Assign():
                value = self.evaluate(node.value)
                for target in node.targets:
                    self.bind(target, value, node.lineno)
            case ast.AnnAssign(value=ast.expr() as given):
                self.bind(node.target, self.evaluate(given), node.lineno)
            case ast.AugAssign(target=ast.Name(id=name)):
                self.names[name] = self.binary(self.named(name), node.op, self.evaluate(node.value), node.lineno)
            case ast.AugAssign():
                self.bind(node.target, Unknown(node.lineno), node.lineno)
            case ast.Expr():
                self.evaluate(node.value)
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                self.run(node.body)
            case ast.With():
                for item in node.items:
                    if item.optional_vars:
                        self.bind(item.optional_vars, Unknown(node.lineno), node.lineno)
                self.run(node.body)
            case ast.Try():
                self.run([*node.body, *node.orelse, *node.finalbody])
                for handler in node.handlers:
                    self.pass_over(handler)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self.names[node.name] = Unknown(node.lineno)
            case ast.Delete():
                for target in node.targets:
                    self.bind(target, Unknown(node.lineno), node.lineno)
            case ast.If() | ast.For() | ast.AsyncFor() | ast.While() | ast.Match() | ast.AsyncWith():
                self.pass_over(node)

    def imported(self, path: str, line: int) -> None:
        """Note what an import of `path` tells about the version of Keras."""
        what = f"imports {plain(path)}"
        # TensorFlow alone may be imported beside a Keras of its own.
        if path.startswith(NEW_MODULES):
            self.tensorflow.append((line, what))
        elif path.partition(".")[0] == "keras":
            (self.old if path.startswith(OLD_MODULES) else self.imports).append((line, what))

    def pass_over(self, node: ast.AST) -> None:
        """Give up what a loop or a condition sets, and refuse what it does to a model."""
        for part in ast.walk(node):
            match part:
                case ast.Import() | ast.ImportFrom():
                    self.statement(part)
                case ast.Name(id=name, ctx=ast.Store()):
                    self.names[name] = Unknown(part.lineno)
                case ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()):
                    self.bind(part, Unknown(part.lineno), part.lineno)
                case ast.Call():
                    self.lose(part)
        self.refuse_methods(node)

    def refuse_methods(self, node: ast.AST) -> None:
        """Refuse what changes a model anywhere in `node`, which is not followed."""
        for part in ast.walk(node):
            match part:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)):
                    if isinstance(self.names.get(name), Model) and attr not in LOOKS:
                        what = f"{plain(name)}.{plain(attr)}(...) inside of what is not followed"
                        self.problem(part.lineno, what, "a statement outside of loops, conditions and functions")

    def lose(self, node: ast.Call) -> None:
        """Give up the arrays that a call changes in their place."""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in IN_PLACE:
            owner = [node.func.value] if isinstance(node.func, ast.Attribute) else []
            for part in [*node.args, *owner]:
                if isinstance(part, ast.Name) and not isinstance(self.names.get(part.id), Ref | Model):
                    self.names[part.id] = Unknown(node.lineno)

    def bind(self, target: ast.expr, value: Any, line: int) -> None:
        """Give `value` to what stands left of an assignment."""
        match target:
            case ast.Name(id=name):
                self.names[name] = value
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                if isinstance(value, Array) and value.loaded:
                    # Images and labels, or two pairs of them.
                    values: Sequence[Any] = [value] * len(parts)
                elif isinstance(value, tuple) and len(value) == len(parts):
                    values = value
                else:
                    values = [Unknown(line)] * len(parts)
                for part, one in zip(parts, values, strict=True):
                    self.bind(part, one, line)
            case ast.Starred(value=part):
                self.bind(part, Unknown(line), line)
            case ast.Attribute() | ast.Subscript():
                root: ast.expr = target
                while isinstance(root, ast.Attribute | ast.Subscript | ast.Call):
                    root = root.func if isinstance(root, ast.Call) else root.value
                if isinstance(root, ast.Name):
                    owner = self.names.get(root.id)
                    if isinstance(owner, Model):
                        self.problem(line, f"{self.quoted(line)}: sets a part of the model", "what its calls set")
                    elif not isinstance(owner, Ref):
                        self.names[root.id] = Unknown(line)

    # Expressions

    def named(self, name: str) -> Any:
        """What a name is bound to."""
        return self.names.get(name, Ref(name, bound=False))

    def evaluate(self, node: ast.expr) -> Any:
        """What an expression amounts to."""
        match node:
            case ast.Constant(value=value):
                if value is None or isinstance(value, bool | str):
                    return value
                small = isinstance(value, int | float) and abs(value) <= LARGEST
                return value if small else Unknown(node.lineno)
            case ast.Name(id=name):
                return self.named(name)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return tuple(self.evaluate(part) for part in parts)
            case ast.Attribute():
                return self.attribute(self.evaluate(node.value), node.attr, node.lineno)
            case ast.Call():
                return self.call(node)
            case ast.BinOp():
                return self.binary(self.evaluate(node.left), node.op, self.evaluate(node.right), node.lineno)
            case ast.UnaryOp(op=ast.USub()):
                value = self.evaluate(node.operand)
                return -value if is_number(value) else Unknown(node.lineno)
            case ast.Subscript():
                return self.subscript(self.evaluate(node.value), node.slice, node.lineno)
            case ast.NamedExpr():
                value = self.evaluate(node.value)
                self.bind(node.target, value, node.lineno)
                return value
        self.refuse_methods(node)
        return Unknown(node.lineno)

    def attribute(self, value: Any, attr: str, line: int) -> Any:
        """A part of `value` by its name."""
        match value:
            case Ref():
                return Ref(f"{value.path}.{attr}", value.bound)
            case Array() if attr == "shape":
                return value.shape or Unknown(line)
            case Array() if attr == "values" or (value.loaded and attr in ("data", "images", "target")):
                return value
        return Unknown(line)

    def binary(self, left: Any, op: ast.operator, right: Any, line: int) -> Any:
        """The result of an operator."""
        if is_number(left) and is_number(right):
            if type(op) not in OPERATORS or (isinstance(op, ast.Pow) and (abs(left) > LARGEST or abs(right) > 64)):
                return Unknown(line)
            try:
                result = OPERATORS[type(op)](left, right)
            except ArithmeticError:
                return Unknown(line)
            return result if is_number(result) and abs(result) <= LARGEST else Unknown(line)
        array = self.array(left)
        if array and is_number(right) and isinstance(op, ast.Div) and right:
            return replace(array, factor=array.factor / right)
        if not array and isinstance(op, ast.Mult):
            array, right = self.array(right), left
        if array and is_number(right) and isinstance(op, ast.Mult):
            return replace(array, factor=array.factor * right)
        return Unknown(line)

    def array(self, value: Any) -> Array | None:
        """`value` as data: a name that the script does not bind is of data that the question describes."""
        if isinstance(value, Ref) and not value.bound and "." not in value.path and value.path not in MODULES:
            return Array()
        return value if isinstance(value, Array) else None

    def subscript(self, value: Any, index: ast.expr, line: int) -> Any:
        """A part of `value` in brackets."""
        if isinstance(value, tuple):
            place = self.evaluate(index)
            return value[place] if type(place) is int and -len(value) <= place < len(value) else Unknown(line)
        array = self.array(value)
        if array is None:
            return Unknown(line)
        if array.loaded and isinstance(index, ast.Constant) and isinstance(index.value, str):
            return replace(array, loaded=False)
        added = 0
        for part in index.elts if isinstance(index, ast.Tuple) else [index]:
            match part:
                case ast.Constant(value=None) | ast.Attribute(attr="newaxis"):
                    added += 1
                case ast.Constant(value=value) if value is ... and not added:
                    pass
                case ast.Slice(lower=None, upper=None, step=None) if not added:
                    pass
                case _:
                    return Unknown(line)
        return replace(array, shape=(*array.shape, *[1] * added) if array.shape else None)

    # Calls

    def call(self, node: ast.Call) -> Any:
        """What a call gives."""
        self.lose(node)
        owner = self.evaluate(node.func.value) if isinstance(node.func, ast.Attribute) else None
        args = tuple(Argument(self.given(part), part.lineno) for part in node.args)
        keywords = {key.arg or "**": Argument(self.given(key.value), key.value.lineno) for key in node.keywords}
        line = node.lineno
        if isinstance(node.func, ast.Attribute):
            attr = node.func.attr
            if isinstance(owner, Model):
                return self.method(owner, attr, args, keywords, node.func.end_lineno or line)
            if isinstance(owner, Made) and owner.ref.name in OTHER_MODELS and attr in ("add", "compile", "fit"):
                self.problem(owner.line, f"{owner.ref.name}: not a model that whichfix reads", "Sequential")
                return Unknown(line)
            array = self.array(owner)
            if array and (isinstance(owner, Array) or attr in ("astype", "copy", "reshape", "to_numpy")):
                return self.array_method(array, attr, args, line)
            callee = self.attribute(owner, attr, line)
        else:
            callee = self.evaluate(node.func)
        if isinstance(callee, Ref):
            return self.called(callee, args, keywords, line)
        if any(isinstance(argument.value, Model) for argument in (*args, *keywords.values())):
            self.problem(line, f"{self.quoted(line)}: a function of the script is given the model", "its statements")
        return Unknown(line)

    def given(self, node: ast.expr) -> Any:
        """What a call is given as one argument."""
        return Unknown(node.lineno) if isinstance(node, ast.Starred) else self.evaluate(node)

    def called(self, ref: Ref, args: tuple[Argument, ...], keywords: Mapping[str, Argument], line: int) -> Any:
        """What a call of something that the script imports, or does not bind, gives."""
        values = [argument.value for argument in args]
        first = self.array(values[0]) if values else None
        match ref.name:
            case "Sequential" if ref.is_keras:
                return self.sequential(ref, args, keywords, line)
            case "load_data" if ref.path.split(".")[-2:] == ["mnist", "load_data"]:
                return MNIST
            case "load_data" if ref.root in KERAS or "." in ref.path:
                return Unknown(line)
            case name if name in LOADERS and (name != "load" or ref.root in ("np", "numpy")):
                return Array(loaded=True)
            case name if name in SETTERS:
                self.problem(line, f"{self.quoted(line)}: changes how networks are computed", "Keras's own settings")
            case "int" | "float" if not ref.bound and len(values) == 1 and is_number(values[0]):
                return int(values[0]) if ref.name == "int" else float(values[0])
            case "len" if not ref.bound and values:
                if first and first.shape and first.shape[0]:
                    return first.shape[0]
                return len(values[0]) if isinstance(values[0], tuple) else Unknown(line)
            case "prod" if values and isinstance(values[0], tuple) and all(map(is_number, values[0])):
                product = math.prod(values[0])
                return product if abs(product) <= LARGEST else Unknown(line)
            case name if first and name in SAME_ARRAY:
                return first
            case "cast" if first:
                return self.converted_array(first, (*values[1:], *(keywords[key].value for key in keywords))[:1], line)
            case "reshape" if first:
                shape = keywords.get("newshape") or keywords.get("shape") or (args[1] if len(args) > 1 else None)
                return self.reshaped(first, shape.value if shape else None, line)
            case "expand_dims" if first:
                axis = keywords.get("axis") or (args[1] if len(args) > 1 else None)
                if axis and axis.value in (-1, len(first.shape or ())):
                    return replace(first, shape=(*first.shape, 1) if first.shape else None)
                return Unknown(line)
            case name if first and name in ONE_HOT:
                if "np_utils" in ref.path:
                    self.old.append((line, plain(ref.path)))
                return Array(first.factor, (first.shape[0] if first.shape else None, N_CLASSES))
            case name if ref.is_keras:
                return Made(ref, args, keywords, line)
        return Unknown(line)

    def array_method(self, array: Array, attr: str, args: tuple[Argument, ...], line: int) -> Any:
        """What a method of an array gives."""
        values = tuple(argument.value for argument in args)
        match attr:
            case "astype":
                return self.converted_array(array, values[:1], line)
            case "copy" | "to_numpy":
                return array
            case "drop" if array.loaded:
                return array
            case "reshape":
                return self.reshaped(array, values[0] if len(values) == 1 else values, line)
        return Unknown(line)

    def converted_array(self, array: Array, kind: tuple[Any, ...], line: int) -> Any:
        """`array` as another type of numbers: whole ones would cut off what was scaled."""
        name = kind[0].name if kind and isinstance(kind[0], Ref) else kind[0] if kind else None
        return array if name in FLOATS or (array.factor == 1 and name in ("int", "int32", "uint8")) else Unknown(line)

    def reshaped(self, array: Array, shape: Any, line: int) -> Any:
        """`array` in `shape`, where each example stays one."""
        sizes = shape if isinstance(shape, tuple) else (shape,)
        if sizes == (-1,):
            # Labels in one row.
            return replace(array, shape=array.shape[:1] if array.shape else None)
        known = [size if type(size) is int else None for size in sizes]
        count = array.shape[0] if array.shape else None
        if not known or (known[0] is not None and known[0] != -1 and count is not None and known[0] != count):
            return Unknown(line)
        if -1 in known[1:]:
            inside = array.shape[1:] if array.shape else (None,)
            total = None if None in inside else math.prod(size or 1 for size in inside)
            others = [size for size in known[1:] if size != -1]
            per = None if None in others else math.prod(size or 1 for size in others)
            found = total // per if total and per and total % per == 0 else None
            known = [known[0], *(found if size == -1 else size for size in known[1:])]
        return replace(array, shape=(count, *known[1:]))

    def sequential(self, ref: Ref, args: tuple[Argument, ...], keywords: Mapping[str, Argument], line: int) -> Model:
        """A new model."""
        if ref.root in KERAS and ref.root != "keras":
            self.tensorflow.append((line, plain(ref.path)))
        model = Model(line)
        given = self.arguments("Sequential", ("layers",), args, keywords, line, ("layers",))
        layers = given.pop("layers", Argument((), line))
        if isinstance(layers.value, tuple):
            # Each layer has the line of its own call.
            model.layers += [Argument(layer, getattr(layer, "line", layers.line)) for layer in layers.value]
        elif layers.value is not None:
            self.problem(layers.line, f"{self.quoted(layers.line)}: layers that are not read", "a list of layers")
        self.models.append(model)
        return model

    def method(
        self, model: Model, attr: str, args: tuple[Argument, ...], keywords: Mapping[str, Argument], line: int
    ) -> Any:
        """Note what a method of a model does."""
        if attr == "add":
            layer = next(iter((*args, *keywords.values())), Argument(Unknown(line), line))
            model.layers.append(Argument(layer.value, getattr(layer.value, "line", layer.line)))
        elif attr == "compile":
            model.compiled = line, self.arguments("compile", COMPILE, args, keywords, line, COMPILE[:2])
        elif attr == "fit":
            if model.fitted:
                self.problem(line, "fit: a second one", "one fit")
            model.fitted = line, self.arguments("fit", FIT, args, keywords, line, FIT_READ)
        elif attr == "build":
            pass
        elif attr not in LOOKS:
            self.problem(line, f"{plain(attr)}: not a method of a model that is read", "add, compile, fit")
        elif attr in ("predict_classes", "predict_proba"):
            self.old.append((line, attr))
        return Unknown(line)

    def arguments(
        self,
        kind: str,
        positions: Sequence[str],
        args: Sequence[Argument],
        keywords: Mapping[str, Argument],
        line: int,
        wanted: Sequence[str],
        others: str = "",
    ) -> dict[str, Argument]:
        """The arguments of a call by their names of today: those `wanted`, when every other one is harmless."""
        if len(args) > len(positions):
            self.problem(line, f"{kind}: {len(args)} arguments by position", f"at most {len(positions)}")
        given = dict(zip(positions, args, strict=False))
        for name, argument in keywords.items():
            if name in RENAMED:
                self.old.append((argument.line, f"{name}="))
            given[RENAMED.get(name, name)] = argument
        harmless = HARMLESS.get(kind, {}) | HARMLESS.get(others, {})
        kept = {}
        for name, argument in given.items():
            if name in wanted:
                kept[name] = argument
            elif name not in harmless:
                accepted = ", ".join((*wanted, *harmless))
                self.problem(argument.line, f"{kind}: {plain(name)}=: not an argument that is read", accepted)
            elif harmless[name] and argument.value not in harmless[name]:
                accepted = " or ".join(map(self.text, harmless[name]))
                self.problem(argument.line, f"{kind}: {name}={self.text(argument.value)}", accepted)
        return kept

    def text(self, value: Any) -> str:
        """`value` as a script has it."""
        match value:
            case Unknown():
                return "a value that is not read"
            case Made():
                return f"{plain(value.ref.path)}(...)"
            case Ref():
                return plain(value.path)
            case Array() | Model():
                return "data or a model"
            case tuple():
                parts = ["(...)" if isinstance(part, tuple) else self.text(part) for part in value[:9]]
                return plain(f"({', '.join(parts)})")
        return plain(repr(value))

    def semantics(self) -> tuple[str, str]:
        """`keras_semantics` and why: what is no older is taken for Keras 2.2, whose losses the questions of 2018 had.

        That of TensorFlow goes back to the logits behind an output since TensorFlow 2.0, as Keras 3 does.
        """
        for value, places in (("3", self.tensorflow), ("2.2", self.old), ("3", self.new), ("2.2", self.imports)):
            if places:
                line, what = places[0]
                return value, f"line {line} {what if what.startswith('imports') else 'has ' + what}"
        return "2.2", "nothing in the script is newer"
