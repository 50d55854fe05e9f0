"""The best variant of a case as a Keras model that reads raw MNIST digits, and its model card."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.analysis.results import CaseResult, Figure, VariantResult
from stages.config.network import Network
from stages.config.schema import Exercise4Data, MnistData
from stages.data.exercise4 import exercise_rows

if TYPE_CHECKING:  # TensorFlow takes 4 s to import, and few runs of `track` make a champion.
    import keras

PACKAGES = ("keras", "mlflow", "numpy", "tensorflow")
SIDE = 28
MOST_MISTAKES = 3


@dataclass(frozen=True)
class Champion:
    """A model to be registered. `examples` are raw digits, uint8 [n, 28, 28]; `weights` are those of a run file."""

    network: Network
    data: MnistData | Exercise4Data
    weights: Mapping[str, np.ndarray]
    examples: np.ndarray
    card: str

    def save(self, folder: Path) -> None:
        """Write the model for MLflow to `folder`, with its signature, requirements, examples and card."""
        from mlflow import keras as flavor
        from mlflow.models import infer_signature

        model = digit_model(self.network, self.data, self.weights)
        signature = infer_signature(self.examples, model.predict(self.examples, verbose=0))
        requirements = [f"{package}=={metadata.version(package)}" for package in PACKAGES]
        folder.mkdir()  # MLflow writes the example before it makes the folder
        flavor.save_model(
            model, str(folder), signature=signature, input_example=self.examples, pip_requirements=requirements
        )
        (folder / "model_card.md").write_text(self.card, encoding="utf-8")


def resize_matrix(side: int) -> np.ndarray:
    """Return the matrix, float32 [784, `side`**2], that prepares the pixels of an image as the course's exercise does.

    The preparation is linear, so row i of the matrix is the result for an image in which only pixel i is not 0.
    """
    pixels = 255 * np.eye(SIDE * SIDE, dtype=np.uint8)
    return exercise_rows(pixels.reshape(-1, SIDE, SIDE), side) / np.float32(255)


def digit_model(
    network: Network, data: MnistData | Exercise4Data, weights: Mapping[str, np.ndarray]
) -> "keras.Sequential":
    """Return a Keras model from raw digits, uint8 [n, 28, 28], to the outputs of the network.

    Scaling and resizing are layers of the model.
    """
    from stages.training.keras import keras
    from stages.training.model import build_model, dense_layers

    preparation = [
        keras.Input((SIDE, SIDE), dtype="uint8"),
        keras.layers.Flatten(dtype=network.dtype),
        keras.layers.Rescaling(1.0, dtype=network.dtype, name="as_floats"),
    ]
    matrix = resize_matrix(data.side) if isinstance(data, Exercise4Data) else None
    if matrix is not None:
        preparation.append(keras.layers.Dense(matrix.shape[1], use_bias=False, dtype=network.dtype, name="resize"))
    # The penalty has no part in an answer.
    core = build_model(network.model_copy(update={"l2": 0.0}), SIDE * SIDE if matrix is None else matrix.shape[1])
    for layer in dense_layers(core):
        layer.set_weights([weights[f"{layer.name}.kernel"], weights[f"{layer.name}.bias"]])
    model = keras.Sequential([*preparation, *core.layers], name="champion")
    if matrix is not None:
        model.get_layer("resize").set_weights([matrix])
    return model


def model_card(result: CaseResult, variant: VariantResult, seed: int) -> str:
    """Return the model card in Markdown: what the model is, its figures, its data, and where it fails."""
    network, data = variant.network, result.data
    units = "-".join(map(str, (data.features, *network["hidden_units"], network["output_units"])))
    figures = {f"accuracy on {split}": variant.scores[split] for split in ("test", "train")}
    figures |= {"gain on test": variant.gain["test"]} if "test" in variant.gain else {}
    recall = sorted((share, label) for label, share in enumerate(variant.recall) if share is not None)
    worst = ", ".join(f"{label} ({share:.1%})" for share, label in recall[:MOST_MISTAKES])
    lines = [
        f"# {result.case}: {variant.name}, seed {seed}",
        "",
        f"A {units} network that reads one handwritten digit. Of {len(result.variants)} variants of the question "
        f"[{result.title}]({result.source}) it has the best mean accuracy on the test split. "
        f"Fixes: {', '.join(variant.fixes) or 'none'}.",
        "",
        f"| figure | mean of {len(variant.seeds)} seeds | 95% interval | this seed |",
        "| --- | --- | --- | --- |",
        *(_row(label, figure, seed) for label, figure in figures.items()),
        "",
        "**Input.** Digits as in MNIST: uint8 [n, 28, 28], background 0 and ink up to 255, the digit 20 pixels high or "
        "wide with its center of mass in the middle. The model prepares the pixels itself.",
        "",
        f"**Output.** [n, {network['output_units']}], the outputs of the network. "
        + (
            "The largest is at the digit that the model answers. It is not a calibrated probability."
            if network["output_units"] > 1
            else "Above 0.5 the model answers 1, else 0."
        ),
        "",
        "**Data.** SHA-256 of the elements of each array:",
        "",
        *(f"- `{name}` {list(array.shape)}: `{array.sha256}`" for name, array in sorted(data.arrays.items())),
        "",
        f"**Known failures.** The digits with the lowest recall on the test split, all seeds: {worst or 'unknown'}. "
        f"The most frequent mistakes: {', '.join(mistakes(variant.confusion)) or 'none'}. The model answers a digit "
        "whatever an image shows. Photographs, other pens, digits off the center or black on white were not measured. "
        "The variant was chosen by the test split on which its accuracy is measured, which favors it. The seed was not "
        "chosen: it is the first.",
    ]
    return "\n".join(lines) + "\n"


def mistakes(confusion: tuple[tuple[int, ...], ...]) -> list[str]:
    """Return the most frequent mistakes, such as ``4 read as 9 (2.1%)``; rows of `confusion` are the actual classes."""
    wrong = [
        (-count, actual, answer)
        for actual, row in enumerate(confusion)
        for answer, count in enumerate(row)
        if count and actual != answer
    ]
    return [
        f"{actual} read as {answer} ({-count / sum(confusion[actual]):.1%})"
        for count, actual, answer in sorted(wrong)[:MOST_MISTAKES]
    ]


def _row(label: str, figure: Figure, seed: int) -> str:
    def text(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    interval = "" if figure.low is None else f"{text(figure.low)} to {text(figure.high)}"
    return f"| {label} | {text(figure.mean)} | {interval} | {text(figure.per_seed.get(seed))} |"
