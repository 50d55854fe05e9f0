"""Pictures that a user drew, read by the champions of the store."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from miniature import call, refused
from PIL import Image

from stages import classify
from stages.core import champion, classifier, params, store
from stages.core.errors import UserError
from stages.core.params import Params


def by_ink(files: object, images: np.ndarray) -> pd.DataFrame:
    """A model that answers by how much ink there is."""
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
    monkeypatch.setattr(store.Store, "champion", lambda self, name, folder: ({}, f"{name}, version 3"))
    monkeypatch.setattr(champion, "answers", by_ink)
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


def test_it_leaves_no_file_but_those_that_are_asked_for(pictures: Path, root: Path) -> None:
    (pictures / "stages").symlink_to(root / "stages")
    before = set(pictures.rglob("*"))
    command = [sys.executable, "-m", "stages.classify", "--json", "drawn.json", str(pictures / "one.png")]
    subprocess.run(command, cwd=pictures, check=True)
    assert set(pictures.rglob("*")) - before == {pictures / "drawn.json"}


def test_what_is_no_picture_of_a_digit_is_refused(pictures: Path) -> None:
    Image.new("L", (40, 40), 255).save("blank.png")
    Path("text.png").write_text("1", encoding="utf-8")
    Path("cut.png").write_bytes(Path("one.png").read_bytes()[:60])
    assert refused("classify", "blank.png").startswith("blank.png: nothing is drawn on it; ")
    assert refused("classify", "text.png").startswith("text.png: not an image; ")
    assert refused("classify", "cut.png").startswith("cut.png: ")
    assert refused("classify", "absent.png").startswith("absent.png: missing; ")
    assert refused("classify", ".").startswith(".: no file; ")
    assert "accepted: mnist, ex4" in refused("classify", "one.png", "--case", "mnits")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_damaged_picture_is_read_or_refused_in_one_line(pictures: Path, kind: str) -> None:
    with Image.open("one.png") as picture:
        picture.save("whole", kind)
    whole = Path("whole").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[random.integers(len(damaged))] = random.integers(256)
        Path("damaged").write_bytes(damaged[: random.integers(1, 2 * len(damaged))])
        # Anything but a digit or a user's error fails the test.
        with suppress(UserError):
            assert classify.read_picture(Path("damaged")).shape == (28, 28)


def test_a_picture_that_is_too_large_is_refused_before_it_is_unpacked(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (5000, 5000)).save("large.png")
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("unpacked"))
    assert "more than 20,000,000 pixels" in refused("classify", "large.png")
    monkeypatch.setattr(classify, "MOST_BYTES", 10)
    assert "more than 10 bytes" in refused("classify", "one.png")


def test_no_program_is_run_for_a_picture(pictures: Path) -> None:
    Path("drawing.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", encoding="utf-8")
    assert refused("classify", "drawing.eps").startswith("drawing.eps: not an image; ")


def test_a_store_without_champion_says_how_to_get_one(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(pictures)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{pictures / 'mlflow.db'}")
    opened = store.Store(store.tracking_uri())
    with pytest.raises(Exception, match="has no champion of whichfix-mnist; `dvc repro track` registers it"):
        opened.champion("whichfix-mnist", pictures)
