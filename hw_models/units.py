"""Numbers for readers: the only place where SI floats become text."""

from __future__ import annotations

import math

import numpy as np

from hw_models.uncertainty import Interval

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}


def format_quantity(quantity: Interval | None, unit: str) -> str:
    """Write a quantity with its interval, in the unit that leaves 1 to 3 digits before the dot.

    Parameters
    ----------
    quantity
        In SI units; ``None`` is written as a dash.
    unit
        Symbol of the SI unit: ``J``, ``W``, ``s``.

    Examples
    --------
    >>> format_quantity(Interval(2.31e-3, 1.2e-3, 4.5e-3), "J")
    '2.31 mJ (1.2 to 4.5)'
    """
    if quantity is None:
        return "-"
    exponent = _exponent(quantity.value or quantity.high)
    value, low, high = (
        _three_digits(number / 10.0**exponent)
        for number in (quantity.value, quantity.low, quantity.high)
    )
    return f"{value} {_PREFIXES[exponent]}{unit} ({low} to {high})"


def format_number(value: float, unit: str) -> str:
    """Write a number scaled like :func:`format_quantity`, without an interval."""
    exponent = _exponent(value)
    return f"{_three_digits(value / 10.0**exponent)} {_PREFIXES[exponent]}{unit}"


def _exponent(value: float) -> int:
    """Power of a thousand that leaves 1 to 999 once rounded to three digits."""
    if value == 0:
        return 0
    rounded = float(f"{value:.2e}")
    exponent = 3 * math.floor(math.log10(abs(rounded)) / 3 + 1e-12)
    return min(max(exponent, min(_PREFIXES)), max(_PREFIXES))


def _three_digits(value: float) -> str:
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")
