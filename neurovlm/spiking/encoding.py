"""Events to input spikes: one per (pixel, polarity) and tick, or graded counts of events."""

from __future__ import annotations

from functools import lru_cache

import numba
import numpy as np

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.core.grid import Fit, GridMap, PatchGrid
from neurovlm.events.binning import (
    LANES,
    add_by_polarity,
    add_events,
    end_of_bin,
    look_ups,
    take_counts,
)
from neurovlm.events.stream import EventStream
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.train import SpikeTrain

_MODEL_PIXELS = PatchGrid().pixels
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)  # (bit * this) >> 58 differs for each of the 64 bits
_POSITION = np.zeros(64, np.int64)
_POSITION[[(0x03F79D71B4CB0A89 << bit & (1 << 64) - 1) >> 58 for bit in range(64)]] = range(64)


@lru_cache(maxsize=64)  # every window asks for it
def grid_for(shape: tuple[int, ...], sensor: tuple[int, int], fit: Fit = "crop") -> GridMap:
    """Map from the sensor to an input of ``(2, side, side)`` or ``(1, side, side)``.

    A side that divides the 126 pixels of the model's grid takes cells of that grid, so that 14
    means its patches; for any other side the sensor is reduced to the side itself.

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
    side = shape[1]
    if _MODEL_PIXELS % side:
        return GridMap.fit(sensor, side, fit)
    return GridMap.fit(sensor, _MODEL_PIXELS, fit).cells(_MODEL_PIXELS // side)


def encode(
    graph: SpikingGraph, events: EventStream, *, t0_us: int, n_ticks: int, fit: Fit = "crop"
) -> SpikeTrain:
    """Input spikes of ``graph`` for the ticks from ``t0_us`` on, see `encode_events`."""
    shape = graph.network.input_shape
    return encode_events(
        events,
        grid_for(shape, events.sensor, fit),
        channels=shape[0],
        t0_us=t0_us,
        n_ticks=n_ticks,
        dt_us=graph.dynamics.dt_us,
        message_bits=graph.network.input_bits,
    )


def encode_events(
    events: EventStream,
    grid: GridMap,
    *,
    channels: int,
    t0_us: int,
    n_ticks: int,
    dt_us: int,
    message_bits: int = 0,
) -> SpikeTrain:
    """Reduce events to the grid and merge those of one tick, pixel and polarity.

    Tick k covers ``[t0_us + k dt_us, t0_us + (k + 1) dt_us)``; events outside the ticks are left
    out. Channel 0 is OFF and 1 is ON; with one channel polarities are merged. With
    ``message_bits`` a spike's value is the number of events merged into it, else it is binary.

    Returns
    -------
    SpikeTrain
        Shape ``(channels, pixels, pixels)``.

    Raises
    ------
    UsageError
        Where more events meet than ``message_bits`` can count.
    """
    shape = (channels, grid.pixels, grid.pixels)
    first, last = np.searchsorted(events.t, [t0_us, t0_us + n_ticks * dt_us])
    t, x, y, p = (getattr(events, name)[int(first) : int(last)] for name in "txyp")
    columns, rows = look_ups(grid)
    by_polarity = channels == 2
    n_cells = channels * grid.pixels**2
    tick, neuron = (np.empty(len(t) + 1, np.int32) for _ in range(2))
    value = np.empty(len(t) + 1 if message_bits else 0, np.int32)
    if message_bits:
        most = (1 << message_bits) - 1
        n = _count(
            t, x, y, p, columns, rows, by_polarity, n_cells, t0_us, dt_us, n_ticks, most,
            tick, neuron, value,
        )  # fmt: skip
        if n and value[n - 1] > most:
            raise too_many(int(tick[n - 1]), int(neuron[n - 1]), int(value[n - 1]), shape, most)
    else:
        n = _merge(
            t, x, y, p, columns, rows, by_polarity, n_cells, t0_us, dt_us, n_ticks, tick, neuron
        )
    for array in (tick, neuron, value)[: 2 + (message_bits > 0)]:
        array.resize(n, refcheck=False)  # in place: most of the memory may not be needed
    dt_s = dt_us / 1e6
    return SpikeTrain(tick, neuron, n_ticks, shape, dt_s, value if message_bits else None)


def too_many(tick: int, neuron: int, count: int, shape: tuple[int, ...], most: int) -> UsageError:
    """The error for a count that graded input cannot carry."""
    cell = tuple(int(index) for index in np.unravel_index(neuron, shape))
    return UsageError(
        f"events: {count} of tick {tick} meet in input cell {cell}, its graded spikes count to "
        f"{most}; raise message_bits of the Input node (and lower its weights), or use a shorter "
        "tick or smaller cells"
    )


@numba.njit(cache=True, nogil=True)
def _merge(  # type: ignore[no-untyped-def]
    t, x, y, p, columns, rows, by_polarity, n_cells, t0_us, dt_us, n_ticks, tick, neuron
):
    """One bitmap per tick: setting a bit merges, scanning the words sorts. Returns the spikes."""
    n_words = (n_cells + 63) // 64
    bitmap = np.zeros(n_words + 1, np.uint64)  # the last word takes what is cut off
    filled = np.empty(n_words + 1, np.int64)
    polarity = p.view(np.uint8)  # the compiler would branch on a bool
    on = np.uint64(n_cells // 2 if by_polarity else 0)
    one, six, within = np.uint64(1), np.uint64(6), np.uint64(63)
    cut_off = np.uint64(64 * n_words)
    first = guess = n = 0
    for k in range(n_ticks):
        last = end_of_bin(t, first, t0_us + (k + 1) * dt_us, guess)
        first, guess, start = last, last - first, n
        if guess == 0:
            continue
        for i in range(np.uint64(last - guess), np.uint64(last)):
            cell = min(columns[x[i]] + rows[y[i]] + on * polarity[i], cut_off)
            bitmap[cell >> six] |= one << (cell & within)
        n_filled = 0
        for word in range(n_words):
            filled[n_filled] = word  # stays only if the word has a bit: no branch to miss
            n_filled += int(bitmap[word] != 0)
        for i in range(n_filled):
            word = filled[i]
            bits = bitmap[word]
            bitmap[word] = 0
            base = 64 * word
            neuron[n], bits = base + _lowest(bits), bits & (bits - one)
            n += 1
            neuron[n] = base + _lowest(bits)  # stays only if there is a second bit
            n += int(bits != 0)
            bits &= bits - one
            while bits != 0:
                neuron[n], bits = base + _lowest(bits), bits & (bits - one)
                n += 1
        tick[start:n] = k
    return n


@numba.njit(cache=True, inline="always")
def _lowest(bits):  # type: ignore[no-untyped-def]
    """Position of the lowest bit."""
    return _POSITION[((bits & (~bits + np.uint64(1))) * _DE_BRUIJN) >> np.uint64(58)]


@numba.njit(cache=True, nogil=True)
def _count(  # type: ignore[no-untyped-def]
    t, x, y, p, columns, rows, by_polarity, n_cells, t0_us, dt_us, n_ticks, most, tick, neuron,
    value,
):  # fmt: skip
    """Count per tick, then list the cells with events; ends behind the first above ``most``."""
    lanes = np.zeros((LANES, n_cells + 1), np.int32)
    counts = np.empty(n_cells, np.int32)
    first = guess = n = 0
    for k in range(n_ticks):
        last = end_of_bin(t, first, t0_us + (k + 1) * dt_us, guess)
        first, guess, start = last, last - first, n
        if guess == 0:
            continue
        mine = slice(last - guess, last)
        if by_polarity:
            add_by_polarity(x[mine], y[mine], p[mine], columns, rows, lanes)
        else:
            add_events(x[mine], y[mine], columns, rows, lanes)
        take_counts(lanes, counts)
        for cell in range(n_cells):
            neuron[n] = cell  # stays only if something was counted
            value[n] = counts[cell]
            n += int(counts[cell] > 0)
            if counts[cell] > most:
                tick[start:n] = k
                return n
        tick[start:n] = k
    return n
