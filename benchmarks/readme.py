"""benchmarks/results/ -> the tables of README.md's section on performance: `python -m benchmarks.readme`.

A test compares the two, so that no figure there is typed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import common
from stages.core import files

BEGIN, END = "<!-- made by benchmarks/readme.py -->\n", "<!-- up to here -->\n"
SIZES = {"seed": "a seed", "cell": "a cell", "training example": "1,000 training examples"}


def table(says: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown below what it says."""
    lines = [header, ["---"] * len(header), *rows]
    return f"{says}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def spread(figures: Mapping[str, float]) -> str:
    """A median, and in brackets the lowest and the highest, to three digits or the whole number."""
    median, lowest, highest = (
        f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
        for value in (figures[name] for name in ("median", "lowest", "highest"))
    )
    return f"{median} ({lowest}–{highest})"


def loop(result: Mapping[str, Any]) -> str:
    """A row a network and batch: our time, and how many times as long the others take."""
    shapes = result["shapes"]
    labels = {name: row["label"] for name, row in next(iter(shapes.values()))["rows"].items() if name != "whichfix"}
    rows = []
    for name, shape in shapes.items():
        ours = shape["rows"]["whichfix"]["seconds_per_epoch"]
        others = [shape["rows"][module] for module in labels]
        times = [spread(row["times_ours"]) if "times_ours" in row else "not measured" for row in others]
        rows.append([name, spread({key: 1000 * value for key, value in ours.items() if key != "rounds"}), *times])
    says = (
        "One epoch, on one thread of one core. The others are told in times ours: `model.fit` as people write it, and\n"
        "compiled with `steps_per_execution` and `jit_compile`; the products are those of the same shapes alone.\n"
        "To draw level where JAX is ahead takes another order of the sums, and so other bits: tried, and left."
    )
    return table(says, ["network/batch", "whichfix, ms an epoch", *labels.values()], rows)


def pipeline(result: Mapping[str, Any]) -> str:
    """A row a figure of the whole pipeline."""
    bounds = {"script / dvc repro": "at least", "dvc repro / floor": "at most"}
    goals = {name: f"{bounds[name]} {goal:g}" for name, goal in result["goals"].items()}
    rows = [[name, spread(figures), goals.get(name, "")] for name, figures in result["figures"].items()]
    says = (
        "The whole pipeline. The floor is training and evaluation alone, spread evenly over the workers; the script's\n"
        f"time is extrapolated from {result['rounds'][0]['script']['sampled_runs']} of its runs, of at most "
        f"{result['settings']['epochs']} epochs each."
    )
    return table(says, ["", "median (lowest–highest)", "goal"], rows)


def breakdown(result: Mapping[str, Any]) -> str:
    """Where the time of the middle round goes."""
    middle = sorted(result["rounds"], key=lambda one: float(one["ours"]["seconds"]))[len(result["rounds"]) // 2]["ours"]
    phases = ["wall", "import", "read", "compile", "train", "evaluate", "write"]
    kinds = sorted(middle["breakdown"].items(), key=lambda item: -float(item[1]["wall"]))
    rows = [
        [kind, str(figures["stages"]), *(f"{figures.get(phase, 0.0):.1f}" for phase in phases)]
        for kind, figures in kinds
    ]
    says = (
        "Where its time goes: seconds of wall, then those of all processes by phase. Beyond the floor is the price of\n"
        "stages: the processes of each import TensorFlow and compile for themselves, and where its runs do not divide\n"
        "evenly, a worker waits."
    )
    rows.append(["DVC itself", "", f"{middle['dvc_seconds']:.1f}", *[""] * 6])
    return table(says, ["stage", "how many", *phases], rows)


def edits(result: Mapping[str, Any]) -> str:
    """A row an edit, and one for none."""
    rows = [
        [name, spread(figures), f"{result['goals'][name if name in result['goals'] else 'edit']:g}"]
        for name, figures in result["figures"].items()
    ]
    return table(
        "An edit of one variant, until its numbers are in the report and in MLflow.", ["", "seconds", "goal"], rows
    )


def growth(result: Mapping[str, Any]) -> str:
    """A row a series: the line through its points."""
    rows = []
    for unit, series in result["series"].items():
        scale = 1000 if unit == "training example" else 1
        sizes = [point["size"] for point in series["points"]]
        row = [SIZES[unit], f"{min(sizes):,} to {max(sizes):,}"]
        for name in ("seconds", "peak_mib"):
            line = series[name]
            row.append(f"{line['slope'] * scale:.3g} and {line['constant']:.3g}, R² {line['r_squared']:.3f}")
        rows.append(row)
    says = "Growth: a line through what was measured, its slope for each and its constant."
    return table(says, ["for each", "measured for", "seconds", "MiB of the largest process"], rows)


def section() -> str:
    """The tables, from those files that the benchmarks wrote."""
    makers = {"loop": [loop], "pipeline": [pipeline, breakdown], "edits": [edits], "growth": [growth]}
    written = {common.RESULTS / f"{name}.json": parts for name, parts in makers.items()}
    tables = [make(files.read_json(path)) for path, parts in written.items() if path.is_file() for make in parts]
    return "\n" + "\n".join(tables) + "\n"


def main() -> None:
    """Put the tables into README.md between the two marks."""
    path = common.ROOT / "README.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    files.write_text(path, before + BEGIN + section() + END + after)


if __name__ == "__main__":
    main()
