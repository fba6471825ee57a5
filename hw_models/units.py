"""Numbers for readers: the only place where SI floats become text."""

from __future__ import annotations

import math

import numpy as np

from hw_models.sourced import Sourced
from hw_models.uncertainty import Interval

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
_SYMBOLS = {
    "j": "J",
    "s": "s",
    "w": "W",
    "hz": "Hz",
    "mac": "MAC",
    "byte": "B",
    "bytes": "B",
    "bits": "bit",
}


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


def format_ratio(ratio: Interval | None) -> str:
    """Write a number without unit, with its interval, to three digits.

    Examples
    --------
    >>> format_ratio(Interval(0.9495, 0.6178, 1.3656))
    '0.95 (0.618 to 1.37)'
    """
    if ratio is None:
        return "-"
    value, low, high = map(_three_digits, (ratio.value, ratio.low, ratio.high))
    return f"{value} ({low} to {high})"


def unit_of(key: str) -> str:
    """Read the unit of a constant off its dotted key; empty where it has none.

    Examples
    --------
    >>> unit_of("jetson-nano@maxn.mac_j"), unit_of("modes.15w.mac_per_s.fp16"), unit_of("imbalance")
    ('J', 'MAC/s', '')
    """
    for name in reversed(key.split(".")):
        what, _, per = name.partition("_per_")
        unit = _SYMBOLS.get(what.split("_")[-1], "") if "_" in name else ""
        if unit or per:
            return f"{unit}/s" if per == "s" else unit
    return ""


def format_constant(key: str, constant: Sourced) -> str:
    """Write a constant with its range, in the unit that its key names.

    Examples
    --------
    >>> number = Sourced(0.35, 0.1, 0.41, "someone2020", "Table 1", "measured")
    >>> format_constant("kinds.gemm.efficiency.fp16", number)
    '0.35 (0.1 to 0.41)'
    """
    unit = unit_of(key)
    if unit:
        return format_quantity(Interval(constant.value, constant.low, constant.high), unit)
    return f"{constant.value:g} ({constant.low:g} to {constant.high:g})"


def _exponent(value: float) -> int:
    """Power of a thousand that leaves 1 to 999 once rounded to three digits."""
    if value == 0:
        return 0
    rounded = float(f"{value:.2e}")
    exponent = 3 * math.floor(math.log10(abs(rounded)) / 3 + 1e-12)
    return min(max(exponent, min(_PREFIXES)), max(_PREFIXES))


def _three_digits(value: float) -> str:
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")
