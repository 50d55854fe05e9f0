"""The tables of docs/search.md, from benchmarks/results/search.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.compare import METHODS

HALVES = {"all": "all faults", "even": "even half", "odd": "odd half"}
# What whichfix shall need at most, relative to each method.
GOALS = {"random": 1 / 3, "tpe": 0.4, "raced": 0.6, "tpe_first": 1.0}
GOAL_REPAIRED, GOAL_POINTS, GOAL_ELIMINATION, GOAL_SMALL, GOAL_NAMED = 0.95, 15, 2 / 3, 0.8, 0.9
# Published figures of tools that diagnose such faults, each on a set of its own.
PUBLISHED = (
    (
        "DeepFD",
        "recall .57, precision .37 on 16 real faults, with equivalent patches",
        "https://doi.org/10.1007/s10664-025-10657-7",
    ),
    ("deepmufl", "53 of 109 faults at the first place", "https://github.com/ali-ghanbari/deepmufl-ase-2023"),
    ("DeepDiagnosis", "46 of 53 found, 34 localized", "https://arxiv.org/abs/2112.04036"),
    ("NeuraLint", "recall .705, precision 1.0 on 34 faults", "https://doi.org/10.1145/3470006"),
)

Figures = Mapping[str, Any]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, ["---"] * len(header), *rows))


def percent(share: float | None) -> str:
    """Return a share in percent, a dash if there is none."""
    return "–" if share is None else f"{100 * share:.0f}%"


def score(value: float | None) -> str:
    """Return a score to two digits, a dash if there is none."""
    return "–" if value is None else "-1.00 or less" if value <= -1 else f"{value:.2f}"


def number(value: float) -> str:
    """Return a count or a ratio: whole from 100 on, else to two or three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def methods_part(result: Figures) -> str:
    """Return how many trainings each method takes, for all faults and for the halves."""
    parts = []
    for half, title in HALVES.items():
        figures = result["figures"][half]
        rows = []
        for method in filter(figures["methods"].get, METHODS):
            found = figures["methods"][method]
            until = found["until_target"]
            trainings, compute = until["trainings"], until["compute"]
            ours = method == "whichfix"
            rows.append(
                [
                    METHODS[method],
                    percent(found["repaired"]),
                    percent(found["published_reached"]),
                    percent(until["reached"]),
                    number(trainings["median"]),
                    "" if ours else number(trainings["of_medians"]),
                    "" if ours else number(trainings["of_sums"]),
                    "" if ours else number(compute["of_medians"]),
                    f"at most {number(GOALS[method])}" if method in GOALS else "",
                ]
            )
        header = [
            title,
            "repaired",
            "as good as the published fix",
            "reaches 95% of the gain",
            "trainings until then, median",
            "whichfix needs",
            "whichfix needs, by sums",
            "whichfix needs, compute",
            "goal",
        ]
        share = percent(figures.get("repaired_of_any"))
        says = (
            f"{figures['compared']} faults are compared. Of those that any method repairs, whichfix repairs {share}\n"
            f"(goal: {percent(GOAL_REPAIRED)}).\n"
        )
        parts.append(f"{says}\n{table(header, rows)}")
    return "\n".join(parts)


def minimal_part(result: Figures) -> str:
    """Return how soon a set is known from which nothing can be dropped."""
    rows = []
    for half, title in HALVES.items():
        figures = result["figures"][half]
        own, rival = (figures["methods"].get(name, {}).get("until_minimal") for name in ("whichfix", "eliminated"))
        if not own or not rival:
            continue
        rows.append(
            [
                title,
                number(own["points"]["median"]),
                percent(own["reached"]),
                number(own["trainings"]["median"]),
                number(rival["trainings"]["median"]),
                number(rival["trainings"]["of_medians"]),
                percent(figures["as_small"]),
                percent(figures["repair_holds"]),
            ]
        )
    rows.append(
        [
            "goal",
            f"at most {GOAL_POINTS}",
            "",
            "",
            "",
            f"at most {number(GOAL_ELIMINATION)}",
            f"at least {percent(GOAL_SMALL)}",
            "",
        ]
    )
    header = [
        "",
        "points",
        "known at all",
        "trainings",
        "trainings of random search with the same elimination",
        "ratio",
        "as small as the smallest known set",
        "holds on fresh seeds",
    ]
    return table(header, rows)


def diagnosis_part(result: Figures) -> str:
    """Return how well the smallest sets name the labelled fault codes, beside published tools."""
    rows = []
    for half, title in HALVES.items():
        for basis, who in (("benchmark", "labelled by people"), ("others", "other labels")):
            found = result["figures"][half].get("diagnosis", {}).get(basis, {"faults": 0})
            if not found["faults"]:
                continue
            for kind, name in (("first", "first set"), ("equivalent", "best of the equivalent sets")):
                each = found[kind]
                rows.append(
                    [
                        f"{title}, {who}",
                        str(found["faults"]),
                        name,
                        percent(each["named"]),
                        f"{each['recall']:.2f}",
                        f"{each['precision']:.2f}",
                    ]
                )
    rows.append(["goal, labelled by people", "", "", f"at least {percent(GOAL_NAMED)}", "", ""])
    tools = [[f"[{name}]({source})", what] for name, what, source in PUBLISHED]
    header = ["", "faults", "", "names a labelled code", "recall", "precision"]
    says = "Published figures, each on a set of faults of its own:\n"
    return "\n".join([table(header, rows), says, table(["tool", "figure"], tools)])


def racing_part(result: Figures) -> str:
    """Return how often racing gave a good point up."""
    found = result["figures"]["all"].get("racing", {"good": 0})
    if not found["good"]:
        return ""
    share = found["good_given_up"] / found["good"]
    return (
        f"Racing gave {found['given_up']} points up after one seed. Of the {found['good']} points that reach the\n"
        f"target with all three seeds, these were {found['good_given_up']}, or {100 * share:.1f}%. The stated rate\n"
        "is 5%.\n"
    )


def check_part(result: Figures) -> str:
    """Return how far the scores of the short training are from those of whichfix."""
    found = result["figures"]["all"].get("check")
    if not found:
        return ""
    return (
        f"As posted and with the first repair, {found['pairs']} networks were also trained by whichfix itself. Their\n"
        f"mean scores differ by {found['median']:.3f} in the median, and by at most 0.02 for\n"
        f"{percent(found['close'])} of them.\n"
    )


def faults_part(result: Figures) -> str:
    """Return a row for each fault."""
    rows = []
    for row in result["faults"]:
        cells = [row["id"], row["basis"], row["trust"], score(row["posted"]), score(row["published"])]
        cells.append(score(row["best"]["score"]))
        if row["compared"] and "whichfix" in row["methods"]:
            first = next(iter(row["whichfix"]["repairs"]), None)
            trainings = [
                number(row["methods"][method]["until_target"]["trainings"]) if method in row["methods"] else ""
                for method in METHODS
                if method != "eliminated"
            ]
            cells += [" + ".join(first["fixes"]) if first else "none", " ".join(row["whichfix"]["labels"]), *trainings]
        else:
            cells += ["nothing to repair", "", *[""] * (len(METHODS) - 1)]
        rows.append(cells)
    header = [
        "fault",
        "labels by",
        "trust",
        "as posted",
        "published fix",
        "best known",
        "whichfix's first set",
        "labels",
    ]
    header += [METHODS[method] for method in METHODS if method != "eliminated"]
    return table(header, rows)


def left_out_part(result: Figures) -> str:
    """Return the faults that are left out, and what was cut of the others."""
    rows = [[name, reason.replace("|", "·")] for name, reason in result["left_out"].items()]
    rows += [[row["id"], "; ".join(row["notes"])] for row in result["faults"] if row["notes"]]
    return table(["fault", "left out, or cut"], rows)


def search_part(result: Figures) -> str:
    """Return all tables of the search benchmark."""
    parts = {
        "Trainings": methods_part(result),
        "A set from which nothing can be dropped": minimal_part(result),
        "Racing": racing_part(result),
        "Diagnosis": diagnosis_part(result),
        "The training": check_part(result),
        "Each fault": faults_part(result),
        "What is left out or cut": left_out_part(result),
    }
    return "\n" + "\n".join(f"### {title}\n\n{content}" for title, content in parts.items()) + "\n"
