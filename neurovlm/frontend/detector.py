"""The change detector: current-based LIF populations and connections only.

Seven populations on a grid of 14 x 14 patches, ``->`` is one connection and one tick:

- ``F`` support filter, one neuron per pixel: both polarities of the eight neighbours;
- ``D`` detector: accumulates F over its patch;
- ``D -> R -> D`` fast relay: refractoriness (``D -> D`` covers the tick in between);
- ``D -> A -> D`` slow relay: raises the bar for a patch that never stops (flicker);
- ``D -> D`` ring of eight and ``H -> D``: weak excitation of neighbours and of changed patches;
- ``D -> H`` read-out with a slow current: holds a change for about one window (hysteresis);
- ``D -> C -> D`` one neuron: pushes back when very many patches fire (soft cap).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod

import nir
import numpy as np

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.frontend.nodes import conv, neurons, scale
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.graph import SpikingGraph

RING = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
"""The eight neighbours."""


@dataclass(frozen=True)
class DetectorConfig:
    """Every constant of the detector. Times in ms, weights and thresholds in Loihi integers.

    Attributes
    ----------
    filter_tau_ms, filter_weight, filter_threshold
        F: leak, weight of one neighbour's event, threshold.
    detector_tau_ms, detector_weight, detector_threshold
        D: leak, weight of one F spike, threshold.
    self_weight, relay_tau_ms, relay_weight
        Inhibition of D by itself in the next tick, and through R for about ``relay_tau_ms``.
    adapt_tau_ms, adapt_in, adapt_threshold, adapt_weight
        A: its slow current, what a D spike adds, where A starts to fire, its inhibition of D.
    ring_weight, hold_weight
        Excitation of D by neighbouring D and by its own H.
    readout_tau_ms, readout_in, readout_threshold
        H: slow current, what a D spike adds, threshold.
    cap_tau_ms, cap_in, cap_threshold, cap_weight
        C: current, what a D spike adds, threshold, inhibition of every D.
    """

    filter_tau_ms: float = 8.0
    filter_weight: int = 40
    filter_threshold: int = 85
    detector_tau_ms: float = 12.0
    detector_weight: int = 16
    detector_threshold: int = 96
    self_weight: int = 64
    relay_tau_ms: float = 3.0
    relay_weight: int = 32
    adapt_tau_ms: float = 400.0
    adapt_in: int = 16
    adapt_threshold: int = 2000
    adapt_weight: int = 255
    ring_weight: int = 8
    hold_weight: int = 1
    readout_tau_ms: float = 20.0
    readout_in: int = 120
    readout_threshold: int = 32
    cap_tau_ms: float = 10.0
    cap_in: int = 4
    cap_threshold: int = 600
    cap_weight: int = 24

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name.endswith("_tau_ms") and not 1.0 <= value <= UNIT:
                raise UsageError(f"detector.{name} must be 1 to {UNIT} ms, got {value}")
            if not name.endswith("_tau_ms") and value < 0:
                raise UsageError(f"detector.{name} must not be negative, got {value}")


def change_detector(
    config: DetectorConfig | None = None,
    *,
    grid: PatchGrid | None = None,
    precision: Precision | str = Precision.LOIHI,
) -> SpikingGraph:
    """Build the change detector for inputs of ``(2, pixels, pixels)``; its output is H."""
    c = DetectorConfig() if config is None else config
    grid = PatchGrid() if grid is None else grid
    dynamics = Dynamics(precision=Precision(precision))
    pixels, side, patch = grid.pixels, grid.side, grid.patch
    patches = (1, side, side)
    nodes = {
        **support_filter(c, grid, dynamics),
        "output": nir.Output({"output": np.array(patches)}),
        "D": neurons(patches, None, c.detector_tau_ms, c.detector_threshold, dynamics),
        "R": neurons(patches, c.relay_tau_ms, None, c.relay_weight // 2, dynamics),
        "A": neurons(patches, c.adapt_tau_ms, None, c.adapt_threshold, dynamics),
        "H": neurons(patches, c.readout_tau_ms, None, c.readout_threshold, dynamics),
        "C": neurons((1, 1, 1), c.cap_tau_ms, None, c.cap_threshold, dynamics),
        "F_D": conv(c.detector_weight * np.ones((1, 1, patch, patch)), (pixels, pixels), patch),
        "D_D_self": scale(-c.self_weight, patches),
        "D_D_ring": conv(c.ring_weight * RING[None, None], (side, side), padding=1),
        "D_R": scale(c.relay_weight, patches),
        "R_D": scale(-c.relay_weight, patches),
        "D_A": scale(c.adapt_in, patches),
        "A_D": scale(-c.adapt_weight, patches),
        "D_H": scale(c.readout_in, patches),
        "H_D": scale(c.hold_weight, patches),
        # all-to-one and one-to-all as kernels of the grid's size: they keep (channel, row, column)
        "D_C": conv(c.cap_in * np.ones((1, 1, side, side)), (side, side)),
        "C_D": conv(-c.cap_weight * np.ones((1, 1, side, side)), (1, 1), padding=side - 1),
    }
    edges = [("input", "input_F"), ("input_F", "F"), ("F", "F_D"), ("F_D", "D"), ("H", "output")]
    for via in ("D_D_self", "D_D_ring", "D_R", "R_D", "D_A", "A_D", "D_H", "H_D", "D_C", "C_D"):
        source, target = via.split("_")[:2]
        edges += [(source, via), (via, target)]
    return SpikingGraph(nir.NIRGraph(nodes, edges), dynamics, "change-detector")


def support_filter(
    config: DetectorConfig, grid: PatchGrid, dynamics: Dynamics
) -> dict[str, nir.NIRNode]:
    """Input, F and the connection between them: what every detector shares and tokens read."""
    c, pixels = config, grid.pixels
    return {
        "input": nir.Input({"input": np.array((2, pixels, pixels))}),
        "input_F": conv(c.filter_weight * np.stack([[RING, RING]]), (pixels, pixels), padding=1),
        "F": neurons((1, pixels, pixels), None, c.filter_tau_ms, c.filter_threshold, dynamics),
    }


def neurons_of(graph: SpikingGraph) -> int:
    """Total number of neurons."""
    return sum(prod(p.shape) for p in graph.network.populations)
