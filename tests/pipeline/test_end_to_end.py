"""The pipeline from nothing: what a user sees, and what is there at the end."""

import copy
import json
import re
from pathlib import Path

import terminal
from project import N_RUNS, OUTS, VARIANTS, Project, copy_of
from ruamel.yaml import YAML

from stages.base import files


def ran(output: str) -> set[str]:
    """Return the stages that `dvc repro` says it runs."""
    return set(re.findall(r"^Running stage '([^']+)'", output, re.MULTILINE))


def test_every_stage_runs_and_every_run_is_trained_once_and_has_one_file(short: Project) -> None:
    declared = YAML(typ="safe").load(short.folder / "dvc.yaml")["stages"]
    assert YAML(typ="safe").load(short.folder / "dvc.lock")["stages"].keys() == {
        f"{name}@{case}" if case else name
        for name, stage in declared.items()
        for case in (VARIANTS if "foreach" in stage else [""])
    }
    trained = short.trained()
    assert len(trained) == len(set(trained)) == sum(N_RUNS.values())
    paths = {str(path.relative_to(short.folder)) for path in short.folder.glob("runs/*/*/*")}
    assert paths == {f"runs/{case}/{folder}/seed_{seed}.npz" for case, folder, seed in trained}


def test_the_figures_of_the_post_come_out_to_the_printed_digit(short: Project) -> None:
    published = files.read_json(short.folder / "reports/results/mnist.json")["published"]
    printed = [number for number in published if re.match("(val_)?(loss|acc): ", number["claim"])]
    assert len(printed) == 4
    assert all(number["agrees"] for number in printed)


def test_a_run_that_diverges_is_counted_and_stops_no_stage(short: Project) -> None:
    variants = files.read_json(short.folder / "reports/results/ex4.json")["variants"]
    shares = {variant["name"]: variant["diverged"] for variant in variants}
    assert shares == {"as_posted": 0, "diverged": 1, "zeros_10": 0}


def test_in_a_pipe_stages_say_in_plain_lines_what_they_wrote_all_accuracies_and_where_to_look(short: Project) -> None:
    said = Path(f"{short.folder}.said").read_text(encoding="utf-8")
    assert not set("\x1b\r") & set(said)
    assert not terminal.NOISE.search(said)
    wrote = {line.split()[1].rstrip(":") for line in said.splitlines() if line.startswith("wrote ")}
    of_cases = {f"{place}/{case}" for place in ("runs", "baselines") for case in VARIANTS}
    assert wrote >= {"configs", "data/raw/mnist.npz", "reports/index.html", *of_cases}
    for folder in ("as_posted", "fixed"):
        for seed in (0, 1):
            assert len(re.findall(rf"^mnist {folder} seed {seed}: accuracy train ", said, re.MULTILINE)) == 1
    _, _, end = said.partition("python -m stages track\n")
    for case in VARIANTS:
        for variant in files.read_json(short.folder / f"reports/results/{case}.json")["variants"]:
            assert re.search(rf"^ .*{variant['name']} .*\d\.\d", end, re.MULTILINE), variant["name"]
    assert end.index("fixed") < end.index("reports/index.html") < end.index("mlflow ui")


def test_at_a_terminal_a_stage_shows_a_bar_and_in_ci_plain_lines(short: Project, tmp_path: Path) -> None:
    project = copy_of(short, tmp_path / "copy")
    command = ["python", "-m", "stages", "train", "ex4"]
    variables = {**project.environment, "TERM": "xterm-256color"}
    (project.folder / "runs/ex4/as_posted/seed_0.npz").unlink()
    shown = terminal.shown(command, project.folder, variables)
    assert re.search(r"ex4, runs .*0/1 ", terminal.plain(shown))
    assert terminal.COLOUR.search(shown)
    (project.folder / "runs/ex4/as_posted/seed_0.npz").unlink()
    in_ci = terminal.shown(command, project.folder, {**variables, "CI": "true"})
    assert "ex4 as_posted seed 0: accuracy" in in_ci
    assert not terminal.ESCAPE.search(in_ci)
    assert project.git_status() == ""


def test_git_gets_no_store_no_run_and_no_large_file(short: Project) -> None:
    committed = short.succeed("git", "ls-files").splitlines()
    assert {"reports/results/mnist.json", "reports/index.html"} <= set(committed)
    assert not [path for path in committed if path.startswith(("data/", "runs", "baselines/", "configs/", "ml"))]
    assert max((short.folder / path).stat().st_size for path in committed) < 5e6


def test_dvc_shows_metrics_plots_and_the_parameters_that_differ(short: Project, tmp_path: Path) -> None:
    project = copy_of(short, tmp_path / "copy")
    fixed = next(
        variant
        for variant in files.read_json(project.folder / "reports/results/mnist.json")["variants"]
        if variant["name"] == "fixed"
    )
    assert json.dumps(fixed["scores"]["test"]["mean"]) in project.dvc("metrics", "show", "--json")
    project.write_params(project.read_params() | {"seeds": [0, 1, 2]})
    assert "seeds" in project.dvc("params", "diff")
    assert project.dvc("metrics", "diff").strip() == ""
    project.dvc("plots", "show")
    page = (project.folder / "dvc_plots/index.html").read_text(encoding="utf-8")
    for name in ("reports/curves/mnist.csv", "reports/effects/ex4.csv", "reports/confusion/mnist/fixed.csv"):
        assert name in page


def test_a_refused_params_yaml_ends_dvc_repro_in_one_line_and_changes_nothing(short: Project, tmp_path: Path) -> None:
    project = copy_of(short, tmp_path / "copy")
    before = project.contents(*OUTS)
    content = copy.deepcopy(project.read_params())
    content["cases"]["mnist"]["fixes"]["softmax_output"]["set"]["layers.output"]["units"] = 0
    project.write_params(content)
    ended = project.run("python", "-m", "dvc", "repro")
    printed = ended.stdout + ended.stderr
    assert ended.returncode != 0
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    place = "cases.mnist.fixes.softmax_output.set.layers.output.units"
    assert re.match(rf"error: params\.yaml: line \d+: {re.escape(place)}: 0; expected ", line)
    assert "Traceback" not in printed
    assert project.contents(*OUTS) == before
