"""PNG pictures of the page: their colors, and bytes that do not depend on the machine."""

import base64
import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from stages.page import images


def png_of(image: np.ndarray, palette: np.ndarray) -> bytes:
    return base64.b64decode(images.data_uri(image, palette).removeprefix("data:image/png;base64,"))


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (300, 301)])
def test_a_picture_has_the_colors_of_its_values(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    palette = np.random.default_rng(1).integers(0, 256, (256, 4)).astype(np.uint8)
    with Image.open(io.BytesIO(png_of(image, palette))) as picture:
        assert np.array_equal(np.asarray(picture.convert("RGBA")), palette[image])


def test_a_picture_has_known_bytes() -> None:
    png = png_of((np.arange(400 * 300) % 251).astype(np.uint8).reshape(400, 300), images.diverging())
    assert hashlib.sha256(png).hexdigest() == "7bc3c4f35b4611fa4242a9eb5b689a6e7cecb4b3d565cee791e5bfc2204179ad"


def test_zero_weights_have_no_color_and_opposite_weights_differ_only_in_hue() -> None:
    palette = images.diverging()
    assert palette[128, 3] == 0
    assert (palette[129:, 3] == palette[1:128, 3][::-1]).all()
    assert palette[255, 3] >= 250
    assert not (palette[1, :3] == palette[255, :3]).all()


@pytest.mark.parametrize("n", [1, 2, 5, 9, 10])
def test_a_sheet_holds_every_image_in_order(n: int) -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (n, 4, 4)).astype(np.uint8)
    sheet = images.tiled(tiles)
    columns = (sheet.shape[1] + 2) // 6
    for number, image in enumerate(tiles):
        top, left = 6 * (number // columns), 6 * (number % columns)
        assert np.array_equal(sheet[top : top + 4, left : left + 4], image)
    assert (sheet == 128).sum() >= sheet.size - tiles.size
