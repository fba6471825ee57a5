"""Events to input spikes: one spike per (pixel, polarity) and tick."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.core.grid import Fit, GridMap
from neurovlm.events.stream import EventStream
from neurovlm.spiking.train import SpikeTrain


def grid_for(shape: tuple[int, ...], sensor: tuple[int, int], fit: Fit = "crop") -> GridMap:
    """Map from the sensor to an input of ``(2, side, side)`` or ``(1, side, side)``.

    Raises
    ------
    GraphError
        For any other input shape.
    """
    if len(shape) != 3 or shape[0] not in (1, 2) or shape[1] != shape[2]:
        raise GraphError(
            f"events feed an input of shape (2, side, side) or (1, side, side), the graph's is "
            f"{shape}; change its Input node"
        )
    return GridMap.fit(sensor, shape[1], fit)


def encode_events(
    events: EventStream, grid: GridMap, *, channels: int, t0_us: int, n_ticks: int, dt_us: int
) -> SpikeTrain:
    """Reduce events to the grid and merge those of one tick, pixel and polarity.

    Tick k covers ``[t0_us + k dt_us, t0_us + (k + 1) dt_us)``; events outside the ticks are left
    out. Channel 0 is OFF and 1 is ON; with one channel polarities are merged.

    Returns
    -------
    SpikeTrain
        Shape ``(channels, pixels, pixels)``.
    """
    first, last = np.searchsorted(events.t, [t0_us, t0_us + n_ticks * dt_us])
    cut = slice(int(first), int(last))
    tick, neuron = _merge(
        events.t[cut], events.x[cut], events.y[cut], events.p[cut],
        grid.columns, grid.rows, grid.pixels, channels, t0_us, dt_us,
    )  # fmt: skip
    return SpikeTrain(tick, neuron, n_ticks, (channels, grid.pixels, grid.pixels), dt_us / 1e6)


@numba.njit(cache=True, nogil=True)
def _merge(  # type: ignore[no-untyped-def]
    t, x, y, p, columns, rows, pixels, channels, t0_us, dt_us
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """One bitmap per tick: setting a bit merges, scanning the words sorts."""
    n_words = (channels * pixels * pixels + 63) // 64
    bitmap = np.zeros(n_words, np.uint64)
    out_tick = np.empty(len(t), np.int32)
    out_neuron = np.empty(len(t), np.int32)
    n_out = 0
    i = 0
    while i < len(t):
        tick = (t[i] - t0_us) // dt_us
        end = t0_us + (tick + 1) * dt_us
        while i < len(t) and t[i] < end:
            column, row = columns[x[i]], rows[y[i]]
            if column >= 0 and row >= 0:
                channel = p[i] if channels == 2 else 0
                neuron = (channel * pixels + row) * pixels + column
                bitmap[neuron >> 6] |= np.uint64(1) << np.uint64(neuron & 63)
            i += 1
        for word in range(n_words):
            bits = bitmap[word]
            if bits == 0:
                continue
            bitmap[word] = 0
            for bit in range(64):
                if (bits >> np.uint64(bit)) & np.uint64(1):
                    out_tick[n_out] = tick
                    out_neuron[n_out] = word * 64 + bit
                    n_out += 1
    return out_tick[:n_out].copy(), out_neuron[:n_out].copy()
