"""Search the fixes of a case as people do without whichfix: Optuna's TPE, and each training a plain `model.fit`.

`python -m benchmarks.optuna_fit CASE` runs in a folder in which `dvc repro` has ended. It uses only the fixes and the
prepared data of the case, and the script of each combination that whichfix writes for people to paste. The first line
that it prints comes when the imports are done, and then one line comes per training.
"""

import argparse
import contextlib
import io
import os
from itertools import islice
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras

from benchmarks import peers
from stages.analysis import results
from stages.base import files
from stages.base.console import say
from stages.config import load
from stages.data import prepared
from stages.diagnosis.scores import AS_POSTED
from stages.diagnosis.space import Point, space_of
from stages.page import keras_code
from stages.page.keras_data import CaseData


class Fit:
    """The scores of the combinations of a case, each training by `model.fit`."""

    def __init__(self, case: str) -> None:
        block = load.read().cases[case]
        data = prepared.read(files.prepared_path(case))
        self.space = space_of(block.as_posted, block.fixes, len(data.y["train"]))
        self.case = CaseData.of(results.read(case))
        self.scores: dict[Point, list[float]] = {}

    def train(self, point: Point, seed: int) -> None:
        """Run the script of a combination with one seed."""
        keras.utils.set_random_seed(seed)
        names: dict[str, Any] = {}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(keras_code.script(self.space.network(point), self.case), names)
        self.scores.setdefault(point, []).append(float(names["score"]))

    def mean(self, point: Point) -> float:
        """Return the mean score of a combination."""
        return sum(self.scores[point]) / len(self.scores[point])


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("case", help="a case that is measured")
    parser.add_argument("--trainings", type=int, default=30, help="how many")
    arguments = parser.parse_args()
    fit: Any = Fit(arguments.case)
    say("ready")
    for point, seed in islice(peers.tpe(fit, 0, [AS_POSTED]), arguments.trainings):
        fit.train(point, seed)
        say(f"trained {fit.scores[point][-1]:.4f} {sorted(point)}")


if __name__ == "__main__":
    main()
