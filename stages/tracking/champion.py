"""The best variant of a case as a Keras model that reads raw MNIST digits, and its model card."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.analysis.results import CaseResult, VariantResult
from stages.config.network import Network
from stages.config.schema import Exercise4Data, MnistData
from stages.data.exercise4 import exercise_rows

if TYPE_CHECKING:  # TensorFlow takes 4 s to import, and few runs of `track` make a champion.
    import keras

PACKAGES = ("keras", "mlflow", "numpy", "tensorflow")
SIDE = 28
MOST_MISTAKES = 3


def save(folder: Path, model: "keras.Sequential", examples: np.ndarray, card: str) -> None:
    """Write a model from `digit_model` to the new `folder` for MLflow, with its requirements, examples and card.

    `examples` are raw digits, uint8 [n, 28, 28].
    """
    from mlflow import keras as flavor
    from mlflow.models import infer_signature

    # A signature has dtypes and shapes alone, so no prediction is needed.
    outputs = np.zeros(model.compute_output_shape(examples.shape), model.compute_dtype)
    requirements = [f"{package}=={metadata.version(package)}" for package in PACKAGES]
    folder.mkdir()  # MLflow writes the example before it makes the folder
    flavor.save_model(
        model,
        str(folder),
        signature=infer_signature(examples, outputs),
        input_example=examples,
        pip_requirements=requirements,
    )
    (folder / "model_card.md").write_text(card, encoding="utf-8")


def resize_matrix(side: int) -> np.ndarray:
    """Return the matrix, float32 [784, `side`**2], that prepares the pixels of an image as the course's exercise does.

    The preparation is linear, so row i of the matrix is the result for an image in which only pixel i is not 0.
    """
    pixels = 255 * np.eye(SIDE * SIDE, dtype=np.uint8)
    return exercise_rows(pixels.reshape(-1, SIDE, SIDE), side) / np.float32(255)


def digit_model(
    network: Network, data: MnistData | Exercise4Data, weights: Mapping[str, np.ndarray]
) -> "keras.Sequential":
    """Return a Keras model from raw digits, uint8 [n, 28, 28], to the outputs of the network, [n, output units].

    Scaling and resizing are layers of the model.
    """
    from stages.training.keras import keras
    from stages.training.model import build_model, dense_layers

    layers = [
        keras.Input((SIDE, SIDE), dtype="uint8"),
        keras.layers.Flatten(dtype=network.dtype),
        keras.layers.Rescaling(1.0, dtype=network.dtype, name="as_floats"),
    ]
    features = SIDE * SIDE
    if isinstance(data, Exercise4Data):
        features = data.side**2
        layers.append(keras.layers.Dense(features, use_bias=False, dtype=network.dtype, name="resize"))
    # The penalty has no part in an answer.
    core = build_model(network.model_copy(update={"l2": 0.0}), features)
    model = keras.Sequential([*layers, *core.layers], name="champion")
    if isinstance(data, Exercise4Data):
        model.get_layer("resize").set_weights([resize_matrix(data.side)])
    for layer in dense_layers(core):
        layer.set_weights([weights[f"{layer.name}.kernel"], weights[f"{layer.name}.bias"]])
    return model


def model_card(template: str, result: CaseResult, variant: VariantResult, seed: int) -> str:
    """Return the model card in Markdown: what the model is, its figures, its data, and where it fails.

    `template` is the text of views/model_card.md.
    """
    from jinja2 import Template

    units = (result.data.features, *variant.network["hidden_units"], variant.network["output_units"])
    figures = {f"accuracy on {split}": variant.scores[split] for split in ("test", "train")}
    figures |= {"gain on test": variant.gain["test"]} if "test" in variant.gain else {}
    recall = sorted((share, label) for label, share in enumerate(variant.recall) if share is not None)
    card: str = Template(template, trim_blocks=True, keep_trailing_newline=True).render(
        result=result,
        variant=variant,
        seed=seed,
        units="-".join(map(str, units)),
        n_outputs=units[-1],
        figures=figures,
        worst=[f"{label} ({share:.1%})" for share, label in recall[:MOST_MISTAKES]],
        mistakes=mistakes(variant.confusion),
    )
    return card


def mistakes(confusion: tuple[tuple[int, ...], ...]) -> list[str]:
    """Return the most frequent mistakes, such as ``4 read as 9 (2.1%)``; rows of `confusion` are the actual classes."""
    wrong = sorted(
        (-count, actual, answer)
        for actual, row in enumerate(confusion)
        for answer, count in enumerate(row)
        if count and actual != answer
    )
    return [
        f"{actual} read as {answer} ({-count / sum(confusion[actual]):.1%})"
        for count, actual, answer in wrong[:MOST_MISTAKES]
    ]
