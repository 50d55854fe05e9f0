"""Keras's own callbacks beside the compiled loop: early stopping, and a lower rate on a plateau."""

import math
from types import SimpleNamespace
from typing import Any

from stages.config.network import Network
from stages.training.keras import keras

Row = tuple[float, float, float, float]


class Watch:
    """Tells the callbacks of `network` what an epoch has given, and whether they end the training.

    `optimizer` is the one whose rate a callback may change.
    """

    def __init__(self, network: Network, model: keras.Sequential, optimizer: Any) -> None:
        # What the two callbacks use of a model.
        self.model = SimpleNamespace(
            stop_training=False, optimizer=optimizer, get_weights=model.get_weights, set_weights=model.set_weights
        )
        kinds = {
            keras.callbacks.EarlyStopping: network.early_stopping,
            keras.callbacks.ReduceLROnPlateau: network.reduce_on_plateau,
        }
        self.callbacks = [
            kind(**settings, mode="max" if "accuracy" in settings["monitor"] else "min")
            for kind, settings in kinds.items()
            if settings is not None
        ]
        for callback in self.callbacks:
            callback.set_model(self.model)
            callback.on_train_begin()

    @property
    def stopped(self) -> bool:
        """Return whether a callback has ended the training."""
        return bool(self.model.stop_training)

    def after(self, epoch: int, row: Row) -> None:
        """Tell the callbacks what `epoch`, counted from 1, has given."""
        logs = dict(zip(("loss", "accuracy", "val_loss", "val_accuracy"), row, strict=True))
        for callback in self.callbacks:
            callback.on_epoch_end(epoch - 1, {name: value for name, value in logs.items() if not math.isnan(value)})

    def end(self) -> None:
        """Tell the callbacks that the training has ended; one may bring the best weights back."""
        for callback in self.callbacks:
            callback.on_train_end()
