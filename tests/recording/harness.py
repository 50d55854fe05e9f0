"""Running the scripts of tests/scripts: recording, translation, and their own training beside that of whichfix."""

import contextlib
import copy
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from stages.base import files
from stages.config.data import OwnData
from stages.config.network import Network, PostedNetwork
from stages.data import own
from stages.recording import recorded
from stages.recording.case import RecordedCase, case_of

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tests/scripts"
EXPECTED: dict[str, Any] = YAML(typ="safe").load((SCRIPTS / "expected.yaml").read_text(encoding="utf-8"))
TAKEN = [name for name, expected in EXPECTED.items() if "as_posted" in expected]
OTHERS = [name for name in EXPECTED if name not in TAKEN]
SEEDS = range(10)
# The exact test has this level per number. The suite compares fewer than 100 numbers, so it raises a false alarm with a
# probability of less than 1%.
LEVEL = 1e-4
# Means that differ by less are equal: the two sides round differently.
ROUNDING = 1e-4


def line_of(script: str, text: str) -> int:
    """Return the number of the first line of `script` that has `text`."""
    lines = (SCRIPTS / script).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


@dataclass
class Zygote:
    """The process that forks a child per job; `folder` takes what the children write.

    It is run by the interpreter `python` with the environment `variables` in addition.
    """

    folder: Path
    python: str = sys.executable
    variables: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] = field(init=False)
    # Seconds of processor time that the last child took.
    used: float = 0.0

    def __post_init__(self) -> None:
        path = Path(__file__).with_name("zygote.py")
        program = f"exec(compile(open({str(path)!r}).read(), '<zygote>', 'exec'))"
        environment = {**os.environ, "MPLBACKEND": "Agg", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONIOENCODING": "utf-8"}
        with (self.folder / "zygote.log").open("w") as log:
            self.process = subprocess.Popen(
                [self.python, "-c", program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**environment, **self.variables},
                cwd=self.folder,
            )

    def run(self, script: str, **job: Any) -> int:
        """Run a job on `script` and return the exit status of its child."""
        job = {
            "script": str(SCRIPTS / script),
            "shown": script,
            "arguments": EXPECTED[script].get("arguments", []),
            "recording": str(self.recording(script)),
            "report": str(self.folder / f"{script}.report.json"),
            "child": str(ROOT / "stages/recording/child.py"),
            "folder": str(self.folder),
            "log": str(self.folder / f"{script}.log"),
            "seconds": 120,
            **job,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(job), file=self.process.stdin, flush=True)
        while (answer := self.process.stdout.readline().split()) == ["ready"]:
            continue
        assert len(answer) == 2, (self.folder / "zygote.log").read_text(encoding="utf-8")
        self.used = float(answer[1])
        return int(answer[0])

    def recording(self, script: str) -> Path:
        """Return the path of the recording of `script`."""
        return self.folder / f"{script}.zip"

    def log(self, script: str) -> str:
        """Return the end of what the last child of `script` printed."""
        path = self.folder / f"{script}.log"
        return path.read_text(encoding="utf-8", errors="replace")[-3000:] if path.exists() else ""

    def record(self, script: str) -> dict[str, Any]:
        """Record `script` and return the report of the child."""
        status = self.run(script)
        report = self.folder / f"{script}.report.json"
        assert report.exists(), f"exit status {status}\n{self.log(script)}"
        found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return found

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def translated(path: Path) -> tuple[recorded.Recording, RecordedCase]:
    """Return the recording at `path` and the case that it becomes."""
    recording = recorded.read(path)
    return recording, case_of(recording, "script")


def posted_network(as_posted: Mapping[str, Any]) -> PostedNetwork:
    """Return the network of `as_posted`, whose layers may have no names."""
    layers = as_posted["layers"]
    if isinstance(layers, list):
        layers = {f"layer_{place}": layer for place, layer in enumerate(layers)}
    return PostedNetwork.model_validate({**as_posted, "layers": layers})


def brief(as_posted: Mapping[str, Any]) -> dict[str, Any]:
    """Return `as_posted` with every default left out and layers without their names."""
    found = posted_network(as_posted).brief()
    return found | {"layers": [{key: each[key] for key in each if key != "name"} for each in found["layers"]]}


def is_loop(script: str) -> bool:
    """Return whether `script` trains in a loop of `train_on_batch`."""
    return bool(EXPECTED[script].get("kind") == "train_on_batch")


def by_itself(zygote: Zygote, script: str) -> dict[str, np.ndarray]:
    """Return what the script's own training gives, by number, one value per seed."""
    expected = EXPECTED[script]
    posted = posted_network(expected["as_posted"])
    results = zygote.folder / f"{script}.results.json"
    status = zygote.run(
        script,
        own_fit=str(Path(__file__).with_name("own_fit.py")),
        results=str(results),
        seeds=list(SEEDS),
        task=expected["task"],
        loop=is_loop(script),
        decay=posted.optimizer["decay"] or 0,
        weights_set=posted.initial_weights,
        # The output above which a single output means the second class, or a label.
        cut=0.5 if posted.layers[-1].get("activation") == "sigmoid" else 0.0,
    )
    assert results.exists(), f"exit status {status}\n{zygote.log(script)}"
    return _columns(json.loads(results.read_text(encoding="utf-8")))


def by_whichfix(
    case: RecordedCase, folder: Path, changes: Mapping[str, Any] | None = None, *, evaluated: bool = False
) -> dict[str, np.ndarray]:
    """Return what the recorded case gives, by number, one value per seed; its data is written below `folder`.

    `changes` are made to the settings, as a wrong recording would have them. The loss is that of the last epoch, or
    that of the trained network if it is to be `evaluated`.
    """
    from stages.training.trainer import Trainer

    with contextlib.chdir(folder):
        files.write_archive(Path(case.block["data"]["file"]), dict(case.arrays))
        data, _ = own.prepare(OwnData.model_validate({"recipe": "own", **case.block["data"]}), case.block["task"])
    settings = copy.deepcopy(case.block["as_posted"])
    for path, value in (changes or {}).items():
        *parents, key = path.split(".")
        place = settings
        for parent in parents:
            place = place[parent]
        place[key] = value
    trainer = Trainer(Network.model_validate({**settings, "keras": "3"}), data)
    runs = [trainer.run(seed) for seed in SEEDS]
    return _columns(
        [
            {
                "loss": run.losses["train"] if evaluated else run.history[-1][0],
                "validation": run.history[-1][2] if "validation" in data.y else None,
                "score": run.scores["train"],
            }
            for run in runs
        ]
    )


def differing(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], level: float = LEVEL
) -> dict[str, str]:
    """Return the numbers of which the two samples cannot have one distribution, each with both means."""
    assert first.keys() == second.keys()
    found = {}
    for key in first:
        a, b = first[key], second[key]
        if abs(a.mean() - b.mean()) > ROUNDING * max(abs(a.mean()), abs(b.mean())) and (p := p_value(a, b)) < level:
            found[key] = (
                f"{a.mean():.5g} ± {a.std(ddof=1):.2g} against {b.mean():.5g} ± {b.std(ddof=1):.2g}, p = {p:.1g}"
            )
    return found


def p_value(a: np.ndarray, b: np.ndarray) -> float:
    """Return the probability of means as far apart as those of `a` and `b`, were they of one distribution.

    It is exact, whatever the distribution: the share of all ways to part the values into two samples of these sizes (R.
    A. Fisher, The Design of Experiments, 1935, section 21).
    """
    values = np.concatenate([a, b])
    values = values - values.mean()
    sums = np.abs(_choices(len(values), len(a)) @ values)
    return float(np.mean(sums >= sums[0] * (1 - 1e-9)))


@cache
def _choices(n: int, size: int) -> np.ndarray:
    """Return every choice of `size` of `n` as rows of 0 and 1; the first row chooses the first ones."""
    chosen = np.array(list(combinations(range(n), size)))
    rows = np.zeros((len(chosen), n))
    np.put_along_axis(rows, chosen, 1, axis=1)
    return rows


def _columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {key: np.array([row[key] for row in rows]) for key in rows[0] if rows[0][key] is not None}
