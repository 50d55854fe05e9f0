import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from stages.core import readme_figure, statistics
from stages.core.readme_figure import Panel


def effects(n_fixes: int, n_seeds: int = 3) -> dict[str, Any]:
    values = np.random.default_rng(n_fixes).uniform(0, 1, (2**n_fixes, n_seeds)).round(3)
    return statistics.effects([f"fix_{number}" for number in range(n_fixes)], values, 0)


PANELS = [Panel("One", "test accuracy", effects(3)), Panel("Two & a < b", "training accuracy", effects(5))]


def test_the_figure_is_the_same_bytes_each_time() -> None:
    assert readme_figure.svg(PANELS) == readme_figure.svg(PANELS)


def test_the_figure_holds_no_time_no_version_and_loads_nothing() -> None:
    text = readme_figure.svg(PANELS).decode()
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(r"\d{4}-\d\d-\d\d|Matplotlib v|dc:date|dc:creator", text)
    assert not re.search(r'href="(?!#)', text)
    # Letters as outlines: no font is asked for.
    assert "<text" not in text


def test_the_figure_is_opaque() -> None:
    background = readme_figure.svg(PANELS).decode().split('id="patch_1"')[1].split("</g>")[0]
    assert "fill: #ffffff" in background


@pytest.mark.parametrize(("n_fixes", "n_seeds"), [(0, 2), (1, 2), (2, 1), (6, 2)])
def test_any_number_of_fixes_and_a_single_seed_are_drawn(n_fixes: int, n_seeds: int) -> None:
    ET.fromstring(readme_figure.svg([Panel("title", "test accuracy", effects(n_fixes, n_seeds))]))


def test_a_title_is_text_whatever_it_holds() -> None:
    svg = readme_figure.svg([Panel("$\\frac$ <a> --> & 'b'", "test accuracy", effects(1))])
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
