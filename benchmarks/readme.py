"""Write the tables of README.md and of the docs from reports/results/ and benchmarks/results/.

No number in these tables is typed by hand; a test compares them with the files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import common, factorials, search_tables
from stages.analysis import results
from stages.base import files
from stages.base.console import say
from stages.base.errors import one_line
from stages.config.network import WHEN
from stages.tracking.content import interval

README, PERFORMANCE, SEARCH = Path("README.md"), Path("docs/performance.md"), Path("docs/search.md")
SCALING = Path("docs/scaling.md")
BEGIN, END = "<!-- {}: written by `python -m benchmarks.readme` -->\n", "<!-- end of {} -->\n"
CASES = ("mnist", "ex4")
# What the variants and baselines of these cases are, for a reader who does not know their names.
DESCRIPTIONS = {
    "mnist": {
        "as_posted": "as posted",
        "as_posted_90_epochs": "as posted, 90 epochs",
        "scaled_inputs": "pixels divided by 255",
        "softmax_output": "ten softmax outputs",
        "fixed": "**scaled pixels and softmax**",
        "fixed_wider": "both, and 256 hidden units",
        "logistic_regression": "scikit-learn, no network",
        "floor": "always the most frequent digit",
    },
    "ex4": {
        "as_posted": "as posted",
        "comment": "the advice: softmax, ReLU, Adam",
        "scaled_l2": "penalty scaled to the mean loss",
        "scaled_l2_mini_batches": "penalty scaled, batches of 32",
        "comment_scaled_l2": "the advice, and penalty scaled",
        "fixed": "**all five fixes**",
        "assignment": "the exercise's own recipe",
        "logistic_regression": "scikit-learn, no network",
        "logistic_regression_one_vs_all": "the course's logistic regression",
        "floor": "always the most frequent digit",
    },
}
# Rows of the loop that train; the others only multiply matrices.
TRAINING = ("model_fit", "model_fit_compiled", "pytorch", "scikit_learn", "jax_scan")
# What a cluster is extrapolated to.
MACHINES, WORKERS_EACH, RUNS = (1, 10, 100), 2, 10_000
UNITS = {"seed": (1, "seed"), "point": (1, "point"), "row": (100_000, "100,000 rows of 100 features")}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, ["---"] * len(header), *rows))


def results_part(cases: Sequence[results.CaseResult]) -> str:
    """Return the table of scores under both versions of Keras: variants on the whole data, then baselines."""
    rows = []
    for case in cases:
        names = dict.fromkeys(variant.name for variant in case.variants if variant.subset is None)
        measured = {(variant.name, variant.keras): variant.scores for variant in case.variants}
        for name in names:
            scores = [measured.get((name, keras), {}) for keras in WHEN]
            rows.append([case.case, f"`{name}`", DESCRIPTIONS[case.case].get(name, ""), *_row(scores)])
        for baseline in case.baselines:
            # A baseline has no version of Keras.
            row = _row([baseline.scores, {}])
            rows.append([case.case, f"`{baseline.name}`", DESCRIPTIONS[case.case].get(baseline.name, ""), *row])
    header = ["case", "variant", "what it is"]
    header += [f"{split}, {when}" for when in WHEN.values() for split in ("training", "test")]
    legend = (
        "Accuracy in percent, with the losses of Keras 2.2 (2018) and of Keras 3 (today): means over five seeds ± 95%\n"
        "interval; a single number for a single run. Numbers: `reports/results/`."
    )
    return f"\n{table(header, rows)}\n{legend}\n\n"


def _row(scores: Sequence[Mapping[str, results.Figure]]) -> list[str]:
    return [interval(of_condition.get(split)) for of_condition in scores for split in ("train", "test")]


def spread(figures: Mapping[str, float], scale: float = 1) -> str:
    """Return the median, and the lowest and highest in brackets, to three digits or the whole number."""
    median, lowest, highest = (
        f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
        for value in (scale * figures[name] for name in ("median", "lowest", "highest"))
    )
    return f"{median} ({lowest}–{highest})"


def loop_part(result: Mapping[str, Any]) -> str:
    """Return our time per epoch, and the times of others relative to it."""
    shapes = result["shapes"]
    labels = [next(iter(shapes.values()))["rows"][module]["label"] for module in TRAINING]
    rows = []
    for name, shape in shapes.items():
        times = [shape["rows"][module].get("times_ours") for module in TRAINING]
        ours = spread(shape["rows"]["whichfix"]["seconds_per_epoch"], 1000)
        rows.append([name, ours, *(spread(figures) if figures else "not measured" for figures in times)])
    says = (
        "One epoch on one thread. The other columns are relative to whichfix (2.0 = twice as long). The second\n"
        "`model.fit` uses `steps_per_execution` and `jit_compile`. With a batch of all 5,000 examples, most of our\n"
        "time goes into two products of matrices. To form the gradient of a kernel as its transpose would be faster\n"
        "there, but it would change the results.\n"
    )
    return f"{says}\n{table(['network/batch', 'whichfix, ms', *labels], rows)}"


def pipeline_part(result: Mapping[str, Any]) -> str:
    """Return the figures of the whole pipeline."""
    goals = result["goals"]
    rows = [[name, spread(figures), goals.get(name, "")] for name, figures in result["figures"].items()]
    first = result["rounds"][0]
    stages = first["pipeline"]["stages"]
    seconds, peaks = ({name: of[figure] for name, of in stages.items()} for figure in ("seconds", "peak_bytes"))
    says = (
        f"The whole pipeline, {first['pipeline']['runs']:,} runs. The floor is the time of all runs, compilation\n"
        "included, divided by the number of workers. The time of the script is extrapolated from a sample of\n"
        f"{first['script']['sampled_runs']} runs with at most {result['settings']['epochs']} epochs each.\n"
    )
    return f"{says}\n{table(['', 'median (lowest–highest)', 'goal'], rows)}\n{parts_table('stage', seconds, peaks)}"


def parts_table(title: str, seconds: Mapping[str, float], peaks: Mapping[str, float]) -> str:
    """Return the seconds and the peak memory, in bytes, of each part of a measurement, in their order."""
    rows = [[f"`{name}`", f"{lasted:.3g}", f"{peaks[name] / 2**20:,.0f}"] for name, lasted in seconds.items()]
    return table([title, "seconds", "MiB of the largest process"], rows)


def edits_part(result: Mapping[str, Any]) -> str:
    """Return the seconds after each edit, and the number of runs that it trained."""
    rows = []
    for name, figures in result["figures"].items():
        goal, per_run = result["goals"].get(name), result["goals_per_run"].get(name)
        record = result["records"][name][0]
        runs = record.get("runs", 0)
        each = f"{figures['median'] / runs:.2g}" if runs else ""
        wanted = f"at most {goal:g}" if goal else f"at most {per_run:g} per run" if per_run else ""
        rows.append([name, str(runs), spread(figures), each, f"{record['peak_bytes'] / 2**20:,.0f}", wanted])
    says = "`dvc repro` after an edit, until the new numbers are in the report and in MLflow.\n"
    header = ["", "runs trained", "seconds", "seconds per run", "MiB of the largest process", "goal"]
    return f"{says}\n{table(header, rows)}"


def growth_part(result: Mapping[str, Any]) -> str:
    """Return the line through each series."""
    rows = []
    for unit, series in result["series"].items():
        scale, label = UNITS[unit]
        sizes = [point["size"] for point in series["points"]]
        lines = [
            f"{series[name]['slope'] * scale:.3g} + {series[name]['constant']:.3g}, R² {series[name]['r_squared']:.3f}"
            for name in ("seconds", "peak_mib")
        ]
        rows.append([label, f"{min(sizes):,} to {max(sizes):,}", *lines])
    says = "Growth of `train`: the slope of a line through the measurements, plus its constant.\n"
    grown = f"{says}\n{table(['per', 'measured for', 'seconds', 'MiB of the largest process'], rows)}"
    if "row" in result["series"]:
        times = result["series"]["row"]["peak_mib"]["slope"] * 2**20 / result["data_bytes_per_row"]
        grown += f"\nWith more rows, the largest process grows by {times:.2g} times the data (goal: at most 1.5).\n"
    formats = {"workers": "", "seconds": ".3g", "runs": "", "tasks": "", "bytes_per_run": ",.0f"}
    workers = [[format(row[name], form) for name, form in formats.items()] for row in result["workers"]]
    if not workers:
        return grown
    cores, megabytes = result["machine"]["cores"], result["workers"][0]["data_bytes"] / 1e6
    says = (
        f"The same runs on a Dask cluster of processes on this machine, which has {cores} cores. Each worker gets the\n"
        f"data once, {megabytes:.3g} MB.\n"
    )
    grown += f"\n{says}\n{table(['workers', 'seconds', 'runs', 'Dask tasks', 'bytes of a run'], workers)}"
    times = result["cluster_bytes_per_row"] / result["data_bytes_per_row"]
    return f"{grown}\nWith more rows, the largest worker of a cluster grows by {times:.2g} times the data.\n"


def scaling_part() -> str:
    """Return what many machines would do, extrapolated from one worker; empty without a measurement."""
    path = common.RESULTS / "growth.json"
    measured = files.read_json(path)["workers"] if path.is_file() else []
    if not measured:
        return ""
    one = measured[0]
    rows = []
    for machines in MACHINES:
        workers = machines * WORKERS_EACH
        figures = (
            RUNS * one["tasks"] / one["runs"],
            workers * one["data_bytes"] / 1e9,
            RUNS * one["bytes_per_run"] / 1e9,
            RUNS * one["seconds"] / one["runs"] / workers / 60,
        )
        rows.append([f"{machines}", f"{workers}", f"{figures[0]:,.0f}", *(f"{value:.3g}" for value in figures[1:])])
    header = ["machines", "workers", "tasks", "GB of data to workers", "GB of runs back", "minutes"]
    return f"\n{table(header, rows)}\n"


def small_part(result: Mapping[str, Any]) -> str:
    """Return how long a small case takes, and how much of that is compiling."""
    rows = [
        [name, spread(figures), f"at most {result['goals'][name]:.2g}"] for name, figures in result["figures"].items()
    ]
    says = "A case of one's own, from the file to the result: 600 rows, layers of 32, 16 and 3 units, 200 epochs.\n"
    first = result["records"][0]
    parts = parts_table("stage", first["stages"], first["peak_bytes"])
    return f"{says}\n{table(['', 'median (lowest–highest)', 'goal'], rows)}\n{parts}"


def searched_part(result: Mapping[str, Any]) -> str:
    """Return how long a searched case takes, beside Optuna."""
    first = result["rounds"][0]
    rows = [[name, spread(figures), result["goals"].get(name, "")] for name, figures in result["figures"].items()]
    says = (
        "The searched case of [your-network.md](your-network.md), from `record` to the answer, and a search of the\n"
        f"same fixes by Optuna's TPE, each training a plain `model.fit`. Both train {first['whichfix']['trainings']}\n"
        f"runs; the time of Optuna is extrapolated from {first['optuna']['sample']}.\n"
    )
    parts = parts_table("command", first["whichfix"]["seconds"], first["whichfix"]["peak_bytes"])
    return f"{says}\n{table(['', 'median (lowest–highest)', 'goal'], rows)}\n{parts}"


BENCHMARKS = {
    "pipeline": pipeline_part,
    "edits": edits_part,
    "loop": loop_part,
    "growth": growth_part,
    "small": small_part,
    "searched": searched_part,
}


def benchmarks_part() -> str:
    """Return the tables of the benchmarks that were measured."""
    paths = {name: common.RESULTS / f"{name}.json" for name in BENCHMARKS}
    tables = [BENCHMARKS[name](files.read_json(path)) for name, path in paths.items() if path.is_file()]
    return "\n" + "\n".join([*tables, ""]) if tables else ""


def search_part() -> str:
    """Return the tables of the benchmark of the search."""
    path = common.RESULTS / "search.json"
    return search_tables.search_part(files.read_json(path)) if path.is_file() else ""


def section(text: str, name: str) -> str:
    """Return what stands between the two marks of a section."""
    return text.partition(BEGIN.format(name))[2].partition(END.format(name))[0]


def replaced(text: str, name: str, content: str) -> str:
    """Return `text` with `content` between the two marks of a section."""
    begin, end = BEGIN.format(name), END.format(name)
    before, _, rest = text.partition(begin)
    return before + begin + content + end + rest.partition(end)[2]


def factorials_part() -> str:
    """Return how often the search finds a set as good and as small as the best of all combinations."""
    found = factorials.replays()
    both = sum(row.good and row.small for row in found.values())
    lost, repairing = sum(row.given_up for row in found.values()), sum(row.repairing for row in found.values())
    rows = [
        [
            name,
            str(row.n_points),
            ", ".join(sorted(row.found.repairs[0])) if row.found.repairs else "none",
            str(len(row.found.points)),
            "yes" if row.good else "no",
            "yes" if row.small else "no",
        ]
        for name, row in found.items()
    ]
    header = ["case", "all points", "first repair", "points that the search trained", "as good", "as small"]
    return (
        f"\nIn {both} of {len(found)} cases, the first repair of the search is as good and as small as the best of\n"
        f"all points. Of {repairing} trained points that repair, {lost} were given up after one seed.\n\n"
        f"{search_tables.table(header, rows)}\n"
    )


def main() -> None:
    """Write the tables of all files, in the root of the project."""
    written = [
        (README, "results", results_part([results.read(case) for case in CASES])),
        (PERFORMANCE, "benchmarks", benchmarks_part()),
        (SEARCH, "search", search_part()),
        (SEARCH, "factorials", factorials_part()),
        (SCALING, "scaling", scaling_part()),
    ]
    for path, name, content in written:
        path.write_text(replaced(path.read_text(encoding="utf-8"), name, content), encoding="utf-8")
        say(f"wrote {path}")


if __name__ == "__main__":
    with one_line():
        main()
