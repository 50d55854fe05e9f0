"""The stage `report` on made-up results, and its page in a real browser."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import made_up
import made_up_search
import pytest
from ruamel.yaml import YAML
from selenium import webdriver

from stages import report
from stages.analysis import results
from stages.analysis.results import BaselineResult, CaseResult, VariantResult
from stages.base import files
from stages.base.errors import UserError
from stages.page import numbers

AXE = ".axe/node_modules/axe-core/axe.min.js"
WIDTHS = {"desktop": 1280, "phone": 390}
HEIGHT = 844
# A phone's screens that the committed page may be long.
MOST_SCREENS = 14
# Parts of the page whose content is wider than their place, charts whose titles cover labels of an axis, and scales
# whose labels cover each other.
CUT = """
    return [...document.querySelectorAll("main *")].filter((part) => !part.closest(".scroll, svg, .sr")
        && part.clientWidth && part.scrollWidth > part.clientWidth + 1
        && getComputedStyle(part).overflowX !== "visible")
        .map((part) => part.outerHTML.slice(0, 200));
"""
COVERED = """
    const boxes = (chart, roles) => [...chart.querySelectorAll(roles)].map((text) => text.getBoundingClientRect());
    return [...document.querySelectorAll(".chart")].filter((chart) =>
        boxes(chart, ".role-title-text text, .role-axis-title text").some((a) =>
            boxes(chart, ".role-axis-label text").some((b) =>
                a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)))
        .map((chart) => chart.id);
"""
CROWDED = """
    const boxes = (scale) => [...scale.children].filter((label) => getComputedStyle(label).visibility === "visible")
        .map((label) => label.getBoundingClientRect());
    return [...document.querySelectorAll(".scale")].filter((scale) =>
        boxes(scale).some((box, place, all) => place && box.left < all[place - 1].right))
        .map((scale) => scale.outerHTML);
"""
UNFOLD = "for (const details of document.querySelectorAll('details')) details.open = true"
BASELINES = (made_up.baseline("logistic", 0.8), made_up.baseline("floor", 0.2))
MADE_UP = (
    made_up.result([0.1, 0.2, 0.4, 0.9], keras=("2.2", "3"), case="digits", baselines=BASELINES),
    made_up.regression([-0.5, 0.25, 0.5, 0.0], case="values", measured=lambda row: row != 3, baselines=BASELINES[1:]),
    made_up_search.searched(("2.2", "3")),
)
# Regions of a page have different names.
RESULTS = tuple(result.model_copy(update={"title": f"The title of {result.case}"}) for result in MADE_UP)
CASES = tuple(result.case for result in RESULTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results, curves and pictures and nothing else, and the report on them."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        files.write_json(files.CASES, {"cases": list(CASES)})
        for result in RESULTS:
            files.write_json(files.result_path(result.case), result.model_dump(mode="json"))
            files.write_csv(files.CURVES / f"{result.case}.csv", made_up.curves(result))
            shown = made_up.pictures(result) if result.data.pictures else {}
            files.write_archive(files.PICTURES / f"{result.case}.npz", shown)
        report.main()
    return folder


@pytest.fixture(scope="module")
def cases(folder: Path) -> list[CaseResult]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return [results.read(case) for case in CASES]


def files_in(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_the_report_reads_and_writes_only_what_dvc_yaml_names_and_equal_bytes_elsewhere(
    folder: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = YAML(typ="safe").load(root / "dvc.yaml")["stages"]["report"]
    deps = [Path(dep) for dep in stage["deps"] if not dep.startswith("stages/")]
    for dep in deps:
        (tmp_path / dep).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (folder / dep).is_dir() else shutil.copy
        copy(folder / dep, tmp_path / dep)
    before = files_in(tmp_path)
    environment = {"PYTHONPATH": str(root), "PYTHONHASHSEED": "7", "HOME": str(tmp_path), "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-m", "stages", "report"], cwd=tmp_path, env=os.environ | environment, check=True)
    outs = {Path(next(iter(out))) for out in stage["outs"]}
    assert {path for path in files_in(tmp_path) - before if path.parts[0] not in (".cache", ".config")} == outs
    for out in outs:
        assert (tmp_path / out).read_bytes() == (folder / out).read_bytes()
    # Each of them is needed.
    monkeypatch.setattr(report, "BUNDLE", "")
    monkeypatch.chdir(tmp_path)
    for dep in deps:
        (tmp_path / dep).rename(tmp_path / "moved")
        with pytest.raises(UserError, match=re.escape(str(dep))):
            report.main()
        (tmp_path / "moved").rename(tmp_path / dep)


def test_a_bundler_that_is_killed_gives_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "BUNDLE", "import os; os.kill(os.getpid(), 9)")
    with (
        report.bundling() as bundle,
        pytest.raises(UserError, match=r"bundles the JavaScript .* ended early") as caught,
    ):
        bundle()
    assert len(str(caught.value).splitlines()) == 1


def test_the_page_names_no_path_of_this_machine(folder: Path) -> None:
    text = (folder / files.PAGE).read_text(encoding="utf-8")
    for path in (str(folder), str(Path.home()) + os.sep, sys.prefix):
        assert path not in text


def show(browser: webdriver.Chrome, page: Path, width: str = "desktop", scheme: str = "light") -> None:
    """Open `page` from disk and wait until its charts are drawn."""
    size = {"width": WIDTHS[width], "height": HEIGHT, "deviceScaleFactor": 1, "mobile": width == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.set_script_timeout(60)
    browser.get(page.as_uri())
    browser.execute_async_script("""
        const done = arguments[0];
        (function look() { document.documentElement.dataset.charts ? done() : setTimeout(look, 50); })();
    """)


def read_console(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """Return what the console has shown since the last call."""
    entries: list[dict[str, Any]] = browser.execute("getLog", {"type": "browser"})["value"]
    return entries


@pytest.mark.parametrize(("width", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_the_page_draws_everything_without_an_error_a_request_a_horizontal_scroll_or_a_cut(
    browser: webdriver.Chrome, folder: Path, width: str, scheme: str
) -> None:
    read_console(browser)
    show(browser, folder / files.PAGE, width, scheme)
    charts = "[...document.querySelectorAll('.chart')]"
    paths = browser.execute_script(f"return {charts}.map((chart) => chart.querySelectorAll('svg path').length)")
    assert len(paths) > 8
    assert min(paths) > 0
    assert browser.execute_script("return [...document.images].every((image) => image.naturalWidth > 0)")
    requests = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [address for address in requests if not address.startswith("data:")] == []
    assert [entry for entry in read_console(browser) if entry["level"] == "SEVERE"] == []
    browser.execute_script(UNFOLD)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= WIDTHS[width]
    assert browser.execute_script(CUT) == []
    assert browser.execute_script(COVERED) == []
    assert browser.execute_script(CROWDED) == []


@pytest.mark.parametrize(("width", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_axe_finds_no_violation(browser: webdriver.Chrome, folder: Path, root: Path, width: str, scheme: str) -> None:
    axe = root / AXE
    if not axe.is_file():
        pytest.skip("axe-core is not installed: npm install --no-save --prefix .axe axe-core@4.11.0")
    show(browser, folder / files.PAGE, width, scheme)
    browser.execute_script(UNFOLD)
    browser.execute_script(axe.read_text(encoding="utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    assert [(violation["id"], violation["nodes"][0]["html"][:200]) for violation in found["violations"]] == []
    assert len(found["passes"]) > 20


def test_the_numbers_and_digests_that_the_browser_shows_are_those_of_the_results(
    browser: webdriver.Chrome, folder: Path, cases: list[CaseResult]
) -> None:
    show(browser, folder / files.PAGE)
    browser.execute_script(UNFOLD)
    cells: list[dict[str, str]] = browser.execute_script("""
        return [...document.querySelectorAll("[data-name]")].map((cell) => ({...cell.dataset, text: cell.innerText}));
    """)
    measured: dict[str, VariantResult | BaselineResult] = {
        **{f"{case.case}.{variant.label}": variant for case in cases for variant in case.variants},
        **{f"{case.case}.{baseline.name}": baseline for case in cases for baseline in case.baselines},
    }
    seen = set()
    for cell in cells:
        one = measured[cell["name"]]
        figure = one.scores[cell["split"]] if "split" in cell else one.gain[cell["gain"]]  # type: ignore[union-attr]
        assert cell["value"] == str(figure.mean)
        digits = 1 if getattr(one, "subset", None) else 2
        expected = numbers.percent(figure.mean, digits) if "split" in cell else numbers.points(figure.mean)
        assert cell["text"].splitlines()[0] == expected
        seen.add((cell["name"], cell.get("split")))
    assert {(name, split) for name, one in measured.items() for split in one.scores} <= seen
    shown = browser.execute_script("""
        return [...document.querySelectorAll("[data-digest]")].map((cell) => [cell.dataset.digest, cell.textContent]);
    """)
    arrays = {f"{case.case}.{name}": digest.sha256 for case in cases for name, digest in case.data.arrays.items()}
    assert dict(shown) == arrays


def test_the_committed_page_is_not_long_on_a_phone(browser: webdriver.Chrome, root: Path) -> None:
    show(browser, root / files.PAGE, "phone")
    assert browser.execute_script("return document.documentElement.scrollHeight") <= MOST_SCREENS * HEIGHT


def test_the_committed_page_shows_the_committed_results(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    text = (root / files.PAGE).read_text(encoding="utf-8")
    for case in map(results.read, ("mnist", "ex4")):
        for one in case.variants:
            for split, figure in one.scores.items():
                cell = f'data-name="{case.case}.{one.label}" data-split="{split}" data-value="{figure.mean}"'
                assert cell in text
