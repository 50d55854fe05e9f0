"""Runs, baselines and probe -> reports/: metrics, published numbers beside measured ones, plot data, pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.core import errors, evaluation, files, inputs, params, progress, statistics

REPORTS = Path("reports")


def pictures(parameters: params.Params, case: str, data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the first seed of a case's networks saw, as posted and fixed, each array under ``<variant>.<name>``.

    ``misread`` uint8 [n, side, side]: the test digits answered wrong with the highest confidence, with their
    ``label``, ``answer`` and ``confidence`` [n]; ``units`` uint8 [units, side, side]: the weights into the first layer
    (see `evaluation.unit_images`), the shades on one scale for both; ``largest_weight``, a number.
    """
    names = dict.fromkeys((f"{case}-as_posted", evaluation.fixed_variant(parameters, case)))
    dataset = parameters.cases[case].dataset
    arrays: dict[str, np.ndarray] = {}
    kernels = {}
    for name in names:
        answers = files.read_npz(Path("runs") / name / "predictions.npz")
        predicted, confidence = answers["predicted_test"][0], answers["confidence_test"][0]
        rows = evaluation.misread(data["y_test"], predicted, confidence)
        arrays[f"{name}.misread"] = evaluation.digit_images(data["x_test"][rows], dataset)
        arrays[f"{name}.label"], arrays[f"{name}.answer"] = data["y_test"][rows], predicted[rows]
        arrays[f"{name}.confidence"] = confidence[rows]
        layer = "hidden_0" if parameters.run_of(name).hidden_units else "output"
        weights = files.read_safetensors(Path("runs") / name / "weights.safetensors")
        kernels[name] = weights[f"seed_{parameters.seeds_of(name)[0]}.{layer}.kernel"]
    limit = evaluation.weight_limit(kernels.values())
    for name, kernel in kernels.items():
        arrays[f"{name}.units"] = evaluation.unit_images(kernel, limit, dataset)
        arrays[f"{name}.largest_weight"] = np.abs(kernel).max()
    return arrays


def main() -> None:
    """Evaluate every variant and baseline of params.yaml."""
    parameters = params.load()
    metrics: dict[str, Any] = {}
    counts: dict[str, np.ndarray] = {}
    histories: dict[str, pd.DataFrame] = {}
    shown: dict[str, np.ndarray] = {}
    digests: dict[str, Any] = {}
    for case_name, case in parameters.cases.items():
        data = inputs.read_prepared(case_name, case.dataset)
        sizes = {name.removeprefix("y_"): len(data[name]) for name in data if name.startswith("y_")}
        as_posted = files.read_csv(Path("runs") / f"{case_name}-as_posted" / "final.csv")
        for name in [name for name, variant in parameters.variants.items() if variant.case == case_name]:
            folder = Path("runs") / name
            histories[name] = files.read_csv(folder / "history.csv")
            final = files.read_csv(folder / "final.csv")
            predicted = files.read_npz(folder / "predictions.npz")["predicted_test"]
            counts[name] = statistics.confusion(np.tile(data["y_test"], len(predicted)), predicted.ravel())
            metrics[name] = evaluation.run_metrics(histories[name], final, as_posted, counts[name], sizes)
        folder = Path("baselines") / case_name
        final, arrays = files.read_csv(folder / "final.csv"), files.read_npz(folder / "predictions.npz")
        for model in case.baselines:
            name = f"{case_name}-{model}"
            counts[name] = statistics.confusion(data["y_test"], arrays[f"{model}.predicted_test"])
            metrics[name] = evaluation.baseline_metrics(final[final["model"] == model], counts[name], sizes)
        shown |= pictures(parameters, case_name, data)
        digests[case_name] = {name: evaluation.digest(array) for name, array in data.items()}

    probe = files.read_csv(Path("probe/probe.csv"))
    references = evaluation.references(parameters, metrics, histories, probe)
    files.write_json(REPORTS / "metrics.json", metrics)
    for name, entry in metrics.items():
        files.write_json(REPORTS / "summary" / f"{name}.json", evaluation.summary(entry))
    files.write_csv(REPORTS / "references.csv", references)
    files.write_csv(REPORTS / "probe.csv", evaluation.probe_table(parameters.probe.case, probe))
    files.write_json(REPORTS / "digests.json", digests)
    files.write_npz(REPORTS / "pictures.npz", shown)
    for name, count in counts.items():
        files.write_csv(REPORTS / "confusion" / f"{name}.csv", evaluation.confusion_table(count))
    for case_name in parameters.cases:
        bands = [
            evaluation.curves(name, history)
            for name, history in histories.items()
            if parameters.variants[name].case == case_name
        ]
        files.write_csv(REPORTS / "curves" / f"{case_name}.csv", pd.concat(bands))
    progress.wrote(
        REPORTS / "metrics.json",
        variants=len(parameters.variants),
        baselines=len(metrics) - len(parameters.variants),
        published=len(references),
        met=int(references["agrees"].sum()),
    )


if __name__ == "__main__":
    errors.run(main)
