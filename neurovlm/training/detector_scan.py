"""Leaky currents in Loihi's integers over many ticks, and their gradient; compiled."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def leaky_scan(  # type: ignore[no-untyped-def]
    drive, keep, threshold, read, out
) -> Any:
    """Step neurons whose voltage forgets within the tick; note v before its reset.

    All values are whole numbers below 2**23, so float64 holds products with ``keep`` exactly::

        u = trunc(u keep / 4096) + 64 drive
        v = trunc(v / 4096) + u,   v = 0 where v > threshold

    Parameters
    ----------
    drive
        float32 ``(n_ticks, n)``: summed weights of the spikes that arrive.
    keep
        float64 ``(n,)``: what u keeps per tick, in 4096ths.
    threshold
        In units of u.
    read
        int64 ``(n_read,)``: ascending ticks at which v is noted.
    out
        float32 ``(n_read, n)``: v there.
    """
    n_ticks, n = drive.shape
    part = keep / 4096.0
    u, v = np.zeros(n), np.zeros(n)
    k = 0
    for tick in range(n_ticks):
        noted = k < len(read) and read[k] == tick
        row = drive[tick]
        for i in range(n):
            u[i] = np.trunc(u[i] * part[i]) + 64.0 * np.float64(row[i])
            reached = np.trunc(v[i] / 4096.0) + u[i]
            v[i] = 0.0 if reached > threshold else reached
            if noted:
                out[k, i] = reached
        k += noted


@numba.njit(cache=True, nogil=True, fastmath=True)
def leaky_scan_back(grad, keep, read, out) -> Any:  # type: ignore[no-untyped-def]
    """Gradient of `leaky_scan` with respect to ``drive``, as if v were u and nothing were cut.

    ``grad`` is float32 ``(n_read, n)``, ``out`` float32 ``(n_ticks, n)``.
    """
    n_ticks, n = out.shape
    part = (keep / 4096.0).astype(np.float32)
    carried = np.zeros(n, np.float32)
    k = len(read) - 1
    for tick in range(n_ticks - 1, -1, -1):
        if k >= 0 and read[k] == tick:
            for i in range(n):
                carried[i] += grad[k, i]
            k -= 1
        for i in range(n):
            out[tick, i] = np.float32(64.0) * carried[i]
            carried[i] *= part[i]
