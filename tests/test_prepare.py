import sys
from pathlib import Path

import numpy as np
import pytest

from stages import prepare
from stages.core import digits, files, params
from stages.core.digits import Dataset


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw_mnist: Dataset) -> Path:
    """A folder with the project's parameters and raw data, which the stage runs in."""
    (tmp_path / "params.yaml").write_bytes((root / "params.yaml").read_bytes())
    files.write_npz(tmp_path / "data" / "raw" / "mnist.npz", raw_mnist)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare", *arguments])
    prepare.main()


@pytest.mark.parametrize("case", ["mnist", "ex4"])
def test_the_stage_writes_the_dataset_of_the_case_and_nothing_else(
    project: Path, monkeypatch: pytest.MonkeyPatch, raw_mnist: Dataset, case: str
) -> None:
    run(monkeypatch, case)
    written = files.read_npz(project / "data" / "prepared" / f"{case}.npz")
    expected = digits.mnist(raw_mnist, 0.33) if case == "mnist" else digits.ex4(raw_mnist, 500, 20)
    assert written.keys() == expected.keys()
    for name, array in expected.items():
        assert written[name].dtype == array.dtype
        assert np.array_equal(written[name], array)
    made = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert made == {"params.yaml", "data/raw/mnist.npz", f"data/prepared/{case}.npz"}


def test_the_settings_of_a_dataset_decide_it(settings: params.Params) -> None:
    raw: Dataset = {
        "x_train": np.zeros((40, 28, 28), np.uint8),
        "y_train": np.arange(40, dtype=np.uint8) % 10,
        "x_test": np.zeros((3, 28, 28), np.uint8),
        "y_test": np.zeros(3, np.uint8),
    }
    datasets = settings.datasets.model_copy(
        update={
            "mnist": params.Mnist(validation_split=0.25),
            "ex4": params.Ex4(examples_per_digit=3, side=7),
        }
    )
    mnist = prepare.prepare(raw, "mnist", datasets)
    assert (len(mnist["x_train"]), len(mnist["x_validation"])) == (30, 10)
    ex4 = prepare.prepare(raw, "ex4", datasets)
    assert (ex4["x_train"].shape, ex4["x_test"].shape) == ((30, 49), (3, 49))


def test_an_unknown_case_is_refused_with_the_known_ones(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, "mnits")
    assert caught.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert all(word in message for word in ("mnits", "mnist", "ex4"))
    assert not (project / "data" / "prepared").exists()
