"""Which populations Lava's own processes can honour exactly, and which need our model.

Lava 0.10.0's ``LIF`` has one decay and one threshold per process, adds its bias to v, and knows
neither refractoriness nor adaptation; its sums are 32-bit integers; its variables have no port.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import LIMIT, UNIT
from neurovlm.spiking.loihi import peak_current
from neurovlm.spiking.network import Kind, Network, Population
from neurovlm.spiking.trace import SPIKES

Models = Literal["auto", "stock", "own"]
MODELS: tuple[Models, ...] = get_args(Models)
MAX_STOCK_DELAY = 63  # Lava's DelaySparse, Loihi's 6 bits
_INT32 = 1 << 31


def own_populations(
    network: Network, models: Models, probed: Mapping[str, tuple[str, ...]]
) -> frozenset[str]:
    """Names of the populations to run on our model.

    ``auto`` takes Lava's processes wherever they are exact, except for axonal delays, for which
    ``DelaySparse`` builds its matrices anew in every tick.

    Raises
    ------
    GraphError
        With ``stock``, for what Lava's processes cannot honour.
    UsageError
        With ``stock``, for a probe of a state variable.
    """
    if models == "own":
        return frozenset(p.name for p in network.populations)
    problems = {p.name: stock_problem(network, p) for p in network.populations}
    streamed = {name for name, variables in probed.items() if set(variables) - {SPIKES}}
    if models == "auto":
        delayed = {c.target for c in network.connections if c.delay.any()}
        return frozenset({name for name in problems if problems[name]} | delayed | streamed)
    for name, problem in problems.items():
        if problem:
            raise GraphError(f"backend 'lava': node {name!r}: {problem}; use models='auto'")
    for name in sorted(streamed):
        raise UsageError(
            f"backend 'lava': probe of {name!r}: Lava's own processes have no port for "
            f"{', '.join(set(probed[name]) - {SPIKES})}; use models='auto'"
        )
    return frozenset()


def stock_problem(network: Network, p: Population) -> str:
    """Why Lava's processes cannot run ``p`` and its connections exactly; empty when they can."""
    if beyond_stock(p):
        return beyond_stock(p)
    if network.dynamics.precision is not Precision.LOIHI:
        return ""
    delays = [int(c.delay.max(initial=0)) for c in network.connections if c.target == p.name]
    if max(delays, default=0) > MAX_STOCK_DELAY:
        return f"a delay of {max(delays)} ticks, Lava's DelaySparse has at most {MAX_STOCK_DELAY}"
    return _overflow(network, p)


def beyond_stock(p: Population) -> str:
    """What of ``p`` Lava's own ``LIF`` does not have; empty for a plain population."""
    if p.kind is not Kind.LIF:
        return f"kind {p.kind}, Lava's own processes have it without a check for 24 bits or not"
    found = {
        "decays or thresholds that differ between neurons": any(
            np.ptp(values) != 0 for values in (p.loss_u, p.loss_v, p.threshold)
        ),
        "a bias, which Lava's LIF adds to v and not to u": p.bias.any(),
        "a refractory period": p.refractory > 0,
        "an adaptive threshold": p.step > 0,
    }
    return next((what for what, present in found.items() if present), "")


def _overflow(network: Network, p: Population) -> str:
    """Prove that Lava's 32-bit integers hold ``u (4096 - (du + 1)) / 4096 + 64 a`` before its wrap.

    One wrap takes 2**24 away, so |u| stays below the larger of 2**23 and the fixed point of
    ``u = keep u + 64 a - 2**24``.
    """
    drive = peak_current(network, p) * (p.du + 1) / UNIT
    u = np.maximum(LIMIT, (drive - 2 * LIMIT) * UNIT / (p.du + 1))
    peak = np.maximum(drive + LIMIT, u + 2 * LIMIT).max()
    if peak < _INT32:
        return ""
    return f"one tick could bring u to {peak:.0f}, Lava's 32-bit integers end at {_INT32 - 1}"
