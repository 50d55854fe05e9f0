"""Pictures of digits -> what the champions of the MLflow store read in them. A tool, no stage of the pipeline."""

import argparse
import io
import json
import struct
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from stages.core import drawings, errors, params, scratch, store
from stages.core.errors import UserError


def read_picture(path: Path) -> np.ndarray:
    """The digit in the image file `path`, see `drawings.as_digit`.

    Raises
    ------
    UserError
        When there is no such file, it is no image, or nothing is drawn on it.
    """
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            return drawings.as_digit(picture)
    except UnidentifiedImageError:
        raise UserError(f"{path}: not an image; expected a picture of one digit, such as a PNG or JPEG file") from None
    # What Pillow raises for a damaged file depends on its format.
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: {error}; expected a picture of one digit") from None


def main() -> None:
    """Say what each champion reads in each picture."""
    parser = argparse.ArgumentParser(prog="python -m stages.classify", description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path, help="image files, a digit each")
    parser.add_argument("--case", help="ask the champion of this case alone")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the digits as `mlflow models predict` takes them, and stop"
    )
    options = parser.parse_args()
    digits = np.stack([read_picture(path) for path in options.pictures])
    if options.json:
        scratch.write(options.json, json.dumps({"inputs": digits.tolist()}).encode())
        print(f"{options.json}: {len(digits)} of 28 x 28 pixels")
        return
    cases = list(params.load().cases)
    if options.case not in (None, *cases):
        raise UserError(f"--case {options.case}: no case of params.yaml; accepted: {', '.join(cases)}")
    opened = store.Store(store.tracking_uri())
    for case in [options.case] if options.case else cases:
        model, version = opened.champion(f"whichfix-{case}")
        for path, answer in zip(options.pictures, model.predict(digits).itertuples(), strict=True):
            print(f"{path}: {answer.digit} (confidence {answer.confidence:.3f}, {version})")


if __name__ == "__main__":
    errors.run(main)
