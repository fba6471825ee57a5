"""Events as text: one event a line, columns split by commas, semicolons, tabs or spaces.

A header may name the columns in any order, with a unit (``t[s]``, ``t_ms``) and, as faery writes
it, the sensor (``x@320,y@240``). Without a header the columns are t, x, y, p.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import InputFileError
from neurovlm.events.io.numbers import from_numbers, infer_unit
from neurovlm.events.io.source import Columns, Sensor, Source, opened

_LINES = 100_000
_FIELDS = {
    "t": "t",
    "time": "t",
    "timestamp": "t",
    "ts": "t",
    "x": "x",
    "y": "y",
    "p": "p",
    "pol": "p",
    "polarity": "p",
    "on": "p",
}
_NAME = re.compile(r"([a-z]+)[\s_]*(?:[\[(]?\s*(s|ms|us|µs)\s*[\])]?|@(\d+))?")
_NUMBERS = re.compile(r"[-+0-9.eE,;\s]+|[-+0-9.eE,;\s]*\b(?:nan|inf)\b.*", re.IGNORECASE)


@dataclass(frozen=True)
class _Layout:
    n_header: int  # lines before the first event
    delimiter: str | None  # None: any white space
    order: tuple[int, int, int, int]  # column of t, x, y, p
    unit: str | None
    sensor: Sensor | None


def looks_like_text(head: bytes) -> bool:
    """Say whether the first bytes of a file are lines of numbers, perhaps after a header."""
    lines = head.decode("utf-8", "replace").split("\n")[:4]
    return any(_is_numbers(line) and len(re.split(r"[,;\s]+", line.strip())) >= 4 for line in lines)


def open_text(path: Path) -> Source:
    """Read a CSV or similar text file.

    Raises
    ------
    InputFileError
        When the header names no t, x, y, p, or the first event does not parse.
    """
    layout = _layout(path)
    first = next(_numbers(path, layout), None)
    if first is not None and not np.isin(first[:, 3], (-1, 0, 1)).any():
        raise InputFileError(
            f"{path}: the polarity should be 0, 1 or -1, its column starts with {first[0, 3]:g}; "
            "without a header the columns are t, x, y, p: add a first line that names them"
        )
    unit = layout.unit
    notes: tuple[str, ...] = ()
    if unit is None and first is not None:
        unit, note = infer_unit(first[:, 0])
        notes = (f"{note}; name the column t[s], t[ms] or t[us] in a header to say otherwise",)
    return Source("CSV", lambda: _columns(path, layout, unit or "us"), layout.sensor, notes)


def _is_numbers(line: str) -> bool:
    return bool(line.strip() and _NUMBERS.fullmatch(line.strip()))


def _split(line: str, delimiter: str | None) -> list[str]:
    return [field.strip() for field in line.strip().lstrip("#").split(delimiter)]


def _layout(path: Path) -> _Layout:
    with opened(path) as file:
        lines = [line.decode("utf-8", "replace") for line in islice(file, 100)]
    header, n_header = "", 0
    for line in lines:
        if _is_numbers(line):
            break
        n_header += 1
        header = line if line.strip() else header
    else:
        raise InputFileError(
            f"{path}: no line of numbers among the first {len(lines)}; expected one event a line: "
            "t, x, y, p"
        )
    found = next((mark for mark in ",;\t" if mark in line), None)
    n_columns = len(line.split(found))
    names = _split(header.lower(), found)
    fields = [_NAME.fullmatch(name) for name in names]
    if any(field and field[1] in _FIELDS for field in fields):
        return _from_header(path, names, n_header, found, n_columns)
    if header and not header.lstrip().startswith(("#", "%")):
        raise InputFileError(
            f"{path}: line {n_header} is {header.strip()[:60]!r}, neither numbers nor names of "
            "columns; expected t, x, y, p"
        )
    if n_columns != 4:
        raise InputFileError(
            f"{path}: {n_columns} columns and no header; expected t, x, y, p, or a first line that "
            "names the columns"
        )
    return _Layout(n_header, found, (0, 1, 2, 3), None, None)


def _from_header(
    path: Path, header: list[str], n_header: int, delimiter: str | None, n_columns: int
) -> _Layout:
    place: dict[str, int] = {}
    size: dict[str, int] = {}
    unit = None
    for column, text in enumerate(header):
        if (found := _NAME.fullmatch(text)) and (field := _FIELDS.get(found[1])):
            place.setdefault(field, column)
            if field == "t" and found[2]:
                unit = found[2].replace("µ", "u")
            if found[3]:
                size[field] = int(found[3])
    missing = [field for field in "txyp" if field not in place]
    if missing or max(place.values()) >= n_columns:
        raise InputFileError(
            f"{path}: line {n_header} names the columns {', '.join(header)}; expected t, x, y and "
            f"p among them, one for each of the {n_columns} columns"
        )
    sensor = (size["x"], size["y"]) if {"x", "y"} <= size.keys() else None
    order = (place["t"], place["x"], place["y"], place["p"])
    return _Layout(n_header, delimiter, order, unit, sensor)


def _numbers(path: Path, layout: _Layout) -> Iterator[NDArray[np.float64]]:
    """Blocks of rows ``(n, 4)``: t, x, y, p."""
    n_read = layout.n_header
    with opened(path) as file:
        next(islice(file, layout.n_header, layout.n_header), None)
        while lines := list(islice(file, _LINES)):
            texts = [line.decode("utf-8", "replace") for line in lines]
            if any(text.strip() for text in texts):
                try:
                    yield np.loadtxt(
                        texts, delimiter=layout.delimiter, usecols=layout.order, ndmin=2
                    )
                except ValueError as error:
                    raise _bad_line(path, texts, n_read, layout, error) from None
            n_read += len(lines)


def _bad_line(
    path: Path, texts: list[str], n_read: int, layout: _Layout, error: ValueError
) -> InputFileError:
    """Name the line that does not parse: loadtxt counts rows of the block, blank lines left out."""
    for i, text in enumerate(texts):
        fields = text.split(layout.delimiter)
        try:
            for column in layout.order:
                float(fields[column])
        except (ValueError, IndexError):
            if text.strip():
                return InputFileError(
                    f"{path}: line {n_read + i + 1} is {text.strip()[:60]!r}; expected the "
                    f"columns t, x, y, p as numbers: the file is corrupt or truncated there"
                )
    return InputFileError(f"{path}: line {n_read + 1} or after it does not parse: {error}")


def _columns(path: Path, layout: _Layout, unit: str) -> Iterator[Columns]:
    n = 0
    for rows in _numbers(path, layout):
        try:
            yield from_numbers(*rows.T, unit=unit, n_before=n)
        except InputFileError as error:
            raise InputFileError(f"{path}: {error}") from None
        n += len(rows)
