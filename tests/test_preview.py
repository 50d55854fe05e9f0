"""`preview` says what `dvc repro` will train, keep and remove, and how long that takes, and writes nothing."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples
from test_train import contents, new_runs, replaced, train_all

from stages import prepare, preview, train
from stages.base import files

OWN = Path("data/own/x.npz")
Edit = Callable[[dict[str, Any]], object]


def case_of(content: dict[str, Any]) -> dict[str, Any]:
    case: dict[str, Any] = content["cases"]["small"]
    return case


def write_own(n_rows: int) -> None:
    random = np.random.default_rng(0)
    arrays = {"x": random.random((n_rows, 12), dtype=np.float32), "y": np.arange(n_rows) % 10}
    files.write_archive(OWN, arrays)


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the params.yaml of a small project, on a person's own file, in which nothing has run."""
    monkeypatch.chdir(tmp_path)
    replaced(monkeypatch, train_all)
    found = samples.params_content()
    case_of(found)["data"] = {"file": str(OWN), "test_split": 0.3}
    write_own(100)
    return found


def run(content: dict[str, Any]) -> None:
    """Run the stages up to `train`."""
    samples.write_params(content)
    prepare.main("small")
    train.main("small")


def previewed(content: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    """Write params.yaml alone, and return what `preview` prints. It must leave every file as it was."""
    files.write_bytes(Path("params.yaml"), samples.as_yaml(content).encode())
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    capsys.readouterr()
    preview.main()
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    return " ".join(capsys.readouterr().out.split())


EDITS: dict[str, Edit] = {
    "nothing": lambda content: None,
    "a title": lambda content: case_of(content).update(title="another"),
    "a fix": lambda content: case_of(content)["fixes"]["adam"].update(set={"optimizer": "adam"}),
    "a new seed and an old one less": lambda content: content.update(seeds=[3, 4]),
    "another name": lambda content: case_of(content)["variants"].update(
        mended=case_of(content)["variants"].pop("fixed")
    ),
    "a variant less": lambda content: [case_of(content)["variants"].pop("few")],
    "the data": lambda content: case_of(content)["data"].update(test_split=0.4),
    "the data file": lambda content: write_own(110),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_train_does_what_preview_said(content: dict[str, Any], edit: Edit, capsys: pytest.CaptureFixture[str]) -> None:
    case_of(content)["published"] = []
    run(content)
    Path("runs.log").unlink()
    before = set(contents(Path.cwd()).values())
    edit(content)
    said = previewed(content, capsys)
    numbers = re.search(r" small (\d+) (\d+) (\d+) ", said)
    assert numbers
    run(content)
    after, trained = set(contents(Path.cwd()).values()), new_runs()
    kept = len(after) - len(trained)
    assert list(map(int, numbers.groups())) == [len(trained), kept, len(before) - kept]
    for folder, seed in trained:
        assert folder in said or folder.startswith("p-")
        assert re.search(rf"with seeds?[^:]* {seed}\b", said)
    assert ("small no longer has: few" in said) == (edit is EDITS["a variant less"])


def test_without_any_run_everything_is_trained_and_no_time_is_known(
    content: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    OWN.unlink()  # as before `dvc repro` fetches MNIST
    said = previewed(content, capsys)
    assert " small 13 0 0 " in said
    assert "No time is known" in said
    assert "small trains, with seeds 0, 3: as_posted, fixed, wild, few, softmax, adam" in said


def test_the_time_follows_from_the_seconds_of_earlier_runs_and_from_the_edit(
    content: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run(content)
    # The first run of a program also compiled it.
    lines = [json.loads(line) for line in Path("runs.log").read_text(encoding="utf-8").splitlines()]
    seconds = {0: 70.0, 3: 60.0}
    Path("runs.log").write_text("".join(json.dumps(line | {"seconds": seconds[line["seed"]]}) + "\n" for line in lines))
    case_of(content)["variants"]["wild"]["set"]["epochs"] = 4  # instead of 2
    assert "small 2 11 2 about 4 min" in previewed(content, capsys)
    case_of(content)["variants"]["wild"]["set"]["epochs"] = 40
    assert "small 2 11 2 about 40 min" in previewed(content, capsys)


def test_a_search_is_followed_as_far_as_its_scores_are_known(
    content: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    case_of(content)["search"] = {"points": 5}
    run(content)
    n_runs = len(contents(Path.cwd()))
    assert f" small 0 {n_runs} 0 " in previewed(content, capsys)
    case_of(content)["fixes"]["softmax"]["set"]["layers.output.activation"] = "softplus"
    said = previewed(content, capsys)
    found = re.search(r" small at least (\d+) (\d+) – ", said)
    assert found
    assert re.search(r"What follows depends on the scores of these runs: at most \d of 5 points more", said)
    Path("runs.log").unlink()
    run(content)
    assert len(new_runs()) >= int(found[1]) > 0
    assert len(contents(Path.cwd())) - len(new_runs()) >= int(found[2]) > 0
