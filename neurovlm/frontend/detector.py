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
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.graph import SpikingGraph

GRAPHS = ("change-detector", "patch-lif")


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
    adapt_tau_ms: float = 200.0
    adapt_in: int = 16
    adapt_threshold: int = 160
    adapt_weight: int = 4
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
    pixel, patches = (1, pixels, pixels), (1, side, side)
    ring = np.ones((3, 3))
    ring[1, 1] = 0.0
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input({"input": np.array((2, pixels, pixels))}),
        "output": nir.Output({"output": np.array(patches)}),
        "F": _neurons(pixel, None, c.filter_tau_ms, c.filter_threshold, dynamics),
        "D": _neurons(patches, None, c.detector_tau_ms, c.detector_threshold, dynamics),
        "R": _neurons(patches, c.relay_tau_ms, None, c.relay_weight // 2, dynamics),
        "A": _neurons(patches, c.adapt_tau_ms, None, c.adapt_threshold, dynamics),
        "H": _neurons(patches, c.readout_tau_ms, None, c.readout_threshold, dynamics),
        "C": _neurons((1, 1, 1), c.cap_tau_ms, None, c.cap_threshold, dynamics),
        "input_F": _conv(c.filter_weight * np.stack([ring, ring]), (pixels, pixels), 1, 1),
        "F_D": _conv(c.detector_weight * np.ones((1, patch, patch)), (pixels, pixels), patch, 0),
        "D_D_self": _scale(-c.self_weight, patches),
        "D_D_ring": _conv(c.ring_weight * ring[None], (side, side), 1, 1),
        "D_R": _scale(c.relay_weight, patches),
        "R_D": _scale(-c.relay_weight, patches),
        "D_A": _scale(c.adapt_in, patches),
        "A_D": _scale(-c.adapt_weight, patches),
        "D_H": _scale(c.readout_in, patches),
        "H_D": _scale(c.hold_weight, patches),
        # all-to-one and one-to-all as kernels of the grid's size: they keep (channel, row, column)
        "D_C": _conv(c.cap_in * np.ones((1, side, side)), (side, side), 1, 0),
        "C_D": _conv(-c.cap_weight * np.ones((1, side, side)), (1, 1), 1, side - 1),
    }
    edges = [("input", "input_F"), ("input_F", "F"), ("F", "F_D"), ("F_D", "D"), ("H", "output")]
    for via in ("D_D_self", "D_D_ring", "D_R", "R_D", "D_A", "A_D", "D_H", "H_D", "D_C", "C_D"):
        source, target = via.split("_")[:2]
        edges += [(source, via), (via, target)]
    return _graph("change-detector", nodes, edges, dynamics)


def patch_lif(
    *,
    grid: PatchGrid | None = None,
    tau_syn_ms: float = 4.0,
    tau_mem_ms: float = 16.0,
    weight: int = 16,
    threshold: int = 1200,
    precision: Precision | str = Precision.LOIHI,
) -> SpikingGraph:
    """196 bare current-based LIF units, each fed by the events of its patch."""
    grid = PatchGrid() if grid is None else grid
    dynamics = Dynamics(precision=Precision(precision))
    patches = (1, grid.side, grid.side)
    kernel = weight * np.ones((2, grid.patch, grid.patch))
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input({"input": np.array((2, grid.pixels, grid.pixels))}),
        "output": nir.Output({"output": np.array(patches)}),
        "P": _neurons(patches, tau_syn_ms, tau_mem_ms, threshold, dynamics),
        "input_P": _conv(kernel, (grid.pixels, grid.pixels), grid.patch, 0),
    }
    edges = [("input", "input_P"), ("input_P", "P"), ("P", "output")]
    return _graph("patch-lif", nodes, edges, dynamics)


def _graph(
    name: str, nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]], dynamics: Dynamics
) -> SpikingGraph:
    return SpikingGraph(nir.NIRGraph(nodes, edges), dynamics, name)


def _neurons(
    shape: tuple[int, ...],
    tau_syn_ms: float | None,
    tau_mem_ms: float | None,
    threshold: int,
    dynamics: Dynamics,
) -> nir.CubaLIF:
    """Neurons whose Euler gains are 1; a time constant of None forgets within the tick.

    Loihi can lose 4095/4096 of v per tick at most, so that is what None means for v.
    """
    per_tick = dynamics.dt_s * 1e3
    loss_u = UNIT if tau_syn_ms is None else round(UNIT * per_tick / tau_syn_ms)
    loss_v = UNIT - 1 if tau_mem_ms is None else min(round(UNIT * per_tick / tau_mem_ms), UNIT - 1)
    full = np.ones(shape)
    return nir.CubaLIF(
        tau_syn=full * dynamics.dt_s * UNIT / loss_u,
        tau_mem=full * dynamics.dt_s * UNIT / loss_v,
        r=full * UNIT / loss_v,
        w_in=full * UNIT / loss_u,
        v_leak=full * 0.0,
        v_threshold=full * float(threshold),
        v_reset=full * 0.0,
    )


def _conv(kernel: NDArray[Any], in_shape: tuple[int, int], stride: int, padding: int) -> nir.Conv2d:
    return nir.Conv2d(in_shape, kernel[None].astype(float), stride, padding, 1, 1, np.zeros(1))


def _scale(weight: int, shape: tuple[int, ...]) -> nir.Scale:
    return nir.Scale(np.full(shape, float(weight)))


def neurons_of(graph: SpikingGraph) -> int:
    """Total number of neurons."""
    return sum(prod(p.shape) for p in graph.network.populations)
