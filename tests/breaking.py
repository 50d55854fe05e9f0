"""Stages broken at a moment: what they are about to write, noted in a run of each, and struck in a later one."""

import json
import os
import re
import signal
import sqlite3
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from miniature import raw_digits, small_content
from project import Project, make, plain_environment, write_mnist

from stages.core.digits import ARRAY_OF_FILE, idx_bytes
from stages.core.digits import sha256 as digest
from stages.core.tracking import KEY_TAG, PARENT_TAG

FAULTS = Path(__file__).parent / "faults"
# A stage of each module, downstream ones first: so each still has what it reads when the ones before it are broken.
STAGES = [
    "track",
    "report",
    "evaluate",
    "attribute@ex4",
    "probe",
    "baseline@ex4",
    "train@ex4-as_posted",
    "prepare@ex4",
    "fetch",
    "plan",
]
# Of git, DVC and MLflow; the store is compared by what it says.
OTHERS = (".git", ".dvc/cache", ".dvc/tmp", "mlflow.db", "mlruns", "mlartifacts")
# Where and when a run was tracked.
VOLATILE = ("mlflow.source.git.", "mlflow.user", "version.", PARENT_TAG)

How = Literal["kill", "cut", "full", "locked"]


@dataclass(frozen=True)
class Strike:
    """What happens to a stage, when the moment comes that `before` others of its `kind` precede."""

    kind: str
    before: int
    how: How = "kill"
    size: int = 1
    target: str = ""


def small_project(root: Path, folder: Path) -> Project:
    """The project on made-up digits, all small, after its first `dvc repro`; its TMPDIR is ``tmp`` beside it."""
    mnist = raw_digits()
    content = small_content(root / "params.yaml")
    content["sources"]["files"] = {name: digest(idx_bytes(mnist[array])) for name, array in ARRAY_OF_FILE.items()}
    del content["cases"]["mnist"]
    content["variants"] = {name: content["variants"][name] for name in ("ex4-as_posted", "ex4-fixed")}
    for name in ("project", "tmp"):
        (folder / name).mkdir()
    environment = {
        "TMPDIR": str(folder / "tmp"),
        # Python's own cache of compiled modules may have half a file when it is killed; Python itself mends that.
        "PYTHONDONTWRITEBYTECODE": "1",
        # By which every process of this project is known.
        "PROJECT": str(folder / "project"),
    }
    variables = {**plain_environment(), **environment}
    project = make(folder / "project", write_mnist(mnist, folder / "mnist"), content, variables)
    project.dvc("repro")
    project.commit()
    return project


def command(stage: str) -> list[str]:
    """The arguments of the Python that runs `stage`, as dvc.yaml has them."""
    name, _, argument = stage.partition("@")
    return ["-m", f"stages.{name}", *([stage] if argument else [])]


def fault(project: Project, stage: str, strike: Strike | None) -> tuple[Path, dict[str, str]]:
    """The log of what happens to `stage`, and the environment in which it does."""
    log = project.folder.parent / "log"
    log.unlink(missing_ok=True)
    setting: dict[str, Any] = {"command": command(stage), "log": str(log)}
    if strike:
        folder = str(Path(strike.target).parent)
        setting["strike"] = [strike.kind, strike.before, strike.how, strike.size, folder]
    return log, {"FAULT": json.dumps(setting), "PYTHONPATH": str(FAULTS)}


def noted(log: Path) -> list[list[str]]:
    """The lines of a log."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def place(path: str) -> str:
    """The folder of `path`, the same for what is made alike."""
    folder = Path(path).parent.as_posix()
    for pattern, name in {r".*/\.stage-tmp-.*": "scratch", r".*/mlruns/.*": "mlruns", "timings.*": "timings"}.items():
        folder = re.sub(pattern, name, f"{folder}/")
    return folder


def moments(project: Project, lines: list[list[str]]) -> list[Strike]:
    """Strikes at the moments of a noted run: of those of one kind and folder the first or the last.

    A file that is renamed has four: before it is opened, halfway through, before it is renamed, and after that.
    """
    targets = {paths[0]: paths[1] for kind, *paths in lines if kind == "rename"}
    counts: Counter[str] = Counter()
    groups: defaultdict[tuple[str, str], list[Strike]] = defaultdict(list)
    for kind, *paths in lines:
        target = targets.get(paths[0], paths[-1]) if paths else ""
        groups[kind, place(target)].append(Strike(kind, counts[kind], target=target))
        # An empty file and a pipe cannot be cut.
        if kind == "open" and Path(target).name not in ("lock", "notes"):
            whole = project.folder / target
            size = whole.stat().st_size // 2 if whole.is_file() else 1
            groups["cut", place(target)].append(Strike(kind, counts[kind], "cut", max(size, 1), target))
        counts[kind] += 1
    chosen: list[Strike] = []
    for (kind, _), strikes in groups.items():
        if kind == "commit":
            # These have no folder: some over the whole of the run.
            chosen += strikes[:: max(len(strikes) // 5, 1)]
        else:
            chosen.append(strikes[-1 if kind in ("cut", "rename") else 0])
    return chosen


def files_of(folder: Path) -> dict[str, str]:
    """Every file and folder of the pipeline: a file's digest by its path."""
    found: dict[str, str] = {}
    for parent, folders, names in os.walk(folder):
        inside = Path(parent).relative_to(folder)
        folders[:] = [name for name in folders if (inside / name).as_posix() not in OTHERS]
        for name in names:
            path = inside / name
            if path.as_posix() not in OTHERS:
                # Times differ.
                content = b"" if path.parts[0] == "timings" else (folder / path).read_bytes()
                found[path.as_posix()] = sha256(content).hexdigest()
        for name in folders:
            found[(inside / name).as_posix()] = "folder"
    return found


def runs_of(folder: Path) -> list[Any]:
    """All that MLflow shows of this project, but for ids and times."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:

        def rows(query: str, *values: str) -> list[Any]:
            return sorted(database.execute(query, values).fetchall(), key=repr)

        keys = dict(rows("SELECT run_uuid, value FROM tags WHERE key = ?", KEY_TAG))
        parents = dict(rows("SELECT run_uuid, value FROM tags WHERE key = ?", PARENT_TAG))
        runs = rows(
            "SELECT run_uuid, runs.name, status, experiments.name, runs.artifact_uri FROM runs JOIN experiments "
            "USING (experiment_id) WHERE runs.lifecycle_stage = 'active'"
        )
        return sorted(
            (
                [
                    keys.get(run, ""),
                    keys.get(parents.get(run, ""), ""),
                    name,
                    status,
                    experiment,
                    rows("SELECT key, value FROM params WHERE run_uuid = ?", run),
                    rows(
                        "SELECT key, value, step, is_nan FROM metrics WHERE run_uuid = ? AND key != 'train_seconds'",
                        run,
                    ),
                    [
                        tag
                        for tag in rows("SELECT key, value FROM tags WHERE run_uuid = ?", run)
                        if not tag[0].startswith(VOLATILE) and "artifact" not in tag[0].lower()
                    ],
                    rows(
                        "SELECT name, digest FROM inputs JOIN datasets ON source_id = dataset_uuid "
                        "WHERE destination_id = ?",
                        run,
                    ),
                    sorted(files_of(Path(unquote(urlsplit(artifacts).path))).items()),
                ]
                for run, name, status, experiment, artifacts in runs
            ),
            key=repr,
        )


def models_of(folder: Path) -> list[Any]:
    """The champions that MLflow shows, and the models of its runs, but for ids and times."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        champions = (
            "SELECT name, alias, value FROM registered_model_aliases JOIN model_version_tags USING (name, version)"
        )
        logged = (
            "SELECT models.name, models.status, tag_value, artifact_location FROM logged_models AS models "
            "JOIN logged_model_tags USING (model_id) "
            "JOIN runs ON run_uuid = source_run_id AND runs.lifecycle_stage = 'active' "
            "WHERE models.lifecycle_stage = 'active' AND tag_key = ?"
        )
        found = [
            [*row, sorted(files_of(Path(unquote(urlsplit(artifacts).path))))]
            for *row, artifacts in database.execute(logged, [KEY_TAG]).fetchall()
        ]
        return sorted(found + [list(row) for row in database.execute(champions).fetchall()], key=repr)


def running(folder: Path) -> int:
    """How many runs MLflow takes for running, deleted ones too."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        (number,) = database.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'").fetchone()
    return int(number)


def processes_of(folder: Path) -> Iterator[int]:
    """The processes whose environment variable PROJECT is `folder`."""
    mark = f"PROJECT={folder}\0".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes() and "(zombie)" not in (folder / "status").read_text("utf-8"):
                yield int(folder.name)
        except OSError:
            # It has ended meanwhile.
            continue


def ended(folder: Path, seconds: float) -> bool:
    """Whether every process of `processes_of` ends within `seconds`."""
    deadline = time.monotonic() + seconds
    while any(True for _ in processes_of(folder)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def state(project: Project) -> dict[str, Any]:
    """All that `dvc repro` is to bring back."""
    return {
        "dvc.lock": (project.folder / "dvc.lock").read_text(encoding="utf-8"),
        "git": project.succeed("git", "status", "--porcelain"),
        "files": files_of(project.folder),
        "runs": runs_of(project.folder),
        "models": models_of(project.folder),
        "running": running(project.folder),
        "temporary files": sorted(path.name for path in (project.folder.parent / "tmp").iterdir()),
        "processes end": ended(project.folder, 5),
    }


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What of `found` is not as `expected`, a line each."""
    lines = []
    for name in expected:
        if isinstance(expected[name], dict):
            pairs = set(expected[name].items()) ^ set(found[name].items())
            lines += [f"{name}: {path}" for path in sorted({path for path, _ in pairs})]
        elif isinstance(expected[name], list):
            lines += [f"{name}: lacks {str(entry)[:300]}" for entry in expected[name] if entry not in found[name]]
            lines += [f"{name}: has {str(entry)[:300]}" for entry in found[name] if entry not in expected[name]]
            if len(expected[name]) != len(found[name]):
                lines.append(f"{name}: {len(found[name])} instead of {len(expected[name])}")
        elif expected[name] != found[name]:
            lines.append(f"{name}: {str(found[name])[:300]}")
    return lines


def repro(project: Project, stage: str, strike: Strike | None = None) -> list[list[str]]:
    """Run `stage` anew by DVC, struck; what is noted meanwhile."""
    log, environment = fault(project, stage, strike)
    dvc = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", stage]
    run = project.run(*dvc, **environment)
    lines = noted(log) if log.is_file() else []
    assert (run.returncode != 0) == bool(strike), run.stdout + run.stderr
    if strike:
        assert ["struck"] in lines, f"{stage} was not struck: {strike}\n{run.stdout}{run.stderr}"
        codes = [-signal.SIGKILL, 128 + signal.SIGKILL, -signal.SIGXFSZ, 128 + signal.SIGXFSZ]
        assert any(f"exited with {code}" in run.stdout + run.stderr for code in codes), run.stdout + run.stderr
    return lines
