import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniature import SEEDS, Miniature, refused

from stages.core import files


@pytest.fixture(scope="module")
def metrics(miniature: Miniature) -> dict[str, Any]:
    found: dict[str, Any] = files.read_json(miniature.folder / "reports" / "metrics.json")
    return found


def table(miniature: Miniature, name: str) -> Any:
    return files.read_csv(miniature.folder / "reports" / f"{name}.csv")


def names(miniature: Miniature) -> set[str]:
    cases = miniature.parameters.cases
    baselines = {f"{case}-{baseline}" for case in cases for baseline in cases[case].baselines}
    return baselines | set(miniature.parameters.variants)


def test_every_variant_and_every_baseline_has_metrics(miniature: Miniature, metrics: dict[str, Any]) -> None:
    assert metrics.keys() == names(miniature)


def test_every_figure_that_may_stand_beside_a_published_number_is_measured(
    miniature: Miniature, metrics: dict[str, Any]
) -> None:
    figures = miniature.parameters.figures()
    probe = files.read_csv(miniature.folder / "probe" / "probe.csv")
    assert figures.pop("probe") == [f"{zeros}_zeros" for zeros in probe["zeros"].unique()]
    for name, accepted in figures.items():
        has_mean = {figure for figure, value in metrics[name].items() if isinstance(value, dict) and "mean" in value}
        assert has_mean == set(accepted)
    for name, columns in miniature.parameters.curves().items():
        history = files.read_csv(miniature.folder / "runs" / name / "history.csv")
        measured = set(history.columns[history.notna().any()]) - {"seed", "epoch"}
        assert measured == set(columns) or name == "mnist-diverged"


def test_the_metrics_are_those_of_the_runs(miniature: Miniature, metrics: dict[str, Any]) -> None:
    for variant in miniature.parameters.variants:
        final = files.read_csv(miniature.folder / "runs" / variant / "final.csv")
        for split, rows in final.groupby("split"):
            expected = dict(zip(rows["seed"].astype(str), rows["accuracy"], strict=True))
            assert metrics[variant][f"{split}_accuracy"]["per_seed"] == expected


def test_the_gain_is_over_the_case_as_posted_at_the_same_seed(miniature: Miniature, metrics: dict[str, Any]) -> None:
    for variant, as_posted in (("ex4-fixed", "ex4-as_posted"), ("mnist-fixed", "mnist-as_posted")):
        ours, theirs = (metrics[name]["test_accuracy"]["per_seed"] for name in (variant, as_posted))
        expected = {seed: ours[seed] - theirs[seed] for seed in ours}
        assert metrics[variant]["gain"]["per_seed"] == pytest.approx(expected)
    assert metrics["mnist-fixed"]["gain"]["per_seed"].keys() == {str(SEEDS[1])}
    assert metrics["ex4-fixed"]["gain"]["mean"] > 0.2


def test_a_diverged_variant_has_nulls_with_a_flag_in_strict_json(miniature: Miniature, metrics: dict[str, Any]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    for path in (miniature.folder / "reports").rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    diverged = metrics["mnist-diverged"]
    assert diverged["diverged"] == 1
    assert diverged["final_loss"]["finite"] is False
    assert diverged["final_loss"]["mean"] is None
    assert diverged["test_accuracy"]["finite"] is True
    assert metrics["mnist-as_posted"]["diverged"] == 0


def test_the_confusion_counts_are_every_seeds_answers_on_the_test_split(miniature: Miniature) -> None:
    for name in names(miniature):
        counts = table(miniature, f"confusion/{name}")
        case = name.split("-")[0]
        labels = files.read_npz(miniature.folder / "data" / "prepared" / f"{case}.npz")["y_test"]
        variant = name in miniature.parameters.variants
        seeds = len(miniature.parameters.seeds_of(name)) if variant else 1
        by_digit = counts.groupby("actual")["count"].sum()
        assert by_digit.tolist() == (seeds * np.bincount(labels, minlength=10)).tolist()
        if variant:
            predicted = files.read_npz(miniature.folder / "runs" / name / "predictions.npz")["predicted_test"]
            right = counts[counts["actual"] == counts["predicted"]]["count"].sum()
            assert right == (predicted == labels).sum()


def test_the_curves_of_a_case_are_those_of_its_variants(miniature: Miniature) -> None:
    for case in miniature.parameters.cases:
        curves = table(miniature, f"curves/{case}")
        variants = {n for n, variant in miniature.parameters.variants.items() if variant.case == case}
        assert set(curves["variant"]) == variants
        history = files.read_csv(miniature.folder / "runs" / f"{case}-as_posted" / "history.csv")
        chosen = curves[(curves["variant"] == f"{case}-as_posted") & (curves["figure"] == "loss")]
        assert chosen["mean"].to_numpy() == pytest.approx(history.groupby("epoch")["loss"].mean().to_numpy())


def test_every_published_number_has_a_row_with_what_was_measured(miniature: Miniature, metrics: dict[str, Any]) -> None:
    references = table(miniature, "references")
    cases = miniature.parameters.cases
    assert references["claim"].tolist() == [claim.claim for case in cases.values() for claim in case.published]
    row = references[references["claim"] == "10% on the training set"].iloc[0]
    assert row["measured"] == metrics["ex4-as_posted"]["train_accuracy"]["mean"]
    assert row["agrees"] == (abs(row["measured"] - 0.1) <= row["tolerance"])


@pytest.fixture
def project(miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder in which the pipeline ran, to be changed."""
    shutil.copytree(miniature.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reports(project: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (project / "reports").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "lacking", ["runs/mnist-as_posted/final.csv", "baselines/mnist/predictions.npz", "probe/probe.csv"]
)
def test_a_missing_result_ends_as_one_line_and_leaves_the_former_reports(project: Path, lacking: str) -> None:
    before = reports(project)
    # Other results have changed since.
    history = project / "runs" / "ex4-as_posted" / "history.csv"
    files.write_csv(history, files.read_csv(history).assign(loss=0.0))
    (project / lacking).unlink()
    assert refused("evaluate").startswith(f"{lacking} is missing; ")
    assert reports(project) == before
