"""params.yaml as somebody might write it by mistake or to do harm: `plan` accepts it or refuses it in one line."""

import copy
import datetime
import importlib
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from project import Project, make
from ruamel.yaml import YAML

from stages import plan
from stages.analysis import results
from stages.base import files
from stages.base.errors import UserError
from stages.config import load

pytestmark = pytest.mark.tried("hostile params.yaml")

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
CONTENT: dict[str, Any] = YAML(typ="safe").load(TEXT)
SECONDS = 5  # of processor time, for one file
MOST_CHARACTERS = 2000
N_MUTATED, N_GARBLED = 100, 50  # inputs per seed

NAMES = [
    *("mnist", "a/b", "/etc/passwd", "..", "../../x", ".", "a b", " ", "'", '"', "-rf", "--help", "p-12345678"),
    *("$(touch PWNED)", "`touch PWNED`", "x; touch PWNED", "a|b", "a&b", "a>b", "*", "~", "a\nb", "a\tb", "\\"),
    *("${key}", "${item.data.file}", "%s", "{0}", "é", "数字", "\u202etxt.exe", "\u200b", "\x1b[31m", "\x00", "\x85"),
    *("x" * 10_000, "x" * 65, "null", "true", "1", "1e5", "NA", "nan", "inf", "<<", "=", "", "cases.mnist"),
    *("__class__", "as_posted", "fixed", "logistic_regression", "test_accuracy", "data/own/x.npz", "data/../x"),
]
TEXTS = [
    *("<script>alert(1)</script>", "javascript:alert(1)", "https://x/<script>", "file:///etc/passwd", "tcp://x; y:1"),
    *("$x$ $\\frac$", "http://[", "https://u:p@x/", "https://x" + "/y" * 5000),
]
NUMBERS = [
    *(float("nan"), float("inf"), float("-inf"), 10**400, 16**5000, -(10**30), 2**63, 2**31, 1_000_000, 1e308, 5e-324),
    *(-1, 0, -0.0, 1, 2, 0.5, 1e-320, 3, True, False),
]


OTHERS: list[Any] = [
    None,
    [],
    {},
    json.loads(15 * "[" + 15 * "]"),
    [1] * 2000,
    ["x"] * 2000,
    {"a": {"b": {}}},
    {1: 2},
    {None: 1},
]
OTHERS += [datetime.date(2018, 1, 1), b"\xff", {str(number): {} for number in range(2000)}, {"name": "sgd"}]
VALUES: list[Any] = NAMES + TEXTS + NUMBERS + OTHERS
KEYS: list[Any] = [*NAMES, 1, None, True, 1.5, datetime.date(2018, 1, 1)]


def refusal(read: Callable[..., Any], *arguments: Any) -> str | None:
    """Return the one readable line with which `read` refuses, or None if everything can be planned from its result."""
    start = time.process_time()
    message: str | None = None
    try:
        for path, content in plan.contents(read(*arguments)).items():
            assert re.fullmatch(r"configs/[A-Za-z0-9_./-]{1,100}", str(path))
            assert ".." not in path.parts
            files.json_text(content).encode()
    except UserError as error:
        message = str(error)
        assert re.match(r"(\S*/)?params\.yaml: .*; expected ", message)
        assert len(message) < MOST_CHARACTERS
        # No line break, and nothing that a terminal obeys.
        assert not re.search("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", message)
    assert time.process_time() - start < SECONDS
    return message


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(value, (*path, key))


PLACES = list(places(CONTENT))


def at(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        content = content[key]
    return content


def mutate(random: Random, content: dict[str, Any]) -> None:
    """Replace, delete, add, rename or copy one thing in `content`."""
    path = random.choice(PLACES[1:])
    try:
        parent = at(content, path[:-1])
        old = parent[path[-1]]
    except (LookupError, TypeError):
        return  # an earlier mutation took the place away
    if not isinstance(parent, dict | list):
        return
    # Half of all values are of the kind that was there, or the first check would refuse almost everything.
    kind = NUMBERS if isinstance(old, int | float) else NAMES + TEXTS if isinstance(old, str) else VALUES
    value = copy.deepcopy(random.choice(random.choice([kind, VALUES])))
    match random.choice(["replace", "delete", "add", "rename", "copy"]):
        case "replace":
            parent[path[-1]] = value
        case "delete":
            del parent[path[-1]]
        case "copy":
            parent[path[-1]] = copy.deepcopy(at(CONTENT, random.choice(PLACES[1:])))
        case "rename" if isinstance(parent, dict):
            parent[random.choice(KEYS)] = parent.pop(path[-1])
        case _ if isinstance(parent, list):
            parent.insert(random.randrange(len(parent)), value)
        case _:
            parent[random.choice(KEYS)] = copy.deepcopy(random.choice([old, value]))
    if "cases" in content:
        content["cases"] = content.pop("cases")  # the last key, or most mutations would be refused for that


def seeds(few: int, many: int) -> list[Any]:
    """Return `few` seeds, and those up to `many` marked for the longer sweep."""
    return [*range(few), *(pytest.param(seed, marks=pytest.mark.faults) for seed in range(few, many))]


@pytest.mark.parametrize("seed", seeds(8, 300))
def test_mutated_content_is_planned_whole_or_refused_in_one_line(seed: int) -> None:
    random = Random(seed)
    refused = 0
    for _ in range(N_MUTATED):
        content: Any = copy.deepcopy(CONTENT)
        for _ in range(random.choice([1, 1, 2, 4])):
            mutate(random, content)
        refused += refusal(load.validated, content) is not None
    assert 10 < refused < N_MUTATED


TOO_DEEP = "more than 20 mappings and lists in one another"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x0: &x0 [1]\n" + "".join(f"x{n}: &x{n} [{f'*x{n - 1}, ' * 10}]\n" for n in range(1, 10)), 'anchor "x0"'),
        ("x0: &x0 {a: 1}\nx1: {<<: [*x0, *x0]}\n", 'the anchor "x0"'),
        ("a: &a [*a]\n", 'the anchor "a"'),
        ("[" * 100_000, TOO_DEEP),
        ("? " * 90_000, TOO_DEEP),
        ("seeds: 0x" + "f" * 200_000, "more than 200000 bytes"),
        ("- 1\n" * 49_999, "the file: more than 2000 items"),
        ("".join(f"k{n}: {n}\n" for n in range(15_000)), "more than 2000 keys"),
        ("a: '" + "x" * 199_000, "line 1: found unexpected end of stream"),
        ("seeds: 0x" + "f" * 5_000, "a number of thousands of digits; expected a list"),
    ],
)
def test_a_file_that_would_exhaust_the_machine_is_refused_at_once(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    assert expected in (refusal(load.read, path) or "")


def test_ten_thousand_variants_are_refused_in_two_seconds(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    variants = "    variants:\n" + "".join(f"      v{number}: {{}}\n" for number in range(10_000))
    path.write_text(TEXT.replace("    variants:\n", variants, 1), encoding="utf-8")
    start = time.process_time()
    message = refusal(load.read, path) or ""
    assert ": cases.mnist.variants: more than 2000 keys; expected at most 2000, and at most 200 variants" in message
    assert time.process_time() - start < 2


def test_a_case_of_the_largest_accepted_size_is_planned_in_time() -> None:
    content = copy.deepcopy(CONTENT)
    case = content["cases"]["mnist"]
    paths: dict[str, Any] = {f"layers.*.{key}": 0.5 for key in ("l1", "l2", "bias_l1", "bias_l2", "activity_l2")}
    paths |= {"epochs": 3, "batch_size": 3, "loss": "mse", "inputs": "standardized", "optimizer.beta_1": 0.5}
    case["fixes"] = {f"f{n}": {"why": "", "set": {path: value}} for n, (path, value) in enumerate(paths.items())}
    case["variants"] = {f"v{n}": {"fixes": list(case["fixes"])} for n in range(200)}
    figure = {"claim": "x", "value": 1.0, "tolerance": 1.0, "source": "x", "of": "v1", "figure": "loss"}
    case["published"] = [figure | {"from_epoch": 1}] * 1000
    case["baselines"] = {}
    content["cases"] = {"mnist": case}
    assert refusal(load.validated, content) is None


SNIPPETS = [
    *("\t", "\x00", "\x1b[2J", "\ufeff", "\u2028", "\x85", "&a ", "*a", "<<: *a", "!!python/name:os.system "),
    *("!!int x", "!!bool x", "!!float x", "!!binary x", "!!set {a, b}", "!!omap [a: 1]", "!!timestamp x", "!!str "),
    *("!x ", "---\n", "...\n", "%YAML 1.1\n---\n", "%YAML 9.9\n---\n", "%TAG ! x\n---\n", "? ", "? {a: b}\n"),
    *("? [a, {b: c}]\n: 1\n", "- ", ": ", "[", "]", "{", "}", "#", "'", '"', "|\n", ">\n", "|9\n", "@", "`", "\r"),
    *('"\\x1b]0;x\\a"', "9" * 5000, "0x" + "f" * 5000, "0b1", "0o8", "1:30", ".inf", "-.nan", "1e999", "~", "=", "<<"),
    *("2018-13-45", "0001-01-01T00:00:00+23:59", "[" * 100, "{a: " * 100, "- " * 100, "x" * 10_000, "🙂", "\u202e"),
    *("\n\n", "  ", '"\\ud800"', "${cases}", "<<: {a: 1}"),
]


def garble(random: Random, text: bytes) -> bytes:
    """Return `text` with one piece inserted, removed, replaced or overwritten, or cut off."""
    start = random.randrange(len(text))
    end = min(len(text), start + random.choice([1, 1, 10, 100, 1000]))
    snippet = random.choice(SNIPPETS).encode()
    match random.choice(["insert", "value", "remove", "flip", "end"]):
        case "insert":
            return text[:start] + snippet + text[start:]
        case "remove":
            return text[:start] + text[end:]
        case "flip":
            return text[:start] + bytes([text[start] ^ 1 << random.randrange(8)]) + text[start + 1 :]
        case "end":
            return text[:start]
    lines = text.splitlines(keepends=True)
    place = random.randrange(len(lines))
    key, colon, _ = lines[place].partition(b": ")
    return b"".join([*lines[:place], key + colon + snippet + b"\n", *lines[place + 1 :]])


@pytest.mark.parametrize("seed", seeds(5, 150))
def test_a_garbled_file_is_planned_whole_or_refused_in_one_line(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    path = tmp_path / "params.yaml"
    refused = 0
    for _ in range(N_GARBLED):
        text = TEXT.encode()
        for _ in range(random.choice([1, 1, 2, 4])):
            text = garble(random, text)
        path.write_bytes(text)
        refused += refusal(load.read, path) is not None
    assert 10 < refused < N_GARBLED


RUNNING = "touch PWNED"
# Names of cases that would make a shell do something: dvc.yaml has ${key} in its commands.
COMMANDS = [
    *(f"x; {RUNNING}", f"x && {RUNNING}", f"x | {RUNNING}", f"$({RUNNING})", f"`{RUNNING}`", f'"; {RUNNING}; "'),
    *(f"'; {RUNNING}; '", f"x\n{RUNNING}\n", f"${{IFS}};{RUNNING}", "> PWNED", "-rf", "--help", "é 数字"),
]
# Names that lead a stage's files out of their folders, so that DVC does not see that they come from `plan`.
PATHS = ["../../outside/a", f"$({RUNNING})/../../../outside/b"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project in which `plan` has run for the real params.yaml, and folders beside it."""
    parent = tmp_path_factory.mktemp("hostile")
    made = make(parent / "repository", parent / "mnist", CONTENT)
    for name in "ab":
        files.write_bytes(parent / "outside" / name / "file", b"kept")
    made.dvc("repro", "plan")
    return made


def repro(made: Project, names: list[str]) -> str:
    """Return what `dvc repro` prints for further cases with `names`. It must fail and leave every file as it was.

    Files are those in and beside the repository, except those of DVC and Git and compiled bytecode.
    """

    def everything() -> dict[Path, bytes]:
        paths = [path for path in made.folder.parent.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        return {path: path.read_bytes() for path in paths if not {".dvc", ".git"} & set(path.parts)}

    cases = CONTENT["cases"] | {name: copy.deepcopy(CONTENT["cases"]["mnist"]) for name in names}
    made.write_params({**CONTENT, "cases": cases})
    before = everything()
    ended = made.run("python", "-m", "dvc", "repro", "--keep-going")
    assert ended.returncode != 0
    assert everything() == before
    return ended.stdout + ended.stderr


def test_dvc_repro_refuses_hostile_names_in_one_line_and_runs_nothing_but_plan(hostile: Project) -> None:
    output = repro(hostile, COMMANDS)
    assert set(re.findall("^Running stage '(.*)':", output, re.MULTILINE)) == {"plan"}
    assert len([line for line in output.splitlines() if re.match(r"error: params\.yaml: line \d+: cases\.", line)]) == 1
    assert "Traceback" not in output


@pytest.mark.parametrize("name", PATHS)
def test_dvc_repro_touches_nothing_outside_the_folders_of_the_stages(hostile: Project, name: str) -> None:
    assert "Running stage" not in repro(hostile, [name])


def extreme(random: Random) -> dict[str, Any]:
    """Return two small cases with values at both ends of what is accepted, except those that cost time."""
    content = copy.deepcopy(CONTENT)
    title = "$x$ and $\\frac$ <script>alert(1)</script> {{ title }} \"'`\\ 数字"
    small, large = 5e-324, 1.7e308
    data = {
        "mnist": {"validation_split": random.choice([0.01, 0.5])},
        "ex4": {"examples_per_class": 3, "side": random.choice([1, 28])},
    }
    tnc = {"optimizer": {"name": "tnc", "max_function_calls": 1}, "batch_size": None, "epochs": None}
    for old, new, key in (("mnist", "m" * 64, "inputs"), ("ex4", "E" * 64, "layers.*.l2")):
        case = content["cases"].pop(old)
        case["title"] = title + "x" * (400 - len(title))
        case["source"] = "https://x/?a=1&b='()*" + "y" * 900
        case["data"] |= data[old]
        rate = {"name": random.choice(["sgd", "adam"]), "learning_rate": random.choice([small, large])}
        case["as_posted"] |= {"optimizer": rate, "batch_size": random.choice([1, 1_000_000]), "epochs": 2}
        limit = random.choice([small, 1e38])
        initializer = {"name": "random_uniform", "minval": -limit, "maxval": limit}
        output = {**case["as_posted"]["layers"]["output"], "kernel_initializer": initializer}
        hidden = random.choice([{}, {"a" * 64: {"units": 1}, "b": {"units": 1}}])
        case["as_posted"]["layers"] = {**hidden, "output": output}
        value = random.choice([small, large])
        case["fixes"] = {"f" * 64: {"why": title, "set": {key: {"scale": value} if key == "inputs" else value}}}
        case["variants"] = {
            "v" * 64: {"fixes": ["f" * 64], "seeds": [0, 2**31 - 1]},
            "few": {"data": {"first_of_each_class": {9: 1}}, "seeds": [9]},
        }
        settings = random.sample([(scale, strength) for scale in (1e-6, 1e6) for strength in (1e-6, 1e12)], 2)
        case["baselines"] = {
            f"baseline-{place}": {"model": "LogisticRegression", "inputs": {"scale": scale}, "C": strength}
            | {"max_iter": 5, "one_vs_all": bool(place)}
            for place, (scale, strength) in enumerate(settings)
        }
        case["published"] = []
        content["cases"][new] = case
    content["cases"]["E" * 64]["variants"]["tnc"] = {"fixes": ["f" * 64], "set": tnc}
    return content | {"seeds": [0], "execution": {"backend": "threading", "workers": 1}}


@pytest.mark.parametrize("seed", seeds(1, 8))
@pytest.mark.filterwarnings("ignore:Glyph:UserWarning", "ignore:overflow:RuntimeWarning")
def test_what_is_accepted_runs_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.chdir(tmp_path)
    Project(tmp_path, {}).write_params(extreme(Random(seed)))
    numbers = np.random.default_rng(seed)
    raw = {f"x_{split}": numbers.integers(0, 256, (n, 28, 28), np.uint8) for split, n in (("train", 200), ("test", 50))}
    raw |= {f"y_{split}": np.arange(n, dtype=np.uint8) % 10 for split, n in (("train", 200), ("test", 50))}
    files.write_archive(files.RAW_MNIST, raw)
    plan.main()
    for case in load.cases():
        for stage in ("prepare", "train", "baseline", "evaluate"):
            importlib.import_module(f"stages.{stage}").main(case)
        names = list(dict.fromkeys(variant.name for variant in results.read(case).variants))
        assert names == ["as_posted", "v" * 64, "few"] + ["tnc"] * (case[0] == "E")
    importlib.import_module("stages.report").main()
    assert "<script>alert(1)" not in files.PAGE.read_text(encoding="utf-8")
