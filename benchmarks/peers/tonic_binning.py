"""Tonic's frames of 1 ms with one pixel per patch: Downsample, then ToFrame."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.grid import PatchGrid
from neurovlm.events.stream import EventStream

FORM = "Downsample, ToFrame"


class TonicBinning:
    """Tonic on events that already lie on the grid, in its own array type.

    Its two polarities are left apart: merging them would cost it time.
    """

    def __init__(self, events: EventStream, grid: PatchGrid, dt_us: int) -> None:
        from tonic.transforms import Compose, Downsample, ToFrame

        self._events = events.to_tonic()
        self._events["t"] -= self._events["t"][0]
        self._transform = Compose(
            [
                Downsample(spatial_factor=1 / grid.patch),
                ToFrame(
                    sensor_size=(grid.side, grid.side, 2),
                    time_window=dt_us,
                    include_incomplete=True,
                ),
            ]
        )

    def seconds(self) -> float:
        """Seconds of one run over all events."""
        start = time.perf_counter()
        self._transform(self._events)
        return time.perf_counter() - start

    def counts(self) -> NDArray[Any]:
        """``(n_ticks, n_patches)``, both polarities."""
        frames = self._transform(self._events)
        return frames.sum(axis=1, dtype=np.int32).reshape(len(frames), -1)
