"""What NIR has no words for: per-node additions that travel in metadata and in the sidecar.

The graph stays valid NIR. A reader that ignores the additions sees the plain neuron: a
refractory or adaptive node is a ``CubaLIF``, ``LIF`` or ``IF``, a delta encoder is an ``IF``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from math import isfinite
from typing import Any

from neurovlm.core.errors import GraphError

MAX_MESSAGE_BITS = 23  # payload of a graded spike beside its sign, Loihi 2


class Encoding(StrEnum):
    """How a node of graded spikes makes its messages."""

    NONE = ""
    DELTA = "delta"
    SIGMA_DELTA = "sigma-delta"
    SIGMA_DELTA_RELU = "sigma-delta-relu"


@dataclass(frozen=True)
class Extension:
    """Additions to one node.

    Attributes
    ----------
    refractory_s
        Time after a spike for which v is held at 0, whole ticks; u goes on.
    adapt_tau_s, adapt_step
        Adaptive threshold: every spike raises it by ``adapt_step`` (in units of the node's
        ``v_threshold``) from the next tick on, and the rise decays with ``adapt_tau_s``.
    encoding
        For an ``IF`` node: send changes of its activation as graded spikes. ``delta`` encodes what
        arrives, ``sigma-delta`` the sum of all that arrived, ``sigma-delta-relu`` the positive
        part of that sum. A change is sent once it is at least ``v_threshold``.
    message_bits
        For the input node: its spikes are graded and positive, with payloads below
        ``2 ** message_bits``; 0 means binary.
    """

    refractory_s: float = 0.0
    adapt_tau_s: float = 0.0
    adapt_step: float = 0.0
    encoding: Encoding = Encoding.NONE
    message_bits: int = 0

    def __post_init__(self) -> None:
        for name in ("refractory_s", "adapt_tau_s", "adapt_step"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise GraphError(f"Extension: {name} must be a number of at least 0, got {value}")
        if (self.adapt_tau_s > 0) != (self.adapt_step > 0):
            raise GraphError(
                "Extension: adapt_tau_s and adapt_step go together, got "
                f"{self.adapt_tau_s:g} and {self.adapt_step:g}; give both or none"
            )
        if not 0 <= self.message_bits <= MAX_MESSAGE_BITS:
            raise GraphError(
                f"Extension: message_bits must be 0 to {MAX_MESSAGE_BITS}, got {self.message_bits}"
            )
        try:
            object.__setattr__(self, "encoding", Encoding(self.encoding))
        except ValueError:
            known = ", ".join(repr(str(e)) for e in Encoding)
            raise GraphError(
                f"Extension: encoding must be one of {known}, got {self.encoding!r}"
            ) from None

    @property
    def on_neurons(self) -> bool:
        """Whether anything is set that only a firing neuron can do."""
        return self.refractory_s > 0 or self.adapt_step > 0

    def to_dict(self) -> dict[str, Any]:
        """The fields that are set, as plain values."""
        plain = {**asdict(self), "encoding": str(self.encoding)}
        return {key: value for key, value in plain.items() if value}


PLAIN = Extension()
