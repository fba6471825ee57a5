"""Columns of numbers with no fixed meaning, as CSV and NumPy files hold them, to events."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import InputFileError
from neurovlm.events.io.source import Columns, IntArray

US_PER = {"s": 1e6, "ms": 1e3, "us": 1.0}
_LONGEST_S = 3600.0
_HIGHEST_RATE_HZ = 1e8  # no sensor sends more events


def infer_unit(t: NDArray[Any]) -> tuple[str, str]:
    """Guess the unit of the first times of a recording, and say why.

    Times with fractions are seconds, unless that makes more than an hour: then milliseconds, or
    microseconds. Whole numbers are microseconds, unless that makes more events per second than
    any sensor sends: then milliseconds.
    """
    t = t[np.isfinite(t)]
    span = float(t[-1] - t[0]) if len(t) else 0.0
    if np.any(t % 1):
        unit = next((u for u in ("s", "ms") if span * US_PER[u] <= _LONGEST_S * 1e6), "us")
        why = "times have fractions"
    else:
        crowded = len(t) > 1000 and len(t) > _HIGHEST_RATE_HZ * max(span, 1.0) / 1e6
        unit = "ms" if crowded else "us"
        why = "times are whole numbers"
    return unit, f"time unit assumed to be {unit} ({why})"


def from_numbers(
    t: NDArray[Any],
    x: NDArray[Any],
    y: NDArray[Any],
    p: NDArray[Any],
    *,
    unit: str,
    n_before: int = 0,
) -> Columns:
    """Events from columns of any numeric type.

    Parameters
    ----------
    t
        Times in ``unit``; rounded to microseconds.
    x, y
        Whole numbers.
    p
        0 and 1, -1 and 1, or bool.
    unit
        ``"s"``, ``"ms"`` or ``"us"``.
    n_before
        Events before these, for messages.

    Raises
    ------
    InputFileError
        At a value that is none of these, NaN included; names the event.
    """
    if p.dtype != np.bool_:
        _refuse(~np.isin(p, (-1, 0, 1)), p, "the polarity", "0, 1 or -1", n_before)
    return Columns(
        _to_us(t, unit, n_before), _whole(x, "x", n_before), _whole(y, "y", n_before), p > 0
    )


def _refuse(
    bad: NDArray[np.bool_], values: NDArray[Any], name: str, expected: str, n_before: int
) -> None:
    if bad.any():
        i = int(np.argmax(bad))
        raise InputFileError(
            f"event {n_before + i} has {name} {values[i]}; expected {expected}: remove or repair it"
        )


def _whole(values: NDArray[Any], name: str, n_before: int) -> IntArray:
    if np.issubdtype(values.dtype, np.integer):
        return values
    bad = (values % 1 != 0) | (np.abs(values) > 2**31)
    _refuse(bad, values, name, "a whole pixel number", n_before)
    return values.astype(np.int32)


def _to_us(t: NDArray[Any], unit: str, n_before: int) -> NDArray[np.int64]:
    if np.issubdtype(t.dtype, np.integer) and unit == "us":
        bad = t > np.iinfo(np.int64).max
        time = t
    else:
        time = np.rint(t.astype(np.float64) * US_PER[unit])
        bad = ~(np.abs(time) < 2.0**63)
    _refuse(bad, t, "the time", "a number of seconds, ms or us", n_before)
    return time.astype(np.int64)
