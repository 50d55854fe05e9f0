"""A question of your own -> params.yaml: `python -m stages.case new <name>`, from a script with Keras or by questions.

No stage of the pipeline: it adds a case, and the variant `<name>-as_posted`, whose stages `dvc repro` then runs.
"""

import argparse
import copy
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from rich.console import Console
from rich.markup import escape
from rich.prompt import InvalidResponse, PromptBase
from rich.text import Text
from ruamel.yaml import YAML

from stages.core import errors, params, scripts, snippets, yaml_text
from stages.core.errors import UserError

PARAMS = Path("params.yaml")
# What other names in params.yaml and in results mean already.
TAKEN = ("probe",)
DATASETS = get_args(params.Dataset)
SEMANTICS = get_args(params.RunConfig.model_fields["keras_semantics"].annotation)
FIGURES = get_args(params.Case.model_fields["judged_by"].annotation)
# As each dataset's pixels are: of 0 to 255, and of 0 to 1.
BASELINES: Mapping[str, Mapping[str, float]] = {
    "mnist": {"input_scale": 1 / 255, "C": 1.0, "max_iter": 100},
    "ex4": {"input_scale": 1.0, "C": 1.0, "max_iter": 1000},
}


@dataclass
class Draft:
    """A case that is being made: its name, its block so far, and the content of params.yaml that it is for."""

    name: str
    block: dict[str, Any]
    content: dict[str, Any]

    @property
    def variant(self) -> str:
        """The name of its first variant."""
        return f"{self.name}-as_posted"

    @property
    def point(self) -> dict[str, Any]:
        """Its first variant."""
        return {"case": self.name, "fixes": []}

    def check(self) -> None:
        """Raise the schema's error for params.yaml with this case in it."""
        cases = {**self.content["cases"], self.name: self.block}
        params.validated(
            {**self.content, "cases": cases, "variants": {**self.content["variants"], self.variant: self.point}}
        )


class Question(PromptBase[str]):
    """A question at the terminal, asked until `check` raises no `UserError` for the answer."""

    def __init__(self, prompt: str, check: Callable[[str], None], choices: Sequence[str] | None = None) -> None:
        super().__init__(Text(prompt), choices=list(choices) if choices else None)
        self.check = check

    def process_response(self, value: str) -> str:
        """The answer, or the reason for asking again."""
        answer = value.strip()
        if self.choices is not None and answer not in self.choices:
            raise InvalidResponse(
                escape(f"{scripts.plain(answer) or 'no answer'}; accepted: {', '.join(self.choices)}")
            )
        try:
            self.check(answer)
        except UserError as error:
            raise InvalidResponse(escape(str(error))) from None
        return answer


def ask(
    draft: Draft,
    prompt: str,
    change: Callable[[dict[str, Any], str], None],
    default: str | None = None,
    choices: Sequence[str] | None = None,
) -> None:
    """Ask until `change` makes a block of the answer that the schema accepts, and keep that block.

    Raises
    ------
    UserError
        When the terminal has no more answers.
    """

    def check(answer: str) -> None:
        changed = copy.deepcopy(draft.block)
        change(changed, answer)
        try:
            Draft(draft.name, changed, draft.content).check()
        except UserError as error:
            raise UserError(str(error).removeprefix(f"{PARAMS}: cases.{draft.name}.")) from None

    question = Question(prompt, check, choices)
    try:
        answer = question() if default is None else question(default=default)
    except EOFError:
        raise UserError("a question was left without an answer; nothing is written") from None
    change(draft.block, answer)


def number(answer: str) -> Any:
    """The number, or numbers, that `answer` is.

    Raises
    ------
    UserError
        When it is none.
    """
    value = scripts.constant(answer)
    if value is None:
        raise UserError(f"{scripts.plain(answer) or 'no answer'}; accepted: a number, or arithmetic such as 1/255")
    return value


def ask_network(draft: Draft, semantics: str | None) -> None:
    """Ask for the configuration as posted, key by key."""
    run = params.RunConfig.model_fields

    def setting(key: str, kind: Callable[[str], Any] = str) -> Callable[[dict[str, Any], str], None]:
        def change(block: dict[str, Any], answer: str) -> None:
            block["as_posted"][key] = kind(answer)

        return change

    def hidden(answer: str) -> list[int]:
        values = () if answer.lower() in ("none", "") else number(answer)
        return list(values) if isinstance(values, tuple) else [values]

    def output_units(block: dict[str, Any], answer: str) -> None:
        block["as_posted"]["output_units"] = number(answer)
        if answer == "1":
            # What goes with one output.
            block["as_posted"] |= {"output_activation": "sigmoid", "loss": "binary_crossentropy"}

    def optimizer(block: dict[str, Any], answer: str) -> None:
        if answer == "tnc":
            block["as_posted"] |= {"batch_size": None, "epochs": None}
            block["as_posted"]["optimizer"] = {"name": "tnc", "max_function_calls": 100}
        else:
            block["as_posted"]["optimizer"] = {"name": answer, "learning_rate": snippets.OPTIMIZERS[answer]}

    def inside(key: str, part: str) -> Callable[[dict[str, Any], str], None]:
        def change(block: dict[str, Any], answer: str) -> None:
            block["as_posted"][key][part] = number(answer)

        return change

    def initializer(block: dict[str, Any], answer: str) -> None:
        limit = {"limit": 0.12} if answer == "uniform" else {}
        block["as_posted"]["initializer"] = {"name": answer, **limit}

    pixels = "0 to 255" if draft.block["dataset"] == "mnist" else "about 0 to 1"
    ask(draft, f"What the inputs, of {pixels}, are multiplied by", setting("input_scale", number), "1")
    ask(draft, "Units of the hidden layers, with commas, or none", setting("hidden_units", hidden), "64")
    posted = draft.block["as_posted"]
    if posted["hidden_units"]:
        choices = get_args(run["hidden_activation"].annotation)
        ask(draft, "Activation of the hidden layers", setting("hidden_activation"), "relu", choices)
    ask(draft, "Output units", output_units, str(params.N_CLASSES), (str(params.N_CLASSES), "1"))
    if posted["output_units"] > 1:
        choices = get_args(run["output_activation"].annotation)
        ask(draft, "Activation of the output", setting("output_activation"), "softmax", choices)
        losses = [name for name in get_args(run["loss"].annotation) if name != "binary_crossentropy"]
        ask(draft, "Loss", setting("loss"), "categorical_crossentropy", losses)
    if semantics is None:
        ask(draft, "Losses as which Keras computes them", setting("keras_semantics"), "3", SEMANTICS)
    ask(draft, "Optimizer", optimizer, "adam", (*snippets.OPTIMIZERS, "tnc"))
    if posted["optimizer"]["name"] == "tnc":
        ask(draft, "Function calls at most", inside("optimizer", "max_function_calls"), "100")
    else:
        ask(draft, "Learning rate", inside("optimizer", "learning_rate"), str(posted["optimizer"]["learning_rate"]))
    ask(draft, "How weights are drawn", initializer, "glorot_uniform", ("glorot_uniform", "uniform"))
    if "limit" in posted["initializer"]:
        ask(draft, "From minus how much to as much", inside("initializer", "limit"), "0.12")
    ask(draft, "Penalty on the weights, times the sum of their squares", setting("l2", number), "0")
    if posted["optimizer"]["name"] != "tnc":
        ask(draft, "Examples in a batch", setting("batch_size", number), "32")
        ask(draft, "Epochs", setting("epochs", number), "10")


def read_script(path: Path, width: int | None, semantics: str | None) -> snippets.Snippet:
    """What the script at `path` trains; see `snippets.read`.

    Raises
    ------
    UserError
        When there is no such file, or it is no text of a size to read.
    SystemExit
        With a line for each part of the script that whichfix cannot train.
    """
    shown = scripts.plain(str(path), 300)
    if not path.is_file():
        raise UserError(f"{shown}: {'no file' if path.exists() else 'missing'}; expected a Python script")
    try:
        with path.open("rb") as file:
            content = file.read(snippets.MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{shown}: {error.strerror}; expected a Python script") from None
    if len(content) > snippets.MOST_BYTES:
        raise UserError(f"{shown}:1: more than {snippets.MOST_BYTES} bytes; expected a script of at most that many")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise UserError(f"{shown}:{line}: byte {content[error.start]:#x} is not UTF-8; expected UTF-8") from None
    try:
        return snippets.read(text, width, semantics)
    except snippets.UnreadableError as error:
        sys.exit(
            "\n".join(f"error: {shown}:{one.line}: {one.what}; accepted: {one.accepted}" for one in error.problems)
        )


def ask_key(
    draft: Draft, key: str, prompt: str, default: str | None = None, choices: Sequence[str] | None = None
) -> None:
    """Ask for what stands under `key` in the block of the case."""
    ask(draft, prompt, lambda block, answer: block.update({key: answer}), default, choices)


def write(draft: Draft) -> None:
    """Put the case of `draft` into params.yaml as it is now; all else there keeps its bytes.

    Raises
    ------
    UserError
        When the file cannot take it, or cannot be written; it is then as it was.
    """
    # Through a link, to the file itself.
    path = PARAMS.resolve()
    # Somebody may have edited it while questions were answered.
    loaded = params.load(PARAMS)
    for key, name, there in (("cases", draft.name, loaded.cases), ("variants", draft.variant, loaded.variants)):
        if name in there:
            raise UserError(f"{PARAMS}: {key}.{name}: is there already; expected another name; nothing is written")
    text = path.read_bytes().decode()
    try:
        text = yaml_text.insert(text, "cases", draft.name, draft.block)
        text = yaml_text.insert(text, "variants", draft.variant, draft.point)
    except ValueError as error:
        raise UserError(f"{PARAMS}: {error}; expected cases and variants as blocks; nothing is written") from None
    try:
        # Where a link leads may be another disk, to which nothing can be renamed.
        with TemporaryDirectory(dir=path.parent if PARAMS.is_symlink() else None) as folder:
            candidate = Path(os.path.relpath(Path(folder) / PARAMS.name))
            candidate.write_bytes(text.encode())
            # As every stage will read it.
            params.load(candidate)
            candidate.chmod(stat.S_IMODE(path.stat().st_mode))
            candidate.replace(path)
    except UserError as error:
        raise UserError(str(error).replace(str(candidate), str(PARAMS), 1)) from None
    except OSError as error:
        raise UserError(f"{PARAMS}: {error.strerror}; mend that, then run this again") from None


def summary(draft: Draft, snippet: snippets.Snippet | None, loaded: params.Params, width: int) -> list[str]:
    """What was written, what of it nobody said, and what to do next."""
    run = params.RunConfig.model_validate(draft.block["as_posted"])
    optimizer = ", ".join(str(value) for value in run.optimizer.model_dump().values())
    trained = f"{run.epochs} epochs in batches of {run.batch_size}" if run.epochs else "on all examples at once"
    activations = (*(run.hidden_activation for _ in run.hidden_units[:1]), run.output_activation)
    lines = [
        f"{PARAMS}: added cases.{draft.name} and variants.{draft.variant}",
        f"network: {'-'.join(map(str, (width, *run.hidden_units, run.output_units)))}, {' and '.join(activations)}; "
        f"inputs times {run.input_scale:.6g}; l2 {run.l2:g}",
        f"training: {run.loss} as of Keras {run.keras_semantics}; {optimizer}; {trained}",
    ]
    if snippet:
        other = next(value for value in SEMANTICS if value != run.keras_semantics)
        lines.append(f"keras_semantics {run.keras_semantics}: {snippet.semantics} (else --keras-semantics {other})")
        lines.append(f"by default: {', '.join(snippet.assumed) or 'nothing'}")
        lines += validation(snippet, draft.block["dataset"], loaded.datasets)
    lines.append(f"next: dvc repro; then the fixes to measure, under cases.{draft.name}.fixes")
    return lines


def validation(snippet: snippets.Snippet, dataset: str, datasets: params.Datasets) -> list[str]:
    """A line where the script is trained on other examples than it says."""
    held = datasets.mnist.validation_split if dataset == "mnist" else None
    if snippet.validation_split == held and (held or not snippet.validation):
        return []
    said = snippet.validation or "no validation_split"
    how = f"datasets.mnist.validation_split, {held:g}" if held else "all training examples, as dataset ex4 has them"
    return [f"not as in the script, which has {said}: {how}"]


def new(arguments: argparse.Namespace) -> None:
    """Add the case that `arguments` name to params.yaml, and say so.

    Raises
    ------
    UserError
        When it cannot be added; params.yaml is then as it was.
    """
    loaded = params.load(PARAMS)
    content = YAML(typ="safe", pure=True).load(PARAMS.read_bytes().decode())
    # Its owner's bit too: root may write what is meant to stay.
    if not PARAMS.stat().st_mode & stat.S_IWUSR or not os.access(PARAMS, os.W_OK):
        raise UserError(f"{PARAMS}: read-only; expected a file that can be written; nothing is written")
    name = arguments.name
    if name in loaded.cases:
        raise UserError(f"{PARAMS}: cases.{name}: is there already; expected another name")
    if name in TAKEN:
        raise UserError(f"{name}: means something else in {PARAMS} already; expected another name")
    options = {key: getattr(arguments, key) for key in ("dataset", "title", "source")}
    given = {key: value for key, value in options.items() if value is not None}
    missing = [key for key in options if key not in given]
    if not sys.stdin.isatty():
        needed = [*([] if arguments.script else ["--from"]), *(f"--{key}" for key in missing)]
        if needed:
            raise UserError(f"{', '.join(needed)}: missing, and standard input is no terminal to ask at; give it")

    block: dict[str, Any] = {
        "title": name,
        "source": "https://example.org",
        "dataset": DATASETS[0],
        "judged_by": arguments.judged_by,
        "as_posted": copy.deepcopy(snippets.DEFAULTS),
        "fixes": {},
        "baselines": {},
    }
    draft = Draft(name, block | given, content)
    # Before anything is asked: the name and what was given.
    draft.check()
    widths = {"mnist": params.MOST_PIXELS, "ex4": loaded.datasets.ex4.side**2}
    snippet = None
    if arguments.script:
        snippet = read_script(arguments.script, widths.get(given.get("dataset", "")), arguments.keras_semantics)
        draft.block["as_posted"] = snippet.run
    if "dataset" in missing:
        fitting = [name for name in DATASETS if snippet and widths[name] == snippet.width] or DATASETS[:1]
        ask_key(draft, "dataset", "Dataset", fitting[0], DATASETS)
        if arguments.script:
            # It has to fit the dataset too.
            read_script(arguments.script, widths[draft.block["dataset"]], arguments.keras_semantics)
    if "title" in missing:
        ask_key(draft, "title", "Title, in one line", name.replace("_", " "))
    if "source" in missing:
        ask_key(draft, "source", "Address of the question")
    dataset = draft.block["dataset"]
    if snippet is None:
        draft.block["as_posted"]["keras_semantics"] = arguments.keras_semantics or "3"
        ask_network(draft, arguments.keras_semantics)
    draft.block["baselines"] = {"logistic_regression": dict(BASELINES[dataset])}
    # Numbers in the type that the schema has: 1 is 1.0 where it is a factor.
    run = params.RunConfig.model_validate(draft.block["as_posted"])
    draft.block["as_posted"] = {key: _listed(value) for key, value in run.model_dump().items()}
    write(draft)
    console = Console(soft_wrap=True)
    for line in summary(draft, snippet, loaded, widths[dataset]):
        console.print(Text(line))


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def main() -> None:
    """Add a case to params.yaml."""
    parser = argparse.ArgumentParser(prog="python -m stages.case", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="new")
    command = commands.add_parser("new", help="add a case to params.yaml", description=__doc__)
    command.add_argument("name", help="of the case: letters, digits and _")
    command.add_argument(
        "--from", dest="script", type=Path, metavar="FILE", help="a script with Keras: it is read, never run"
    )
    command.add_argument("--dataset", choices=DATASETS, help="what it is trained on")
    command.add_argument("--title", help="one line about the question")
    command.add_argument("--source", help="its address, https://...")
    command.add_argument("--judged-by", choices=FIGURES, default="test_accuracy", help="(default: %(default)s)")
    command.add_argument(
        "--keras-semantics", choices=SEMANTICS, help="whose losses (default: what the script looks like)"
    )
    new(parser.parse_args())


if __name__ == "__main__":
    errors.run(main, timed=False)
