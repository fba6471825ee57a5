"""Pure step functions of every neuron kind.

Current-based LIF in Loihi precision (all integers, int64; M = 2**23), in this order per tick, as
Lava 0.10.0's bit-accurate LIF model does::

    u' = trunc(u * (4096 - (du + 1)) / 4096) + 64 * a        a: weighted spikes that arrive
    u  = u' - 2M if u' > M;  u' + 2M if u' <= -M             wraps
    v' = trunc(v * (4096 - dv) / 4096) + u
    v  = clip(v', -(M - 1), M - 1)                           saturates
    s  = v > 64 * vth                                        strict
    v  = 0 where s                                           u is kept

``trunc`` rounds toward zero. Note du + 1 and dv without the offset. Float precision is the same
without the factor 64, the wrap and the saturation::

    u = u * (1 - loss_u / 4096) + a
    v = v * (1 - loss_v / 4096) + u,   s = v > vth,   v = 0 where s

A leaky integrator is the same without s. Two additions, each 0 where it is not used::

    w = trunc(w * (4096 - dw) / 4096)                        rise of the threshold
    v = 0 where wait > 0                                     refractory
    s = wait = 0 and v > 64 * vth + w
    w += 64 * step where s;  wait = refractory where s, else max(wait - 1, 0)

Sigma-delta and delta encoders (Lava 0.10.0, ``lava.proc.sdn``, both exponents 0), integers in every
precision; ``f`` is the identity or the positive part::

    sigma = sigma + a                                        a delta encoder takes sigma = a
    act'  = f(sigma + bias)
    delta = act' - act + residue
    s     = delta if |delta| >= vth else 0                   not strict; the payload of the spike
    residue = delta - s,  act = act'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import BackendError
from neurovlm.spiking.network import Kind, Population

UNIT = 4096  # decays are counted in 4096ths
WEIGHT_SHIFT = 6  # states carry six fractional bits
LIMIT = 1 << 23  # 24-bit signed states

IntArray = NDArray[np.int64]
Cells = Mapping[str, NDArray[Any]]
"""State variables of one population by name, each ``(n,)``, see `Population.variables`."""


def truncate(value: IntArray, bits: int) -> IntArray:
    """Divide by ``2**bits`` and round toward zero."""
    kept: IntArray = np.sign(value) * (np.abs(value) >> bits)
    return kept


def wrap(u: IntArray) -> IntArray:
    """Bring one overflow back into (-2**23, 2**23]; +2**23 itself stays."""
    wrapped: IntArray = u - 2 * LIMIT * (u > LIMIT) + 2 * LIMIT * (u <= -LIMIT)
    return wrapped


def step_loihi(p: Population, cells: Cells, a: IntArray) -> tuple[Cells, NDArray[np.bool_]]:
    """One tick of a LIF or LI population in Loihi's integers; ``a`` is int64 ``(n,)``.

    Returns
    -------
    The new state variables and where a neuron fired.
    """
    u = wrap(truncate(cells["u"] * (UNIT - (p.du + 1)), 12) + (a << WEIGHT_SHIFT))
    v = np.clip(truncate(cells["v"] * (UNIT - p.dv), 12) + u, -(LIMIT - 1), LIMIT - 1)
    rise = truncate(cells["w"] * (UNIT - p.dw), 12) if p.step else None
    return _fire(p, cells, u, v, p.vth << WEIGHT_SHIFT, rise, round(p.step) << WEIGHT_SHIFT)


def step_float(
    p: Population, cells: Cells, a: NDArray[np.floating[Any]]
) -> tuple[Cells, NDArray[np.bool_]]:
    """Do the same in the dtype of ``a``."""
    dtype = a.dtype
    u = cells["u"] * ((UNIT - p.loss_u) / UNIT).astype(dtype) + a
    v = cells["v"] * ((UNIT - p.loss_v) / UNIT).astype(dtype) + u
    rise = cells["w"] * dtype.type((UNIT - p.loss_w) / UNIT) if p.step else None
    return _fire(p, cells, u, v, p.threshold.astype(dtype), rise, dtype.type(p.step))


def _fire(
    p: Population,
    cells: Cells,
    u: NDArray[Any],
    v: NDArray[Any],
    threshold: NDArray[Any],
    rise: NDArray[Any] | None,
    step: Any,
) -> tuple[Cells, NDArray[np.bool_]]:
    """Refractoriness, threshold and reset, alike in every precision."""
    if p.kind is Kind.LI:
        return {"u": u, "v": v}, np.zeros(p.size, np.bool_)
    after: dict[str, NDArray[Any]] = {}
    if p.refractory:
        held = cells["wait"] > 0
        v = np.where(held, v.dtype.type(0), v)
    spikes: NDArray[np.bool_] = v > threshold if rise is None else v > threshold + rise
    if p.refractory:
        spikes = spikes & ~held
        after["wait"] = np.where(spikes, p.refractory, np.maximum(cells["wait"] - 1, 0))
    if rise is not None:
        after["w"] = np.where(spikes, rise + step, rise)
    return {"u": u, "v": np.where(spikes, v.dtype.type(0), v), **after}, spikes


def step_sigma_delta(p: Population, cells: Cells, a: IntArray) -> tuple[Cells, IntArray]:
    """One tick of a sigma-delta or delta population; ``a`` is int64 ``(n,)``.

    Returns
    -------
    The new state variables and the payloads, 0 where nothing is sent.

    Raises
    ------
    BackendError
        When an activation leaves 24 bits.
    """
    sigma = a if p.kind is Kind.DELTA else cells["sigma"] + a
    act = sigma + np.rint(p.bias).astype(np.int64)
    if p.rectified:
        act = np.maximum(act, 0)
    if np.abs(act).max(initial=0) >= LIMIT:
        raise BackendError(
            f"node {p.name!r}: an activation reached {np.abs(act).max()} and left 24 bits; "
            "lower its weights or its input"
        )
    delta = act - cells["act"] + cells["residue"]
    sent = np.where(np.abs(delta) >= p.vth, delta, 0)
    after = {"act": act, "residue": delta - sent}
    return (after if p.kind is Kind.DELTA else {"sigma": sigma, **after}), sent
