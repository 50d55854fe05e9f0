"""What stages are given by the ones before: raw and prepared data and configurations, checked as they are read."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import ValidationError

from stages.core import digits, files, locked, params
from stages.core.errors import UserError

RAW = Path("data/raw/mnist.npz")
PREPARED = Path("data/prepared")
CONFIGS = Path("configs")
PIXELS: Mapping[params.Dataset, str] = {"mnist": "uint8", "ex4": "float32"}

Config = TypeVar("Config", params.VariantConfig, params.CellConfigs)


def prepared_path(case: str) -> Path:
    """Where the prepared data of `case` are."""
    return PREPARED / f"{case}.npz"


def read_raw() -> digits.Dataset:
    """Raw MNIST as `fetch` wrote it.

    Raises
    ------
    UserError
        When the file is missing or holds something else.
    """
    arrays = files.read_npz(RAW)
    _check(RAW, arrays, ("train", "test"), "uint8", 3)
    return arrays


def read_prepared(case: str, dataset: params.Dataset) -> digits.Dataset:
    """The prepared data of `case`, which is made of `dataset`.

    Raises
    ------
    UserError
        When the file is missing or holds something else.
    """
    path = prepared_path(case)
    arrays = files.read_npz(path)
    _check(path, arrays, params.SPLITS[dataset], PIXELS[dataset], 2)
    return arrays


def _check(path: Path, arrays: digits.Dataset, splits: tuple[str, ...], pixels: str, dimensions: int) -> None:
    """Refuse `arrays` unless they are examples of `pixels` with digits beside them, split by split."""

    def refuse(problem: str, expected: str) -> UserError:
        return UserError(f"{path}: {problem}; expected {expected}; delete it and run `dvc repro`, which makes it anew")

    names = {f"{letter}_{split}" for split in splits for letter in "xy"}
    if arrays.keys() != names:
        raise refuse(f"arrays {', '.join(sorted(arrays)) or 'none'}", ", ".join(sorted(names)))
    for split in splits:
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if x.dtype != pixels or x.ndim != dimensions or x.shape[1:] != arrays["x_train"].shape[1:] or not x.size:
            raise refuse(f"x_{split} is {_said(x)}", f"{pixels} of {dimensions} dimensions, examples of one shape")
        if y.dtype != np.uint8 or y.shape != x.shape[:1] or y.max() > 9:
            raise refuse(f"y_{split} is {_said(y)}, at most {y.max(initial=0)}", f"uint8 [{len(x)}], digits 0 to 9")
        if not np.isfinite(x).all():
            raise refuse(f"x_{split} has values that are not finite", "finite ones")


def _said(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"


def read_variant(name: str) -> params.VariantConfig:
    """configs/<name>.json.

    Raises
    ------
    UserError
        When the file is missing, or is no configuration of this variant.
    """
    path = CONFIGS / f"{name}.json"
    config = _read_config(path, params.VariantConfig)
    _expect(path, "variant", config.variant, name)
    return config


def read_cells(case: str) -> params.CellConfigs:
    """configs/cells/<case>.json.

    Raises
    ------
    UserError
        When the file is missing, or holds no cells of this case.
    """
    path = CONFIGS / "cells" / f"{case}.json"
    config = _read_config(path, params.CellConfigs)
    _expect(path, "case", config.case, case)
    return config


def _read_config(path: Path, kind: type[Config]) -> Config:
    try:
        return kind.model_validate_json(locked.read(path))
    except ValidationError as error:
        detail = error.errors()[0]
        place = "".join(f"{step}: " for step in [".".join(map(str, detail["loc"]))] if step)
        raise UserError(f"{path}: {place}{detail['msg']}; expected what `python -m stages.plan` writes") from None


def _expect(path: Path, key: str, found: str, expected: str) -> None:
    if found != expected:
        raise UserError(f"{path}: {key}: {found}; expected {expected}, as `python -m stages.plan` writes it")
