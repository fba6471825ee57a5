"""What became of a row: a prediction beside the measurement, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from hw_models.uncertainty import Interval
from hw_models.validate.rows import Row

MISSED_WEIGHT = 2 / 0.1  # 2 / alpha of a 90% interval


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted quantity beside the measured one, at the same boundary, in SI units.

    Parameters
    ----------
    quantity
        ``latency``, ``energy, latency given``, ``energy, end to end``, ``core energy`` and so on.
    measured, predicted
        In ``unit``.
    unit
        ``J`` or ``s``.
    device
        Name in the catalog, with its power mode.
    precision
        As costed; empty where there is none.
    boundary
        What an energy includes, of measurement and prediction alike.
    note
        What was assumed or what bounds the row, such as ``activity assumed``.
    """

    quantity: str
    measured: float
    predicted: Interval
    unit: Literal["J", "s"]
    device: str
    precision: str = ""
    boundary: str = ""
    note: str = ""

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted.value / self.measured

    @property
    def error(self) -> float:
        """Absolute relative error, ``|predicted / measured - 1|``."""
        return abs(self.ratio - 1)

    @property
    def factor(self) -> float:
        """How many times too much or too little, at least 1."""
        return max(self.ratio, 1 / self.ratio)

    @property
    def width(self) -> float:
        """Upper over lower end of the 90% interval."""
        return self.predicted.high / self.predicted.low

    @property
    def inside(self) -> bool:
        """Whether the measurement lies in the 90% interval."""
        return self.predicted.low <= self.measured <= self.predicted.high

    @property
    def interval_score(self) -> float:
        """Interval score of the 90% interval on the scale of natural logarithms; less is better.

        ``(u - l) + 2/alpha (l - x)+ + 2/alpha (x - u)+`` with alpha = 0.1 and l, u, x the
        logarithms of both ends and of the measurement (Gneiting and Raftery 2007, equation 43).
        An interval of a factor 2 that holds the measurement scores 0.69.
        """
        low, high = math.log(self.predicted.low), math.log(self.predicted.high)
        measured = math.log(self.measured)
        missed = max(low - measured, measured - high, 0.0)
        return high - low + MISSED_WEIGHT * missed


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a quantity of a row is not predicted; an empty ``quantity`` is the whole row."""

    reason: str
    quantity: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row with the role that counts (:func:`hw_models.validate.rows.effective_roles`)."""

    row: Row
    role: str
    result: Prediction | Refusal
