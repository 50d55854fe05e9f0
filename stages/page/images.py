"""Pictures in the page: PNG with equal bytes on every machine."""

import base64
import io
import math

import numpy as np
from PIL import Image

# RGB of positive and negative weights, visible on a light page and on a dark one.
POSITIVE, NEGATIVE = (32, 128, 224), (224, 96, 16)
GAP = 2


def data_uri(image: np.ndarray, palette: np.ndarray) -> str:
    """Return `image` uint8 [height, width] as the address of an ``<img>``, in the colors of `palette` [256, 4] (RGBA).

    The PNG is not compressed, because compressed bytes depend on the build of zlib.
    """
    picture = Image.fromarray(image, "P")
    picture.putpalette(palette[:, :3].tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=0, transparency=palette[:, 3].tobytes())
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def ink() -> np.ndarray:
    """Return a palette [256, 4] of black that is more opaque the higher the value."""
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 3] = np.arange(256)
    return palette


def diverging() -> np.ndarray:
    """Return a palette [256, 4], transparent at 128, blue above and orange below, more opaque the farther from 128."""
    palette = np.zeros((256, 4), np.uint8)
    distance = np.arange(256) - 128
    palette[:, :3] = np.where(distance[:, None] >= 0, POSITIVE, NEGATIVE)
    palette[:, 3] = np.minimum(255, np.abs(distance) * 2)
    return palette


def tiled(images: np.ndarray) -> np.ndarray:
    """Return `images` [n, side, side] as one nearly square image, with `GAP` pixels of zero (128) between them."""
    n, side, _ = images.shape
    columns = math.ceil(math.sqrt(n))
    rows, pitch = math.ceil(n / columns), side + GAP
    tiles = np.full((rows * columns, pitch, pitch), 128, np.uint8)
    tiles[:n, :side, :side] = images
    return tiles.reshape(rows, columns, pitch, pitch).swapaxes(1, 2).reshape(rows * pitch, -1)[:-GAP, :-GAP]
