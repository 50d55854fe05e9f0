"""A recording as a person sees it: a table of everything that was taken, where it lies, and the next command."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stages.base import console
from stages.config.network import Keras
from stages.config.schema import Case
from stages.config.strict import shorten
from stages.recording import folder as folders
from stages.recording.case import RecordedCase, case_of
from stages.recording.recorded import Recording


def write_case(recording: Recording, name: str, folder: Path, keras: Keras, *, replace: bool) -> Case:
    """Write the case `name` of `recording` into `folder`, and show what it holds.

    Raises
    ------
    UserError
        If something cannot be recorded. Nothing is written then.
    """
    recorded = case_of(recording, name, keras)
    case = folders.put(folder, name, recorded.block, recorded.arrays, replace=replace)
    console.pairs(f"{name}: recorded from {recording.script}", rows(recording, recorded))
    where, data = folders.shortest(folder), recorded.block["data"]["file"]
    console.say(f"wrote the case {name} to {where}/params.yaml and its data to {where}/{data}")
    return case


def rows(recording: Recording, recorded: RecordedCase) -> Iterable[tuple[str, str]]:
    """Yield what was taken, by what it is."""
    content, block = recording.content, recorded.block
    call, posted = content["call"], block["as_posted"]
    text = " ".join(str(content["script"].get("text") or "").split())
    yield "training", f"line {recording.line}: {shorten(text, 120)}"
    if call.get("several"):
        yield "call", str(call["several"])
    elif (call.get("count") or 1) > 1:
        yield "call", f"number {call.get('number', 1)} of {call['count']}"
    if call.get("by"):
        yield "called by", str(call["by"])
    for name, array in recorded.arrays.items():
        if not name.startswith("weights/"):
            yield name, f"{' x '.join(map(str, array.shape))} {array.dtype}"
    yield "task", f"{block['task']}, judged by the {block['judged_by']} split"
    yield "inputs", described(posted.get("inputs", "raw"))
    for name, layer in posted["layers"].items():
        yield f"layer {name}", described({"layer": "Dense", **layer})
    for key in posted:
        if key not in ("inputs", "layers", "shuffle"):
            yield key.replace("_", " "), described(posted[key])
    yield "order", order(posted.get("shuffle", True))
    if content.get("old_names"):
        yield "old names", f"understood as in Keras 3: {', '.join(content['old_names'])}"
    if content.get("partial"):
        yield "note", str(content["partial"])
    for sentence in recorded.said:
        yield "note", sentence


def described(value: Any) -> str:
    """Return settings in words."""
    if not isinstance(value, Mapping):
        return str(value).lower() if isinstance(value, bool) else str(value)
    first = [str(value[key]) for key in ("layer", "name") if key in value]
    others = [f"{key} {nested(each)}" for key, each in value.items() if key not in ("layer", "name")]
    return ", ".join([*first, *others])


def nested(value: Any) -> str:
    """Return a setting in words, in parentheses if it has several."""
    return f"({described(value)})" if isinstance(value, Mapping) else described(value)


def order(shuffle: Any) -> str:
    """Return the order of the training examples in words."""
    if isinstance(shuffle, Mapping):
        return f"as delivered, through a shuffle buffer of {shuffle['buffer']}"
    words = {"batches": "whole batches in a new order per epoch", "True": "shuffled per epoch", "False": "as delivered"}
    return words[str(shuffle)]
