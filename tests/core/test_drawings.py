"""Drawn digits come out as MNIST has them."""

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy import ndimage

from stages.core import drawings
from stages.core.digits import Dataset


def drawn(digit: np.ndarray, size: int = 280, place: tuple[int, int] = (40, 90)) -> Image.Image:
    """`digit` as a large black drawing, off the centre of a white sheet."""
    sheet = Image.new("L", (600, 500), 255)
    sheet.paste(ImageOps.invert(Image.fromarray(digit)).resize((size, size), Image.Resampling.BICUBIC), place)
    return sheet


def test_a_digit_of_mnist_that_is_enlarged_and_moved_comes_back(raw_mnist: Dataset) -> None:
    shown = raw_mnist["x_test"][:100]
    found = np.stack([drawings.as_digit(drawn(digit)) for digit in shown])
    assert found.dtype == np.uint8
    assert found.shape == shown.shape
    # Of 255; the interpolation blurs an edge, and some are a pixel off.
    differences = np.abs(found.astype(float) - shown).mean(axis=(1, 2))
    assert np.median(differences) < 6
    assert differences.max() < 30


def test_a_digit_is_fitted_to_the_box_and_centred_by_its_mass() -> None:
    sheet = np.zeros((90, 300), np.uint8)
    sheet[10:80, 20:30] = 255
    found = drawings.as_digit(Image.fromarray(sheet))
    rows, columns = np.nonzero(found)
    assert rows.max() - rows.min() + 1 == drawings.BOX
    assert columns.max() - columns.min() + 1 in (2, 3)
    assert np.abs(np.array(ndimage.center_of_mass(found)) - 14).max() <= 0.5


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK"])
def test_the_form_of_the_picture_does_not_matter(raw_mnist: Dataset, mode: str) -> None:
    sheet = drawn(raw_mnist["x_test"][0])
    expected = drawings.as_digit(sheet).astype(float)
    dark = sheet.convert(mode)
    assert np.abs(drawings.as_digit(dark) - expected).mean() < (8 if mode == "1" else 2)
    if mode in ("L", "RGB"):
        assert np.abs(drawings.as_digit(ImageOps.invert(dark)) - expected).mean() < 2


def test_what_is_transparent_is_background(raw_mnist: Dataset) -> None:
    sheet = drawn(raw_mnist["x_test"][0])
    clear = Image.new("RGBA", sheet.size, (0, 0, 0, 0))
    clear.putalpha(ImageOps.invert(sheet))
    assert np.abs(drawings.as_digit(clear).astype(float) - drawings.as_digit(sheet)).mean() < 2


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_an_empty_sheet_is_refused(shade: int) -> None:
    with pytest.raises(ValueError, match="nothing is drawn on it"):
        drawings.as_digit(Image.new("L", (50, 40), shade))
    faint = np.full((50, 40), shade, np.int16)
    faint[20:30, 20:30] += 30 if shade < 200 else -30
    with pytest.raises(ValueError, match="nothing is drawn on it"):
        drawings.as_digit(Image.fromarray(faint.astype(np.uint8)))


@pytest.mark.parametrize("width", [1, 4, 300])
def test_a_straight_line_however_thin_is_a_digit(width: int) -> None:
    sheet = np.zeros((400, 400), np.uint8)
    sheet[50:350, 20 : 20 + width] = 255
    found = drawings.as_digit(Image.fromarray(sheet))
    assert found.any(axis=1).sum() == drawings.BOX
    assert found.max() == 255


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_shades_of_more_than_eight_bits_are_stretched(raw_mnist: Dataset, kind: type) -> None:
    sheet = drawn(raw_mnist["x_test"][0])
    shades = 30000 - 20000 * (np.asarray(sheet, np.float64) / 255)
    deep: np.ndarray = (shades / 40000 if kind is np.float32 else shades).astype(kind)
    difference = np.abs(drawings.as_digit(Image.fromarray(deep)).astype(float) - drawings.as_digit(sheet))
    assert difference.mean() < 2
    with pytest.raises(ValueError, match="nothing is drawn on it"):
        drawings.as_digit(Image.fromarray(np.full_like(deep, deep[0, 0])))


def test_a_picture_that_a_camera_held_sideways_is_turned(raw_mnist: Dataset) -> None:
    sheet = drawn(raw_mnist["x_test"][0])
    sideways = sheet.rotate(90, expand=True)
    # Of EXIF: to be turned by 90 degrees clockwise.
    sideways.getexif()[0x0112] = 6
    assert (drawings.as_digit(sideways) == drawings.as_digit(sheet)).all()
