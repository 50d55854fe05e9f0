"""`python -m stages record` runs a script under limits, says in one line why it failed, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from recording import recordings
from recording.recordings import recording
from stages import record
from stages.base.errors import UserError
from stages.recording import process

# Stands for recording/child.py: the scripts of these tests write the report themselves.
START = (
    "import subprocess, sys; a = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    "open('../pid', 'w').write(str(a.pid))"
)
CHILD = """
import json, os, runpy, sys
job = json.load(open(sys.argv[1]))
sys.argv = [job["shown"], *job["arguments"]]
def report(**found):
    json.dump(found, open(job["report"], "w"))
    sys.stdout.flush()
    os._exit(0)
runpy.run_path(job["script"], init_globals={"job": job, "report": report})
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with a recording, and the child replaced."""
    (tmp_path / "child.py").write_text(CHILD)
    monkeypatch.setattr(process, "CHILD", tmp_path / "child.py")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    for name in ("here", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    recordings.write(tmp_path / "a.zip", recording())
    return tmp_path


def run(folder: Path, script: str, *options: str, arguments: tuple[str, ...] = (), name: str = "my_case") -> None:
    Path("train.py").write_text(textwrap.dedent(script))
    record.main("--folder", str(folder / "own"), "--no-suggestions", *options, name, "train.py", *arguments)


RECORD = 'import shutil; shutil.copy("../a.zip", job["recording"]); '


def test_a_script_is_recorded_and_the_person_sees_what_was_taken(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = f"import sys; print('arguments', sys.argv); {RECORD} report(recorded=True, history=None)"
    run(folder, script, arguments=("--epochs", "3", "--folder", "x"))
    said, errors = capfd.readouterr()
    assert errors == ""
    for words in (
        "running train.py",
        "own/data/own, which Git ignores",
        "line 32: model.fit(x, y, epochs=3)",
        "100 x 4 float64",
        "Dense, units 8, activation relu",
        "binary_crossentropy",
        "adam, learning_rate 0.001",
        "wrote the case my_case to ",
        "&& dvc repro",
    ):
        assert words in said
    log = (folder / "own/logs/my_case.txt").read_text()
    assert log.endswith("train.py', '--epochs', '3', '--folder', 'x']\n")
    assert list((folder / "temporary").iterdir()) == []
    assert np.load(folder / "own/data/own/my_case.npz")["x"].shape == (100, 4)


def test_the_script_does_not_get_the_processor_settings_of_whichfix(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEP_ME", "yes")
    script = """
        import os
        report(failed=",".join(os.environ.get(name, "none") for name in ("OMP_NUM_THREADS", "KEEP_ME", "MPLBACKEND")))
    """
    with pytest.raises(UserError, match="none,yes,Agg"):
        run(folder, script)


@pytest.mark.tried("scripts to record")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('report(refused="line 20 trains a network with Conv2D", line=20)', "train.py: line 20 trains a network with"),
        ('report(refused="two inputs", line=16)', "train.py: line 16: two inputs"),
        (
            """print("a"); report(failed="KeyError: 'Load'", line=17, called_from=22)""",
            "train.py: line 17: KeyError: 'Load' (called from line 22); expected a script that runs until it trains",
        ),
        ('report(failed="FileNotFoundError: a.csv", line=3)', "start the command where you start the script"),
        ('report(failed="line 19: Python 2 print statement", line=19)', "train.py: line 19: Python 2 print statement"),
        (
            'report(ended={"evaluate": 3}, by_hand=None)',
            "without training; it called evaluate 3 times; ",
        ),
        ("report(ended={}, by_hand=16)", "train.py: line 16: the training is written by hand (GradientTape)"),
        ("report(ended={}, trainings=2)", "the script trains 2 times; expected --fit of at most that"),
        ("report(input=32)", "train.py: line 32: the script waits for input()"),
        ("import os; os._exit(7)", "train.py: Python ended with code 7 before the script trained"),
        ("import os; os.kill(os.getpid(), 11)", "train.py: Python ended with code -11"),
    ],
)
def test_a_script_that_is_not_recorded_ends_in_one_line_and_leaves_nothing(
    folder: Path, script: str, words: str
) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(UserError) as caught:
        run(folder, script)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(folder.iterdir()) == before
    assert list((folder / "temporary").iterdir()) == []
    assert sorted(path.name for path in Path().iterdir()) == ["train.py"]


def test_the_last_lines_of_the_script_are_shown_if_it_fails(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = """
        for number in range(100_000):
            print("line", number)
        print("\\x1b[31mred\\x07")
        report(failed="KeyError: 3", line=5)
    """
    with pytest.raises(UserError, match="KeyError: 3"):
        run(folder, script)
    errors = capfd.readouterr().err.splitlines()
    assert errors[0] == "the last lines of train.py:"
    assert len(errors) == 1 + process.LAST_LINES
    assert errors[-2:] == ["  line 99999", "  \\x1b[31mred\\x07"]


@pytest.mark.tried("scripts to record")
@pytest.mark.parametrize(
    ("script", "options", "words"),
    [
        ("import time; time.sleep(60)", ("--timeout", "0.02"), "not done after 0.02 minutes"),
        ("a = b'x' * 300_000_000; import time; time.sleep(60)", ("--memory", "0.2"), "of memory; a higher limit is"),
    ],
)
def test_a_script_that_takes_too_much_is_ended_with_the_processes_that_it_started(
    folder: Path, script: str, options: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        run(folder, f"{START}; {script}", *options)
    assert not is_running(int((folder / "pid").read_text()))


@pytest.mark.tried("scripts to record")
@pytest.mark.parametrize("left", ["a process in a session of its own", "a process whose parent has ended"])
def test_nothing_that_a_script_starts_runs_on(folder: Path, left: str) -> None:
    own = START.replace(")']", ")'], start_new_session=True")
    orphan = f"import os, time\nif not os.fork():\n    {own}; os._exit(0)\ntime.sleep(1)"
    with pytest.raises(UserError, match="two inputs"):
        run(folder, f"{own if 'session' in left else orphan}\nreport(refused='two inputs')")
    assert not is_running(int((folder / "pid").read_text()))


@pytest.mark.tried("scripts to record")
@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [("MOST_PRINTED", 1000, "printed more than 0 MB and has not trained"), ("LEAST_FREE", 1 << 60, "is nearly full")],
)
def test_a_script_that_would_fill_the_disk_is_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, words: str
) -> None:
    monkeypatch.setattr(process, limit, value)
    with pytest.raises(UserError, match=words):
        run(folder, "while True:\n    print('again')")
    assert list((folder / "temporary").iterdir()) == []


@pytest.mark.tried("scripts to record")
def test_a_script_that_writes_into_the_clone_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "clone").mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=folder / "clone", check=True)
    monkeypatch.setattr(record, "ROOT", folder / "clone")
    run(folder, f"open('../clone/params.yaml', 'w'); {RECORD} report(recorded=True)")
    assert f"train.py wrote into {folder}/clone: params.yaml; `git status` shows it all\n" in capsys.readouterr().out


@pytest.mark.tried("scripts to record")
def test_a_secret_that_a_script_prints_is_in_its_log_alone(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(folder, f"print('secret-4711'); {RECORD} report(recorded=True)", arguments=("--key", "secret-4712"))
    assert "secret-471" not in "".join(capfd.readouterr())
    holding = [path for path in folder.rglob("*") if path.is_file() and b"secret-471" in path.read_bytes()]
    assert sorted(str(path.relative_to(folder)) for path in holding) == ["here/train.py", "own/logs/my_case.txt"]


@pytest.mark.tried("scripts to record")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_record_that_is_ended_ends_the_script(folder: Path, number: signal.Signals) -> None:
    sleep = (
        f"import os, signal, time; open('../pid', 'w').write(str(os.getpid())); os.kill({os.getpid()}, {number:d}); "
    )
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(folder, f"{sleep}time.sleep(60)")
    assert not is_running(int((folder / "pid").read_text()))
    assert list((folder / "temporary").iterdir()) == []
    assert not (folder / "own").exists()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_cannot_be_recorded_is_refused_before_the_script_runs(folder: Path) -> None:
    ran = folder / "ran"
    script = f"open({str(ran)!r}, 'w'); {RECORD} report(recorded=True)"
    for name, words in (("1case", 'case "1case"; expected a name of at most 64'), ("null", "expected another name")):
        with pytest.raises(UserError, match=words):
            run(folder, script, name=name)
    with pytest.raises(UserError, match="expected at least 1"):
        run(folder, script, "--fit", "0")
    with pytest.raises(UserError, match=r"gone\.py is missing; expected a Python script"):
        record.main("--folder", str(folder / "own"), "my_case", "gone.py")
    with pytest.raises(UserError, match=r"no/python: No such file or directory; expected a Python with Keras"):
        run(folder, script, "--python", "no/python")
    assert not ran.exists()
    run(folder, script)
    ran.unlink()
    with pytest.raises(UserError, match=r"cases\.my_case exists; expected another name, or --replace"):
        run(folder, script)
    assert not ran.exists()
    run(folder, script, "--replace")
    assert ran.exists()


def test_check_sets_the_losses_of_script_and_whichfix_side_by_side(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = f"assert job['run_on']; {RECORD} report(recorded=True, history={{'loss': [90.0, 80.0, 70.0]}})"
    run(folder, script, "--check")
    said = capfd.readouterr().out
    assert "Loss per epoch" in said
    assert "check: the curves differ: the script's last loss 70 is not within " in said


def test_another_python_runs_the_script(folder: Path) -> None:
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nexport MARK=1\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    with pytest.raises(UserError, match="mark 1"):
        run(folder, "import os; report(failed='mark ' + os.environ['MARK'])", "--python", str(program))
