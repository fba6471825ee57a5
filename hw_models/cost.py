"""What the two families of equations return: energy rows and times, per inference, in columns."""

from __future__ import annotations

from dataclasses import dataclass

from hw_models.uncertainty import Columns

SHARED = "device"  # stage of rows that belong to no stage: idle, link, chip overheads


@dataclass(frozen=True, slots=True)
class Line:
    """Energy [J] or time [s] of one term of one layer, per inference, shape (n_columns,)."""

    stage: str
    layer: str
    term: str
    amount: Columns


@dataclass(frozen=True, slots=True)
class Cost:
    """Energies above idle, and times, which sum to the latency, of one part of a device."""

    energies: tuple[Line, ...]
    times: tuple[Line, ...]
