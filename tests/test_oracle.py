"""The numbers of reports/results are those from before the structure changed, to the last digit."""

from pathlib import Path
from typing import Any

import pytest

from stages.analysis import results
from stages.analysis.results import CaseResult
from stages.base import files

SPLIT_OF_GAIN = {"gain": "test", "train_gain": "train"}


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return every number in nested `value`, by its path."""
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in flat(part, f"{path}/{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for place, part in enumerate(value) for k, v in flat(part, f"{path}/{place}").items()}
    return {path: value}


def figure(new: dict[str, Any]) -> dict[str, Any]:
    """Return a figure of a result in the old form."""
    old = {key: new[key] for key in ("mean", "low", "high", "finite")}
    if new["per_seed"]:
        old["per_seed"] = new["per_seed"]
    if new["sampling"]:
        old["sampling"] = dict(zip(("low", "high"), new["sampling"], strict=True))
    return old


def old_metrics(result: CaseResult) -> dict[str, dict[str, Any]]:
    """Return the entries of the old reports/metrics.json for the variants and baselines of a case."""
    content = result.model_dump(mode="json")
    entries = {}
    for kind in ("variants", "baselines"):
        for measured in content[kind]:
            if measured.get("subset"):
                continue  # was the stage `probe`, whose numbers stood in another file
            entry = {f"{split}_accuracy": figure(score) for split, score in measured["scores"].items()}
            entry |= {f"{split}_loss": figure(loss) for split, loss in measured["losses"].items()}
            entry["recall"] = {str(label): share for label, share in enumerate(measured["recall"])}
            if kind == "variants":
                entry["final_loss"] = figure(measured["final_loss"])
                entry |= {old: figure(measured["gain"][split]) for old, split in SPLIT_OF_GAIN.items()}
                entry |= {"diverged": measured["diverged"], "gradient_evaluations": measured["steps"]}
            else:
                entry["n_iter"] = measured["n_iter"]
            entries[f"{result.case}-{measured['name']}"] = entry
    return entries


def old_effects(result: CaseResult) -> dict[str, Any]:
    """Return the old attribution/<case>/effects.json."""

    def estimate(new: dict[str, Any], *more: str) -> dict[str, Any]:
        return {key: new[key] for key in ("mean", "low", "high", *more)}

    old = {}
    for split, of_split in result.model_dump(mode="json")["effects"].items():
        old[f"{split}_accuracy"] = {
            "as_posted": estimate(of_split["as_posted"], "finite"),
            "full_gain": estimate(of_split["full_gain"], "finite"),
            "fixes": {
                fix: {effect: estimate(value) for effect, value in of_fix.items()}
                for fix, of_fix in of_split["fixes"].items()
            },
            "interactions": [estimate(pair, "fixes") for pair in of_split["interactions"]],
            "smallest_sets": of_split["smallest_sets"],
            "greedy_path": [
                {"fix": step["fix"], "accuracy": estimate(step["score"], "finite")}
                | {key: estimate(step[key], "finite") for key in ("gain", "step")}
                for step in of_split["greedy_path"]
            ],
        }
    return old


@pytest.mark.parametrize("case", ["mnist", "ex4"])
def test_every_number_is_the_old_one(case: str) -> None:
    result = results.read(case)
    metrics = files.read_json(Path("tests/oracle/metrics.json"))
    expected = flat({name: entry for name, entry in metrics.items() if name.startswith(f"{case}-")})
    assert flat(old_metrics(result)) == expected
    effects = files.read_json(Path(f"tests/oracle/effects_{case}.json"))
    assert flat(old_effects(result)) == flat(effects)
    assert len(expected) > 500
