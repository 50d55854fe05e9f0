"""A Python script, never run -> the Sequential that it builds, compiles and fits, as far as names can be followed.

Names bound to numbers, layers, optimizers and arrays are followed from the first statement to the last, by the
signatures of Keras 1, 2 and 3. What cannot matter to training is passed over; what may change a model or data in a way
that is not followed is refused, or the data given up.
"""

import ast
import builtins
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stages.core.params import N_CLASSES

# Larger numbers are of no network.
LARGEST = 1e15
# Values that hold more others are of no script that people post.
MOST_REACHED = 1000

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
# What of a model, and of what it holds, is nothing by which it could be changed.
READS = (
    *(name for name in LOOKS if name != "get_layer"),
    *("history", "input_shape", "metrics_names", "name", "output_shape"),
)
# Functions that may be given a model.
TAKERS = ("display", "id", "isinstance", "len", "model_to_dot", "plot_model", "print", "repr", "str", "type")
# Functions that reach every name of the script.
REACH_ALL = ("eval", "exec", "globals", "locals")
# Functions and methods that change in its place what they are given or are of, and the arguments that make others do.
IN_PLACE = (
    *("append", "at", "byteswap", "clear", "copyto", "delattr", "extend", "fill", "fill_diagonal", "insert", "itemset"),
    *("partition", "place", "pop", "preprocess_input", "put", "put_along_axis", "putmask", "remove", "resize"),
    *(
        "reverse",
        "setattr",
        "setdefault",
        "setfield",
        "setflags",
        "shuffle",
        "sort",
        "update",
        "__delitem__",
        "__setattr__",
    ),
    *("__setitem__", "__imul__", "__itruediv__", "__iadd__", "__isub__"),
)
IN_PLACE_ARGUMENTS = ("copy", "inplace", "out")
# Methods that leave what they are given as it is: of models, plots, texts and dictionaries.
SHOWS = (
    *(*LOOKS, *dir(str), *dir(dict)),
    *("bar", "hist", "imshow", "matshow", "pcolormesh", "plot", "scatter", "set_title", "write"),
)
# Functions that do: all of these libraries, and of Python.
LIBRARIES = (
    *("collections", "cv2", "h5py", "IPython", "itertools", "keras", "math", "matplotlib", "numpy", "os", "pandas"),
    *("PIL", "random", "scipy", "seaborn", "skimage", "sklearn", "sys", "tensorflow", "tf_keras", "time"),
)
LOADERS = ("fetch_mldata", "fetch_openml", "genfromtxt", "load", "load_data", "loadmat", "loadtxt", "read_csv")
SAME_ARRAY = ("array", "asarray", "ascontiguousarray", "constant", "convert_to_tensor", "copy", "float32", "to_numpy")
ONE_HOT = ("to_categorical", "get_dummies", "one_hot")
FLOATS = ("float", "float32", "float64")
# Such functions, where their import is left out.
LEAVING = (*SAME_ARRAY, *ONE_HOT, "cast", "expand_dims", "imshow", "normalize", "reshape", "train_test_split")

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


class Thing:
    """A list or the numbers of an array in memory, which may be a part of another's; several values may be of it."""

    def __init__(self, whole: "Thing | None" = None) -> None:
        self.whole = whole


@dataclass(frozen=True, eq=False)
class Made:
    """What a call of Keras makes: a layer, an optimizer, a loss."""

    ref: Ref
    args: tuple[Argument, ...]
    keywords: Mapping[str, Argument]
    line: int
    reach: frozenset[Any] = frozenset()


@dataclass(frozen=True)
class Array:
    """Data times `factor`; `shape` as far as it is known. Of `loaded` data a part by name is data too.

    `whole` numbers are of a type that cuts off or wraps; None where it is not known. `role` tells data apart, MNIST's
    by what they are.
    """

    factor: float = 1.0
    shape: tuple[int | None, ...] | None = None
    loaded: bool = False
    whole: bool | None = field(default=None, compare=False)
    role: Any = field(default=None, compare=False)
    thing: Thing = field(default_factory=Thing, compare=False)

    def part(self, loaded: bool) -> "Array":
        """A part by its name or its place."""
        thing = Thing(self.thing)
        return replace(self, loaded=loaded, role=thing, thing=thing)


@dataclass(frozen=True)
class Unknown:
    """What is not followed, the line that makes it, and what could be changed through it."""

    line: int
    reach: frozenset[Any] = field(default=frozenset(), compare=False)


class Items(tuple[Any, ...]):
    """The items of a list or a tuple, and what could be changed through them."""

    reach: frozenset[Any] = frozenset()


@dataclass(frozen=True, eq=False)
class Function:
    """A function or a class of the script. It is not followed; what it could change is looked for where it is used."""

    node: "Definition"

    @property
    def line(self) -> int:
        """Where it is defined."""
        return self.node.lineno


@dataclass(eq=False)
class Model:
    """A Sequential as far as it is built."""

    line: int
    layers: list[Argument] = field(default_factory=list)
    compiled: tuple[int, dict[str, Argument]] | None = None
    fitted: tuple[int, dict[str, Argument]] | None = None


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

TRAINING = {"x": "the images of the training split", "y": "the labels of the training split"}
MNIST = (
    (
        Array(shape=(60_000, 28, 28), whole=True, role=TRAINING["x"]),
        Array(shape=(60_000,), whole=True, role=TRAINING["y"]),
    ),
    (
        Array(shape=(10_000, 28, 28), whole=True, role="the images of the test split"),
        Array(shape=(10_000,), whole=True, role="the labels of the test split"),
    ),
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


def with_wholes(reached: Iterable[Any]) -> set[Any]:
    """What is `reached`, and all that it is a part of."""
    found = set()
    for one in reached:
        while one is not None and one not in found:
            found.add(one)
            one = one.whole if isinstance(one, Thing) else None
    return found


def local_names(scope: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> tuple[set[str], set[str]]:
    """The names that are local to a function, and those that it declares to be the script's."""
    given = scope.args
    found = {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg) if one}
    declared: set[str] = set()
    outer: set[str] = set()
    waiting: list[ast.AST] = [scope.body] if isinstance(scope, ast.Lambda) else [*scope.body]
    while waiting:
        match part := waiting.pop():
            case ast.Global(names=names):
                declared |= {*names}
            case ast.Nonlocal(names=names):
                outer |= {*names}
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
        if not isinstance(part, (*SCOPES, *COMPREHENSIONS, ast.ClassDef)):
            waiting += ast.iter_child_nodes(part)
    return found - declared - outer, declared


def parts(node: ast.AST) -> Iterator[tuple[ast.AST, frozenset[str]]]:
    """Everything in `node`, and the names that are no longer the script's where it stands."""
    waiting: list[tuple[ast.AST, frozenset[str]]] = [(node, frozenset())]
    while waiting:
        part, local = waiting.pop()
        yield part, local
        if isinstance(part, SCOPES):
            found, declared = local_names(part)
            local = local - declared | found
        elif isinstance(part, COMPREHENSIONS):
            targets = [name for one in part.generators for name in ast.walk(one.target)]
            local |= {name.id for name in targets if isinstance(name, ast.Name)}
        waiting += [(child, local) for child in ast.iter_child_nodes(part)]


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
        # The data that names stand for which nothing binds.
        self.described: dict[str, Array] = {}
        # The uses of functions that are being looked at.
        self.used: set[tuple[Function, frozenset[Any]]] = set()

    def problem(self, line: int, what: str, accepted: str) -> None:
        """Note a problem."""
        found = Problem(line, what, accepted)
        if found not in self.problems:
            self.problems.append(found)

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
                before, given = self.named(name), self.evaluate(node.value)
                self.change(self.reach(before), node.lineno)
                self.names[name] = self.binary(before, node.op, given, node.lineno)
            case ast.AugAssign():
                self.bind(node.target, self.unknown(node.lineno, self.evaluate(node.value)), node.lineno)
            case ast.Expr():
                self.evaluate(node.value)
            case ast.Assert():
                self.evaluate(node.test)
            case ast.Raise(exc=ast.expr() as given) | ast.Return(value=ast.expr() as given):
                self.evaluate(given)
            case ast.If(
                test=ast.Compare(
                    left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]
                )
            ) if "__name__" not in self.names:
                self.run(node.body)
            case ast.With():
                for item in node.items:
                    value = self.unknown(node.lineno, self.evaluate(item.context_expr))
                    if item.optional_vars:
                        self.bind(item.optional_vars, value, node.lineno)
                self.run(node.body)
            case ast.Try():
                self.run([*node.body, *node.orelse, *node.finalbody])
                for handler in node.handlers:
                    self.pass_over(handler)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for part in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                    self.evaluate(part)
                decorated = [self.evaluate(part) for part in node.decorator_list]
                self.define(node)
                if decorated:
                    self.effects(decorated[0], None, "", [self.names[node.name]], node.lineno)
            case ast.ClassDef():
                self.pass_over(node)
                self.define(node)
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

    def define(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        """Bind the name of a function or a class."""
        self.names[node.name] = Function(node)

    # What is not followed: it may change what it reaches

    def reach(self, value: Any) -> frozenset[Any]:
        """What could be changed by whoever has `value`: models, their parts, lists, arrays; and functions to do so."""
        match value:
            case Model() | Function():
                return frozenset((value,))
            case Made() | Items():
                found = value.reach | {value} if isinstance(value, Made) else value.reach
            case Unknown():
                found = value.reach
            case tuple():
                found = frozenset().union(*map(self.reach, value))
            case _:
                array = self.array(value)
                return frozenset((array.thing,)) if array else frozenset()
        if len(found) > MOST_REACHED:
            raise RecursionError
        return found

    def unknown(self, line: int, *values: Any) -> Unknown:
        """What is made of `values` in a way that is not followed."""
        return Unknown(line, frozenset().union(*map(self.reach, values)))

    def change(self, reached: Iterable[Any], line: int) -> None:
        """Give up what may have been changed, and refuse it where that is a model or in one."""
        reached = frozenset(reached)
        if not reached:
            return
        wide = with_wholes(reached)

        def may(value: Any) -> bool:
            found = self.reach(value)
            # Of a part, what is whole changes too, and the other way round.
            return bool(found) and not (found.isdisjoint(wide) and with_wholes(found).isdisjoint(reached))

        held = [
            part.value for model in self.models for part in (*model.layers, *(model.compiled or (0, {}))[1].values())
        ]
        if any(isinstance(one, Model) for one in reached) or any(map(may, held)):
            self.problem(line, f"{self.quoted(line)}: sets a part of the model", "what its calls set")
        for name, value in {**{name: Ref(name, bound=False) for name in self.described}, **self.names}.items():
            if not isinstance(value, Model | Function | Unknown) and may(value):
                self.names[name] = self.unknown(line, value)

    def effects(
        self, callee: Any, owner: Any, name: str, values: Sequence[Any], line: int, options: Iterable[str] = ()
    ) -> None:
        """Give up and refuse what a call of `callee`, the `name` of `owner`, may do to what it has and is given."""
        given = frozenset().union(*map(self.reach, values))
        of_callee = self.reach(callee)
        if isinstance(callee, Ref):
            name = callee.name
        if isinstance(callee, Ref) and name in REACH_ALL and not callee.bound:
            self.problem(line, f"{self.quoted(line)}: may change any name", "names by themselves")
        if isinstance(callee, Ref) and name in SETTERS:
            self.refuse_setter(line)
            return
        has_model = any(isinstance(one, Model) for one in given)
        if any(isinstance(one, Model) for one in of_callee):
            self.problem(line, f"{self.quoted(line)}: what it does to the model is not followed", "its statements")
        elif has_model and not (isinstance(callee, Ref) and callee.name in TAKERS):
            self.problem(line, f"{self.quoted(line)}: what is not followed is given the model", "its statements")
        given, of_callee, own = (
            frozenset(one for one in reached if not isinstance(one, Model))
            for reached in (given, of_callee, of_callee | self.reach(owner))
        )
        for function in [one for one in own | given if isinstance(one, Function)]:
            self.use(function, given)
        parts_of_models = {one for one in own if isinstance(one, Made)} if name not in READS else set()
        if isinstance(callee, Function):
            self.change(parts_of_models, line)
        elif name in IN_PLACE or (name not in (*SAME_ARRAY, "astype") and {*options} & {*IN_PLACE_ARGUMENTS}):
            self.change(own | given, line)
        elif not self.leaves(callee, owner, name):
            self.change(parts_of_models | given | (of_callee if owner is None else set()), line)
        elif isinstance(callee, Ref) and callee.root in ("np", "numpy"):
            # Where NumPy's functions may take what to write to.
            self.change(parts_of_models.union(*map(self.reach, values[1:])), line)
        else:
            self.change(parts_of_models, line)

    def leaves(self, callee: Any, owner: Any, name: str) -> bool:
        """Whether a call leaves what it is given as it is."""
        if isinstance(callee, Ref) and callee.bound:
            return callee.root in LIBRARIES
        if owner is not None and name in SHOWS:
            return True
        if isinstance(callee, Ref):
            return callee.root in (*MODULES, *dir(builtins)) or name in LEAVING or name[:1].isupper()
        return False

    def use(self, function: Function, given: frozenset[Any]) -> None:
        """Give up and refuse what a function of the script may do, its parameters being of what is `given`."""
        if (function, given) in self.used:
            return
        outermost = not self.used
        self.used.add((function, given))
        self.pass_over(function.node, given)
        if outermost:
            self.used.clear()

    def pass_over(self, node: ast.AST, given: frozenset[Any] = frozenset()) -> None:
        """Give up what code that is not followed may change, and refuse what it may do to a model."""
        inside = list(parts(node))
        above = {child: part for part, _ in inside for child in ast.iter_child_nodes(part)}
        local = {part: names for part, names in inside if isinstance(part, ast.Name)}
        aliases: dict[str, frozenset[Any]] = {}
        for part, _ in inside:
            if isinstance(part, ast.arg):
                aliases[part.arg] = given

        def value_of(name: ast.Name) -> Any:
            return Unknown(name.lineno) if name.id in local[name] else self.named(name.id)

        def reached(*expressions: ast.AST | None) -> frozenset[Any]:
            found: set[Any] = set()
            for expression in filter(None, expressions):
                for name in ast.walk(expression):
                    if isinstance(name, ast.Name) and name in local:
                        found |= self.reach(value_of(name)) | aliases.get(name.id, frozenset())
            return frozenset(one for one in found if not isinstance(one, Model))

        def callee_of(function: ast.expr) -> Any:
            match function:
                case ast.Name():
                    return value_of(function)
                case ast.Attribute(value=owner, attr=attr):
                    found = callee_of(owner)
                    return self.attribute(found, attr, function.lineno) if isinstance(found, Ref) else None
            return None

        # What is bound to a part of something may change it. Twice, for what is bound further down in a loop.
        for part, _ in [*inside, *inside]:
            match part:
                case (
                    ast.Assign(targets=targets, value=source)
                    | ast.For(target=ast.expr() as targets, iter=source)
                    | ast.AsyncFor(target=ast.expr() as targets, iter=source)
                    | ast.comprehension(target=ast.expr() as targets, iter=source)
                    | ast.AnnAssign(target=ast.expr() as targets, value=ast.expr() as source)
                    | ast.NamedExpr(target=ast.expr() as targets, value=source)
                    | ast.withitem(optional_vars=ast.expr() as targets, context_expr=source)
                ):
                    found = reached(source)
                    for target in targets if isinstance(targets, list) else [targets]:
                        for bound in ast.walk(target):
                            if isinstance(bound, ast.Name):
                                aliases[bound.id] = aliases.get(bound.id, frozenset()) | found

        for part, names in inside:
            match part:
                case ast.Import() | ast.ImportFrom() if not isinstance(node, SCOPES):
                    self.statement(part)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    if part is not node and part.name not in names:
                        self.define(part)
                case (
                    ast.ExceptHandler(name=str() as bound_name)
                    | ast.MatchAs(name=str() as bound_name)
                    | ast.MatchStar(name=str() as bound_name)
                ):
                    if bound_name not in names:
                        self.names[bound_name] = Unknown(getattr(part, "lineno", 1))
                case ast.AugAssign(target=target):
                    self.change(reached(target), part.lineno)
                case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
                    self.change(reached(part.value), part.lineno)
                case ast.Call(func=function):
                    callee = callee_of(function)
                    owner = function.value if isinstance(function, ast.Attribute) else None
                    name = function.attr if isinstance(function, ast.Attribute) else ""
                    values = [
                        Unknown(part.lineno, reached(one))
                        for one in (*part.args, *(key.value for key in part.keywords))
                    ]
                    holder = Unknown(part.lineno, reached(owner)) if owner and not isinstance(callee, Ref) else None
                    options = [key.arg for key in part.keywords if key.arg]
                    self.effects(callee, holder, name, values, part.lineno, options)
        for part in local:
            value = value_of(part)
            if isinstance(part.ctx, ast.Load):
                if any(isinstance(one, Model) for one in self.reach(value)):
                    self.refuse_unless_read(part, above, callee_of)
                for one in self.reach(value):
                    if isinstance(one, Function):
                        self.use(one, frozenset())
            elif part.id not in local[part]:
                self.names[part.id] = Unknown(part.lineno, aliases.get(part.id, frozenset()))

    def refuse_unless_read(
        self, name: ast.Name, above: Mapping[ast.AST, ast.AST], callee_of: Callable[[ast.expr], Any]
    ) -> None:
        """Refuse a model by its name where it is not only looked at."""
        part: ast.AST = name
        first = ""
        while (up := above.get(part)) is not None:
            if isinstance(up, ast.Attribute):
                if up.attr in READS:
                    return
                first = first or up.attr
            elif part not in (getattr(up, "func", None), getattr(up, "value", None)):
                break
            part = up
        if isinstance(up, ast.Call) and not isinstance(part, ast.Call):
            callee = callee_of(up.func)
            if isinstance(callee, Ref) and callee.name in TAKERS:
                return
        what = f"{plain(name.id)}.{plain(first)}(...)" if first else plain(name.id)
        accepted = "a statement outside of loops, conditions and functions"
        self.problem(name.lineno, f"{what} inside of what is not followed", accepted)

    def refuse_setter(self, line: int) -> None:
        """Refuse a change of how everything is computed."""
        self.problem(line, f"{self.quoted(line)}: changes how networks are computed", "Keras's own settings")

    def bind(self, target: ast.expr, value: Any, line: int) -> None:
        """Give `value` to what stands left of an assignment."""
        match target:
            case ast.Name(id=name):
                self.names[name] = value
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                if isinstance(value, Array) and value.loaded:
                    # Images and labels, or two pairs of them.
                    values: Sequence[Any] = [value.part(loaded=True) for _ in targets]
                elif isinstance(value, tuple) and len(value) == len(targets):
                    values = value
                else:
                    values = [self.unknown(line, value)] * len(targets)
                for part, one in zip(targets, values, strict=True):
                    self.bind(part, one, line)
            case ast.Starred(value=part):
                self.bind(part, self.unknown(line, value), line)
            case ast.Attribute() | ast.Subscript():
                owner = self.evaluate(target.value)
                reached = self.reach(value)
                if any(isinstance(one, Model) for one in reached - self.reach(owner)):
                    what = f"{self.quoted(line)}: the model is kept where it is not followed"
                    self.problem(line, what, "a name of its own")
                if isinstance(owner, Ref) and owner.bound and owner.is_keras:
                    self.refuse_setter(line)
                self.change(self.reach(owner), line)
                root: ast.expr = target
                while isinstance(root, ast.Attribute | ast.Subscript | ast.Call):
                    root = root.func if isinstance(root, ast.Call) else root.value
                if isinstance(root, ast.Name) and not isinstance(self.named(root.id), Ref | Model | Function):
                    self.names[root.id] = self.unknown(line, self.named(root.id), value)

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
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                items = Items(map(self.evaluate, elements))
                items.reach = frozenset([Thing()] if isinstance(node, ast.List) else []).union(*map(self.reach, items))
                return items
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
            case ast.Starred():
                return self.unknown(node.lineno, self.evaluate(node.value))
            case ast.Lambda():
                return Function(node)
        self.pass_over(node)
        named = [
            self.named(part.id) for part, names in parts(node) if isinstance(part, ast.Name) and part.id not in names
        ]
        return self.unknown(node.lineno, *named)

    def attribute(self, value: Any, attr: str, line: int) -> Any:
        """A part of `value` by its name."""
        match value:
            case Ref():
                return Ref(f"{value.path}.{attr}", value.bound)
            case Array() if attr == "shape":
                return value.shape or Unknown(line)
            case Array() if attr == "values" or (value.loaded and attr in ("data", "images", "target")):
                return value
        # A look at a model, a layer or a list of them is no way to change it.
        looks = attr in READS and any(isinstance(one, Model | Made) for one in self.reach(value))
        return Unknown(line) if looks else self.unknown(line, value)

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
            return replace(array, factor=array.factor / right, whole=False, thing=Thing())
        if not array and isinstance(op, ast.Mult):
            array, right = self.array(right), left
        if array and is_number(right) and isinstance(op, ast.Mult):
            # The type of MNIST's pixels holds no more than 255.
            wraps = array.whole and isinstance(right, int)
            return Unknown(line) if wraps else replace(array, factor=array.factor * right, whole=False, thing=Thing())
        return Unknown(line) if array else self.unknown(line, left, right)

    def array(self, value: Any) -> Array | None:
        """`value` as data: a name that the script does not bind is of data that the question describes."""
        if isinstance(value, Ref) and not value.bound and "." not in value.path and value.path not in MODULES:
            return self.described.setdefault(value.path, Array(role=value.path))
        return value if isinstance(value, Array) else None

    def subscript(self, value: Any, index: ast.expr, line: int) -> Any:
        """A part of `value` in brackets."""
        if isinstance(value, tuple):
            place = self.evaluate(index)
            found = type(place) is int and -len(value) <= place < len(value)
            return value[place] if found else self.unknown(line, value)
        array = self.array(value)
        if array is None:
            self.evaluate(index)
            return self.unknown(line, value)
        if array.loaded and isinstance(index, ast.Constant) and isinstance(index.value, str):
            return array.part(loaded=False)
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
                    self.evaluate(index)
                    return self.unknown(line, array)
        return replace(array, shape=(*array.shape, *[1] * added) if array.shape else None)

    # Calls

    def call(self, node: ast.Call) -> Any:
        """What a call gives."""
        owner = self.evaluate(node.func.value) if isinstance(node.func, ast.Attribute) else None
        args = tuple(Argument(self.evaluate(part), part.lineno) for part in node.args)
        keywords = {key.arg or "**": Argument(self.evaluate(key.value), key.value.lineno) for key in node.keywords}
        values = [argument.value for argument in (*args, *keywords.values())]
        line = node.lineno
        if isinstance(node.func, ast.Attribute):
            attr = node.func.attr
            if isinstance(owner, Model):
                return self.method(owner, attr, args, keywords, node.func.end_lineno or line)
            if isinstance(owner, Made) and owner.ref.name in OTHER_MODELS and attr in ("add", "compile", "fit"):
                self.problem(owner.line, f"{owner.ref.name}: not a model that whichfix reads", "Sequential")
                return Unknown(line)
            callee = self.attribute(owner, attr, line)
            array = self.array(owner)
            self.effects(callee, owner, attr, values, line, keywords)
            known = isinstance(owner, Array) or attr in ("astype", "copy", "reshape", "to_numpy")
            if array and known and attr not in IN_PLACE:
                return self.array_method(array, attr, args, keywords, line)
        else:
            callee = self.evaluate(node.func)
            self.effects(callee, None, "", values, line, keywords)
        made = self.called(callee, args, keywords, line) if isinstance(callee, Ref) else Unknown(line)
        if isinstance(made, Unknown):
            shown = isinstance(callee, Ref) and callee.name in TAKERS
            return made if shown else self.unknown(line, callee, *values)
        return made

    def called(self, ref: Ref, args: tuple[Argument, ...], keywords: Mapping[str, Argument], line: int) -> Any:
        """What a call of something that the script imports, or does not bind, gives."""
        values = [argument.value for argument in args]
        given = [argument.value for argument in keywords.values()]
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
                kind = keywords.get("dtype") or (args[1] if len(args) > 1 else None)
                kind = Argument("float32", line) if name == "float32" else kind
                return self.converted_array(first, (kind.value,), line) if kind else first
            case "cast" if first:
                return self.converted_array(first, (*values[1:], *(keywords[key].value for key in keywords))[:1], line)
            case "reshape" if first and "order" not in keywords:
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
                count = first.shape[0] if first.shape else None
                return Array(first.factor, (count, N_CLASSES), role=first.role)
            case name if ref.is_keras:
                return Made(ref, args, keywords, line, self.unknown(line, *values, *given).reach)
        return Unknown(line)

    def array_method(
        self, array: Array, attr: str, args: tuple[Argument, ...], keywords: Mapping[str, Argument], line: int
    ) -> Any:
        """What a method of an array gives."""
        values = tuple(argument.value for argument in args)
        match attr:
            case "astype":
                values += tuple(keywords[key].value for key in keywords if key == "dtype")
                return self.converted_array(array, values[:1], line)
            case "copy" | "to_numpy":
                return array
            case "drop" if array.loaded:
                return array
            case "reshape":
                if not {*keywords} <= {"newshape", "shape"}:
                    # Another order of the values.
                    return self.unknown(line, array)
                values += tuple(argument.value for argument in keywords.values())
                return self.reshaped(array, values[0] if len(values) == 1 else values, line)
        return self.unknown(line, array)

    def converted_array(self, array: Array, kind: tuple[Any, ...], line: int) -> Any:
        """`array` as another type of numbers: whole ones would cut off what was scaled."""
        name = kind[0].name if kind and isinstance(kind[0], Ref) else kind[0] if kind else None
        if name in FLOATS:
            return replace(array, whole=False)
        unscaled = array.factor == 1 and array.whole is not False and name in ("int", "int32", "uint8")
        return replace(array, whole=True) if unscaled else self.unknown(line, array)

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
        others = frozenset().union(*(self.reach(argument.value) for argument in (*args, *keywords.values())))
        if any(isinstance(one, Model) for one in others):
            self.problem(line, f"{self.quoted(line)}: what is not followed is given the model", "its statements")
        for function in [one for one in others if isinstance(one, Function)]:
            self.use(function, frozenset())
        before = "fit" if model.fitted else "compile" if model.compiled and attr == "add" else ""
        if before and attr in ("add", "compile"):
            self.problem(line, f"{attr}: after {before}", f"{attr} before {before}")
        elif attr == "add":
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
        return Unknown(line) if attr in READS or attr == "fit" else self.unknown(line, model)

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
            case Unknown() | Function():
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
