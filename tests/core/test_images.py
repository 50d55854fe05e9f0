import io
import zlib

import numpy as np
import pytest
from matplotlib.image import imread

from stages.core import images


def decoded(png: bytes) -> np.ndarray:
    """A PNG as uint8 [height, width, 4]."""
    shares: np.ndarray = imread(io.BytesIO(png), format="png")
    levels: np.ndarray = np.rint(255 * shares).astype(np.uint8)
    return levels


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (300, 301)])
def test_a_png_decodes_to_the_colours_of_its_values(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    palette = np.random.default_rng(1).integers(0, 256, (256, 4)).astype(np.uint8)
    assert np.array_equal(decoded(images.png(image, palette)), palette[image])


@pytest.mark.parametrize("n", [0, 1, images.BLOCK, images.BLOCK + 1, 2 * images.BLOCK])
def test_a_stored_stream_holds_its_content_as_it_is(n: int) -> None:
    content = np.random.default_rng(0).bytes(n)
    stream = images.stored(content)
    assert zlib.decompress(stream) == content
    # Each block has five bytes of its own; the stream two, and four of a checksum.
    assert len(stream) == 6 + n + 5 * max(1, -(-n // images.BLOCK))


def test_no_weight_has_no_colour_and_opposite_weights_differ_in_hue_alone() -> None:
    palette = images.diverging()
    assert palette[128, 3] == 0
    assert (palette[129:, 3] == palette[1:128, 3][::-1]).all()
    assert palette[255, 3] >= 250
    assert not (palette[1, :3] == palette[255, :3]).all()


def test_ink_is_black_and_as_dense_as_the_value() -> None:
    palette = images.ink()
    assert not palette[:, :3].any()
    assert palette[:, 3].tolist() == list(range(256))


@pytest.mark.parametrize("n", [1, 2, 5, 9, 10])
def test_a_sheet_holds_every_image_in_order(n: int) -> None:
    shown = np.random.default_rng(0).integers(0, 256, (n, 4, 4)).astype(np.uint8)
    sheet = images.tiled(shown, gap=2)
    columns = (sheet.shape[1] + 2) // 6
    for number, image in enumerate(shown):
        top, left = 6 * (number // columns), 6 * (number % columns)
        assert np.array_equal(sheet[top : top + 4, left : left + 4], image)
    assert (sheet == 128).sum() >= sheet.size - shown.size
