"""The loops of the compiled engine.

Spikes of the last tick push their weights into an accumulator; then every neuron is updated in
loops that the compiler turns into vector instructions; then the bytes of those that fired are
tested eight at a time. Loihi's product u * (4096 - d) >> 12 is exact in 32-bit lanes: split into
12-bit halves, or at once where states are proved to stay below 2**19.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from neurovlm.spiking.fixed_point import LIMIT, UNIT, WEIGHT_SHIFT

LANES = 8  # neurons whose spike bytes are tested as one word
SHORT = 1 << 19  # a smaller state times 4096 fits 32 bits


class Cells(NamedTuple):
    """What the compiled loop reads.

    The matrix has one row per source, inputs first; its indices are unsigned because the compiler
    would test signed ones for being negative. The neuron arrays leave the inputs out; ``ends`` is
    where each population's padded block ends in them. ``reach`` holds, per population, bounds that
    |u| and |v| never leave once within, or -1 where the short update does not serve.
    """

    n_inputs: int
    indptr: NDArray[np.uint32]
    indices: NDArray[np.uint32]
    weights: NDArray[Any]
    biased: bool
    bias: NDArray[Any]
    keep_u: NDArray[Any]
    keep_v: NDArray[Any]
    threshold: NDArray[Any]
    ends: NDArray[np.int64]
    reach: NDArray[np.int64]


# Two loops written out: one loop that is handed its update function cannot be cached on disk, and
# compiling takes seconds.
@numba.njit(cache=True, nogil=True)
def run_loihi(cells, u, v, pending, fed, bounds, tick, fired, counts):  # type: ignore[no-untyped-def]
    """Run from ``tick`` until the end or until ``fired`` may not hold another tick.

    ``fed[bounds[k] : bounds[k + 1]]`` are the inputs that fire in tick k. ``u``, ``v``, ``fired``
    (neurons, per population) and ``counts`` (spikes, per tick and population) are written to.
    Returns the tick reached, the spikes recorded per population and those pending.
    """
    a, spiking = np.zeros_like(u), np.zeros(len(u), np.uint8)
    n_fired = np.zeros(len(cells.ends), np.int64)
    short = _within_reach(cells, u, v)
    while tick < len(counts) and n_fired.max() + len(u) <= fired.shape[1]:
        _deliver(cells, pending, a)
        _update_loihi(cells, u, v, a, spiking, short)
        arriving = fed[bounds[tick] : bounds[tick + 1]]
        pending = _collect(cells, spiking, arriving, fired, n_fired, counts[tick])
        tick += 1
    return tick, n_fired, pending


@numba.njit(cache=True, nogil=True)
def run_float(cells, u, v, pending, fed, bounds, tick, fired, counts):  # type: ignore[no-untyped-def]
    """Do the same in floating point."""
    a, spiking = np.zeros_like(u), np.zeros(len(u), np.uint8)
    n_fired = np.zeros(len(cells.ends), np.int64)
    while tick < len(counts) and n_fired.max() + len(u) <= fired.shape[1]:
        _deliver(cells, pending, a)
        _update_float(u, v, a, cells.keep_u, cells.keep_v, cells.threshold, spiking)
        arriving = fed[bounds[tick] : bounds[tick + 1]]
        pending = _collect(cells, spiking, arriving, fired, n_fired, counts[tick])
        tick += 1
    return tick, n_fired, pending


@numba.njit(cache=True, nogil=True)
def _deliver(cells, pending, a):  # type: ignore[no-untyped-def]
    """Add bias and the weights of the pending spikes to ``a``."""
    if cells.biased:
        for i in range(len(a)):
            a[i] += cells.bias[i]
    for spike in pending:
        for j in range(cells.indptr[spike], cells.indptr[spike + 1]):
            a[cells.indices[j]] += cells.weights[j]


@numba.njit(cache=True, nogil=True)
def _collect(cells, spiking, arriving, fired, n_fired, count):  # type: ignore[no-untyped-def]
    """Record who fired, by population; return these and the input as the next pending spikes."""
    words = spiking.view(np.uint64)
    first = word = 0
    for p in range(len(count)):
        to = n_fired[p]
        while word < cells.ends[p] // LANES:
            if words[word] != 0:  # most are silent
                for i in range(LANES * word, LANES * (word + 1)):
                    fired[p, to] = i - first  # stays only if i fired: no branch to miss
                    to += spiking[i]
            word += 1
        count[p] = to - n_fired[p]
        n_fired[p] = to
        first = cells.ends[p]
    at = len(arriving)
    pending = np.empty(at + count.sum(), np.int32)
    pending[:at] = arriving
    first = cells.n_inputs
    for p in range(len(count)):
        for i in range(n_fired[p] - count[p], n_fired[p]):
            pending[at] = first + fired[p, i]
            at += 1
        first = cells.n_inputs + cells.ends[p]
    return pending


@numba.njit(cache=True, inline="always")
def _keep(x, keep):  # type: ignore[no-untyped-def]
    """trunc(x * keep / 4096) without leaving 32 bits; numba widens unless told not to."""
    size = np.int32(abs(x))
    high = np.int32(np.int32(size >> np.int32(12)) * keep)
    low = np.int32(np.int32(np.int32(size & np.int32(UNIT - 1)) * keep) >> np.int32(12))
    kept = np.int32(high + low)
    return kept if x >= 0 else np.int32(-kept)


@numba.njit(cache=True, inline="always")
def _keep_short(x, keep):  # type: ignore[no-untyped-def]
    """The same for |x| < 2**19: the sign's copies, masked, make the shift round toward zero."""
    product = np.int32(x * keep)
    toward_zero = np.int32(np.int32(product >> np.int32(31)) & np.int32(UNIT - 1))
    return np.int32(np.int32(product + toward_zero) >> np.int32(12))


@numba.njit(cache=True, nogil=True)
def _within_reach(cells, u, v):  # type: ignore[no-untyped-def]
    """Populations that the short update serves from this state on."""
    short = np.empty(len(cells.ends), np.bool_)
    first = 0
    for p in range(len(cells.ends)):
        last = cells.ends[p]
        reach_u, reach_v = cells.reach[p]
        short[p] = True
        for i in range(first, last):
            short[p] &= abs(u[i]) <= reach_u and abs(v[i]) <= reach_v
        first = last
    return short


@numba.njit(cache=True, nogil=True)
def _update_loihi(cells, u, v, a, spiking, short):  # type: ignore[no-untyped-def]
    """Step every population and clear what has arrived."""
    first = 0
    for p in range(len(cells.ends)):
        mine = slice(first, cells.ends[p])
        if short[p]:
            keep_u, keep_v = cells.keep_u[first], cells.keep_v[first]
            threshold = cells.threshold[first]
            _update_short(u[mine], v[mine], a[mine], keep_u, keep_v, threshold, spiking[mine])
        else:
            keep_u, keep_v = cells.keep_u[mine], cells.keep_v[mine]
            _update_any(u[mine], v[mine], a[mine], keep_u, keep_v)
            _fire(v[mine], cells.threshold[mine], spiking[mine])
        first = cells.ends[p]


@numba.njit(cache=True, nogil=True)
def _update_short(u, v, a, keep_u, keep_v, threshold, spiking):  # type: ignore[no-untyped-def]
    """Step neurons that are alike and stay within reach."""
    for i in range(len(u)):
        u[i] = np.int32(_keep_short(u[i], keep_u) + np.int32(a[i] << np.int32(WEIGHT_SHIFT)))
        vi = np.int32(_keep_short(v[i], keep_v) + u[i])
        a[i] = np.int32(0)
        spike = vi > threshold
        spiking[i] = spike
        v[i] = np.int32(0) if spike else vi


# Two short loops: with all arrays in one, the compiler gives up proving that they do not overlap
# and leaves the loop scalar.
@numba.njit(cache=True, nogil=True)
def _update_any(u, v, a, keep_u, keep_v):  # type: ignore[no-untyped-def]
    limit, span, shift = np.int32(LIMIT), np.int32(2 * LIMIT), np.int32(WEIGHT_SHIFT)
    for i in range(len(u)):
        ui = np.int32(_keep(u[i], keep_u[i]) + np.int32(a[i] << shift))
        a[i] = np.int32(0)
        ui = np.int32(ui - span) if ui > limit else ui
        u[i] = np.int32(ui + span) if ui <= -limit else ui
    for i in range(len(u)):
        vi = np.int32(_keep(v[i], keep_v[i]) + u[i])
        v[i] = min(max(vi, np.int32(1 - limit)), np.int32(limit - 1))


@numba.njit(cache=True, inline="always")
def _update_float(u, v, a, keep_u, keep_v, threshold, spiking):  # type: ignore[no-untyped-def]
    for i in range(len(u)):
        u[i] = u[i] * keep_u[i] + a[i]
        a[i] = a.dtype.type(0)
    for i in range(len(u)):
        v[i] = v[i] * keep_v[i] + u[i]
    _fire(v, threshold, spiking)


@numba.njit(cache=True, inline="always")
def _fire(v, threshold, spiking):  # type: ignore[no-untyped-def]
    for i in range(len(v)):
        spike = v[i] > threshold[i]
        spiking[i] = spike
        v[i] = v.dtype.type(0) if spike else v[i]
