"""The examples of a fault, made from the text that describes its data set."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import formulas
from benchmarks.formulas import NUMBER

# Larger data are cut, because one processor trains hundreds of networks per fault.
MOST_ROWS, MOST_TEST_ROWS, MOST_FEATURES = 1000, 500, 1000
FEW, TEST_SHARE = 50, 0.25
SEED = 0


@dataclass
class Examples:
    """Inputs `x` and answers `y` by split, `notes` on what was cut or filled in."""

    x: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    notes: list[str] = field(default_factory=list)


Rows = tuple[np.ndarray, np.ndarray]


class UnknownError(ValueError):
    """A text that is not recognized, with the reason."""


def examples(dataset: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]], mnist: Path) -> Examples:
    """Return the examples that `dataset` describes; `others` are the data sets of other faults, by id.

    Raises
    ------
    UnknownError
        If no kind of data recognizes the text.
    """
    text = f"{dataset['name']} | {dataset['how']}"
    if match := re.search(r"same .*?(?:rows|data) as (\S+?)[\s,.|]", f"{text} "):
        if match[1] not in others:
            raise UnknownError(f"the data of {match[1]}, which is not in the file")
        return examples(others[match[1]], {}, mnist)
    if re.search(r"\bMNIST\b", text) and "Fashion" not in text:
        return of_mnist(text, mnist)
    notes: list[str] = []
    for kind in KINDS:
        try:
            rows = kind(text, notes)
        except ValueError as error:
            raise UnknownError(f"{error} in: {text}") from None
        if rows is not None:
            return split(text, *rows, notes)
    raise UnknownError(f"no known kind of data: {text}")


def split(text: str, x: np.ndarray, y: np.ndarray, notes: list[str]) -> Examples:
    """Return the rows of training and test: a quarter, or the share that `text` names, of more than 50 rows."""
    if match := re.search(rf"test ({NUMBER})\.\.({NUMBER})", text):
        points = np.linspace(float(match[1]), float(match[2]), 200)
        formula = formula_of(text)
        assert formula is not None
        values = formulas.value(formula, {"x": points}, np.random.default_rng(SEED))
        return Examples({"train": x, "test": points[:, np.newaxis]}, {"train": y, "test": values}, notes)
    if len(x) <= FEW or "random permutation" in text:
        return Examples({"train": x}, {"train": y}, notes)
    share = float(match[2]) / 100 if (match := re.search(r"\b(\d\d)/(\d\d)\b", text)) else TEST_SHARE
    order = np.random.default_rng(SEED).permutation(len(x))
    n_test = round(share * len(x))
    test, train = order[:n_test], np.sort(order[n_test:]) if "sorted" in text else order[n_test:]
    return Examples({"train": x[train], "test": x[test]}, {"train": y[train], "test": y[test]}, notes)


def rows_of(text: str) -> int | None:
    """Return the number of rows that `text` names."""
    match = re.search(r"(\d+)(?:\^(\d+))?\s*(?:rows|train\b|samples|examples)", text)
    return None if match is None else int(match[1]) ** int(match[2] or 1)


def limited(rows: int, notes: list[str], most: int = round(MOST_ROWS / (1 - TEST_SHARE))) -> int:
    """Return `rows`, or `most` with a note if they are more."""
    if rows > most:
        notes.append(f"{rows} rows cut to {most}")
    return min(rows, most)


def of_scikit_learn(text: str, notes: list[str]) -> Rows | None:
    """Return what a generator or a data set of scikit-learn gives."""
    from sklearn import datasets

    if re.search(r"\bload_(\w+)|\b(iris|wine|breast cancer)\b", text, re.IGNORECASE):
        name = next(
            each
            for each in ("iris", "wine", "breast_cancer", "digits", "diabetes", "")
            if each.replace("_", " ") in text.lower().replace("_", " ")
        )
        if not name:
            return None
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        return x, y
    calls = list(re.finditer(r"make_(classification|regression|multilabel_classification)\(", text))
    if not calls:
        return None
    call = calls[-1]
    inside = re.sub(r"\([^()]*\)", "", bracketed(text[call.end() - 1 :])[1:-1])
    settings: dict[str, int] = {}
    for place, part in enumerate(inside.split(",")):
        key, _, number = part.rpartition("=")
        settings[key.strip() or ("n_samples", "n_features")[place]] = int(number)
    settings["n_samples"] = limited(settings["n_samples"], notes)
    if settings.get("n_features", 20) > MOST_FEATURES:
        notes.append(f"{settings['n_features']} features cut to {MOST_FEATURES}")
        settings["n_features"] = MOST_FEATURES
    x, y = getattr(datasets, f"make_{call[1]}")(**settings, random_state=SEED)
    if (match := re.search(r"(\d+) x (\d+) inputs", text)) and int(match[1]) * int(match[2]) >= x.shape[1]:
        width = x.shape[1] // int(match[1])
        x = x[:, : width * int(match[1])].reshape(len(x), int(match[1]), width)
    return x, y


def bracketed(text: str) -> str:
    """Return the beginning of `text` up to the bracket that closes its first one."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return text[: place + 1]
    raise ValueError("a bracket without its end")


def of_mnist(text: str, path: Path) -> Examples:
    """Return flattened images of MNIST, perhaps of two digits only."""
    if not path.is_file():
        raise UnknownError(f"MNIST, and {path} is missing")
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    found = Examples({}, {}, [])
    digits = [int(digit) for digit in match.groups()] if (match := re.search(r"digits (\d) and (\d)", text)) else None
    for which, most in (("train", MOST_ROWS), ("test", MOST_TEST_ROWS)):
        x, y = arrays[f"x_{which}"], arrays[f"y_{which}"]
        rows = np.flatnonzero(np.isin(y, digits)) if digits else np.arange(len(y))
        found.x[which], found.y[which] = x[rows[:most]].reshape(-1, 784), y[rows[:most]]
    found.notes.append(f"cut to the first {MOST_ROWS} images, and {MOST_TEST_ROWS} of the test")
    return found


def of_logic(text: str, notes: list[str]) -> Rows | None:
    """Return the four rows of XOR, AND or OR."""
    match = re.search(r"\b(XOR|AND|OR)\b,? (?:of )?(?:4|four) rows", text)
    if match is None:
        return None
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = {"XOR": x.sum(1) == 1, "AND": x.sum(1) == 2, "OR": x.sum(1) > 0}[match[1]]
    return x, y.astype(np.int64)


def of_literal_rows(text: str, notes: list[str]) -> Rows | None:
    """Return rows that stand in the text: ``[1,1],[0,0] -> 0,1``, ``[7,8]->15, [9,8]->18`` or ``1 -> 1, 2 -> 0``."""
    row = rf"\[{NUMBER}(?:\s*,\s*{NUMBER})*\]"
    pairs = re.findall(rf"({row})\s*->\s*({row}|{NUMBER})", text)
    if len(pairs) > 1:
        return numbers([pair[0] for pair in pairs]), squeezed(numbers([pair[1] for pair in pairs]))
    if match := re.search(rf"((?:{row}\s*,?\s*)+)->\s*((?:(?:{row}|{NUMBER})\s*,?\s*)+)", text):
        x = numbers(re.findall(row, match[1]))
        answers = re.findall(row, match[2]) or re.findall(NUMBER, match[2])
        if len(answers) == len(x):
            return x, squeezed(numbers(answers))
    pairs = re.findall(rf"(?<![\w.])({NUMBER})\s*->\s*({NUMBER})", text)
    return (
        (numbers([pair[0] for pair in pairs]), squeezed(numbers([pair[1] for pair in pairs])))
        if len(pairs) > 1
        else None
    )


def numbers(rows: list[str]) -> np.ndarray:
    """Return the numbers in each text, [n, k]."""
    return np.array([[float(number) for number in re.findall(NUMBER, row)] for row in rows])


def squeezed(y: np.ndarray) -> np.ndarray:
    """Return a single column as a vector."""
    return y[:, 0] if y.shape[1] == 1 else y


def of_constant_vectors(text: str, notes: list[str]) -> Rows | None:
    """Return rows of ones and rows of zeros."""
    match = re.search(r"(\d+)(?:\^(\d+))? rows of (\d+) ones", text)
    if match is None:
        return None
    half = limited(2 * int(match[1]) ** int(match[2] or 1), notes) // 2
    y = np.arange(2 * half) < half
    return np.repeat(y[:, np.newaxis], int(match[3]), axis=1).astype(np.float32), y.astype(np.int64)


def of_bits(text: str, notes: list[str]) -> Rows | None:
    """Return all vectors of bits, and a permutation of them as answers."""
    match = re.search(r"all (\d+) (\d+)-bit vectors mapped to a random permutation", text)
    if match is None or int(match[1]) != 2 ** int(match[2]):
        return None
    bits = np.arange(int(match[1]))[:, np.newaxis] >> np.arange(int(match[2])) & 1
    notes.append("scored on the rows that it learns, because other rows cannot be predicted")
    return bits, np.random.default_rng(SEED).permutation(bits)


def of_simple_targets(text: str, notes: list[str]) -> Rows | None:
    """Return random inputs, and as target one of them, their average, or noise."""
    random = np.random.default_rng(SEED)
    rows = rows_of(text)
    if match := re.search(rf"(\d+) inputs U\(({NUMBER}),({NUMBER})\), target = input\[(\d+)\]", text):
        x = random.uniform(float(match[2]), float(match[3]), (limited(rows or 1000, notes), int(match[1])))
        return x, x[:, int(match[4])]
    if match := re.search(r"average of (two|three|\d+) integers (\d+)\.\.(\d+)", text):
        count = {"two": 2, "three": 3}.get(match[1]) or int(match[1])
        integers = random.integers(int(match[2]), int(match[3]) + 1, (limited(rows or 1000, notes), count))
        return integers, integers.mean(axis=1)
    if match := re.search(r"uniform random x and y, (\d+) x (\d+)", text):
        x = random.uniform(size=(limited(int(match[1]), notes), int(match[2])))
        return x, random.uniform(size=len(x))
    return None


def formula_of(text: str) -> str | None:
    """Return the formula in the text, without its variable's range."""
    match = re.search(
        r"\by\s*=\s*(.+?)(?:,? (?:with|on|for|where|in|over)\b|, [a-z]\w* ?[=~]|,? linspace|[;|]|,? \d+ rows|$)",
        text,
    )
    if match:
        return match[1]
    match = re.search(r"^((?:sin|cos|tanh|exp)\([^|;,]*\))", text)
    if match:
        return match[1]
    match = re.search(r"^(sin|cos) over ([A-Za-z])", text)
    return f"{match[1]}({match[2].lower()})" if match else None


def of_formula(text: str, notes: list[str]) -> Rows | None:
    """Return the values of a formula, of one variable or of x1, x2 and so on."""
    formula = formula_of(text)
    if formula is None:
        return None
    random = np.random.default_rng(SEED)
    rows = rows_of(text)
    names = sorted(set(re.findall(r"\bx\d\b", formula.replace("*", " "))) | set(re.findall(r"x\d\b", formula)))
    rest = text.replace(formula, "", 1)
    if names:
        match = re.search(rf"U\(({NUMBER}),\s*({NUMBER})\)", rest)
        if match is None:
            return None
        shape = (limited(rows or 1000, notes), len(names))
        x = random.uniform(float(match[1]), float(match[2]), shape)
        return x, formulas.value(formula, {name: x[:, place] for place, name in enumerate(names)}, random)
    most = limited(rows or 0, notes) or 10_000
    found = formulas.ranges(re.sub(r"test .*", "", rest), random, rows, most)
    if found is None:
        return None
    name, values = found
    variables = {name: values, "x": values, "t": values}
    y = formulas.value(formula, variables, random)
    features = match[1].split(",") if (match := re.search(r"features \(([^)]*)\)", text)) else [name]
    return np.stack([formulas.value(feature, variables, random) for feature in features], axis=1), y


def of_described_rows(text: str, notes: list[str]) -> Rows | None:
    """Return rows of whole numbers in place of rows that the text only counts; their sum decides the class."""
    random = np.random.default_rng(SEED)
    if match := re.search(r"(\d+) letter codes as ASCII numbers (\d+)\.\.(\d+) \+ binary label, (\d+) rows", text):
        features, low, high, rows, classes = (*map(int, match.groups()), 2)
    elif match := re.search(r"(\d+) literal rows x (\d+), classes 0\.\.(\d+)", text):
        rows, features, low, high, classes = int(match[1]), int(match[2]), 0, 9, int(match[3]) + 1
    else:
        return None
    notes.append("the rows are not in the text: drawn by chance, the class is by a weighted sum")
    x = random.integers(low, high + 1, (rows, features))
    ranks = np.argsort(np.argsort((x * np.arange(1, features + 1)).sum(axis=1), kind="stable"), kind="stable")
    return x, ranks * classes // rows


KINDS: tuple[Callable[[str, list[str]], Rows | None], ...] = (
    of_scikit_learn,
    of_logic,
    of_constant_vectors,
    of_bits,
    of_simple_targets,
    of_described_rows,
    of_literal_rows,
    of_formula,
)
