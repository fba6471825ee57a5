"""Which patches of a scene changed: counted from its noise-free events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.grid import GridMap, PatchGrid
from neurovlm.events.stream import EventStream

TRUTH_EVENTS = 3
"""A patch changed in a window when the scene itself caused at least this many events in it."""

GRID = PatchGrid()


def changed_patches(
    signal: EventStream, start_us: int, n_windows: int, window_us: int
) -> NDArray[np.bool_]:
    """Patches in which noise-free events say that the scene changed.

    Parameters
    ----------
    signal
        Events of the scene without noise.
    start_us, n_windows, window_us
        Window k is ``[start_us + k window_us, start_us + (k + 1) window_us)``.

    Returns
    -------
    ndarray
        ``(n_windows, 196)`` bool, `TRUTH_EVENTS` or more events.
    """
    grid_map = GridMap.fit(signal.sensor, GRID.pixels)
    column, row = grid_map.columns[signal.x], grid_map.rows[signal.y]
    window = (signal.t - start_us) // window_us
    kept = (column >= 0) & (row >= 0) & (window >= 0) & (window < n_windows)
    patch = (row[kept] // GRID.patch) * GRID.side + column[kept] // GRID.patch
    slot = window[kept] * GRID.n_patches + patch
    counts = np.bincount(slot, minlength=n_windows * GRID.n_patches)
    changed: NDArray[np.bool_] = counts.reshape(n_windows, GRID.n_patches) >= TRUTH_EVENTS
    return changed
