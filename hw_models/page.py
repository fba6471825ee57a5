"""What a face shows, once, as data: tables, lists and pictures; then as Markdown, HTML, terminal.

Tables hold text: numbers are formatted where the table is made, by :mod:`hw_models.units`.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Parameters
    ----------
    header, rows
        One text per column.
    title
        Stands above; may be empty.
    numbers
        Indices of columns that are set to the right.
    folded
        Too long for a terminal: shown by an HTML page only, behind a click.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    numbers: tuple[int, ...] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """A titled list of sentences."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, drawn only where a face can show it.

    Parameters
    ----------
    title
        What it shows, as a sentence.
    draw
        Draws on the axes given, or on the only axes of a new figure; returns the axes.
    """

    title: str
    draw: Callable[[Axes | None], Axes]


Section = Table | Lines | Picture


@dataclass(frozen=True, slots=True)
class Part:
    """Sections under a heading."""

    title: str
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Parts under a title."""

    title: str
    parts: tuple[Part, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All pictures, in order."""
        return tuple(
            section
            for part in self.parts
            for section in part.sections
            if isinstance(section, Picture)
        )


def to_markdown(parts: Sequence[Part]) -> str:
    """Return parts as Markdown; pictures and folded tables are left out."""
    blocks = []
    for part in parts:
        blocks.append(f"## {part.title}")
        for section in part.sections:
            blocks += _markdown_blocks(section)
    return "\n\n".join(blocks) + "\n"


def _markdown_blocks(section: Section) -> Iterator[str]:
    if isinstance(section, Picture) or (isinstance(section, Table) and section.folded):
        return
    if section.title:
        yield f"{section.title}:"
    if isinstance(section, Lines):
        yield "\n".join(f"- {line}" for line in section.lines)
        return
    rules = ["---:" if i in section.numbers else "---" for i in range(len(section.header))]
    rows = [section.header, *section.rows]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    yield "\n".join([lines[0], f"|{'|'.join(rules)}|", *lines[1:]])


def to_html_fragment(parts: Sequence[Part]) -> str:
    """Return parts as HTML for a notebook cell; pictures and folded tables are left out."""
    blocks = []
    for part in parts:
        blocks.append(f"<h4>{html.escape(part.title)}</h4>")
        for section in part.sections:
            if isinstance(section, Lines):
                items = "".join(f"<li>{html.escape(line)}</li>" for line in section.lines)
                blocks.append(f"<p>{html.escape(section.title)}</p><ul>{items}</ul>")
            elif isinstance(section, Table) and not section.folded:
                blocks.append(_html_table(section))
    return "\n".join(blocks)


def _html_table(table: Table) -> str:
    def row(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    caption = f"<caption>{html.escape(table.title)}</caption>" if table.title else ""
    body = "".join(row(cells, "td") for cells in table.rows)
    return f"<table>{caption}{row(table.header, 'th')}{body}</table>"


def to_terminal(parts: Sequence[Part], *, width: int, colour: bool) -> str:
    """Return parts as rich prints them; pictures and folded tables are left out."""
    from rich.console import Console

    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for part in parts:
        console.print(part.title, style="bold underline")
        console.print()
        for section in part.sections:
            _print_section(section, console)
    return stream.getvalue().rstrip() + "\n"


def _print_section(section: Section, console: Console) -> None:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    if isinstance(section, Picture) or (isinstance(section, Table) and section.folded):
        return
    if section.title:
        console.print(section.title, style="bold")
    if isinstance(section, Lines):
        grid = RichTable.grid(padding=(0, 1))
        grid.add_column()
        grid.add_column(overflow="fold")
        for line in section.lines:
            grid.add_row("-", Text(line))
    else:
        grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for i, name in enumerate(section.header):
            right = i in section.numbers
            grid.add_column(
                Text(name), justify="right" if right else "left", overflow="fold", no_wrap=i == 0
            )
        for row in section.rows:
            grid.add_row(*map(Text, row))
    console.print(grid)
    console.print()
