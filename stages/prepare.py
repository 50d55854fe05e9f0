"""Prepare the dataset of a case from raw MNIST: `python -m stages.prepare <case>`."""

import argparse

from stages.core import digits, errors, files, inputs, params, progress


def prepare(raw: digits.Dataset, dataset: params.Dataset, datasets: params.Datasets) -> digits.Dataset:
    """The `dataset`, made of `raw` MNIST with its own settings in `datasets`."""
    if dataset == "mnist":
        return digits.mnist(raw, datasets.mnist.validation_split)
    return digits.ex4(raw, datasets.ex4.examples_per_digit, datasets.ex4.side)


def main() -> None:
    """Write data/prepared/<case>.npz."""
    settings = params.load()
    parser = argparse.ArgumentParser(prog="python -m stages.prepare", description=__doc__)
    parser.add_argument("case", choices=settings.cases, type=params.key_of)
    case = parser.parse_args().case
    prepared = prepare(inputs.read_raw(), settings.cases[case].dataset, settings.datasets)
    path = inputs.prepared_path(case)
    files.write_npz(path, prepared)
    progress.wrote(path, **{name.removeprefix("y_"): len(y) for name, y in prepared.items() if name.startswith("y_")})


if __name__ == "__main__":
    errors.run(main)
