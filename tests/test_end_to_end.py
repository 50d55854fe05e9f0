"""The real pipeline, by DVC in a Git repository of its own, on the real MNIST, with few fixes, seeds and epochs."""

import copy
import json
import re
from pathlib import Path

import pytest
import terminal
from project import OUTS, VARIANTS, Project, make, short_content, write_mnist
from ruamel.yaml import YAML

from stages.core import files, results_table
from stages.core.digits import Dataset


def ran(output: str) -> set[str]:
    """The stages that `dvc repro` says it runs."""
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")}


@pytest.fixture(scope="module")
def project(root: Path, raw_mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The repository, after its first `dvc repro`."""
    mnist = tmp_path_factory.mktemp("mnist")
    write_mnist(raw_mnist, mnist)
    made = make(tmp_path_factory.mktemp("end_to_end"), mnist, short_content(root / "params.yaml"))
    ended = made.run("python", "-m", "dvc", "repro")
    made.said = ended.stdout + ended.stderr
    assert ended.returncode == 0, made.said
    made.commit()
    return made


def test_dvc_lock_holds_every_stage(project: Project) -> None:
    declared = YAML(typ="safe").load(project.folder / "dvc.yaml")["stages"]
    keys = {"${cases}": project.content["cases"], "${variants}": VARIANTS}
    expected = {
        f"{name}@{key}" if "foreach" in stage else name
        for name, stage in declared.items()
        for key in (keys[stage["foreach"]] if "foreach" in stage else [""])
    }
    assert YAML(typ="safe").load(project.folder / "dvc.lock")["stages"].keys() == expected


def test_the_metrics_hold_every_variant_and_baseline_with_every_seed(project: Project) -> None:
    metrics = files.read_json(project.folder / "reports" / "metrics.json")
    baselines = {f"{case}-{name}" for case, block in project.content["cases"].items() for name in block["baselines"]}
    assert metrics.keys() == VARIANTS.keys() | baselines
    for name in VARIANTS:
        for figure in (
            "train_accuracy",
            "test_accuracy",
            "train_loss",
            "test_loss",
            "final_loss",
            "gain",
            "train_gain",
        ):
            assert metrics[name][figure]["finite"]
            assert metrics[name][figure]["per_seed"].keys() == {"0", "1"}
    assert metrics["mnist-fixed"]["gain"]["mean"] > 0.75


def test_the_figures_of_the_post_come_out_to_the_printed_digit(project: Project) -> None:
    references = files.read_csv(project.folder / "reports" / "references.csv")
    printed = references[references["claim"].str.match("(val_)?(loss|acc): ")]
    assert len(printed) == 4
    assert printed["agrees"].all()


def test_piped_every_stage_says_in_plain_lines_what_it_wrote(project: Project) -> None:
    assert not set("\x1b\r") & set(project.said)
    assert not terminal.NOISE.search(project.said)
    told = {line.split()[1] for line in project.said.splitlines() if line.startswith("wrote ")}
    cases = project.content["cases"]
    assert told == {
        "configs",
        "data/raw/mnist.npz",
        "probe/probe.csv",
        "reports/metrics.json",
        "reports/index.html",
        *(f"runs/{name}" for name in VARIANTS),
        *(f"data/prepared/{case}.npz" for case in cases),
        *(f"{folder}/{case}" for folder in ("baselines", "attribution") for case in cases),
    }
    for name in VARIANTS:
        for seed in (0, 1):
            assert len(re.findall(rf"^{name} seed {seed}: accuracy train ", project.said, re.MULTILINE)) == 1


def test_at_the_end_there_are_all_accuracies_and_where_to_look(project: Project) -> None:
    _, _, end = project.said.partition("> python -m stages.track\n")
    metrics = files.read_json(project.folder / "reports" / "metrics.json")
    for name, entry in metrics.items():
        figures = [results_table.percent(entry[figure]) for figure in ("train_accuracy", "test_accuracy")]
        assert re.search(rf"^ +{name} +{figures[0]} +{figures[1]} +", end, re.MULTILINE), name
    assert end.index("mnist-fixed") < end.index("report: reports/index.html") < end.index("every run: mlflow ui")


def test_at_a_terminal_the_stages_of_dvc_show_their_bars(project: Project) -> None:
    command = ["python", "-m", "dvc", "repro", "--single-item", "--force", "train@ex4-as_posted"]
    variables = {**project.environment, "TERM": "xterm-256color"}
    shown = terminal.shown(command, project.folder, variables)
    # What is drawn first, before there is anything to tell.
    assert re.search(r"ex4-as_posted .* 0/4 -:--:-- left", terminal.plain(shown))
    assert terminal.COLOUR.search(shown)
    in_ci = terminal.shown(command, project.folder, {**variables, "CI": "true"})
    assert "ex4-as_posted seed 0: accuracy" in in_ci
    # What resets colours at the end is DVC's own.
    assert set(terminal.ESCAPE.findall(in_ci)) <= {"\x1b[0m"}
    assert project.succeed("git", "status", "--porcelain") == ""


def test_what_git_does_not_ignore_is_small_and_of_no_store(project: Project) -> None:
    committed = project.succeed("git", "ls-files").splitlines()
    assert "reports/metrics.json" in committed
    assert not [path for path in committed if path.startswith(("data/", "runs/", "timings/", "mlflow"))]
    assert max((project.folder / path).stat().st_size for path in committed) < 5e6


def test_with_nothing_edited_nothing_runs_and_nothing_changes(project: Project) -> None:
    assert ran(project.dvc("repro")) <= {"track"}
    assert project.succeed("git", "status", "--porcelain") == ""


def test_dvc_shows_the_metrics_and_the_parameters_that_differ(project: Project) -> None:
    shown = project.dvc("metrics", "show", "--json")
    metrics = files.read_json(project.folder / "reports" / "metrics.json")
    assert json.dumps(metrics["mnist-fixed"]["test_accuracy"]["mean"]) in shown

    content = project.content | {"seeds": [0, 1, 2]}
    project.write_params(content)
    try:
        assert "seeds" in project.dvc("params", "diff")
    finally:
        project.write_params(project.content)
    assert project.dvc("metrics", "diff") == ""


def test_a_params_yaml_that_is_refused_ends_dvc_repro_with_one_line_and_overwrites_nothing(project: Project) -> None:
    before = project.contents(*OUTS)
    content = copy.deepcopy(project.content)
    content["cases"]["mnist"]["fixes"]["softmax_output"]["set"]["input_scale"] = 0
    project.write_params(content)
    try:
        ended = project.run("python", "-m", "dvc", "repro")
    finally:
        project.write_params(project.content)
    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    place = "params.yaml: cases.mnist.fixes.softmax_output.set.input_scale"
    expected = [f"error: {place}: 0; accepted: a number above 0"]
    assert [line for line in said.splitlines() if line.startswith("error: ")] == expected
    assert "Traceback" not in said
    assert project.contents(*OUTS) == before


def test_an_experiment_runs_just_what_its_setting_touches(project: Project) -> None:
    output = project.dvc("exp", "run", "--name=retitled", "--set-param", "cases.ex4.title=another")
    assert ran(output) - {"track", "report"} == {"plan", "evaluate"}
    assert YAML(typ="safe").load(project.folder / "params.yaml")["cases"]["ex4"]["title"] == "another"
    assert "retitled" in project.dvc("exp", "list")
