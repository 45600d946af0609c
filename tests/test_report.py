import base64
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from vdprune.plotting.figures import make_figure
from vdprune.report import Picture, make_report


def facts(**changes: Any) -> dict[str, Any]:
    layer = {"name": "l1", "shape": [2, 500], "weights": 1000, "nonzero": 50, "sparsity": 0.95}
    return {
        "file": "a.h5",
        "kind": "checkpoint",
        "arch": "lenet300",
        "dataset": "mnist",
        "error": 1.5,
        "loss": 0.06,
        "threshold": 3.0,
        "weights": 1000,
        "nonzero": 50,
        "sparsity": 0.95,
        "compression": 20.0,
        "layers": [layer],
        **changes,
    }


class Page(HTMLParser):
    """Checks that what is opened is closed, and collects texts and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.sources: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


def test_what_the_page_says() -> None:
    page = Page(
        make_report(facts(), "the 9 examples", {"time": "3.0 minutes"}, 'name = "paper"', [])
    )
    for text in (
        "lenet300 on mnist",
        "error on the 9 examples",
        "1.50 %",
        "0.0600",
        "20.0x",
        "50 of 1,000",
        "Training",
        "time",
        "3.0 minutes",
        "2 x 500",
        "95.00 %",
        'name = "paper"',
    ):
        assert text in page.texts
    assert page.sources == []


def test_pictures_are_inside() -> None:
    picture = Picture("Noise", 'of "all" & more', make_figure())
    text = make_report(facts(), "", {}, "", [picture])
    page = Page(text)
    (source,) = page.sources
    start = "data:image/png;base64,"
    assert source.startswith(start)
    assert base64.b64decode(source.removeprefix(start)).startswith(b"\x89PNG")
    assert "Noise" in page.texts
    assert 'of "all" & more' in page.texts
    assert not re.search(r"(src|href)=.http", text)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a"b', "a&b"])
def test_names_are_no_markup(name: str) -> None:
    page = Page(
        make_report(facts(file=name, dataset=name), name, {name: name}, f"name = {name}", [])
    )
    assert sum(name in text for text in page.texts) == 7


def test_nothing_left_and_no_number() -> None:
    page = Page(make_report(facts(compression=None, nonzero=0, loss=None), "", {}, "", []))
    assert {"infinite", "not finite", "0 of 1,000"} <= set(page.texts)
    assert not {"Training", "Recipe"} & set(page.texts)
