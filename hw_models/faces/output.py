"""How an answer leaves: a terminal, Markdown or JSON on standard output; HTML and picture files."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hw_models.errors import MissingLibraryError, OutputError
from hw_models.page import Page, to_markdown, to_terminal

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Failed:
    """An answer that is a failure: printed like any other, but the exit code tells."""

    text: str


def add_output_options(parser: argparse.ArgumentParser, *, pictures: bool = True) -> None:
    """Add ``--json``, ``--markdown``, ``--html`` and, where there are pictures, ``--plot``."""
    group = parser.add_argument_group("output", "Markdown where standard output is no terminal")
    shown = group.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON object")
    shown.add_argument("--markdown", action="store_true", help="print Markdown")
    group.add_argument("--html", type=Path, metavar="FILE", help="also write one HTML file")
    if pictures:
        group.add_argument(
            "--plot", type=_picture_file, metavar="FILE", help="also write .png or .svg"
        )


def deliver(page: Page, record: Mapping[str, Any], arguments: argparse.Namespace) -> str:
    """Write the files asked for; return the text to print.

    Raises
    ------
    MissingLibraryError
        A file was asked for, and the library that makes it is not installed.
    OutputError
        A file cannot be written.
    """
    if arguments.html:
        _need("--html", "jinja2", "matplotlib")
        from hw_models.html import to_html

        _write(arguments.html, to_html(page))
    if getattr(arguments, "plot", None):
        _need("--plot", "matplotlib")
        from hw_models.plot.sheet import save_sheet

        save_sheet(page.pictures, arguments.plot)
    if arguments.json:
        return json.dumps({"schema_version": SCHEMA_VERSION, **record}, indent=2, allow_nan=False)
    if arguments.markdown or not sys.stdout.isatty() or find_spec("rich") is None:
        return to_markdown(page.parts)
    width = max(shutil.get_terminal_size().columns, 60)
    return to_terminal(page.parts, width=width, colour=True)


def _need(option: str, *libraries: str) -> None:
    missing = [name for name in libraries if find_spec(name) is None]
    if missing:
        raise MissingLibraryError(
            f"{option} needs {' and '.join(missing)}: pip install {' '.join(missing)}"
        )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}") from error


def _picture_file(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".png", ".svg"):
        raise argparse.ArgumentTypeError(f"expected a name ending in .png or .svg, got {text!r}")
    return path
