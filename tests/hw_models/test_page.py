"""One page, several forms: nothing is lost, nothing is interpreted."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from hw_models.html import to_html
from hw_models.page import (
    Lines,
    Page,
    Part,
    Picture,
    Table,
    to_html_fragment,
    to_markdown,
    to_terminal,
)
from hw_models.plot.style import axes_or_new

EVIL = "<script>a|b [red]"
PAGE = Page(
    "Title & more",
    (
        Part(
            f"Part {EVIL}",
            (
                Table(("name", "value"), ((EVIL, "1 mJ"), ("other", "22 mJ")), "Costs", (1,)),
                Table(("row",), (("hidden in a terminal",),), "Every row", folded=True),
                Lines("Notes", (f"first {EVIL}", "second")),
                Picture("A picture of nothing.", lambda ax: axes_or_new(ax, 1.0)),
            ),
        ),
    ),
)


class Reader(HTMLParser):
    VOID = ("meta", "img", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def test_markdown_keeps_pipes_inside_their_cell() -> None:
    text = to_markdown(PAGE.parts)
    assert text == (
        f"## Part {EVIL}\n\nCosts:\n\n| name | value |\n|---|---:|\n"
        "| <script>a\\|b [red] | 1 mJ |\n| other | 22 mJ |\n\n"
        f"Notes:\n\n- first {EVIL}\n- second\n"
    )


def test_a_terminal_shows_brackets_as_they_are() -> None:
    text = to_terminal(PAGE.parts, width=60, colour=False)
    assert "\x1b" not in text
    assert f"Part {EVIL}" in text
    assert f"- first {EVIL}" in text
    value, other = (line for line in text.splitlines() if line.endswith("mJ"))
    assert value.split() == [*EVIL.split(), "1", "mJ"]
    assert len(value) == len(other)  # numbers stand to the right
    assert "hidden" not in text
    assert "\x1b[1m" in to_terminal(PAGE.parts, width=60, colour=True)


def test_long_cells_are_folded_not_cut() -> None:
    words = " ".join(f"word{i}" for i in range(40))
    part = Part("p", (Table(("name", "text"), (("row", words),)), Lines("Notes", (words,))))
    text = to_terminal([part], width=50, colour=False)
    assert text.split().count("word17") == 2
    assert max(map(len, text.splitlines())) <= 50


def test_a_fragment_is_balanced_and_escaped() -> None:
    reader = read(to_html_fragment(PAGE.parts))
    assert not any(tag == "script" for tag, _ in reader.seen)
    assert {EVIL, "1 mJ", "Costs", f"first {EVIL}"} <= set(reader.text)
    assert "hidden in a terminal" not in reader.text


def test_a_file_needs_nothing_else() -> None:
    text = to_html(PAGE)
    reader = read(text)
    assert not any(tag in ("script", "link", "iframe") for tag, _ in reader.seen)
    addresses = [
        value
        for _, attrs in reader.seen
        for name, value in attrs.items()
        if name in ("src", "href")
    ]
    assert len(addresses) == 1
    assert all((each or "").startswith("data:image/svg+xml;base64,") for each in addresses)
    assert "@import" not in text
    assert "url(" not in text
    said = " ".join(reader.text)
    for words in ("Title & more", EVIL, "22 mJ", "hidden in a terminal", "second"):
        assert words in said


def test_the_same_page_is_the_same_file() -> None:
    assert to_html(PAGE) == to_html(PAGE)


@pytest.mark.parametrize("form", [to_markdown, to_html_fragment])
def test_pictures_are_not_drawn_where_they_cannot_be_shown(form: object) -> None:
    def fail(ax: object) -> None:
        raise AssertionError("drawn")

    part = Part("p", (Picture("x", fail),))  # type: ignore[arg-type]
    assert form([part])  # type: ignore[operator]
