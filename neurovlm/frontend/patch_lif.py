"""A graph for benchmarks and teaching: one bare neuron per patch, fed by its events."""

from __future__ import annotations

import nir
import numpy as np

from neurovlm.core.grid import PatchGrid
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.graph import SpikingGraph

EVENT_BITS = 14
"""Up to 16,383 events per patch and tick: sensors that read out in bursts send thousands."""


def patch_lif(
    *,
    side: int = PatchGrid().side,
    tau_syn_ms: float = 4.0,
    tau_mem_ms: float = 16.0,
    weight: int = 2,
    threshold: int = 150,
    message_bits: int = EVENT_BITS,
    precision: Precision | str = Precision.LOIHI,
) -> SpikingGraph:
    """``side x side`` bare current-based LIF neurons, each fed by the events of its patch.

    The input is one graded spike per patch and tick: the number of its events, both polarities
    together; it adds ``weight`` times that number to u. Gains are 1, so weight and threshold are
    Loihi's integers. With the default values u provably cannot wrap, 2 x 16,383 x 64 x 4 < 2**23.

    Parameters
    ----------
    side
        Patches per side of the model's grid.
    message_bits
        A patch may have up to ``2 ** message_bits - 1`` events in a tick.
    """
    dynamics = Dynamics(precision=Precision(precision))
    patches = (1, side, side)
    full = np.ones(patches)
    per_tick = dynamics.dt_s * 1e3
    neurons = nir.CubaLIF(
        tau_syn=full * tau_syn_ms / 1e3,
        tau_mem=full * tau_mem_ms / 1e3,
        r=full * tau_mem_ms / per_tick,
        w_in=full * tau_syn_ms / per_tick,
        v_leak=full * 0.0,
        v_threshold=full * float(threshold),
        v_reset=full * 0.0,
    )
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input({"input": np.array(patches)}),
        "input_P": nir.Scale(full * float(weight)),
        "P": neurons,
        "output": nir.Output({"output": np.array(patches)}),
    }
    edges = [("input", "input_P"), ("input_P", "P"), ("P", "output")]
    extensions = {"input": Extension(message_bits=message_bits)}
    return SpikingGraph(nir.NIRGraph(nodes, edges), dynamics, "patch-lif", extensions)
