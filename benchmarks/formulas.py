"""Formulas in the text of a data set, such as ``5x^2 + N(0,1)^3``, and the values of their variables."""

import ast
import re
from collections.abc import Callable, Mapping

import numpy as np

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
FUNCTIONS: Mapping[str, Callable[..., np.ndarray]] = {
    name: getattr(np, name) for name in ("sin", "cos", "tan", "tanh", "exp", "log", "sqrt", "abs")
}
OPERATIONS: Mapping[type, Callable[..., np.ndarray]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.USub: np.negative,
    ast.UAdd: np.positive,
}


def value(text: str, variables: Mapping[str, np.ndarray], random: np.random.Generator) -> np.ndarray:
    """Return the values [n] of the formula `text` for `variables`, each [n].

    A number before a letter or a bracket multiplies, ``^`` is a power, and ``N(mean, deviation)`` and ``U(low, high)``
    draw a number per row.

    Raises
    ------
    ValueError
        If `text` is no formula of these variables.
    """
    rows = len(next(iter(variables.values())))
    functions: dict[str, Callable[..., np.ndarray]] = {
        **FUNCTIONS,
        "N": lambda mean, deviation: random.normal(mean, deviation, rows),
        "U": lambda low, high: random.uniform(low, high, rows),
    }

    def of(node: ast.expr) -> np.ndarray:
        match node:
            case ast.Constant(value=int() | float() as number):
                return np.full(rows, float(number))
            case ast.Name(id=name) if name in variables:
                return variables[name].astype(np.float64)
            case ast.Name(id="pi"):
                return np.full(rows, np.pi)
            case ast.BinOp(left, operation, right) if type(operation) in OPERATIONS:
                return OPERATIONS[type(operation)](of(left), of(right))
            case ast.UnaryOp(operation, operand) if type(operation) in OPERATIONS:
                return OPERATIONS[type(operation)](of(operand))
            case ast.Call(ast.Name(id=name), arguments, []) if name in functions:
                return functions[name](*map(of, arguments))
        raise ValueError(f"{ast.unparse(node)} in the formula {text}")

    written = re.sub(r"(?<![A-Za-z_\d.])(\d+\.?\d*|\.\d+)\s*(?=[A-Za-z(])", r"\1*", text.strip()).replace("^", "**")
    try:
        return of(ast.parse(written, mode="eval").body)
    except (SyntaxError, TypeError) as error:
        raise ValueError(f"the formula {text}: {error}") from None


def ranges(text: str, random: np.random.Generator, n_rows: int | None, most_rows: int) -> tuple[str, np.ndarray] | None:
    """Return the name and the values [n] of the variable whose range `text` names, None if it names none.

    At most `most_rows` of the values are kept, evenly spaced if they are in order.
    """
    name = match[1] if (match := re.search(r"\b([a-z])\s*(?:=|~|in|on)\s*(?:U\(|linspace|-?\d|\.\d)", text)) else "x"
    if match := re.search(rf"({NUMBER})\s*\.\.\s*({NUMBER})(?:\s*,?\s*step\s*({NUMBER}))?", text):
        low, high, step = float(match[1]), float(match[2]), float(match[3] or 1)
        count = n_rows or round((high - low) / step) + 1
        found = low + step * np.arange(count)
    elif match := re.search(rf"linspace\(({NUMBER}),\s*({NUMBER}),\s*(\d+)\)", text):
        found = np.linspace(float(match[1]), float(match[2]), int(match[3]))
    elif match := re.search(rf"U\(({NUMBER}),\s*({NUMBER})\)", text):
        found = random.uniform(float(match[1]), float(match[2]), min(n_rows or 1000, most_rows))
        found = np.sort(found) if "sorted" in text else found
    elif match := re.search(
        rf"[a-z]\s*=\s*({NUMBER}(?:\s*,\s*{NUMBER})+)|points\s+({NUMBER}(?:\s*,\s*{NUMBER})*)", text
    ):
        found = np.array([float(number) for number in re.findall(NUMBER, match[1] or match[2])])
    else:
        return None
    return name, found[np.linspace(0, len(found) - 1, min(len(found), most_rows)).astype(int)]
