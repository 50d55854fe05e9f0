"""Pages of made-up results, and what a reader finds in their HTML."""

import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import made_up

from stages.analysis.results import CaseResult
from stages.page import view


class Page(HTMLParser):
    """The elements, the open elements and the text of a page."""

    VOID = frozenset({"img", "link", "meta", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text.append(data)

    def values(self, name: str) -> Iterator[str]:
        """Yield the values of an attribute."""
        for _, attributes in self.elements:
            if name in attributes:
                yield attributes[name] or ""


def page_of(*results: CaseResult, finite: bool = True, runtime: str = "let runtime;") -> str:
    curves = {result.case: made_up.curves(result, finite=finite) for result in results}
    return view.page(results, curves, {result.case: made_up.pictures(result) for result in results}, lambda: runtime)


def plain(text: str) -> str:
    """Return HTML as a reader sees it."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text))).strip()


def rows_of(text: str, css_class: str) -> list[list[str]]:
    """Return the cells of the body of the first table of a class, as a reader sees them."""
    table = re.findall(rf'<table class="{css_class}(?: stack)?".*?</table>', text, re.DOTALL)[0]
    rows = re.findall(r"<tr.*?</tr>", table.partition("<tbody>")[2], re.DOTALL)
    return [[plain(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in rows]
