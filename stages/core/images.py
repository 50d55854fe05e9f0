"""Images as PNG bytes that are the same on every machine."""

import base64
import math
import struct
import zlib

import numpy as np

BLOCK = 65535
# RGB of positive and negative weights, seen on a light page and on a dark one.
POSITIVE, NEGATIVE = (32, 128, 224), (224, 96, 16)


def stored(content: bytes) -> bytes:
    """`content` as a zlib stream that is not compressed: how a library compresses depends on its build."""
    blocks = [content[start : start + BLOCK] for start in range(0, len(content), BLOCK)] or [b""]
    stream = b"".join(
        struct.pack("<BHH", number == len(blocks), len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks, start=1)
    )
    return b"\x78\x01" + stream + struct.pack(">I", zlib.adler32(content))


def png(image: np.ndarray, palette: np.ndarray) -> bytes:
    """`image` uint8 [height, width] as a PNG in the colours of `palette`, uint8 RGBA [256, 4]."""
    height, width = image.shape
    rows = np.hstack([np.zeros((height, 1), np.uint8), image])
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette[:, :3].tobytes()),
        (b"tRNS", palette[:, 3].tobytes()),
        (b"IDAT", stored(rows.tobytes())),
        (b"IEND", b""),
    )
    body = (struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def data_uri(image: np.ndarray, palette: np.ndarray) -> str:
    """The PNG of `image` as the address of an ``<img>``."""
    return "data:image/png;base64," + base64.b64encode(png(image, palette)).decode()


def ink() -> np.ndarray:
    """A palette [256, 4] of black that is the more opaque the higher the value."""
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 3] = np.arange(256)
    return palette


def diverging() -> np.ndarray:
    """A palette [256, 4] that is transparent at 128, blue above and orange below, the more opaque the farther."""
    palette = np.zeros((256, 4), np.uint8)
    distance = np.arange(256) - 128
    palette[:, :3] = np.where(distance[:, None] >= 0, POSITIVE, NEGATIVE)
    palette[:, 3] = np.minimum(255, np.abs(distance) * 2)
    return palette


def tiled(images: np.ndarray, gap: int = 2) -> np.ndarray:
    """`images` [n, side, side] as one image, near square, `gap` zeros (128) between them."""
    n, side, _ = images.shape
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    sheet = np.full((rows * (side + gap) - gap, columns * (side + gap) - gap), 128, np.uint8)
    for number, image in enumerate(images):
        top, left = (side + gap) * (number // columns), (side + gap) * (number % columns)
        sheet[top : top + side, left : left + side] = image
    return sheet
