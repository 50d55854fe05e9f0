"""The answer of a measured case at the terminal: which lines to change, and what each change is worth.

python -m stages answer my_case
"""

import argparse
from collections.abc import Iterator
from contextlib import chdir

from stages.analysis import results
from stages.analysis.results import CaseResult
from stages.base import console, files
from stages.base.errors import UserError
from stages.page.answer_view import Answer, answer_view, change_text, score_text, today_first
from stages.recording import folder as folders


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser("python -m stages answer", description=(__doc__ or "").splitlines()[0])
    found.add_argument("--folder", metavar="PATH", help="the folder of the case (default: this one, or else mine/)")
    found.add_argument("--script", action="store_true", help="print the whole repaired script instead")
    found.add_argument("name", help="the name of the case")
    return found


def main(*arguments: str) -> None:
    """Print the answer of a case.

    Raises
    ------
    UserError
        If the case is unknown or not measured yet.
    """
    options = parser().parse_args(arguments)
    with chdir(folders.of_case(options.name, options.folder)):
        if not files.result_path(options.name).is_file():
            raise UserError(f"{files.result_path(options.name)} is missing; run dvc repro")
        result = results.read(options.name)
    answer = answer_view(result, today_first(result.keras)[0])
    if options.script:
        print(answer.repaired or answer.posted, end="")
    else:
        show(result, answer)


def show(result: CaseResult, answer: Answer) -> None:
    """Print `answer`."""
    console.say(f"{result.case}: {result.title}\n")
    console.text(answer.sentence)
    console.say("")
    if answer.diff:
        console.say("The lines of the script that change:\n")
        console.changes(answer.diff)
        console.say("")
    if answer.fixes:
        console.text(f"It repairs the network {answer.seeds}. What is lost without each change:")
        console.pairs("", ((row.name, f"{change_text(result, row.worth)}. {row.why}") for row in answer.fixes))
    console.pairs("What was tried", tried(result, answer))
    if remarks := [("misleading", text) for text in answer.misleading] + [("data", text) for text in answer.warnings]:
        console.pairs("Take care", remarks)


def tried(result: CaseResult, answer: Answer) -> Iterator[tuple[str, str]]:
    """Yield what was found beside the answer."""
    yield "trained", answer.tried
    for other in answer.others:
        yield "also repairs", f"{', '.join(other.fixes)}: {score_text(result, other.score.mean)}, {other.seeds}"
    for group in answer.equivalents:
        yield "one is enough", " or ".join(f"{name} ({answer.words[name]})" for name in group)
    for title, names in (
        ("nothing alone", answer.idle),
        ("costs score", answer.harmful),
        ("not tried", answer.untried),
    ):
        if names:
            yield title, ", ".join(names)
    for sentence in answer.otherwise:
        yield "otherwise", sentence
