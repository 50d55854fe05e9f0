"""A case of one's own: from a script or from answers to params.yaml, and from there through the whole pipeline."""

import fcntl
import io
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from project import Project, make, plain_environment, shortest_content, write_mnist
from ruamel.yaml import YAML

from stages import case
from stages.core import errors, files, params, scratch
from stages.core.digits import Dataset

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
SNIPPETS = ROOT / "tests/snippets"
GIVEN = ("--title=Mine", "--source=https://example.org/question")

Command = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the real params.yaml, the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(TEXT, encoding="utf-8")
    return tmp_path


@pytest.fixture
def new(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`python -m stages.case new` in this process, with no terminal: what it prints."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["case", "new", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        with errors.one_line(), scratch.folder():
            case.main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(folder: Path, new: Command) -> Command:
    """The line or lines that `new` ends with, after which the folder is as it was."""

    def run(*arguments: str) -> str:
        before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        with pytest.raises(SystemExit) as caught:
            new(*arguments)
        assert isinstance(caught.value.code, str)
        assert all(line.startswith("error: ") for line in caught.value.code.splitlines())
        assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
        return caught.value.code.replace("error: ", "")

    return run


def written() -> params.Params:
    return params.load(Path("params.yaml"))


@pytest.mark.parametrize("name", ["mnist", "ex4"])
def test_a_posts_snippet_becomes_its_case_as_posted_and_nothing_else_changes(new: Command, name: str) -> None:
    said = new("mine", f"--from={SNIPPETS / name}.py", f"--dataset={name}", *GIVEN)
    found = written()
    mine = found.cases["mine"]
    assert mine.as_posted == found.cases[name].as_posted
    assert (mine.title, mine.source, mine.dataset) == ("Mine", "https://example.org/question", name)
    assert (mine.judged_by, mine.fixes, mine.published) == ("test_accuracy", {}, ())
    assert mine.baselines["logistic_regression"] == found.cases[name].baselines["logistic_regression"]
    assert found.variants["mine-as_posted"] == params.Variant(case="mine", fixes=())
    text = Path("params.yaml").read_text(encoding="utf-8")
    start, end = text.index("\n  mine:\n"), text.index("\n# A point of a case")
    assert (text[:start] + text[end:]).replace("  mine-as_posted: {case: mine, fixes: []}\n", "") == TEXT
    assert "added cases.mine and variants.mine-as_posted" in said
    assert "keras_semantics 2.2: " in said
    assert said.splitlines()[-1].startswith("next: dvc repro")


def test_what_was_assumed_and_what_is_not_as_in_the_script_is_said(folder: Path, new: Command) -> None:
    text = (SNIPPETS / "mnist.py").read_text(encoding="utf-8").replace("validation_split=0.33", "validation_split=0.2")
    (folder / "my.py").write_text(text, encoding="utf-8")
    said = new("mine", "--from=my.py", "--dataset=mnist", "--keras-semantics=3", *GIVEN)
    assert "network: 784-64-1, relu and sigmoid" in said
    assert "keras_semantics 3: given with --keras-semantics" in said
    assert "adam's learning_rate 0.001, batch_size 32" in said
    assert "which has validation_split 0.2: datasets.mnist.validation_split, 0.33" in said
    assert written().cases["mine"].as_posted.keras_semantics == "3"


def test_every_problem_of_a_script_is_a_line_with_its_place(folder: Path, refused: Command) -> None:
    text = (SNIPPETS / "ex4.py").read_text(encoding="utf-8").replace("'sgd'", "'rmsprop'")
    (folder / "my.py").write_text(text.replace("model=Sequential()", "model=Sequential([Conv2D(3)])"), encoding="utf-8")
    lines = refused("mine", "--from=my.py", "--dataset=mnist", *GIVEN).splitlines()
    assert lines == [
        "my.py:4: Conv2D: not a layer that whichfix trains; accepted: Activation, Dense, Flatten, Input, InputLayer,"
        " ReLU, Rescaling, Softmax",
        "my.py:5: a network of 400 inputs; accepted: 784, as the dataset has",
        "my.py:7: optimizer 'rmsprop'; accepted: adam, sgd",
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["mnist"], "params.yaml: cases.mnist: is there already; expected another name"),
        (["probe"], "probe: means something else in params.yaml already; expected another name"),
        (["a-b"], 'params.yaml: cases.a-b: "a-b"; accepted: a name of at most 64 letters, digits and _'),
        (["nan"], 'params.yaml: cases.nan: "nan"; accepted: another name'),
        (["../x"], 'params.yaml: cases.../x: "../x"; accepted: a name of at most 64 letters'),
        (["$(touch PWNED)"], 'params.yaml: cases.$(touch PWNED): "$(touch PWNED)"; accepted: a name'),
        (["a", "--title=a\nb"], 'params.yaml: cases.a.title: "a\\nb"; accepted: text in one line'),
        (["a", "--source=ftp://x"], 'params.yaml: cases.a.source: "ftp://x"; accepted: an address that begins with'),
        (["a", "--from=none.py"], "none.py: missing; expected a Python script"),
        (["a", "--from=."], ".: no file; expected a Python script"),
        (["a", "--from=large.py"], "large.py:1: more than 200000 bytes; expected a script of at most that many"),
        (["a", "--from=binary.py"], "binary.py:2: byte 0xff is not UTF-8; expected UTF-8"),
        (["a", "--from=broken.py"], "broken.py:2: '(' was never closed; accepted: Python 3 that parses"),
        (["a", "--from=deep.py"], "deep.py:"),
    ],
)
def test_what_is_refused_is_one_line_and_changes_nothing(
    folder: Path, refused: Command, arguments: list[str], expected: str
) -> None:
    (folder / "large.py").write_text("x = 1\n" * 50_000, encoding="utf-8")
    (folder / "binary.py").write_bytes(b"x = 1\ny = '\xff'\n")
    (folder / "broken.py").write_text("x = 1\ny = (\n", encoding="utf-8")
    (folder / "deep.py").write_text("x = 1" + "+1" * 90_000, encoding="utf-8")
    missing = [option for option in GIVEN if not any(given.startswith(option[:8]) for given in arguments)]
    line = refused("--dataset=ex4", f"--from={SNIPPETS / 'ex4.py'}", *arguments, *missing)
    assert line.startswith(expected)
    assert len(line.splitlines()) == 1


def test_without_a_terminal_what_is_missing_is_named(refused: Command) -> None:
    assert refused("a").startswith("--from, --dataset, --title, --source: missing, and standard input is no terminal")
    assert refused("a", "--from=x.py", "--title=a", "--dataset=ex4").startswith("--source: missing")


def test_a_params_yaml_that_is_refused_stays_as_it_is(folder: Path, refused: Command) -> None:
    (folder / "params.yaml").write_text(TEXT.replace("batch_size: 32", "batch_size: x", 1), encoding="utf-8")
    line = refused("a", f"--from={SNIPPETS / 'ex4.py'}", "--dataset=ex4", *GIVEN)
    assert line.startswith('params.yaml: cases.mnist.as_posted.batch_size: "x"; accepted: ')


def test_a_params_yaml_that_is_missing_is_said(folder: Path, refused: Command) -> None:
    (folder / "params.yaml").unlink()
    assert refused("a") == "params.yaml is missing; run in the folder that holds it"


def test_a_file_that_is_read_only_stays_as_it_is(folder: Path, refused: Command) -> None:
    (folder / "params.yaml").chmod(0o444)
    line = refused("a", f"--from={SNIPPETS / 'ex4.py'}", "--dataset=ex4", *GIVEN)
    assert line.startswith("params.yaml: read-only; expected a file that can be written")


def test_what_would_be_refused_with_the_case_is_not_written(folder: Path, refused: Command) -> None:
    # Of all that params.yaml may hold, the case is too much.
    padding = "#" * (params.MOST_BYTES - len(TEXT.encode()) - 10)
    (folder / "params.yaml").write_text(f"{TEXT}{padding}\n", encoding="utf-8")
    line = refused("a", f"--from={SNIPPETS / 'ex4.py'}", "--dataset=ex4", *GIVEN)
    assert line == "params.yaml: more than 200000 bytes; expected YAML of at most that many"


def test_a_file_keeps_its_mode_and_a_link_stays_one(folder: Path, new: Command) -> None:
    (folder / "params.yaml").rename(folder / "real.yaml")
    (folder / "params.yaml").symlink_to("real.yaml")
    (folder / "real.yaml").chmod(0o600)
    new("mine", f"--from={SNIPPETS / 'ex4.py'}", "--dataset=ex4", *GIVEN)
    assert (folder / "params.yaml").is_symlink()
    assert (folder / "real.yaml").stat().st_mode & 0o777 == 0o600
    assert "mine" in written().cases


def test_the_new_file_has_the_mode_before_it_has_the_name(
    folder: Path, new: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "params.yaml").chmod(0o600)
    modes = []
    replace = Path.replace

    def recorded(path: Path, target: Path) -> Path:
        modes.append((path.stat().st_mode & 0o777, target.name))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", recorded)
    new("mine", f"--from={SNIPPETS / 'ex4.py'}", "--dataset=ex4", *GIVEN)
    assert modes == [(0o600, "params.yaml")]


def test_a_case_that_came_while_questions_were_answered_stays_as_it_is(folder: Path, new: Command) -> None:
    content = YAML(typ="safe").load(folder / "params.yaml")
    new("mine", f"--from={SNIPPETS / 'ex4.py'}", "--dataset=ex4", *GIVEN)
    before = (folder / "params.yaml").read_bytes()
    with pytest.raises(errors.UserError) as caught:
        case.write(case.Draft("mine", content["cases"]["ex4"], content))
    assert str(caught.value).startswith("params.yaml: cases.mine: is there already; expected another name")
    assert (folder / "params.yaml").read_bytes() == before


def test_no_script_is_run(folder: Path, new: Command) -> None:
    text = "open('ran', 'w').write('ran')\nimport antigravity\n" + (SNIPPETS / "ex4.py").read_text(encoding="utf-8")
    (folder / "my.py").write_text(text, encoding="utf-8")
    new("mine", "--from=my.py", "--dataset=ex4", *GIVEN)
    assert not (folder / "ran").exists()
    assert "antigravity" not in sys.modules


def talk(folder: Path, answers: list[str], *arguments: str) -> tuple[str, int]:
    """What `python -m stages.case new` shows at a terminal of its own, given `answers`; and its exit code."""
    ours, theirs = pty.openpty()
    environment = {**plain_environment(), "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
    command = [sys.executable, "-m", "stages.case", "new", *arguments]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        # So that Ctrl-C is one.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    with process:
        os.close(theirs)
        shown, waiting = "", [*answers]
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                shown += os.read(ours, 4096).decode()
            except OSError:
                break
            # A question ends so, and its answer begins a line.
            if shown.endswith(": ") and waiting:
                os.write(ours, f"{waiting.pop(0)}\n".encode())
        else:
            process.kill()
        code = process.wait()
    os.close(ours)
    assert not waiting, shown
    return shown.replace("\r\n", "\n"), code


def test_without_a_script_every_key_is_asked_for_and_a_wrong_answer_again(folder: Path) -> None:
    answers = [
        *("", "My [bold] title", "ftp://x", "https://x", "1/255", "64 units", "32, 16", "tan", "tanh", "", ""),
        *("summed_binary_crossentropy", "sparse_categorical_crossentropy", "2.2", "sgd", "0", "0.5", "uniform", ""),
        *("1e-4", "", "3.5", "3"),
    ]
    shown, code = talk(folder, answers, "mine")
    assert code == 0, shown
    for part in (
        "Dataset [mnist/ex4] (mnist): ",
        'source: "ftp://x"; accepted: an address that begins with https:// or http://',
        "64 units; accepted: a number, or arithmetic such as 1/255",
        "tan; accepted: linear, relu, sigmoid, tanh",
        "accepted: output_activation sigmoid",
        "as_posted.optimizer.learning_rate: 0; accepted: a number above 0",
        "as_posted.epochs: 3.5; accepted: a whole number",
    ):
        assert part in shown
    found = params.load(folder / "params.yaml").cases["mine"]
    assert found.title == "My [bold] title"
    assert found.as_posted.model_dump(mode="json") == {
        "input_scale": 1 / 255,
        "hidden_units": [32, 16],
        "hidden_activation": "tanh",
        "output_units": 10,
        "output_activation": "softmax",
        "initializer": {"name": "uniform", "limit": 0.12},
        "loss": "sparse_categorical_crossentropy",
        "keras_semantics": "2.2",
        "optimizer": {"name": "sgd", "learning_rate": 0.5},
        "l2": 0.0001,
        "batch_size": 32,
        "epochs": 3,
    }


def test_one_output_no_hidden_layer_and_tnc_are_asked_for_no_more_than_they_have(folder: Path) -> None:
    answers = ["", "none", "1", "", "tnc", "50", "", "0"]
    shown, code = talk(folder, answers, "mine", "--dataset=ex4", *GIVEN)
    # TNC takes the whole training set, and every loss.
    assert code == 0, shown
    found = params.load(folder / "params.yaml").cases["mine"].as_posted
    assert (found.hidden_units, found.output_units, found.loss) == ((), 1, "binary_crossentropy")
    assert (found.batch_size, found.epochs, found.optimizer.name) == (None, None, "tnc")


def test_with_a_script_what_is_not_given_is_asked_for(folder: Path) -> None:
    script = f"--from={SNIPPETS / 'ex4.py'}"
    shown, code = talk(folder, ["mnist"], "mine", script)
    # What the script looks like is the default.
    assert "Dataset [mnist/ex4] (ex4): " in shown
    assert (code, shown.splitlines()[-1]) == (
        1,
        f"error: {SNIPPETS / 'ex4.py'}:5: a network of 400 inputs; accepted: 784, as the dataset has",
    )
    shown, code = talk(folder, ["", "", "https://x"], "mine", script)
    assert code == 0, shown
    found = params.load(folder / "params.yaml").cases["mine"]
    assert (found.dataset, found.title, found.source) == ("ex4", "mine", "https://x")


@pytest.mark.parametrize("key", ["\x04", "\x03"], ids=["end", "interrupt"])
def test_who_stops_answering_has_changed_nothing(folder: Path, key: str) -> None:
    shown, code = talk(folder, ["", key], "mine")
    assert code != 0
    assert "Traceback" not in shown
    assert [path.name for path in folder.iterdir()] == ["params.yaml"]
    assert (folder / "params.yaml").read_text(encoding="utf-8") == TEXT


def ran(output: str) -> set[str]:
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")}


@pytest.fixture(scope="module")
def project(raw_mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The repository with exercise 4 alone, after its first `dvc repro`."""
    mnist = write_mnist(raw_mnist, tmp_path_factory.mktemp("mnist"))
    made = make(tmp_path_factory.mktemp("case"), mnist, shortest_content(ROOT / "params.yaml"))
    made.dvc("repro")
    made.commit()
    return made


def test_a_case_without_fixes_runs_through_the_pipeline_and_nothing_else_does(project: Project) -> None:
    before = project.contents("runs", "baselines", "attribution", "data", "probe")
    text = (SNIPPETS / "ex4.py").read_text(encoding="utf-8").replace("epochs=100", "epochs=2")
    script = project.folder.parent / "script.py"
    script.write_text(text, encoding="utf-8")
    project.succeed("python", "-m", "stages.case", "new", "mine", "--from", str(script), "--dataset=ex4", *GIVEN)
    assert ran(project.dvc("repro")) == {
        *("plan", "prepare@mine", "train@mine-as_posted", "baseline@mine", "attribute@mine"),
        *("evaluate", "report", "track"),
    }
    after = project.contents("runs", "baselines", "attribution", "data", "probe")
    assert before.items() <= after.items()
    assert all("/mine" in path for path in after.keys() - before.keys())

    # The same network on the same data as the case that is there already.
    metrics = files.read_json(project.folder / "reports/metrics.json")
    assert metrics["mine-as_posted"] == metrics["ex4-as_posted"]
    effects = files.read_json(project.folder / "attribution/mine/effects.json")
    assert effects["test_accuracy"]["fixes"] == {}
    page = (project.folder / "reports/index.html").read_text(encoding="utf-8")
    assert page.count("No fix is suggested") == 1
    assert "all fixes, test accuracy" not in page
    assert ran(project.dvc("repro")) == {"track"}
    assert YAML(typ="safe").load(project.folder / "params.yaml")["cases"].keys() == {"ex4", "mine"}
    assert "MLflow store is up to date" in project.dvc("repro")
