"""The same training by `model.fit`, built from the settings of a network without the code that is tested."""

from itertools import islice
from typing import Any

import numpy as np

from stages.config.examples import Rescale
from stages.config.network import Network
from stages.data.prepared import Prepared
from stages.training import losses, orders
from stages.training import model as models
from stages.training.answers import statistics, targets_of
from stages.training.keras import keras


def layer(settings: dict[str, Any]) -> keras.layers.Layer:
    """Return a layer of Keras with penalties as objects."""
    own = {key: value for key, value in settings.items() if key not in ("name", "layer")}
    for place in ("kernel", "bias", "activity", "alpha", "beta", "gamma"):
        prefix = "" if place == "kernel" else f"{place}_"
        if f"{prefix}l1" in own:
            own[f"{place}_regularizer"] = keras.regularizers.L1L2(own.pop(f"{prefix}l1"), own.pop(f"{prefix}l2"))
    for key in list(own):
        if key.endswith("_initializer"):
            del own[key]
    return getattr(keras.layers, settings["layer"])(**own, name=settings["name"])


def optimizer(settings: dict[str, Any]) -> keras.optimizers.Optimizer:
    config = {key: value for key, value in settings.items() if key not in ("name", "decay")}
    rate = config["learning_rate"]
    if isinstance(rate, dict):
        kind = getattr(keras.optimizers.schedules, rate["name"])
        config["learning_rate"] = kind(**{key: value for key, value in rate.items() if key != "name"})
    if settings["decay"]:
        config["learning_rate"] = keras.optimizers.schedules.InverseTimeDecay(rate, 1, settings["decay"])
    classes = {name.lower(): name for name in dir(keras.optimizers)}
    return getattr(keras.optimizers, classes[settings["name"]])(**config)


def loss(network: Network) -> Any:
    settings = {key: value for key, value in network.loss.items() if key != "name"}
    if network.keras == "3" and network.loss["name"] != "summed_binary_crossentropy":
        classes = {name.lower(): name for name in dir(keras.losses) if name[0].isupper()}
        return getattr(keras.losses, classes[network.loss["name"].replace("_", "")])(**settings)
    return losses.loss_of(network)


def callbacks(network: Network) -> list[keras.callbacks.Callback]:
    found = []
    if network.early_stopping:
        found.append(keras.callbacks.EarlyStopping(**network.early_stopping, mode=mode(network.early_stopping)))
    if network.reduce_on_plateau:
        found.append(
            keras.callbacks.ReduceLROnPlateau(**network.reduce_on_plateau, mode=mode(network.reduce_on_plateau))
        )
    return found


def mode(settings: dict[str, Any]) -> str:
    return "max" if "accuracy" in settings["monitor"] else "min"


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Delivers batches as they are."""

    def __init__(self, batches: list[tuple[np.ndarray, ...]]) -> None:
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, place: int) -> tuple[np.ndarray, ...]:
        return self.batches[place]


def in_batches(epoch: orders.Epoch, size: int) -> list[np.ndarray]:
    """Return the rows of each batch of an epoch; the short one, whose rows are the last, goes to its place."""
    cut = [epoch.rows[start : start + size] for start in range(0, len(epoch.rows), size)]
    return [*cut[:-1][: epoch.place], cut[-1], *cut[:-1][epoch.place :]] if len(cut[-1]) < size else cut


def fit(network: Network, data: Prepared, seed: int) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """Return the weights and history that `model.fit` gives from the same first weights, masks and order."""
    known = statistics(network, data)
    prepare: list[Any] = []
    if network.inputs == "standardized":
        assert known.inputs is not None
        prepare = [keras.layers.Normalization(mean=known.inputs[0], variance=known.inputs[1])]
    elif isinstance(network.inputs, Rescale):
        prepare = [keras.layers.Rescaling(network.inputs.scale, network.inputs.offset)]
    model = keras.Sequential([keras.Input(data.shape), *prepare, *map(layer, map(dict, network.layers))])
    weights, order, dropout = models.streams(seed)
    ours = models.build_model(network, data.shape, known.inputs)
    models.initialize(ours, network, weights, data.first_weights)
    first = models.weights_of(ours, network)
    for name, variable in models.weights_of(model, network).items():
        variable.assign(first[name])
    for each in model.layers:
        if hasattr(each, "seed_generator"):
            each.seed_generator.state.assign(dropout.integers(2**31, size=2))
    # Compiled and plain TensorFlow draw the masks of a dropout in different ways.
    compiled = any(hasattr(each, "seed_generator") for each in model.layers)
    model.compile(
        optimizer=optimizer(network.optimizer), loss=loss(network), metrics=["accuracy"], jit_compile=compiled
    )
    targets = {split: targets_of(network, data, split, known) for split in data.y}
    options: dict[str, Any] = {"shuffle": False, "verbose": 0}
    options |= {"class_weight": network.class_weight}
    if "validation" in data.y:
        options["validation_data"] = (data.x["validation"], targets["validation"])
    x, y, w = data.x["train"], targets["train"], data.sample_weight
    history: dict[str, list[float]] = {}
    if network.shuffle is False and not network.steps_per_epoch and not network.drop_remainder:
        options |= {"batch_size": network.batch_size, "epochs": network.epochs, "callbacks": callbacks(network)}
        done = model.fit(x, y, sample_weight=w, **options)
        history = done.history
    else:
        for epoch in islice(orders.epochs(network, len(x), order), network.epochs):
            rows = in_batches(epoch, network.batch_size or len(x))
            done = model.fit(
                Batches([(x[batch], y[batch], *([] if w is None else [w[batch]])) for batch in rows]), **options
            )
            for figure, values in done.history.items():
                history.setdefault(figure, []).extend(values)
    return {name: variable.numpy() for name, variable in models.weights_of(model, network).items()}, history
