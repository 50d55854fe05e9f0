from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stages.core import yaml_text

TEXT = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")
VALUE: dict[str, Any] = {
    "title": "A: title, with # and 'quotes'",
    "as_posted": {"hidden_units": [64, 32], "initializer": {"name": "glorot_uniform"}, "keras_semantics": "2.2"},
    "fixes": {},
    "scale": 1 / 255,
}


def parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def added(before: str, after: str) -> str:
    """What `after` has more than `before` in one place, all else the same."""
    start = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before))
    more = len(after) - len(before)
    assert after[:start] + after[start + more :] == before
    return after[start : start + more]


def test_every_byte_of_params_yaml_is_kept_and_the_entry_is_the_last_of_its_mapping() -> None:
    cases = yaml_text.insert(TEXT, "cases", "mine", VALUE)
    added(TEXT, cases)
    both = yaml_text.insert(cases, "variants", "mine-as_posted", {"case": "mine", "fixes": []})
    assert added(cases, both) == "  mine-as_posted: {case: mine, fixes: []}\n"
    assert list(parsed(both)["cases"])[-1] == "mine"
    assert list(parsed(both)["variants"])[-1] == "mine-as_posted"


def test_the_entry_has_the_style_of_the_file() -> None:
    lines = [
        "  mine:",
        "    title: \"A: title, with # and 'quotes'\"",
        "    as_posted:",
        "      hidden_units: [64, 32]",
        "      initializer: {name: glorot_uniform}",
        '      keras_semantics: "2.2"',
        "    fixes: {}",
        "    scale: 0.00392156862745098",
    ]
    assert "\n\n" + "\n".join(lines) + "\n\n# A point of a case" in yaml_text.insert(TEXT, "cases", "mine", VALUE)


def test_a_block_that_is_there_is_written_as_it_is() -> None:
    posted = parsed(TEXT)["cases"]["ex4"]["as_posted"]
    assert yaml_text.block("as_posted", posted).replace("\n", "\n    ").strip() in TEXT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cases: {a: {x: 1}, b: [1, 2],  # c\n }\nz: 1\n", ', "n": {"p": {"q": 1}, "r": "s"}'),
        ("cases:\n a:\n  x: 1 # c\n  # own\n\n # own too\n\n# other\nz: 1", "\n n:\n   p: {q: 1}\n   r: s\n"),
        ("cases:\n  a: {x: 1}\n  b: {x: 1}\nz: 1\n", "  n:\n    p: {q: 1}\n    r: s\n"),
        ("y: &x {q: 1}\ncases:\n  a: *x  # of y\n\nz: 1", "\n  n:\n    p: {q: 1}\n    r: s\n"),
        ("cases:\n    a:\n        - 1\n        - {b: c}", "\n\n    n:\n      p: {q: 1}\n      r: s\n"),
        ("cases:\r\n  a:\r\n    b: 1\r\nz: 2\r\n", "\r\n  n:\r\n    p: {q: 1}\r\n    r: s\r\n"),
        ("? cases\n: a: {}\nz: {}\n", "\n  n:\n    p: {q: 1}\n    r: s\n"),
        ("é: 数字\ncases:\n  a:\n    b: >-\n      c\n\n      d\nz: 1\n", "\n  n:\n    p: {q: 1}\n    r: s\n"),
        ("{cases: {a: 1}}", ', "n": {"p": {"q": 1}, "r": "s"}'),
    ],
)
def test_other_styles_take_the_entry_too(text: str, expected: str) -> None:
    changed = yaml_text.insert(text, "cases", "n", {"p": {"q": 1}, "r": "s"})
    assert len(changed) == len(text) + len(expected)
    assert expected.strip() in changed
    assert parsed(changed)["cases"]["n"] == {"p": {"q": 1}, "r": "s"}
    assert {**parsed(changed), "cases": None} == {**parsed(text), "cases": None}


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "[cases]", "cases: 1", "cases: {}", "cases:\n", "z: {cases: {a: 1}}", "cases: [a]"),
        "x: &x {a: 1}\ncases: *x",
        # The entry would be in two places.
        "cases: &a\n  a: 1\nz: *a\n",
    ],
)
def test_where_no_entry_can_be_put_nothing_is(text: str) -> None:
    with pytest.raises(ValueError, match="cases is"):
        yaml_text.insert(text, "cases", "n", {"p": 1})


@settings(deadline=None)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text("ab:#'\" -{}[],é\n1.e")),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("pqr"), inner, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_is_put_in_is_read_again(value: Any) -> None:
    text = "cases:\n  a: {b: 1}  # c\n# d\nz: 1\n"
    changed = yaml_text.insert(text, "cases", "n", {"value": value})
    assert parsed(changed)["cases"]["n"] == {"value": value}
    added(text, changed)
