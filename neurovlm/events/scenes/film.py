"""Film a moving scene: events with noise, and which patches really changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import GridMap, PatchGrid
from neurovlm.events.camera import (
    ContrastParams,
    contrast_step,
    first_state,
    merge,
    noise_events,
)
from neurovlm.events.scenes.pixel import IDEAL, PixelHabits, lagged, with_afterpulses
from neurovlm.events.stream import EventStream

TRUTH_EVENTS = 3
"""A patch changed in a window when the scene itself caused at least this many events in it."""

GRID = PatchGrid()
RENDER_STEP_US = 2000
BLOCK_FRAMES = 64

Look = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Times ``(n,)`` in us -> log luminance ``(n, height, width)``."""


@dataclass(frozen=True, eq=False)
class Clip:
    """Events of a scene and its ground truth.

    Attributes
    ----------
    stream
        Events with camera noise.
    from_scene
        ``(n_events,)`` bool: caused by the scene, not by noise.
    truth
        ``(n_windows, 196)`` bool: patches that changed, see `changed_patches`.
    start_us, window_us
        Window k is ``[start_us + k window_us, start_us + (k + 1) window_us)``; ``start_us`` is the
        time of the first event, where a spiking front end starts its first tick.
    """

    stream: EventStream
    from_scene: NDArray[np.bool_]
    truth: NDArray[np.bool_]
    start_us: int
    window_us: int

    @property
    def n_windows(self) -> int:
        """Number of windows."""
        return len(self.truth)

    def window(self, k: int) -> EventStream:
        """Events of window k."""
        start_us = self.start_us + k * self.window_us
        return self.stream.between(start_us, start_us + self.window_us)


def film(
    look: Look,
    duration_s: float,
    window_ms: float,
    params: ContrastParams,
    rng: np.random.Generator,
    habits: PixelHabits = IDEAL,
) -> Clip:
    """Film ``look`` for as many whole windows as fit into ``duration_s``.

    What the habits of the pixels add to the events of the scene counts as caused by the scene.

    Raises
    ------
    UsageError
        When not even one window fits.
    """
    window_us = round(window_ms * 1000)
    n_windows = round(duration_s * 1e6) // window_us if window_us > 0 else 0
    if n_windows < 1:
        raise UsageError(
            f"a clip needs at least one window, got {duration_s} s and windows of {window_ms} ms"
        )
    duration_us = n_windows * window_us
    times = np.unique(np.append(np.arange(0, duration_us, RENDER_STEP_US), duration_us))
    state = first_state(look(times[:1])[0], 0, params, rng)
    parts = [EventStream.empty(state.sensor)]
    for first in range(1, len(times), BLOCK_FRAMES):
        block_us = times[first : first + BLOCK_FRAMES]
        seen = lagged(look(block_us), block_us, state.log_luminance, state.t_us, habits.lag_us)
        events, state = contrast_step(seen, block_us, state, params)
        parts.append(events)
    signal = with_afterpulses(EventStream.join(parts), habits, rng).between(0, duration_us)
    noise = noise_events(0, duration_us, state, params, rng)
    stream, from_scene = merge(signal, noise)
    start_us = int(stream.t[0]) if len(stream) else 0
    truth = changed_patches(signal, start_us, n_windows, window_us)
    return Clip(stream, from_scene, truth, start_us, window_us)


def changed_patches(
    signal: EventStream, start_us: int, n_windows: int, window_us: int
) -> NDArray[np.bool_]:
    """Patches in which the scene changed: `TRUTH_EVENTS` or more noise-free events in a window.

    Parameters
    ----------
    signal
        Events of the scene without noise.
    start_us, n_windows, window_us
        Window k is ``[start_us + k window_us, start_us + (k + 1) window_us)``.

    Returns
    -------
    ndarray
        ``(n_windows, 196)`` bool, patches row-major.
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
