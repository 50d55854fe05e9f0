import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages.core import evaluation, findings, pages, params, statistics
from stages.core.pages import Axis, Results

MARKUP = "<script>alert('&')</script>"
FIXES = "abcde"


def one_case(settings: params.Params, n_fixes: int, *, seeds: list[int], title: str = "A title") -> params.Params:
    """params.yaml with ex4 alone and its first fixes, named a, b, ...; where there is one, with two variants more."""
    content = settings.model_dump(mode="json")
    case = content["cases"]["ex4"]
    chosen = list(case["fixes"].values())[:n_fixes]
    case |= {"title": title, "fixes": dict(zip(FIXES, chosen, strict=False)), "published": case["published"][:1]}
    content |= {"cases": {"ex4": case}, "seeds": seeds, "variants": {"ex4-as_posted": {"case": "ex4", "fixes": []}}}
    if n_fixes:
        content["variants"]["ex4-fixed"] = {"case": "ex4", "fixes": list(FIXES[:n_fixes])}
        content["variants"]["ex4-one"] = {"case": "ex4", "fixes": ["a"], "seeds": [seeds[0]]}
    return params.Params.model_validate(content)


def results_of(parameters: params.Params, accuracies: np.ndarray, *, finite: bool = True) -> Results:
    """Made-up results of `parameters`; `accuracies` [2^k, seeds] are those of the cells."""
    seeds, fixes = parameters.seeds, list(parameters.cases["ex4"].fixes)
    random = np.random.default_rng(0)
    losses = random.uniform(1, 2, 4) if finite else [1.0, np.nan, np.inf, np.nan]
    names = [*parameters.variants, *(f"ex4-{baseline}" for baseline in parameters.cases["ex4"].baselines)]
    metrics: dict[str, dict[str, Any]] = {}
    for name in names:
        own = seeds if name not in parameters.variants else parameters.seeds_of(name)
        entry = statistics.per_seed(own, random.uniform(0, 1, len(own)) if finite else [np.nan] * len(own))
        sampled: dict[str, Any] = {**entry, "sampling": {"low": 0.1, "high": 0.2}}
        metrics[name] = {"train_accuracy": sampled, "test_accuracy": sampled, "gain": entry, "train_gain": entry}
        metrics[name] |= {"diverged": 0.0 if finite else 1.0}
    curves = pd.DataFrame(
        [
            (name, figure, epoch, *[losses[epoch % 4]] * 3)
            for name in names
            for figure in ("accuracy", "loss")
            for epoch in (1, 2, 3)
        ],
        columns=["variant", "figure", "epoch", "mean", "low", "high"],
    )
    pictures: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(("ex4-as_posted", evaluation.fixed_variant(parameters, "ex4"))):
        pictures |= {f"{name}.misread": random.integers(0, 256, (2, 4, 4)).astype(np.uint8)}
        pictures |= {f"{name}.label": np.array([1, 2]), f"{name}.answer": np.array([3, 4])}
        pictures |= {f"{name}.confidence": np.array([0.9, 0.8]), f"{name}.largest_weight": np.array(0.5)}
        pictures |= {f"{name}.units": random.integers(1, 256, (5, 4, 4)).astype(np.uint8)}
    rows = [
        ["ex4", *(bool(row >> bit & 1) for bit in range(len(fixes))), seed, value, value, 1.0, not finite]
        for row, values in enumerate(accuracies)
        for seed, value in zip(seeds, values, strict=True)
    ]
    columns = ["case", *fixes, "seed", "train_accuracy", "test_accuracy", "final_loss", "diverged"]
    effects = statistics.effects(fixes, accuracies, 0)
    reference = {"case": "ex4", "claim": MARKUP, "published": 0.1, "measured": 0.1 if finite else np.nan}
    reference |= {"tolerance": 0.05, "agrees": finite, "source": MARKUP, "name": "ex4-as_posted", "figure": "accuracy"}
    probe = {
        "case": "ex4",
        "zeros": 10,
        "examples": 100,
        "seeds": 2,
        "mean": 0.9,
        "low": 0.8,
        "high": 1.0,
        "answer_zero": 1,
    }
    return Results(
        metrics=metrics,
        references=pd.DataFrame([reference]),
        probe=pd.DataFrame([probe]),
        curves={"ex4": curves},
        confusion={name: random.integers(0, 5, (10, 10)) for name in names},
        pictures=pictures,
        digests={"ex4": {"x_test": {"dtype": "float32", "shape": [3, 4], "sha256": "ab" * 32}}},
        cells={"ex4": pd.DataFrame(rows, columns=columns)},
        effects={"ex4": {"train_accuracy": effects, "test_accuracy": effects}},
    )


def cells_of(n_fixes: int, n_seeds: int) -> np.ndarray:
    """Accuracies that rise with the number of fixes."""
    sizes = np.array([row.bit_count() for row in range(2**n_fixes)])
    noise = np.random.default_rng(1).uniform(0, 0.01, (2**n_fixes, n_seeds))
    return np.round(0.1 + 0.8 * sizes[:, None] / max(n_fixes, 1) - noise, 4)


class Page(HTMLParser):
    """What a page is made of: its elements with their attributes, and the text that a reader sees."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text.append(data)

    def attributes(self, *names: str) -> Iterator[tuple[str, str]]:
        for tag, attributes in self.elements:
            for name in names:
                if name in attributes:
                    yield tag, attributes[name] or ""


def page_of(settings: params.Params, n_fixes: int = 2, n_seeds: int = 2, **options: Any) -> str:
    finite = options.pop("finite", True)
    parameters = one_case(settings, n_fixes, seeds=list(range(n_seeds)), **options)
    return pages.page(
        parameters, results_of(parameters, cells_of(n_fixes, n_seeds), finite=finite), lambda: "let runtime;"
    )


def test_the_page_is_the_same_each_time(settings: params.Params) -> None:
    assert page_of(settings) == page_of(settings)


@pytest.mark.parametrize("finite", [True, False])
@pytest.mark.parametrize("n_seeds", [1, 2])
@pytest.mark.parametrize("n_fixes", [0, 1, 2, 3, 5])
def test_any_number_of_fixes_one_seed_and_diverged_runs_make_a_sound_page(
    settings: params.Params, n_fixes: int, n_seeds: int, finite: bool
) -> None:
    page = Page(page_of(settings, n_fixes, n_seeds, finite=finite))
    assert page.open == []
    ids = [name for _, name in page.attributes("id")]
    assert len(ids) == len(set(ids))
    assert {name.removeprefix("#") for _, name in page.attributes("href") if name.startswith("#")} <= set(ids)
    assert all(tag != "img" or attributes.get("alt") for tag, attributes in page.elements)
    seen = re.sub(r"\s+", " ", " ".join(page.text))
    assert not re.search(r"\b(nan|inf|None)\b", seen)
    assert ("not finite" in seen) == (not finite)
    assert ("interval" in seen.split("All results")[0]) == (n_seeds > 1 and n_fixes > 0)


def test_every_heading_is_one_level_below_the_one_that_it_belongs_to(settings: params.Params) -> None:
    levels = [int(tag[1]) for tag, _ in Page(page_of(settings)).elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_every_table_says_what_it_is_and_what_its_cells_belong_to(settings: params.Params) -> None:
    page = page_of(settings)
    assert page.count("<table") == page.count("<caption") > 8
    assert all("scope" in attributes for tag, attributes in Page(page).elements if tag == "th")


def test_text_of_params_is_escaped_wherever_it_stands(settings: params.Params) -> None:
    content = one_case(settings, 2, seeds=[0, 1], title=MARKUP).model_dump(mode="json")
    content["cases"]["ex4"]["source"] = "https://x/?a=1&copy='onclick='b"
    content["cases"]["ex4"]["fixes"]["a"]["why"] = MARKUP
    parameters = params.Params.model_validate(content)
    text = pages.page(parameters, results_of(parameters, cells_of(2, 2)), str)
    assert MARKUP not in text
    page = Page(text)
    assert [tag for tag, _ in page.elements].count("script") == 3
    # The title twice, the reason; the claim and who claims it.
    assert " ".join(page.text).count("alert('&')") >= 5
    assert "https://x/?a=1&copy='onclick='b" in [address for _, address in page.attributes("href")]
    assert not list(page.attributes("onclick"))


def test_no_text_of_a_chart_ends_the_script_that_holds_it() -> None:
    held = (
        pages.environment().from_string("<script>{{ specs | tojson }}</script>").render(specs={"title": "</script><b>"})
    )
    assert held.count("</script>") == 1
    assert json.loads(held.removeprefix("<script>").removesuffix("</script>")) == {"title": "</script><b>"}


@pytest.mark.parametrize("runtime", ["let a = '</script>';", "let a = '</SCRIPT ';", "<!-- a"])
def test_a_runtime_that_would_end_its_script_is_refused(settings: params.Params, runtime: str) -> None:
    parameters = one_case(settings, 0, seeds=[0])
    with pytest.raises(ValueError, match="runtime"):
        pages.page(parameters, results_of(parameters, cells_of(0, 1)), lambda: runtime)


def test_the_page_loads_nothing(settings: params.Params) -> None:
    text = page_of(settings)
    page = Page(text)
    assert all(address.startswith("data:") for _, address in page.attributes("src"))
    links = [(tag, address) for tag, address in page.attributes("href") if not address.startswith("#")]
    assert links == [("link", "data:,"), ("a", settings.cases["ex4"].source)]
    assert "@import" not in text
    assert "url(" not in text


def test_the_cells_of_the_results_hold_the_exact_figures(settings: params.Params) -> None:
    parameters = one_case(settings, 2, seeds=[0, 1])
    results = results_of(parameters, cells_of(2, 2))
    page = Page(pages.page(parameters, results, str))
    cells = [attributes for _, attributes in page.elements if "data-figure" in attributes]
    shown = {(cell["data-name"], cell["data-figure"]): float(cell["data-value"] or "") for cell in cells}
    for name, entry in results.metrics.items():
        for figure in ("train_accuracy", "test_accuracy"):
            assert shown[name, figure] == entry[figure]["mean"]
    assert shown["ex4-fixed", "gain"] == results.metrics["ex4-fixed"]["gain"]["mean"]
    assert ("ex4-as_posted", "gain") not in shown


def answer(settings: params.Params, accuracies: list[float], n_seeds: int = 2) -> str:
    """The two sentences for cells of these accuracies, as plain text."""
    values = np.repeat(np.array(accuracies)[:, None], n_seeds, axis=1)
    parameters = one_case(settings, len(accuracies).bit_length() - 1, seeds=list(range(n_seeds)))
    results = results_of(parameters, values)
    cells = findings.read_cells(results.cells["ex4"], parameters.cases["ex4"], {})
    shown = pages.attribution("test_accuracy", results.effects["ex4"]["test_accuracy"], cells)
    macros: Any = pages.environment().get_template("macros.html").make_module({"sufficient": "95%"})
    text = f"{macros.first_sentence(shown)} {macros.second_sentence(shown)}"
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text))).strip()


@pytest.mark.parametrize(
    ("accuracies", "sentences"),
    [
        ([0.1], "No fix is suggested: as posted, the test accuracy is 10.0%. There is nothing to attribute."),
        (
            [0.1, 0.9],
            "The one fix, a, takes the test accuracy from 10.0% to 90.0%. "
            "It is the only fix suggested, so the gain is its own.",
        ),
        (
            [0.3, 0.2],
            "The one fix does not raise the test accuracy: it is 30.0% as posted and 20.0% with it. "
            "There is no gain to attribute.",
        ),
        (
            [0.3, 0.2, 0.2, 0.3],
            "All 2 fixes together do not raise the test accuracy: it is 30.0% as posted and 30.0% with them. "
            "There is no gain to attribute.",
        ),
        (
            [0.1, 0.1, 0.1, 0.9],
            "All 2 fixes together take the test accuracy from 10.0% to 90.0%; no fewer reach 95% of that gain. "
            "The necessary fixes are a (without it all others together reach 10.0%) and b (without it 10.0%); "
            "on its own, none does anything, and a and b help each other (+80.0 points more together than one by one).",
        ),
        (
            [0.1, 0.9, 0.1, 0.9],
            "All 2 fixes together take the test accuracy from 10.0% to 90.0%; a is enough for 95% of that gain. "
            "The one necessary fix is a (without it all others together reach 10.0%); b does nothing alone.",
        ),
        (
            [0.1, 0.9, 0.9, 0.9],
            "All 2 fixes together take the test accuracy from 10.0% to 90.0%; a or b is enough for 95% of that gain. "
            "No single fix is necessary; each does something alone.",
        ),
        (
            [0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9],
            "All 3 fixes together take the test accuracy from 10.0% to 90.0%; "
            "a and c, or b and c are enough for 95% of that gain. "
            "The one necessary fix is c (without it all others together reach 10.0%); on its own, none does anything, "
            "and b and c help each other most (+40.0 points more together than one by one).",
        ),
    ],
)
def test_the_sentences_say_what_the_numbers_say(
    settings: params.Params, accuracies: list[float], sentences: str
) -> None:
    assert answer(settings, accuracies) == sentences
    assert answer(settings, accuracies, n_seeds=1) == sentences


def test_more_sets_than_can_be_read_are_counted(settings: params.Params) -> None:
    # Any two of the five.
    accuracies = [0.9 if row.bit_count() > 1 else 0.1 for row in range(32)]
    assert "; 2 of them are enough for 95% of that gain, in 10 ways." in answer(settings, accuracies)


@pytest.mark.parametrize(("value", "text"), [(0.1141, "11.4%"), (1, "100.0%"), (-0.05, "−5.0%"), (None, "not finite")])
def test_a_share_is_shown_in_percent(value: float | None, text: str) -> None:
    assert pages.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "+10.0"), (-0.1, "−10.0"), (-0.0004, "0.0"), (0.0, "0.0"), (None, "not finite")]
)
def test_a_gain_is_shown_in_points_with_its_sign(value: float | None, text: str) -> None:
    assert pages.points(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-55.02837, "−55.0284"),
        (0.98, "0.9800"),
        (-6.8e8, "−6.80e+08"),
        (1e300, "1.00e+300"),
        (float("nan"), "not finite"),
        (None, "not finite"),
    ],
)
def test_a_loss_is_shown_as_it_is_printed(value: float | None, text: str) -> None:
    assert pages.number(value) == text


def test_names_are_joined_as_in_a_sentence() -> None:
    texts = [re.sub("<[^>]+>", "", pages.code(list(names))) for names in ("", "a", "ab", "abc")]
    assert texts == ["", "a", "a and b", "a, b and c"]
    assert pages.code(["<b>"]) == "<code>&lt;b&gt;</code>"


@pytest.mark.parametrize(
    "values", [[], [0.0], [0.3, None], [-0.17, 0.52], [-0.001, 0.002], [-1.0, 1.0], [0.95], [-0.3, -0.1]]
)
def test_an_axis_holds_zero_and_every_value_between_few_round_ticks(values: list[float | None]) -> None:
    axis = pages.axis_of(values)
    held = [0.0, *(value for value in values if value is not None)]
    assert axis.low <= min(held)
    assert axis.high >= max(held)
    assert 2 <= len(axis.ticks) <= pages.MOST_TICKS
    assert axis.ticks[0] == axis.low
    assert axis.ticks[-1] == pytest.approx(axis.high)


def test_a_place_on_an_axis_stays_within_its_ends() -> None:
    axis = Axis(-0.5, 0.5, 0.25)
    assert [axis.at(value) for value in (-2.0, -0.5, 0.0, 0.25, 9.0)] == [
        "0.00%",
        "0.00%",
        "50.00%",
        "75.00%",
        "100.00%",
    ]
    assert axis.wide(0.25, -9.0) == "75.00%"


def test_the_two_digit_probe_is_its_case_s_alone(settings: params.Params) -> None:
    parameters = one_case(settings, 1, seeds=[0])
    results = results_of(parameters, cells_of(1, 1))
    assert "Two digits only" in pages.page(parameters, results, str)
    others = replace(results, probe=results.probe.assign(case="mnist"))
    assert "Two digits only" not in pages.page(parameters, others, str)


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2)."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(scheme: str) -> None:
    source = pages.environment().get_template("report.css").render()
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part)) for part in source.split("@media screen")[:2])
    colours = light if scheme == "light" else light | dark
    pairs = [(text, behind) for text in ("ink", "muted") for behind in ("page", "surface", "soft")]
    pairs += [(text, "page") for text in ("link", "green", "orange", "blue")] + [("blue", "surface")]
    pairs += [("on-low", f"q{shade}") for shade in (1, 2, 3, 4)] + [("on-high", f"q{shade}") for shade in (5, 6, 7, 8)]
    for text, behind in pairs:
        brighter, darker = sorted((luminance(colours[text]), luminance(colours[behind])), reverse=True)
        assert (brighter + 0.05) / (darker + 0.05) >= 4.5, (text, behind)
