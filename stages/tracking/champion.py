"""The best variant of a case as a Keras model that reads raw inputs, and its model card."""

import math
import shutil
from collections.abc import Mapping, Sequence
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.analysis.results import CaseResult, VariantResult
from stages.config.data import Exercise4Data, MnistData
from stages.config.examples import Scale
from stages.config.network import Network
from stages.config.strict import printable
from stages.data.exercise4 import exercise_rows
from stages.data.prepared import Prepared

if TYPE_CHECKING:  # TensorFlow takes 4 s to import, and few runs of `track` make a champion.
    import keras

PACKAGES = ("keras", "mlflow", "numpy", "tensorflow")
SIDE = 28
MOST_MISTAKES = 3
BYTE = 255.0
PIXELS: dict[str, str | float] = {"kind": "pixels", "low": 0.0, "high": BYTE}
CHECKS = Path(__file__).parent / "whichfix_inputs.py"


def trained_on(inputs: np.ndarray) -> dict[str, str | float]:
    """Return the kind and the range of the training inputs, as `whichfix_inputs.problem` takes them.

    The range is that of all inputs together. It is rounded outward to two digits, because the least and the greatest
    number are values of the person's data.
    """
    low, high = float(inputs.min()), float(inputs.max())
    whole = inputs.dtype == np.uint8 or (low >= 0 and bool((inputs == np.floor(inputs)).all()))
    if whole and high == BYTE:
        return PIXELS
    kind = "bytes" if inputs.dtype == np.uint8 else "numbers"
    return {"kind": kind, "low": -rounded_up(-low), "high": rounded_up(high)}


def rounded_up(value: float) -> float:
    """Return the least number of two digits that is not below `value`."""
    if value == 0:
        return 0.0
    digits = 1 - math.floor(math.log10(abs(value)))
    return float(f"{math.ceil(Decimal(value).scaleb(digits))}e{-digits}")


def save(
    folder: Path, model: "keras.Sequential", trained: Mapping[str, str | float], examples: np.ndarray | None, card: str
) -> None:
    """Write a model to the new `folder` for MLflow, with its requirements, examples if there are any, and its card.

    `trained` is what `trained_on` returns. `examples` are raw inputs of public data.
    """
    from mlflow import keras as flavor
    from mlflow import pyfunc
    from mlflow.models import Model, infer_signature

    # A signature has dtypes and shapes alone, so no prediction is needed.
    inputs = np.zeros((1, *model.input_shape[1:])) if examples is None else examples
    inputs = inputs.astype(model.input_dtype)
    outputs = np.zeros(model.compute_output_shape(inputs.shape), model.compute_dtype)
    requirements = [f"{package}=={metadata.version(package)}" for package in PACKAGES]
    folder.mkdir()  # MLflow writes the example before it makes the folder
    flavor.save_model(
        model,
        str(folder),
        signature=infer_signature(inputs, outputs),
        input_example=None if examples is None else inputs,
        pip_requirements=requirements,
        metadata={"inputs": dict(trained)},
    )
    # Served, the model checks its inputs.
    (folder / "code").mkdir()
    shutil.copy(CHECKS, folder / "code")
    about = Model.load(str(folder))
    about.flavors[pyfunc.FLAVOR_NAME] |= {pyfunc.MAIN: CHECKS.stem, pyfunc.CODE: "code"}
    about.save(str(folder / "MLmodel"))
    (folder / "model_card.md").write_text(card, encoding="utf-8")


def resize_matrix(side: int) -> np.ndarray:
    """Return the matrix, float32 [784, `side`**2], that prepares the pixels of an image as the course's exercise does.

    The preparation is linear, so row i of the matrix is the result for an image in which only pixel i is not 0.
    """
    pixels = 255 * np.eye(SIDE * SIDE, dtype=np.uint8)
    return exercise_rows(pixels.reshape(-1, SIDE, SIDE), side) / np.float32(255)


def own_model(network: Network, data: Prepared, weights: Mapping[str, np.ndarray]) -> "keras.Sequential":
    """Return a Keras model from the inputs of the prepared data to the outputs of the network.

    Standardization and scaling are layers of the model. Values come in the units of the file.
    """
    from stages.training.answers import statistics
    from stages.training.keras import keras
    from stages.training.model import build_model, weights_of

    # The penalty has no part in an answer.
    layers = [
        {key: 0.0 if key.endswith(("l1", "l2")) else value for key, value in layer.items()} for layer in network.layers
    ]
    network = Network.model_validate({**network.model_dump(), "layers": layers})
    known = statistics(network, data)
    model = build_model(network, data.shape, known.inputs)
    for name, variable in weights_of(model, network).items():
        variable.assign(weights[name])
    if known.targets is not None:
        mean, deviation = known.targets
        model.add(keras.layers.Rescaling(deviation, mean, dtype=network.dtype, name="0_targets"))
    elif isinstance(network.targets, Scale):
        model.add(keras.layers.Rescaling(1 / network.targets.scale, dtype=network.dtype, name="0_targets"))
    return model


def digit_model(core: "keras.Sequential", network: Network, data: MnistData | Exercise4Data) -> "keras.Sequential":
    """Return a Keras model from raw digits, 0 to 255 as floats [n, 28, 28], to the outputs of `core`, [n, units].

    Resizing is a layer of the model.
    """
    from stages.training.keras import keras

    layers = [
        # As bytes, pixels from 0 to 1 in a request would become 0 without a word.
        keras.Input((SIDE, SIDE), dtype=network.dtype),
        keras.layers.Flatten(dtype=network.dtype),
    ]
    if isinstance(data, Exercise4Data):
        layers.append(keras.layers.Dense(data.side**2, use_bias=False, dtype=network.dtype, name="resize"))
    model = keras.Sequential([*layers, *core.layers], name="champion")
    if isinstance(data, Exercise4Data):
        model.get_layer("resize").set_weights([resize_matrix(data.side)])
    return model


def model_card(template: str, result: CaseResult, variant: VariantResult, seed: int, inputs: Mapping[str, Any]) -> str:
    """Return the model card in Markdown: what the model is, its figures, its data, and where it fails.

    `template` is the text of cards/model_card.md. `inputs` are the dtype and the shape of the inputs of the model, and
    what `trained_on` returns.
    """
    from jinja2 import Template

    how = variant.network.get("inputs", "raw")  # without defaults
    dense = [layer for layer in variant.network["layers"] if layer.get("layer", "Dense") == "Dense"]
    units = (result.data.features, *(layer["units"] for layer in dense))
    figures = {
        f"{result.score} on {split}": variant.scores[split] for split in ("test", "train") if split in variant.scores
    }
    figures |= {"gain on test": variant.gain["test"]} if "test" in variant.gain else {}
    # A line break in a name would end the paragraph of the card.
    names, classes, columns = (
        [printable(name) for name in part] for part in (result.data.axis, result.data.classes, result.data.inputs or ())
    )
    recall = sorted((share, names[place]) for place, share in enumerate(variant.recall) if share is not None)
    card: str = Template(template, trim_blocks=True, keep_trailing_newline=True).render(
        result=result,
        variant=variant,
        seed=seed,
        inputs=inputs,
        classes=classes,
        columns=columns,
        prepared=how
        if isinstance(how, str)
        else f"multiplied by {how['scale']:g} and moved by {how.get('offset', 0):g}",
        units="-".join(map(str, units)),
        n_outputs=units[-1],
        figures=figures,
        worst=[f"{label} ({share:.1%})" for share, label in recall[:MOST_MISTAKES]],
        mistakes=mistakes(variant.confusion, names),
    )
    return card


def mistakes(confusion: tuple[tuple[int, ...], ...], names: Sequence[str]) -> list[str]:
    """Return the most frequent mistakes, such as ``4 read as 9 (2.1%)``; rows of `confusion` are the actual classes."""
    wrong = sorted(
        (-count, actual, answer)
        for actual, row in enumerate(confusion)
        for answer, count in enumerate(row)
        if count and actual != answer
    )
    return [
        f"{names[actual]} read as {names[answer]} ({-count / sum(confusion[actual]):.1%})"
        for count, actual, answer in wrong[:MOST_MISTAKES]
    ]
