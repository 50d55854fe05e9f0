"""Pictures that people draw -> digits as MNIST has them."""

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

SIDE = 28
# The box that a digit is fitted to.
BOX = 20
# Where the centres of mass of MNIST's own digits lie, in pixels: they average 13.99 and 14.00.
CENTRE = 14
# Of 255: what differs from the background by less is the grain of a scan.
FAINTEST = 64


def as_digit(picture: Image.Image) -> np.ndarray:
    """`picture` as MNIST's digits were made of scans: uint8 [28, 28], background 0, ink up to 255.

    The ink is cut out, fitted to a box of 20 x 20 pixels in its proportions, and put with its centre of mass in the
    middle: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits.

    Parameters
    ----------
    picture
        Light on dark or dark on light, as its border tells. What is transparent is white.

    Raises
    ------
    ValueError
        When there is nothing on it.
    """
    upright = _eight_bits(ImageOps.exif_transpose(picture))
    opaque = Image.new("RGBA", upright.size, "white")
    opaque.alpha_composite(upright.convert("RGBA"))
    grey = opaque.convert("L")
    pixels = np.asarray(grey).astype(np.int16)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    paper = int(np.median(border))
    values = np.clip(paper - pixels if paper > 127 else pixels - paper, 0, None)
    if values.max() < FAINTEST:
        raise ValueError("nothing is drawn on it")
    rows, columns = np.nonzero(values >= FAINTEST)
    drawn = values[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    stretched = Image.fromarray(np.rint(drawn * (255 / drawn.max())).astype(np.uint8))
    height, width = (max(1, round(BOX * size / max(drawn.shape))) for size in drawn.shape)
    fitted = np.asarray(stretched.resize((width, height), Image.Resampling.LANCZOS))

    centre = ndimage.center_of_mass(fitted)
    digit = np.zeros((SIDE, SIDE), np.uint8)
    starts = [
        int(np.clip(round(CENTRE - middle), 0, SIDE - size)) for middle, size in zip(centre, fitted.shape, strict=True)
    ]
    digit[starts[0] : starts[0] + fitted.shape[0], starts[1] : starts[1] + fitted.shape[1]] = fitted
    return digit


def _eight_bits(picture: Image.Image) -> Image.Image:
    """`picture`, its shades stretched over 0 to 255 where they are of more than eight bits."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    shades = np.asarray(picture, np.float64)
    reach = np.ptp(shades)
    if not np.isfinite(reach) or reach == 0:
        raise ValueError("nothing is drawn on it")
    return Image.fromarray(np.rint((shades - shades.min()) * (255 / reach)).astype(np.uint8))
