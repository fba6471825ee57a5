"""NIR nodes of the detectors: current-based LIF populations and the connections between them."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.fixed_point import UNIT


def neurons(
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


def conv(
    kernel: NDArray[Any], in_shape: tuple[int, int], stride: int = 1, padding: int = 0
) -> nir.Conv2d:
    """Convolution without bias; ``kernel`` is ``(out, in, height, width)``."""
    weight = kernel.astype(np.float64)
    return nir.Conv2d(in_shape, weight, stride, padding, 1, 1, np.zeros(len(weight)))


def scale(weight: int, shape: tuple[int, ...]) -> nir.Scale:
    """One-to-one connection of equal weights."""
    return nir.Scale(np.full(shape, float(weight)))
