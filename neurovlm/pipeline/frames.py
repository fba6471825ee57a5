"""Frames of any camera as the model's square RGB input."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from neurovlm.core.grid import Fit
from neurovlm.events.io import Frame


def to_rgb(pixels: NDArray[np.uint8], fit: Fit, side: int) -> NDArray[np.uint8]:
    """Lay a grey or RGB image on a square, as the events are laid on the grid.

    Returns
    -------
    uint8 ``(side, side, 3)``.
    """
    image = Image.fromarray(pixels).convert("RGB")
    size, how = (side, side), Image.Resampling.BOX
    if fit == "crop":
        image = ImageOps.fit(image, size, how)
    elif fit == "letterbox":
        image = ImageOps.pad(image, size, how)
    else:
        image = image.resize(size, how)
    return np.asarray(image)


class FrameClock:
    """The latest frame before a time, from frames in time order."""

    def __init__(self, frames: Iterable[Frame], fit: Fit, side: int) -> None:
        self._frames = iter(frames)
        self._fit: Fit = fit
        self._side = side
        self._next = next(self._frames, None)
        self._current: NDArray[np.uint8] | None = None

    def before(self, t_us: int) -> NDArray[np.uint8] | None:
        """RGB of the last frame earlier than ``t_us``; None before the first one.

        Times must not decrease between calls.
        """
        latest: Frame | None = None
        while self._next is not None and self._next.t_us < t_us:
            latest, self._next = self._next, next(self._frames, None)
        if latest is not None:
            self._current = to_rgb(latest.pixels, self._fit, self._side)
        return self._current
