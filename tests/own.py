"""A small case of a person's own data with made-up runs, evaluated by the real `evaluate`."""

from typing import Any

import numpy as np
import samples

from stages import baseline, evaluate
from stages.analysis import results
from stages.analysis.results import CaseResult
from stages.base import files
from stages.config import load
from stages.config.planned import PlannedRuns
from stages.data import prepared, scoring
from stages.data.prepared import Facts, Prepared
from stages.training import runs
from stages.training.runs import Run

TWO_RATES = {
    "fast": {"why": "It is faster.", "set": {"optimizer.learning_rate": 0.1}},
    "faster": {"why": "It is even faster.", "set": {"optimizer.learning_rate": 0.5}},
}
PRICE = Facts(task="regression", classes=["price"], features=["area", "rooms"])
# No price occurs in a file by chance.
PRICES = 1000.123456 + np.random.default_rng(2).permutation(60)[:, np.newaxis] * 7.654321


def weights(data: Prepared, outputs: int) -> dict[str, np.ndarray]:
    """Return weights of a network with seven hidden units, float32."""
    random = np.random.default_rng(3)
    shapes = {"hidden.kernel": (data.shape[0], 7), "hidden.bias": (7,)}
    shapes |= {"output.kernel": (7, outputs), "output.bias": (outputs,)}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def data(facts: Facts, targets: np.ndarray, *, test: bool = True) -> Prepared:
    """Return 60 examples of two inputs; the last 20 are the test split, or else the validation split."""
    x = np.random.default_rng(1).normal(size=(60, 2)).astype(np.float32)
    other = "test" if test else "validation"
    return Prepared({"train": x[:40], other: x[40:]}, {"train": targets[:40], other: targets[40:]}, facts)


def evaluated(
    data: Prepared, fixes: dict[str, Any], posted: dict[str, Any] | None = None, **changes: Any
) -> CaseResult:
    """Write a case of a person's own data with random runs to the current folder, evaluate it, and return its result.

    Answers are right for every other example. `posted` are settings of the network, `changes` are keys of the case.
    """
    content = samples.params_content()
    outputs = data.n_classes
    case: dict[str, Any] = content["cases"]["small"]
    case |= {"task": data.facts.task, "data": {"file": "data/own.npz", "given": [*data.y][1:]}, "fixes": fixes}
    case["as_posted"] |= {"layers": samples.layers(outputs=outputs, output="linear"), "loss": "mean_squared_error"}
    case["as_posted"] |= posted or {}
    content["cases"]["small"] = {**case, "variants": {}, "baselines": None, "published": [], **changes}
    samples.write_params(content)
    prepared.write(files.prepared_path("small"), data)
    read = prepared.read(files.prepared_path("small"))
    random = np.random.default_rng(0)
    for each in load.read_planned("small", "runs", PlannedRuns).runs:
        for seed in each.seeds:
            predicted: dict[str, np.ndarray] = {}
            for split, y in data.y.items():
                wrong = 1 - y if data.facts.task == "multilabel" else y + random.normal(0, 10, y.shape)
                right = np.arange(len(y)) % 2 == 0
                answers = np.where(right[:, np.newaxis], y, wrong)
                predicted[split] = answers.astype(np.float32 if data.facts.task == "regression" else np.uint8)
            measures = {
                split: scoring.measures(data.facts.task, y, predicted[split], None) for split, y in data.y.items()
            }
            run = Run(
                seed=seed,
                history=random.random((2, 4)),
                scores={split: next(iter(named.values())) for split, named in measures.items()},
                measures=measures,
                losses=dict.fromkeys(data.y, 0.5),
                predicted=predicted,
                confidence=None,
                weights=weights(data, outputs),
                steps=5,
            )
            runs.write(files.run_path("small", each.folder, seed), run, runs.facts_of(each, seed, read.sha256))
    baseline.main("small")
    evaluate.main("small")
    return results.read("small")
