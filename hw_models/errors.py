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


class MissingLibraryError(HwModelError):
    """A picture or page was asked for, and the library that makes it is not installed."""


class RowsError(HwModelError):
    """A table of published measurements breaks a rule."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``, did you mean 'x'?`` where a known name is close, else nothing."""
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


class OutputError(HwModelError):
    """A result cannot be written where it was asked for."""


_NUMBER = "{ value, low, high, source, locator, basis }"
_NUMBER_KEYS = ("value", "low", "high", "source", "locator", "basis")
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
_MISSING = ("missing", "missing_argument")
_CHOICE = ("literal_error", "enum")


def first_error(error: ValidationError, where: str, known: Iterable[str] = ()) -> str:
    """Say the first problem that pydantic found as one line: file, key, problem, value, cure.

    A key that is close to a known one comes before all others: the key it was meant to be is then
    missing too.

    Parameters
    ----------
    error
        What pydantic raised.
    where
        The file, or the name of what was being read.
    known
        Keys that are known somewhere in the file, to suggest one instead of an unknown key.
    """
    known = tuple(known)
    problems = error.errors(include_url=False)
    misspelt = [
        problem
        for problem in problems
        if problem["type"] in _UNKNOWN and suggestion(str(problem["loc"][-1]), known)
    ]
    problem = (misspelt or problems)[0]
    key, name = _dotted(problem["loc"]), str(problem["loc"][-1]) if problem["loc"] else ""
    got = problem["input"]
    shown = f", got {got!r}" if isinstance(got, str | int | float | bool | None) else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    message = _message(problem["type"], problem["msg"], name, shown)
    if problem["type"] in _UNKNOWN:
        message += suggestion(name, known)
    elif problem["type"] in _CHOICE and isinstance(got, str):
        message += suggestion(got, problem["ctx"]["expected"].replace("'", "").split(", "))
    return f"{where}: {key + ': ' if key else ''}{message}{more}"


def _message(kind: str, said: str, name: str, shown: str) -> str:
    if kind in _UNKNOWN:
        return f"unknown key{shown}"
    if kind in _MISSING:
        cure = f"; a number is {_NUMBER}" if name in _NUMBER_KEYS else ""
        return f"required key is missing{cure}"
    if kind == "float_type":
        return f"expected a number in SI units, without quotes and unit (5 pJ is 5e-12){shown}"
    if kind.startswith("int_"):
        return f"expected a whole number{shown}"
    if kind == "dataclass_type":
        return f"expected {_NUMBER if 'Sourced' in said else 'a table of keys'}{shown}"
    said = said.removeprefix("Value error, ").replace("Input should be", "expected", 1)
    return f"{said}{shown}"


def _dotted(location: tuple[str | int, ...]) -> str:
    key = ""
    for part in location:
        if part == "[key]":  # what follows is pydantic's own
            break
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    return key
