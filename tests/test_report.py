"""The report: of the pipeline in small, and the committed page in a real browser."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vl_convert
from dvc_render.vega import VegaRenderer
from miniature import Miniature
from ruamel.yaml import YAML
from selenium import webdriver

from stages import report
from stages.core import files, pages
from stages.core.errors import UserError

AXE = ".axe/node_modules/axe-core/axe.min.js"
WIDTHS = {"desktop": 1280, "phone": 375}


def test_the_report_is_the_same_bytes_in_another_process(miniature: Miniature, root: Path, tmp_path: Path) -> None:
    for name in ("params.yaml", "reports", "attribution"):
        copy = shutil.copytree if (miniature.folder / name).is_dir() else shutil.copy
        copy(miniature.folder / name, tmp_path / name)
    outs = [Path("reports", name) for name in ("index.html", "figure.svg", "effects/ex4.csv")]
    for out in outs:
        (tmp_path / out).unlink()
    environment = {"PYTHONPATH": str(root), "PYTHONHASHSEED": "7", "HOME": str(tmp_path), "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-m", "stages.report"], cwd=tmp_path, env=environment, check=True)
    for out in outs:
        assert (tmp_path / out).read_bytes() == (miniature.folder / out).read_bytes()


def test_a_bundling_that_ends_early_is_one_line_and_one_that_is_not_needed_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report, "BUNDLE", "import os; os.kill(os.getpid(), 9)")
    with report.bundling() as bundled, pytest.raises(UserError, match="bundles the charts' JavaScript ended early"):
        bundled()
    monkeypatch.setattr(report, "BUNDLE", "import time; time.sleep(600)")
    started = time.monotonic()
    with pytest.raises(KeyError), report.bundling():
        raise KeyError
    assert time.monotonic() - started < 60


def test_the_report_names_no_place_of_this_machine(miniature: Miniature) -> None:
    text = (miniature.folder / "reports" / "index.html").read_text(encoding="utf-8")
    for place in (str(miniature.folder), str(Path.home()), sys.prefix):
        assert place not in text


def show(browser: webdriver.Chrome, page: Path, width: str = "desktop", scheme: str = "light") -> None:
    """Open `page` from disk and wait until its charts are drawn."""
    size = {"width": WIDTHS[width], "height": 900, "deviceScaleFactor": 1, "mobile": width == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.set_script_timeout(60)
    browser.get(page.as_uri())
    browser.execute_async_script("""
        const done = arguments[0];
        (function look() { document.documentElement.dataset.charts ? done() : setTimeout(look, 50); })();
    """)


def logged(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """What the console shows since it was last asked."""
    entries: list[dict[str, Any]] = browser.execute("getLog", {"type": "browser"})["value"]
    return entries


@pytest.fixture(params=["committed", "miniature"])
def folder(request: pytest.FixtureRequest, root: Path) -> Path:
    """A folder in which the report was made."""
    small: Miniature = request.getfixturevalue("miniature")
    return root if request.param == "committed" else small.folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", list(WIDTHS))
def test_the_page_draws_all_and_reports_no_error(
    browser: webdriver.Chrome, folder: Path, width: str, scheme: str
) -> None:
    logged(browser)
    show(browser, folder / "reports" / "index.html", width, scheme)
    charts = "[...document.querySelectorAll('.chart')]"
    drawn = browser.execute_script(f"return {charts}.map((chart) => chart.querySelectorAll('svg path').length)")
    assert len(drawn) > 8
    assert min(drawn) > 0
    assert browser.execute_script("return [...document.images].every((image) => image.naturalWidth > 0)")
    assert [entry for entry in logged(browser) if entry["level"] == "SEVERE"] == []


def test_the_page_asks_no_other_address(browser: webdriver.Chrome, root: Path) -> None:
    show(browser, root / "reports" / "index.html")
    asked = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [address for address in asked if not address.startswith("data:")] == []


def test_the_page_is_no_wider_than_a_phone(browser: webdriver.Chrome, folder: Path) -> None:
    show(browser, folder / "reports" / "index.html", "phone")
    assert browser.execute_script("return document.documentElement.scrollWidth") == WIDTHS["phone"]


def test_the_numbers_on_the_page_are_those_of_the_metrics(browser: webdriver.Chrome, folder: Path) -> None:
    metrics = files.read_json(folder / "reports" / "metrics.json")
    show(browser, folder / "reports" / "index.html")
    cells: list[dict[str, Any]] = browser.execute_script("""
        return [...document.querySelectorAll("[data-figure]")].map((cell) => ({...cell.dataset, text: cell.innerText}));
    """)
    for cell in cells:
        mean = metrics[cell["name"]][cell["figure"]]["mean"]
        assert cell["value"] == str(mean)
        shown = pages.points(mean) if "gain" in cell["figure"] else pages.percent(mean, 2)
        assert cell["text"].splitlines()[0] == shown
    accuracies = {(n, f) for n, entry in metrics.items() for f in entry if re.fullmatch(r"\w+_accuracy", f)}
    assert accuracies <= {(cell["name"], cell["figure"]) for cell in cells}


def test_the_digests_on_the_page_are_those_of_the_data(browser: webdriver.Chrome, folder: Path) -> None:
    digests = files.read_json(folder / "reports" / "digests.json")
    show(browser, folder / "reports" / "index.html")
    shown = browser.execute_script("""
        return [...document.querySelectorAll("[data-digest]")].map((cell) => [cell.dataset.digest, cell.textContent]);
    """)
    expected = {f"{case}.{name}": array["sha256"] for case, arrays in digests.items() for name, array in arrays.items()}
    assert dict(shown) == expected


def test_pointing_at_a_curve_shows_its_values(browser: webdriver.Chrome, root: Path) -> None:
    show(browser, root / "reports" / "index.html")
    chart = browser.find_elements("css selector", ".chart svg")[0]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    webdriver.ActionChains(browser).move_to_element(chart).move_by_offset(3, 3).pause(0.5).perform()
    tooltip = browser.find_element("id", "vg-tooltip-element").get_property("innerText")
    assert "epoch" in str(tooltip)
    assert re.search(r"training\s+\d+\.\d%", str(tooltip))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", list(WIDTHS))
def test_axe_finds_no_serious_violation(
    browser: webdriver.Chrome, root: Path, folder: Path, width: str, scheme: str
) -> None:
    axe = root / AXE
    if not axe.is_file():
        pytest.skip("axe-core is not installed: npm install --no-save --prefix .axe axe-core@4.11.0")
    show(browser, folder / "reports" / "index.html", width, scheme)
    browser.execute_script("for (const details of document.querySelectorAll('details')) details.open = true")
    browser.execute_script(axe.read_text(encoding="utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    serious = [
        (violation["id"], violation["nodes"][0]["html"][:200])
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert len(found["passes"]) > 20


def test_what_dvc_plots_shows_is_drawn_by_its_templates(miniature: Miniature, root: Path) -> None:
    declared: list[dict[str, Any]] = YAML(typ="safe").load(root / "dvc.yaml")["plots"]
    for plot in declared:
        ((folder, options),) = plot.items()
        tables = sorted((miniature.folder / folder).iterdir())
        assert tables
        for path in tables:
            rows = [
                {"rev": rev, **row} for rev in ("HEAD", "workspace") for row in files.read_csv(path).to_dict("records")
            ]
            renderer = VegaRenderer(rows, path.name, **options, template_dir=str(root / ".dvc" / "plots"))
            spec = renderer.get_filled_template()
            assert "<DVC_METRIC" not in json.dumps(spec)
            # Fails where it is no Vega-Lite.
            vl_convert.vegalite_to_vega(spec)


def test_the_plot_data_hold_the_effects(miniature: Miniature) -> None:
    for case in miniature.parameters.cases:
        rows = files.read_csv(miniature.folder / "reports" / "effects" / f"{case}.csv")
        effects = files.read_json(miniature.folder / "attribution" / case / "effects.json")
        for row in rows.itertuples():
            interval = effects[row.accuracy]["fixes"][row.fix][row.effect]
            assert (row.mean, row.low, row.high) == (interval["mean"], interval["low"], interval["high"])
        assert len(rows) == 2 * 4 * len(miniature.parameters.cases[case].fixes)


def test_the_pictures_are_of_the_test_digits_answered_wrong(miniature: Miniature) -> None:
    pictures = files.read_npz(miniature.folder / "reports" / "pictures.npz")
    for variant in ("ex4-as_posted", "ex4-fixed", "mnist-as_posted", "mnist-fixed"):
        case = variant.partition("-")[0]
        data = files.read_npz(miniature.folder / "data" / "prepared" / f"{case}.npz")
        answers = files.read_npz(miniature.folder / "runs" / variant / "predictions.npz")
        wrong = answers["predicted_test"][0] != data["y_test"]
        label, answer, confidence = (pictures[f"{variant}.{part}"] for part in ("label", "answer", "confidence"))
        assert len(label) == min(20, wrong.sum())
        assert (label != answer).all()
        assert (np.diff(confidence) <= 0).all()
        if len(confidence):
            assert confidence[0] == answers["confidence_test"][0][wrong].max()
