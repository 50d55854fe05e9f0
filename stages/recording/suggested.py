"""Suggested fixes for a case of a folder: prepare its data, train it once, ask the rules, write blocks, show them."""

import tempfile
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from stages.base import console, files
from stages.base.errors import UserError
from stages.config import fixes as fixing
from stages.config import load
from stages.config.fixes import Fix
from stages.config.network import PostedNetwork
from stages.config.planned import Configuration
from stages.config.resolve import under
from stages.config.schema import AS_POSTED, MOST_FIXES, Case, Execution
from stages.data import prepared
from stages.data.prepared import Prepared
from stages.data.recipes import prepare
from stages.diagnosis.data_warnings import warnings
from stages.diagnosis.look import Suggestion
from stages.diagnosis.misleading import misleading
from stages.diagnosis.rules import compatible, resolved, suggest
from stages.recording import block
from stages.recording import folder as folders

# The training for symptoms ends after so many steps, and after about so many products of a weight and an example.
MOST_STEPS = 20_000
MOST_PRODUCTS = 2e11


@dataclass(frozen=True)
class Suggested:
    """The advice of the rules for a case: new fixes, those that the case has already, and remarks as kind and sentence.

    `refusal` is Keras's reason if it refuses the network as posted.
    """

    case: Case
    new: tuple[Suggestion, ...]
    known: tuple[str, ...]
    misleading: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, str], ...]
    refusal: str | None


def suggestions(folder: Path, name: str, *, training: bool) -> Suggested:
    """Return what the rules suggest for the case `name` of `folder`.

    With `training`, the case as posted is trained once, and shortly, unless its run is there already.

    Raises
    ------
    UserError
        If there is no such case, or its data cannot be read.
    """
    with chdir(folder):
        params = load.read()
        if name not in params.cases:
            raise UserError(f"{files.PARAMS}: no case {name}; expected one of: {', '.join(params.cases)}")
        case = params.cases[name]
        data, _ = prepare(case.data, case.task)
        run = (stored(name, case, params.seeds[0], data) or trained(case, params.seeds[0], data)) if training else {}
    found = suggest(case, data, run.get("symptoms") or None)
    new = tuple(fresh(case, found))[: MOST_FIXES - len(case.fixes)]
    return Suggested(
        case=case,
        new=new,
        known=tuple(each.name for each in found if each.name in case.fixes),
        misleading=tuple(
            misleading(case.task, case.as_posted, data, run.get("keras_accuracy"), run.get("scores"), None)
        ),
        warnings=tuple(warnings(case.task, data, None, None)),
        refusal=run.get("refusal"),
    )


def fresh(case: Case, found: list[Suggestion]) -> Iterator[Suggestion]:
    """Yield the suggestions that are not fixes of `case` yet, by name or by what they do, and agree with its fixes."""
    results = [resolved(case.as_posted, {name: fix}) for name, fix in case.fixes.items()]
    there = [Suggestion(name, fix, "", False) for name, fix in case.fixes.items()]
    for each in compatible(case.as_posted, [*there, *found]):
        if each.name not in case.fixes and resolved(case.as_posted, {each.name: each.fix}) not in results:
            yield each


def stored(name: str, case: Case, seed: int, data: Prepared) -> dict[str, Any] | None:
    """Return what the run file of `case` as posted says, None if it is missing or not up to date."""
    path = files.run_path(name, AS_POSTED, seed)
    if not path.is_file():
        return None
    from stages.training import runs

    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary, "data.npz")
        prepared.write(copy, data)
        facts = runs.facts_of(configuration(case.as_posted, case, seed), seed, files.sha256(copy))
    try:
        run = runs.read(path)
    except UserError:
        return None
    return described(run) if run.facts["key"] == facts["key"] else None


def trained(case: Case, seed: int, data: Prepared) -> dict[str, Any]:
    """Return what a short training of `case` as posted says."""
    network = shortened(case.as_posted, data)
    if network is None:
        return {}
    # It takes a second to import, and TensorFlow in a worker takes several.
    from stages.training import pool, runs

    console.say("training the network as posted once, to see what goes wrong")
    task = pool.Task(configuration(network, case, seed), seed)
    with pool.opened(data, Execution(backend="loky", workers=1)) as train_all:
        (ended,) = train_all([task])
    if isinstance(ended.run, runs.Refusal):
        return {"refusal": ended.run.reason}
    whole = network == case.as_posted
    return described(ended.run) if whole else {"symptoms": described(ended.run)["symptoms"]}


def described(run: Any) -> dict[str, Any]:
    """Return what of a run is looked at."""
    return {
        "symptoms": run.symptoms,
        "scores": run.scores,
        "keras_accuracy": run.keras_accuracy,
    }


def configuration(network: PostedNetwork, case: Case, seed: int) -> Configuration:
    """Return the configuration of `case` as posted."""
    return Configuration(
        folder=AS_POSTED, fixes=(), network=under(network, case.keras[0]), subset=None, seeds=(seed,)
    )  # fmt: skip


def shortened(posted: PostedNetwork, data: Prepared) -> PostedNetwork | None:
    """Return `posted` with fewer epochs, if it takes long; None if one epoch takes too long."""
    rows = len(data.y["train"])
    widths = [int(data.x["train"][0].size), *(layer["units"] for layer in posted.dense)]
    weights = sum(before * after for before, after in pairwise(widths))
    if posted.by_tnc:
        calls = posted.optimizer["max_function_calls"]
        fewer = max(1, min(calls, int(MOST_PRODUCTS / (rows * weights))))
        return fixing.apply(posted, {}, {"optimizer.max_function_calls": fewer})
    steps = posted.steps_per_epoch or -(-rows // (posted.batch_size or rows))
    products = steps * (posted.batch_size or rows) * weights
    most = min(MOST_STEPS // steps, int(MOST_PRODUCTS / products))
    return fixing.apply(posted, {}, {"epochs": min(posted.epochs or 1, most)}) if most else None


def as_block(fix: Fix) -> dict[str, Any]:
    """Return a fix as params.yaml has it."""
    content = fix.model_dump(exclude_defaults=True)
    if fix.multiply:
        content["multiply"] = {path: int(by) if by == int(by) else by for path, by in fix.multiply.items()}
    if fix.remove:
        content["remove"] = list(fix.remove)
    order = ("why", "set", "multiply", "insert", "remove", "source")
    return {key: content[key] for key in order if key in content}


def write(folder: Path, name: str, new: tuple[Suggestion, ...]) -> None:
    """Write new fixes at the end of the fixes of the case `name`; every other byte of params.yaml stays.

    Raises
    ------
    UserError
        If the file with the fixes is refused. Nothing is written then.
    """
    if not new:
        return
    path = folder / files.PARAMS
    text = block.with_fixes(path.read_bytes().decode(), name, {each.name: as_block(each.fix) for each in new})
    load.validated(load.parsed(text.encode()), Path(folders.shortest(path)))
    files.replace_bytes(path, text.encode())


def changes(fix: Fix) -> str:
    """Return in words what a fix changes."""
    said = [f"{path}: {block.flow(value)}" for path, value in fix.set.items()]
    said += [f"{path} x {factor:g}" for path, factor in fix.multiply.items()]
    for layer, settings in fix.insert.items():
        side = "after" if "after" in settings else "before"
        said.append(f"{settings.get('layer', 'Dense')} {layer} {side} {settings[side]}")
    return ", ".join([*said, *(f"without {layer}" for layer in fix.remove)])


def show(name: str, found: Suggested) -> None:
    """Print the new fixes, what they change and why, then remarks."""
    if found.refusal:
        console.say(f"Keras refuses the network as posted: {found.refusal}")
    fixes = {**found.case.fixes, **{each.name: each.fix for each in found.new}}
    rows = [(fix, changes(fixes[fix]), fixes[fix].why) for fix in (*found.known, *(each.name for each in found.new))]
    console.texts(f"{name}: suggested fixes", ("fix", "what it changes", "why"), rows)
    remarks("numbers that mislead", found.misleading)
    remarks("data that no fix repairs", found.warnings)


def remarks(title: str, rows: tuple[tuple[str, str], ...]) -> None:
    """Print remarks below a title."""
    if rows:
        console.pairs(title, [(kind.replace("_", " "), text) for kind, text in rows])


def add(folder: Path, name: str, *, training: bool = True) -> Suggested:
    """Write the suggested fixes of the case `name` into `folder`, and return what there was to say."""
    found = suggestions(folder, name, training=training)
    write(folder, name, found.new)
    return found


def next_command(folder: Path) -> str:
    """Return the command that measures the cases of `folder`, in a sentence."""
    where = folders.shortest(folder)
    return "next: dvc repro" if where == "." else f"next: cd {where} && dvc repro"


def add_to_new(folder: Path, name: str) -> None:
    """Write the suggested fixes of a case that was just recorded, and say so in short.

    The case stays without them if something goes wrong.
    """
    try:
        found = add(folder, name)
    except UserError as error:
        console.say(f"no fixes are suggested: {error}")
        return
    if found.refusal:
        console.say(f"Keras refuses the network as posted: {found.refusal}")
    if found.new:
        path = folders.shortest(folder / files.PARAMS)
        console.say(
            f"wrote {len(found.new)} suggested fixes to {path}; this shows them: python -m stages suggest {name}"
        )
    for _, text in (*found.misleading, *found.warnings):
        console.say(f"note: {text}")
