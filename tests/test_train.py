import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import terminal
from miniature import SEEDS, Miniature, call, refused
from ruamel.yaml import YAML
from safetensors.numpy import load_file
from scipy.special import expit, softmax

from stages import train
from stages.core import files, progress
from stages.core.backend import tf
from stages.core.training import Trainer

FIGURES = ["loss", "accuracy", "validation_loss", "validation_accuracy"]


def results(miniature: Miniature, variant: str) -> Path:
    return miniature.folder / "runs" / variant


def data(miniature: Miniature, variant: str) -> dict[str, np.ndarray]:
    case = miniature.parameters.variants[variant].case
    return files.read_npz(miniature.folder / "data" / "prepared" / f"{case}.npz")


def test_the_history_has_a_row_an_epoch_and_seed_in_order(miniature: Miniature) -> None:
    history = files.read_csv(results(miniature, "mnist-as_posted") / "history.csv")
    assert history.columns.tolist() == ["seed", "epoch", *FIGURES]
    assert history[["seed", "epoch"]].to_numpy().tolist() == [[seed, epoch] for seed in SEEDS for epoch in (1, 2)]
    assert np.isfinite(history[FIGURES].to_numpy()).all()


def test_a_variant_with_seeds_of_its_own_is_trained_with_these(miniature: Miniature) -> None:
    assert set(files.read_csv(results(miniature, "mnist-fixed") / "history.csv")["seed"]) == {SEEDS[1]}


def test_without_a_validation_split_its_cells_are_empty(miniature: Miniature) -> None:
    path = results(miniature, "ex4-as_posted") / "history.csv"
    lines = path.read_text().splitlines()
    assert all(line.endswith(",,") for line in lines[1:])
    assert files.read_csv(path)[FIGURES[:2]].notna().all(axis=None)


def test_of_tnc_a_row_is_a_function_call(miniature: Miniature) -> None:
    history = files.read_csv(results(miniature, "ex4-assignment") / "history.csv")
    final = files.read_csv(results(miniature, "ex4-assignment") / "final.csv")
    for seed, rows in history.groupby("seed"):
        assert rows["epoch"].tolist() == list(range(1, len(rows) + 1))
        assert (final[final["seed"] == seed]["gradient_evaluations"] == len(rows)).all()
        # SciPy may end its line search past the limit.
        assert 4 <= len(rows) <= 6


def test_the_final_figures_have_a_row_a_split_and_seed(miniature: Miniature) -> None:
    final = files.read_csv(results(miniature, "mnist-as_posted") / "final.csv")
    assert final.columns.tolist() == ["seed", "split", "loss", "accuracy", "diverged", "gradient_evaluations"]
    splits = ["train", "validation", "test"]
    assert final[["seed", "split"]].to_numpy().tolist() == [[seed, split] for seed in SEEDS for split in splits]
    assert final["diverged"].dtype == bool
    # 107 examples in batches of 32, two epochs.
    assert (final["gradient_evaluations"] == 8).all()


@pytest.mark.parametrize("variant", ["mnist-as_posted", "mnist-fixed", "mnist-diverged", "ex4-fixed", "ex4-assignment"])
def test_the_accuracies_are_those_of_the_predictions(miniature: Miniature, variant: str) -> None:
    predictions, labels = files.read_npz(results(miniature, variant) / "predictions.npz"), data(miniature, variant)
    final = files.read_csv(results(miniature, variant) / "final.csv").set_index(["seed", "split"])
    seeds = miniature.parameters.seeds_of(variant)
    splits = {name.removeprefix("y_") for name in labels if name.startswith("y_")}
    assert predictions.keys() == {f"predicted_{split}" for split in splits} | {"confidence_test"}
    for split in splits:
        predicted = predictions[f"predicted_{split}"]
        assert predicted.dtype == np.uint8
        assert predicted.shape == (len(seeds), len(labels[f"y_{split}"]))
        for seed, row in zip(seeds, predicted, strict=True):
            assert final.loc[(seed, split), "accuracy"] == np.mean(row == labels[f"y_{split}"])


@pytest.mark.parametrize(("variant", "dtype"), [("ex4-fixed", np.float32), ("ex4-assignment", np.float64)])
def test_the_weights_are_those_that_made_the_predictions(
    miniature: Miniature, variant: str, dtype: type[np.floating]
) -> None:
    weights = load_file(results(miniature, variant) / "weights.safetensors")
    predictions = files.read_npz(results(miniature, variant) / "predictions.npz")
    layers = [f"{layer}.{name}" for layer in ("hidden_0", "output") for name in ("kernel", "bias")]
    assert weights.keys() == {f"seed_{seed}.{name}" for seed in SEEDS for name in layers}
    x = data(miniature, variant)["x_test"].astype(np.float64)
    for row, seed in enumerate(SEEDS):
        kernel, bias, output_kernel, output_bias = (weights[f"seed_{seed}.{name}"] for name in layers)
        assert kernel.dtype == dtype
        logits = expit(x @ kernel + bias) @ output_kernel + output_bias
        outputs = softmax(logits, axis=1) if variant == "ex4-fixed" else expit(logits)
        assert predictions["predicted_test"][row].tolist() == outputs.argmax(axis=1).tolist()
        assert predictions["confidence_test"].dtype == dtype
        np.testing.assert_allclose(predictions["confidence_test"][row], outputs.max(axis=1), rtol=1e-4)


def test_a_variants_folder_holds_four_files_and_no_time(miniature: Miniature) -> None:
    names = ["history.csv", "final.csv", "predictions.npz", "weights.safetensors"]
    outs = {f"runs/ex4-fixed/{name}" for name in names}
    assert miniature.written["train@ex4-fixed"] == outs | {"timings/ex4-fixed.json"}


def test_a_network_that_can_learn_learns(miniature: Miniature) -> None:
    final = files.read_csv(results(miniature, "ex4-fixed") / "final.csv")
    assert (final[final["split"] == "train"]["accuracy"] > 0.5).all()


def test_a_diverged_run_is_written_like_any_other_and_says_so(miniature: Miniature) -> None:
    assert miniature.written["train@mnist-diverged"] == {
        path.replace("as_posted", "diverged") for path in miniature.written["train@mnist-as_posted"]
    }
    history = files.read_csv(results(miniature, "mnist-diverged") / "history.csv")
    final = files.read_csv(results(miniature, "mnist-diverged") / "final.csv")
    assert len(history) == 4
    assert not np.isfinite(history["loss"]).all()
    assert final["diverged"].all()
    assert final["accuracy"].between(0, 1).all()
    assert not files.read_csv(results(miniature, "mnist-as_posted") / "final.csv")["diverged"].any()


@pytest.fixture
def project(miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what `train ex4-fixed` reads, for three epochs, and what it wrote last time."""
    config = files.read_json(miniature.folder / "configs" / "ex4-fixed.json")
    config["run"]["epochs"] = 3
    files.write_json(tmp_path / "configs" / "ex4-fixed.json", config)
    for name in ("data", "params.yaml"):
        (tmp_path / name).symlink_to(miniature.folder / name)
    for name in ("history.csv", "final.csv", "predictions.npz", "weights.safetensors"):
        files.write_text(tmp_path / "runs" / "ex4-fixed" / name, "of last time")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_configuration_gives_the_same_bytes(project: Path) -> None:
    call("train", "ex4-fixed")
    first = contents(project / "runs")
    call("train", "ex4-fixed")
    assert contents(project / "runs") == first
    assert b"of last time" not in first.values()


def test_seeds_trained_side_by_side_give_the_same_bytes(project: Path, miniature: Miniature) -> None:
    call("train", "ex4-fixed")
    first = contents(project / "runs")
    settings = YAML(typ="safe").load(project / "params.yaml")
    settings["execution"] = {"backend": "loky", "workers": 2}
    (project / "params.yaml").unlink()
    YAML(typ="safe").dump(settings, project / "params.yaml")
    call("train", "ex4-fixed")
    assert contents(project / "runs") == first
    assert files.read_json(project / "timings/ex4-fixed.json").keys() == {str(seed) for seed in SEEDS}


@pytest.mark.parametrize(("workers", "expected"), [(1, [[3, 1, 2]]), (2, [[3, 2], [1]]), (5, [[3], [1], [2]])])
def test_seeds_are_dealt_evenly_to_no_more_workers_than_there_are(workers: int, expected: list[list[int]]) -> None:
    assert train.shares([3, 1, 2], workers) == expected


def test_a_run_that_fails_leaves_the_former_results_as_they_were(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(project)
    trained = Trainer.run

    def fail_second(self: Trainer, seed: int, on_epoch: object) -> object:
        if seed == SEEDS[1]:
            raise MemoryError
        return trained(self, seed)

    monkeypatch.setattr(Trainer, "run", fail_second)
    with pytest.raises(MemoryError):
        call("train", "ex4-fixed")
    assert contents(project) == before


@pytest.fixture
def long(project: Path, root: Path) -> Path:
    """The folder with enough epochs to be looked at, to run stages as commands in."""
    path = project / "configs" / "ex4-fixed.json"
    config = files.read_json(path)
    config["run"]["epochs"] = 1500
    files.write_json(path, config)
    (project / "stages").symlink_to(root / "stages")
    return project


COMMAND = [sys.executable, "-m", "stages.train", "train@ex4-fixed"]


def ended(said: str) -> list[str]:
    """The seeds that a line says have ended, in order."""
    return re.findall(r"^ex4-fixed seed (\d): accuracy train [01]\.\d{4}, test [01]\.\d{4}$", said, re.MULTILINE)


def test_at_a_terminal_a_person_sees_epoch_loss_accuracy_and_time_left_of_each_seed(long: Path) -> None:
    raw = terminal.shown(COMMAND, long, terminal.environment())
    said = re.sub(" *[\r\n]+", "\n", terminal.plain(raw))
    total = 1500 * len(SEEDS)
    assert re.search(rf"^ex4-fixed .* \d+/{total} \d:\d\d:\d\d left$", said, re.MULTILINE)
    for seed in SEEDS:
        line = rf"^  seed {seed} epoch \d+/1500 loss \d\.\d{{4}} accuracy [01]\.\d{{4}}$"
        assert re.search(line, said, re.MULTILINE)
    assert sorted(ended(said)) == sorted(map(str, SEEDS))
    assert said.rstrip().endswith(f"wrote runs/ex4-fixed (seeds: {len(SEEDS)})")
    assert not terminal.NOISE.search(said)


def test_piped_it_says_a_line_a_seed_and_nothing_of_tensorflow(long: Path) -> None:
    done = subprocess.run(COMMAND, cwd=long, env=terminal.environment(), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert sorted(ended(done.stdout)) == sorted(map(str, SEEDS))
    assert len(done.stdout.splitlines()) == len(SEEDS) + 1
    assert not set("\x1b\r") & set(done.stdout)


def test_results_that_come_without_notes_are_told_all_the_same(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # As from other machines.
    monkeypatch.setattr(progress.Notes, "send", lambda self, *values: None)
    call("train", "ex4-fixed")
    assert ended(capsys.readouterr().out) == [str(seed) for seed in SEEDS]


def test_memory_that_tensorflow_lacks_ends_as_one_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(project)
    monkeypatch.setattr(Trainer, "_timed", lambda *_: tf.zeros([10**15]))
    assert refused("train", "ex4-fixed").startswith("not enough memory (OOM when allocating tensor with shape")
    assert contents(project) == before


def test_a_variant_that_plan_has_not_resolved_ends_as_one_line(project: Path) -> None:
    before = contents(project)
    assert refused("train", "ex4-fixde").startswith("configs/ex4-fixde.json is missing; ")
    assert contents(project) == before


def test_data_that_is_not_prepared_ends_as_one_line(project: Path) -> None:
    (project / "data").unlink()
    assert refused("train", "ex4-fixed").startswith("data/prepared/ex4.npz is missing; ")
