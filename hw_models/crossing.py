"""Where a difference changes its sign, draw by draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw_models.uncertainty import Columns, Interval, intervals_of


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where a difference of a less b changes its sign.

    Parameters
    ----------
    at
        First change at nominal values, with the 5-95% of the draws; ``None`` where there is none.
        A draw that stays on one side is taken to change beyond the range, at the end of the range
        that the nominal order puts it.
    n_changes
        Changes of sign at nominal values.
    agreement
        Share of draws with the same answer: the same sign at the start, and a change or none.
    """

    at: Interval | None
    n_changes: int
    agreement: float


def crossing_of(x: Columns, difference: Columns) -> Crossing:
    """Find the first change of sign.

    Parameters
    ----------
    x
        Ascending, shape (n_points,).
    difference
        Taken as straight between points; shape (n_points, 1 + n_samples), column 0 nominal.
    """
    negative = difference < 0
    changes = negative[1:] != negative[:-1]
    first, crosses = changes.argmax(axis=0), changes.any(axis=0)
    column = np.arange(difference.shape[1])
    start, end = difference[first, column], difference[first + 1, column]
    share = np.divide(start, start - end, out=np.zeros_like(start), where=crosses)
    same_start = negative[0] == negative[0, 0]
    agreement = float(np.mean((same_start & (crosses == crosses[0]))[1:]))
    if not crosses[0]:
        return Crossing(None, 0, agreement)
    inside = x[first] + share * (x[first + 1] - x[first])
    where = np.where(crosses, inside, np.where(same_start, x[-1], x[0]))
    (at,) = intervals_of(where[:1], where[np.newaxis, 1:])
    return Crossing(at, int(changes[:, 0].sum()), agreement)
