"""How a graph is stepped: everything NIR leaves open."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from neurovlm.core.errors import GraphError


class Precision(StrEnum):
    """Arithmetic of the neuron states."""

    LOIHI = "loihi"
    FLOAT64 = "float64"
    FLOAT32 = "float32"


@dataclass(frozen=True)
class Dynamics:
    """Time step and conventions of one graph.

    Every connection delivers the spikes of the previous tick. A neuron fires when v is strictly
    above its threshold and its v is set to 0 in the same tick; u is kept.

    Attributes
    ----------
    dt_s
        Seconds per tick.
    precision
        ``loihi`` (12-bit decays, 24-bit states, integers), ``float64`` or ``float32``.
    integrator, comparator, reset
        One value each is known today; they are written into files so that a reader can tell.
    allow_wrap
        Accept a graph whose u could overflow 24 bits in Loihi precision.
    """

    dt_s: float = 1e-3
    precision: Precision = Precision.LOIHI
    integrator: str = "euler"
    comparator: str = ">"
    reset: str = "zero-same-tick"
    allow_wrap: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.dt_s < float("inf"):
            raise GraphError(
                f"Dynamics: dt_s must be a positive number of seconds, got {self.dt_s}"
            )
        try:
            object.__setattr__(self, "precision", Precision(self.precision))
        except ValueError:
            known = ", ".join(Precision)
            raise GraphError(
                f"Dynamics: precision must be one of {known}, got {self.precision!r}"
            ) from None
        fixed = {"integrator": "euler", "comparator": ">", "reset": "zero-same-tick"}
        for field, known in fixed.items():
            if getattr(self, field) != known:
                raise GraphError(
                    f"Dynamics: {field} must be {known!r}, got {getattr(self, field)!r}; "
                    "no backend honours another"
                )

    @property
    def dt_us(self) -> int:
        """Microseconds per tick, which event times need to be whole."""
        dt_us = round(self.dt_s * 1e6)
        if dt_us < 1 or abs(dt_us - self.dt_s * 1e6) > 1e-6:
            raise GraphError(
                f"Dynamics: dt_s must be a whole number of microseconds to bin events, "
                f"got {self.dt_s}"
            )
        return dt_us

    def to_dict(self) -> dict[str, Any]:
        """Plain values for metadata and reports."""
        return {**asdict(self), "precision": str(self.precision)}
