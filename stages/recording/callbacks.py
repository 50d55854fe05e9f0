"""The callbacks of a recording -> `early_stopping`, `reduce_on_plateau` and the schedule of the learning rate."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from stages.config.schema import Task
from stages.config.strict import quote
from stages.recording.recorded import Recording

# What Keras calls the accuracy, by version and by kind of target.
ACCURACIES = ("acc", "accuracy", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy")
SCHEDULER = "LearningRateScheduler"
WATCHING = {"EarlyStopping": "early_stopping", "ReduceLROnPlateau": "reduce_on_plateau"}
# A schedule of more pieces is no table that a person can read.
MOST_PIECES = 100


class Callbacks:
    """The callbacks of `recording` as settings of `as_posted`.

    Attributes
    ----------
    settings : dict
        Keys of `as_posted`.
    said : list of str
        Sentences for the person: what is passed over.

    Raises
    ------
    UserError
        If a callback changes the training in a way that `as_posted` cannot express.
    """

    def __init__(self, recording: Recording, task: Task, loss: Mapping[str, Any]) -> None:
        self.recording, self.task, self.loss = recording, task, loss
        self.settings: dict[str, Any] = {}
        self.said: list[str] = []
        self.rates: list[float] = []
        passed_over = []
        for callback in recording.content.get("callbacks", []):
            name = callback["class"]
            if not callback.get("own") and name in WATCHING:
                self._watch(callback)
            elif not callback.get("own") and "rates" in callback.get("settings", {}):
                self.rates = callback["settings"]["rates"]
            elif callback.get("matters"):
                problem, expected = f"the callback {name} changes the training", ", ".join((*WATCHING, SCHEDULER))
                raise recording.refusal(problem, expected, callback.get("line"))
            else:
                passed_over.append(name)
        if passed_over:
            self.said.append(f"passed over, because they do not change the training: {', '.join(passed_over)}")

    def _watch(self, callback: Mapping[str, Any]) -> None:
        """Take EarlyStopping or ReduceLROnPlateau."""
        name, line = callback["class"], callback.get("line")
        settings = {key: value for key, value in callback["settings"].items() if key not in ("mode", "verbose")}
        monitor = settings.get("monitor", "val_loss")
        prefix, measure = ("val_", monitor.removeprefix("val_")) if monitor.startswith("val_") else ("", monitor)
        metrics = {"loss", *self.recording.content.get("metrics", [])}
        is_accuracy = measure in ACCURACIES
        known = measure in metrics or (is_accuracy and bool(metrics & set(ACCURACIES)))
        if not known or (prefix and "validation" not in self.recording.splits):
            self.said.append(f"{name} watches {monitor}, which this training does not have, so it is left out")
            return
        if measure != "loss" and not is_accuracy:
            raise self.recording.refusal(f"{name} watches {monitor}", "loss, accuracy, val_loss or val_accuracy", line)
        if is_accuracy and not self._accuracy_is_that_of_keras():
            problem = f"{name} watches {monitor}, which Keras does not count as the share of right answers here"
            raise self.recording.refusal(problem, f"{prefix}loss", line)
        if callback["settings"].get("mode", "auto") not in ("auto", expected := "max" if is_accuracy else "min"):
            problem = f"{name} watches {monitor} with mode {quote(callback['settings']['mode'])}"
            raise self.recording.refusal(problem, f"mode {expected}", line)
        settings["monitor"] = f"{prefix}accuracy" if is_accuracy else monitor
        if (key := WATCHING[name]) in self.settings:
            raise self.recording.refusal(f"two callbacks {name}", "one of them", line)
        self.settings[key] = {each: value for each, value in settings.items() if value is not None}

    def _accuracy_is_that_of_keras(self) -> bool:
        """Return whether Keras counts right answers as whichfix does: by the largest output, or 0 and 1 by one half."""
        if self.task not in ("binary", "multiclass"):
            return False
        if self.recording.content["layers"][-1]["output_shape"][-1] > 1:
            return True
        zero_one = np.isin(self.recording.arrays["y"], (0, 1)).all()
        return bool(zero_one) and not self.loss.get("from_logits") and "hinge" not in self.loss["name"]

    def rate(self) -> dict[str, Any]:
        """Return the learning rate of a LearningRateScheduler, as a setting of the optimizer; else nothing."""
        rates = self.rates
        if not rates:
            return {}
        starts = [0, *(epoch for epoch, (before, rate) in enumerate(pairwise(rates), start=1) if rate != before)]
        if len(starts) == 1:
            return {"learning_rate": rates[0]}
        steps = self._steps_per_epoch()
        if len(starts) <= MOST_PIECES:
            self.said.append("LearningRateScheduler is recorded as the schedule PiecewiseConstantDecay, in steps")
            # The first piece ends with the last step of the epoch before the second one.
            boundaries = [epoch * steps - 1 for epoch in starts[1:]]
            values = [rates[epoch] for epoch in starts]
            return {"learning_rate": {"name": "PiecewiseConstantDecay", "boundaries": boundaries, "values": values}}
        factor = (rates[-1] / rates[0]) ** (1 / (len(rates) - 1)) if rates[0] > 0 and rates[-1] > 0 else 0.0
        if not all(math.isclose(rate, rates[0] * factor**epoch, rel_tol=1e-5) for epoch, rate in enumerate(rates)):
            problem = f"LearningRateScheduler sets {len(starts)} learning rates"
            raise self.recording.refusal(problem, f"at most {MOST_PIECES}, or rates that fall by one factor per epoch")
        self.said.append("LearningRateScheduler is recorded as the schedule ExponentialDecay, in steps")
        settings = {"initial_learning_rate": rates[0], "decay_steps": steps, "decay_rate": factor, "staircase": True}
        return {"learning_rate": {"name": "ExponentialDecay", **settings}}

    def _steps_per_epoch(self) -> int:
        """Return the number of batches per epoch."""
        fit, n_rows = self.recording.content["fit"], len(self.recording.arrays["x"])
        size = fit.get("batch_size") or 32
        passes = n_rows // size if fit.get("drop_remainder") else math.ceil(n_rows / size)
        return int(fit.get("steps_per_epoch") or passes)
