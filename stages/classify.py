"""Pictures of digits -> what the champions of the MLflow store read in them. A tool, no stage of the pipeline."""

import argparse
import io
import json
import math
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from stages.core import champion, drawings, errors, params, scratch, store, tracking
from stages.core.errors import UserError

# Of those that Pillow reads, the ones that people draw in; others run programs.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
MOST_BYTES = 32 * 2**20
MOST_PIXELS = 20_000_000


def read_picture(path: Path) -> np.ndarray:
    """The digit in the image file `path`, see `drawings.as_digit`.

    Raises
    ------
    UserError
        When there is no such file, it is no image, too large, or nothing is drawn on it.
    """

    def refuse(problem: object) -> UserError:
        return UserError(f"{path}: {problem}; expected a picture of one digit, as {', '.join(FORMATS)}")

    if not path.is_file():
        raise refuse("no file" if path.exists() else "missing")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise refuse(error.strerror) from None
    if len(content) > MOST_BYTES:
        raise refuse(f"more than {MOST_BYTES:,} bytes")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if math.prod(picture.size) > MOST_PIXELS:
                raise ValueError(f"more than {MOST_PIXELS:,} pixels")
            return drawings.as_digit(picture)
    except UnidentifiedImageError:
        raise refuse("not an image") from None
    # What Pillow raises for a damaged file depends on its format.
    except Exception as error:
        raise refuse(error) from None


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
        with tempfile.TemporaryDirectory() as folder:
            files, version = opened.champion(tracking.model_name(case), Path(folder))
        for path, answer in zip(options.pictures, champion.answers(files, digits).itertuples(), strict=True):
            print(f"{path}: {answer.digit} (confidence {answer.confidence:.3f}, {version})")


if __name__ == "__main__":
    errors.run(main, timed=False)
