"""Results are the same wherever the repository lies and whatever the settings of the user are."""

import os
import sysconfig
import venv
from pathlib import Path

import pytest
from documented import line
from project import OUTS, Project, make, plain_environment, shortest_content

from pipeline.test_kills import store

pytestmark = pytest.mark.tried("settings of the user")

ROOT = Path(__file__).parents[2]
# Without an apostrophe, which MLflow cannot handle: its first statement to a new store quotes the path with them.
ODD = 'a "test" – Prüfung 数 $HOME & co 50% #1 a?b'
# A folder in which nobody can write, not even root.
READ_ONLY = Path("/sys")


@pytest.fixture(scope="module")
def odd(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """Return a project in an odd folder with its own virtual environment, and what its `dvc repro` printed."""
    folder = tmp_path_factory.mktemp("odd") / ODD
    repository, temporary = folder / "repository", folder / "temporary files"
    temporary.mkdir(parents=True)
    venv.create(repository / ".venv", symlinks=True)
    (packages,) = (repository / ".venv/lib").glob("python*/site-packages")
    (packages / "installed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    with pytest.raises(OSError):
        (READ_ONLY / "home").mkdir()
    drawing = folder / "matplotlibrc"
    drawing.write_bytes(b"text.usetex: True\nlines.linewidth: 7\nsavefig.bbox: tight\nno.key: 1\n# \xff\n")
    homes = {name: str(READ_ONLY) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    variables = {
        "LC_ALL": "C",
        "LANG": "de_DE.ISO-8859-1",
        "TZ": "Pacific/Chatham",
        "PYTHONHASHSEED": "12345",
        "PYTHONIOENCODING": "ascii",
        "PYTHONSAFEPATH": "1",
        "NO_COLOR": "1",
        "COLUMNS": "20",
        "MPLBACKEND": "none",
        "MATPLOTLIBRC": str(drawing),
        "TMPDIR": str(temporary),
        "PATH": f"{repository / '.venv/bin'}{os.pathsep}{os.environ['PATH']}",
        **homes,
    }
    content = shortest_content(ROOT / "params.yaml")
    project = make(repository, mnist, content, {**plain_environment(), **variables}, umask=0o077)
    said = project.dvc("repro")
    project.succeed("git", "add", "--all")
    return project, said


def test_dvc_lock_and_every_out_are_the_same(shortest: Project, odd: tuple[Project, str]) -> None:
    expected = shortest.contents(*OUTS)
    assert len(expected) > 20
    assert odd[0].contents(*OUTS) == expected
    assert (odd[0].folder / "dvc.lock").read_bytes() == (shortest.folder / "dvc.lock").read_bytes()
    assert odd[0].succeed("git", "write-tree") == shortest.succeed("git", "write-tree")


def test_mlflow_holds_the_same_runs_in_a_store_inside_the_clone(shortest: Project, odd: tuple[Project, str]) -> None:
    assert store(odd[0]) == store(shortest)
    runs, metrics, champions = store(shortest)
    assert len(runs) > 5
    assert len(metrics) > 50
    assert {status for _, status, _ in runs} == {"FINISHED"}
    assert champions
    # Nothing lies beside the repository, where a path that is cut at `?` or `#` would lead.
    places = odd[0].folder.parents[:2]
    assert {path.name for place in places for path in place.iterdir()} == {
        "repository",
        "temporary files",
        "matplotlibrc",
        ODD,
    }


def test_track_finds_its_runs_again_and_no_stage_complains(odd: tuple[Project, str]) -> None:
    before = store(odd[0])
    assert "MLflow store is up to date" in odd[0].succeed(*line("docs/reliability.md", "WHICHFIX_TRACK_SECONDS"))
    # SQLAlchemy warns. DVC itself cannot run with this setting.
    (odd[0].folder / ".mlflow.stamp.json").unlink()
    ended = odd[0].stage("track", PYTHONSAFEPATH="", PYTHONWARNINGS="error")
    assert ended.returncode == 0, ended.stderr
    assert store(odd[0]) == before
    for complaint in ("Traceback", "Error", "error", "Exception", "UserWarning"):
        assert complaint not in odd[1]


def test_the_settings_were_those_of_the_processes(odd: tuple[Project, str]) -> None:
    program = "import os, sys, time; print(ascii(sys.prefix)); print(time.timezone, oct(os.umask(0)))"
    prefix, rest = odd[0].succeed("python", "-c", program).splitlines()
    assert prefix == ascii(str(odd[0].folder / ".venv"))
    assert rest == f"{-(12 * 60 + 45) * 60} 0o77"
