"""The same training by `model.fit`, built from the settings of a network without the code that is tested."""

from itertools import islice
from typing import Any

import numpy as np

from stages.config.network import Network, Scale
from stages.data.prepared import Prepared
from stages.training import losses
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


def fit(network: Network, data: Prepared, seed: int) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """Return the weights and history that `model.fit` gives from the same first weights, masks and order."""
    known = statistics(network, data)
    prepare: list[Any] = []
    if network.inputs == "standardized":
        assert known.inputs is not None
        prepare = [keras.layers.Normalization(mean=known.inputs[0], variance=known.inputs[1])]
    elif isinstance(network.inputs, Scale):
        prepare = [keras.layers.Rescaling(network.inputs.scale)]
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
    options: dict[str, Any] = {"batch_size": network.batch_size, "shuffle": False, "verbose": 0}
    options |= {"class_weight": network.class_weight}
    if "validation" in data.y:
        options["validation_data"] = (data.x["validation"], targets["validation"])
    x, y, w = data.x["train"], targets["train"], data.sample_weight
    history: dict[str, list[float]] = {}
    if not network.shuffle:
        done = model.fit(x, y, sample_weight=w, epochs=network.epochs, callbacks=callbacks(network), **options)
        history = done.history
    else:
        for rows in islice(models.epoch_orders(len(x), order), network.epochs):
            done = model.fit(x[rows], y[rows], sample_weight=None if w is None else w[rows], **options)
            for figure, values in done.history.items():
                history.setdefault(figure, []).extend(values)
    return {name: variable.numpy() for name, variable in models.weights_of(model, network).items()}, history
