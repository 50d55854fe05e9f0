"""`python -m stages suggest` writes fixes into params.yaml, keeps every other byte, and shows no value of a row."""

from pathlib import Path

import numpy as np
import pytest

from stages import suggest
from stages.base import files
from stages.base.errors import UserError
from stages.config import load
from stages.recording import suggested

PARAMS = """\
# My cases.
seeds: [7]
execution: {backend: threading, workers: 1}
cases:
  tumors:   # of a hospital
    title: 'A network that does not learn'
    task: binary
    data: {file: data/own/tumors.npz}
    judged_by: train
    as_posted:
      layers:
        hidden: {units: 3, activation: sigmoid}
        output: {units: 1, activation: softmax}
      loss: binary_crossentropy
      optimizer: sgd
      epochs: 2
    fixes:
      adam: {why: 'Everybody says so.', set: {optimizer: {name: adam, learning_rate: 0.003}}} # mine
      faster: {why: 'The same as a rule.', multiply: {optimizer.learning_rate: 10}}

    # The end of tumors.
  other:
    title: Another one
    task: binary
    data: {file: data/own/tumors.npz}
    judged_by: train
    as_posted: {layers: {output: {units: 1, activation: sigmoid}}, loss: mse, optimizer: sgd, epochs: 1}
    fixes: {}
"""
# Numbers that no statistic is by chance.
X = np.array([[0.1234567, 7654.321], [0.7654321, 1234.567]] * 40, np.float32) + np.arange(80, dtype=np.float32)[:, None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    files.write_archive(Path("data/own/tumors.npz"), {"x": X, "y": np.arange(80) % 2})
    return tmp_path


def test_new_fixes_are_written_and_every_other_byte_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suggest.main("--no-training", "--folder", str(folder), "tumors")
    text, printed = (folder / "params.yaml").read_text(encoding="utf-8"), capsys.readouterr().out
    start, end = PARAMS.split("\n\n    # The end")
    assert text.startswith(start)
    assert text.endswith("\n\n    # The end" + end)
    fixes = load.read().cases["tumors"].fixes
    assert list(fixes)[:2] == ["adam", "faster"]
    assert fixes["adam"].why == "Everybody says so."
    assert {"sigmoid_output", "standardized_inputs", "relu_hidden", "epochs_x100"} <= fixes.keys()
    assert "rate_x10" not in fixes  # faster does the same
    assert all(
        (fix.source or "").startswith("https://") for name, fix in fixes.items() if name not in ("adam", "faster")
    )
    for name, fix in fixes.items():
        assert name in printed or name == "faster"
        assert fix.why.split()[0] in printed or name == "faster"
    assert printed.endswith("next: dvc repro\n")
    assert not any(f"{value:.4g}"[:5] in text + printed for value in X.ravel()[:4])
    suggest.main("--no-training", "tumors")
    assert (folder / "params.yaml").read_text(encoding="utf-8") == text
    assert "there is no new fix" in capsys.readouterr().out


def test_a_short_training_gives_evidence_and_leaves_no_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = suggested.add(folder, "other")
    assert found.refusal is None
    assert "crossentropy_loss" in load.read().cases["other"].fixes
    assert not (folder / "runs").exists()
    assert "training the network as posted once" in capsys.readouterr().out


def test_what_keras_refuses_is_said_and_gets_suggestions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    posted = "{layers: {output: {units: 4, activation: softmax}}, loss: categorical_crossentropy"
    text = PARAMS.replace("{layers: {output: {units: 1, activation: sigmoid}}, loss: mse", posted)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    suggest.main("--folder", str(folder), "other")
    assert "Keras refuses the network as posted: " in capsys.readouterr().out
    assert "softmax_output" in load.read().cases["other"].fixes


def test_a_case_that_is_nowhere_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no case tumor \(did you mean tumors\?\); expected one of: .*tumors, other"):
        suggest.main("--no-training", "--folder", str(folder), "tumor")
