import json
import subprocess
import sys
from pathlib import Path

import pytest

from stages.core import timings


def test_a_phase_counts_its_time_and_taking_it_starts_anew() -> None:
    timings.taken()
    for _ in range(2):
        with timings.phase("read"):
            pass
    with pytest.raises(KeyError), timings.phase("write"):
        raise KeyError
    seconds = timings.taken()
    assert seconds.keys() == {"read", "write"}
    assert all(value > 0 for value in seconds.values())
    assert timings.taken() == {}


def test_a_process_of_no_stage_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    timings.write()
    assert list(tmp_path.iterdir()) == []


def test_a_stage_leaves_its_figures_beside_the_results(tmp_path: Path, root: Path) -> None:
    (tmp_path / "stages").symlink_to(root / "stages")
    (tmp_path / "params.yaml").symlink_to(root / "params.yaml")
    subprocess.run([sys.executable, "-m", "stages.plan"], cwd=tmp_path, check=True)
    figures = json.loads((tmp_path / "timings/stages/plan.json").read_text(encoding="utf-8"))
    assert figures["workers"] == []
    assert figures["phases"].keys() == {"import", "write"}
    assert 0 < sum(figures["phases"].values()) < figures["seconds"]
