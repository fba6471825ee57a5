"""What to take for a network of which only some totals are known.

The defaults are medians over published networks with all columns known; they are marked as
assumed, and the models widen their intervals for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hw_models.ops import OpKind


@dataclass(frozen=True, slots=True)
class Typical:
    """What a class of networks usually has: graph layers, and elements written per MAC."""

    layers: int
    elements_per_mac: float


TYPICAL: Mapping[OpKind, Typical] = {
    OpKind.CNN: Typical(130, 3e-3),
    OpKind.GROUPED_CNN: Typical(200, 5e-3),
    OpKind.DW_CNN: Typical(200, 15e-3),
    OpKind.VIT: Typical(500, 2.5e-3),
    OpKind.HYBRID: Typical(400, 8e-3),
    OpKind.LLM: Typical(1000, 1e-3),
    OpKind.DECODE: Typical(1000, 1e-3),
}
