"""A case or a fix is put into the text of params.yaml, and every other byte stays."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.base.errors import UserError
from stages.config import load
from stages.recording import block

CASE: dict[str, Any] = {
    "title": "It's: a case # of 'quotes'",
    "task": "binary",
    "data": {"file": "data/own/a.npz", "given": ["validation"]},
    "as_posted": {
        "layers": {"on": {"units": 3, "activation": "relu"}, "drop": {"layer": "Dropout", "rate": 1e-05}},
        "loss": "mse",
        "optimizer": {"name": "adam", "learning_rate": 0.001},
        "class_weight": {0: 1.0, 1: 2.0},
    },
    "fixes": {},
}
FIXES = {"wider": {"why": "More: units.", "set": {"layers.on": {"units": 9}}}, "slow": {"why": "Why.", "set": {"a": 1}}}
# Files as people may have them.
TEXTS = [
    "seeds: [1]\ncases: {}\n",
    "cases:\n",
    "cases:",
    "cases: ",
    "cases: {} # none yet",
    "cases: ~\n",
    "cases: null # c\r\n",
    "cases: # nothing yet\n",
    "cases: {\n}\n",
    "\n# head\nseeds: [1]   # s\r\ncases:\r\n  x: {a: 1} # c\r\n  y:\r\n    q: 1\r\n# end\r\n",
    "\ufeffcases:\n  a: 1",
    "cases:\n    a:\n      t: |\n        foo\n\n    b: 1   \n...\n",
    "{a: 1, cases: {}}",
    "cases: {a: 1,\n b: 2, # c\n}\n",
    '{"seeds": [1], "cases": {"x": {"t": [1]}\n}}',
    "cases:\n   a: 1\n   # a comment of a\n\n\n",
    "---\ncases:\n  a: 1\n",
    "cases:\n  a:\n    - 1\n    - 2\n  b:\n",
    "cases:\n  'a b':\n    \"x\": 'two\n\n      lines'\n",
    "cases:\n\ta: 1\n",  # a tab
]


def kept(before: str, after: str) -> bool:
    """Return whether `after` has every character of `before` in order, except an empty value of `cases`."""
    characters = iter(after)
    return all(each in characters for each in re.sub(r"(?<=cases:) *({\s*}|~|null)?", "", before))


@pytest.mark.parametrize("text", TEXTS)
def test_a_case_is_added_and_replaced_and_nothing_else_changes(text: str) -> None:
    try:
        before = load.parsed(text.encode())
    except UserError:
        with pytest.raises(UserError):
            block.with_case(text, "new", CASE)
        return
    added = block.with_case(text, "new", CASE)
    assert kept(text, added)
    expected = {**before, "cases": {**(before["cases"] or {}), "new": CASE}}
    assert load.parsed(added.encode()) == expected
    assert ("\r\n" in text) == ("\r\n" in added)
    with pytest.raises(UserError, match=r"cases\.new exists; expected another name, or --replace"):
        block.with_case(added, "new", CASE)
    replaced = block.with_case(added, "new", {**CASE, "title": "Other"}, replace=True)
    assert load.parsed(replaced.encode())["cases"]["new"]["title"] == "Other"
    # Replaced by itself, the text is the same byte for byte.
    assert block.with_case(replaced, "new", CASE, replace=True) == added


@pytest.mark.parametrize("text", TEXTS[:-1])
def test_fixes_are_added_to_a_case_one_after_the_other(text: str) -> None:
    before = block.with_case(block.with_case(text, "new", CASE), "last", CASE)
    after = block.with_fixes(before, "new", FIXES)
    found = load.parsed(after.encode())["cases"]
    assert list(found["new"]["fixes"].items()) == list(FIXES.items())
    assert found["last"] == CASE
    again = block.with_fixes(after, "new", {"third": {"why": "W.", "set": {"b": 1}}})
    assert list(load.parsed(again.encode())["cases"]["new"]["fixes"]) == ["wider", "slow", "third"]


def test_a_case_stands_as_a_person_would_write_it() -> None:
    assert block.with_fixes(block.with_case("cases:\n  a: 1 # comment\n", "new", CASE), "new", FIXES) == (
        "cases:\n"
        "  a: 1 # comment\n"
        "  new:\n"
        """    title: "It's: a case # of 'quotes'"\n"""
        "    task: binary\n"
        "    data: {file: data/own/a.npz, given: [validation]}\n"
        "    as_posted:\n"
        "      layers:\n"
        "        on: {units: 3, activation: relu}\n"
        "        drop: {layer: Dropout, rate: 1e-05}\n"
        "      loss: mse\n"
        "      optimizer: {name: adam, learning_rate: 0.001}\n"
        "      class_weight: {0: 1.0, 1: 2.0}\n"
        "    fixes:\n"
        "      wider:\n"
        "        why: 'More: units.'\n"
        "        set: {layers.on: {units: 9}}\n"
        "      slow:\n"
        "        why: Why.\n"
        "        set: {a: 1}\n"
    )


def test_comments_and_blank_lines_around_a_replaced_case_stay() -> None:
    text = "cases:\n  # of a\n  a:\n    x: 1\n\n  # of b\n  b: {y: 2}  # beside\n\n# end"
    replaced = block.with_case(text, "a", {"x": 3}, replace=True)
    assert replaced == "cases:\n  # of a\n  a:\n    x: 3\n\n  # of b\n  b: {y: 2}  # beside\n\n# end"


@pytest.mark.parametrize("text", ["seeds: [1]\n", "cases: 3\n", "cases: [1]\n", "[1]\n", "cases: *a\n", "a: [\n"])
def test_a_file_without_a_mapping_of_cases_is_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        block.with_case(text, "new", CASE)
    assert "\n" not in str(caught.value)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
KEYS = st.text("abcxyz_019-", min_size=1, max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


@settings(deadline=None)  # the first example imports what the others have
@given(old=st.dictionaries(KEYS, VALUES, max_size=3), new=st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_any_case_beside_any_case_is_put_in_whole_or_refused(old: dict[str, Any], new: dict[str, Any]) -> None:
    text = f"cases:\n{block.block('old', {'x': old}, 2)}"
    try:
        if load.parsed(text.encode()) != {"cases": {"old": {"x": old}}}:
            return
        added = block.with_case(text, "new", new)
    except UserError:
        return
    assert added.startswith(text)
    assert load.parsed(added.encode()) == {"cases": {"old": {"x": old}, "new": new}}
