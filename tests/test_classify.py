"""Pictures that a user drew, read by the champions of the store."""

import json
from pathlib import Path

import numpy as np
import pytest
from miniature import call, refused
from PIL import Image

from stages import classify
from stages.core import classifier, params, store
from stages.core.params import Params


class Model:
    """A champion that answers by how much ink there is."""

    def predict(self, images: np.ndarray) -> object:
        assert images.dtype == np.uint8
        values = np.zeros((len(images), 10))
        values[np.arange(len(images)), (images > 0).sum(axis=(1, 2)) // 50] = 0.75
        return classifier.answers(values)


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Params) -> Path:
    """Some pictures in the current folder, and a store with a champion of each case."""
    sheet = np.full((60, 60), 255, np.uint8)
    sheet[10:50, 25:35] = 0
    Image.fromarray(sheet).save(tmp_path / "one.png")
    sheet[10:50, 10:50] = 0
    Image.fromarray(sheet).save(tmp_path / "box.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(params, "load", lambda: settings)
    monkeypatch.setattr(store.Store, "champion", lambda self, name: (Model(), f"{name}, version 3"))
    return tmp_path


def test_each_champion_says_what_it_reads(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("classify", "one.png", "box.jpg")
    assert capsys.readouterr().out.splitlines() == [
        f"{name}: {digit} (confidence 0.750, whichfix-{case}, version 3)"
        for case in ("mnist", "ex4")
        for name, digit in (("one.png", 2), ("box.jpg", 8))
    ]
    call("classify", "one.png", "--case", "ex4")
    assert capsys.readouterr().out == "one.png: 2 (confidence 0.750, whichfix-ex4, version 3)\n"


def test_the_digits_are_written_as_mlflow_takes_them(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("classify", "one.png", "box.jpg", "--json", "digits.json")
    assert capsys.readouterr().out == "digits.json: 2 of 28 x 28 pixels\n"
    written = json.loads(Path("digits.json").read_text(encoding="utf-8"))
    expected = [classify.read_picture(Path(name)).tolist() for name in ("one.png", "box.jpg")]
    assert written == {"inputs": expected}


def test_what_is_no_picture_of_a_digit_is_refused(pictures: Path) -> None:
    Image.new("L", (40, 40), 255).save("blank.png")
    Path("text.png").write_text("1", encoding="utf-8")
    Path("cut.png").write_bytes(Path("one.png").read_bytes()[:60])
    assert refused("classify", "blank.png").startswith("blank.png: nothing is drawn on it; ")
    assert refused("classify", "text.png").startswith("text.png: not an image; ")
    assert refused("classify", "cut.png").startswith("cut.png: ")
    assert refused("classify", "absent.png").startswith("absent.png: No such file")
    assert "accepted: mnist, ex4" in refused("classify", "one.png", "--case", "mnits")


def test_a_store_without_champion_says_how_to_get_one(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(pictures)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{pictures / 'mlflow.db'}")
    opened = store.Store(store.tracking_uri())
    with pytest.raises(Exception, match="has no champion of whichfix-mnist; `dvc repro track` registers it"):
        opened.champion("whichfix-mnist")
