"""The loss of a recorded case as whichfix trains it, beside the loss of the script's own training."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from stages.base import console
from stages.config import load
from stages.config.data import OwnData
from stages.config.resolve import under
from stages.config.schema import Case
from stages.data import own
from stages.training.trainer import Trainer

# Epochs at the beginning and at the end that are printed.
FIRST, LAST = 5, 3
FEWEST = 5
# A script that trains the same lies in the prediction interval of the seeds in 99 of 100 cases. Rounding gives 1%.
LEVEL, ROUNDING = 0.99, 0.01


def show(case: Case, losses: Sequence[float]) -> None:
    """Train `case` with the seeds of the current folder, and print its loss per epoch beside `losses`.

    Raises
    ------
    ValueError
        If Keras refuses the network.
    """
    assert isinstance(case.data, OwnData)
    seeds = load.read().seeds
    if len(seeds) == 1:  # one seed has no spread
        seeds = (*seeds, *(seed for seed in range(FEWEST) if seed not in seeds))
    data, _ = own.prepare(case.data, case.task)
    trainer = Trainer(under(case.as_posted, case.keras[0]), data)
    histories = [trainer.run(seed).history[:, 0] for seed in seeds]
    epochs = min(len(losses), *map(len, histories))
    by_seed = np.array([history[:epochs] for history in histories])
    mean, deviation = by_seed.mean(axis=0), by_seed.std(axis=0, ddof=1)
    rows = [
        (str(epoch + 1), f"{losses[epoch]:.5g}", f"{mean[epoch]:.5g} ± {deviation[epoch]:.2g}")
        for epoch in range(epochs)
        if epoch < FIRST or epoch >= epochs - LAST
    ]
    console.table("Loss per epoch", ("epoch", "script", f"whichfix, {len(seeds)} seeds ± SD"), [rows])
    # A new value differs from the mean of n values by its own deviation and by that of the mean.
    factor = stats.t.ppf((1 + LEVEL) / 2, len(seeds) - 1) * (1 + 1 / len(seeds)) ** 0.5
    console.say(verdict(losses[epochs - 1], float(mean[-1]), float(factor * deviation[-1])))


def verdict(loss: float, mean: float, half_width: float) -> str:
    """Return in words whether the last loss of the script is in the prediction interval of whichfix."""
    if not np.isfinite(loss) or not np.isfinite(mean):
        same = np.isfinite(loss) == np.isfinite(mean)
        return f"check: {'both losses are' if same else 'only one of the losses is'} not finite"
    spread = half_width + ROUNDING * abs(mean)
    agrees = abs(loss - mean) <= spread
    range_text = f"{mean:.5g} ± {spread:.2g}"
    if agrees:
        return f"check: the curves agree: the script's last loss {loss:.5g} is within {range_text}"
    return f"check: the curves differ: the script's last loss {loss:.5g} is not within {range_text}; please report this"
