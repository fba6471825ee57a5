"""Events counted per cell and bin, without looking at the time of each event.

Events are sorted by time, so a bin is a slice of them; its end is found by a search that starts
where the bin before it suggests. Within a bin only the coordinates are read.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import Fit, GridMap, PatchGrid
from neurovlm.events.stream import EventStream

LANES = 4  # an increment waits for the last one of the same cell, so four take turns
_CUT_OFF = 1 << 30
_SHIFT = np.int32(22)  # fraction bits of a straight line through the cells
_BLOCK = 4096  # events whose cells are worked out before they are counted


def count_patches(
    stream: EventStream,
    bin_us: int = 1000,
    *,
    grid: PatchGrid | None = None,
    fit: Fit = "crop",
    t0_us: int | None = None,
    n_bins: int | None = None,
) -> NDArray[np.int32]:
    """Events per patch of the model's grid and bin, both polarities together.

    Parameters
    ----------
    bin_us
        Bin k covers ``[t0_us + k bin_us, t0_us + (k + 1) bin_us)``.
    grid
        14 x 14 patches of 9 pixels by default; the sensor is reduced to it as ``fit`` says.
    t0_us
        The first event by default.
    n_bins
        By default as many as hold every event from ``t0_us`` on.

    Returns
    -------
    int32 ``(n_bins, side, side)``.
    """
    grid = PatchGrid() if grid is None else grid
    cells = GridMap.fit(stream.sensor, grid.pixels, fit).cells(grid.patch)
    if t0_us is None:
        t0_us = int(stream.t[0]) if len(stream) else 0
    if n_bins is None:
        check_bins(bin_us, 0)
        n_bins = max((int(stream.t[-1]) - t0_us) // bin_us + 1, 0) if len(stream) else 0
    counts = count_cells(stream, cells, channels=1, t0_us=t0_us, n_bins=n_bins, bin_us=bin_us)
    return counts[:, 0]


def count_cells(
    stream: EventStream, cells: GridMap, *, channels: int, t0_us: int, n_bins: int, bin_us: int
) -> NDArray[np.int32]:
    """Events per cell and bin; channel 0 is OFF and 1 is ON, one channel counts both.

    Returns
    -------
    int32 ``(n_bins, channels, side, side)`` with ``side = cells.pixels``.
    """
    check_bins(bin_us, n_bins)
    counts = np.empty((n_bins, channels * cells.pixels**2), np.int32)
    first = int(np.searchsorted(stream.t, t0_us))
    t, x, y, p = (getattr(stream, name)[first:] for name in "txyp")
    columns, rows = look_ups(cells)
    lines = (*straight(cells.columns), *straight(cells.rows))
    by_polarity = channels == 2
    _count(t, x, y, p, columns, rows, lines, cells.pixels, by_polarity, t0_us, bin_us, counts)
    return counts.reshape(n_bins, channels, cells.pixels, cells.pixels)


def check_bins(bin_us: int, n_bins: int) -> None:
    """Refuse bins that cannot be filled."""
    if bin_us < 1 or n_bins < 0:
        raise UsageError(f"bins: need at least 1 us and 0 bins, got {bin_us} us and {n_bins} bins")


def look_ups(cells: GridMap) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Tables of columns and rows whose sum is the cell; a huge sum means cut off."""
    columns = np.where(cells.columns < 0, _CUT_OFF, cells.columns)
    rows = np.where(cells.rows < 0, _CUT_OFF, cells.rows * cells.pixels)
    return columns.astype(np.uint32), rows.astype(np.uint32)


def straight(cells: NDArray[np.int32]) -> tuple[np.int32, np.int32]:
    """Slope and offset with ``(slope * position + offset) >> 22`` the cell of every position.

    Positions that are cut off (-1) come out below 0 or behind the last cell. (0, 0) where no line
    does that.
    """
    position = np.arange(len(cells), dtype=np.int64)
    inside = cells >= 0
    if not inside.any():
        return np.int32(0), np.int32(0)
    one, first, last = 1 << int(_SHIFT), int(inside.argmax()), int(np.flatnonzero(inside)[-1])
    n = int(cells.max()) + 1
    cell = np.where(inside, cells, np.where(position < first, -1, n)).astype(np.int64)
    slope = n * one // (last - first + 1)
    rest = cell * one - slope * position  # offset may be rest to rest + one - 1
    low = rest[inside | (position > last)].max()
    high = rest[inside | (position < first)].min() + one - 1
    reach = max(abs(slope) * len(cells) + abs(int(low)), one)
    if low > high or reach >= 1 << 31:
        return np.int32(0), np.int32(0)
    return np.int32(slope), np.int32(low)


@numba.njit(cache=True, nogil=True)
def end_of_bin(t, first, stop_us, guess):  # type: ignore[no-untyped-def]
    """First event of ``first`` or later with ``t >= stop_us``; best close to ``first + guess``."""
    n = len(t)
    if first >= n or t[first] >= stop_us:
        return first
    low = high = min(first + guess, n - 1)  # t[low] < stop_us <= t[high] after the strides
    stride = 8
    if t[low] < stop_us:
        high = low + stride
        while high < n and t[high] < stop_us:
            low, stride = high, 2 * stride
            high = low + stride
        high = min(high, n)
    else:
        low = high - stride
        while low > first and t[low] >= stop_us:
            high, stride = low, 2 * stride
            low = high - stride
        low = max(low, first)
    while high - low > 1:
        middle = (low + high) >> 1
        if t[middle] < stop_us:
            low = middle
        else:
            high = middle
    return high


# Unsigned indices: the compiler would test signed ones for being negative. What is cut off is
# counted behind the last cell: no branch to miss.
@numba.njit(cache=True, nogil=True)
def add_events(x, y, columns, rows, lanes):  # type: ignore[no-untyped-def]
    """Count events in their cells, in turns in each lane ``(n_cells + 1,)``."""
    a, b, c, d = lanes[0], lanes[1], lanes[2], lanes[3]
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    cut_off = np.uint64(len(a) - 1)
    n = np.uint64(len(x))
    for k in range(n >> two):
        i = np.uint64(k) << two
        a[min(columns[x[i]] + rows[y[i]], cut_off)] += 1
        b[min(columns[x[i | one]] + rows[y[i | one]], cut_off)] += 1
        c[min(columns[x[i | two]] + rows[y[i | two]], cut_off)] += 1
        d[min(columns[x[i | three]] + rows[y[i | three]], cut_off)] += 1
    for last in range(n >> two << two, n):
        a[min(columns[x[last]] + rows[y[last]], cut_off)] += 1


@numba.njit(cache=True, nogil=True)
def add_on_lines(x, y, lines, side, cells, lanes):  # type: ignore[no-untyped-def]
    """Count events whose cells lie on straight lines: no table is read."""
    a, b, c, d = lanes[0], lanes[1], lanes[2], lanes[3]
    slope_x, offset_x, slope_y, offset_y = lines
    side, cut_off = np.int32(side), np.int32(len(a) - 1)
    for start in range(0, len(x), _BLOCK):
        n = min(len(x) - start, _BLOCK)
        u, v = x[start : start + n], y[start : start + n]
        for i in range(n):
            column = np.int32(np.int32(np.int32(u[i]) * slope_x) + offset_x) >> _SHIFT
            row = np.int32(np.int32(np.int32(v[i]) * slope_y) + offset_y) >> _SHIFT
            inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
            cells[i] = np.int32(row * side + column) if inside else cut_off
        for i in range(n, n + LANES):
            cells[i] = cut_off
        for k in range(np.uint64((n + LANES - 1) // LANES)):
            four = np.uint64(k) << np.uint64(2)
            a[cells[four]] += 1
            b[cells[four | np.uint64(1)]] += 1
            c[cells[four | np.uint64(2)]] += 1
            d[cells[four | np.uint64(3)]] += 1


@numba.njit(cache=True, nogil=True)
def add_by_polarity(x, y, p, columns, rows, lanes):  # type: ignore[no-untyped-def]
    """Count events in the cells of their polarity, OFF first."""
    cut_off = np.uint64(lanes.shape[1] - 1)
    on = cut_off >> np.uint64(1)
    polarity = p.view(np.uint8)  # the compiler would branch on a bool
    for i in range(np.uint64(len(x))):
        cell = columns[x[i]] + rows[y[i]] + on * polarity[i]
        lanes[i & np.uint64(LANES - 1), min(cell, cut_off)] += 1


@numba.njit(cache=True, nogil=True)
def take_counts(lanes, counts):  # type: ignore[no-untyped-def]
    """Move what the lanes have counted to ``counts`` and clear them."""
    a, b, c, d = lanes[0], lanes[1], lanes[2], lanes[3]
    for cell in range(len(counts)):
        counts[cell] = a[cell] + b[cell] + c[cell] + d[cell]
    lanes[:] = 0


@numba.njit(cache=True, nogil=True)
def _count(  # type: ignore[no-untyped-def]
    t, x, y, p, columns, rows, lines, side, by_polarity, t0_us, bin_us, counts
):
    lanes = np.zeros((LANES, counts.shape[1] + 1), np.int32)
    cells = np.empty(_BLOCK + LANES, np.uint16)
    on_lines = lines[0] != 0 and lines[2] != 0 and lanes.shape[1] <= 1 << 16
    first = guess = 0
    for k in range(len(counts)):
        last = end_of_bin(t, first, t0_us + (k + 1) * bin_us, guess)
        if by_polarity:
            add_by_polarity(x[first:last], y[first:last], p[first:last], columns, rows, lanes)
        elif on_lines:
            add_on_lines(x[first:last], y[first:last], lines, side, cells, lanes)
        else:
            add_events(x[first:last], y[first:last], columns, rows, lanes)
        take_counts(lanes, counts[k])
        first, guess = last, last - first
