"""A page as one HTML file that needs nothing else: pictures inside, no script, no link."""

from __future__ import annotations

import base64
import io
from importlib import resources
from typing import TYPE_CHECKING

from hw_models.page import Lines, Page, Picture, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def to_html(page: Page) -> str:
    """Return the page as text; pictures are embedded as SVG. Needs jinja2 and matplotlib."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.tests |= {
        name: lambda section, kind=kind: isinstance(section, kind)
        for name, kind in (("table", Table), ("lines", Lines), ("picture", Picture))
    }
    source = resources.files("hw_models").joinpath("page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source).render(page=page, embed=_embed)


def _embed(picture: Picture) -> str:
    root = picture.draw(None).get_figure(root=True)
    assert root is not None
    return "data:image/svg+xml;base64," + base64.b64encode(to_svg(root)).decode("ascii")


def to_svg(figure: Figure) -> bytes:
    """Return a figure as SVG: the same bytes each time, letters as outlines."""
    from matplotlib import rc_context

    stream = io.BytesIO()
    with rc_context({"svg.hashsalt": "hw_models", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
