"""The errors of ``hw_models``: one family; one line each, naming file, key and expectation."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class HwModelError(ValueError):
    """Base of everything this package raises on purpose."""


class WorkloadError(HwModelError):
    """A workload, or the file that holds it, breaks a rule."""


class CatalogError(HwModelError):
    """A device file or the bibliography breaks a rule."""


class UnknownDeviceError(HwModelError):
    """No device, mode or system of that name."""


class EstimateError(HwModelError):
    """The question cannot be answered for this device (precision, rate)."""


class ComparisonError(HwModelError):
    """The reports do not describe comparable things."""


class RowsError(HwModelError):
    """A table of published measurements breaks a rule."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``, did you mean 'x'?`` where a known name is close, else nothing."""
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


class OutputError(HwModelError):
    """A result cannot be written where it was asked for."""


def first_error(error: ValidationError, where: str) -> str:
    """Say the first problem that pydantic found as one line: file, key, problem, value.

    Parameters
    ----------
    error
        What pydantic raised.
    where
        The file, or the name of what was being read.
    """
    problems = error.errors(include_url=False)
    first = problems[0]
    key = ""
    for part in first["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    message = first["msg"].removeprefix("Value error, ")
    message = {
        "unexpected_keyword_argument": "unknown key",
        "extra_forbidden": "unknown key",
        "missing": "required key is missing",
        "missing_argument": "required key is missing",
    }.get(first["type"], message)
    got = first["input"]
    shown = f", got {got!r}" if isinstance(got, str | int | float | bool | None) else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where}: {key + ': ' if key else ''}{message}{shown}{more}"
