"""The best variant of a case as a model that takes raw digits: its choice, its files, its card; without MLflow."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from safetensors import numpy as safetensors

from stages.core import digits, files
from stages.core.params import Case, VariantConfig

# What the classifier beside them reads; see `classifier.outputs`.
ARRAYS = "arrays.safetensors"
SETTINGS = "settings.json"
CARD = "model_card.md"

MOST_MISTAKES = 3


def input_array(config: VariantConfig, features: int, dtype: np.dtype[Any]) -> np.ndarray:
    """What turns raw pixels into what the first layer is given: a factor, or a matrix [784, features] that resizes too.

    The exercise's resize is linear, so its matrix is what it makes of each pixel alone.
    """
    scale = config.run.input_scale
    if config.dataset == "mnist":
        return np.array(scale, dtype)
    pixels = (255 * np.eye(28 * 28)).astype(np.uint8).reshape(-1, 28, 28)
    return (digits.exercise_rows(pixels, math.isqrt(features)) * (scale / 255)).astype(dtype)


@dataclass(frozen=True)
class Champion:
    """A model to be registered: its files by name, raw digits as an example (uint8 [n, 28, 28]), and its card."""

    files: dict[str, bytes]
    example: np.ndarray
    card: str


def package(config: VariantConfig, seed: int, weights: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """The files of the model of `seed`, by name; `weights` are those of all seeds, as `train` names them."""
    names = [*(f"hidden_{index}" for index in range(len(config.run.hidden_units))), "output"]
    layers = [[weights[f"seed_{seed}.{name}.{part}"] for part in ("kernel", "bias")] for name in names]
    first = layers[0][0]
    arrays = {"input": input_array(config, len(first), first.dtype)}
    for place, (kernel, bias) in enumerate(layers):
        arrays |= {f"{place}.kernel": kernel, f"{place}.bias": bias}
    activations = [config.run.hidden_activation] * len(config.run.hidden_units) + [config.run.output_activation]
    settings = {"variant": config.variant, "seed": seed, "activations": activations}
    return {ARRAYS: safetensors.save(arrays), SETTINGS: files.json_text(settings).encode()}


def answers(files: Mapping[str, bytes], images: np.ndarray) -> pd.DataFrame:
    """What the model of these files, made by `package`, reads in raw digits: see `classifier.answers`."""
    from stages.core import classifier

    activations = json.loads(files[SETTINGS])["activations"]
    return classifier.answers(classifier.outputs(images, safetensors.load(files[ARRAYS]), activations))


@dataclass(frozen=True)
class Facts:
    """What a model card is made of.

    Attributes
    ----------
    entry : mapping
        The variant's entry in reports/metrics.json.
    counts : ndarray
        Its confusion counts [10, 10], rows the digits shown; all seeds together.
    digests : mapping
        Array of its data -> shape and SHA-256, as in reports/digests.json.
    rivals : int
        Variants of the case that it was chosen from, itself included.
    """

    config: VariantConfig
    seed: int
    case: Case
    entry: Mapping[str, Any]
    counts: np.ndarray
    digests: Mapping[str, Mapping[str, Any]]
    rivals: int


def card(facts: Facts) -> str:
    """The model card, in Markdown: what it is, its figures, its data, where it fails."""
    config, entry = facts.config, facts.entry
    features = "x".join(map(str, facts.digests["x_train"]["shape"][1:]))
    units = "-".join(map(str, (features, *config.run.hidden_units, config.run.output_units)))
    rows = [
        _row(label, entry[name], facts.seed)
        for label, name in (
            ("test accuracy", "test_accuracy"),
            ("training accuracy", "train_accuracy"),
            ("gain", "gain"),
        )
        if entry.get(name, {}).get("mean") is not None
    ]
    recall = sorted((share, digit) for digit, share in entry["recall"].items() if share is not None)
    weakest = ", ".join(f"{digit} ({share:.1%})" for share, digit in recall[:MOST_MISTAKES])
    mistakes = ", ".join(
        f"{actual} read as {answer} ({share:.1%})" for actual, answer, share in _mistakes(facts.counts)
    )
    lines = [
        f"# {config.variant}, seed {facts.seed}",
        "",
        f"A {units} network that reads one handwritten digit: of {facts.rivals} variants of the question "
        f"[{facts.case.title}]({facts.case.source}) the one with the best mean accuracy on the test split. "
        f"Fixes: {', '.join(config.fixes) or 'none'}.",
        "",
        f"| figure | mean of {len(config.seeds)} seeds | 95% interval | this seed |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
        "**Input.** Digits as MNIST has them: uint8 [n, 28, 28], background 0 and ink up to 255, the digit 20 pixels "
        "high or wide with its centre of mass in the middle. The model scales"
        f"{'' if config.dataset == 'mnist' else ' and resizes'} them itself.",
        "",
        "**Output.** The `digit`, and as its `confidence` the network's output for it, which is no calibrated "
        "probability.",
        "",
        "**Data.** SHA-256 of the elements of each array:",
        "",
        *(f"- `{name}` {digest['shape']}: `{digest['sha256']}`" for name, digest in sorted(facts.digests.items())),
        "",
        f"**Known failures.** The digits read worst, test split, all seeds: {weakest or 'unknown'}. The commonest "
        f"mistakes: {mistakes or 'none'}. Whatever an image shows, a digit is answered. Photographs, other pens, "
        "digits off the centre or black on white were not measured. The variant was chosen by the test split that its "
        "accuracy is of, which favours it; the seed was not: it is the first.",
    ]
    return "\n".join(lines) + "\n"


def _row(label: str, figure: Mapping[str, Any], seed: int) -> str:
    interval = "" if figure["low"] is None else f"{figure['low']:.4f} to {figure['high']:.4f}"
    return f"| {label} | {figure['mean']:.4f} | {interval} | {figure['per_seed'][str(seed)]:.4f} |"


def _mistakes(counts: np.ndarray) -> Iterable[tuple[int, int, float]]:
    """The commonest mistakes: digit shown, digit answered, and the share of the shown that is answered so."""
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    places = np.argsort(-wrong, axis=None, kind="stable")[:MOST_MISTAKES]
    for actual, answer in zip(*np.unravel_index(places, counts.shape), strict=True):
        if wrong[actual, answer]:
            yield int(actual), int(answer), float(wrong[actual, answer] / counts[actual].sum())
