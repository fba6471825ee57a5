"""Pure step functions of the current-based LIF neuron.

Loihi precision (all integers, int64; M = 2**23), in this order per tick, as Lava 0.10.0's
bit-accurate LIF model does::

    u' = trunc(u * (4096 - (du + 1)) / 4096) + 64 * a        a: weighted spikes of the last tick
    u  = u' - 2M if u' > M;  u' + 2M if u' <= -M             wraps
    v' = trunc(v * (4096 - dv) / 4096) + u
    v  = clip(v', -(M - 1), M - 1)                           saturates
    s  = v > 64 * vth                                        strict
    v  = 0 where s                                           u is kept

``trunc`` rounds toward zero. Note du + 1 and dv without the offset.

Float precision is the same without the factor 64, the wrap and the saturation::

    u = u * (1 - loss_u / 4096) + a
    v = v * (1 - loss_v / 4096) + u,   s = v > vth,   v = 0 where s
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

UNIT = 4096  # decays are counted in 4096ths
WEIGHT_SHIFT = 6  # states carry six fractional bits
LIMIT = 1 << 23  # 24-bit signed states

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.floating[Any]]


def truncate(value: IntArray, bits: int) -> IntArray:
    """Divide by ``2**bits`` and round toward zero."""
    kept: IntArray = np.sign(value) * (np.abs(value) >> bits)
    return kept


def wrap(u: IntArray) -> IntArray:
    """Bring one overflow back into (-2**23, 2**23]; +2**23 itself stays."""
    wrapped: IntArray = u - 2 * LIMIT * (u > LIMIT) + 2 * LIMIT * (u <= -LIMIT)
    return wrapped


def step_loihi(
    u: IntArray, v: IntArray, a: IntArray, *, du: IntArray, dv: IntArray, vth: IntArray
) -> tuple[IntArray, IntArray, NDArray[np.bool_]]:
    """One tick in Loihi's integers; returns ``(u, v, spikes)``, all ``(n,)``."""
    u = wrap(truncate(u * (UNIT - (du + 1)), 12) + (a << WEIGHT_SHIFT))
    v = np.clip(truncate(v * (UNIT - dv), 12) + u, -(LIMIT - 1), LIMIT - 1)
    spikes = v > (vth << WEIGHT_SHIFT)
    return u, np.where(spikes, 0, v), spikes


def step_float(
    u: FloatArray,
    v: FloatArray,
    a: FloatArray,
    *,
    keep_u: FloatArray,
    keep_v: FloatArray,
    vth: FloatArray,
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """One tick in the dtype of the arguments; ``keep`` is ``1 - loss / 4096``."""
    u = u * keep_u + a
    v = v * keep_v + u
    spikes = v > vth
    return u, np.where(spikes, v.dtype.type(0), v), spikes
